import json

import numpy as np
import pytest
import xarray as xr

from rgdm.data.fields import read_field
from rgdm.data.identity import AxisIdentity, Channel, Identity, identity_of, known_of
from rgdm.errors import InputError
from rgdm.scale.grid import Grid


def weather(**coords) -> xr.Dataset:
    shape = (6, 8)
    coords = {
        "lat": ("lat", np.linspace(50.0, 47.5, 6), {"units": "degrees_north"}),
        "lon": ("lon", (350.0 + 2.5 * np.arange(8)) % 360, {"units": "degrees_east"}),
        **coords,
    }
    return xr.Dataset(
        {
            "t2m": (("lat", "lon"), np.zeros(shape), {"units": "K", "standard_name": "air_temperature"}),
            "lsm": (("lat", "lon"), np.ones(shape), {"long_name": "land-sea mask"}),
        },
        coords=coords,
    )


EXPECTED = Identity(
    (Channel("t2m", "K", "air_temperature"), Channel("lsm")),
    (AxisIdentity("lat", False, 0.5, "degrees_north"), AxisIdentity("lon", True, 2.5, "degrees_east")),
)


def test_names_units_directions_and_spacing_are_known_of_a_dataset_and_of_the_file_with_it(tmp_path):
    assert identity_of(weather(), 2) == EXPECTED  # across Greenwich too
    weather().to_netcdf(tmp_path / "weather.nc")
    assert identity_of(read_field([tmp_path / "weather.nc"], "t2m,lsm"), 2) == EXPECTED


def test_axes_are_taken_in_the_order_of_a_model():
    turned = weather().transpose("lon", "lat")
    assert identity_of(turned, 2, ("lat", "lon")) == EXPECTED
    assert identity_of(turned, 2, ("y", "x")) == EXPECTED  # of the same roles


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        (np.arange(8), {}, AxisIdentity("x", True)),  # numbers of sites have no size
        (np.arange(8.0)[::-1], {}, AxisIdentity("x", False)),
        (100 * np.arange(8.0), {}, AxisIdentity("x", True, 100.0)),
        (100 * np.arange(8.0), {"units": "m"}, AxisIdentity("x", True, 100.0, "m")),
        (np.arange(8.0) ** 2, {"units": "m"}, AxisIdentity("x", True)),  # stretched: no one spacing
        (np.array([0.0, 1, 2, 1, 0, 1, 2, 3]), {"units": "m"}, AxisIdentity("x")),
        (np.array([5.0, 5, 6, 6, 7, 7, 8, 8]), {"units": "m"}, AxisIdentity("x", True)),  # rounded
        (np.full(8, 3.0), {"units": "m"}, AxisIdentity("x")),
        (np.full(8, np.nan), {"units": "m"}, AxisIdentity("x")),
        (np.array(list("abcdefgh")), {}, AxisIdentity("x")),
        (
            np.datetime64("2020-01-01", "ns") + np.arange(8) * np.timedelta64(6, "h"),
            {},
            AxisIdentity("x", True, 21600.0, "s"),
        ),
    ],
)
def test_of_a_coordinate_what_is_certain_is_known(values, attrs, expected):
    field = xr.DataArray(np.zeros(8), dims="x", coords={"x": ("x", values, attrs)})
    assert identity_of(field, 1).axes == (expected,)


@pytest.mark.parametrize(
    "name", ["field", "field_3", "arr_0", "channel2", "grey", "band_1", "__xarray_dataarray_variable__", None]
)
def test_names_that_stand_for_none_are_no_names(name):
    assert identity_of(xr.DataArray(np.zeros(8), dims="x", name=name), 1).channels == (Channel(),)


@pytest.mark.parametrize(
    "attrs", [{"standard_name": "air_temperature_anomaly"}, {"long_name": "Deviation from 1991-2020"}]
)
def test_a_difference_of_temperatures_is_known_by_its_words(attrs):
    field = xr.DataArray(np.zeros(8), dims="x", name="t", attrs={**attrs, "units": "K"})
    assert identity_of(field, 1).channels[0].difference


def test_a_boundary_is_that_of_the_axis_where_a_file_is_transposed(tmp_path):
    field = xr.DataArray(np.zeros((4, 6)), dims=("x", "y"), name="z", attrs={"boundary": "periodic,reflect"})
    assert identity_of(field, 2, ("y", "x")).boundaries == (("reflect",), ("periodic",))
    field.to_netcdf(tmp_path / "z.nc")
    read = read_field([tmp_path / "z.nc"], order=("y", "x"))
    assert identity_of(read, 2, ("y", "x")).boundaries == (("reflect",), ("periodic",))
    assert identity_of(field.assign_attrs(boundary="periodic"), 2).boundaries == (("periodic",),) * 2


def test_json_holds_it_and_nonsense_is_refused():
    stored = json.loads(json.dumps(EXPECTED.to_json()))
    assert Identity.from_json(stored) == EXPECTED
    for nonsense in (
        {},
        {**stored, "channels": 3},
        {**stored, "axes": [{"name": 3}]},
        {**stored, "axes": [{"name": "x", "spacing": -1.0}]},
        {**stored, "axes": [{"name": "x", "spacing": "wide"}]},
        {**stored, "channels": [{"nom": "t"}]},
        {**stored, "channels": [{"units": [1]}]},
        {**stored, "boundaries": [1]},
        {**stored, "boundaries": None},
        [],
        None,
    ):
        with pytest.raises(InputError, match="do not describe its data"):
            Identity.from_json(nonsense)


def test_of_a_model_saved_without_it_names_units_and_boundaries_are_known():
    old = {"channels": ["elevation"], "attrs": {"units": "m"}}
    grid = Grid.uniform(2, ("periodic", "reflect"), names=("lat", "lon"))
    known = known_of(old, grid, 1)
    assert known.channels == (Channel("elevation", "m"),)
    assert known.axes == (AxisIdentity("lat"), AxisIdentity("lon"))
    assert known.boundaries == (("periodic",), ("reflect",))
    assert known_of({}, grid, 2).channels == (Channel(), Channel())
    assert known_of({"channels": ["u", "v"], "attrs": {"units": "m"}}, grid, 2).channels == (Channel("u"), Channel("v"))


def test_metadata_that_do_not_fit_their_model_are_refused():
    with pytest.raises(InputError, match="describe 2 channels and 2 axes; it has 3 and 2"):
        known_of({"identity": EXPECTED.to_json()}, Grid.uniform(2), 3)
    with pytest.raises(InputError, match="describe 2 channels and 2 axes; it has 2 and 1"):
        known_of({"identity": EXPECTED.to_json()}, Grid.uniform(1), 2)
    bounded = Identity(EXPECTED.channels, EXPECTED.axes, (("reflect",),))
    with pytest.raises(InputError, match="boundaries"):
        known_of({"identity": bounded.to_json()}, Grid.uniform(2), 2)
