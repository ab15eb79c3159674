"""Levels of different factors: means over blocks of their product, whatever the weights."""

import math

import pytest
import torch

from rgdm.errors import InputError
from rgdm.model.cascade.geometry import measures, trajectory
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.per_level import PerLevel
from rgdm.scale.operators.registry import make_operator

pytestmark = pytest.mark.usefixtures("float64")

FACTORS = [(2, 3), (3, 2), (2, 2, 3), (5,), (4, 3)]
every_factor = pytest.mark.parametrize("factors", FACTORS)


def blocks(x: torch.Tensor, widths: tuple[int, ...]) -> torch.Tensor:
    """Sums over blocks."""
    for axis, width in enumerate(widths, start=2):
        x = x.unflatten(axis, (-1, width)).sum(axis + 1)
    return x


@every_factor
@pytest.mark.parametrize("weighted", [False, True])
def test_block_means_over_all_levels_are_those_of_their_definition(factors, weighted):
    operator, b = make_operator("block-spin", Grid.uniform(2, factor=[factors])), math.prod(factors)
    x = 280 + torch.randn(2, 3, 2 * b, 3 * b)
    w = 0.1 + torch.rand(1, 1, 2 * b, 3 * b) if weighted else torch.ones(1, 1, 2 * b, 3 * b)
    found = trajectory(operator, x, len(factors), w if weighted else None)
    assert [tuple(each.shape[2:]) for each in found] == [
        operator.coarse_lattice(x.shape[2:], level) for level in range(len(factors) + 1)
    ]
    for level, each in enumerate(found):
        width = operator.widths(2, level)
        assert width == (math.prod(factors[:level]),) * 2
        torch.testing.assert_close(each, blocks(x * w, width) / blocks(w, width), rtol=1e-12 / 280, atol=0)
    if weighted:
        torch.testing.assert_close(measures(operator, w, len(factors))[-1], blocks(w, (b, b)))


@every_factor
def test_what_is_split_level_by_level_comes_back(factors):
    operator = make_operator("block-spin", Grid.uniform(1, factor=[factors]))
    x = torch.randn(2, 1, 2 * math.prod(factors))
    coarse, details = x, []
    for level in range(len(factors)):
        coarse, detail = operator.at(level).split(coarse)
        assert detail.shape[1] == factors[level] - 1 == operator.at(level).bands(1)
        details.append(detail)
    assert float(coarse.square().sum() + sum(d.square().sum() for d in details)) == pytest.approx(
        float(x.square().sum())
    )
    for level in reversed(range(len(factors))):
        coarse = operator.at(level).merge(coarse, details[level])
    torch.testing.assert_close(coarse, x)


@pytest.mark.parametrize("name", ["block-spin", "decimation"])
@pytest.mark.parametrize("factors", [(2, 3), (2, 2, 3), (3, 3)])
def test_a_coarse_site_lies_where_its_sites_do(name, factors):
    operator, b = make_operator(name, Grid.uniform(1, factor=[factors])), math.prod(factors)
    place = trajectory(operator, torch.arange(2.0 * b).reshape(1, 1, -1), len(factors))[-1]
    assert operator.places(1, len(factors)) == pytest.approx((float(place[0, 0, 0]),))


def test_axes_differ_by_level_too():
    film = make_operator("block-spin", Grid.uniform(3, factor=[1, (2, 3), (2, 1)]))
    assert film.widths(3, 1) == (1, 2, 2) and film.widths(3, 2) == (1, 6, 2)
    assert film.at(0).bands(3) == 3 and film.at(1).bands(3) == 2
    assert film.factors_of(3, 2) == (1, (2, 3), (2, 1)) and film.factors_of(3, 1) == (1, 2, 2)
    assert film.places(3, 2) == pytest.approx((0, 2.5, 0.5))
    assert film.fine_lattice((5, 2, 3), 2) == (5, 12, 6) and film.gain_to(3, 2) == pytest.approx(12**0.5)
    x = torch.randn(1, 1, 5, 12, 6)
    torch.testing.assert_close(trajectory(film, x, 2)[-1], blocks(x, (1, 6, 2)) / 12)


def test_levels_of_equal_factors_have_one_operator():
    assert type(make_operator("block-spin", Grid.uniform(2, factor=[(3, 3)]))) is BlockSpin
    grid = Grid.uniform(2, factor=[(2, 2, 2), 2]).of_levels(3)
    assert grid == Grid.uniform(2) and grid.depth is None
    assert BlockSpin(3).at(7).factors(2) == (3, 3) and BlockSpin(3).widths(2, 3) == (27, 27)


def test_what_is_of_one_level_is_asked_of_one():
    operator, x = PerLevel([BlockSpin(2), BlockSpin(3)]), torch.zeros(1, 1, 6, 6)
    for asks in (
        lambda: operator.split(x),
        lambda: operator.merge(x, x),
        lambda: operator.on(torch.ones(1, 1, 6, 6)),
        lambda: operator.factors(2),
        lambda: operator.bands(2),
    ):
        with pytest.raises(InputError, match="by level"):
            asks()
    with pytest.raises(InputError, match="level 2 has no coarse-graining; there are 2 levels"):
        operator.at(2)
    with pytest.raises(InputError, match="no operator of any level"):
        PerLevel([])
    operator.check_volume(2)


@pytest.mark.parametrize(
    ("lattice", "words"),
    [
        ((12, 20), r"fits 1 level of factor 2,3, not 2; use 1 level of factor 2, or a lattice such as \(12, 18\)"),
        ((9, 6), r"fits 0 levels of factor 2,3, not 2; use a lattice such as \(6, 6\)"),
    ],
)
def test_a_lattice_that_does_not_divide_is_told_what_would(lattice, words):
    operator = make_operator("block-spin", Grid.uniform(2, factor=[(2, 3)]))
    operator.check_depth((12, 18), 2)
    with pytest.raises(InputError, match=words):
        operator.check_depth(lattice, 2)


@pytest.mark.parametrize(
    ("name", "positive", "words"),
    [
        ("haar", False, "the factor is 3; haar has 2"),
        ("db4", False, "the factor is 3; db4 has 2"),
        ("learned-4", False, "the factor is 3; learned-4 has 2"),
        ("quincunx", False, "the factor is 3; quincunx has 2"),
        ("block-spin", True, "block-spin of factor 2,3; positive fields have block-spin of factor 2"),
    ],
)
def test_operators_that_halve_refuse_other_factors_by_name(name, positive, words):
    with pytest.raises(InputError, match=words):
        make_operator(name, Grid.uniform(2, factor=[(2, 3)]), positive)
