"""Networks evaluated strip by strip, so that memory does not grow with the field."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundaries, boundary_of_each


def channels_last(x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The same values with the channels of a site side by side in memory, where convolutions are twice as fast."""
    if x.dim() == 3:
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


STRIP = 2**16
"""Sites that a network is shown at a time outside training, about."""


def in_strips(
    network: Callable[..., Tensor], fields: list[Tensor], halo: int, boundary: Boundaries
) -> Float[Tensor, "B C *L"]:
    """``network(*fields)`` of a network that looks ``halo`` sites far, strip by strip along the longest axis.

    Equal to the whole but for the order of sums; its intermediate layers stay small enough to be
    kept near the processor, and the memory they take grows with the cross-section only.
    """
    lattice, sites = tuple(fields[0].shape[2:]), fields[0][:, 0].numel()
    rows, axis = max(lattice), 2 + lattice.index(max(lattice))
    height, sides = strip_height(rows, sites, halo), boundary_of_each(boundary, len(lattice))
    if torch.is_grad_enabled() or height >= rows:
        return network(*fields)
    strips = []
    for top in range(0, rows, height):
        first, last = top - halo, min(top + height, rows) + halo
        if sides[axis - 2] == "reflect":  # at an edge the network itself goes on as it does for the whole
            first, last = max(0, first), min(rows, last)
        window = torch.arange(first, last, device=fields[0].device) % rows
        strip = network(*(x.index_select(axis, window) for x in fields))
        strips.append(strip.narrow(axis, top - first, min(height, rows - top)))
    return torch.cat(strips, axis)


def strip_height(rows: int, sites: int, halo: int) -> int:
    """How many rows of a lattice a network sees at a time, without their halo; all where that is no less work."""
    height = max(halo, STRIP * rows // max(1, sites))
    return rows if sites <= STRIP or height + 2 * halo >= rows else height
