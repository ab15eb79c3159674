"""Tiles: they cover a field once, make what the whole makes, and know nothing of the number of threads."""

import math
import threading

import pytest
import torch

from rgdm.model.closed_form.amplitude import blur
from rgdm.scale import tiles
from rgdm.scale.boundary import extend
from rgdm.scale.tiles import in_tiles, largest, tile_sides, tiling

LATTICES = [(1000,), (64, 48), (7, 90), (20, 16, 18)]
HALO = 3


def neighbours(boundary):
    """A function that looks three sites far, and is not linear."""

    def function(x: torch.Tensor) -> torch.Tensor:
        wide = extend(x, HALO, boundary)
        total = x.square()
        for axis in range(2, x.dim()):
            inner = wide
            for other in range(2, x.dim()):
                if other != axis:
                    inner = inner.narrow(other, HALO, x.shape[other])
            for shift in range(2 * HALO + 1):
                total = total + (1 + shift) * inner.narrow(axis, shift, x.shape[axis])
        return total.sin()

    return function


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("sites", [1, 100, 2**30])
def test_tiles_cover_every_site_of_every_field_once(monkeypatch, batch, lattice, sites):
    monkeypatch.setattr(tiles, "PIECES", 2**20)
    count = torch.zeros(batch, *lattice)
    for tile in tiling(batch, lattice, HALO, sites):
        count[(slice(*tile.fields), *(slice(*span) for span in tile.window))] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("sites", [1, 100, 700])
@torch.no_grad()
def test_tiles_make_the_whole_of_a_local_function(monkeypatch, boundary, lattice, sites):
    monkeypatch.setattr(tiles, "PIECES", 2**20)
    x, calls, lock = torch.randn(2, 2, *lattice, dtype=torch.float64), [], threading.Lock()
    number = torch.arange(2.0, dtype=torch.float64)

    def function(number: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        with lock:
            calls.append(x.shape)
        return neighbours(boundary)(x) + number.reshape(-1, 1, *[1] * len(lattice))

    whole = function(number, x)
    made = in_tiles(function, [x], HALO, boundary, [number], sites=sites)
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-12)
    assert len(calls) > 2
    short = in_tiles(function, [x], HALO - 1, boundary, [number], sites=1)
    assert (short - whole).abs().max() > 0.1  # a halo that is too small shows


@torch.no_grad()
def test_bits_do_not_depend_on_the_number_of_threads():
    x, before, made = (
        torch.randn(1, 2, 150, 130, generator=torch.Generator().manual_seed(1)),
        torch.get_num_threads(),
        [],
    )
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(in_tiles(lambda x: blur(x, 2.0, "periodic"), [x], 5, "periodic"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])


def test_with_gradients_the_whole_is_seen_at_once(monkeypatch):
    monkeypatch.setattr(tiles, "tiling", None)
    x = torch.randn(1, 1, 40, 40, requires_grad=True)
    in_tiles(neighbours("reflect"), [x], HALO, "reflect", sites=1).sum().backward()
    assert x.grad is not None


@torch.no_grad()
def test_under_a_transform_of_functions_the_whole_is_seen_at_once():
    x = torch.randn(3, 1, 1, 40, 40)
    made = torch.func.vmap(lambda x: in_tiles(torch.sin, [x], 1, "periodic", sites=100))(x)
    assert torch.equal(made, x.sin())


def test_fields_of_a_batch_are_told_apart_before_any_is_cut():
    parts = tiling(8, (64, 64), 6)
    assert all(tile.window == ((0, 64), (0, 64)) for tile in parts)
    assert [tile.fields for tile in parts] == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_tiles_are_no_larger_than_asked_for_and_nearly_square():
    for n in (256, 700, 2048):
        sides = tile_sides((n, n), 6, 2**15)
        assert math.prod(sides) <= 2**15 < 4 * math.prod(sides) and max(sides) <= 2 * min(sides)
    assert tile_sides((1024, 64), 6, 2**14) == (256, 64)


def test_what_would_be_mostly_halo_is_not_cut():
    assert tile_sides((40, 40), 30, 100) == (40, 40)
    assert len(tiling(1, (40, 40), 30, 100)) == 1


def test_the_largest_tiles_are_counted_with_halos_and_for_each_thread():
    assert largest(1, (32, 32), 6, 8) == 32 * 32
    one = largest(1, (1024, 1024), 6, 1)
    assert 2**14 < one < 1.25 * 2**15
    assert largest(1, (1024, 1024), 6, 4) == 4 * one


@pytest.mark.parametrize("dimension", [2, 3])
@torch.no_grad()
def test_channels_that_lie_last_in_memory_stay_there(dimension):
    order = torch.channels_last if dimension == 2 else torch.channels_last_3d
    x = torch.randn(2, 4, *(12,) * dimension).contiguous(memory_format=order)
    made = in_tiles(lambda x: x + 1, [x], 0, "periodic", sites=10)
    assert made.is_contiguous(memory_format=order)
    assert torch.equal(made, x + 1)
