"""One-point distributions as tables of quantiles: Gaussian values to values of the data and back, exactly inverse."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 257
OUTERMOST = 3.5
"""The largest Gaussian value of the table."""
OUTER = 18
"""Cells at either end of the table, half a standard deviation, whose mean slope is that of the map beyond it."""
FLATTEST = 0.01
"""The smallest slope beyond the table, in mean slopes of the table: few data make its last cells flat."""


class Knots(NamedTuple):
    """Where the map bends: Gaussian values ``(N,)`` and the values ``(C, N)`` of each channel there, both rising."""

    scores: Tensor
    values: Tensor


def normal_scores() -> Float[Tensor, " Q"]:
    """The Gaussian values of the table, in float64."""
    return torch.linspace(-OUTERMOST, OUTERMOST, QUANTILES, dtype=torch.float64)


def measured(x: Float[Tensor, "C N"]) -> Float[Tensor, "C Q"]:
    """The quantiles of the values of each channel."""
    levels = torch.special.ndtr(normal_scores()).numpy()
    return torch.from_numpy(np.quantile(x.double().cpu().numpy(), levels, 1, method="hazen").T)


def knots(table: Float[Tensor, "C Q"]) -> Knots:
    """The knots of the map of a table, in float64: its quantiles, and one more beyond either end.

    The map is linear between knots and beyond the last ones. Values that are often met make the table flat; it rises
    there by a millionth of its width at most, so that the map has an inverse.
    """
    table = table.double()
    width = (table[:, -1:] - table[:, :1]).clamp(min=1e-12)
    rises = torch.maximum(table.diff(dim=1), 1e-6 * width / QUANTILES)
    table = torch.cat([table[:, :1], table[:, :1] + rises.cumsum(1)], 1)
    mean, part = width / (2 * OUTERMOST), (QUANTILES - 1) / (2 * OUTERMOST) / OUTER
    first = torch.maximum(part * (table[:, OUTER : OUTER + 1] - table[:, :1]), FLATTEST * mean)
    last = torch.maximum(part * (table[:, -1:] - table[:, -OUTER - 1 : -OUTER]), FLATTEST * mean)
    scores, end = normal_scores().to(table), table.new_full((1,), OUTERMOST + 1)
    values = torch.cat([table[:, :1] - first, table, table[:, -1:] + last], 1)
    return Knots(torch.cat([-end, scores, end]), values)


def to_values(at: Knots, g: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """Gaussian values to values of the data."""
    scores = at.scores.to(g)
    cell = (torch.searchsorted(scores, g.contiguous()) - 1).clamp(0, len(scores) - 2)
    weight = (g - scores[cell]) / (scores[cell + 1] - scores[cell])
    out = torch.empty_like(g)
    for channel, values in enumerate(at.values.to(g)):
        low, high = values[cell[:, channel]], values[cell[:, channel] + 1]
        out[:, channel] = low + weight[:, channel] * (high - low)
    return out


def to_normal(at: Knots, x: Float[Tensor, "B C *L"]) -> tuple[Float[Tensor, "B C *L"], Float[Tensor, "B C *L"]]:
    """The inverse of :func:`to_values`, and the slope dx/dg there."""
    scores, g, slope = at.scores.to(x), torch.empty_like(x), torch.empty_like(x)
    for channel, values in enumerate(at.values.to(x)):
        value = x[:, channel].contiguous()
        cell = (torch.searchsorted(values, value) - 1).clamp(0, len(values) - 2)
        slope[:, channel] = (values[cell + 1] - values[cell]) / (scores[cell + 1] - scores[cell])
        g[:, channel] = scores[cell] + (value - values[cell]) / slope[:, channel]
    return g, slope
