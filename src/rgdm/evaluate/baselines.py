"""Refinements without a model: deterministic, and exact about the coarse field."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each, extend

Factors = int | tuple[int, ...]
"""One factor for all axes, or one for each axis."""


def block_constant(coarse: Float[Tensor, "B C *K"], factor: Factors) -> Float[Tensor, "B C *F"]:
    """Every site takes the mean of its block."""
    for axis, b in enumerate(_of_each(factor, coarse), start=2):
        coarse = coarse.repeat_interleave(b, axis)
    return coarse


def bicubic(
    coarse: Float[Tensor, "B C *K"],
    factor: Factors,
    boundary: Boundaries = "reflect",
    places: tuple[float, ...] | None = None,
) -> Float[Tensor, "B C *F"]:
    """Separable cubic convolution of the coarse field, shifted in each block to its mean.

    The kernel is that of Keys with a = -1/2 (Keys 1981, IEEE TASSP 29, 1153), in 1, 2 or 3 dimensions; positions are
    those of ``align_corners=False``. Linear fields are reproduced exactly, fields quadratic in each coordinate up to a
    constant per block. Beyond a reflecting edge the coarse field is mirrored about the edge, half a coarse step away.

    Args:
        coarse: block means, or values at ``places``.
        factor: fine sites per coarse site.
        boundary: of all axes or of each.
        places: position of a coarse value in its block for each axis, by default the middle; 0 is the first site. In
            any other place the coarse values are no block means, and nothing is shifted.
    """
    fine, factors, sides = coarse, _of_each(factor, coarse), boundary_of_each(boundary, coarse.dim() - 2)
    middles = tuple((b - 1) / 2 for b in factors)
    places = places or middles
    for axis, (b, side, place) in enumerate(zip(factors, sides, places, strict=True), start=2):
        fine = _upsample(fine.movedim(axis, -1), b, side, place).movedim(-1, axis)
    if places != middles:
        return fine
    return fine + block_constant(coarse - block_mean(fine, factor), factor)


def block_mean(field: Float[Tensor, "B C *F"], factor: Factors) -> Float[Tensor, "B C *K"]:
    """The mean of each block of ``factor`` sites along every axis."""
    for axis, b in enumerate(_of_each(factor, field), start=2):
        field = field.unflatten(axis, (-1, b)).mean(axis + 1)
    return field


def _of_each(factor: Factors, field: Tensor) -> tuple[int, ...]:
    return (factor,) * (field.dim() - 2) if isinstance(factor, int) else factor


def _upsample(rows: Float[Tensor, "*A n"], factor: int, boundary: Boundary, place: float) -> Float[Tensor, "*A m"]:
    """The last axis ``factor`` times finer: each site from its four nearest coarse ones."""
    n = rows.shape[-1]
    at = (torch.arange(n * factor, dtype=torch.float64) - place) / factor
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
