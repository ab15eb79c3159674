"""What lies beyond the edge of a lattice: the periodic image or the half-sample mirror image."""

from typing import Any, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rgdm.design import Boundary
from rgdm.errors import InputError
from rgdm.ranges import shown
from rgdm.workers import watched

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
Boundaries = Boundary | tuple[Boundary, ...]
"""One boundary for all axes, or one for each."""


def check_boundary(boundary: str) -> Boundary:
    """Return ``boundary`` if it is one of the two known kinds, else raise ``ValueError``."""
    for known in get_args(Boundary):
        if boundary == known:
            return known
    raise InputError(f"boundary is {shown(boundary)}; it must be 'periodic' or 'reflect'")


def boundary_of_each(boundary: Boundaries | str | list[str], dimension: int) -> tuple[Boundary, ...]:
    """The boundary of each of ``dimension`` axes; ``ValueError`` if one is unknown or their number is wrong."""
    each = (boundary,) * dimension if isinstance(boundary, str) else tuple(boundary)
    if len(each) == 1:
        each *= dimension
    if len(each) != dimension:
        raise InputError(
            f"{len(each)} boundaries ({', '.join(each)}) for {dimension} axes; give one for all, or one each"
        )
    return tuple(check_boundary(side) for side in each)


def extend(x: Float[Tensor, "b c *l"], width: int, boundary: Boundaries) -> Float[Tensor, "b c *e"]:
    """Continue a field by ``width`` sites beyond every edge.

    ``periodic`` wraps around, ``reflect`` mirrors with the edge site repeated (half-sample symmetry, the one that
    block means keep). Any width is allowed, also one larger than the lattice.
    """
    if width == 0:
        return x
    sides = dict(enumerate(boundary_of_each(boundary, x.dim() - 2), start=2))
    wrapped = tuple(axis for axis, side in sides.items() if side == "periodic" and x.shape[axis] >= width)
    if wrapped:
        x = _CircularPadding.apply(x, width, wrapped)  # pyright: ignore[reportAssignmentType]
    mirrored = [axis for axis, side in sides.items() if side == "reflect"]
    if mirrored and width == 1:
        pads = [width if axis in mirrored else 0 for axis in reversed(sides) for _ in (0, 1)]
        with torch.autocast(x.device.type, enabled=False):  # which would compute it in float32
            x = F.pad(x, pads, mode="replicate")
        mirrored = []
    for axis, side in sides.items():
        if axis in mirrored or (side == "periodic" and axis not in wrapped):
            n = x.shape[axis]
            x = x.index_select(axis, continued_index(-width, n + width, n, side, x.device))
    return x


def extend_silu(x: Float[Tensor, "b c *l"], boundary: Boundaries, leak: float = 0.0) -> Float[Tensor, "b c *e"]:
    """``extend(silu(x) + leak x, 1, boundary)`` but for rounding; without gradients in one pass over memory less."""
    if watched() or torch.is_autocast_enabled(x.device.type):
        return extend(F.silu(x) + leak * x if leak else F.silu(x), 1, boundary)
    last = x.dim() > 3 and x.is_contiguous(memory_format=_CHANNELS_LAST[x.dim()])
    order = _CHANNELS_LAST[x.dim()] if last else torch.contiguous_format
    shape = (*x.shape[:2], *(n + 2 for n in x.shape[2:]))
    wide = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)
    inside = wide[(..., *[slice(1, -1)] * (x.dim() - 2))]
    torch.ops.aten.silu.out(x, out=inside)
    if leak:
        inside.add_(x, alpha=leak)
    for axis, side in enumerate(boundary_of_each(boundary, x.dim() - 2), start=2):  # later axes fill corners
        n = x.shape[axis]
        for edge, source in ((0, n), (n + 1, 1)) if side == "periodic" else ((0, 1), (n + 1, n)):
            wide.select(axis, edge).copy_(wide.select(axis, source))
    return wide


def continued_index(first: int, last: int, n: int, boundary: Boundary, device: torch.device) -> Tensor:
    """Which of n sites stands for each of the sites ``first .. last - 1`` of the line that goes on beyond both ends."""
    i = torch.arange(first, last, device=device) % (n if boundary == "periodic" else 2 * n)
    return torch.minimum(i, 2 * n - 1 - i)


class _CircularPadding(torch.autograd.Function):
    """As ``torch.nn.functional.pad``, but the channels stay last in memory and the gradient is a few additions."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, width: int, axes: tuple[int, ...]) -> Tensor:
        for axis in axes:
            n = x.shape[axis]
            x = torch.cat([x.narrow(axis, n - width, width), x, x.narrow(axis, 0, width)], axis)
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, tuple[int, ...]], output: Tensor) -> None:
        _, ctx.width, ctx.axes = inputs

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor | None) -> Tensor:
        padded: Tensor = _CircularPadding.apply(grad_inputs[0], ctx.width, ctx.axes)  # pyright: ignore[reportAssignmentType]
        return padded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), w = gradients, ctx.width
        for axis in ctx.axes:
            n = gradient.shape[axis] - 2 * w
            inner = gradient.narrow(axis, w, n).clone()
            inner.narrow(axis, 0, w).add_(gradient.narrow(axis, w + n, w))
            inner.narrow(axis, n - w, w).add_(gradient.narrow(axis, 0, w))
            gradient = inner
        return gradient, None, None
