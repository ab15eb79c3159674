"""Bins of several conditions, nested so that all are filled, and what lies between them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rgdm.workers import watched


class Corners(NamedTuple):
    """The bins about each of N cases."""

    at: Int[Tensor, "N K"]
    """Rows of a table of all bins."""
    weight: Float[Tensor, "N K"]
    """They add up to 1."""

    def mix(self, table: Float[Tensor, "T columns"]) -> Float[Tensor, "N columns"]:
        """What a table says between its bins."""
        weight = self.weight.to(table)
        if watched():  # by gradients of any order and direction, which the faster way has not
            return (weight.unsqueeze(2) * table[self.at]).sum(1)
        return torch.nn.functional.embedding_bag(self.at, table, per_sample_weights=weight, mode="sum")


class NestedBins(nn.Module):
    """Bins of the first condition, in each of these bins of the second, and so forth: all have cases, but for ties.

    Bins of each condition for itself would leave those empty that go together rarely (a steep slope where the mean is
    large), and what is put there would be mixed into what lies beside it. Between centres (means of the cases) tables
    are linear, beyond the outermost constant.

    Args:
        edges: quantiles between the bins of every condition, at least one.
    """

    def __init__(self, *edges: Sequence[float]) -> None:
        super().__init__()
        self.edges, self.shape = edges, tuple(len(each) + 1 for each in edges)
        cells = 1
        for number, size in enumerate(self.shape):
            self.register_buffer(f"centres_{number}", torch.linspace(0, 1, size).repeat(cells, 1))
            cells *= size

    def centres(self, number: int) -> Float[Tensor, "cells size"]:
        """Of a condition in each bin of those before it, rising."""
        return self.get_buffer(f"centres_{number}")

    def fit(self, *values: Float[Tensor, " N"]) -> Int[Tensor, "conditions N"]:
        """Measure quantiles and centres, and say which bin each case falls into."""
        found, cell = [], torch.zeros_like(values[0], dtype=torch.long)
        for number, (x, edges) in enumerate(zip(values, self.edges, strict=True)):
            centres, at = self.centres(number), torch.zeros_like(cell)
            for i in range(len(centres)):
                own = cell == i
                if bool(own.any()):  # the first of all is
                    at[own] = _bins(x[own], edges)
                    centres[i] = _rising(_means(x[own], at[own], len(edges) + 1))
                else:
                    centres[i] = centres[i - 1]
            found.append(at)
            cell = cell * (len(edges) + 1) + at
        return torch.stack(found)

    def around(self, bins: Int[Tensor, "conditions N"], *at: int, fewest: int, slower: Sequence[int] = ()) -> Tensor:
        """Which cases are in a bin of the first conditions; of few so many more, in bins beside it, that they do.

        ``slower`` conditions are widened at every second time only.
        """
        fewest = min(fewest, bins.shape[1])
        for width in range(2 * max(self.shape)):
            near = torch.ones_like(bins[0], dtype=torch.bool)
            for number, (own, i) in enumerate(zip(bins, at, strict=False)):
                near &= (own - i).abs() <= (width // 2 if number in slower else width)
            if int(near.sum()) >= fewest:
                return near
        return torch.ones_like(bins[0], dtype=torch.bool)

    def corners(self, *values: Float[Tensor, " N"]) -> Corners:
        """The bins about each case, two of every condition."""
        cell = torch.zeros(len(values[0]), 1, dtype=torch.long, device=values[0].device)
        weight = torch.ones_like(values[0]).unsqueeze(1)
        for number, x in enumerate(values):
            rows, x = self.centres(number).to(x)[cell], x.unsqueeze(1)
            at = (rows[..., 1:-1] <= x.unsqueeze(2)).sum(2, keepdim=True)
            low, high = rows.gather(2, at).squeeze(2), rows.gather(2, at + 1).squeeze(2)
            part = ((x - low) / (high - low)).clamp(0, 1)
            first = cell * self.shape[number] + at.squeeze(2)
            cell = torch.cat([first, first + 1], 1)
            weight = torch.cat([weight * (1 - part), weight * part], 1)
        return Corners(cell, weight)


def _bins(x: Float[Tensor, " N"], edges: Sequence[float]) -> Int[Tensor, " N"]:
    """Which of the bins between these quantiles each value falls into."""
    return torch.bucketize(x, torch.quantile(x, torch.tensor(edges).to(x)))


def _means(x: Float[Tensor, " N"], at: Int[Tensor, " N"], count: int) -> Float[Tensor, " count"]:
    """The mean of each bin; of an empty one that of the bin before. The first is not empty."""
    total = torch.zeros(count).to(x).index_add(0, at, x)
    number = torch.bincount(at, minlength=count)
    last = torch.where(number > 0, torch.arange(count, device=x.device), 0).cummax(0).values
    return (total / number.clamp(min=1))[last]


def _rising(x: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Nearly the same values, each above the one before."""
    return x.cummax(0).values + 1e-4 * torch.arange(len(x), device=x.device)
