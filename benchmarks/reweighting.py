"""Exactness where the action is known: log Z and effective sample sizes of models with a likelihood.

    python benchmarks/reweighting.py --record

The free field (m^2 = 0.25) from lifts set from its spectrum, on 8 to 64 sites; critical phi^4 on 4 x 4 sites from a
cascade of flows, trained for ``--minutes`` on simulated fields. The effective sample size (ESS) is judged from fields
of the model and from fields of the target that were not trained on; errors are jackknife errors. The independence
chain gives <phi^2> against Monte Carlo.
"""

import argparse
import math
import time
from pathlib import Path

import torch
import xarray as xr
from critical import train
from record import Row, append, machine, number, run, stamp, table
from torch import Tensor

from rgdm import progress
from rgdm.model.cascade import Cascade
from rgdm.model.exact import coarse_spectrum, fit_spectrum
from rgdm.model.lift import GaussianLift
from rgdm.physics.actions import FreeField, Phi4
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.monte_carlo import sample_phi4
from rgdm.physics.observables import observables
from rgdm.physics.reweighting import Reweighting, acceptance, chain_mean, independence_metropolis, log_weights
from rgdm.scale.operators import BlockSpin

MASS2, SIDE, COARSEST = 0.25, 4, 4


def free_field(side: int, count: int, seed: int) -> Row:
    """Stencils that reach half way around are exact."""
    field, step = FreeField(MASS2), BlockSpin(2)
    spectra, lifts = [field.spectrum((side, side))], []
    while spectra[-1].shape[0] > COARSEST:
        radius = spectra[-1].shape[0] // 4
        lift = GaussianLift(step, 1, 2, "periodic", prediction_radius=radius, colour_radius=radius).double()
        fit_spectrum(lift, spectra[-1], tuple(spectra[-1].shape))
        lifts.append(lift)
        spectra.append(coarse_spectrum(step, spectra[-1]))
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, COARSEST, COARSEST, generator=random, dtype=torch.float64)
    modes = torch.fft.fft2(noise)
    x = torch.fft.ifft2(modes * spectra[-1].sqrt()).real
    log_q = -(noise.square().flatten(1).sum(1) + (2 * math.pi * spectra[-1]).log().sum()) / 2
    for lift in reversed(lifts):
        x = step.merge(x, lift.detail(x, torch.randn(count, 3, *x.shape[2:], generator=random, dtype=torch.float64)))
        log_q = log_q + lift.log_prob(x).value
    found = Reweighting(log_weights(field.energy(x), log_q))
    off = float(found.log_z.value) - field.log_z((side, side))
    ess = float(found.ess.value)
    said = f"ESS {ess:.6f}, log Z off by {off:.1e}"
    return Row(f"free field, L = {side}, {count} fields", "ESS > .999", said, ess > 0.999)


def likelihood(model: Cascade, fields: Tensor) -> Tensor:
    return torch.cat([model.log_prob(some).total.value for some in fields.split(4096)]).cpu()


def phi4(options: argparse.Namespace) -> list[Row]:
    action = Phi4.critical()
    chains = max(1, options.samples // 40)
    with progress.bar("phi^4", 1) as show:
        fields = sample_phi4(action, SIDE, chains, options.samples, options.seed, 100, 5, progress=show)
    held = sample_phi4(action, SIDE, options.fields // 8, options.fields, options.seed + 1, 100, 20)
    model = Cascade.from_pretrained(options.model) if options.model else learn(fields, options)
    with torch.no_grad():
        made = model.to(options.device).sample((SIDE, SIDE), options.fields, seed=options.seed)
        began = time.monotonic()
        log_q = likelihood(model, made)
    seconds = time.monotonic() - began
    made = made.cpu()
    weights = log_weights(action.energy(made.double()), log_q)
    found = Reweighting(weights, log_weights(action.energy(held.double()), likelihood(model, held)))
    print(found.verdict)
    exact, truth = phi4_log_z(action, SIDE), observables(held, action)["phi2"]
    square = made.double().square().flatten(1).mean(1)
    chain = independence_metropolis(weights, options.seed)
    history, direct = chain_mean(chain, square), found.mean(square)
    what = f"critical phi^4, L = {SIDE}, {options.fields} fields"
    (z, dz), (ess, de), (back, db) = found.log_z, found.ess, found.target_ess
    off, spread = history.value - truth[0], math.hypot(history.error, truth[1])
    moved = float(direct.value) - truth[0]
    return [
        Row(f"{what}: log Z", f"{exact:.6f} +- .005", number(float(z), float(dz), 4), abs(float(z) - exact) <= 0.005),
        Row(f"{what}: ESS, of the model", ">= .95", number(float(ess), float(de), 4), float(ess) >= 0.95),
        Row(f"{what}: ESS, of the target", ">= .95", number(float(back), float(db), 4), float(back) >= 0.95),
        Row(f"{what}: <phi^2> reweighted less Monte Carlo", "", number(moved, math.hypot(direct.error, truth[1]), 4)),
        Row(
            f"{what}: <phi^2> of the independence chain less Monte Carlo",
            "2 sigma",
            f"{number(off, spread, 4)}, acceptance {acceptance(chain):.3f}, tau {history.tau:.2f}",
            abs(off) <= 2 * spread,
        ),
        Row(f"{what}: time of the likelihood, a field", "", f"{1e6 * seconds / options.fields:.0f} us"),
    ]


def learn(fields: Tensor, options: argparse.Namespace) -> Cascade:
    array = xr.DataArray(fields.numpy(), dims=("sample", "channel", "y", "x"))
    settings = {"lift": "flow", "shared": False, "bend": 0.0, "width": options.width, "learning_rate": options.rate}
    return train(array, options.out, 2, options, **settings)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="of training")
    add("--samples", type=int, default=200_000, help="training fields of phi^4")
    add("--fields", type=int, default=32_768, help="fields of the model and of the target")
    add("--width", type=int, default=32, help="channels of the networks")
    add("--rate", type=float, default=2e-3, help="learning rate")
    add("--model", type=Path, help="take this trained model")
    add("--out", type=Path, default=Path("runs/reweighting"))
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--seed", type=int, default=0)
    add("--record", action="store_true", help="append the rows to benchmarks/RESULTS.md")
    options = parser.parse_args()
    options.evaluations = 1
    return options


def main() -> None:
    options = parse()
    print(machine(options.device))
    begun = stamp(options.device)
    rows = [free_field(side, 256, options.seed) for side in (8, 16, 32, 64)]
    print(table(rows), flush=True)
    rows += phi4(options)
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
