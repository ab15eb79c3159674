"""The split of positive fields: mass is kept, nothing is negative, dry stays dry, whatever the shares."""

import pytest
import torch

from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.shares import Shares
from rgdm.scale.operators.weighted_shares import WeightedShares

pytestmark = pytest.mark.usefixtures("float64")

every_lattice = pytest.mark.parametrize("lattice", [(16,), (8, 12), (4, 8, 6)])


def rain(lattice: tuple[int, ...], channels: int = 2) -> torch.Tensor:
    """Positive fields, many sites of which are dry."""
    x = torch.randn(3, channels, *lattice).exp()
    return torch.where(torch.rand_like(x) < 0.6, 0.0, x)


@every_lattice
def test_fields_come_back_and_their_coarse_fields_are_block_means(lattice):
    x, operator = rain(lattice), Shares()
    coarse, detail = operator.split(x)
    torch.testing.assert_close(operator.merge(coarse, detail), x, rtol=1e-14, atol=1e-15)
    assert bool(((operator.merge(coarse, detail) == 0) == (x == 0)).all())
    torch.testing.assert_close(coarse, BlockSpin(2).coarsen(x), rtol=1e-14, atol=0)
    assert detail.shape[1] == 2 * operator.bands(len(lattice)) and float(detail.abs().max()) == 1


@every_lattice
def test_no_share_makes_anything_negative_or_changes_a_mean(lattice):
    operator = Shares()
    coarse, detail = operator.split(rain(lattice))
    shares = torch.rand_like(detail).mul(2).sub(1).mul(1.5).clamp(-1, 1)
    fine = operator.merge(coarse, shares)
    assert float(fine.min()) == 0
    torch.testing.assert_close(BlockSpin(2).coarsen(fine), coarse, rtol=1e-14, atol=0)
    dry = coarse == 0
    for axis in range(2, fine.dim()):
        dry = dry.repeat_interleave(2, axis)
    assert bool(dry.any()) and bool((fine[dry] == 0).all())
    kept = operator.split(fine)[1]
    there = operator.parents(coarse, shares) > 0
    torch.testing.assert_close(kept[there], shares[there], rtol=0, atol=1e-9)


@every_lattice
def test_a_field_without_detail_is_constant_in_every_block(lattice):
    operator = Shares()
    coarse = operator.coarsen(rain(lattice))
    torch.testing.assert_close(operator.prolong(coarse), BlockSpin(2).prolong(coarse))


def test_halves_are_in_the_order_that_is_documented():
    """``[[1, 2], [3, 6]]``: first left against right, then in either half upper against lower."""
    operator = Shares()
    coarse, detail = operator.split(torch.tensor([[1.0, 2.0], [3.0, 6.0]])[None, None])
    assert float(coarse) == 6
    assert detail.flatten().tolist() == pytest.approx([-4 / 12, -2 / 4, -4 / 8])
    assert operator.parents(coarse, detail).flatten().tolist() == pytest.approx([3, 2, 4])
    assert operator.axis_of(2) == (1, 0, 0)


def test_mirrored_fields_have_mirrored_shares():
    x, operator = rain((8, 12), 1), Shares()
    detail, mirrored = operator.split(x)[1], operator.split(x.flip(3))[1].flip(3)
    torch.testing.assert_close(mirrored, detail[:, [0, 2, 1]] * torch.tensor([-1.0, 1, 1]).reshape(3, 1, 1))
    upside_down = operator.split(x.flip(2))[1].flip(2)
    torch.testing.assert_close(upside_down, detail * torch.tensor([1.0, -1, -1]).reshape(3, 1, 1))


def test_negative_values_are_refused():
    x = rain((8, 8))
    x[0, 0, 1, 1] = -0.5
    with pytest.raises(ValueError, match=r"1 values are negative, down to -0\.5"):
        Shares().split(x)


@pytest.mark.parametrize("weighted", [False, True])
def test_amounts_are_half_the_differences_of_halves(weighted):
    """Of a block of 2 x 2, its columns first, then the sites of each; whatever the weights of its sites."""
    x = torch.rand(5, 1, 2, 2) + 0.1
    weights = torch.rand(5, 1, 2, 2) + 0.1 if weighted else torch.ones(5, 1, 2, 2)
    operator = WeightedShares(weights) if weighted else Shares()
    coarse, detail = operator.split(x)
    left, right = ((weights * x).sum(2) / weights.sum(2)).unbind(-1)
    wanted = torch.stack([left - right, x[:, :, 0, 0] - x[:, :, 1, 0], x[:, :, 0, 1] - x[:, :, 1, 1]], 2) / 2
    torch.testing.assert_close(operator.amounts(coarse, detail).flatten(1), wanted.flatten(1))
