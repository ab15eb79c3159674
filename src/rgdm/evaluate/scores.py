"""Scores of an ensemble against the truth: (M, B, C, *L) against (B, C, *L).

Each is one number over all channels, which therefore are of one unit: take them one by one, or normalise them, as
:func:`rgdm.evaluate.judge` does. ``weights`` say how much each site counts, such as the area of its cell, 0 (or false)
where it is missing; a sample without any has NaN. A site of weight 2 counts as two sites.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.increments import slopes
from rgdm.evaluate.standard import Standard
from rgdm.evaluate.weights import sizes, weighted
from rgdm.jackknife import jackknife
from rgdm.scale.coarse_graining import CoarseGraining

_TIES = 0x74696573
"""Ties are not broken by the random numbers that a field may have been made from with the same small seed."""


class SpreadSkill(NamedTuple):
    """Spread over error of the ensemble mean: over all samples (with its jackknife error) and for each."""

    pooled: Tensor
    error: Tensor
    per_sample: Tensor


class RankHistogram(NamedTuple):
    """How often the truth takes each rank 0..M among M members: counts, and relative to a flat histogram."""

    counts: Tensor
    relative: Tensor
    error: Tensor
    per_sample: Tensor


def fair_crps(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> Float[Tensor, "B"]:
    """Continuous ranked probability score of each sample, mean over sites, unbiased for any M >= 2.

    ``mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1))``, the second sum from the
    sorted members (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917).
    """

    def score(members: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
        count = members.shape[0]
        rank = 2 * torch.arange(count, dtype=torch.float64, device=members.device) - (count - 1)
        pairs = torch.tensordot(rank, members.sort(0).values, 1)
        return _mean((members - y).abs().mean(0) - pairs / (count * (count - 1)), w)

    return _per_sample(score, ensemble, truth, weights)


def energy_score(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> Float[Tensor, "B"]:
    """The fair CRPS of whole fields: absolute values become root mean squares over the N sites of a sample.

    ``(mean_i ||x_i - y|| - sum_ij ||x_i - x_j|| / (2 M (M - 1))) / sqrt(N)``
    (Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359), with ``||x||^2 = sum w x^2`` and N the sum of weights.
    """

    def score(members: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
        count, size = members.shape[0], float(y.numel() if w is None else w.sum())
        if w is not None:
            members, y = members * w.sqrt(), y * w.sqrt()
        pairs = torch.pdist(members.flatten(1)).sum()
        distance = (members - y).flatten(1).norm(dim=1).mean()
        return (distance - pairs / (count * (count - 1))) / math.sqrt(size)

    return _per_sample(score, ensemble, truth, weights)


def spread_skill(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> SpreadSkill:
    """``sqrt(mean variance * (M + 1)/M) / rmse(ensemble mean)``, 1 when truth and members are exchangeable.

    The factor corrects for the finite ensemble (Fortin et al. 2014, J. Hydromet. 15, 1708).
    """
    variance, error = spread_and_error(ensemble, truth, weights)
    size = sizes(truth, weights)
    pooled = jackknife(lambda v, e: (v / e).sqrt(), weighted(variance, size), weighted(error, size))
    return SpreadSkill(pooled.value, pooled.error, (variance / error).sqrt())


def spread_and_error(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Of each sample the mean variance of the members times ``(M + 1)/M``, and the mean squared error of their mean."""
    count = ensemble.shape[0]

    def spread(members: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
        return _mean((members - members.mean(0)).square().sum(0), w) * (count + 1) / (count * (count - 1))

    def error(members: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
        return _mean((members.mean(0) - y).square(), w)

    return _per_sample(spread, ensemble, truth, weights), _per_sample(error, ensemble, truth, weights)


def rank_histogram(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    seed: int = 0,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> RankHistogram:
    """Counts (sums of weights) of the rank 0..M of the truth among the members; ties are broken at random.

    ``relative`` is the count over that of a flat histogram. Its error is a jackknife
    over samples: sites of one sample are correlated, so counting errors would be too small.
    """
    generator = torch.Generator().manual_seed(_TIES + seed)
    bins = ensemble.shape[0] + 1

    def score(members: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
        ties = (members == y).sum(0)
        chance = torch.rand(ties.shape, generator=generator, dtype=torch.float64).to(ties.device)
        rank = (members < y).sum(0) + (chance * (ties + 1)).long()
        return torch.bincount(rank.flatten(), w, minlength=bins)

    counts = _per_sample(score, ensemble, truth, weights)
    sites = counts.sum(1, keepdim=True).double()
    relative = jackknife(lambda ranks, every: ranks * bins / every, counts, sites)
    return RankHistogram(counts.sum(0), relative.value, relative.error, counts * bins / sites)


def consistency_error(
    ensemble: Float[Tensor, "M B C *F"],
    coarse: Float[Tensor, "B C *K"],
    operator: CoarseGraining,
    levels: int,
    weights: Float[Tensor, "b c *F"] | None = None,
) -> Float[Tensor, "C"]:
    """``max |block mean - coarse| / std(coarse)`` of each channel, computed in double precision.

    On a measure block means have ``weights``, and so has the standard deviation; of blocks without any nothing is said.
    Of a channel that is constant the difference is relative to its value instead (to 1 if that is 0).
    """
    _, of_blocks = _steps(operator, levels, weights)
    if of_blocks is not None:
        of_blocks = of_blocks.expand_as(coarse)
        coarse = torch.where(of_blocks > 0, coarse, 0.0)
    standard = Standard.of(coarse, of_blocks)
    size = coarse.double().abs().transpose(0, 1).flatten(1).amax(1)
    scale = torch.where(standard.constant, torch.where(size > 0, size, 1.0), standard.std)
    worst = torch.zeros_like(scale)
    for error in mean_errors(ensemble, coarse, operator, levels, weights):
        worst = torch.maximum(worst, error.transpose(0, 1).flatten(1).amax(1))
    return worst / scale


def mean_errors(
    ensemble: Float[Tensor, "M B C *F"],
    coarse: Float[Tensor, "B C *K"],
    operator: CoarseGraining,
    levels: int,
    weights: Float[Tensor, "b c *F"] | None = None,
) -> Iterator[Float[Tensor, "B C *K"]]:
    """``|block mean - coarse|`` of each member, computed in double precision; 0 of blocks without weight."""
    steps, of_blocks = _steps(operator, levels, weights)
    there = None if of_blocks is None else of_blocks > 0
    coarse = coarse if there is None else torch.where(there, coarse, 0.0)
    gain = operator.gain_to(coarse.dim() - 2, levels)
    for member in ensemble:
        means = member.double()
        for step in steps:
            means = step.coarsen(means)
        error = (means / gain - coarse).abs()
        yield error if there is None else torch.where(there, error, 0.0)


def _steps(operator: CoarseGraining, levels: int, weights: Tensor | None) -> tuple[list[CoarseGraining], Tensor | None]:
    """The operators of all levels, and the weights of coarse sites; None: all are alike."""
    steps = []
    for level in range(levels):
        steps.append(operator.at(level).on(weights))
        weights = steps[-1].coarse_weights
    return steps, weights


def flatness(field: Float[Tensor, "B C *L"], below: float | None = None) -> Float[Tensor, ""]:
    """Median of the absolute difference of neighbouring sites, only of those both ``below`` a value if given."""
    steps = torch.cat([slopes(sample, below)[0] for sample in field])
    if len(steps) == 0:
        raise InputError(f"no two neighbouring sites lie below {below}; raise `below` or leave it out")
    return torch.tensor(np.median(steps.double().cpu().numpy()))


def _mean(x: Tensor, w: Tensor | None) -> Tensor:
    return x.mean() if w is None else (x * w).sum() / w.sum()


Score = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of the members, the truth and the weights of the sites of one sample that count."""


def _per_sample(score: Score, ensemble: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
    """One score per sample in float64, one sample at a time: memory stays that of one sample."""
    if ensemble.dim() != truth.dim() + 1 or ensemble.shape[1:] != truth.shape:
        raise InputError(
            f"an ensemble of shape {tuple(ensemble.shape)} does not fit the truth {tuple(truth.shape)}; "
            f"expected (members, {', '.join(map(str, truth.shape))})"
        )
    if ensemble.shape[0] < 2:
        raise InputError("an ensemble of 1 member has no spread to judge; use at least 2 members")
    if weights is None:
        return torch.stack([score(ensemble[:, b].double(), truth[b].double(), None) for b in range(truth.shape[0])])
    found = []
    for b, own in enumerate(weights.expand_as(truth)):
        there = own > 0
        members, y = ensemble[:, b][:, there], truth[b][there]
        found.append(score(members.double(), y.double(), own[there].double()))
    return torch.stack(found)
