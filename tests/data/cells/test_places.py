"""Fine cells are laid on coarse ones by their coordinates, or refused if they lie elsewhere."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.cells.places import cut_to, laid_on
from rgdm.errors import InputError

AXES = ("lat", "lon")
LAT, LON = {"units": "degrees_north"}, {"units": "degrees_east"}


def field(lat: np.ndarray, lon: np.ndarray) -> xr.DataArray:
    """Numbered cells."""
    values = np.arange(float(len(lat) * len(lon))).reshape(len(lat), len(lon))
    return xr.DataArray(values, {"lat": ("lat", lat, LAT), "lon": ("lon", lon, LON)}, AXES)


def coarse(fine: xr.DataArray, factor: int = 4) -> xr.DataArray:
    return fine.coarsen(lat=factor, lon=factor).mean()


REGION = field(np.linspace(59.75, 50.25, 20), 350.25 + 0.5 * np.arange(40))
GLOBE = field(np.linspace(88.75, -88.75, 72), 1.25 + 2.5 * np.arange(144))


def test_what_lies_there_is_taken_as_it_is_without_a_word():
    for given in (REGION, GLOBE):
        found, notes = laid_on(given, coarse(given), AXES, "the mask")
        assert found.identical(given) and notes == []


@pytest.mark.parametrize("turn", [360, -360])
@pytest.mark.parametrize("jump", [False, True])
def test_longitudes_by_whole_turns_are_the_same_place(turn, jump):
    lon = REGION["lon"] + turn
    given = REGION.assign_coords(lon=("lon", (lon.values + 180) % 360 - 180 if jump else lon.values, LON))
    found, notes = laid_on(given, coarse(REGION), AXES, "the mask")
    np.testing.assert_array_equal(found, REGION)
    assert len(notes) == 1 and "whole turns are the same place" in notes[0]


@pytest.mark.parametrize("places", [1, 36, 72, 143])
@pytest.mark.parametrize("low", [0, -180])
def test_a_circle_that_begins_elsewhere_is_moved_round(places, low):
    given = GLOBE.roll(lon=places, roll_coords=True)
    given = given.assign_coords(lon=("lon", (given["lon"].values - low) % 360 + low, LON))
    found, notes = laid_on(given, coarse(GLOBE), AXES, "the mask")
    np.testing.assert_array_equal(found, GLOBE)
    assert notes == [f"the mask begins at another lon and is moved round by {places} cells"]


def test_axes_that_run_the_other_way_are_turned_and_that_is_said():
    given = GLOBE.isel(lat=slice(None, None, -1), lon=slice(None, None, -1))
    found, notes = laid_on(given, coarse(GLOBE), AXES, "the mask")
    np.testing.assert_array_equal(found, GLOBE)
    assert notes == ["the mask has rising lat and is turned", "the mask has falling lon and is turned"]


@pytest.mark.parametrize("by", [0.5, -0.5, 1.0, 4.0, 300.0])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("given", [REGION, GLOBE], ids=["region", "globe"])
def test_cells_that_are_shifted_are_refused(given, axis, by):
    step = float(abs(given[axis].diff(axis)).mean())
    shifted = given.assign_coords({axis: given[axis] + by * step})
    if axis == "lon" and given is GLOBE and abs(by) >= 1:
        assert laid_on(shifted, coarse(given), AXES, "the mask")[1] != []  # whole cells on a circle: moved round
        return
    away = rf", {abs(by):g} of its cells away" if abs(by) < given.sizes[axis] else ""
    with pytest.raises(InputError, match=f"the mask has cells .* along {axis}{away}; .*give one of the same place"):
        laid_on(shifted, coarse(given), AXES, "the mask")


def test_gaussian_latitudes_and_latitudes_on_the_poles_fit_their_means():
    gauss = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    for lat in (gauss, np.linspace(90, -90, 64)):
        given = field(lat, 10.0 + np.arange(8)).astype("f4")
        given = given.assign_coords(lat=given["lat"].astype("f4"))
        assert laid_on(given, coarse(given), AXES, "the mask")[1] == []
        half = np.interp(np.arange(64) - 0.5, np.arange(64), lat)
        with pytest.raises(InputError, match="along lat"):
            laid_on(given.assign_coords(lat=half), coarse(given), AXES, "the mask")


def test_without_coordinates_or_on_another_lattice_nothing_is_compared():
    for given in (REGION.drop_vars("lat").drop_vars("lon"), REGION.isel(lat=slice(3), lon=slice(7))):
        found, notes = laid_on(given, coarse(REGION), AXES, "the mask")
        assert found.identical(given) and notes == []


def curvilinear(shift: float = 0.0) -> xr.DataArray:
    y, x = np.meshgrid(np.arange(16.0), np.arange(24.0) + shift, indexing="ij")
    lon = (179 + 0.25 * x + 0.1 * y + 180) % 360 - 180
    coords = {"lat": (("y", "x"), 50 + 0.2 * y - 0.05 * x, LAT), "lon": (("y", "x"), lon, LON)}
    return xr.DataArray(x + 100 * y, coords, ("y", "x"))


def coarse_plane(fine: xr.DataArray) -> xr.DataArray:
    around = {"lon": fine["lon"] % 360}  # means across the date line
    return fine.assign_coords(around).coarsen(y=4, x=4).mean()


def test_curvilinear_cells_are_compared_by_their_latitudes_and_longitudes():
    given = curvilinear()
    assert laid_on(given, coarse_plane(given), ("y", "x"), "the mask")[1] == []
    turned, notes = laid_on(given.isel(x=slice(None, None, -1)), coarse_plane(given), ("y", "x"), "the mask")
    np.testing.assert_array_equal(turned, given)
    assert notes == ["the mask runs the other way along x and is turned"]
    with pytest.raises(InputError, match="other latitudes and longitudes"):
        laid_on(curvilinear(0.5), coarse_plane(given), ("y", "x"), "the mask")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("first", [30.0, 350.0, -10.0])
def test_a_global_field_is_cut_to_a_region_also_across_greenwich(first, turned):
    """Values that say where they are tell that the right cells are taken."""
    lat, lon = np.arange(-89.5, 90), np.arange(0.5, 360)
    globe = xr.DataArray(lat[:, None] + 1000 * lon, dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="z")
    globe = globe.isel(lat=slice(None, None, -1)) if turned else globe
    coarse = xr.DataArray(
        np.zeros((5, 6)),
        dims=("lat", "lon"),
        coords={"lat": 42.0 + 4 * np.arange(5), "lon": first + 2 + 4 * np.arange(6)},
    )
    part, notes = cut_to(globe, coarse, ("lat", "lon"), (20, 24), "the companion z")
    assert part.shape == (20, 24) and len(notes) == 2 + turned and "cut to the field" in notes[-1]
    laid, _ = laid_on(part, coarse, ("lat", "lon"), "the companion z")
    wanted = (40.5 + np.arange(20))[:, None] + 1000 * ((first + 0.5 + np.arange(24)) % 360)
    np.testing.assert_allclose(laid.values, wanted)


def test_a_larger_field_of_other_cells_is_refused():
    lat, lon = np.arange(-89.5, 90), np.arange(0.5, 360)
    globe = xr.DataArray(np.zeros((180, 360)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon + 0.4})
    coarse = xr.DataArray(
        np.zeros((5, 6)), dims=("lat", "lon"), coords={"lat": 42 + 4.0 * np.arange(5), "lon": 32 + 4.0 * np.arange(6)}
    )
    with pytest.raises(InputError, match=r"the mask has cells at .* 0.4 of a cell from .* of the same place"):
        cut_to(globe, coarse, ("lat", "lon"), (20, 24), "the mask")
    with pytest.raises(InputError, match=r"the mask reaches from 45.5 to 69.5 along lat, and 40.5 to 59.5 is needed"):
        cut_to(globe.isel(lat=slice(135, 160)), coarse, ("lat", "lon"), (20, 24), "the mask")
