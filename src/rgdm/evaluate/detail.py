"""Kurtosis of the detail of each level: how heavy its tails are."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
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
    weights: Shaped[Tensor, "#B #C *#F"] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The detail (B, C, bands, *K) of each level, the finest first (float64), and its weight (B, C, 1, *K).

    That is the mean weight of the sites of its block, and 0 where one of them has none; None: all count alike. Other
    operators than block spins look a few sites beyond a block.
    """
    if weights is not None:
        weights = weights.double().expand_as(field)
    x, dimension = field.double(), field.dim() - 2
    for step in map(operator.at, range(levels)):
        x, detail = step.split(x)
        if weights is not None:
            for axis, b in enumerate(step.factors(dimension), start=2):
                parts = weights.unflatten(axis, (-1, b))
                weights = torch.where((parts > 0).all(axis + 1), parts.mean(axis + 1), 0.0)
        detail = detail.unflatten(1, (field.shape[1], -1))
        if weights is None:
            yield detail, None
        else:
            there = weights.unsqueeze(2)
            yield torch.where(there > 0, detail, 0.0), there


def detail_moments(
    field: Float[Tensor, "B C *F"],
    operator: CoarseGraining,
    levels: int,
    weights: Shaped[Tensor, "#B #C *#F"] | None = None,
) -> tuple[Float[Tensor, "B levels"], Float[Tensor, "B levels"], Float[Tensor, "B levels"]]:
    """``<w d^2>``, ``<w d^4>`` and ``<w>`` of each sample at each level, over the bands and sites (float64).

    The weight w of a detail is the mean of those of the sites of its block; None: 1.
    """
    columns = []
    x, w = field.double(), None if weights is None else weights.double().expand_as(field)
    for step in map(operator.at, range(levels)):
        x, detail = step.split(x)
        square = detail.square()
        if w is None:
            one = torch.ones(len(field), dtype=torch.float64, device=field.device)
            columns.append((square.flatten(1).mean(1), square.square().flatten(1).mean(1), one))
            continue
        for axis, b in enumerate(step.factors(field.dim() - 2), start=2):
            w = w.unflatten(axis, (-1, b)).mean(axis + 1)
        of_bands = w.repeat_interleave(detail.shape[1] // w.shape[1], 1)
        parts = of_bands * square, of_bands * square.square(), w
        columns.append(tuple(part.flatten(1).mean(1) for part in parts))
    second, fourth, size = (torch.stack(column, 1) for column in zip(*columns, strict=True))
    return second, fourth, size


def detail_kurtosis(field: Float[Tensor, "B C *F"], operator: CoarseGraining, levels: int) -> Estimate:
    """``<d^4> / <d^2>^2`` per level, level 0 finest, pooled over samples; 3 for a Gaussian field."""
    return jackknife(kurtosis, *detail_moments(field, operator, levels))


def kurtosis_ratio(
    ensemble: Float[Tensor, "M B C *F"], truth: Float[Tensor, "B C *F"], operator: CoarseGraining, levels: int
) -> DetailKurtosis:
    """Kurtosis of detail of ensemble and truth, and their paired ratio, each with its jackknife error."""
    model, true = ensemble_moments(ensemble, operator, levels), detail_moments(truth, operator, levels)
    ratio = jackknife(lambda a, b, m, c, d, n: kurtosis(a, b, m) / kurtosis(c, d, n), *model, *true)
    return DetailKurtosis(jackknife(kurtosis, *model), jackknife(kurtosis, *true), ratio)


def ensemble_moments(
    ensemble: Float[Tensor, "M B C *F"],
    operator: CoarseGraining,
    levels: int,
    weights: Shaped[Tensor, "#B #C *#F"] | None = None,
) -> tuple[Float[Tensor, "B levels"], Float[Tensor, "B levels"], Float[Tensor, "B levels"]]:
    """:func:`detail_moments`, mean over the members."""
    moments = [detail_moments(member, operator, levels, weights) for member in ensemble]
    second, fourth, size = (torch.stack(each).mean(0) for each in zip(*moments, strict=True))
    return second, fourth, size


def kurtosis(second: Tensor, fourth: Tensor, size: Tensor) -> Tensor:
    """``<d^4> / <d^2>^2`` from means of :func:`detail_moments`."""
    return fourth * size / second.square()
