"""Grids: one rule for all axes or one for each, kept as JSON, and refused in one sentence."""

import json

import pytest

from rgdm.scale.grid import Axis, Grid, factors_at_scale, in_words, scale_widths

pytestmark = pytest.mark.usefixtures("unchecked")


def test_one_boundary_and_factor_serve_all_axes_and_the_last_axes_have_the_usual_names():
    assert Grid.uniform(3, "periodic", 4).axes == tuple(Axis(name, "periodic", 4) for name in "zyx")
    assert Grid.uniform().axes == (Axis("y"), Axis("x"))
    assert Grid.uniform(1).names == ("x",)


def test_each_axis_can_have_its_own_boundary_factor_and_name():
    grid = Grid.uniform(3, ["reflect", "periodic", "reflect"], [1, 2, 3], ["time", "lon", "lat"])
    assert grid.names == ("time", "lon", "lat") and grid.dimension == 3
    assert grid.boundaries == ("reflect", "periodic", "reflect") and grid.factors == (1, 2, 3)


def test_a_list_of_one_serves_all_axes():
    assert Grid.uniform(2, ["periodic"], [3]) == Grid.uniform(2, "periodic", 3)


def test_a_field_is_a_torus_if_every_axis_is_periodic():
    assert Grid.uniform(2, "periodic").periodic
    assert not Grid.uniform(2, ["periodic", "reflect"]).periodic


def test_a_grid_is_the_same_after_json():
    grid = Grid((Axis("time", "reflect", 1, "time"), Axis("lat"), Axis("lon", "periodic", 3)))
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
    grid = Grid((Axis("time", "reflect", 1, "time"), Axis("lat", factor=(2, 3)), Axis("lon", "periodic", (2, 2))))
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


def test_a_factor_is_one_for_all_levels_or_one_for_each():
    grid = Grid.uniform(3, factor=[1, (2, 3), 2])
    assert grid.factors == (1, (2, 3), 2) and grid.depth == 2 and Grid.uniform(2).depth is None
    assert grid.factors_at(0) == (1, 2, 2) and grid.factors_at(1) == (1, 3, 2)
    assert [grid.widths(levels) for levels in range(3)] == [(1, 1, 1), (1, 2, 2), (1, 6, 4)]
    assert Grid.uniform(2, factor=[(2, 3)]).factors == ((2, 3), (2, 3)) and Grid.uniform(2, factor=(2, 3)).depth is None
    assert not grid.one_factor and Grid.uniform(2, factor=[(2, 3)]).one_factor
    assert Grid.uniform(2, factor=3).widths(3) == (27, 27) and grid.site_sizes(2) == (1, 6, 4)


def test_factors_of_levels_go_on_with_the_last_where_scales_are_more():
    assert [scale_widths([[2, 3], 1], scale) for scale in range(5)] == [(1, 1), (2, 1), (6, 1), (18, 1), (54, 1)]
    assert factors_at_scale([(2, 3), 1], 0) == (2, 1) and factors_at_scale([(2, 3), 1], 9) == (3, 1)


def test_factors_are_said_as_they_are_typed():
    cases = {(2, 2): "2", (1, 2): "(1, 2)", ((2, 3), (2, 3)): "2,3", ((2, 3), 1): "2,3 1"}
    assert {case: in_words(case) for case in cases} == cases


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Axis("x", "open"), "boundary is 'open'; it must be 'periodic' or 'reflect'"),
        (lambda: Axis("x", factor=0), "the factor of axis x = 0; a whole number from 1 to 16"),
        (lambda: Axis("x", factor=17), "the factor of axis x = 17; a whole number from 1 to 16"),
        (lambda: Axis("x", kind="colour"), "axis x is of kind 'colour'; known are space and time"),
        (lambda: Grid(()), "a grid of 0 axes; 1, 2 or 3 are needed"),
        (lambda: Grid.uniform(4), "dimension = 4; 1, 2 or 3 are supported"),
        (lambda: Grid.uniform(2, factor=1), "every axis has factor 1, so that nothing is coarse-grained; one factor"),
        (lambda: Axis("x", factor=(2, 17)), "the factor of axis x = 17; a whole number from 1 to 16"),
        (lambda: Axis("x", factor=()), "no factor of axis x; give one for all levels, or one for each"),
        (lambda: Grid.uniform(2, factor=[(2, 1), 1]), "factor 1 at level 1, so that nothing is coarse-grained"),
        (lambda: Grid.uniform(2, factor=[(2, 3), (2, 2, 3)]), "2,3 2,2,3 of the axes are for different numbers of lev"),
        (lambda: Grid.uniform(2, factor=[(2, 3)]).of_levels(3), "2,3 are for 2 levels and there are 3; give one for"),
        (lambda: Grid.uniform(2, factor=[(5,)]).of_levels(2), "5 are for 1 level and there are 2"),
        (lambda: Grid((Axis("x"), Axis("x"))), "the axes are named x, x; every axis needs a name of its own"),
        (lambda: Grid.uniform(3, ["periodic", "reflect"]), "2 boundaries .periodic, reflect. for 3 axes; give one"),
        (lambda: Grid.uniform(2, "reflect", [2, 2, 2]), "3 factors for 2 axes; give one for all axes, or one for each"),
        (lambda: Grid.uniform(2, names=["lat"]), "1 names .lat. for 2 axes; give one for each"),
        (lambda: Grid.uniform(2, ["periodic", "open"]), "boundary is 'open'"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
