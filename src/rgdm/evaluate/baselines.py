"""What anyone can do without a model: deterministic refinements whose block means are exact."""

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
    coarse: Float[Tensor, "B C *K"], factor: int, boundary: Boundary = "reflect", centred: bool = True
) -> Float[Tensor, "B C *F"]:
    """Separable cubic convolution between block centres, then shifted block by block to the exact means.

    Keys' kernel with a = -1/2 (Keys 1981, IEEE TASSP 29, 1153), in 1, 2 or 3 dimensions;
    the positions are those of ``align_corners=False``. Fields quadratic in each
    coordinate are reproduced up to a constant per block, linear ones exactly.
    If not ``centred`` the coarse values belong to the first site of each block, and stay there.
    """
    fine = coarse
    for axis in range(2, coarse.dim()):
        fine = _upsample(fine.movedim(axis, -1), factor, boundary, centred).movedim(-1, axis)
    if not centred:
        return fine
    return fine + block_constant(coarse - block_mean(fine, factor), factor)


def block_mean(field: Float[Tensor, "B C *F"], factor: int) -> Float[Tensor, "B C *K"]:
    """The mean of each block of ``factor`` sites along every axis."""
    for axis in range(2, field.dim()):
        field = field.unflatten(axis, (-1, factor)).mean(axis + 1)
    return field


def _upsample(
    rows: Float[Tensor, "*rest n"], factor: int, boundary: Boundary, centred: bool = True
) -> Float[Tensor, "*rest m"]:
    """The last axis ``factor`` times finer: each site from its four nearest coarse ones."""
    n = rows.shape[-1]
    wide = extend(rows.reshape(-1, 1, n), 2, boundary)
    shift = 0.5 if centred else 0.0
    place = (torch.arange(n * factor, dtype=torch.float64) + shift) / factor - shift
    left = place.floor()
    fraction, first = place - left, left.long().to(rows.device) + 1
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
