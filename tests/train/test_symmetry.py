"""Fields are turned in a training only as far as they are like their images."""

import math

import pytest
import torch

from rgdm.model.closed_form.amplitude import blur
from rgdm.scale.grid import Axis, Grid
from rgdm.train.symmetry import Turns, turns_of

pytestmark = pytest.mark.usefixtures("float64")

GRID = Grid((Axis("lat"), Axis("lon")))
SEEDS = range(20)


def smooth(seed: int, count: int = 20, shape: tuple[int, ...] = (48, 48)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return blur(torch.randn(count, 1, *shape, generator=generator, dtype=torch.float64), 1.5, "reflect")


def test_isotropic_fields_are_mirrored_and_transposed():
    found = [turns_of(smooth(seed), GRID) for seed in SEEDS]
    assert found == [(Turns(True, True), [])] * len(SEEDS)


@pytest.mark.parametrize("count", [20, 1])
def test_heavy_tails_are_no_asymmetry(count):
    """A log-normal field is skewed, its differences are not."""
    shape = (48, 48) if count > 1 else (96, 192)
    found = [turns_of((2 * smooth(seed, count, shape) / smooth(0).std()).exp(), GRID)[0] for seed in SEEDS]
    assert sum(each == Turns(True, True) for each in found) >= len(SEEDS) - 1


@pytest.mark.parametrize("count", [20, 1])
def test_fields_that_are_longer_along_one_axis_are_not_transposed(count):
    x = smooth(3, count, (48, 96))[..., ::2] if count > 1 else smooth(3, 1, (96, 384))[..., ::2]
    turns, said = turns_of(x, GRID)
    assert turns == Turns(True, False)
    assert len(said) == 1 and "along lon as along lat" in said[0] and "not transposed" in said[0]
    assert "along lat as along lon" in turns_of(x.transpose(2, 3), GRID)[1][0]


def test_fields_with_steep_fronts_on_one_side_are_not_mirrored():
    x = smooth(4)
    x = x / x.std()
    for _ in range(6):  # a wave that breaks
        x = x - 0.15 * x * (x - x.roll(1, -1)).clamp(-2, 2)
    turns, said = turns_of(x[..., 1:], GRID)
    assert turns == Turns(False, False)
    assert any("lon" in each and "skewness" in each for each in said)


def test_fields_that_lean_are_not_mirrored():
    x = smooth(5)
    x = x + x.roll((1, 1), (-1, -2)) + x.roll((2, 2), (-1, -2))
    turns, said = turns_of(x[..., 2:, 2:], GRID)
    assert turns == Turns(False, False)
    assert any("tilted" in each for each in said)


def test_axes_that_are_not_alike_are_not_compared():
    grid = Grid((Axis("lat"), Axis("lon", "periodic")))
    x = smooth(6, 20, (48, 96))[..., ::2]
    assert turns_of(x, grid) == (Turns(True, True), [])


def test_missing_values_do_not_count():
    x = smooth(7, 20, (48, 96))[..., ::2].clone()
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.2
    x[gaps] = math.nan
    assert turns_of(x, GRID)[0] == Turns(True, False)
    x[:] = math.nan
    assert turns_of(x, GRID) == (Turns(True, True), [])


@pytest.mark.parametrize("shape", [(16,), (3, 3), (1, 8), (8, 8, 8)])
def test_small_and_other_lattices_are_looked_at_too(shape):
    x = torch.randn(12, 2, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert turns_of(x, Grid.uniform(len(shape), "reflect"))[0] == Turns(True, True)


def test_constant_fields_have_no_side():
    assert turns_of(torch.ones(12, 1, 16, 16), GRID) == (Turns(True, True), [])


def test_few_blocks_say_nothing():
    found = [turns_of(smooth(seed, 1, (64, 64)), GRID)[0] for seed in SEEDS]
    assert found == [Turns(True, True)] * len(SEEDS)
