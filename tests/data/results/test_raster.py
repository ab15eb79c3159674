"""Fields as the bands of a GeoTIFF, and what no GeoTIFF holds."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from rgdm.data.fields import read_field
from rgdm.data.results import raster
from rgdm.data.variables import read_variables
from rgdm.data.writing import check_output, write_field
from rgdm.errors import InputError

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")

LAEA = {
    "grid_mapping_name": "lambert_azimuthal_equal_area",
    "latitude_of_projection_origin": 52.0,
    "longitude_of_projection_origin": 10.0,
    "false_easting": 4321000.0,
    "false_northing": 3210000.0,
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257222101,
}
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def fields(names: str = "u", mapping: dict | None = None, times: object = None, y: object = None) -> xr.Dataset:
    """Fields of 4 x 6 cells of 1 km, with rows from the north and other axes in front."""
    shape = (4, 6) if times is None else (len(np.asarray(times)), 4, 6)
    values = np.random.default_rng(0).standard_normal((len(names), *shape)).astype("f4")
    dims = ("y", "x") if times is None else ("time", "y", "x")
    coords = {"y": 8000.0 - 1000 * np.arange(4) if y is None else y, "x": 500.0 + 1000 * np.arange(6)}
    coords |= {} if times is None else {"time": times}
    attrs = {"grid_mapping": "crs"} if mapping is not None else {}
    parts = {
        name: (dims, part, {"units": f"unit of {name}", **attrs}) for name, part in zip(names, values, strict=True)
    }
    data = xr.Dataset(parts, coords)
    return data if mapping is None else data.assign_coords(crs=((), 0, mapping))


def refused(data: xr.Dataset) -> str:
    """The sentence with which a field is refused before and at writing, of which nothing is left."""
    with pytest.raises(InputError) as early:
        raster.check_raster(data)
    with pytest.raises(InputError, match=r"write \.nc or \.zarr") as late:
        write_field("a.tif", data)
    assert str(early.value) == str(late.value) and not list(Path().iterdir())
    return str(late.value)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_variables_are_bands_by_name_each_with_its_unit():
    data = fields("uvw", LAEA)
    data["v"][1, 2] = np.nan
    data["v"].attrs["standard_name"] = "northward_wind"
    write_field("a.tif", data, attrs={"history": "one\ntwo <é>", "seed": 3}, missing=1)
    with rasterio.open("a.tif") as file:
        assert file.descriptions == ("u", "v", "w") and file.units == ("unit of u", "unit of v", "unit of w")
        assert file.transform == rasterio.Affine(1000, 0, 0, 0, -1000, 8500) and file.crs.to_dict()["proj"] == "laea"
        assert file.tags()["history"] == "one\ntwo <é>" and file.tags()["seed"] == "3"
        assert file.tags(2) == {"standard_name": "northward_wind"} and file.dtypes == ("float32",) * 3
    again = read_variables("a.tif")
    for name in "uvw":
        np.testing.assert_array_equal(again[name], data[name])
        assert again[name].attrs["units"] == f"unit of {name}"
    assert again["v"].attrs["standard_name"] == "northward_wind" and "standard_name" not in again["u"].attrs
    assert "history" not in again["u"].attrs and again.attrs["seed"] == 3
    assert [path.name for path in Path().iterdir()] == ["a.tif"]


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_the_times_of_bands_come_back(calendar):
    times = xr.date_range("2001-02-27", periods=3, calendar=calendar, use_cftime=calendar != "standard")
    data = fields(times=times)
    write_field("a.tif", data)
    with rasterio.open("a.tif") as file:
        assert file.descriptions[1].startswith("u time 2001-02-28")
    again = read_variables("a.tif")
    assert list(again.data_vars) == ["u"]
    np.testing.assert_array_equal(again["time"], data["time"])
    np.testing.assert_array_equal(again["u"], data["u"])


def test_bands_of_several_kinds_are_refused():
    assert "2 variables x 3 of time" in refused(fields("uv", times=[0, 1, 2]))
    assert "2 of member x 3 of time" in refused(fields(times=[0, 1, 2]).expand_dims(member=2))
    write_field("a.tif", fields("uv", times=[0]))  # one time is no kind of its own


def test_columns_before_rows_are_turned():
    data = fields(mapping=LAEA)
    write_field("a.tif", data.transpose("x", "y"))
    np.testing.assert_array_equal(read_variables("a.tif")["band_data"], data["u"])


def test_coordinates_win_over_a_transform_that_puts_cells_elsewhere():
    for stated, found in (("0 1000 0 8500 0 -1000", 8500.0), ("0 1000 0 7500 0 -1000", 8500.0)):
        write_field("a.tif", fields(mapping=LAEA | {"GeoTransform": stated}), overwrite=True)
        with rasterio.open("a.tif") as file:
            assert file.transform == rasterio.Affine(1000, 0, 0, 0, -1000, found)


def test_a_rotated_transform_is_kept_where_rows_and_columns_have_no_coordinates():
    data = fields(mapping=LAEA | {"GeoTransform": "7 1000 50 9 60 -1000"}).drop_vars(["x", "y"])
    write_field("a.tif", data)
    with rasterio.open("a.tif") as file:
        assert file.transform == rasterio.Affine(1000, 50, 7, 60, -1000, 9)


def test_uneven_rows_cells_without_a_place_and_what_has_no_rows_are_refused():
    uneven = np.array([8000.0, 7000, 6000, 4800])
    assert "sites of y lie up to" in refused(fields(y=uneven)) and "write .nc" in refused(fields(y=uneven))
    assert "the coordinate x does not" in refused(fields().drop_vars("x"))
    assert "('a', 'x') are these is not known" in refused(fields().rename(y="a"))


def test_what_is_even_to_a_twentieth_of_a_coarse_cell_may_not_be_so_of_finer_ones():
    data = fields(y=np.array([8000.0, 7000, 5980, 5000]))
    raster.check_raster(data)
    with pytest.raises(InputError, match="sites of y"):
        raster.check_raster(data, 4)


def test_a_reference_system_that_no_geotiff_holds_is_refused():
    assert "rotated_latitude_longitude" in refused(fields(mapping=ROTATED))
    assert "is not understood" in refused(fields(mapping={"grid_mapping_name": "none_such"}))


def test_latitudes_and_longitudes_without_a_reference_system_are_those_of_wgs_84_and_that_is_said(capsys):
    data = fields().rename(y="lat", x="lon").assign_coords(lat=[4.0, 3, 2, 1])
    write_field("plain.tif", data)
    assert "has no reference system" in capsys.readouterr().err
    data["lat"].attrs["units"], data["lon"].attrs["units"] = "degrees_north", "degrees_east"
    write_field("globe.tif", data.assign_coords(lon=("lon", np.arange(6.0), data["lon"].attrs)))
    assert "says EPSG:4326" in capsys.readouterr().err
    with rasterio.open("plain.tif") as plain, rasterio.open("globe.tif") as globe:
        assert plain.crs is None and globe.crs.to_epsg() == 4326
        assert globe.transform == rasterio.Affine(1, 0, -0.5, 0, -1, 4.5)


def test_bands_with_scales_of_their_own_are_unpacked_each_by_its_own():
    shape = {"height": 2, "width": 3, "count": 2, "dtype": "int16", "transform": rasterio.Affine(1, 0, 0, 0, -1, 2)}
    with rasterio.open("packed.tif", "w", driver="GTiff", **shape) as file:
        file.write(np.arange(12, dtype="i2").reshape(2, 2, 3))
        file.scales, file.offsets, file.units = (0.5, 2.0), (1.0, 0.0), ("m", "K")
    read = read_field(["packed.tif"])
    np.testing.assert_array_equal(read[0, 0], np.arange(6).reshape(2, 3) * 0.5 + 1)
    np.testing.assert_array_equal(read[0, 1], np.arange(6, 12).reshape(2, 3) * 2)
    assert [read_variables("packed.tif")[name].attrs["units"] for name in ("band_1", "band_2")] == ["m", "K"]


@pytest.mark.parametrize(
    "word", ["", "{", "[]", json.dumps({"axis": "a", "values": [1], "attrs": {}, "variable": "u"})]
)
def test_a_word_on_the_axis_of_bands_that_does_not_fit_is_passed_over(word):
    write_field("a.tif", fields(times=[0, 1, 2]))
    with rasterio.open("a.tif", "r+") as file:
        file.update_tags(**{"bands_along": word})
    assert list(read_variables("a.tif").data_vars) == ["u time 0", "u time 1", "u time 2"]


def test_without_rioxarray_and_for_fields_without_a_place_it_is_said_before_anything_is_made(monkeypatch):
    with pytest.raises(InputError, match=r"a\.tif: generated fields lie nowhere on the Earth; write \.nc or \.zarr"):
        check_output("a.tif", placed=False)
    assert check_output("a.tiff").name == "a.tiff"
    monkeypatch.setattr(raster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"which rioxarray writes: pip install 'rgdm\[formats\]'"):
        check_output("a.tif")
