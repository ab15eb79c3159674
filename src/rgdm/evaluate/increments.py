"""Differences between sites: structure functions over distances, and the slopes between neighbours."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.evaluate.weights import of_pairs
from rgdm.scale.boundary import Boundaries, boundary_of_each

ORDERS = (2, 4)


def lags(lattice: tuple[int, ...]) -> list[int]:
    """The distances 1, 2, 4, ... sites up to a quarter of the longest axis."""
    return [2**j for j in range(max(1, (max(lattice) // 4).bit_length()))]


def structure_functions(
    field: Float[Tensor, "B C *L"],
    distances: list[int],
    boundary: Boundaries,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> Float[Tensor, "B C D 2"]:
    """``<|x(s + r) - x(s)|^p>`` of orders p = 2 and 4 over sites and axes, for each distance r (float64).

    An axis takes part where it is longer than 2 r. Order 4 over the square of order 2 is a kurtosis that says at which
    distances the field is rough in places and smooth elsewhere. A pair of sites has the geometric mean of their
    ``weights``.
    """
    sums, sizes = structure_terms(field, distances, boundary, weights)
    return sums / sizes


def structure_terms(
    field: Float[Tensor, "B C *L"],
    distances: list[int],
    boundary: Boundaries,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> tuple[Float[Tensor, "B C D 2"], Float[Tensor, "B C D 1"]]:
    """Weighted sums of :func:`structure_functions`, and those of the weights, both over the number of pairs."""
    sides = boundary_of_each(boundary, field.dim() - 2)
    longest = max(field.shape[2:])
    rows = []
    for b, sample in enumerate(field):
        x, row = sample.double(), []
        own = None if weights is None else weights.expand_as(field)[b].double()
        for r in distances:
            axes = [i for i in range(1, x.dim()) if x.shape[i] >= min(2 * r, longest)]
            wraps = [sides[axis - 1] == "periodic" for axis in axes]
            pairs = list(zip(axes, wraps, strict=True))
            square = torch.cat([_differences(x, axis, r, wrap).square().flatten(1) for axis, wrap in pairs], 1)
            size, fourth = torch.ones_like(square[:, :1]), square.square()
            if own is not None:
                w = torch.cat([of_pairs(*_pair(own, axis, r, wrap)).flatten(1) for axis, wrap in pairs], 1)
                square, fourth = (torch.where(w > 0, w * part, 0.0) for part in (square, fourth))
                size = w.mean(1, keepdim=True)
            row.append(torch.cat([torch.stack([square.mean(1), fourth.mean(1)], 1), size], 1))
        rows.append(torch.stack(row, 1))
    found = torch.stack(rows)
    return found[..., :2], found[..., 2:]


def slopes(
    sample: Float[Tensor, "C *L"],
    below: float | None = None,
    boundary: Boundaries = "reflect",
    weights: Shaped[Tensor, "#C *#L"] | None = None,
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"] | None]:
    """The absolute differences of all neighbouring sites of one sample, along every axis, and the weights of the pairs.

    Args:
        sample: one field.
        below: only of neighbours that both lie below this value.
        boundary: along periodic axes the last site and the first are neighbours.
        weights: of sites; a pair has their geometric mean, and is left out if that is 0. None: all pairs count alike.
    """
    steps, sizes = [], []
    own = None if weights is None else weights.double().expand_as(sample)
    for axis, side in enumerate(boundary_of_each(boundary, sample.dim() - 1), start=1):
        wrap = side == "periodic" and sample.shape[axis] > 2
        step = _differences(sample, axis, 1, wrap).abs()
        kept = None
        if below is not None:
            first, second = _pair(sample < below, axis, 1, wrap)
            kept = first & second
        if own is not None:
            size = of_pairs(*_pair(own, axis, 1, wrap))
            kept = size > 0 if kept is None else kept & (size > 0)
            sizes.append(size[kept])
        steps.append(step.flatten() if kept is None else step[kept])
    return torch.cat(steps), torch.cat(sizes) if own is not None else None


def _differences(x: Tensor, axis: int, distance: int, wrap: bool) -> Tensor:
    a, b = _pair(x, axis, distance, wrap)
    return b - a


def _pair(x: Tensor, axis: int, distance: int, wrap: bool) -> tuple[Tensor, Tensor]:
    if wrap:
        return x, x.roll(-distance, axis)
    n = x.shape[axis]
    distance = min(distance, n)
    return x.narrow(axis, 0, n - distance), x.narrow(axis, distance, n - distance)
