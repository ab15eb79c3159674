"""Noise that knows its place: the same bits however they are asked for."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.process.noise import BLOCK, NoiseField

SEED = 7


@st.composite
def windows(draw):
    """A window with a cut in it: (origin, lattice, axis, where)."""
    dimension = draw(st.integers(1, 3))
    size = BLOCK[dimension]
    origin = tuple(draw(st.integers(-2 * size, 2 * size)) for _ in range(dimension))
    lattice = tuple(draw(st.integers(2, size + size // 2)) for _ in range(dimension))
    axis = draw(st.integers(0, dimension - 1))
    return origin, lattice, axis, draw(st.integers(1, lattice[axis] - 1))


@given(windows())
def test_two_tiles_hold_the_bits_of_the_whole_window(window):
    origin, lattice, axis, cut = window
    whole = NoiseField(SEED).window(3, 1, 0, 1, lattice, origin)
    low, high, moved = list(lattice), list(lattice), list(origin)
    low[axis], high[axis], moved[axis] = cut, lattice[axis] - cut, origin[axis] + cut
    first = NoiseField(SEED).window(3, 1, 0, 1, tuple(low), origin)
    second = NoiseField(SEED).window(3, 1, 0, 1, tuple(high), tuple(moved))
    assert torch.equal(torch.cat([first, second], 1 + axis), whole)


def test_a_batch_of_members_holds_the_bits_of_each_member():
    noise = NoiseField(SEED)
    batch = noise.members(range(2, 5), 1, 0, 2, (10, 70))
    for row, member in zip(batch, range(2, 5), strict=True):
        assert torch.equal(row, noise.window(member, 1, 0, 2, (10, 70)))


def test_the_order_of_asking_does_not_matter():
    one, two = NoiseField(SEED), NoiseField(SEED)
    first = [one.window(m, 0, 0, 1, (8, 8)) for m in (0, 1, 2)]
    second = [two.window(m, 0, 0, 1, (8, 8)) for m in (2, 1, 0)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_key_has_noise_of_its_own_and_none_is_correlated_with_another():
    lattice = (256, 256)
    fields = [
        NoiseField(seed).window(m, level, draw, 1, lattice)
        for seed, m, level, draw in itertools.product((0, 1), repeat=4)
    ]
    flat = torch.stack(fields).flatten(1).double()
    correlation = flat @ flat.T / flat.shape[1] - torch.eye(len(flat), dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 * (2 / flat.shape[1]) ** 0.5


def test_channels_and_blocks_are_not_correlated():
    blocks = NoiseField(SEED).window(0, 0, 0, 2, (256, 256)).unflatten(1, (4, 64)).unflatten(3, (4, 64))
    flat = blocks.movedim((2, 4), (3, 4)).reshape(32, -1).double()
    correlation = flat @ flat.T / flat.shape[1] - torch.eye(32, dtype=torch.float64)
    assert float(correlation.abs().max()) < 5 * (2 / flat.shape[1]) ** 0.5


@pytest.mark.parametrize("shift", [1, 2, 63])
def test_neighbours_are_not_correlated(shift):
    x = NoiseField(SEED).window(0, 0, 0, 1, (512, 512)).double()
    for axis in (1, 2):
        assert abs(float((x * x.roll(shift, axis)).mean())) < 4 / x.numel() ** 0.5


@pytest.mark.parametrize("lattice", [(1_000_000,), (1000, 1000), (100, 100, 100)])
def test_the_noise_is_a_unit_gaussian(lattice):
    x = NoiseField(SEED).window(0, 0, 0, 1, lattice).double()
    n = x.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float(x.pow(power).mean()) - moment) < 4 * (variance / n) ** 0.5


def test_the_bits_do_not_change_between_versions():
    noise = NoiseField(2024)
    golden = {
        1: [-0.38382527232170105, -0.8614479899406433, 0.17434795200824738],
        2: [0.9965170621871948, 0.714066207408905, 1.3292380571365356, -0.7395173907279968],
        3: [-1.1982015371322632, -0.9509941339492798],
    }
    assert golden == {
        1: noise.window(0, 0, 0, 1, (3,)).flatten().tolist(),
        2: noise.window(1, 2, 3, 2, (1, 2), (-1, 63)).flatten().tolist(),
        3: noise.window(5, 0, 1, 1, (1, 1, 2), (16, -20, 15)).flatten().tolist(),
    }


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_small_window_draws_no_more_than_it_needs(dimension, monkeypatch):
    drawn, stream = [], NoiseField._stream

    class Counting:
        def __init__(self, of):
            self.of = of

        def standard_normal(self, shape, dtype):
            drawn.append(shape)
            return self.of.standard_normal(shape, dtype=dtype)

    monkeypatch.setattr(NoiseField, "_stream", lambda *a: Counting(stream(*a)))
    small = NoiseField(3).window(0, 0, 0, 2, (8,) * dimension)
    assert drawn == [(8**dimension, 2)]
    large = NoiseField(3).window(0, 0, 0, 2, (20,) * dimension)
    assert torch.equal(small, large[(slice(None), *[slice(8)] * dimension)])


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="the seed is -1; it must not be negative"):
        NoiseField(-1)


@pytest.mark.usefixtures("unchecked")
def test_an_integer_is_an_integer_whatever_its_type():
    plain, numpy = (
        NoiseField(seed).window(member, 0, 0, 1, (4,)) for seed, member in [(3, 2), (np.int64(3), np.int32(2))]
    )
    assert torch.equal(plain, numpy)
