"""Gaussian noise that depends on where it is, not on how it is asked for."""

import functools
import hashlib
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.ranges import check_range
from rgdm.scale.coarse_graining import Lattice

BLOCK = {1: 4096, 2: 64, 3: 16}
"""Sites along each axis of one block of noise, by dimension; powers of two."""
Purpose = Literal["sample", "refine", "calibrate", "sweep"]
"""What noise is for. Each purpose has streams of its own, so that one seed serves all of them."""


@dataclass(frozen=True)
class Window:
    """A piece of the lattice of one level: ``lattice`` sites along each axis, from ``origin``.

    Args:
        level: 0 is the finest.
        lattice: sites along each axis.
        origin: the first site; of any sign, for fields without bounds.
    """

    level: int
    lattice: Lattice
    origin: Lattice

    @classmethod
    def whole(cls, level: int, lattice: Sequence[int]) -> "Window":
        """The window of a whole field."""
        return cls(level, tuple(lattice), (0,) * len(lattice))


Noise = Callable[[int, int, Window], Tensor]
"""``(draw, channels, window) -> unit noise (B, channels, *window.lattice)``; ``draw`` numbers what one level needs.

A sampler that is stochastic takes the draws 1, 2, ...; 0 is what a level starts from.
"""


class NoiseField:
    """White unit noise on an unbounded lattice, keyed by (seed, purpose, stream, level, draw, block).

    Every block comes from its own counter-based stream (Philox: Salmon et al. 2011), so a window holds the same bits
    whatever the batch, tile, order or worker. Within a block the sites come in Z-order (Morton 1966), all channels of
    one together: what a small window at its origin needs comes first, and the rest is not drawn.
    """

    def __init__(self, seed: int, purpose: Purpose = "sample") -> None:
        check_range("seed", seed)
        if purpose not in get_args(Purpose):
            raise InputError(f"unknown purpose {purpose!r} of noise; known are {', '.join(get_args(Purpose))}")
        self.seed, self.purpose = operator.index(seed), purpose

    def of(self, streams: Sequence[int]) -> Noise:
        """The noise of a batch: one stream for each field (a sample, or a member of an ensemble)."""

        def noise(draw: int, channels: int, window: Window) -> Tensor:
            return torch.stack([self.window(stream, draw, channels, window) for stream in streams])

        return noise

    def window(self, stream: int, draw: int, channels: int, window: Window) -> Float[Tensor, "C *L"]:
        """The noise (float32) of one stream in a window."""
        lattice, size = window.lattice, BLOCK[len(window.lattice)]
        out = np.empty((channels, *lattice), dtype=np.float32)
        spans = [range(o // size, (o + n - 1) // size + 1) for o, n in zip(window.origin, lattice, strict=True)]
        for block in itertools.product(*spans):
            take, put = [], [slice(None)]
            for b, o, n in zip(block, window.origin, lattice, strict=True):
                low, high = max(o, b * size), min(o + n, (b + 1) * size)
                take.append(slice(low - b * size, high - b * size))
                put.append(slice(low - o, high - o))
            place = _z_order(len(lattice))[tuple(take)]
            values = self._stream(stream, window.level, draw, channels, block).standard_normal(
                (int(place.max()) + 1, channels), dtype=np.float32
            )
            out[tuple(put)] = np.moveaxis(values[place], -1, 0)
        return torch.from_numpy(out)

    def _stream(self, stream: int, level: int, draw: int, channels: int, block: tuple[int, ...]) -> np.random.Generator:
        key = (self.seed, self.purpose, operator.index(stream), level, draw, channels, block)
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


class GivenNoise:
    """Noise that is given as tensors, so that a field is a differentiable function of it.

    Args:
        tensors: for each ``(level, draw)`` the noise of the whole lattice of that level, ``(B, C, *L)``.
    """

    def __init__(self, tensors: Mapping[tuple[int, int], Tensor]) -> None:
        self.tensors = dict(tensors)

    def __call__(self, draw: int, channels: int, window: Window) -> Tensor:
        key = window.level, draw
        if key not in self.tensors:
            raise InputError(f"no noise is given for level {key[0]}, draw {key[1]}; given are {sorted(self.tensors)}")
        whole = self.tensors[key]
        ends = [o + n for o, n in zip(window.origin, window.lattice, strict=True)]
        if whole.shape[1] != channels or min(window.origin) < 0 or any(map(operator.gt, ends, whole.shape[2:])):
            raise InputError(
                f"the noise given for level {key[0]} has the shape {tuple(whole.shape)}; asked for are {channels} "
                f"channels from {window.origin} to {tuple(ends)}"
            )
        return whole[(..., *map(slice, window.origin, ends))]


@functools.cache
def _z_order(dimension: int) -> np.ndarray:
    """The place of each site of a block in its stream: the bits of its coordinates, interleaved."""
    bits = BLOCK[dimension].bit_length() - 1
    place = np.zeros((BLOCK[dimension],) * dimension, dtype=np.int64)
    for axis, coordinate in enumerate(np.indices(place.shape)):
        for bit in range(bits):
            place |= (coordinate >> bit & 1) << (bit * dimension + dimension - 1 - axis)
    return place
