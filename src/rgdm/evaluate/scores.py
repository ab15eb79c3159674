"""Scores of an ensemble against the truth: (M, B, C, *L) against (B, C, *L), in the user's units."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import jackknife
from rgdm.scale.coarse_graining import CoarseGraining


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


def fair_crps(ensemble: Float[Tensor, "M B C *L"], truth: Float[Tensor, "B C *L"]) -> Float[Tensor, "B"]:
    """Continuous ranked probability score of each sample, mean over sites, unbiased for any M >= 2.

    ``mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1))``, the second sum from the
    sorted members (Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917).
    """

    def score(members: Tensor, y: Tensor) -> Tensor:
        count = members.shape[0]
        rank = 2 * torch.arange(count, dtype=torch.float64, device=members.device) - (count - 1)
        pairs = torch.tensordot(rank, members.sort(0).values, 1)
        return ((members - y).abs().mean(0) - pairs / (count * (count - 1))).mean()

    return _per_sample(score, ensemble, truth)


def energy_score(ensemble: Float[Tensor, "M B C *L"], truth: Float[Tensor, "B C *L"]) -> Float[Tensor, "B"]:
    """The fair CRPS of whole fields: absolute values become root mean squares over the N sites of a sample.

    ``(mean_i ||x_i - y|| - sum_ij ||x_i - x_j|| / (2 M (M - 1))) / sqrt(N)``
    (Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359).
    """

    def score(members: Tensor, y: Tensor) -> Tensor:
        count, sites = members.shape[0], y.numel()
        pairs = torch.pdist(members.flatten(1)).sum()
        distance = (members - y).flatten(1).norm(dim=1).mean()
        return (distance - pairs / (count * (count - 1))) / math.sqrt(sites)

    return _per_sample(score, ensemble, truth)


def spread_skill(ensemble: Float[Tensor, "M B C *L"], truth: Float[Tensor, "B C *L"]) -> SpreadSkill:
    """``sqrt(mean variance * (M + 1)/M) / rmse(ensemble mean)``, 1 when truth and members are exchangeable.

    The factor corrects for the finite ensemble (Fortin et al. 2014, J. Hydromet. 15, 1708).
    """
    count = ensemble.shape[0]
    variance = _per_sample(lambda members, y: members.var(0).mean(), ensemble, truth) * (count + 1) / count
    error = _per_sample(lambda members, y: (members.mean(0) - y).square().mean(), ensemble, truth)
    pooled = jackknife(lambda v, e: (v / e).sqrt(), variance, error)
    return SpreadSkill(pooled.value, pooled.error, (variance / error).sqrt())


def rank_histogram(ensemble: Float[Tensor, "M B C *L"], truth: Float[Tensor, "B C *L"], seed: int = 0) -> RankHistogram:
    """Counts of the rank 0..M of the truth among the members; ties are broken at random.

    ``relative`` is the count over that of a flat histogram. Its error is a jackknife
    over samples: sites of one sample are correlated, so counting errors would be too small.
    """
    generator = torch.Generator().manual_seed(seed)
    bins = ensemble.shape[0] + 1

    def score(members: Tensor, y: Tensor) -> Tensor:
        ties = (members == y).sum(0)
        chance = torch.rand(ties.shape, generator=generator, dtype=torch.float64).to(ties.device)
        rank = (members < y).sum(0) + (chance * (ties + 1)).long()
        return torch.bincount(rank.flatten(), minlength=bins)

    counts = _per_sample(score, ensemble, truth)
    per_sample = counts.double() * bins / truth[0].numel()
    relative = jackknife(lambda mean: mean, per_sample)
    return RankHistogram(counts.sum(0), relative.value, relative.error, per_sample)


def consistency_error(
    ensemble: Float[Tensor, "M B C *F"], coarse: Float[Tensor, "B C *K"], operator: CoarseGraining, levels: int
) -> float:
    """``max |block mean - coarse| / std(coarse)``, computed in double precision."""
    scale = float(coarse.double().std(correction=0))
    if not scale > 0:
        raise InputError("the coarse field is constant; consistency relative to its spread needs a field that varies")
    gain = operator.gain(coarse.dim() - 2) ** levels
    worst = []
    for member in ensemble.double():
        for _ in range(levels):
            member = operator.coarsen(member)
        worst.append((member / gain - coarse.to(member)).abs().max())
    return float(torch.stack(worst).max()) / scale


def flatness(field: Float[Tensor, "B C *L"], below: float | None = None) -> Float[Tensor, ""]:
    """Median of the absolute difference of neighbouring sites, only of those both ``below`` a value if given."""
    steps = torch.cat([slopes(sample, below) for sample in field])
    if len(steps) == 0:
        raise InputError(f"no two neighbouring sites lie below {below}; raise `below` or leave it out")
    return torch.tensor(np.median(steps.double().cpu().numpy()))


def slopes(sample: Float[Tensor, "C *L"], below: float | None = None) -> Float[Tensor, "n"]:
    """The absolute differences of all neighbouring sites of one sample, along every axis."""
    steps = []
    for axis in range(1, sample.dim()):
        n = sample.shape[axis]
        a, b = sample.narrow(axis, 0, n - 1), sample.narrow(axis, 1, n - 1)
        step = (b - a).abs()
        steps.append(step.flatten() if below is None else step[(a < below) & (b < below)])
    return torch.cat(steps)


def _per_sample(score: Callable[[Tensor, Tensor], Tensor], ensemble: Tensor, truth: Tensor) -> Tensor:
    """One score per sample in float64, one sample at a time: memory stays that of one sample."""
    if ensemble.dim() != truth.dim() + 1 or ensemble.shape[1:] != truth.shape:
        raise InputError(
            f"an ensemble of shape {tuple(ensemble.shape)} does not fit the truth {tuple(truth.shape)}; "
            f"expected (members, {', '.join(map(str, truth.shape))})"
        )
    if ensemble.shape[0] < 2:
        raise InputError("an ensemble of 1 member has no spread to judge; use at least 2 members")
    return torch.stack([score(ensemble[:, b].double(), truth[b].double()) for b in range(truth.shape[0])])
