"""Straight lines between the middles of blocks."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundaries, boundary_of_each
from rgdm.scale.coarse_graining import Lattice


def linear(x: Float[Tensor, "B C *K"], factors: Lattice, boundary: Boundaries) -> Float[Tensor, "B C *F"]:
    """A field between whose sites, in the middles of blocks of ``factors`` sites, are straight lines, axis by axis.

    Across a periodic edge they go on; beyond the last middle before an edge the field stays as it is there.
    """
    for axis, (b, side) in enumerate(zip(factors, boundary_of_each(boundary, len(factors)), strict=True), start=2):
        if b == 1:
            continue
        n = x.shape[axis]
        at = (torch.arange(n * b, dtype=torch.float64, device=x.device) + 0.5) / b - 0.5
        left = at.floor().long()
        part = (at - left).to(x).reshape(-1, *[1] * (x.dim() - 1 - axis))
        low, high = (i % n if side == "periodic" else i.clamp(0, n - 1) for i in (left, left + 1))
        x = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return x
