"""Differences between sites: structure functions over distances, and the slopes between neighbours."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.scale.boundary import Boundaries, boundary_of_each

ORDERS = (2, 4)


def lags(lattice: tuple[int, ...]) -> list[int]:
    """The distances 1, 2, 4, ... sites up to a quarter of the longest axis."""
    return [2**j for j in range(max(1, (max(lattice) // 4).bit_length()))]


def structure_functions(
    field: Float[Tensor, "B C *L"], distances: list[int], boundary: Boundaries
) -> Float[Tensor, "B C D 2"]:
    """``<|x(s + r) - x(s)|^p>`` of orders p = 2 and 4 over sites and axes, for each distance r (float64).

    An axis takes part where it is longer than 2 r. Order 4 over the square of order 2 is a kurtosis that says at which
    distances the field is rough in places and smooth elsewhere.
    """
    sides = boundary_of_each(boundary, field.dim() - 2)
    longest = max(field.shape[2:])
    rows = []
    for sample in field:
        x, row = sample.double(), []
        for r in distances:
            axes = [i for i in range(1, x.dim()) if x.shape[i] >= min(2 * r, longest)]
            squares = [_differences(x, axis, r, sides[axis - 1] == "periodic").square().flatten(1) for axis in axes]
            square = torch.cat(squares, 1)
            row.append(torch.stack([square.mean(1), square.square().mean(1)], 1))
        rows.append(torch.stack(row, 1))
    return torch.stack(rows)


def slopes(
    sample: Float[Tensor, "C *L"],
    below: float | None = None,
    boundary: Boundaries = "reflect",
    valid: Bool[Tensor, "C *L"] | None = None,
) -> Float[Tensor, "n"]:
    """The absolute differences of all neighbouring sites of one sample, along every axis.

    Args:
        sample: one field.
        below: only of neighbours that both lie below this value.
        boundary: along periodic axes the last site and the first are neighbours.
        valid: only of neighbours that both are valid.
    """
    steps = []
    for axis, side in enumerate(boundary_of_each(boundary, sample.dim() - 1), start=1):
        wrap = side == "periodic" and sample.shape[axis] > 2
        kept = None
        for chosen in ([sample < below] if below is not None else []) + ([valid] if valid is not None else []):
            both = _pair(chosen, axis, 1, wrap)
            kept = both[0] & both[1] if kept is None else kept & both[0] & both[1]
        step = _differences(sample, axis, 1, wrap).abs()
        steps.append(step.flatten() if kept is None else step[kept])
    return torch.cat(steps)


def _differences(x: Tensor, axis: int, distance: int, wrap: bool) -> Tensor:
    a, b = _pair(x, axis, distance, wrap)
    return b - a


def _pair(x: Tensor, axis: int, distance: int, wrap: bool) -> tuple[Tensor, Tensor]:
    if wrap:
        return x, x.roll(-distance, axis)
    n = x.shape[axis]
    distance = min(distance, n)
    return x.narrow(axis, 0, n - distance), x.narrow(axis, distance, n - distance)
