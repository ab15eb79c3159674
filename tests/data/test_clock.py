"""The time of the year and of the day at a site: of all calendars, across the date line, at refined longitudes."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from rgdm.data.clock import clock_of, longitudes_of
from rgdm.errors import InputError

AXES = ("lat", "lon")


def field(dates: object, lon: object = (0.0, 90.0), **more: object) -> xr.DataArray:
    """Three latitudes, and longitudes in degrees."""
    lon = np.asarray(lon, dtype=float)
    coords = {"time": dates, "lat": ("lat", [0.0, 1.0, 2.0]), "lon": ("lon", lon, {"units": "degrees_east"})}
    return xr.DataArray(np.zeros((len(coords["time"]), 3, len(lon))), coords | more, ("time", "lat", "lon"))


def turns(x: xr.DataArray, cycle: str, **options) -> np.ndarray:
    """The part of the cycle that is over, of each field and site, from 0 to 1."""
    sizes = [x.sizes[name] * b for name, b in zip(AXES, options.get("factors", (1, 1)), strict=True)]
    both = clock_of(x, x.sizes["time"], (cycle,), AXES, sizes, **options).double()
    assert both.shape == (x.sizes["time"], 2, *sizes)
    np.testing.assert_allclose(both.square().sum(1), 1, rtol=0, atol=1e-6)
    return (torch.atan2(both[:, 1], both[:, 0]) / (2 * math.pi) % 1).numpy()


def apart(a: np.ndarray, b: object) -> float:
    """The farthest that angles in turns are apart on the circle."""
    return float(np.abs((a - np.asarray(b) + 0.5) % 1 - 0.5).max())


def test_a_year_is_one_turn_in_every_calendar():
    dates = pd.to_datetime(["1999-07-02T12", "2000-07-02", "2000-12-31", "2001-01-01", "1900-03-01"], format="ISO8601")
    expected = [0.5, 183 / 366, 365 / 366, 0, 59 / 365]  # 2000 is a leap year, 1900 is none
    assert apart(turns(field(dates), "year")[:, 0, 0], expected) < 1e-7
    for calendar, days in (("360_day", 360), ("noleap", 365), ("all_leap", 366), ("julian", 366), ("standard", 366)):
        whole = xr.date_range("2000-01-01", periods=4 * days, freq="6h", calendar=calendar, use_cftime=True)
        found = turns(field(whole), "year")
        assert apart(found, (np.arange(4 * days) / 4 / days)[:, None, None]) < 1e-7, calendar
        assert apart(turns(field(whole), "day")[:, 0, 0], np.arange(4 * days) / 4) < 1e-7


def test_dates_of_every_kind_have_the_same_bits():
    numpy = pd.date_range("1995-06-30T23:59:59.25", periods=9, freq="77D")
    cf = xr.date_range("1995-06-30T23:59:59.25", periods=9, freq="77D", use_cftime=True)
    hours = (numpy - pd.Timestamp("1990-01-01")) / pd.Timedelta(1, "h")
    undecoded = xr.DataArray(np.asarray(hours), dims="time", attrs={"units": "hours since 1990-01-01"})
    lattice, wanted = (3, 2), clock_of(field(numpy), 9, ("year", "day"), AXES, (3, 2))
    for other in (field(cf), field(numpy.values.astype("datetime64[ms]"))):
        assert torch.equal(clock_of(other, 9, ("year", "day"), AXES, lattice), wanted)
    nowhere = field(np.arange(9))
    for times in (numpy, cf.values, [date.to_pydatetime() for date in numpy], field(cf)["time"]):
        assert torch.equal(clock_of(nowhere, 9, ("year", "day"), AXES, lattice, times=times), wanted)
    torch.testing.assert_close(clock_of(nowhere, 9, ("day",), AXES, lattice, times=undecoded), wanted[:, 2:])
    for i in (0, 4, 8):  # alone, with the time as an axis of one and as a scalar
        for one in (field(numpy).isel(time=[i]), field(cf).isel(time=i)):
            assert torch.equal(clock_of(one, 1, ("year", "day"), AXES, lattice), wanted[i : i + 1])


def test_the_day_begins_at_midnight_of_each_site():
    dates = pd.to_datetime(["2000-01-01T00", "2000-01-01T18"])
    found = turns(field(dates, [0, 90, 180, 359]), "day")
    assert apart(found[:, 1], [[0, 0.25, 0.5, 359 / 360], [0.75, 0, 0.25, 0.75 - 1 / 360]]) < 1e-7


def test_longitudes_are_the_same_however_they_are_counted():
    date = pd.to_datetime(["2000-01-01T07:13"])
    east = np.arange(0.5, 360, 11.25)
    one, other = (turns(field(date, lon), "day") for lon in (east, (east + 180) % 360 - 180))
    assert np.array_equal(one, other)
    radians = field(date, np.deg2rad(east))
    radians["lon"].attrs = {"units": "radian", "standard_name": "longitude"}
    assert apart(turns(radians, "day"), one) < 1e-7
    across = [165.0, 175.0, -175.0, -165.0]
    fine = turns(field(date, across), "day", factors=(2, 4))
    assert apart(fine[0, 0], 433 / 1440 + (161.25 + 2.5 * np.arange(16)) / 360) < 1e-7


def test_longitudes_of_two_axes_go_before_those_of_a_rotated_pole():
    x = field(pd.to_datetime(["2000-01-01T06"])).rename(lon="rlon", lat="rlat")
    x["rlon"].attrs = {"standard_name": "grid_longitude", "units": "degrees"}
    with pytest.raises(InputError, match="nothing is known of longitudes"):
        longitudes_of(x, ("rlat", "rlon"))
    plane = np.array([[0.0, 10.0], [2.0, 12.0], [4.0, 14.0]])
    x = x.assign_coords(lon=(("rlat", "rlon"), plane), lat=(("rlat", "rlon"), plane + 30))
    found = longitudes_of(x.transpose("rlon", "rlat", "time"), ("rlat", "rlon"))
    np.testing.assert_allclose(360 * found, plane)
    np.testing.assert_allclose(360 * longitudes_of(x, ("rlat", "rlon"), (1, 2))[1], [359.5, 4.5, 9.5, 14.5])


def test_a_station_and_a_section_have_one_longitude():
    x = field(pd.to_datetime(["2000-01-01T06"])).isel(lon=1)
    assert longitudes_of(x, ("lat",)).tolist() == [0.25]
    cell = field(pd.to_datetime(["2000-01-01T06"])).isel(lon=[1])
    with pytest.raises(InputError, match="one lon is given, and how wide its cell is not known"):
        longitudes_of(cell, AXES, (1, 2))
    bounds = cell.to_dataset(name="t").assign_coords(lon_bnds=(("lon", "side"), [[80.0, 100.0]]))
    bounds["lon"].attrs["bounds"] = "lon_bnds"
    assert (360 * longitudes_of(bounds, AXES, (1, 2))).ravel().tolist() == [85.0, 95.0]


def test_fields_of_several_members_have_the_dates_of_their_own_times():
    dates = pd.date_range("2000-01-01", periods=3, freq="50D")
    x = field(dates).expand_dims(member=2).transpose("time", "lat", "member", "lon")
    found = clock_of(x, 6, ("year",), AXES, (3, 2))
    assert torch.equal(found, clock_of(field(dates), 3, ("year",), AXES, (3, 2)).repeat_interleave(2, 0))


def test_what_is_missing_is_said_in_a_sentence():
    dates = pd.date_range("2000-01-01", periods=2)
    for x, said in (
        (field(dates).drop_vars("time"), "needs the dates of the fields, and they have none"),
        (field([1, 2]), "of the type int64; a clock needs dates"),
        (torch.zeros(2, 3, 2), "needs the dates of the fields, and they have none"),
        (field(pd.to_datetime(["2000-01-01", None])), "1 of 2 times time are missing"),
    ):
        with pytest.raises(InputError, match=said):
            clock_of(x, 2, ("year",), AXES, (3, 2))
    with pytest.raises(InputError, match="1 times for 2 fields"):
        clock_of(field(dates), 2, ("year",), AXES, (3, 2), times=dates[:1])
    with pytest.raises(InputError, match="nothing is known of longitudes"):
        clock_of(torch.zeros(2, 3, 2), 2, ("day",), AXES, (3, 2), times=dates)
    with pytest.raises(InputError, match="1 of 2 longitudes are missing"):
        clock_of(field(dates, [0, np.nan]), 2, ("day",), AXES, (3, 2))
