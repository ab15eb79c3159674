"""What can be known exactly: on Gaussian fields every method is linear. Which is exact, and in how many evaluations?

    python -m benchmarks theory --record

Nothing is trained and nothing is sampled: each method is a linear map of its noise, whose response to unit impulses
gives the variance of every mode of what it generates. The field is critical, ``S(k) ~ (khat^2 + (2 pi / L)^2)^(-1 +
eta/2)`` with ``khat^2 = 4 sum sin^2(k/2)``, eta = 1/4, on L x L periodic sites: its correlation length is L / 2 pi,
whatever L. It is scaled to unit variance of a site. The worst mode of a method is that of the largest ``|E|x_k|^2 /
S(k) - 1|`` over all k.

The cascade has the exact Gaussian lift of each level, down to a coarse field drawn from its exact law; an
``AdamsBashforth`` of one evaluation carries the whitened detail of a level, of which the exact estimate is
known too; all its evaluations cost 4/3 of one of the whole lattice. The peers have the exact score of the whole field;
an evaluation is one of the whole lattice. Only whitening with the true spectrum makes any of them exact in one
evaluation as well, and for Gaussian fields that is the same as knowing the answer: what the comparison says is how
evaluations grow with L, not which method is cleverer. How many evaluations EDM takes depends on where it starts: its
rows name the sigma_max, the best of five or one for all. ``Ddim`` loses variance at every step, ``exp(-pi^2 / 4n)`` in
n, whatever the data: with spectrum-matched noise 49 for 5 %, where a step that is exact for white data takes one.
``--out`` receives two figures. (Orders of convergence and the closed marginal of the chain, which earlier runs held,
are proved by the tests of the samplers and of ``rgdm.theory``.)
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.exact.cascade import COARSEST, Radii, cascade_rows
from benchmarks.exact.peers import LIMIT, peer_rows
from benchmarks.exact.pyramids import COUNTS, ablation_rows
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import convergence
from benchmarks.study import study
from rgdm.model.lifts.standardizer import COLOUR_RADIUS, PREDICTION_RADIUS
from rgdm.plots.style import COLUMN


def draw(path: Path, rows: Sequence[Row], sides: Sequence[int]) -> None:
    """Evaluations until the worst mode is within the limit, against L."""
    lines = {}
    for row in (row for row in rows if not row.what.startswith("whitened")):
        counts = {s: f.value or 0 for s, f in zip(sides, row.figures.values(), strict=True) if not f.beyond}
        lines[row.what] = [*counts], [*counts.values()]
    lines["cascade, one a level (error 1e-12)"] = sides, [max(1.0, math.log2(side / COARSEST)) for side in sides]
    labels = "L", f"evaluations until the worst mode is within {LIMIT:.0%}"
    convergence(path, (COLUMN * 1.4, 3.0), {"": lines}, labels)


def unjudged(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield replace(row, figures={k: Figure(f.value, f.error) for k, f in row.figures.items()}, target="")


def everything(options: argparse.Namespace) -> Iterator[Row]:
    torch.set_default_device(options.device)
    sides = [32, 64] if options.quick else [32, 64, 128, 256, 512]
    radii = [Radii(PREDICTION_RADIUS, COLOUR_RADIUS), *(Radii(r, r) for r in (5, 7, 11))]
    yield from cascade_rows(sides, radii[:1] if options.quick else radii)
    peers = list(peer_rows([8, 16, *sides]))
    yield from peers
    yield from ablation_rows(COUNTS[:4] if options.quick else COUNTS, options.out / "ablation.png")
    draw(options.out / "scaling.png", peers, [8, 16, *sides])


def measure(options: argparse.Namespace) -> Iterator[Row]:
    return unjudged(everything(options)) if options.quick else everything(options)


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments, quick=(False, "small lattices, few steps: does everything run?"))
