"""Critical phi^4, grown: do fields generated on up to 1024 x 1024 sites have the right law, the action never told?

    python -m benchmarks inverse_rg --record

Simulates 4096 configurations at lambda = 1, beta = 0.680605 on 64 x 64 sites and as many on 32 x 32, trains a periodic
cascade of six levels on the larger ones (``rgdm train --levels 6 --boundary periodic --no-shared --bend 0 --sweep``),
and repeats its third lift (``Cascade.enlarged``) for L = 128 and more. How the field grows at a repeated level is
measured on these fields, neither action nor exponent is told: from the third level to the fourth, and to the fifth, by
matching the detail of the two lattices; farther on by ``2^(y_h - 1)``, with the exponent that majority-rule Monte Carlo
RG finds, extrapolated to the fixed point. What is made is held against an independent Monte Carlo at each L: raw; after
one sweep (two half-sweeps) and more of the learned single-site conditional, which knows no action, also from fewer
evaluations a level (``--quick-evaluations``); and after sweeps of the action itself. ``sites`` is the total variation
between the distributions of abs(phi). Biases are differences with the errors of both; errors are jackknife errors. The
magnetisation of a field is that of its coarsest site, from which chi is had without making the rest: eta is that of
the growth, its error that of y_h.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.record import Figure, Row
from benchmarks.shared import growing
from benchmarks.shared.drawing import curves, drawn
from benchmarks.shared.estimates import Pair, figure, mean, median, quotient
from benchmarks.shared.growing import REPEATED, SIDE, SIDES, enlarged, generate, simulated, swept
from benchmarks.shared.lattice import CRITICAL, Measured
from benchmarks.shared.training import CRITICAL as SETTINGS
from benchmarks.shared.training import train, training
from benchmarks.study import study
from rgdm import commands
from rgdm.data.layout import from_samples
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.blocking import block_spins
from rgdm.physics.mcrg import detail_growth, field_exponent, fixed_point_exponent
from rgdm.physics.monte_carlo.chains import rethermalize
from rgdm.plots.style import COLUMN, INK, LEVELS
from rgdm.scale.operators.block import BlockSpin

FARTHEST, LARGE = 512, 1024
RATIOS = ("<phi^2>", "U4", "xi / L", "chi")


def judged(name: str, side: int, generated: Measured, truth: Measured, bound: float | None) -> Iterator[Row]:
    """Biases of what is local, and ratios to Monte Carlo of what is not."""
    words = "" if bound is None else f"each below {bound}"
    yield Row(f"bias at L = {side}", name, generated.biases(truth, bound), words)
    if bound is not None and side <= 128:
        over = {title: quotient(generated.pairs[title], truth.pairs[title], low=0.99, high=1.01) for title in RATIOS}
        yield Row(f"over Monte Carlo at L = {side}", name, over, "within 1 %")


def growths(fields: Tensor, smaller: Tensor) -> tuple[list[float], Row]:
    """Of the field at each change of scale from the repeated level on, and y_h, which gives the last."""
    exponents = field_exponent(fields.sign(), block_spins, 4)
    others = field_exponent(smaller.sign(), block_spins, 3)
    y_h = fixed_point_exponent({fields.shape[-1]: exponents, smaller.shape[-1]: others})[:2]
    near = detail_growth(smaller, fields, BlockSpin(2), REPEATED + 2)[REPEATED:]
    figures = {f"y_h {i}": figure(pair) for i, pair in enumerate(exponents)} | {"y_h": figure(y_h)}
    figures |= {f"growth {i}": figure(pair) for i, pair in enumerate(near)}
    return [*(float(value) for value, _ in near), 2 ** (y_h[0] - 1)], Row("growth of the field", "measured", figures)


def susceptibility(model: Cascade, side: int, growth: Sequence[float], count: int = 2**17) -> Figure:
    """chi of generated fields, all of which is in their coarsest site: no detail has a mean."""
    larger = enlarged(model, side, growth)
    white = torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(side)).to(model.device)
    x = larger.base(white).double() * larger.repetition.scale(larger.levels)
    return mean((x * model.units.scale + side * model.units.mean).flatten().square().cpu())


def eta(chi: dict[int, Figure]) -> Pair:
    """From ``chi ~ L^(2 - eta)``, weighted least squares in logarithms."""
    pairs = [(f.value or 0.0, f.error or 1.0) for f in chi.values()]
    x, y, w = np.log([*chi]), np.log([v for v, _ in pairs]), [v / e for v, e in pairs]
    line, covariance = np.polyfit(x, y, 1, w=w, cov="unscaled")
    return 2 - line[0], covariance[0, 0] ** 0.5


def speed(model: Cascade, evaluations: int, growth: Sequence[float]) -> Iterator[Row]:
    """Seconds for one field of L = 64 (of 64 at once) and of L = 1024, with one learned sweep."""
    each = {}
    for side, count in ((SIDE, 64), (LARGE, 1)):
        larger = enlarged(model, side, growth)
        plan = ((side, side), count, 0, evaluations)
        each[side] = median(lambda larger=larger, plan=plan: larger.sample(*plan, sweeps=1), 3) / count
    how, ratio = f"{evaluations} evaluations, one sweep", each[LARGE] / each[SIDE] / (LARGE / SIDE) ** 2
    title = "exponent and time"
    yield Row(title, f"s a field of L = {LARGE}, {how}", {"value": Figure(each[LARGE], high=2)})
    yield Row(title, f"time a site over L = {SIDE}, {how}", {"value": Figure(ratio, high=1.3)})


def on_lattice(model: Cascade, side: int, options: argparse.Namespace) -> Iterator[Row]:
    """Everything at one L."""
    generated, seed = generate(model, side, options.evaluations, options), options.seed
    truth = Measured(simulated(side, options, options.out))
    learned, acted = {0: generated}, {0: generated}
    for before, k in itertools.pairwise((0, 1, 2, 4)):
        learned[k] = swept(model, learned[before], k - before, seed + 100 + k)
    acted |= {k: rethermalize(CRITICAL, generated, k, seed + 200) for k in (1, 2, 4, 8)}
    few = options.quick_evaluations
    quick = swept(model, generate(model, side, few, options), 1, seed + 101)
    yield from judged("raw", side, Measured(generated), truth, 0.008)
    yield from judged("one learned sweep (two half-sweeps)", side, Measured(learned[1]), truth, 0.002)
    yield from judged(f"{few} evaluations and one learned sweep", side, Measured(quick), truth, 0.002)
    for words, sets in (("learned sweeps", learned), ("heat-bath sweeps of the action", acted)):
        for k in (k for k in sets if k > (1 if sets is learned else 0)):
            yield from judged(f"{k} {words}", side, Measured(sets[k]), truth, None)
    with drawn(options.out / f"sweeps-{side}.png", COLUMN, 2.4, layout="constrained") as picture:
        axes = picture.subplots()
        for (name, sets), colour in zip({"learned": learned, "of the action": acted}.items(), LEVELS, strict=False):
            off = [Measured(x).biases(truth)["S / N"] for x in sets.values()]
            curves(axes, [*sets], {name: [(f.value, f.error) for f in off]}, [colour])
        axes.axhline(0, color=INK, lw=0.7)
        axes.set(xlabel="sweeps", ylabel="bias of S / N", title=f"L = {side}")
        axes.legend()


def measure(options: argparse.Namespace) -> Iterator[Row]:
    chains = MonteCarlo(CRITICAL, kept=options.out / "monte-carlo")
    fields = chains.sample(SIDE, 4096, options.seed + 11)
    if options.model:
        model = commands.open_model(options.model, options.device)
    else:
        extra = SETTINGS | {"levels": 6, "evaluations": options.evaluations, "sweep": True}
        model = train(from_samples(fields, ("y", "x"), ("phi",), {}), options.out / "model", options, **extra)
    yield Row("the cascade", "inverse_rg", training(model) | {"evaluations a level": Figure(options.evaluations)})
    unsure = 0.0
    if not options.growth:
        options.growth, row = growths(fields, chains.sample(SIDE // 2, 4096, options.seed + 12))
        unsure = row.figures["y_h"].error or 0.0
        yield row
    for side in options.sides:
        yield from on_lattice(model, side, options)
    if tuple(options.sides) == SIDES:
        value, error = eta({side: susceptibility(model, side, options.growth) for side in (*SIDES, FARTHEST)})
        figures = {"value": figure((value, math.hypot(error, 2 * unsure)), low=0.24, high=0.26)}
        yield Row("exponent and time", "eta from chi(L)", figures, text="the growth being 2^(y_h - 1)")
        for evaluations in (options.evaluations, options.quick_evaluations):
            yield from speed(model, evaluations, options.growth)


def main(arguments: Sequence[str]) -> None:
    growth = (None, growing.OPTIONS["growth"][1] + "; default: measured on the training fields")
    study(
        __doc__,
        measure,
        arguments,
        minutes=(5.0, "of training"),
        quick_evaluations=(3, "evaluations a level where a learned sweep follows anyway"),
        model=(None, "an already trained cascade with a sweep"),
        sides=(SIDES, "eta and times with all only", SIDES),
        **growing.OPTIONS | {"growth": growth},
    )
