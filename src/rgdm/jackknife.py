"""Errors of statistics by the jackknife: over samples, or over blocks of consecutive samples."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCKS = 50
"""Default number of blocks of the samples of Markov chains."""
FEWEST = 4
"""Fewest samples (or blocks of them) that make an error. One of B is itself uncertain by ``1 / sqrt(2 (B - 1))`` of its
size: by 71 % of two, by half of three, by 41 % of four."""


class Estimate(NamedTuple):
    """A statistic and its standard error, NaN where there are fewer than :data:`FEWEST` samples or blocks."""

    value: Tensor
    error: Tensor


def jackknife(statistic: Callable[..., Tensor], *parts: Tensor, blocks: int | None = None) -> Estimate:
    """``statistic`` of the means over samples of ``parts``, and its error.

    ``error^2 = (B - 1)/B sum_b (theta_b - mean theta)^2``, theta_b computed without sample b (Efron & Stein 1981, Ann.
    Stat. 9, 586). It is NaN of fewer than :data:`FEWEST` samples, or blocks.

    Args:
        statistic: of the means of ``parts``.
        parts: samples, along their first axis.
        blocks: their number, if theta_b is to be computed without block b of consecutive samples instead, as for the
            samples of a Markov chain, which are correlated.
    """
    parts = tuple(part.double() for part in parts)
    count = parts[0].shape[0]
    value = statistic(*(part.mean(0) for part in parts))
    if min(count, count if blocks is None else blocks) < FEWEST:
        return Estimate(value, torch.full_like(value, math.nan))
    totals, without = [part.sum(0) for part in parts], []
    for block in torch.arange(count).tensor_split(count if blocks is None else min(blocks, count)):
        left, inside = count - len(block), slice(int(block[0]), int(block[-1]) + 1)
        pairs = zip(totals, parts, strict=True)
        without.append(statistic(*((total - part[inside].sum(0)) / left for total, part in pairs)))
    return Estimate(value, delete_one_error(torch.stack(without)))


def delete_one_error(without: Float[Tensor, "B *S"]) -> Float[Tensor, "*S"]:
    """The jackknife error from the B values of a statistic without each of B samples; NaN of few of them."""
    count = without.shape[0]
    if count < FEWEST:
        return torch.full_like(without[0], math.nan)
    return ((count - 1) * without.var(0, correction=0)).sqrt()


def in_blocks(values: Sequence[Float[Tensor, "_"]], blocks: int | None) -> list[Float[Tensor, "_"]]:
    """The values of samples, joined to those of so many blocks of consecutive samples; None: as they are."""
    if blocks is None or blocks >= len(values):
        return list(values)
    parts = torch.arange(len(values)).tensor_split(blocks)
    return [torch.cat([values[i] for i in part.tolist()]) for part in parts]


def delete_one_quantiles(
    values: Sequence[Float[Tensor, "_"]],
    q: Float[Tensor, "Q"],
    weights: Sequence[Float[Tensor, "_"]] | None = None,
) -> tuple[Float[Tensor, "Q"], Float[Tensor, "B Q"]]:
    """Quantiles of the pooled values of B samples, and those without each sample; NaN where no values are left.

    A quantile is the smallest value that is not exceeded by a share of at least q of all values, or of all
    ``weights``, which are positive. It is found by bisection in the sorted samples, so that nothing of the size of the
    pool is sorted or copied.
    """
    count = len(values)
    end = values[0].new_full((1,), math.inf)
    ordered, sums = [each.sort() for each in values], None
    values = [torch.cat([each.values, end]) for each in ordered]
    if weights is not None:
        own = [w.to(q)[each.indices] for w, each in zip(weights, ordered, strict=True)]
        sums = [torch.cat([w.new_zeros(1), w.cumsum(0)]) for w in own]
    sizes = [len(each) - 1 for each in values] if sums is None else [float(each[-1]) for each in sums]
    kept = torch.cat([torch.ones(1, count), 1 - torch.eye(count)]).to(q)
    target = q * (kept @ torch.tensor(sizes).to(q))[:, None]
    finite = torch.cat([each[:1] for each in values] + [each[-2:-1] for each in values]).nan_to_num(0, 0, 0)
    low = torch.nextafter(finite.min(), -end).expand(target.shape).contiguous()
    high = finite.max().expand(target.shape)
    for _ in range(80):
        middle = low + (high - low) / 2
        places = [torch.searchsorted(each, middle, right=True) for each in values]
        below = places if sums is None else [each[place] for each, place in zip(sums, places, strict=True)]
        total = (torch.stack(below, 1) * kept[..., None]).sum(1)
        enough = (total >= target) & (total > 0)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    following = torch.stack([each[torch.searchsorted(each, low, right=True)] for each in values], 1)
    quantiles = torch.where(kept[..., None] > 0, following, math.inf).amin(1).double()
    quantiles = torch.where(quantiles.isfinite(), quantiles, math.nan)
    return quantiles[0], quantiles[1:]
