"""Sea temperatures with land and blank spots refined by 4: do gaps cost anything, and does their model keep the means?

    python -m benchmarks sea --record

COADS climatology, twelve months on two degrees, of which 54 % of the cells have a value: 120 columns of longitudes
are learned from, and the 56 of the Atlantic held out; ten members; degC. A coarse value is the mean of the cells of
its block that have one. ``gaps`` is a cascade of these fields as they are; ``closed form`` the same as it is
measured, without a training; ``filled`` what was to be done without: the nearest values fill the gaps, a cascade
learns and refines, and its fields are shifted in each block to the mean of what is there; ``bicubic`` the filled
coarse field, shifted likewise. Months are alike, so that weights are chosen on a part of the Pacific
(``--hold-back space``). CRPS is over that of ``filled``, paired by month, of the cells that have a value, and
of those in blocks that are there in part. Errors are jackknife errors over months, which are much alike, so that they
are too small: what another training changes is told by ``--seeds``. Needs ``apt-get install ferret-datasets``.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import figure, mean, ratio
from benchmarks.shared.training import tensor, trained_or_there, training
from benchmarks.study import study
from rgdm.data.checks import fill_gaps
from rgdm.design import Design
from rgdm.evaluate import bicubic, block_constant, fair_crps, octave_ratio, spread_skill
from rgdm.evaluate.scores import consistency_error
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.geometry import measures, trajectory, weights_of
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin

SOURCE = "/usr/share/ferret-vis/data/coads_climatology.cdf"
LEVELS, FACTOR, MEMBERS, LEARNED = 2, 4, 10, 120
METHODS = ("filled", "gaps", "closed form", "bicubic")


def months(source: str) -> xr.DataArray:
    """``(sample, channel, y, x)``, NaN where there is no value."""
    data = xr.open_dataset(Path(source), engine="scipy", decode_times=False)["SST"].load()
    values = data.to_numpy().astype("f8")[:, None, 1:89, :176]
    dims, coords = ("sample", "channel", "y", "x"), {"channel": ["sst"]}
    return xr.DataArray(values, coords, dims, name="sst", attrs={"units": "degC"})


class Sea:
    """The truth where it is, and its coarse field."""

    def __init__(self, truth: Tensor) -> None:
        weights = weights_of(truth)
        assert weights is not None
        self.weights, self.valid = weights, weights > 0
        self.truth = fill_gaps(truth)[0]
        self.coarse = trajectory(BlockSpin(2), truth, LEVELS, weights)[-1]
        of_blocks = measures(BlockSpin(2), weights, LEVELS)[-1]
        assert of_blocks is not None
        self.there, self.share = of_blocks > 0, block_constant(of_blocks / FACTOR**2, FACTOR)
        self.filled = fill_gaps(self.coarse.where(self.there, math.nan))[0]

    def shifted(self, fine: Tensor) -> Tensor:
        """With the means of what is there."""
        off = self.coarse - trajectory(BlockSpin(2), fine, LEVELS, self.weights)[-1]
        return fine + block_constant(torch.where(self.there, off, 0.0), FACTOR)

    def judged(self, made: Tensor, peer: Tensor) -> dict[str, Figure]:
        """Figures of an ensemble, against those of a peer."""
        valid, partly = self.valid, self.valid & (self.share < 1)
        scores = [[fair_crps(x, self.truth, where) for where in (valid, partly)] for x in (made, peer)]
        figures = {"CRPS over filled": ratio(scores[0][0], scores[1][0], high=1.0)}
        figures |= {"of partial blocks": ratio(scores[0][1], scores[1][1]), "CRPS": mean(scores[0][0])}
        about = spread_skill(made, self.truth, valid)
        figures["spread/skill"] = figure((about.pooled, about.error), low=0.9, high=1.1)
        off = consistency_error(made, self.coarse, BlockSpin(2), LEVELS, self.weights)
        figures["means off by"] = Figure(float(off.max()), high=1e-12)
        same = torch.where(valid, made, self.truth)
        pairs = list(zip(*octave_ratio(same, self.truth, "reflect")[1], strict=True))[:LEVELS]
        return figures | {f"octave {i}": figure(pair, low=0.9, high=1.1) for i, pair in enumerate(pairs, start=1)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    field = months(options.source)
    learned = field[..., :LEARNED]
    sea = Sea(torch.from_numpy(field[..., LEARNED:].to_numpy()))
    holes, title = sea.coarse.where(sea.there, math.nan), "COADS, x4"
    for seed in range(options.seeds):
        asked = argparse.Namespace(**{**vars(options), "seed": options.seed + seed})
        settings = {"levels": LEVELS, "hold_back": "space"}
        whole = trained_or_there(options.out / f"filled-{seed}", fill_gaps(learned)[0], asked, **settings)
        made = whole.refine(sea.filled, LEVELS, MEMBERS, seed)
        peer = torch.stack([sea.shifted(member) for member in made])
        run = f", training {1 + seed}" if seed else ""
        for name in options.methods:
            cost: dict[str, Figure] = {}
            if name == "filled":
                made, cost = peer, training(whole)
            elif name == "bicubic" and seed == 0:
                smooth = sea.shifted(bicubic(sea.filled, FACTOR))
                yield Row(
                    title,
                    name,
                    {"CRPS over filled": ratio(absolute(smooth, sea), fair_crps(peer, sea.truth, sea.valid))},
                )
                continue
            elif name == "closed form" and seed == 0:
                model = Cascade(Design(levels=LEVELS, evaluations=1), Grid.uniform(2, "reflect"))
                model.fit(tensor(learned))
                made = model.refine(holes, LEVELS, MEMBERS, seed, mask=sea.weights)
            elif name == "gaps":
                model = trained_or_there(options.out / f"gaps-{seed}", learned, asked, **settings)
                made, cost = model.refine(holes, LEVELS, MEMBERS, seed, mask=sea.weights), training(model)
            else:
                continue
            made = made.nan_to_num(0.0)
            yield Row(title, name + (run if cost else ""), sea.judged(made, peer))
            if cost:
                yield Row("cost", name + run, cost)


def absolute(smooth: Tensor, sea: Sea) -> Tensor:
    """The mean absolute error of each month, which is the CRPS of a single field."""
    error = ((smooth - sea.truth).abs() * sea.valid).flatten(1).sum(1)
    return error / sea.valid.flatten(1).sum(1)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        methods=(METHODS, "", list(METHODS)),
        minutes=(5.0, "of each training"),
        seeds=(1, "trainings of each"),
        source=(SOURCE, "the climatology"),
    )
