"""Local functions of a field, tile by tile: memory does not grow with the field, and tiles are shared among threads."""

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each
from rgdm.scale.coarse_graining import Lattice
from rgdm.workers import each, shareable, watched

SITES = {1: 2**15, 2: 2**15, 3: 2**17}
"""Most sites of a tile without its halo, by dimension: networks of 32 channels are the fastest at that (measured)."""
PIECES = 4
"""Smaller fields are cut into so many tiles, so that threads share them, but into none below a quarter of the most;
and still smaller ones in two, down to a sixteenth, where halos cost as much as a second thread saves."""


@dataclass(frozen=True)
class Tile:
    """Some fields of a batch in a window of the lattice, one span ``(first, last + 1)`` for the batch and each axis."""

    fields: tuple[int, int]
    window: tuple[tuple[int, int], ...]


def in_tiles(
    function: Callable[..., Tensor],
    fields: Sequence[Tensor],
    halo: int,
    boundary: Boundaries,
    of_each: Sequence[Tensor] = (),
    sites: int | None = None,
) -> Float[Tensor, "B C *L"]:
    """``function(*of_each, *fields)`` of a function that looks ``halo`` sites far, tile by tile.

    Equal to the whole but for the order of sums. Tiles are computed by several threads
    (:func:`rgdm.workers.each`), and are the same for any number of them. With gradients the function sees all at once.

    Args:
        function: keeps the lattice; of tensors ``(B, *)`` without a lattice, and of fields.
        fields: ``(B, C, *L)``, all on one lattice.
        halo: sites.
        boundary: of each axis. At an edge that reflects, and along an axis that is not cut, the function itself goes
            on as it does for the whole.
        of_each: for each field of the batch something that has no lattice.
        sites: most sites of a tile without its halo; by default :data:`SITES`.
    """
    first = fields[0]
    if watched():
        return function(*of_each, *fields)
    lattice, sides = tuple(first.shape[2:]), boundary_of_each(boundary, first.dim() - 2)
    tiles = tiling(len(first), lattice, halo, sites)
    out: list[Tensor] = []
    lock = threading.Lock()

    def make(tile: Tile) -> None:
        spans = [_seen(*span, halo, n, side) for span, n, side in zip(tile.window, lattice, sides, strict=True)]
        part = function(*(x[slice(*tile.fields)] for x in of_each), *(_cut(x, tile.fields, spans) for x in fields))
        with lock:
            if not out:
                out.append(_like(part, (len(first), part.shape[1], *lattice)))
        inside = (slice(a - o, b - o) for (a, b), (o, _) in zip(tile.window, spans, strict=True))
        out[0][(slice(*tile.fields), slice(None), *itertools.starmap(slice, tile.window))] = part[(..., *inside)]

    if shareable(*fields):
        each(make, tiles)
    else:
        for tile in tiles:
            make(tile)
    return out[0]


def tiling(batch: int, lattice: Lattice, halo: int, sites: int | None = None) -> list[Tile]:
    """How a batch of fields is cut: into fields first, which need no halo, then along the axes that are longest.

    It depends on nothing but its arguments, so that results do not depend on the machine.
    """
    usual, total = SITES[len(lattice)], batch * math.prod(lattice)
    least = usual // PIECES if total > usual // PIECES else max(usual // PIECES**2, -(-total // 2))
    most = min(usual if sites is None else sites, max(least, total // PIECES))
    together = min(batch, max(1, most // max(1, math.prod(lattice))))
    counts = [-(-n // side) for n, side in zip(lattice, tile_sides(lattice, halo, most), strict=True)]
    spans = [_spans(batch, -(-batch // together)), *map(_spans, lattice, counts)]
    return [Tile(fields, tuple(window)) for fields, *window in itertools.product(*spans)]


def tile_sides(lattice: Lattice, halo: int, sites: int) -> Lattice:
    """The largest sides of a tile of at most so many sites; more where halos would be as much work as the whole."""
    counts = [1] * len(lattice)
    while True:
        sides = [-(-n // count) for n, count in zip(lattice, counts, strict=True)]
        smaller = [-(-n // (count + 1)) for n, count in zip(lattice, counts, strict=True)]
        allowed = [
            axis for axis, side in enumerate(smaller) if side >= max(1, halo) and side + 2 * halo < lattice[axis]
        ]
        if math.prod(sides) <= sites or not allowed:
            return tuple(sides)
        counts[max(allowed, key=sides.__getitem__)] += 1


def largest(batch: int, lattice: Lattice, halo: int, count: int) -> int:
    """The sites, halos included, of the largest tiles that are seen at a time by so many threads."""
    tiles = tiling(batch, lattice, halo)
    fields = max(last - first for first, last in (tile.fields for tile in tiles))
    sides = [
        min(n, max(last - first for first, last in (tile.window[axis] for tile in tiles)) + 2 * halo)
        for axis, n in enumerate(lattice)
    ]
    return min(count, len(tiles)) * fields * math.prod(sides)


def _spans(n: int, count: int) -> list[tuple[int, int]]:
    """0 .. n in ``count`` spans of nearly one length."""
    ends = [n * i // count for i in range(count + 1)]
    return list(itertools.pairwise(ends))


def _seen(first: int, last: int, halo: int, n: int, side: Boundary) -> tuple[int, int]:
    """The sites that are needed for these; beyond a periodic edge they go on."""
    if (first, last) == (0, n):
        return 0, n
    first, last = first - halo, last + halo
    return (first, last) if side == "periodic" else (max(0, first), min(n, last))


def _cut(x: Tensor, fields: tuple[int, int], spans: Sequence[tuple[int, int]]) -> Tensor:
    x = x[slice(*fields)]
    for axis, (first, last) in enumerate(spans, start=2):
        n = x.shape[axis]
        if first >= 0 and last <= n:
            x = x.narrow(axis, first, last - first)
        else:
            x = x.index_select(axis, torch.arange(first, last, device=x.device) % n)
    return x


def _like(part: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Room for the whole, in the order in memory that a part has."""
    for order in (torch.channels_last, torch.channels_last_3d):
        if part.dim() == (4 if order == torch.channels_last else 5) and part.is_contiguous(memory_format=order):
            return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=order)
    return part.new_empty(shape)
