"""Trainings that cannot die unseen: does any end silent, or worse than the closed form, over couplings, data and seeds?

    python -m benchmarks alive --record

``phi4``: lambda = .5 at three couplings, 32^2, five levels with a network each, periodic; there networks fell silent at
the default rate. ``terrain``: the embedded relief. ``Gaussian``: a free field, on which there is nothing to learn: its
loss stays that of the closed form, and its networks must not count as dead. Each training has the default rate and
``--steps`` steps, which is short, but networks that die do so early. Loss: of the weights that are kept, on fields kept
back, over that of the closed form, the worst level of all seeds; slope: the smallest of the loss in the weights at the
end (a silent network has below 1e-15); restarts: how often ``train`` put a network back.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.study import study
from rgdm.data import reference
from rgdm.design import Design
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.actions import FreeField, Phi4
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.scale.boundary import Boundary
from rgdm.scale.grid import Grid
from rgdm.train import Budget, Trainer, hold_back
from rgdm.train.validation import ALIVE

COUPLINGS = (0.60, 0.686938, 0.76)
LAMBDA, SIDE, CHAINS = 0.5, 32, 128
WORST = 1.02
"""A loss over that of the closed form that chance explains."""


class Kind(NamedTuple):
    """Fields, and the cascade that is trained on them."""

    name: str
    fields: Tensor
    boundary: Boundary
    design: Design


def kinds(options: argparse.Namespace) -> Iterator[Kind]:
    """All of them, one after the other."""
    lattice = Design(levels=5, shared=False, evaluations=3, backbone=(options.backbone,))
    for coupling in options.couplings:
        fields = sample_fields(Phi4.from_beta(coupling, LAMBDA), SIDE, CHAINS, options.count, seed=5)
        yield Kind(f"phi^4, lambda {LAMBDA}, beta {coupling}", fields, "periodic", lattice)
    if options.backbone != "conv" or not options.others:
        return
    relief = torch.as_tensor(reference.terrain("train").values).float()
    yield Kind("terrain", relief, "reflect", Design(levels=3, evaluations=3))
    yield Kind("Gaussian", free(options.count), "periodic", lattice)


def free(count: int) -> Tensor:
    """A Gaussian field of correlation length 10."""
    white = torch.randn(count, 1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return FreeField(0.01).field(white).float()


def outcome(kind: Kind, seed: int, steps: int) -> tuple[float, float, int]:
    """Loss over that of the closed form, slope, restarts: the worst of all levels."""
    grid = Grid.uniform(kind.fields.dim() - 2, kind.boundary)
    torch.manual_seed(seed)
    model = Cascade(kind.design, grid, kind.fields.shape[1])
    parts = hold_back(kind.fields, grid, model.levels, ordered=False)
    model.fit(parts.training)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, parts.training, Path(folder), Budget(steps, None), seed, held_out=parts.held_out)
        trainer.run()
    ratios = [learner.best / learner.closed_form for learner in trainer.learners]
    slopes = [trainer.validation.slope(level) for level in range(model.levels)]
    return max(ratios), min(slopes), sum(learner.restarts for learner in trainer.learners)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for kind in kinds(options):
        made = [outcome(kind, seed, options.steps) for seed in range(options.seed, options.seed + options.seeds)]
        ratios, slopes, restarts = zip(*made, strict=True)
        mean, spread = torch.tensor(ratios).mean(), torch.tensor(ratios).std() / math.sqrt(len(ratios))
        figures = {
            "trainings": Figure(len(made)),
            "loss, worst": Figure(max(ratios), high=WORST),
            "loss, mean": Figure(float(mean), float(spread)),
            "slope, least": Figure(min(slopes), low=ALIVE),
            "restarts": Figure(sum(restarts)),
        }
        yield Row("trainings at the default rate", f"{options.backbone}, {kind.name}", figures)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        steps=(400, "of each training"),
        seeds=(10, "trainings of each kind"),
        count=(2048, "fields of the lattice"),
        couplings=(COUPLINGS, "beta of phi^4"),
        others=(1, "1: terrain and the Gaussian field too"),
        backbone=("conv", "the others are tried on phi^4 alone", ["conv", "unet", "dit", "fno"]),
    )
