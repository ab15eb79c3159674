"""Axes, coordinates and attributes of a file through whole commands."""

import numpy as np
import pytest
import xarray as xr
from running import SMALL, ok, walk

from rgdm.cli import main
from rgdm.data.fields import read_field
from rgdm.notes import command_line

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model of two variables with units of their own, on (lat, lon)."""
    folder = tmp_path_factory.mktemp("axes")
    data = xr.Dataset(
        {
            "t": (("sample", "lat", "lon"), 280 + walk(2, 16, 16), {"units": "K", "standard_name": "air_temperature"}),
            "mask": (("sample", "lat", "lon"), walk(2, 16, 16), {"long_name": "land"}),
        }
    )
    data.to_netcdf(folder / "train.nc", engine="h5netcdf")
    ok("train", folder / "train.nc", "--variable", "t,mask", "--out", folder / "model", "--steps", 2, *SMALL)
    return folder / "model"


def levels_last() -> xr.Dataset:
    """Two variables on (lat, lon, lev) and (lev, lat, lon), in the west of Greenwich and the east."""
    values = walk(3, 4, 6)
    coords = {
        "lat": ("lat", np.linspace(88, 80, 4), {"units": "degrees_north"}),
        "lon": ("lon", (350 + 5 * np.arange(6)) % 360, {"units": "degrees_east"}),
        "lev": ("lev", [1000.0, 850.0, 500.0], {"units": "hPa", "positive": "down"}),
    }
    t = (("lat", "lon", "lev"), 280 + np.moveaxis(values, 0, -1), {"units": "K"})
    return xr.Dataset({"t": t, "mask": (("lev", "lat", "lon"), values, {"note": {"a": 1}})}, coords, {"title": "one"})


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_levels_stay_and_latitudes_and_longitudes_become_finer(model, tmp_path, capsys, suffix):
    data = levels_last()
    data.to_zarr(tmp_path / "coarse.zarr", zarr_format=3, consolidated=False)
    ok("refine", model, tmp_path / "coarse.zarr", "--members", 2, "--levels", 1, "--out", tmp_path / f"fine{suffix}")
    assert "the lattice axes are lat, lon; lev are samples (--axes names others)" in capsys.readouterr().err
    fine = xr.open_dataset(tmp_path / f"fine{suffix}", engine="zarr" if suffix == ".zarr" else "h5netcdf")
    for name in ("t", "mask"):
        assert fine[name].sizes == {"member": 2, "lat": 8, "lon": 12, "lev": 3}
        mean = fine[name].isel(member=1).coarsen(lat=2, lon=2).mean()
        np.testing.assert_allclose(mean.transpose(*data[name].dims), data[name], atol=1e-4)
    np.testing.assert_array_equal(fine["lev"], data["lev"])
    assert abs(fine["lat"]).max() <= 90 and fine["lon"].max() < 360 and fine["lon"].min() >= 0
    assert fine["t"].attrs["units"] == "K" and "units" not in fine["mask"].attrs
    assert fine["mask"].attrs["note"] == '{"a": 1}' and fine.attrs["title"] == "one"


def test_axes_that_are_named_are_taken(model, tmp_path, capsys):
    levels_last().drop_attrs().drop_vars(["lat", "lev"]).to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    named = ["refine", model, tmp_path / "coarse.nc", "--members", 1, "--out", tmp_path / "fine.nc", "--axes"]
    ok(*named, "lat,lev", "--levels", 1)
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        assert fine["t"].sizes == {"member": 1, "lat": 8, "lon": 6, "lev": 6}
    capsys.readouterr()
    assert main([str(word) for word in [*named, "lat,depth", "--overwrite"]]) == 2
    assert "the variable t has the axes lat, lon, lev" in capsys.readouterr().err


def test_each_variable_of_a_sample_has_its_own_attributes(model, tmp_path):
    ok("sample", model, "--lattice", 16, 16, "--out", tmp_path / "sample.nc")
    with xr.open_dataset(tmp_path / "sample.nc", engine="h5netcdf") as made:
        assert made["t"].attrs["units"] == "K" and made["t"].attrs["standard_name"] == "air_temperature"
        assert not {"units", "standard_name"} & set(made["mask"].attrs) and made["mask"].attrs["long_name"] == "land"


def test_cells_of_a_sphere_are_refused(model, tmp_path, capsys):
    cells = xr.Dataset({name: (("time", "cell"), walk(2, 48)) for name in ("t", "mask")})
    cells.to_netcdf(tmp_path / "cells.nc", engine="h5netcdf")
    out = ["refine", str(model), str(tmp_path / "cells.nc"), "--out", str(tmp_path / "fine.nc")]
    assert main(out) == 2
    assert "has one axis of cells, cell; regrid it" in capsys.readouterr().err


def test_what_holds_for_several_files_is_said_once(tmp_path, capsys):
    files = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in files:
        levels_last()[["t"]].to_netcdf(path, engine="h5netcdf")
    said = "the lattice axes are lat, lon; lev are samples"
    read_field(files)
    assert capsys.readouterr().err.count(said) == 2
    with command_line():
        read_field(files)
    assert capsys.readouterr().err.count(said) == 1
