"""Gaussian noise that depends on where it is, not on how it is asked for."""

import functools
import hashlib
import itertools
import operator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import Lattice

BLOCK = {1: 4096, 2: 64, 3: 16}
"""Sites along each axis of one block of noise, by dimension; powers of two."""


class NoiseField:
    """White unit noise on an unbounded lattice, keyed by (seed, member, level, draw, block).

    Every block comes from its own counter-based stream (Philox: Salmon et al. 2011),
    so a window holds the same bits whatever the batch, tile, order or worker. Within a block the sites come in
    Z-order (Morton 1966), all channels of one together: what a small window at its origin needs comes first, and the
    rest is not drawn.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise InputError(f"the seed is {seed}; it must not be negative")
        self.seed = operator.index(seed)

    def window(
        self, member: int, level: int, draw: int, channels: int, lattice: Lattice, origin: Lattice | None = None
    ) -> Float[Tensor, "C *L"]:
        """The noise (float32) of the window ``origin .. origin + lattice``, ``(channels, *lattice)``."""
        origin = origin or (0,) * len(lattice)
        size = BLOCK[len(lattice)]
        out = np.empty((channels, *lattice), dtype=np.float32)
        spans = [range(o // size, (o + n - 1) // size + 1) for o, n in zip(origin, lattice, strict=True)]
        for block in itertools.product(*spans):
            take, put = [], [slice(None)]
            for b, o, n in zip(block, origin, lattice, strict=True):
                low, high = max(o, b * size), min(o + n, (b + 1) * size)
                take.append(slice(low - b * size, high - b * size))
                put.append(slice(low - o, high - o))
            place = _z_order(len(lattice))[tuple(take)]
            values = self._stream(member, level, draw, channels, block).standard_normal(
                (int(place.max()) + 1, channels), dtype=np.float32
            )
            out[tuple(put)] = np.moveaxis(values[place], -1, 0)
        return torch.from_numpy(out)

    def members(
        self, members: range, level: int, draw: int, channels: int, lattice: Lattice
    ) -> Float[Tensor, "B C *L"]:
        """The same window of several members, stacked."""
        return torch.stack([self.window(m, level, draw, channels, lattice) for m in members])

    def _stream(self, member: int, level: int, draw: int, channels: int, block: tuple[int, ...]) -> np.random.Generator:
        name = repr((self.seed, operator.index(member), level, draw, channels, block)).encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
        return np.random.Generator(np.random.Philox(key=key))


@functools.cache
def _z_order(dimension: int) -> np.ndarray:
    """The place of each site of a block in its stream: the bits of its coordinates, interleaved."""
    bits = BLOCK[dimension].bit_length() - 1
    place = np.zeros((BLOCK[dimension],) * dimension, dtype=np.int64)
    for axis, coordinate in enumerate(np.indices(place.shape)):
        for bit in range(bits):
            place |= (coordinate >> bit & 1) << (bit * dimension + dimension - 1 - axis)
    return place
