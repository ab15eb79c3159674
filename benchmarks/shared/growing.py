"""Critical phi^4 fields larger than those of training: one lift repeated, sweeps of the learned law of a site."""

import argparse
import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.shared.lattice import CRITICAL
from benchmarks.study import Option
from rgdm import progress
from rgdm.model.cascade.cascade import Cascade
from rgdm.process.noise import NoiseField

SIDE, REPEATED = 64, 2
"""Of the training fields; the level whose lift is repeated."""
SIDES = (64, 128, 256)
OPTIONS: dict[str, Option] = {
    "evaluations": (6, "a level"),
    "growth": ((1.7801, 1.8133, 1.8318), "of the field from level 2 to 3, from 3 to 4, ... as inverse_rg measures it"),
    "fields": (2048, "of 64 x 64 sites; as many sites of larger ones, or 48 fields"),
}


def count(side: int, options: argparse.Namespace) -> int:
    return max(48, options.fields * SIDE**2 // side**2)


def simulated(side: int, options: argparse.Namespace, folder: Any) -> Tensor:
    """Monte Carlo fields beside the generated ones."""
    return MonteCarlo(CRITICAL, kept=folder / "monte-carlo").sample(side, count(side, options), options.seed + side)


def enlarged(model: Cascade, side: int, growth: Any) -> Cascade:
    times = round(math.log2(side / SIDE))
    return model.enlarged(times, growth, REPEATED) if times else model


def generate(model: Cascade, side: int, evaluations: int, options: argparse.Namespace) -> Tensor:
    number = count(side, options)
    with progress.bar(f"L = {side}", number) as show:
        larger = enlarged(model, side, options.growth)
        return larger.sample((side, side), number, options.seed + 7, evaluations, watch=show).cpu()


def swept(model: Cascade, fields: Tensor, sweeps: int, seed: int) -> Tensor:
    """After sweeps of the learned single-site conditional."""
    assert model.sweep is not None
    parts, noise = model.normalise(fields.to(model.device)).split(64), NoiseField(seed, "sweep")
    done = [model.sweep.run(x, sweeps, noise.of(range(i * 64, i * 64 + len(x)))) for i, x in enumerate(parts)]
    return torch.cat([model.denormalise(x) for x in done]).cpu()
