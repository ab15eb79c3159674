"""Refinement by 6 on the command line: trained, refined, judged and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says, train
from running import SMALL, ok

from rgdm import config
from rgdm.commands.shared import command_line
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration
LAT, LON = 60 - 0.25 * (np.arange(24) + 0.5), 10 + 0.25 * (np.arange(36) + 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``field.nc`` of 24 x 36 cells between parallels, ``coarse.nc`` of its means by area, and a ``model`` of 6."""
    place = tmp_path_factory.mktemp("six")
    x = np.random.default_rng(0).standard_normal((4, 24, 36)).cumsum(1).cumsum(2)
    coords = {"lat": ("lat", LAT, {"units": "degrees_north"}), "lon": ("lon", LON, {"units": "degrees_east"})}
    field = xr.DataArray(x, coords, ("n", "lat", "lon"), "t2m", {"units": "K"})
    field.to_netcdf(place / "field.nc", engine="h5netcdf")
    coarse = means(field, 6).astype("f8")
    for name in ("lat", "lon"):
        coarse[name].attrs = field[name].attrs
    coarse.rename("t2m").assign_attrs(field.attrs).to_netcdf(place / "coarse.nc", engine="h5netcdf")
    options = ["--levels", 2, "--factor", "2,3", "--steps", 2, *SMALL]
    ok("train", place / "field.nc", "--out", place / "model", *options)
    return place


def means(field: xr.DataArray, width: int) -> xr.DataArray:
    """Of blocks, by the areas of cells between parallels."""
    north, south = np.sin(np.deg2rad(LAT + 0.125)), np.sin(np.deg2rad(LAT - 0.125))
    areas = xr.DataArray(north - south, dims="lat") * xr.ones_like(field)
    blocks = {"lat": width, "lon": width}
    return (field * areas).coarsen(blocks).sum() / areas.coarsen(blocks).sum()


def test_a_model_keeps_the_factors_of_its_levels(folder):
    grid = json.loads((folder / "model" / "config.json").read_text())["configuration"]["grid"]
    assert [axis["factor"] for axis in grid] == [[2, 3], [2, 3]]
    assert Cascade.from_pretrained(folder / "model").grid.widths(2) == (6, 6)


def test_means_by_area_are_kept_on_the_cells_of_the_training(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ok("refine", "model", "coarse.nc", "--members", 2, "--out", "fine.nc", "--overwrite")
    fine, coarse = (xr.open_dataset(name, engine="h5netcdf")["t2m"].load() for name in ("fine.nc", "coarse.nc"))
    np.testing.assert_allclose(fine["lat"], LAT, atol=1e-12)
    np.testing.assert_allclose(fine["lon"], LON, atol=1e-12)
    assert fine.attrs["cell_methods"] == "area: mean"
    kept = means(fine.astype("f8"), 6).transpose("member", *coarse.dims)
    np.testing.assert_allclose(kept, np.stack([coarse] * 2), rtol=0, atol=1e-5)


def test_one_level_refines_by_its_own_factor_and_another_spacing_is_refused(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with xr.open_dataset("field.nc", engine="h5netcdf") as data:
        for width in (2, 3):
            made = means(data["t2m"], width)
            for name in ("lat", "lon"):
                made[name].attrs = data[name].attrs
            made.rename("t2m").assign_attrs(units="K").to_netcdf(f"by{width}.nc", engine="h5netcdf")
    ok("refine", "model", "by2.nc", "--levels", 1, "--members", 1, "--out", "one.nc", "--overwrite")
    capsys.readouterr()
    line = refused(capsys, "refine", "model", "by3.nc", "--levels", 1, "--out", "other.nc")
    says(line, "spacing of 0.75", "1 levels coarsen to 0.5")
    line = refused(capsys, "refine", "model", "coarse.nc", "--levels", 1, "--out", "other.nc")
    says(line, "refine by --levels 2")


def test_scores_and_the_page_name_its_scales(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ok("evaluate", "model", "field.nc", "--members", 2, "--no-likelihood", "--out", "scores", "--overwrite")
    scores = json.loads((folder / "scores" / "scores.json").read_text())
    assert scores["about"]["factor"] == [[2, 3], [2, 3]] and scores["consistency_error"]["value"] < 1e-6
    ok("report", "model", "scores", "--out", "page.html", "--overwrite")
    page = (folder / "page.html").read_text()
    assert "averaged over blocks of 6 sites along every axis" in page and "2 to 6 sites" in page


def test_couplings_follow_the_levels_of_the_model(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    ok("couplings", "model", "--levels", 1, "--count", 4, "--lattice", 24, 24)
    capsys.readouterr()
    line = refused(capsys, "couplings", "model", "--levels", 3, "--count", 4, "--lattice", 24, 24)
    says(line, "the factors 2,3 are for 2 levels and there are 3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--factor", "2,3", "--levels", 3], "the factors 2,3 are for 2 levels and there are 3; give one for all"),
        (["--factor", "2,3", "2,2,3", "--levels", 3], "2,3 2,2,3 of the axes are for different numbers of levels"),
        (["--factor", "2,17", "--levels", 2], "of each a whole number from 1 to 16"),
        (["--factor", "2,3", "2,3", "2", "--levels", 2], "3 factors for 2 axes"),
        (["--factor", "2,3", "--levels", 2, "--operator", "db4"], "the factor is 3; db4 has 2"),
        (["--factor", "2,3", "--levels", 2, "--positive"], "positive fields have block-spin of factor 2"),
        (
            ["--factor", "2,5", "--levels", 2],
            "fits 1 level of factor 2,5, not 2; use 1 level of factor 2, or a lattice",
        ),
    ],
)
def test_factors_that_do_not_fit_get_one_sentence(folder, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    says(refused(capsys, *train(folder / "field.nc", *options)), words)


def test_a_command_is_written_down_as_it_is_typed():
    asked = config.Train(fields=(), out=Path("x"), factor=((2, 3), 1))
    assert command_line(asked, "train") == "rgdm train --out x --factor 2,3 1"


def test_zeros_that_a_factor_does_not_keep_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("rain.npy", np.random.default_rng(0).standard_normal((3, 12, 12)).clip(0).astype("f4"))
    ok("train", "rain.npy", "--levels", 2, "--factor", "2,3", "--steps", 1, "--out", "m", *SMALL)
    assert "they may become negative, for the factor is 2,3, and only 2 keeps zeros" in capsys.readouterr().err
