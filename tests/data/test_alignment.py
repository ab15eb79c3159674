import re

import numpy as np
import pytest
import xarray as xr

from rgdm.data.alignment import Scale, align
from rgdm.data.fields import read_field
from rgdm.data.identity import Channel, Identity, identity_of
from rgdm.errors import InputError


def weather(spacing: float = 0.5, dtype: str = "f4") -> xr.Dataset:
    """Temperature and pressure on rising latitudes."""
    values = np.random.default_rng(0).standard_normal((2, 6, 8)).astype(dtype)
    return xr.Dataset(
        {
            "t2m": (("lat", "lon"), 280 + 5 * values[0], {"units": "K", "standard_name": "air_temperature"}),
            "sp": (("lat", "lon"), 1e5 + 500 * values[1], {"units": "Pa", "standard_name": "surface_air_pressure"}),
        },
        coords={
            "lat": ("lat", 40 + spacing * np.arange(6), {"units": "degrees_north"}),
            "lon": ("lon", spacing * np.arange(8), {"units": "degrees_east"}),
        },
    )


KNOWN = identity_of(weather(), 2)


def in_celsius(data: xr.Dataset) -> xr.Dataset:
    warm = (data["t2m"].astype("f8") - 273.15).assign_attrs(data["t2m"].attrs, units="degC")
    return data.assign(t2m=warm)


def test_a_field_like_the_known_one_stays_as_it_is_without_a_word():
    found = align(weather(), KNOWN)
    assert found.notes == () and found.field.identical(weather())
    assert found.restore(weather()).identical(weather())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[["sp", "t2m"]], "has sp, t2m; the model was trained on t2m, sp: in the order is taken"),
        (
            lambda data: data.isel(lat=slice(None, None, -1)),
            "has falling lat and is turned; the model .* on rising lat",
        ),
        (lambda data: data.assign(extra=data["sp"]), "has t2m, sp, extra; the model was trained on t2m, sp: those"),
        (lambda data: data.isel(lat=slice(None, None, -1))[["sp", "t2m"]], "has sp, t2m"),
    ],
)
def test_order_direction_and_other_variables_are_aligned_and_brought_back_to_the_bit(change, says):
    given = change(weather())
    found = align(given, KNOWN)
    assert found.field.identical(weather()[["t2m", "sp"]])
    assert list(found.field.data_vars) == ["t2m", "sp"]
    back = found.restore(found.field)
    assert back.identical(given.drop_vars("extra", errors="ignore"))
    assert list(back.data_vars) == [name for name in given.data_vars if name != "extra"]
    assert any(re.search(says, note) for note in found.notes), found.notes


def test_an_array_with_an_axis_of_channels_is_aligned_by_its_names():
    array = weather()[["sp", "t2m"]].to_array("channel").isel(lat=slice(None, None, -1))
    found = align(array, KNOWN, force=True)  # an array has one unit for all
    np.testing.assert_array_equal(found.field, weather().to_array("channel"))
    assert found.restore(found.field).identical(array)


def test_units_of_one_quantity_are_converted_and_brought_back():
    given = in_celsius(weather(dtype="f8")).assign(sp=(weather(dtype="f8")["sp"] / 100).assign_attrs(units="hPa"))
    found = align(given, KNOWN)
    for name in ("t2m", "sp"):
        np.testing.assert_allclose(found.field[name], weather(dtype="f8")[name], rtol=1e-14)
        assert found.field[name].attrs["units"] == {"t2m": "K", "sp": "Pa"}[name]
    assert len(found.notes) == 2 and "t2m of the field is in degC and is converted; the model" in found.notes[0]
    back = found.restore(found.field)
    for name in ("t2m", "sp"):
        np.testing.assert_allclose(back[name], given[name], rtol=1e-13)
        assert back[name].attrs["units"] == given[name].attrs["units"]


def test_units_of_a_file_are_converted_and_its_own_attributes_with_them(tmp_path):
    in_celsius(weather()).to_netcdf(tmp_path / "warm.nc")
    field = read_field([tmp_path / "warm.nc"], "t2m,sp")
    found = align(field, KNOWN)
    np.testing.assert_allclose(found.field[0, 0], weather()["t2m"], rtol=1e-6)
    np.testing.assert_array_equal(found.field[0, 1], weather()["sp"])
    assert identity_of(found.field, 2) == KNOWN
    assert identity_of(field, 2).channels[0].units == "degC"  # what was given stays
    assert identity_of(found.restore(found.field), 2) == identity_of(field, 2)


def test_another_spelling_of_a_unit_is_the_same():
    given = weather().assign(t2m=weather()["t2m"].assign_attrs(units="kelvin"))
    found = align(given, KNOWN)
    assert found.notes == () and found.field["t2m"].identical(given["t2m"])


def test_a_variable_of_another_name_is_taken_by_its_standard_name():
    given = weather().rename(t2m="tas")[["sp", "tas"]]
    found = align(given, KNOWN)
    assert list(found.field.data_vars) == ["tas", "sp"]
    assert found.notes == ("tas of the field is taken for t2m: both are air_temperature",)
    assert found.restore(found.field).identical(given)


def test_what_has_no_names_is_taken_in_its_order():
    array = weather().to_array("channel").drop_vars(["channel", "lat", "lon"]).drop_attrs()
    assert align(array, KNOWN).notes == () and align(array, KNOWN).field.identical(array)
    values = np.zeros((2, 6, 8))
    assert align(values, KNOWN).field is values and align(values, KNOWN).restore(values) is values
    nameless = Identity((Channel(), Channel()), KNOWN.axes)
    assert align(weather()[["sp", "t2m"]], nameless).field.identical(weather()[["sp", "t2m"]])


def test_a_unit_that_is_missing_is_noted():
    given = weather().assign(t2m=weather()["t2m"].drop_attrs())
    assert align(given, KNOWN).notes == ("the field states no unit for t2m; it is taken to be in K",)


RENAMED = weather().drop_attrs().rename(t2m="u10", sp="v10")
IN_RAIN = weather().assign(t2m=weather()["t2m"].assign_attrs(units="mm/h"))
ANOMALY = in_celsius(weather()).assign(t2m=in_celsius(weather())["t2m"].assign_attrs(long_name="anomaly"))
TORUS = weather().assign({n: v.assign_attrs(periodic="True") for n, v in weather().items()})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            RENAMED,
            r"2 channel\(s\) \(u10, v10\); the model was trained on 2 channel\(s\) \(t2m, sp\): choose some",
        ),
        (IN_RAIN, r"the field has t2m in mm/h; the model was trained on K: convert it"),
        (ANOMALY, r"the field has t2m in degC; the model was trained on K: convert it"),
        (
            weather(0.6),
            r"spacing of 0.6 degrees_north along lat; the model was trained on 0.5 degrees_north: regrid it",
        ),
        (TORUS, r"states the boundary periodic of lat; the model was trained on reflect: correct its attribute"),
    ],
)
def test_what_cannot_be_aligned_is_refused_with_both_values_and_a_remedy_and_force_goes_on(given, says):
    known = Identity(KNOWN.channels, KNOWN.axes, (("reflect",),) * 2)
    with pytest.raises(InputError, match=says) as refused:
        align(given, known)
    assert "force=True" in str(refused.value)
    found = align(given, known, force=True)
    assert any("taken as it is" in note for note in found.notes)
    for name in given.data_vars:
        np.testing.assert_array_equal(found.field[name], given[name])


def test_anomalies_are_converted_without_the_zero():
    known = Identity((Channel("t", "K", difference=True),))
    given = xr.DataArray([1.0, 2.0], dims="x", name="t", attrs={"units": "degC", "long_name": "anomaly"})
    assert align(given, known).field.values.tolist() == [1, 2]


def test_a_wrong_number_of_channels_is_refused_even_with_force():
    for given in (weather()[["t2m"]], weather()["t2m"]):
        with pytest.raises(InputError, match=r"sp is missing: .* 1 channel.*; .* 2 channel.*: choose some of them"):
            align(given, KNOWN, force=True)


def test_variables_that_are_named_alike_in_part_are_taken_with_force():
    given = weather().rename(sp="pressure").drop_attrs()
    with pytest.raises(InputError, match=r"sp is missing: .*rename the variables"):
        align(given, KNOWN)
    found = align(given, KNOWN, force=True)
    assert "sp is missing" in found.notes[0] and list(found.field.data_vars) == ["t2m", "pressure"]


@pytest.mark.parametrize("spacing", [0.5 * 1.04, 0.5 * 0.96])
def test_spacings_that_differ_by_a_few_per_cent_are_the_same(spacing):
    assert align(weather(spacing), KNOWN).notes == ()


def test_a_coarse_field_has_the_spacing_of_its_level():
    assert align(weather(2.0), KNOWN, scale=Scale((2, 2), 2, 3)).notes == ()
    with pytest.raises(
        InputError, match=r"2 degrees_north along lat; .* 0.5 degrees_north, which 3 levels coarsen to 4 "
    ):
        align(weather(2.0), KNOWN, scale=Scale((2, 2), 3, 3))
    with pytest.raises(InputError, match="refine by levels=2"):
        align(weather(2.0), KNOWN, scale=Scale((2, 2), 3, 3))
    with pytest.raises(InputError, match="regrid it"):
        align(weather(2.5), KNOWN, scale=Scale((2, 2), 2, 3))


def test_an_axis_that_is_not_coarse_grained_keeps_its_spacing():
    given = weather(2.0).assign_coords(lat=weather()["lat"])
    assert align(given, KNOWN, scale=Scale((1, 2), 2, 3)).notes == ()
    with pytest.raises(InputError, match="along lat"):
        align(given, KNOWN, scale=Scale((2, 2), 2, 3))


def metres(spacing: float, units: str) -> xr.DataArray:
    x = ("x", spacing * np.arange(8), {"units": units})
    return xr.DataArray(np.zeros(8), dims="x", name="z", coords={"x": x})


def test_spacings_are_compared_in_one_unit_and_not_across_quantities():
    known = identity_of(metres(500, "m"), 1)
    assert align(metres(0.5, "km"), known).notes == ()
    with pytest.raises(InputError, match=r"spacing of 1 km along x; the model was trained on 0.5 km"):
        align(metres(1, "km"), known)
    (note,) = align(metres(0.5, "degrees"), known).notes
    assert note == "the field has x in degrees; the model was trained on m: spacings were not compared"
