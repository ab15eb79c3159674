"""What lies beyond the edge of a lattice: the periodic image or the half-sample mirror image."""

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError

Boundary = Literal["periodic", "reflect"]


def check_boundary(boundary: str) -> Boundary:
    """Return ``boundary`` if it is one of the two known kinds, else raise ``ValueError``."""
    for known in get_args(Boundary):
        if boundary == known:
            return known
    raise InputError(f"boundary is {boundary!r}; it must be 'periodic' or 'reflect'")


def extend(x: Float[Tensor, "b c *l"], width: int, boundary: Boundary) -> Float[Tensor, "b c *e"]:
    """Continue a field by ``width`` sites beyond every edge.

    ``periodic`` wraps around, ``reflect`` mirrors with the edge site repeated
    (half-sample symmetry, the one that block means keep). Any width is allowed,
    also one larger than the lattice.
    """
    if width == 0:
        return x
    lattice = x.shape[2:]
    if boundary == "periodic" and min(lattice) >= width:
        wrapped: Tensor = _CircularPadding.apply(x, width)  # pyright: ignore[reportAssignmentType]
        return wrapped
    if boundary == "reflect" and width == 1:
        with torch.autocast(x.device.type, enabled=False):  # which would compute it in float32
            return F.pad(x, [1] * (2 * len(lattice)), mode="replicate")
    for axis, n in enumerate(lattice, start=2):
        x = x.index_select(axis, _continued_index(n, width, boundary, x.device))
    return x


class _CircularPadding(torch.autograd.Function):
    """As ``torch.nn.functional.pad``, but the channels stay last in memory and the gradient is a few additions."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, width: int) -> Tensor:
        for axis in range(2, x.dim()):
            n = x.shape[axis]
            x = torch.cat([x.narrow(axis, n - width, width), x, x.narrow(axis, 0, width)], axis)
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.width = inputs[1]

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor | None) -> Tensor:
        wrapped: Tensor = _CircularPadding.apply(grad_inputs[0], ctx.width)  # pyright: ignore[reportAssignmentType]
        return wrapped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), w = gradients, ctx.width
        for axis in range(2, gradient.dim()):
            n = gradient.shape[axis] - 2 * w
            inner = gradient.narrow(axis, w, n).clone()
            inner.narrow(axis, 0, w).add_(gradient.narrow(axis, w + n, w))
            inner.narrow(axis, n - w, w).add_(gradient.narrow(axis, 0, w))
            gradient = inner
        return gradient, None


def _continued_index(n: int, width: int, boundary: Boundary, device: torch.device) -> Tensor:
    i = torch.arange(-width, n + width, device=device)
    if boundary == "periodic":
        return i % n
    i = i % (2 * n)
    return torch.minimum(i, 2 * n - 1 - i)
