"""Fields with missing values, from training to judgement: nothing is invented, means of what is there are kept."""

import json

import numpy as np
import pytest
import xarray as xr
from running import SMALL, ok, walk

from rgdm.cli import main
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration


def sea() -> xr.DataArray:
    """A temperature with land and a few gaps, latitudes falling."""
    values = 15 + walk(6, 32, 48).astype("f8")
    values[:, 8:20, 10:30] = np.nan
    values[np.random.default_rng(1).random(values.shape) < 0.05] = np.nan
    coords = {"time": np.arange(6), "lat": np.linspace(60.0, 29.0, 32), "lon": np.arange(48.0)}
    attrs = {"units": "degC", "standard_name": "sea_surface_temperature"}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, attrs=attrs, name="sst")


def block_means(field: xr.DataArray) -> xr.DataArray:
    """Of blocks of 4 x 4 cells, those that are there weighted by their area."""
    weights = np.cos(np.deg2rad(field["lat"])) * field.notnull()
    blocks = {"lat": 4, "lon": 4}
    means = (field * weights).coarsen(blocks).sum() / weights.coarsen(blocks).sum()
    return means.assign_attrs(field.attrs).rename(field.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``sst.nc``, the ``model`` that was trained on it, its weighted block means ``coarse.nc``, and ``mask.nc``."""
    place, field = tmp_path_factory.mktemp("gaps"), sea()
    field.to_netcdf(place / "sst.nc", engine="h5netcdf")
    ok("train", place / "sst.nc", "--out", place / "model", "--steps", 3, *SMALL)
    block_means(field).to_netcdf(place / "coarse.nc", engine="h5netcdf")
    field.notnull().astype("i1").rename("mask").to_netcdf(place / "mask.nc", engine="h5netcdf")
    return place


def test_a_model_is_trained_on_what_is_there(folder):
    model = Cascade.from_pretrained(folder / "model")
    there = sea().values
    assert float(model.units.mean[0]) == pytest.approx(float(np.nanmean(there[:5])), abs=0.5)
    most = (np.nanmax(there) - float(model.units.mean)) / float(model.units.scale)
    assert 0 < float(model.range.highest[0, 0]) <= 2 * most


@pytest.mark.parametrize("turned", [False, True])
def test_refined_fields_have_the_means_of_what_a_mask_says_is_there(folder, tmp_path, turned, capsys):
    mask = folder / "mask.nc"
    if turned:
        mask = tmp_path / "turned.nc"
        with xr.open_dataset(folder / "mask.nc", engine="h5netcdf") as given:
            given.isel(lat=slice(None, None, -1)).transpose("lon", "lat", "time").to_netcdf(mask, engine="h5netcdf")
    ok("refine", folder / "model", folder / "coarse.nc", "--members", 2, "--mask", mask, "--out", tmp_path / "fine.nc")
    assert "are missing" in capsys.readouterr().err
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        made = fine["sst"]
        assert made.dims == ("member", "time", "lat", "lon") and made.attrs["units"] == "degC"
        assert bool((made.isnull() == sea().isnull()).all())
        means = block_means(made)
        coarse = block_means(sea())
        np.testing.assert_allclose(means.values, np.broadcast_to(coarse.values, means.shape), rtol=1e-13, atol=0)


def test_without_a_mask_blocks_that_are_there_are_whole(folder, tmp_path):
    ok("refine", folder / "model", folder / "coarse.nc", "--members", 1, "--out", tmp_path / "fine.npy")
    made = np.load(tmp_path / "fine.npy")[0]
    gaps = block_means(sea()).isnull().values.repeat(4, 1).repeat(4, 2)
    assert gaps.any() and (np.isnan(made).reshape(gaps.shape) == gaps).all()


def test_scores_are_of_what_is_there(folder, tmp_path, capsys):
    ok("evaluate", folder / "model", folder / "sst.nc", "--members", 3, "--out", tmp_path / "scores")
    said = capsys.readouterr()
    assert "are missing" in said.err and "nan" not in said.out
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["about"]["valid"] == pytest.approx(float(sea().notnull().mean()))
    assert scores["consistency_error"]["value"] < 1e-12
    pytest.importorskip("matplotlib")
    ok("report", folder / "model", tmp_path / "scores", "--out", tmp_path / "report.html")


def test_xarray_objects_with_gaps_and_a_mask_are_refined(folder):
    model = Cascade.from_pretrained(folder / "model")
    coarse = block_means(sea()).sortby("lat")
    mask = sea().notnull().astype(float).sortby("lat")
    fine = model.refine(coarse, mask=mask)
    assert bool((fine.isnull().isel(member=0).transpose("time", "lat", "lon") == (mask == 0)).all())


def test_a_day_without_any_value_is_left_out_of_scores(folder, tmp_path, capsys):
    field = sea()
    field[2] = np.nan
    field.to_netcdf(tmp_path / "cloudy.nc", engine="h5netcdf")
    ok("evaluate", folder / "model", tmp_path / "cloudy.nc", "--members", 2)
    assert "nan" not in capsys.readouterr().out


def test_a_mask_is_chosen_from_a_file_and_laid_on_the_field_and_that_is_said(folder, tmp_path, capsys):
    static = sea()[0].notnull().astype("i1").assign_coords(lon=np.arange(48.0) + 360)
    static.lon.attrs["units"] = "degrees_east"
    xr.Dataset({"sea": static, "land": 1 - static}).to_netcdf(tmp_path / "masks.nc", engine="h5netcdf")
    field = sea()[:2].where(static.drop_vars(("time", "lon")) == 1).coarsen(lat=4, lon=4).mean()
    field[0, 0, 0] = np.nan
    field.to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    command = ["refine", folder / "model", tmp_path / "coarse.nc", "--members", 1, "--out", tmp_path / "fine.nc"]
    assert main([str(a) for a in [*command, "--mask", tmp_path / "masks.nc"]]) == 2
    assert "land, sea; choose the mask with --mask" in capsys.readouterr().err
    ok(*command, "--mask", f"{tmp_path / 'masks.nc'}:sea")
    said = capsys.readouterr().err
    assert said.count("whole turns are the same place") == 1
    assert said.count("cells in the") == 1 and "they stay missing" in said
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        there = np.broadcast_to(static.values == 1, (2, 32, 48)).copy()
        there[0, :4, :4] = False
        np.testing.assert_array_equal(fine["sst"][0].notnull(), there)
