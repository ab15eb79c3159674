"""Kurtosis of the detail of each level: how heavy its tails are."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.jackknife import Estimate, jackknife
from rgdm.scale.coarse_graining import CoarseGraining


class DetailKurtosis(NamedTuple):
    """Kurtosis of the detail of each level (level 0 is the finest) of the ensemble and the truth, and their ratio."""

    ensemble: Estimate
    truth: Estimate
    ratio: Estimate


def details(
    field: Float[Tensor, "B C *F"],
    operator: CoarseGraining,
    levels: int,
    valid: Bool[Tensor, "B #C *F"] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The detail (B, C, bands, *K) of each level, the finest first (float64), and where it counts (B, C or 1, 1, *K).

    It counts where all sites of its block are ``valid``; None: everywhere. Other operators than block spins look a few
    sites beyond a block.
    """
    x, dimension = field.double(), field.dim() - 2
    for step in map(operator.at, range(levels)):
        x, detail = step.split(x)
        if valid is not None:
            for axis, b in enumerate(step.factors(dimension), start=2):
                valid = valid.unflatten(axis, (-1, b)).all(axis + 1)
        yield detail.unflatten(1, (field.shape[1], -1)), None if valid is None else valid.unsqueeze(2)


def detail_moments(
    field: Float[Tensor, "B C *F"], operator: CoarseGraining, levels: int
) -> tuple[Float[Tensor, "B levels"], Float[Tensor, "B levels"]]:
    """``<d^2>`` and ``<d^4>`` of each sample at each level, over the bands and sites (float64)."""
    second, fourth = [], []
    x = field.double()
    for step in map(operator.at, range(levels)):
        x, detail = step.split(x)
        square = detail.square().flatten(1)
        second.append(square.mean(1))
        fourth.append(square.square().mean(1))
    return torch.stack(second, 1), torch.stack(fourth, 1)


def detail_kurtosis(field: Float[Tensor, "B C *F"], operator: CoarseGraining, levels: int) -> Estimate:
    """``<d^4> / <d^2>^2`` per level, level 0 finest, pooled over samples; 3 for a Gaussian field."""
    return jackknife(_kurtosis, *detail_moments(field, operator, levels))


def kurtosis_ratio(
    ensemble: Float[Tensor, "M B C *F"], truth: Float[Tensor, "B C *F"], operator: CoarseGraining, levels: int
) -> DetailKurtosis:
    """Kurtosis of detail of ensemble and truth, and their paired ratio, each with its jackknife error."""
    model, true = ensemble_moments(ensemble, operator, levels), detail_moments(truth, operator, levels)
    ratio = jackknife(lambda a, b, c, d: _kurtosis(a, b) / _kurtosis(c, d), *model, *true)
    return DetailKurtosis(jackknife(_kurtosis, *model), jackknife(_kurtosis, *true), ratio)


def ensemble_moments(
    ensemble: Float[Tensor, "M B C *F"], operator: CoarseGraining, levels: int
) -> tuple[Float[Tensor, "B levels"], Float[Tensor, "B levels"]]:
    """:func:`detail_moments`, mean over the members."""
    moments = [detail_moments(member, operator, levels) for member in ensemble]
    second, fourth = (torch.stack(each).mean(0) for each in zip(*moments, strict=True))
    return second, fourth


def _kurtosis(second: Tensor, fourth: Tensor) -> Tensor:
    return fourth / second.square()
