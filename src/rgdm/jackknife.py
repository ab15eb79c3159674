"""Errors of statistics of samples: the jackknife over samples, or over blocks of them that follow each other."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BLOCKS = 50
"""Blocks of Markov chains."""


class Estimate(NamedTuple):
    """A statistic and its standard error; the error is NaN where one sample alone tells nothing of it."""

    value: Tensor
    error: Tensor


def jackknife(statistic: Callable[..., Tensor], *parts: Tensor, blocks: int | None = None) -> Estimate:
    """``statistic`` of the means over samples of ``parts`` (each with samples first), and its error.

    ``error^2 = (B - 1)/B sum_b (theta_b - mean theta)^2``, theta_b computed without
    sample b (Efron & Stein 1981, Ann. Stat. 9, 586). With ``blocks`` it is computed without each of so many blocks of
    consecutive samples instead: those of a Markov chain remember.
    """
    parts = tuple(part.double() for part in parts)
    count = parts[0].shape[0]
    value = statistic(*(part.mean(0) for part in parts))
    if count < 2:
        return Estimate(value, torch.full_like(value, math.nan))
    totals, without = [part.sum(0) for part in parts], []
    for block in torch.arange(count).tensor_split(count if blocks is None else min(blocks, count)):
        left, some = count - len(block), slice(int(block[0]), int(block[-1]) + 1)
        pairs = zip(totals, parts, strict=True)
        without.append(statistic(*((total - part[some].sum(0)) / left for total, part in pairs)))
    return Estimate(value, delete_one_error(torch.stack(without)))


def delete_one_error(without: Float[Tensor, "B *S"]) -> Float[Tensor, "*S"]:
    """The jackknife error from the B values of a statistic that leave one sample out each."""
    count = without.shape[0]
    if count < 2:
        return torch.full_like(without[0], math.nan)
    return ((count - 1) * without.var(0, correction=0)).sqrt()


def delete_one_quantiles(
    values: Sequence[Float[Tensor, "_"]], q: Float[Tensor, "Q"]
) -> tuple[Float[Tensor, "Q"], Float[Tensor, "B Q"]]:
    """Quantiles of the pooled values of B samples, and the B sets of them that leave one sample out each.

    The smallest value that at least a share q of all values does not exceed, by
    bisection in the sorted samples, so that nothing of the pool's size is ever sorted or
    copied. NaN where no values are left.
    """
    count = len(values)
    end = values[0].new_full((1,), math.inf)
    values = [torch.cat([each.sort().values, end]) for each in values]
    kept = torch.cat([torch.ones(1, count), 1 - torch.eye(count)]).to(q)
    sizes = kept @ torch.tensor([len(each) - 1.0 for each in values]).to(q)
    target = (q * sizes[:, None]).ceil().clamp(min=1)
    finite = torch.cat([each[:1] for each in values] + [each[-2:-1] for each in values]).nan_to_num(0, 0, 0)
    low = torch.nextafter(finite.min(), -end).expand(target.shape).contiguous()
    high = finite.max().expand(target.shape)
    for _ in range(80):
        middle = low + (high - low) / 2
        below = torch.stack([torch.searchsorted(each, middle, right=True) for each in values], 1)
        enough = (below * kept[..., None]).sum(1) >= target
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    following = torch.stack([each[torch.searchsorted(each, low, right=True)] for each in values], 1)
    found = torch.where(kept[..., None] > 0, following, math.inf).amin(1).double()
    found = torch.where(found.isfinite(), found, math.nan)
    return found[0], found[1:]
