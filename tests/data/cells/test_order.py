"""Sites of a lattice are neighbours in their order, or one sentence says where they are not."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.alignment import Scale, align
from rgdm.data.cells.order import calendar_of, check_calendars, check_order, uneven
from rgdm.data.fields import read_field
from rgdm.data.identity import identity_of
from rgdm.data.layout import unwrap
from rgdm.errors import InputError

LAT, LON = {"units": "degrees_north"}, {"units": "degrees_east"}
LATS, LONS = np.linspace(60, 46, 8), 2.0 * np.arange(12)


def field(lat=LATS, lon=LONS, **coords) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((len(lat), len(lon)))
    return xr.DataArray(values, {"lat": ("lat", lat, LAT), "lon": ("lon", lon, LON)} | coords, ("lat", "lon"), "t")


def changed(values: np.ndarray, **at: float) -> np.ndarray:
    values = values.copy()
    for i, value in at.items():
        values[int(i[1:])] = value
    return values


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (field(lat=changed(LATS, _3=LATS[2])), r"lat is 56 twice, at the sites 2 and 3; .*drop_duplicates\('lat'\)"),
        (field(lat=changed(LATS, _2=50.0, _5=56.0)), r"lat is not in order: .*sortby\('lat'\)"),
        (field(lat=changed(LATS, _3=np.nan)), "1 of 8 values of the coordinate lat are missing"),
        (field(lon=np.linspace(0, 360, 12)), r"lon goes from 0 to 360, more than once round .*isel\(lon=slice\(-1\)\)"),
        (field(lon=changed(LONS, _11=0.0)), r"lon is not in order: 20 at site 10 is followed by 0"),
    ],
    ids=["twice", "unsorted", "missing", "round", "unsorted longitudes"],
)
def test_positions_that_are_no_order_are_refused_wherever_a_field_comes_in(given, words):
    for take in (
        lambda: check_order(given, ("lat", "lon")),
        lambda: unwrap(given, 1, 2),
        lambda: unwrap(given.to_dataset(), 1, 2),
        lambda: align(given, identity_of(field(), 2), force=True),
    ):
        with pytest.raises(InputError, match=words):
            take()


@pytest.mark.parametrize(
    "given",
    [
        field(),
        field(lat=LATS[::-1]),
        field(lon=(350 + LONS) % 360),
        field(lon=(170 + LONS + 180) % 360 - 180),
        field().drop_vars(["lat", "lon"]),
        field().assign_coords(lat=list("abcdefgh")),
        field(lon=np.arange(0, 360, 30)),
    ],
    ids=["rising", "falling", "Greenwich", "date line", "none", "labels", "circle"],
)
def test_positions_that_rise_or_fall_are_taken(given):
    check_order(given, ("lat", "lon"))


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_dates_along_a_lattice_are_in_order_and_none_is_missing(calendar):
    pytest.importorskip("cftime")
    time = xr.date_range("2000-01-01", periods=8, calendar=calendar, use_cftime=calendar != "standard").values
    series = xr.DataArray(np.arange(8.0), {"time": time}, ("time",), name="t")
    known = identity_of(xr.DataArray(series.values, {"time": xr.date_range("2000", periods=8)}, ("time",), name="t"), 1)
    check_order(series, ["time"])
    with pytest.raises(InputError, match=r"time is 2000-01-02.* twice, at the sites 1 and 2"):
        check_order(series.isel(time=[0, 1, 1, 2]), ["time"])
    with pytest.raises(InputError, match="time is not in order"):
        check_order(series.isel(time=[0, 2, 1, 3, 4, 5]), ["time"])
    with pytest.raises(InputError, match=r"along time, with a step of 172800 s between 2000-01-0.*fill in the dates"):
        align(series.isel(time=[0, 1, 2, 4, 5, 6, 7]), known, scale=Scale((2,)))
    if calendar == "standard":
        gap = series.assign_coords(time=np.where(np.arange(8) == 3, np.datetime64("NaT"), time))
        with pytest.raises(InputError, match="1 of 8 values of the coordinate time are missing"):
            check_order(gap, ["time"])


def test_a_grid_with_uneven_steps_is_refused_where_that_of_the_data_is_even_and_force_goes_on():
    known, given = identity_of(field(), 2), field(lat=np.where(np.arange(8) < 4, LATS, LATS - 3))
    words = (
        "the field is not regular along lat, with a step of 5 between 54 and 49, others of 2; .*steps of 2: regrid it"
    )
    with pytest.raises(InputError, match=words):
        align(given, known)
    assert "taken as it is" in align(given, known, force=True).notes[0]
    align(given, identity_of(given, 2))  # data of a stretched grid have such steps
    gauss = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(8)[0]))
    assert uneven(field(lat=gauss)["lat"]) == "" != uneven(given["lat"])


def stations(times: int) -> xr.DataArray:
    rng = np.random.default_rng(1)
    coords = {"lat": ("station", 40 + 10 * rng.random(30), LAT), "lon": ("station", 10 * rng.random(30), LON)}
    return xr.DataArray(rng.random((times, 30)), coords, ("time", "station"), name="t")


@pytest.mark.parametrize(
    "given",
    [
        stations(1)[0],
        stations(4),
        stations(4).rename(station="n"),
        xr.DataArray(np.zeros((3, 20)), dims=("time", "n"), attrs={"mesh": "mesh2d", "location": "face"}),
    ],
    ids=["stations", "stations and times", "scattered by their places", "mesh"],
)
def test_scattered_places_are_refused_with_ways_to_regrid(given):
    with pytest.raises(InputError, match=r"regrid it to a lattice \(cdo remapcon, xESMF, scipy"):
        unwrap(given, 1, 2)


def test_a_section_is_a_lattice_whose_places_lie_in_a_row():
    coords = {"lat": ("x", 40 + 0.1 * np.arange(12), LAT), "lon": ("x", 0.2 * np.arange(12), LON)}
    section = xr.DataArray(np.zeros((4, 12)), coords, ("depth", "x"), name="t")
    assert unwrap(section, 1, 2)[0].shape == (1, 1, 4, 12)


def test_files_of_different_calendars_are_refused_and_force_leaves_the_dates_out(tmp_path, capsys):
    pytest.importorskip("cftime")
    for name, calendar in (("a", "standard"), ("b", "noleap")):
        time = xr.date_range("2000-03-01", periods=2, calendar=calendar, use_cftime=calendar != "standard")
        xr.Dataset({"t": (("time", "y", "x"), np.zeros((2, 4, 4)))}, {"time": time}).to_netcdf(tmp_path / f"{name}.nc")
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    with pytest.raises(InputError, match=r"b.nc counts time by the calendar noleap; .*a.nc by standard: use"):
        read_field(paths)
    joined = read_field(paths, force=True)
    assert "time" not in joined.coords and "time is left out" in capsys.readouterr().err
    first = read_field(paths[:1])
    assert calendar_of(first["time"]) == "standard" and check_calendars([first, first], ["a", "b"]) == []
