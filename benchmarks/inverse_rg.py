"""Critical phi^4, grown: trained on 64 x 64 sites, generated as large as 1024 x 1024, the action never told.

    python benchmarks/inverse_rg.py --record

Simulates 4096 configurations at lambda = 1, beta = 0.680605 on 64 x 64 sites and as many on 32 x 32, trains a periodic
cascade of six levels on the larger ones (``rgdm train --levels 6 --boundary periodic --no-shared --bend 0 --sweep``),
and repeats its third lift (``Cascade.enlarged``) for L = 128 and more. How the field grows at a repeated level is
measured on these fields, neither action nor exponent is told: from the third level to the fourth, and to the fifth, by
matching the detail of the two lattices; farther on by ``2^(y_h - 1)``, with the exponent that majority-rule Monte Carlo
RG finds, extrapolated to the fixed point. What is made is held against an independent Monte Carlo at each L: raw; after
one sweep (two half-sweeps) and more of the learned single-site conditional, which knows no action, also from fewer
evaluations a level (``--quick``); and after sweeps of the action itself. ``sites`` is the total variation between the
distributions of abs(phi). Biases are differences with the errors of both; errors are jackknife errors. A verdict is on
the value alone, as the targets are. The magnetisation of a field is that of its coarsest site, from which chi is had
without making the rest: eta is that of the growth, its error that of y_h.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from record import Row, append, arguments, number, run, stamp, table
from torch import Tensor
from training import train

from rgdm import commands, progress
from rgdm.data.layout import from_samples
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.actions import Phi4
from rgdm.physics.blocking import block_spins
from rgdm.physics.mcrg import detail_growth, field_exponent, fixed_point_exponent
from rgdm.physics.monte_carlo.chains import rethermalize, sample_phi4
from rgdm.physics.observables import Estimate, observables
from rgdm.plots import figure_to_png
from rgdm.plots.style import COLUMN, INK, LEVELS, paper
from rgdm.process.noise import NoiseField
from rgdm.scale.operators.block import BlockSpin

SIDE, LEVELS_DOWN, REPEATED = 64, 6, 2
SIDES = (64, 128, 256)
FARTHEST = 512
ACTION = Phi4.critical()
SHOWN = ("action_per_site", "phi2", "nearest_neighbour", "u4", "xi_over_length", "chi")
LOCAL = {"action_per_site": "S / N", "phi2": "<phi^2>", "nearest_neighbour": "<phi_x phi_x+mu>"}


def simulate(side: int, count: int, seed: int, label: str, kept: Path) -> Tensor:
    """Monte Carlo fields, from ``kept`` if they have been made before."""
    path = kept / f"{side}-{count}-{seed}.npy"
    if path.is_file():
        return torch.from_numpy(np.load(path))
    with progress.bar(label, 1) as show:
        fields = sample_phi4(ACTION, side, min(count, 256), count, seed, 120, 10, progress=show)
    kept.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, fields.numpy())
    part.replace(path)
    return fields


def trained(options: argparse.Namespace, fields: Tensor) -> tuple[Cascade, str]:
    if options.model:
        model = commands.open_model(options.model, options.device)
    else:
        data = from_samples(fields, ("y", "x"), ("phi",), {})
        extra = {"shared": options.shared, "bend": options.bend, "evaluations": options.evaluations, "sweep": True}
        model = train(data, options.out / "model", options, levels=LEVELS_DOWN, boundary="periodic", **extra)
    about = model.metadata["training"]
    kind = "one network" if model.configuration["shared"] else "a network for each level"
    return model, f"{kind}, trained {about['seconds']:.0f} s, {about['steps']} steps"


class Measured:
    """Observables of fields, and the distribution of abs(phi)."""

    def __init__(self, fields: Tensor) -> None:
        self.found = observables(fields, ACTION)
        self.density = torch.histc(fields.abs().flatten(), 120, 0, 3) / fields.numel()

    def bias(self, name: str, truth: "Measured") -> Estimate:
        (a, da), (b, db) = self.found[name], truth.found[name]
        return a - b, math.hypot(da, db)

    def variation(self, truth: "Measured") -> float:
        return float((self.density - truth.density).abs().sum() / 2)


def lines(name: str, side: int, made: Measured, truth: Measured, bound: float | None) -> list[Row]:
    said, met = [], True
    for key, title in LOCAL.items():
        bias = made.bias(key, truth)
        said.append(f"{title} {number(*bias, 4)}")
        met = met and (bound is None or abs(bias[0]) < bound)
    said.append(f"sites {made.variation(truth):.4f}")
    target = "" if bound is None else f"each below {bound}"
    rows = [Row(f"L = {side}, bias, {name}", target, ", ".join(said), None if bound is None else met)]
    if bound is None or side > 128:
        return rows
    within = []
    for key in ("phi2", "u4", "xi_over_length", "chi"):
        bias, error = made.bias(key, truth)
        within.append(abs(bias) < 2 * error or abs(bias) < 0.01 * truth.found[key][0])
        said = f"{number(*made.found[key], 4)}; Monte Carlo {number(*truth.found[key], 4)}"
        rows.append(Row(f"L = {side}, {key}, {name}", "2 sigma or 1 %", said, within[-1]))
    return rows


def growths(fields: Tensor, smaller: Tensor) -> tuple[list[float], Estimate, str]:
    """Of the field at each change of scale from the repeated level on, y_h, and how they were found."""
    exponents = field_exponent(fields.sign(), block_spins, 4)
    y_h = fixed_point_exponent(exponents)
    near = detail_growth(smaller, fields, BlockSpin(2), REPEATED + 2)[REPEATED:]
    said = f"y_h by MCRG {', '.join(number(*pair, 4) for pair in exponents)}, at the fixed point {number(*y_h, 4)}; "
    said += f"growth {', '.join(number(*pair, 4) for pair in near)}, then {2 ** (y_h[0] - 1):.4f}"
    return [*(value for value, _ in near), 2 ** (y_h[0] - 1)], y_h, said


def susceptibility(model: Cascade, side: int, options: argparse.Namespace, count: int = 2**17) -> Estimate:
    """chi of generated fields, all of which is in their coarsest site: no detail has a mean."""
    times = round(math.log2(side / SIDE))
    larger = model.enlarged(times, options.growth, REPEATED) if times else model
    white = torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(side)).to(model.mean.device)
    x = larger.base(white).double() * larger.repetition.scale(larger.levels)
    chi = jackknife(lambda mean: mean, (x * model.scale + side * model.mean).flatten().square().cpu())
    return float(chi.value), float(chi.error)


def eta(chi: dict[int, Estimate]) -> Estimate:
    """From ``chi ~ L^(2 - eta)``, weighted least squares in logarithms."""
    x = torch.tensor([math.log(side) for side in chi], dtype=torch.float64)
    y = torch.tensor([math.log(value) for value, _ in chi.values()], dtype=torch.float64)
    w = torch.tensor([(value / error) ** 2 for value, error in chi.values()], dtype=torch.float64)
    x0 = (w * x).sum() / w.sum()
    slope = (w * (x - x0) * y).sum() / (w * (x - x0) ** 2).sum()
    return 2 - float(slope), float((w * (x - x0) ** 2).sum() ** -0.5)


def generate(model: Cascade, side: int, count: int, evaluations: int, options: argparse.Namespace) -> Tensor:
    times = round(math.log2(side / SIDE))
    larger = model.enlarged(times, options.growth, REPEATED) if times else model
    with progress.bar(f"L = {side}", count) as show:
        return larger.sample((side, side), count, options.seed + 7, evaluations, watch=show).cpu()


def swept(model: Cascade, fields: Tensor, sweeps: int, seed: int) -> Tensor:
    assert model.sweep is not None
    x = model.normalise(fields.to(model.mean.device))
    parts = [
        model.sweep.run(part, sweeps, NoiseField(seed), list(range(i * 64, i * 64 + len(part))))
        for i, part in enumerate(x.split(64))
    ]
    return model.denormalise(torch.cat(parts)).cpu()


def speed(model: Cascade, evaluations: int, options: argparse.Namespace) -> list[Row]:
    """Seconds for one field of L = 64 (of 64 at once) and of L = 1024, medians of three."""
    found = {}
    for side, count in ((64, 64), (1024, 1)):
        model.sample((64, 64), 1)
        larger = model.enlarged(round(math.log2(side / SIDE)), options.growth, REPEATED) if side > SIDE else model
        taken = []
        for repeat in range(3):
            began = time.monotonic()
            larger.sample((side, side), count, repeat, evaluations, sweeps=1)
            taken.append((time.monotonic() - began) / count)
        found[side] = statistics.median(taken)
    ratio, how = found[1024] / found[64] / (1024 / 64) ** 2, f"{evaluations} evaluations a level and one learned sweep"
    return [
        Row(f"seconds for a field of L = 1024, {how}", "<= 2", f"{found[1024]:.2f}", found[1024] <= 2),
        Row(f"its time per site over that of L = 64, {how}", "<= 1.3", f"{ratio:.2f}", ratio <= 1.3),
    ]


def draw(path: Path, curves: dict[str, dict[int, Estimate]], side: int) -> None:
    """Bias of S/N against sweeps."""
    with paper():
        figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
        axes = figure.subplots()
        for (name, curve), colour in zip(curves.items(), LEVELS, strict=False):
            k, pairs = list(curve), list(curve.values())
            axes.errorbar(
                k, [v for v, _ in pairs], [e for _, e in pairs], fmt="o-", ms=3, lw=1, color=colour, label=name
            )
        axes.axhline(0, color=INK, lw=0.7)
        axes.set(xlabel="sweeps", ylabel="bias of S / N", title=f"L = {side}")
        axes.legend()
    path.write_bytes(figure_to_png(figure))


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0)
    add("--shared", action=argparse.BooleanOptionalAction, default=False, help="one network for all levels")
    add("--bend", type=float, default=0.0, help="of the tails of the detail")
    add("--evaluations", type=int, default=6)
    add(
        "--growth",
        type=float,
        nargs="+",
        help="of the field from level 2 to 3, from 3 to 4, ... (default: measured on the training fields)",
    )
    add("--quick", type=int, default=3, help="evaluations a level where a learned sweep follows anyway")
    add("--model", help="an already trained cascade with a sweep")
    add("--fields", type=int, default=2048, help="made and simulated of L = 64; of larger ones as many sites, or 48")
    add(
        "--sides",
        type=int,
        nargs="+",
        choices=SIDES,
        default=SIDES,
        help="eta and times with all only",
    )
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/inverse"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    fields = simulate(SIDE, 4096, options.seed + 11, "training set", options.out / "monte-carlo")
    model, about = trained(options, fields)
    about = f"{about}, {options.evaluations} evaluations a level"
    y_h = (math.nan, math.nan)
    if options.growth is None:
        options.growth, y_h, said = growths(
            fields, simulate(SIDE // 2, 4096, options.seed + 12, "L = 32", options.out / "monte-carlo")
        )
        about = f"{about}; {said}"
    rows, curves = [Row("the cascade", "", about)], {}
    for side in options.sides:
        count = max(48, options.fields * SIDE**2 // side**2)
        made = generate(model, side, count, options.evaluations, options)
        raw = Measured(made)
        truth = Measured(simulate(side, count, options.seed + side, f"MC {side}", options.out / "monte-carlo"))
        rows += lines("raw", side, raw, truth, 0.008)
        learned = {0: made}
        for k in (1, 2, 4):
            learned[k] = swept(model, learned[max(learned)], k - max(learned), options.seed + 100 + k)
        acted = {k: rethermalize(ACTION, made, k, options.seed + 200) for k in (1, 2, 4, 8)}
        rows += lines("one learned sweep (two half-sweeps)", side, Measured(learned[1]), truth, 0.002)
        quick = swept(model, generate(model, side, count, options.quick, options), 1, options.seed + 101)
        rows += lines(f"{options.quick} evaluations and one learned sweep", side, Measured(quick), truth, 0.002)
        for k in (2, 4):
            rows += lines(f"{k} learned sweeps", side, Measured(learned[k]), truth, None)
        for k, fields in acted.items():
            rows += lines(f"{k} heat-bath sweeps of the action", side, Measured(fields), truth, None)
        both = {"learned": learned, "of the action": {0: made, **acted}}
        curves[side] = {
            name: {k: Measured(x).bias("action_per_site", truth) for k, x in those.items()}
            for name, those in both.items()
        }
        draw(options.out / f"sweeps-{side}.png", curves[side], side)
        print(f"\n{table(rows)}", flush=True)
    if tuple(options.sides) == SIDES:
        found, spread = eta({side: susceptibility(model, side, options) for side in (*SIDES, FARTHEST)})
        spread = math.hypot(spread, 0 if math.isnan(y_h[1]) else 2 * y_h[1])
        said = f"{number(found, spread, 4)} from L = 64, 128, 256, 512, the growth being 2^(y_h - 1)"
        rows.append(Row("eta from generated chi(L)", ".25 +- .01", said, abs(found - 0.25) <= 0.01))
        for evaluations in (options.evaluations, options.quick):
            rows += speed(model, evaluations, options)
    print(f"\n{table(rows)}")
    (options.out / "inverse_rg.json").write_text(json.dumps({"rows": [r._asdict() for r in rows], "curves": curves}))
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
