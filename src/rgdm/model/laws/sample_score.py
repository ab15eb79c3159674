"""The energy score of two samples, of sites and of what neighbours make together: trains lifts of one evaluation."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SMOOTH = 1e-6
"""Added to squared distances: their root would have no slope at 0."""


def sample_score(
    first: Float[Tensor, "B C *L"],
    second: Float[Tensor, "B C *L"],
    truth: Float[Tensor, "B C *L"],
    importance: Tensor | None = None,
) -> Float[Tensor, " B"]:
    """``(|y1 - y| + |y2 - y| - |y1 - y2|) / 2``, the mean over sites and over what is looked at there.

    That are the value of a site, its difference to the next site along each axis, the sum of ``2^d`` sites, and these
    sites all together, in units in which white noise has the same size; ``|.|`` is the root of the mean square.
    Expected over two independent samples each is an energy score, which no law makes smaller than the true one
    (Gneiting & Raftery 2007, JASA 102, 359, eq. 21). The last alone would be strictly proper for windows, but hardly
    sees wells and correlations; the others, scores of one number each, do.

    Args:
        first, second: independent samples given the same condition.
        truth: what was observed.
        importance: how much each site counts, ``(1, 1, *L)``.
    """
    total, count = first.new_zeros(len(first)), 0
    weight = torch.ones_like(first[:1, :1]) if importance is None else importance.to(first)
    pairs = (first - truth, second - truth, first - second)
    for a, b, c, w in zip(*map(_sizes, pairs), _shares(weight), strict=True):
        total = total + ((a + b - c) / 2 * (w / w.mean().clamp(min=1e-12))).flatten(1).mean(1)
        count += 1
    return total / count


def _sizes(difference: Tensor) -> Iterator[Tensor]:
    """Of a difference between two fields: of values, of steps along each axis, of sums, of windows."""
    axes = difference.dim() - 2
    yield _root(difference.square())
    for here, there in _neighbours(difference):
        yield _root((there - here).square() / 2)
    if min(difference.shape[2:]) > 1:
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
        yield _root(pool(difference, 2, 1).square() * 2**axes)
        yield _root(pool(difference.square(), 2, 1))


def _shares(weight: Tensor) -> Iterator[Tensor]:
    """How much each of them counts: as much as the site in it that counts least."""
    yield weight
    for here, there in _neighbours(weight):
        yield torch.minimum(here, there)
    if min(weight.shape[2:]) > 1:
        least = -(F.max_pool1d, F.max_pool2d, F.max_pool3d)[weight.dim() - 3](-weight, 2, 1)
        yield least
        yield least


def _neighbours(y: Tensor) -> list[tuple[Tensor, Tensor]]:
    axes = [axis for axis in range(2, y.dim()) if y.shape[axis] > 1]
    return [(y.narrow(axis, 0, y.shape[axis] - 1), y.narrow(axis, 1, y.shape[axis] - 1)) for axis in axes]


def _root(square: Tensor) -> Tensor:
    return (square.mean(1, keepdim=True) + SMOOTH).sqrt()
