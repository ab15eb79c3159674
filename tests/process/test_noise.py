"""Noise that knows its place: the same bits however they are asked for."""

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rgdm.process.noise import BLOCK, NoiseField, Purpose, Window

SEED = 7


def whole(*lattice: int, level: int = 0) -> Window:
    return Window.whole(level, lattice)


@st.composite
def windows(draw):
    """A window with a cut in it: (origin, lattice, axis, where)."""
    dimension = draw(st.integers(1, 3))
    size = BLOCK[dimension]
    origin = tuple(draw(st.integers(-2 * size, 2 * size)) for _ in range(dimension))
    lattice = tuple(draw(st.integers(2, size + size // 2)) for _ in range(dimension))
    axis = draw(st.integers(0, dimension - 1))
    return origin, lattice, axis, draw(st.integers(1, lattice[axis] - 1))


@settings(max_examples=15)
@given(windows())
def test_two_tiles_hold_the_bits_of_the_whole_window(window):
    origin, lattice, axis, cut = window
    field = NoiseField(SEED)
    low, high, moved = list(lattice), list(lattice), list(origin)
    low[axis], high[axis], moved[axis] = cut, lattice[axis] - cut, origin[axis] + cut
    first = field.window(3, 0, 1, Window(1, tuple(low), origin))
    second = field.window(3, 0, 1, Window(1, tuple(high), tuple(moved)))
    assert torch.equal(torch.cat([first, second], 1 + axis), field.window(3, 0, 1, Window(1, lattice, origin)))


def test_a_batch_of_members_holds_the_bits_of_each_member():
    field, window = NoiseField(SEED), whole(10, 70, level=1)
    batch = field.of(range(2, 5))(0, 2, window)
    for row, member in zip(batch, range(2, 5), strict=True):
        assert torch.equal(row, field.window(member, 0, 2, window))


def test_the_order_of_asking_does_not_matter():
    one, two = NoiseField(SEED), NoiseField(SEED)
    first = [one.window(m, 0, 1, whole(8, 8)) for m in (0, 1, 2)]
    second = [two.window(m, 0, 1, whole(8, 8)) for m in (2, 1, 0)][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def largest_correlation(fields: torch.Tensor) -> tuple[float, float]:
    """Of any two rows, and what five standard errors of it are."""
    flat = fields.flatten(1).double()
    correlation = flat @ flat.T / flat.shape[1] - torch.eye(len(flat), dtype=torch.float64)
    return float(correlation.abs().max()), 5 * (2 / flat.shape[1]) ** 0.5


def test_every_key_has_noise_of_its_own_and_none_is_correlated_with_another():
    fields = [
        NoiseField(seed).window(m, draw, 1, whole(256, 256, level=level))
        for seed, m, level, draw in itertools.product((0, 1), repeat=4)
    ]
    correlation, limit = largest_correlation(torch.stack(fields))
    assert correlation < limit


def test_each_purpose_has_noise_of_its_own_with_one_seed_for_all():
    fields = [NoiseField(SEED, purpose).window(0, 0, 1, whole(256, 256)) for purpose in get_args(Purpose)]
    assert len(fields) == 4
    correlation, limit = largest_correlation(torch.stack(fields))
    assert correlation < limit
    assert torch.equal(fields[0], NoiseField(SEED).window(0, 0, 1, whole(256, 256)))  # sample, unless told otherwise


def test_channels_and_blocks_are_not_correlated():
    blocks = NoiseField(SEED).window(0, 0, 2, whole(256, 256)).unflatten(1, (4, 64)).unflatten(3, (4, 64))
    correlation, limit = largest_correlation(blocks.movedim((2, 4), (3, 4)).reshape(32, -1))
    assert correlation < limit


@pytest.mark.parametrize("shift", [1, 2, 63])
def test_neighbours_are_not_correlated(shift):
    x = NoiseField(SEED).window(0, 0, 1, whole(512, 512)).double()
    for axis in (1, 2):
        assert abs(float((x * x.roll(shift, axis)).mean())) < 4 / x.numel() ** 0.5


@pytest.mark.parametrize("lattice", [(1_000_000,), (1000, 1000), (100, 100, 100)])
def test_the_noise_is_a_unit_gaussian(lattice):
    x = NoiseField(SEED).window(0, 0, 1, whole(*lattice)).double()
    n = x.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float(x.pow(power).mean()) - moment) < 4 * (variance / n) ** 0.5


def test_the_bits_do_not_change_between_versions():
    noise = NoiseField(2024)
    golden = {
        1: [1.048168420791626, 0.3215574026107788, 2.2223198413848877],
        2: [0.500529944896698, -1.2440216541290283, -0.03118290565907955, -1.6933220624923706],
        3: [-0.5873213410377502, -0.02817283757030964],
    }
    assert golden == {
        1: noise.window(0, 0, 1, whole(3)).flatten().tolist(),
        2: noise.window(1, 3, 2, Window(2, (1, 2), (-1, 63))).flatten().tolist(),
        3: NoiseField(2024, "refine").window(5, 1, 1, Window(0, (1, 1, 2), (16, -20, 15))).flatten().tolist(),
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
    small = NoiseField(3).window(0, 0, 2, whole(*(8,) * dimension))
    assert drawn == [(8**dimension, 2)]
    large = NoiseField(3).window(0, 0, 2, whole(*(20,) * dimension))
    assert torch.equal(small, large[(slice(None), *[slice(8)] * dimension)])


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed = -1; a whole number from 0 to 2"):
        NoiseField(-1)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_purpose_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="unknown purpose 'fun' of noise; known are sample, refine, calibrate, sweep"):
        NoiseField(0, "fun")  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("unchecked")
def test_an_integer_is_an_integer_whatever_its_type():
    plain, numpy = (
        NoiseField(seed).window(member, 0, 1, whole(4)) for seed, member in [(3, 2), (np.int64(3), np.int32(2))]
    )
    assert torch.equal(plain, numpy)
