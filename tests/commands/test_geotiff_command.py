"""``rgdm refine`` from and to GeoTIFF: values, place, words and provenance come back as they were written."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says
from running import ok

from rgdm.data.fields import read_field
from rgdm.data.results import raster

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")
pytestmark = pytest.mark.integration

COARSE = np.random.default_rng(1).normal(100.0, 5.0, (4, 8))
STEPS = {"north-up": (-5000.0, 5_020_000.0), "south-up": (5000.0, 5_000_000.0)}


@pytest.fixture(params=sorted(STEPS))
def utm(request, terrain, tmp_path, monkeypatch):
    """The model, and ``coarse.tif``: 20 by 40 km in UTM zone 32 without rotation, one cell missing."""
    monkeypatch.chdir(tmp_path)
    step, origin = STEPS[request.param]
    values = COARSE.copy()
    values[1, 2] = -9999
    place = rasterio.Affine(5000, 0, 400_000, 0, step, origin)
    shape = {"height": 4, "width": 8, "count": 1, "dtype": "float64", "nodata": -9999}
    with rasterio.open("coarse.tif", "w", driver="GTiff", crs="EPSG:32632", transform=place, **shape) as file:
        file.write(values, 1)
        file.set_band_unit(1, "m")
    return terrain / "model", place


def refine(model, coarse: str, out: str, *more: object) -> None:
    ok("refine", model, coarse, "--out", out, "--members", 3, "--seed", 5, "--evaluations", 1, "--force", *more)


def test_members_are_bands_at_the_place_of_the_finer_lattice(utm, monkeypatch):
    model, place = utm
    refine(model, "coarse.tif", "fine.tif")
    refine(model, "coarse.tif", "fine.nc")
    with rasterio.open("fine.tif") as file, xr.open_dataset("fine.nc", decode_coords="all") as fine:
        assert file.crs.to_epsg() == 32632 and fine["band_data"].rio.crs == file.crs
        assert file.transform == place @ rasterio.Affine.scale(1 / 4) == fine["band_data"].rio.transform()
        np.testing.assert_array_equal(file.read(), fine["band_data"].transpose("member", "y", "x"))
        assert file.dtypes == ("float64",) * 3 and all(np.isnan(each) for each in file.nodatavals)
        assert file.descriptions == tuple(f"band_data member {i}" for i in range(3)) and file.units == ("m",) * 3
        tags, weights = file.tags(), json.loads((model / "config.json").read_text())["weights"]
        assert tags["model_checksum"] in weights and tags["seed"] == "5" and tags["levels"] == "2"
        assert "rgdm refine" in tags["history"] and file.tags(1)["cell_methods"] == "area: mean"
    again = read_field(["fine.tif"])
    assert again.shape == (3, 1, 16, 32) and again.attrs["units"] == "m"
    means = again.to_numpy().reshape(3, 4, 4, 8, 4).mean((2, 4))
    there = ~np.isnan(means)
    assert (there.sum((1, 2)) == 31).all()
    np.testing.assert_allclose(means[there], np.broadcast_to(COARSE, means.shape)[there], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(again["y"], fine["y"])
    assert sorted(path.name for path in Path().iterdir()) == ["coarse.tif", "fine.nc", "fine.tif"]


def test_several_kinds_of_bands_and_a_missing_library_are_refused_before_anything_is_made(
    terrain, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    heights = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")[["height"]].coarsen(lat=4, lon=4).mean()
    heights.to_netcdf("coarse.nc", engine="h5netcdf")
    command = ("refine", terrain / "model", "coarse.nc", "--members", 4, "--out", "fine.tif")
    says(refused(capsys, *command), "4 of member x 5 of time", "write .nc or .zarr")
    says(refused(capsys, "sample", terrain / "model", "--lattice", 16, 16, "--out", "new.tif"), "nowhere on the Earth")
    monkeypatch.setattr(raster, "find_spec", lambda name: None)
    says(refused(capsys, *command), "fine.tif", "pip install 'rgdm[formats]'")


def test_the_bands_of_a_file_of_times_are_times_and_a_file_is_replaced_only_if_asked(
    terrain, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    heights = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")[["height"]].coarsen(lat=4, lon=4).mean()
    heights.to_netcdf("coarse.nc", engine="h5netcdf")
    command = ("refine", terrain / "model", "coarse.nc", "--members", 1, "--evaluations", 1, "--out", "fine.tif")
    ok(*command)
    capsys.readouterr()
    says(refused(capsys, *command), "fine.tif exists", "--overwrite")
    ok(*command, "--overwrite")
    again = read_field(["fine.tif"])
    assert again.shape == (5, 1, 16, 24) and list(again["channel"].values) == ["height"]
    np.testing.assert_array_equal(again["time"], heights["time"])


def test_corrected_values_are_a_geotiff_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times = xr.date_range("2001-01-01", periods=120)
    values = np.random.default_rng(0).normal(5.0, 2.0, (2, 120, 4, 6))
    coords = {"time": times, "y": 5e6 - 1000.0 * np.arange(4), "x": 4e5 + 1000.0 * np.arange(6)}
    for name, each in zip(("model", "observed"), values, strict=True):
        made = xr.DataArray(each, coords, ("time", "y", "x"), "t", {"units": "K"}).rio.write_crs(32632)
        made.to_dataset().to_netcdf(f"{name}.nc", engine="h5netcdf")
    for suffix in ("nc", "tif"):
        ok("debias", "model.nc", "--like", "observed.nc", "--group", "none", "--out", f"made.{suffix}")
    with xr.open_dataset("made.nc", engine="h5netcdf") as expected, rasterio.open("made.tif") as file:
        np.testing.assert_array_equal(file.read(), expected["t"])
        assert file.crs.to_epsg() == 32632 and file.transform == rasterio.Affine(1000, 0, 399_500, 0, -1000, 5_000_500)
        assert file.descriptions[0] == "t time 2001-01-01T00:00:00" and file.units[0] == "K"


def test_what_debias_would_write_is_looked_at_before_it_corrects(tmp_path, monkeypatch, capsys):
    """Two variables with many times each are no bands; others of the observations are not written."""
    monkeypatch.chdir(tmp_path)
    coords = {
        "time": xr.date_range("2001-01-01", periods=40),
        "y": 5e6 - 1000.0 * np.arange(4),
        "x": 4e5 + 1000.0 * np.arange(6),
    }
    values = np.random.default_rng(0).normal(5.0, 2.0, (40, 4, 6))
    one = xr.DataArray(values, coords, ("time", "y", "x"), "t", {"units": "K"}).rio.write_crs(32632)
    both = xr.Dataset({"t": one, "u": one + 1})
    both.to_netcdf("both.nc", engine="h5netcdf")
    one.to_dataset().to_netcdf("one.nc", engine="h5netcdf")
    refused(capsys, "debias", "both.nc", "--like", "both.nc", "--group", "none", "--out", "made.tif")
    ok("debias", "one.nc", "--like", "both.nc", "--group", "none", "--quantiles", 10, "--out", "made.tif")
