"""The backbones by name: a closed list, so that one cascade can be trained with each of them, level by level.

``conv`` is the local network of this package. The others look everywhere; their layers come from packages of the extra
``rgdm[backbones]``, which are imported when one is made.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from rgdm.design import BackboneKind
from rgdm.errors import InputError
from rgdm.model.networks.backbone import Backbone
from rgdm.model.networks.everywhere import Size
from rgdm.model.networks.fourier_operator import FourierOperator
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.networks.transformer import Transformer
from rgdm.model.networks.unet import UNet
from rgdm.scale.boundary import Boundaries, boundary_of_each


def make_backbone(
    kind: BackboneKind,
    channels: int,
    condition_channels: int,
    dimension: int,
    boundary: Boundaries,
    width: int,
    blocks: tuple[int, int],
) -> Backbone:
    """An untrained backbone; it returns exactly 0, so that the linear-Gaussian estimate is left alone.

    Args:
        kind: ``conv``, ``unet``, ``dit`` or ``fno``.
        channels: of the noisy state, and of what is returned.
        condition_channels: of the condition.
        dimension: 1, 2 or 3; ``unet`` and ``dit`` have 2.
        boundary: what lies beyond the edges.
        width: channels inside; a multiple of 4 for ``dit``.
        blocks: those of encoder and decoder. ``conv`` has both; ``unet`` has as many resolutions as there are encoder
            blocks, 2 or 3, with as many residual blocks each as there are decoder blocks; ``dit`` and ``fno``
            have as many layers as there are blocks of both.
    """
    _check_kind(kind)
    fitting = [other for other in get_args(BackboneKind) if dimension in _dimensions(other)]
    if kind not in fitting:
        raise InputError(
            f"the backbone {kind!r} is for {' or '.join(map(str, _dimensions(kind)))} dimensions, not {dimension}"
            + (f"; {' and '.join(fitting)} would fit" if fitting else "")
        )
    boundary = boundary_of_each(boundary, dimension)
    if kind == "conv":
        return LocalConvNet(channels, condition_channels, dimension, boundary, width, *blocks)
    if min(channels, width) < 1 or condition_channels < 0 or min(blocks) < 0 or sum(blocks) < 1:
        raise InputError(
            f"channels = {channels}, condition_channels = {condition_channels}, width = {width}, blocks = {blocks}; "
            f"the backbone {kind!r} needs a channel, a width of one and a block at least"
        )
    size = Size(channels, condition_channels, dimension, boundary, width, blocks)
    return {"unet": UNet, "dit": Transformer, "fno": FourierOperator}[kind](size)


def multiply_adds(backbone: Backbone, lattice: Sequence[int], condition_channels: int) -> tuple[int, int]:
    """Multiplications with an addition for one field: of ``encode``, once a level, and of each ``forward``.

    Counted from shapes, nothing is computed. Those of convolutions, matrix products, attention and Fourier transforms
    (half of ``5 N log2 N`` operations for N complex values, a quarter for real ones); not those of pointwise functions.
    The lattice is seen as a whole; the tiles of :func:`~rgdm.scale.tiles.in_tiles` have halos on top.
    """
    from torch._subclasses import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and rarely needed

    counter, like = partial(FlopCounterMode, display=False, custom_mapping=_transforms()), next(backbone.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        x, condition = (like.new_zeros(1, count, *lattice) for count in (backbone.channels, condition_channels))
        with counter() as encoding:
            features = backbone.encode(condition)
        with counter() as each:
            backbone(x, like.new_zeros(1), features)
    return encoding.get_total_flops() // 2, each.get_total_flops() // 2


def _transforms() -> dict[Any, Callable[..., int]]:
    """Operations of Fourier transforms, from the shapes of what they are given and make."""

    def operations(shape: Sequence[int], axes: Sequence[int]) -> int:
        return int(5 * math.prod(shape) * math.log2(max(2, math.prod(shape[axis] for axis in axes))))

    return {
        torch.ops.aten._fft_r2c: lambda shape, axes, *_, **__: operations(shape, axes) // 2,
        torch.ops.aten._fft_c2r: lambda _, axes, *__, out_shape, **___: operations(out_shape, axes) // 2,
        torch.ops.aten._fft_c2c: lambda shape, axes, *_, **__: operations(shape, axes),
    }


def _check_kind(kind: str) -> None:
    if kind not in get_args(BackboneKind):
        raise InputError(f"unknown backbone {kind!r}; known are {', '.join(get_args(BackboneKind))}")


def _dimensions(kind: str) -> tuple[int, ...]:
    return (2,) if kind in ("unet", "dit") else (1, 2, 3)
