"""Areas of cells between latitudes."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.areas import areas_of


def field(lat: np.ndarray, units: str = "degrees_north", name: str = "lat") -> xr.DataArray:
    coords = {name: (name, lat, {"units": units}), "lon": ("lon", np.arange(4.0) * 90, {"units": "degrees_east"})}
    return xr.DataArray(np.zeros((len(lat), 4)), dims=(name, "lon"), coords=coords)


def test_areas_of_a_regular_grid_go_with_the_cosine_of_latitude():
    lat = np.arange(-78.75, 80, 2.5)
    areas = areas_of(field(lat), ("lat", "lon"))
    assert areas is not None and areas.shape == (1, 1, len(lat), 4)
    cosine = np.cos(np.deg2rad(lat))
    np.testing.assert_allclose(areas[0, 0, :, 0], cosine / cosine.mean(), rtol=1e-12)
    down = areas_of(field(lat[::-1]), ("lat", "lon"))
    np.testing.assert_allclose(down, areas[:, :, ::-1], rtol=1e-12)


def test_the_cells_of_a_whole_globe_cover_it_also_those_at_the_poles():
    lat = np.arange(-90, 91, 10.0)  # sites at the poles, whose cells are half as high
    areas = areas_of(field(lat), ("lat", "lon"))
    assert areas is not None
    part = areas[0, 0, :, 0] / areas[0, 0, :, 0].sum()
    assert part[0] == pytest.approx((1 - np.sin(np.deg2rad(85))) / 2)


def test_the_parts_of_a_cell_have_its_area():
    lat = np.array([-80.0, -55, -20, 10, 40, 75])  # not regular
    coarse, fine = areas_of(field(lat), ("lat", "lon")), areas_of(field(lat), ("lat", "lon"), (3, 2))
    assert coarse is not None and fine is not None and fine.shape == (1, 1, 18, 8)
    summed = fine.reshape(6, 3, 4, 2).sum((1, 3))
    np.testing.assert_allclose(summed / summed.mean(), coarse[0, 0], rtol=1e-12)


def test_radians_rotated_latitudes_and_axes_by_role_are_known():
    lat = np.linspace(-1, 1, 8)
    by_degree = areas_of(field(np.rad2deg(lat)), ("lat", "lon"))
    np.testing.assert_allclose(areas_of(field(lat, "radian", "rlat"), ("rlat", "lon")), by_degree, rtol=1e-9)
    np.testing.assert_allclose(areas_of(field(np.rad2deg(lat), name="latitude"), ("y", "x")), by_degree, rtol=1e-12)


@pytest.mark.parametrize("coordinate", [None, np.arange(8) * 1000.0, np.arange(8) * 20.0])
def test_without_latitudes_there_are_no_areas(coordinate):
    """None at all, metres of a projection, numbers beyond the poles."""
    array = xr.DataArray(np.zeros((8, 4)), dims=("lat" if coordinate is not None else "y", "x"))
    if coordinate is not None:
        units = {"units": "m"} if coordinate[-1] > 1000 else {"units": "degrees_north"}
        array = array.assign_coords(lat=("lat", coordinate, units))
    assert areas_of(array, array.dims) is None
