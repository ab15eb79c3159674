"""Bounds that a file states, of the parts of its cells."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.coordinates import finer_steps, refine_coordinates

LAT, LON = {"units": "degrees_north", "bounds": "lat_b"}, {"units": "degrees_east", "bounds": "lon_b"}


def refined(coords: dict, factors: tuple[int, int], places=None) -> xr.Coordinates:
    data = xr.Dataset(coords=coords)
    steps = finer_steps(("y", "x"), factors, places)
    return refine_coordinates(data.assign(f=(("y", "x"), np.zeros([data.sizes.get(n, 2) for n in "yx"]))), steps)


def gaussian(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian latitudes and the edges of their cells, whose areas are the weights of the quadrature."""
    sines, weights = np.polynomial.legendre.leggauss(n)
    edges = np.concatenate([[-1.0], np.cumsum(weights) - 1])
    return np.degrees(np.arcsin(sines)), np.degrees(np.arcsin(edges.clip(-1, 1)))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("southwards", [False, True])
def test_gaussian_latitudes_lie_in_the_parts_of_their_own_cells(turned, southwards):
    lat, edges = gaussian(8)
    pairs = np.stack([edges[:-1], edges[1:]], 1)[:, :: -1 if turned else 1]
    way = slice(None, None, -1 if southwards else 1)
    fine = refined({"lat": ("y", lat[way], LAT), "lat_b": (("y", "nv"), pairs[way])}, (2, 1))
    expected = np.interp(np.arange(17) / 2, np.arange(9), edges)
    low, high = np.sort(fine["lat_b"].values, 1)[way].T
    np.testing.assert_allclose(low, expected[:-1], atol=1e-12)
    np.testing.assert_allclose(high, expected[1:], atol=1e-12)
    np.testing.assert_allclose(fine["lat"].values[way], (low + high) / 2, atol=1e-12)
    assert abs(fine["lat_b"]).max() == 90
    assert bool((np.diff(fine["lat_b"].values) < 0).all()) == turned


def test_a_single_site_has_parts_where_its_bounds_are_known():
    fine = refined({"y": ("y", [3.0], {"bounds": "b"}), "b": (("y", "nv"), [[0.0, 8.0]])}, (4, 1))
    np.testing.assert_allclose(fine["y"], [1, 3, 5, 7])
    np.testing.assert_allclose(fine["b"], [[0, 2], [2, 4], [4, 6], [6, 8]])


def test_longitudes_with_bounds_of_their_own_jump_where_those_of_the_cells_do():
    lon, edges = np.array([340.0, 355.0, 10.0]), np.array([330.0, 350.0, 360.0, 390.0])
    pairs = np.stack([edges[:-1], edges[1:]], 1) % 360
    fine = refined({"lon": ("x", lon, LON), "lon_b": (("x", "nv"), pairs)}, (1, 2))
    np.testing.assert_allclose(fine["lon"], [335, 345, 352.5, 357.5, 7.5, 22.5])
    np.testing.assert_allclose(fine["lon_b"] % 360, [[330, 340], [340, 350], [350, 355], [355, 0], [0, 15], [15, 30]])


@pytest.mark.parametrize(
    "pairs",
    [[[0, 10], [12, 20], [20, 50]], [[0, 12], [10, 20], [20, 50]], [[0, 4], [4, 20], [20, 50]], [[0, np.nan]] * 3],
    ids=["gaps", "overlap", "a site outside", "missing"],
)
def test_bounds_that_are_no_cells_are_left_out_and_positions_lie_half_way(pairs):
    coords = {"y": ("y", [5.0, 15.0, 35.0], {"bounds": "b"}), "b": (("y", "nv"), np.array(pairs, float))}
    fine = refined(coords, (2, 1))
    assert "b" not in fine
    np.testing.assert_allclose(fine["y"], [2.5, 7.5, 13.75, 21.25, 30.0, 40.0])


def corners(y: np.ndarray, x: np.ndarray, order: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Corners ``(y, x, 4)`` of a sheared grid with these edges."""
    lat, lon = np.empty((2, len(y) - 1, len(x) - 1, 4))
    for k, (a, b) in enumerate(order):
        yy, xx = np.meshgrid(y[a : len(y) - 1 + a], x[b : len(x) - 1 + b], indexing="ij")
        lat[..., k], lon[..., k] = 40 + yy - 0.2 * xx, (178 + xx + 0.3 * yy + 180) % 360 - 180
    return lat, lon


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("way", [1, -1])
def test_corners_of_curvilinear_cells_are_those_of_their_parts_in_the_same_order(start, way):
    """On a grid that is linear in its indices, where the corners of parts are known; across the date line."""
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    order = [ring[(start + way * k) % 4] for k in range(4)]
    lat, lon = corners(np.arange(4.0), np.arange(6.0), order)
    coords = {
        "lat": (("y", "x"), lat.mean(-1), LAT),
        "lon": (("y", "x"), corners(np.arange(4.0), np.arange(6.0) + 0.5, [(0, 0)] * 4)[1][..., 0], LON),
        "lat_b": (("y", "x", "nv"), lat),
        "lon_b": (("y", "x", "nv"), lon),
    }
    fine = refined(coords, (2, 5))
    true_lat, true_lon = corners(np.arange(7) / 2, np.arange(26) / 5, order)
    np.testing.assert_allclose(fine["lat_b"], true_lat, atol=1e-12)
    assert abs((fine["lon_b"] - true_lon + 180) % 360 - 180).max() < 1e-9
    assert fine["lat_b"].dims == ("y", "x", "nv")


def test_corners_that_neighbours_do_not_share_are_left_out():
    lat, _ = corners(np.arange(4.0), np.arange(6.0), [(0, 0), (0, 1), (1, 1), (1, 0)])
    lat[1, 2] += 5
    coords = {"lat": (("y", "x"), lat.mean(-1), LAT), "lat_b": (("y", "x", "nv"), lat)}
    assert set(refined(coords, (2, 2))) == {"lat"}
