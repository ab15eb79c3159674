"""Block spins on a measure: weighted means kept exactly, whatever the weights, the gaps and the detail."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.weighted import WeightedBlocks

pytestmark = pytest.mark.usefixtures("float64")

LATTICES = [(2, (16,)), (2, (8, 12)), (2, (4, 8, 4)), (3, (9,)), (3, (6, 9)), (4, (8, 16))]
every_lattice = pytest.mark.parametrize(("b", "lattice"), LATTICES)


def areas(lattice: tuple[int, ...], missing: float = 0.0, batch: int = 1) -> torch.Tensor:
    """Weights from .2 to 1.2, of which some are 0."""
    weights = torch.rand(batch, 1, *lattice) + 0.2
    return torch.where(torch.rand_like(weights) < missing, 0.0, weights)


def block_means(x: torch.Tensor, weights: torch.Tensor, b: int) -> torch.Tensor:
    """Weighted means of blocks by their definition."""

    def total(each: torch.Tensor) -> torch.Tensor:
        for axis in range(2, each.dim()):
            each = each.unflatten(axis, (-1, b)).sum(axis + 1)
        return each

    return total(torch.where(weights > 0, weights * x, 0.0)) / total(weights.expand_as(x))


@every_lattice
def test_equal_weights_are_block_spins(b, lattice):
    x, plain = torch.randn(3, 2, *lattice), BlockSpin(b)
    weighted = WeightedBlocks(plain, torch.full((1, 1, *lattice), 0.7))
    for mine, theirs in zip(weighted.split(x), plain.split(x), strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(weighted.merge(*plain.split(x)), x)
    assert weighted.present is None


@every_lattice
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_sites_that_are_there_come_back_and_the_coarse_field_is_the_weighted_mean(b, lattice, missing):
    x, weights = 280 + torch.randn(3, 2, *lattice), areas(lattice, missing, 3)
    if missing:
        weights[(0, 0, *(slice(0, b),) * len(lattice))] = 0  # a whole block
    operator = WeightedBlocks(BlockSpin(b), weights)
    coarse, detail = operator.split(x)
    there = operator.coarse_weights.expand_as(coarse) > 0
    means = block_means(x, weights, b)
    torch.testing.assert_close(coarse[there] / operator.gain(len(lattice)), means[there], rtol=1e-14, atol=0)
    again = operator.merge(coarse, detail)
    torch.testing.assert_close(again, torch.where(weights > 0, x, 0.0), rtol=1e-13, atol=0)
    assert bool((coarse[~there] == 0).all())


@every_lattice
def test_no_detail_changes_a_weighted_mean(b, lattice):
    operator = WeightedBlocks(BlockSpin(b), areas(lattice, 0.4, 2))
    coarse, detail = operator.split(torch.randn(2, 3, *lattice))
    nonsense = operator.merge(coarse, 10 * torch.randn_like(detail))
    assert float(nonsense.std()) > 3
    torch.testing.assert_close(operator.coarsen(nonsense), coarse, rtol=0, atol=1e-13)


def test_what_stands_where_nothing_is_does_not_matter():
    weights = areas((8, 8), 0.4)
    operator, x = WeightedBlocks(BlockSpin(2), weights), torch.randn(1, 1, 8, 8)
    expected = operator.split(x)
    for nothing in (math.nan, math.inf, 9.97e36):
        for mine, theirs in zip(operator.split(torch.where(weights > 0, x, nothing)), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("lattice", [(16,), (8, 12), (4, 8, 4)])
def test_sites_that_are_there_are_as_many_as_coarse_sites_and_details(lattice):
    weights = areas(lattice, 0.5)
    operator = WeightedBlocks(BlockSpin(2), weights)
    detail = operator.split(torch.randn(1, 1, *lattice))[1]
    parts = int((operator.coarse_weights > 0).sum()) + int(operator.present.sum())
    assert parts == int((weights > 0).sum())
    assert bool((detail[~operator.present] == 0).all())
    assert bool((detail[operator.present] != 0).all())


def test_levels_make_the_weighted_means_of_larger_blocks():
    weights, x = areas((16, 24), 0.5, 2), 280 + torch.randn(2, 1, 16, 24)
    weights[:, :, :8, :8] = 0
    fine, left, details, steps = x, weights, [], []
    for _ in range(3):
        steps.append(WeightedBlocks(BlockSpin(2), left))
        fine, detail = steps[-1].split(fine)
        details.append(detail)
        left = steps[-1].coarse_weights
    there = left > 0
    torch.testing.assert_close((fine / 8)[there], block_means(x, weights, 8)[there], rtol=1e-13, atol=0)
    for step, detail in zip(reversed(steps), reversed(details), strict=True):
        fine = step.merge(fine, detail)
    torch.testing.assert_close(fine, torch.where(weights > 0, x, 0.0), rtol=1e-12, atol=0)


def test_the_weighted_sum_of_squares_along_an_axis_is_that_of_the_parts():
    """``w_a x_a^2 + w_b x_b^2 = W m^2 + v (x_a - x_b)^2`` with ``v = w_a w_b / W``."""
    weights, x = areas((32,), 0.3), torch.randn(1, 1, 32)
    operator = WeightedBlocks(BlockSpin(2), weights)
    coarse, detail = operator.split(x)
    a, b = weights.unflatten(2, (-1, 2)).unbind(3)
    v = torch.where(operator.present, a * b / (a + b), 0.0)
    parts = (operator.coarse_weights * coarse.square() / 2).sum() + (v * 2 * detail.square()).sum()
    torch.testing.assert_close(parts, (weights * x.square()).sum())


@pytest.mark.parametrize("lattice", [(8,), (4, 4)])
def test_full_blocks_keep_volume_whatever_the_weights(lattice):
    operator = WeightedBlocks(BlockSpin(2), areas(lattice))

    def whole(flat: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.flatten() for part in operator.split(flat.reshape(1, 1, *lattice))])

    jacobian = torch.autograd.functional.jacobian(whole, torch.randn(math.prod(lattice)))
    assert float(torch.linalg.slogdet(jacobian)[1]) == pytest.approx(0, abs=1e-12)


@given(size=st.floats(1e-6, 1e6))
def test_only_ratios_of_weights_matter(size):
    weights, x = areas((4, 8), 0.3), torch.randn(1, 1, 4, 8)
    one, other = (WeightedBlocks(BlockSpin(2), w).split(x) for w in (weights, size * weights))
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_areas_of_a_sphere_are_means_that_a_plain_mean_misses():
    """Zonal bands of sin(latitude): the mean with weights cos(latitude) is that over the sphere."""
    latitude = torch.linspace(60.25, 89.75, 60).deg2rad()
    x = latitude.sin().square()[None, None]
    weights = latitude.cos()[None, None]
    coarse = WeightedBlocks(BlockSpin(4), weights).coarsen(x) / 2
    edges = torch.linspace(60, 90, 16).deg2rad().sin()
    exact = edges.pow(3).diff() / 3 / edges.diff()  # the integral of sin^2 over the band
    torch.testing.assert_close(coarse[0, 0], exact, rtol=3e-5, atol=0)
    assert float((BlockSpin(4).coarsen(x) / 2 - exact).abs().max()) > 1e-4


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_weights_that_are_none_are_refused(wrong):
    weights = torch.ones(1, 1, 4, 4)
    weights[0, 0, 1, 1] = wrong
    with pytest.raises(ValueError, match="negative or not finite"):
        WeightedBlocks(BlockSpin(2), weights)


def test_weights_of_another_lattice_or_batch_are_refused():
    operator = WeightedBlocks(BlockSpin(2), torch.ones(3, 1, 4, 4))
    for shape in ((3, 1, 4, 8), (1, 1, 4, 4)):
        with pytest.raises(ValueError, match=r"weights of shape \(3, 1, 4, 4\) do not fit"):
            operator.split(torch.zeros(shape))
    with pytest.raises(ValueError, match="not divisible"):
        WeightedBlocks(BlockSpin(2), torch.ones(1, 1, 4, 5))


def test_sites_of_a_cut_block_differ_as_those_of_a_whole_one():
    """Of three sites one is missing: two details are drawn, and the one difference that is left is theirs."""
    weights, detail = torch.tensor([0.5, 1.5, 0.0])[None, None], torch.randn(50, 2, 1)
    coarse = torch.randn(50, 1, 1)
    cut = WeightedBlocks(BlockSpin(3), weights).merge(coarse, detail)
    whole = BlockSpin(3).merge(coarse, detail)
    torch.testing.assert_close(cut[..., 1] - cut[..., 0], whole[..., 1] - whole[..., 0])
    assert bool((cut[..., 2] == 0).all())
