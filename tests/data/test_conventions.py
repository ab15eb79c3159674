"""What names and attributes say, and what of them holds on a finer lattice."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.conventions import angle_of, auxiliary_variables, finer_attributes, named_variables, without_dangling

ROTATED = np.array([[3.0, 1.0, 100.0], [-2.0, 4.0, 50.0], [0.0, 0.0, 1.0]])
"""(a, b, c), (d, e, f): x and y of the corner of a site from its column and row."""


@pytest.mark.parametrize("place", [None, (0.0, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize("key", ["GeoTransform", "transform"])
def test_an_affine_transform_puts_coarse_sites_where_their_fine_ones_are(key, place):
    across, down = (3, 2)
    px, py = ((across - 1) / 2, (down - 1) / 2) if place is None else place
    a, b, c, d, e, f = ROTATED[:2].ravel()
    value = f"{c} {a} {b} {f} {d} {e}" if key == "GeoTransform" else (a, b, c, d, e, f)
    finer = finer_attributes({key: value}, {"x": (across, px), "y": (down, py)})[key]
    numbers = [float(x) for x in finer.split()] if isinstance(finer, str) else list(finer)
    order = [1, 2, 0, 4, 5, 3] if key == "GeoTransform" else range(6)
    fine = np.array([*(numbers[i] for i in order), 0, 0, 1]).reshape(3, 3)
    for column, row in ((0, 0), (5, 2)):
        coarse = ROTATED @ [column + 0.5, row + 0.5, 1]
        np.testing.assert_allclose(fine @ [px + across * column + 0.5, py + down * row + 0.5, 1], coarse)


def test_attributes_of_the_stored_numbers_are_left_out_and_resolutions_are_those_of_the_finer_lattice():
    attrs = {"units": "m", "valid_range": [0, 9], "actual_range": [1, 2], "geospatial_lat_resolution": "0.5 degrees"}
    finer = finer_attributes({**attrs, "geospatial_lon_resolution": 0.5}, {"x": (2, 0.5), "y": (2, 0.5)})
    assert finer == {"units": "m", "geospatial_lon_resolution": 0.25}


def test_a_transform_that_is_none_stays_and_a_broken_one_of_a_map_goes():
    assert finer_attributes({"transform": "logarithm", "GeoTransform": "lost"}, {}) == {"transform": "logarithm"}


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [
        ("lat", {}, ("latitude", 360)),
        ("LON", {}, ("longitude", 360)),
        ("a", {"units": "degrees_E"}, ("longitude", 360)),
        ("a", {"standard_name": "grid_latitude", "units": "degrees"}, ("latitude", 360)),
        ("lon", {"units": "radians"}, ("longitude", 2 * np.pi)),
        ("x", {"units": "m"}, ("", 360)),
        ("lat", {"units": "km"}, ("", 360)),
        ("y", {}, ("", 360)),
        ("nlat", {}, ("", 360)),
    ],
)
def test_angles_are_known_by_attributes_or_names(name, attrs, expected):
    assert angle_of(name, attrs) == expected


def test_names_in_attributes():
    assert named_variables({"grid_mapping": "crs: x y"}, "grid_mapping") == ["crs", "x", "y"]
    assert named_variables({"cell_measures": "area: a volume: v"}, "cell_measures") == ["a", "v"]
    assert named_variables({}, "bounds") == []


def test_attributes_name_only_what_is_there():
    attrs = {"grid_mapping": "crs", "ancillary_variables": "flag quality", "cell_measures": "area: a", "units": "m"}
    data = xr.Dataset({"f": ("x", [1.0], attrs), "flag": ("x", [1.0])}, {"x": ("x", [0.0], {"bounds": "x_bnds"})})
    kept = without_dangling(data)
    assert kept["f"].attrs == {"ancillary_variables": "flag", "units": "m"} and kept["x"].attrs == {}
    assert data["f"].attrs == attrs and data["x"].attrs == {"bounds": "x_bnds"}  # the given ones stay
    alone = without_dangling(data["f"].assign_coords(crs=0))
    assert alone.attrs == {"grid_mapping": "crs", "units": "m"}


def test_auxiliary_variables_are_those_that_others_name():
    data = xr.Dataset({"f": ("x", [1.0], {"grid_mapping": "crs"}), "crs": ((), 0), "x_bnds": (("x", "nv"), [[0, 1]])})
    data = data.assign_coords(x=("x", [0.5], {"bounds": "x_bnds"}))
    assert set(auxiliary_variables(data)) == {"crs", "x_bnds"}
