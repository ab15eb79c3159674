"""Exactness where the action is known: log Z and effective sample sizes of models with a likelihood.

    python benchmarks/reweighting.py --record                                  # 40 minutes on two cores
    python benchmarks/reweighting.py --cases ising-32 gerdes-32 --fields 8192 --device cuda --record    # 10 minutes
    python benchmarks/reweighting.py --cases ising-64 --fields 16384 --device cuda --record

The free field (m^2 = 0.25) from lifts set from its spectrum, on 8 to 64 sites. Autoregressive cascades with the exact
last half of the checkerboard, trained on simulated fields and then on fields of their own (``fit``, ``fit_action``; the
time of both is stated, that of the simulation is not among it): critical phi^4 (lambda = 1), the couplings of Gerdes et
al. (arXiv:2207.00283), Ising at K = 0.44. The effective sample size (ESS) is judged from fields of the model and
from fields of the target that were not trained on; errors are jackknife errors. Patches begin at
fields of the target. Multilevel Monte Carlo takes every fourth, every second and every site; its gain is in time at
equal error, if fields are allotted as they should be. The Markov chain that made the training fields is the peer:
effectively independent fields a second, of the model ESS / (time to draw one and weigh it), of the chain 1 / (2 tau_int
of the magnetisation squared x time of an update); the chain runs on the CPU. log Z also by integration over the
coupling.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from record import Row, append, arguments, machine, number, run, stamp, table
from torch import Tensor

from rgdm import progress
from rgdm.model.closed_form.known_spectrum import coarse_spectrum, fit_spectrum
from rgdm.model.lattice.autoregressive import AutoregressiveCascade
from rgdm.model.lifts.lift import GaussianLift
from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.exact import ising
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.monte_carlo.chains import MarkovChains, sample_ising, sample_phi4
from rgdm.physics.monte_carlo.patches import patch_metropolis
from rgdm.physics.reweighting.free_energy import log_z_by_integration
from rgdm.physics.reweighting.multilevel import multilevel
from rgdm.physics.reweighting.weights import Reweighting, acceptance, independence_metropolis, log_weights
from rgdm.scale.operators.block import BlockSpin

MASS2, COARSEST = 0.25, 4
NODES = 16
"""Couplings that log Z is integrated over."""


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


@dataclass(frozen=True)
class Case:
    """A target, the budget of its model, and what is known."""

    name: str
    action: Phi4 | Ising
    side: int
    steps: int
    own: int
    ess: float | None = None
    phi2: tuple[float, float] | None = None
    fields: int = 100_000
    batch: int = 256
    width: int = 32
    reach: int = 3

    @property
    def log_z(self) -> float | None:
        """Exact, where it is known."""
        if isinstance(self.action, Ising):
            return float(ising.log_z(torch.tensor(self.action.coupling, dtype=torch.float64), (self.side,) * 2))
        return phi4_log_z(self.action, self.side) if self.side <= 4 else None

    def simulate(self, count: int, chains: int, seed: int, interval: int) -> Tensor:
        """Fields of the target."""
        sample = sample_ising if isinstance(self.action, Ising) else sample_phi4
        with progress.bar(self.name, 1) as show:
            return sample(self.action, self.side, chains, count, seed, 100, interval, progress=show)


CASES = {
    case.name: case
    for case in (
        Case("phi4-4", Phi4.critical(), 4, 1500, 1000, 0.95),
        Case("gerdes-6", Phi4.from_mass(-4, 6.975), 6, 1500, 1000, 0.9, (0.161404, 0.000053)),
        Case("ising-8", Ising(0.44), 8, 2000, 2000, 0.99, width=64),
        Case("gerdes-20", Phi4.from_mass(-4, 4.807), 20, 1000, 500, None, (0.237046, 0.000079), 40_000, 128),
        Case("ising-16", Ising(0.44), 16, 4000, 1500, 0.95, None, 400_000, width=64),
        Case("gerdes-32", Phi4.from_mass(-4, 4.572), 32, 5000, 3500, 0.9, (0.256649, 0.000071), 40_000, 512, 96, 4),
        Case("ising-32", Ising(0.44), 32, 4000, 2500, 0.926, None, 100_000, 512, 96, 4),
        Case("ising-64", Ising(0.44), 64, 2500, 1500, 0.371, None, 40_000, 256, 96, 4),
    )
}
SMALL = ("phi4-4", "gerdes-6", "ising-8", "gerdes-20", "ising-16")


def exactness(case: Case, options: argparse.Namespace) -> list[Row]:
    """Train, sample, weigh."""
    action, lattice, spins = case.action, (case.side, case.side), isinstance(case.action, Ising)
    count = options.fields or (131_072 if spins else 32_768)
    held = case.simulate(count, count // 8, options.seed + 1, 20)
    folder, history = options.out / case.name, options.out / case.name / "training.json"
    if options.keep and history.is_file():
        model = AutoregressiveCascade.from_pretrained(folder)
        seconds = json.loads(history.read_text())["seconds"]
    else:
        torch.manual_seed(options.seed)
        values = "spins" if spins else "continuous"
        model = AutoregressiveCascade(lattice, values, case.reach, case.width, action)
        fields = case.simulate(case.fields, case.fields // 50, options.seed, 5)
        began = time.monotonic()
        with progress.bar("training", case.steps) as show:
            model.to(options.device)
            model.fit(fields.to(options.device), case.steps, case.batch, seed=options.seed, progress=show)
        before = time.monotonic() - began
        with progress.bar("training on its own", case.own) as show:
            variances = model.fit_action(None, case.own, case.batch, seed=options.seed, progress=show)
        seconds = time.monotonic() - began
        model.save_pretrained(folder)
        first, last = (sum(some) / len(some) for some in (variances[:10], variances[-10:]))
        history.write_text(json.dumps({"seconds": seconds, "fit": before, "variances": variances}))
        print(f"variance of the log weights {first:.4f} after {before:.0f} s, {last:.4f} after {seconds:.0f} s")
    model.to(options.device)
    began = time.monotonic()
    with torch.no_grad():
        made = model.sample(count, seed=options.seed)
        log_q = torch.cat([model.log_prob(some) for some in made.split(2048)]).cpu()
        made = made.cpu()
        weights = log_weights(action.energy(made.double()), log_q)
        each = (time.monotonic() - began) / count
        back = torch.cat([model.log_prob(some.to(options.device)).cpu() for some in held.split(2048)])
    found = Reweighting(weights, log_weights(action.energy(held.double()), back))
    print(found.verdict)
    return rows(case, found, made, held, model, seconds, each, options)


def integrated(case: Case, model: tuple[float, float], options: argparse.Namespace) -> Row:
    """log Z by integration over the coupling, and by how many of their joint errors the model's is off it."""
    began = time.monotonic()
    with progress.bar(f"log Z of {case.name}", NODES) as show:
        z, dz = log_z_by_integration(case.action, (case.side,) * 2, nodes=NODES, seed=options.seed, watch=show)
    seconds = time.monotonic() - began
    off = (model[0] - float(z)) / math.hypot(model[1], float(dz))
    said = f"{number(float(z), float(dz), 4)} in {seconds:.0f} s; the model's is {off:+.1f} sigma off"
    return Row(f"{case.name}: log Z by integration over the coupling, {NODES} couplings", "", said)


def rows(
    case: Case,
    found: Reweighting,
    made: Tensor,
    held: Tensor,
    model: AutoregressiveCascade,
    seconds: float,
    each: float,
    options: argparse.Namespace,
) -> list[Row]:
    what = f"{case.name}, trained for {seconds:.0f} s, {len(made)} fields"
    (ess, de), (back, db), (z, dz) = found.ess, found.target_ess, found.log_z
    target = "" if case.ess is None else f">= {case.ess:g}"
    checked = [None if case.ess is None else float(value) >= case.ess for value in (ess, back)]
    made_rows = [
        Row(f"{what}: ESS, of the model", target, number(float(ess), float(de), 4), checked[0]),
        Row(f"{what}: ESS, of the target", target, number(float(back), float(db), 4), checked[1]),
    ]
    exact = case.log_z
    said = number(float(z), float(dz), 4)
    if exact is None:
        made_rows.append(Row(f"{what}: log Z", "", said))
    else:
        off = abs(float(z) - exact)
        bound = 0.005 if isinstance(case.action, Phi4) else 1e-3
        target, bound = (f"{bound:g}", bound) if case.side <= 16 else ("3 sigma", 3 * float(dz))
        made_rows.append(Row(f"{what}: log Z", f"{exact:.6f} +- {target}", f"{said}, off by {off:.4f}", off <= bound))
    made_rows.append(integrated(case, (float(z), float(dz)), options))
    if case.phi2 is not None:
        (direct, error), (known, spread) = found.mean(made.double().square().flatten(1).mean(1)), case.phi2
        off, total = float(direct) - known, math.hypot(float(error), spread)
        found_phi2 = f"{number(float(direct), float(error), 6)}, {off / total:+.1f} sigma"
        made_rows.append(
            Row(f"{what}: <phi^2>", f"{known}({1e6 * spread:.0f}), 3 sigma", found_phi2, abs(off) < 3 * total)
        )
    chain = independence_metropolis(found.log_weights, options.seed)
    made_rows.append(Row(f"{what}: acceptance of the independence chain", "", f"{acceptance(chain):.3f}"))
    for side in (2, 4):
        _, taken = patch_metropolis(model, case.action, held[:512].to(options.device), side, 40, options.seed)
        made_rows.append(Row(f"{what}: acceptance of {side} x {side} patches", "", f"{float(taken.mean()):.3f}"))
    if case.side % 4 == 0:
        made_rows.append(telescoped(case, model, what, found, made, options))
    rate, (tau, update) = float(ess) / each, cluster(case, options)
    ratio = rate * 2 * tau * update
    said = f"{rate:.0f} / {1 / (2 * tau * update):.0f} = {ratio:.2g}, tau_int {tau:.2f} updates"
    made_rows.append(Row(f"{what}: independent fields a second, model / cluster chain", "", said))
    return made_rows


def telescoped(
    case: Case, model: AutoregressiveCascade, what: str, found: Reweighting, made: Tensor, options: argparse.Namespace
) -> Row:
    """Multilevel Monte Carlo of the squared magnetisation over two sublattices, against weighed full fields."""

    def m2(x: Tensor) -> Tensor:
        return x.flatten(1).mean(1).square()

    pilot = multilevel(model, case.action, m2, [4096] * 3, options.seed + 3)
    (value, error), (full, spread) = pilot.total, found.mean(m2(made.double()))
    said = f"{pilot.gain:.2f}; <m^2> {number(float(value), float(error), 4)}, of weighed full fields "
    return Row(f"{what}: gain of multilevel <m^2>", "", said + number(float(full), float(spread), 4))


def cluster(case: Case, options: argparse.Namespace) -> tuple[float, float]:
    """tau_int of m^2 of the chain in updates, and the seconds of an update of one field, many chains at a time."""
    chains, length = 512, 400
    markov = MarkovChains(case.action, (case.side, case.side), chains, options.seed)
    for _ in range(100):
        markov.update()
    began, history = time.monotonic(), []
    for _ in range(length):
        markov.update()
        history.append(torch.from_numpy(markov.flat.mean(1, dtype="float64")).square())
    seconds = time.monotonic() - began
    return gamma_method(torch.stack(history, 1)[:64].numpy()).tau, seconds / (chains * length)


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--cases", nargs="*", choices=list(CASES), default=list(SMALL))
    add("--fields", type=int, help="fields of the model and of the target; 131072 of spins, 32768 of phi^4")
    add("--keep", action="store_true", help="take models that are in --out already")
    add("--out", type=Path, default=Path("runs/reweighting"))
    add("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    print(machine(options.device))
    begun = stamp(options.device)
    found = [free_field(side, 256, options.seed) for side in (8, 16, 32, 64)]
    for name in options.cases:
        found += exactness(CASES[name], options)
        print(f"\n{table(found)}", flush=True)
    if options.record:
        append(found, begun)


if __name__ == "__main__":
    run(main)
