"""Critical phi^4 on 32 x 32 sites: samples of a trained cascade against Monte Carlo.

    python benchmarks/lattice.py --record

Simulates 16384 configurations at lambda = 1, beta = 0.680605, trains a periodic cascade of five levels with a network
for each level (``rgdm train --levels 5 --boundary periodic --no-shared --minutes 5``), generates 16384 fields
and compares their observables with an independent simulation and with long Monte Carlo runs. The
conventions are those of ``rgdm.physics``. Errors are jackknife errors; a verdict is on the value alone.
``--lifts diffusion flow`` trains one cascade of each kind on the same fields, each for that time. The log-likelihood is
that of fields of the independent simulation: of diffusion lifts by their probability flow, of flow lifts exactly; the
closed-form part alone for comparison. It is per site, in nats and in units of the spread of phi.
"""

import argparse
import time
from pathlib import Path
from typing import get_args

import torch
import xarray as xr
from record import Row, append, arguments, number, run, stamp, table
from torch import Tensor
from tqdm import tqdm
from training import train

from rgdm import commands, progress
from rgdm.data import reference
from rgdm.data.layout import unwrap
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.registry import LiftKind
from rgdm.physics.actions import Phi4
from rgdm.physics.observables import Estimate, observables

SIDE, LEVELS = 32, 5
KNOWN: dict[str, Estimate] = {
    "m2": (367.5 / SIDE**2, 1.2 / SIDE**2),
    "u4": (0.60840, 0.00063),
    "action_per_site": (-0.55495, 0.00039),
    "phi2": (0.83101, 0.00025),
    "xi_over_length": (0.8958, 0.0045),
}
"""Long Monte Carlo runs at L = 32 (susceptibility 367.5(1.2) = N <m^2>)."""

TARGETS = {
    "m2": ("<m^2>", 0.01, True),
    "u4": ("U4", 0.005, False),
    "nearest_neighbour": ("<phi_x phi_x+mu>", 0.005, True),
    "action_per_site": ("S / N", 0.01, False),
}
"""What, tolerance, and whether that is relative."""


def simulate(count: int, seed: int, label: str) -> xr.DataArray:
    """Critical configurations, ``(sample, channel, y, x)``."""
    with tqdm(desc=f"{label:>12}") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return reference.phi4(count, SIDE, seed, show)


def cascade(lift: LiftKind, field: xr.DataArray, options: argparse.Namespace) -> tuple[Cascade, float]:
    """The trained model and the seconds it took."""
    began = time.monotonic()
    model = train(
        field,
        options.out / f"model-{lift}",
        options,
        levels=LEVELS,
        boundary="periodic",
        evaluations=options.evaluations,
        shared=False,
        lift=lift,
    )
    return model, time.monotonic() - began


def compare(model: dict[str, Estimate], simulated: dict[str, Estimate]) -> list[Row]:
    """The observables with targets against the known values, or the simulated ones where none is known."""
    rows = []
    for name, (title, tolerance, relative) in TARGETS.items():
        value, truth = model[name][0], KNOWN.get(name, simulated[name])[0]
        bound = tolerance * abs(truth) if relative else tolerance
        target = f"{truth:.5f} +- {bound:.5f}"
        rows.append(Row(title, target, _beside(name, model, simulated), abs(value - truth) <= bound))
    for name, title in {"phi2": "<phi^2>", "xi_over_length": "xi / L", "m": "<m>"}.items():
        rows.append(Row(title, "", _beside(name, model, simulated)))
    return rows


def _beside(name: str, model: dict[str, Estimate], simulated: dict[str, Estimate]) -> str:
    known = f", long run {number(*KNOWN[name], 5)}" if name in KNOWN else ""
    return f"{number(*model[name], 5)}; Monte Carlo {number(*simulated[name], 5)}{known}"


def likelihood(model: Cascade, fields: Tensor, options: argparse.Namespace) -> Row:
    """log p per site of fields that the model has not seen, with and without the networks, and the difference."""
    x = fields[:: max(1, len(fields) // options.likelihoods)][: options.likelihoods].to(model.mean.device)
    with progress.bar("likelihood", len(x)) as show:
        parts = []
        for some in x.split(16):
            parts.append(model.log_prob(some, probes=1, tolerance=1e-3).total.value)
            show(sum(len(part) for part in parts), len(x))
    per_site = torch.cat(parts) / SIDE**2 + float(model.scale.log())
    closed = model.log_prob(x, networks=False).total.value / SIDE**2 + float(model.scale.log())
    said = [number(*mean_and_error(v), 4) for v in (per_site, closed, per_site - closed)]
    return Row("log p per site; closed-form part; gain of the networks", "", f"{'; '.join(said)} ({len(x)} fields)")


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def rows_of(lift: LiftKind, model: Cascade, made: str, independent: Tensor, options: argparse.Namespace) -> list[Row]:
    """What a cascade makes, against what it should."""
    action = Phi4.critical()
    began = time.monotonic()
    with progress.bar("sampling", options.samples) as show:
        fields = model.sample((SIDE, SIDE), options.samples, options.seed, watch=show).cpu()
    seconds = time.monotonic() - began
    torch.save(fields, options.out / f"samples-{lift}.pt")
    size = sum(p.numel() for p in model.parameters())
    each = "1 pass" if lift == "flow" else f"{model.sampler.evaluations} evaluations"
    made = f"{made}, {size} parameters, {each} a level, sampled in {1e3 * seconds / len(fields):.2f} ms a field"
    rows = [Row("the cascade", "", made)]
    rows += compare(observables(fields, action), observables(independent, action))
    rows.append(likelihood(model, independent, options))
    return [row._replace(what=f"{lift}: {row.what}") for row in rows]


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0)
    add("--count", type=int, default=16384, help="training configurations")
    add("--samples", type=int, default=16384, help="generated fields")
    add("--evaluations", type=int, default=8, help="of each level's network, in training's calibration and in sampling")
    add("--simulated", type=int, default=16384, help="configurations of the independent simulation")
    add("--lifts", nargs="+", choices=get_args(LiftKind), default=["diffusion"])
    add("--likelihoods", type=int, default=32, help="fields whose likelihood is computed")
    add("--models", nargs="+", default=[], help="already trained cascades, at most one of each kind")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/lattice"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    trained: dict[LiftKind, tuple[Cascade, str]] = {}
    for name in options.models:
        model = commands.open_model(name, options.device)
        training = model.metadata.get("training", {})
        made = f"{name} (given), trained {training.get('seconds', 0):.0f} s, {training.get('steps', 0)} steps"
        trained[model.configuration["lift"]] = model, made
    if not trained:
        field = simulate(options.count, options.seed, "simulating")
        for lift in options.lifts:
            model, seconds = cascade(lift, field, options)
            trained[lift] = model, f"trained {seconds:.0f} s in all, {model.metadata['training']['steps']} steps"
    independent, _ = unwrap(simulate(options.simulated, options.seed + 1, "independent run"), 1, 2)
    rows = [row for lift, (model, made) in trained.items() for row in rows_of(lift, model, made, independent, options)]
    print(f"\n{options.samples} samples, critical phi^4, L = {SIDE}\n\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
