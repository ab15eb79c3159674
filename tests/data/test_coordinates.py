"""Coordinates of cells that are cut into parts: where the parts lie, on the globe too."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from rgdm.data.cells.edges import cell_edges, refine_axis, refine_centres
from rgdm.data.coordinates import finer_steps, refine_coordinates

LAT, LON = {"units": "degrees_north"}, {"units": "degrees_east"}


def refined(
    coords: dict, factors: tuple[int, int], places=None, sizes: tuple[int, int] | None = None
) -> xr.Coordinates:
    """The coordinates of a field on (y, x) after refinement."""
    shapes = {name: n for c in coords.values() for name, n in zip(np.atleast_1d(c[0]), np.shape(c[1]), strict=False)}
    shape = sizes or (shapes["y"], shapes["x"])
    data = xr.Dataset({"f": (("y", "x"), np.zeros(shape))}, coords=coords)
    return refine_coordinates(data, finer_steps(("y", "x"), factors, places))


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far angles are from each other, on the circle."""
    return abs((np.asarray(a) - b + 180) % 360 - 180)


@given(st.floats(0, 360), st.sampled_from([0.25, 1.0, 22.5]), st.integers(2, 16), st.sampled_from([2, 3, 4]))
def test_longitudes_lie_in_their_cells_wherever_the_numbers_jump(start, step, n, factor):
    inside = (start + step * np.arange(n))[:, None] + step * ((np.arange(factor) + 0.5) / factor - 0.5)
    for low in (0, -180):
        coarse = (start + step * np.arange(n) - low) % 360 + low
        fine = refined({"x": ("x", coarse, LON), "y": ("y", [0.0, 1.0])}, (1, factor))["x"].values
        assert apart(fine, inside.ravel()).max() < 1e-9
        if (np.diff(coarse) < 0).any():  # in the convention of the file
            assert fine.min() >= low and fine.max() < low + 360
        else:
            assert (np.diff(fine) > 0).all()


@pytest.mark.parametrize("places", [None, (0.5, 0.5)])
@pytest.mark.parametrize("sign", [1, -1])
def test_latitudes_never_lie_beyond_the_poles(sign, places):
    coarse = sign * np.linspace(90, -90, 9)
    fine = refined({"y": ("y", coarse, LAT), "x": ("x", np.arange(4.0))}, (2, 1), places)["y"].values
    assert len(fine) == 18 and abs(fine).max() < 90 and (sign * np.diff(fine) < 0).all()
    edges = cell_edges(coarse, 90)
    cells = np.sort(np.stack([edges[:-1], edges[1:]], 1), axis=1).repeat(2, 0)
    assert (cells[:, 0] < fine).all() and (fine < cells[:, 1]).all()


def test_a_position_that_is_no_latitude_has_no_pole():
    fine = refined({"y": ("y", np.linspace(90, -90, 9), {"units": "m"}), "x": ("x", np.arange(4.0))}, (2, 1))["y"]
    assert abs(fine).max() > 90
    rows = refined({"lat": ("y", np.arange(200.0)), "x": ("x", np.arange(4.0))}, (2, 1), sizes=(200, 4))["lat"]
    np.testing.assert_allclose(rows, refine_centres(np.arange(200), 2))  # numbers of rows, whatever their name


def test_latitudes_that_would_lie_beyond_the_pole_are_left_out_with_a_sentence(capsys):
    """With decimation the site at the pole is kept, and its fine neighbours would lie beyond."""
    coords = {"y": ("y", np.linspace(-90, 90, 9), LAT), "x": ("x", np.arange(4.0))}
    assert "y" not in refined(coords, (2, 2), (0.0, 0.0)) and "y" in capsys.readouterr().err


def test_coordinates_of_single_precision_are_refined_in_double():
    coarse = np.float32(5_600_000 + 0.5 * np.arange(16))
    fine = refined({"y": ("y", coarse), "x": ("x", np.arange(4.0))}, (8, 1))["y"].values
    assert fine.dtype == np.float64 and len(np.unique(fine)) == 128
    np.testing.assert_allclose(fine.reshape(16, 8).mean(1), coarse, rtol=1e-15)


@pytest.mark.parametrize(
    ("values", "attrs", "stored"),
    [
        ([1, 1, 7, 7], {}, None),
        ([1, 1, 7, 7], {"units": "1", "long_name": "number of the basin"}, None),
        (["a", "a", "b", "b"], {}, None),
        ([True, False, False, True], {}, None),
        ([1, 2, 3, 4], {"units": "m", "flag_values": [1, 2, 3, 4]}, None),
        ([1.0, 1.0, np.nan, 7.0], {}, "int16"),
    ],
    ids=["numbers", "without unit", "words", "truths", "flags", "whole numbers with gaps"],
)
def test_labels_are_repeated(values, attrs, stored):
    label = xr.Variable(("x",), values, attrs, {} if stored is None else {"dtype": np.dtype(stored)})
    fine = refined({"basin": label, "x": ("x", np.arange(4.0)), "y": ("y", [0.0, 1.0])}, (2, 2))["basin"]
    np.testing.assert_array_equal(fine.values, np.repeat(label.values, 2))
    assert fine.dtype.kind == label.dtype.kind


@pytest.mark.parametrize("name", ["x", "distance"])
def test_whole_numbers_that_are_positions_are_refined(name):
    coords = {name: ("x", np.array([0, 10, 20]), {} if name == "x" else {"units": "m"}), "y": ("y", [0.0, 1.0])}
    np.testing.assert_allclose(refined(coords, (1, 2), sizes=(2, 3))[name], [-2.5, 2.5, 7.5, 12.5, 17.5, 22.5])


def test_labels_of_two_axes_are_repeated_along_both():
    land = np.array([[1, 2, 2], [3, 3, 4]])
    fine = refined({"land": (("y", "x"), land)}, (2, 3))["land"]
    np.testing.assert_array_equal(fine, land.repeat(2, 0).repeat(3, 1))


@pytest.mark.parametrize("low", [0, -180])
def test_curvilinear_coordinates_are_refined_across_the_date_line(low):
    def at(y, x):
        return 50 + 0.5 * y - 0.1 * x, 178 + 0.7 * x + 0.2 * y

    def grid(y, x):
        lat, lon = at(*np.meshgrid(y, x, indexing="ij"))
        return lat, (lon - low) % 360 + low

    lat, lon = grid(np.arange(6.0), np.arange(8.0))
    fine = refined({"lat": (("y", "x"), lat, LAT), "lon": (("y", "x"), lon, LON)}, (2, 2))
    expected = grid(refine_centres(np.arange(6), 2), refine_centres(np.arange(8), 2))
    np.testing.assert_allclose(fine["lat"], expected[0])
    assert apart(fine["lon"].values, expected[1]).max() < 1e-9
    assert fine["lon"].min() >= low and fine["lon"].max() < low + 360 and fine["lat"].attrs == LAT


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "time", "x"), ("x", "y", "time")])
def test_positions_that_move_are_refined_at_each_time(dims):
    lon = 179 + np.arange(3.0)[:, None, None] + 0.2 * np.arange(4)[:, None] + 0.5 * np.arange(6)
    expected = np.stack([refine_centres(refine_centres(one, 2).T, 3).T for one in lon])
    moving = xr.Variable(("time", "y", "x"), (lon + 180) % 360 - 180, LON).transpose(*dims)
    data = xr.Dataset({"f": (("time", "y", "x"), lon)}, coords={"lon": moving})
    fine = refine_coordinates(data, finer_steps(("y", "x"), (2, 3)))["lon"]
    assert fine.dims == dims and apart(fine.transpose("time", "y", "x").values, expected).max() < 1e-9


def test_curvilinear_coordinates_about_a_pole_are_refined_on_the_sphere():
    """A polar stereographic grid, whose longitudes turn once about its middle."""

    def polar(centres):
        y, x = np.meshgrid(centres, centres, indexing="ij")
        return 90 - 2 * np.degrees(np.arctan(np.hypot(x, y) / 2)), np.degrees(np.arctan2(x, -y))

    coarse = np.linspace(-0.11, 0.11, 12)
    lat, lon = polar(coarse)
    fine = refined({"lat": (("y", "x"), lat, LAT), "lon": (("y", "x"), lon, LON)}, (2, 2))
    true_lat, true_lon = polar(refine_centres(coarse, 2))
    assert fine["lat"].max() <= 90
    off = np.hypot(fine["lat"] - true_lat, apart(fine["lon"].values, true_lon) * np.cos(np.radians(true_lat)))
    assert off.max() < 0.05 * np.degrees(coarse[1] - coarse[0])


def test_dates_are_refined_and_gaps_among_them_are_left_out(capsys):
    days = np.array(["2000-01-01", "2000-01-03", "2000-01-05"], "M8[ns]")
    coords = {"y": ("y", days), "x": ("x", [0.0, 1.0]), "age": ("y", np.array([0, 2, 4], "m8[D]"))}
    fine = refined(coords, (2, 1))
    hours = (fine["y"].values - days[0]) / np.timedelta64(1, "h")
    np.testing.assert_allclose(hours, [-12, 12, 36, 60, 84, 108])
    np.testing.assert_allclose(fine["age"].values / np.timedelta64(1, "h"), hours)
    gap = np.array(["2000-01-01", "NaT", "2000-01-05"], "M8[ns]")
    assert "when" not in refined({"when": ("y", gap), "x": ("x", [0.0, 1.0])}, (2, 1))
    assert "when" in capsys.readouterr().err


def test_the_position_of_a_single_site_and_the_area_of_cells_are_left_out_with_a_sentence(capsys):
    area = (("y", "x"), np.ones((1, 3)), {"standard_name": "cell_area"})
    fine = refined({"y": ("y", [1.0]), "x": ("x", np.arange(3.0)), "area": area}, (2, 2))
    assert set(fine) == {"x"}
    said = capsys.readouterr().err
    assert "area" in said and " y" in said


@pytest.mark.parametrize("turned", [False, True])
def test_bounds_are_those_of_the_finer_cells(turned):
    lat, lon = np.linspace(90, -90, 7), np.array([330.0, 350.0, 10.0, 30.0])
    edges = cell_edges(lat, 90)
    order = slice(None, None, -1 if turned else 1)
    lat_bounds = np.stack([edges[:-1], edges[1:]], 1)[:, order]
    lon_bounds = np.stack([lon - 10, lon + 10], 1)[:, order]
    coords = {
        "y": ("y", lat, {**LAT, "bounds": "lat_bnds"}),
        "x": ("x", lon, {**LON, "bounds": "lon_bnds"}),
        "lat_bnds": (("y", "nv"), lat_bounds),
        "lon_bnds": (("x", "nv"), lon_bounds),
    }
    fine = refined(coords, (2, 2))
    for name, bounds in (("y", "lat_bnds"), ("x", "lon_bnds")):
        low, high = fine[bounds].values.T
        assert apart((low + high) / 2, fine[name].values).max() < 1e-9
        assert apart(high[:-1], low[1:]).max() < 1e-9 if not turned else apart(low[:-1], high[1:]).max() < 1e-9
    assert abs(fine["lat_bnds"]).max() == 90


def test_bounds_that_leave_gaps_are_left_out():
    depth = {"units": "m", "bounds": "b"}
    coords = {"y": ("y", [5.0, 15.0, 35.0], depth), "x": ("x", [0.0, 1.0])}
    coords["b"] = (("y", "nv"), [[0.0, 10.0], [12.0, 20.0], [20.0, 50.0]])
    assert "b" not in refined(coords, (2, 1))


def test_what_has_no_refined_axis_stays_as_it_is():
    time = ("time", np.array(["2000-01-01"], "M8[ns]"))
    coords = {"x": ("x", np.arange(3)), "y": ("y", [0.0, 1.0]), "time": time, "height": ((), 2.0, {"units": "m"})}
    fine = refined(coords, (1, 2), sizes=(2, 3))
    assert fine["time"].dtype == "M8[ns]" and float(fine["height"]) == 2.0 and fine["height"].attrs == {"units": "m"}


@given(st.integers(2, 6), st.integers(2, 5))
def test_a_linear_coordinate_is_refined_alike_by_cells_and_by_places(n, factor):
    c = 3.0 + 0.5 * np.arange(n)
    by_place = refine_axis(c, factor, (factor - 1) / 2 + 1e-12)
    np.testing.assert_allclose(by_place, refine_centres(c, factor), atol=1e-9)
