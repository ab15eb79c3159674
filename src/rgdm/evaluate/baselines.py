"""What anyone can do without a model: deterministic refinements that keep the coarse field."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundary, extend


def block_constant(coarse: Float[Tensor, "B C *K"], factor: int) -> Float[Tensor, "B C *F"]:
    """Every site takes the mean of its block."""
    for axis in range(2, coarse.dim()):
        coarse = coarse.repeat_interleave(factor, axis)
    return coarse


def bicubic(
    coarse: Float[Tensor, "B C *K"], factor: int, boundary: Boundary = "reflect", place: float | None = None
) -> Float[Tensor, "B C *F"]:
    """Separable cubic convolution between the coarse sites; of block means then shifted to exactly these.

    Keys' kernel with a = -1/2 (Keys 1981, IEEE TASSP 29, 1153), in 1, 2 or 3 dimensions;
    the positions are those of ``align_corners=False``. Fields quadratic in each
    coordinate are reproduced up to a constant per block, linear ones exactly.
    With a ``place`` other than the middle of the block (0 is its first site) the coarse values are no block means, and
    nothing is shifted. Beyond an edge that reflects the coarse sites are mirrored about half a coarse step.
    """
    fine = coarse
    for axis in range(2, coarse.dim()):
        fine = _upsample(fine.movedim(axis, -1), factor, boundary, place).movedim(-1, axis)
    if place is not None and place != (factor - 1) / 2:
        return fine
    return fine + block_constant(coarse - block_mean(fine, factor), factor)


def block_mean(field: Float[Tensor, "B C *F"], factor: int) -> Float[Tensor, "B C *K"]:
    """The mean of each block of ``factor`` sites along every axis."""
    for axis in range(2, field.dim()):
        field = field.unflatten(axis, (-1, factor)).mean(axis + 1)
    return field


def _upsample(
    rows: Float[Tensor, "*rest n"], factor: int, boundary: Boundary, place: float | None = None
) -> Float[Tensor, "*rest m"]:
    """The last axis ``factor`` times finer: each site from its four nearest coarse ones."""
    n = rows.shape[-1]
    middle = (factor - 1) / 2
    at = (torch.arange(n * factor, dtype=torch.float64) - (middle if place is None else place)) / factor
    beyond = 2 + math.ceil(max(0.0, -float(at[0]), float(at[-1]) - (n - 1)))
    wide = extend(rows.reshape(-1, 1, n), beyond, boundary)
    left = at.floor()
    fraction, first = at - left, left.long().to(rows.device) + beyond - 1
    fine = torch.zeros(1, dtype=rows.dtype, device=rows.device)
    for tap in range(4):
        weight = _keys(fraction - (tap - 1)).to(rows)
        fine = fine + weight * wide[..., first + tap]
    return fine.reshape(*rows.shape[:-1], n * factor)


def _keys(distance: Tensor, a: float = -0.5) -> Tensor:
    """The cubic convolution kernel."""
    x = distance.abs()
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
