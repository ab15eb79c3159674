"""Areas of cells and companions on the command line: found, matched, kept by the model, and refused in one sentence."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says
from running import SMALL, ok

from rgdm.cli import main
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration
LAT, LON = np.linspace(40.0, 71.0, 32), np.linspace(0.0, 47.0, 48)


def weather() -> xr.Dataset:
    """Temperature that falls with height, with a pressure; ``z`` without a time."""
    rng = np.random.default_rng(0)
    z = np.abs(rng.standard_normal((32, 48)).cumsum(0)) * 200
    smooth = rng.standard_normal((10, 32, 48)).cumsum(1).cumsum(2) / 30
    coords = {
        "time": np.arange(10),
        "lat": ("lat", LAT, {"units": "degrees_north"}),
        "lon": ("lon", LON, {"units": "degrees_east"}),
    }
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "t2m": (dims, 280 + smooth - 6.5e-3 * z, {"units": "K"}),
            "msl": (dims, 101325 + 100 * smooth, {"units": "Pa"}),
            "z": (dims[1:], z, {"units": "m"}),
        },
        coords,
    )


def weighted(data: xr.DataArray, weights: xr.DataArray, factor: int = 4) -> xr.DataArray:
    blocks = {"lat": factor, "lon": factor}
    whole = weights * xr.ones_like(data)
    return ((data * weights).coarsen(blocks).sum() / whole.coarsen(blocks).sum()).assign_attrs(data.attrs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``weather.nc``, ``oro.nc``, ``coarse.nc`` of weighted means, and the ``model`` beside both."""
    place, data = tmp_path_factory.mktemp("places"), weather()
    data[["t2m", "msl"]].to_netcdf(place / "weather.nc", engine="h5netcdf")
    data["z"].to_netcdf(place / "oro.nc", engine="h5netcdf")
    weights = np.cos(np.deg2rad(data["lat"]))
    coarse = xr.Dataset({name: weighted(data[name], weights) for name in ("t2m", "msl")})
    for name in ("lat", "lon"):
        coarse[name].attrs = data[name].attrs
    coarse.to_netcdf(place / "coarse.nc", engine="h5netcdf")
    beside = ["--static", place / "oro.nc", "--given", "msl"]
    ok("train", place / "weather.nc", "--variable", "t2m", *beside, "--out", place / "model", "--steps", 3, *SMALL)
    return place


def test_a_model_keeps_what_it_was_trained_beside(folder, capsys):
    model = Cascade.from_pretrained(folder / "model")
    assert model.metadata["areas"] == "latitude"
    known = {"standard_name": None}
    assert model.metadata["companions"] == [
        {"name": "z", "units": "m", "kind": "static", "file": "oro.nc", **known},
        {"name": "msl", "units": "Pa", "kind": "given", "file": None, **known},
    ]
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["configuration"]["companions"] == 2


def test_refined_fields_have_the_means_that_the_areas_of_latitudes_weigh(folder, tmp_path, capsys):
    out = tmp_path / "fine.nc"
    where = "--variable", "t2m", "--static", folder / "oro.nc", "--members", 2
    ok("refine", folder / "model", folder / "coarse.nc", *where, "--out", out)
    assert "weighted by the areas of cells" in capsys.readouterr().err
    with xr.open_dataset(out, engine="h5netcdf") as fine, xr.open_dataset(folder / "coarse.nc") as coarse:
        made = fine["t2m"]
        assert made.dims == ("member", "time", "lat", "lon")
        again = weighted(made, np.cos(np.deg2rad(made["lat"])))
        np.testing.assert_allclose(again, np.broadcast_to(coarse["t2m"], again.shape), rtol=1e-14, atol=0)
    given = xr.open_dataset(folder / "coarse.nc")[["msl"]].isel(lat=slice(None, None, -1))
    given.to_netcdf(tmp_path / "given.nc", engine="h5netcdf")
    xr.open_dataset(folder / "coarse.nc")[["t2m"]].to_netcdf(tmp_path / "alone.nc", engine="h5netcdf")
    apart = "--given", tmp_path / "given.nc", "--static", f"{folder / 'oro.nc'}:z", "--members", 2
    ok("refine", folder / "model", tmp_path / "alone.nc", *apart, "--out", tmp_path / "again.nc")
    with xr.open_dataset(out) as one, xr.open_dataset(tmp_path / "again.nc") as other:
        np.testing.assert_allclose(one["t2m"], other["t2m"], rtol=0, atol=1e-4)


def test_areas_of_a_file_weigh_as_they_say(folder, tmp_path, capsys):
    data = weather()
    areas = xr.DataArray(np.random.default_rng(1).random((32, 48)) + 0.1, dims=("lat", "lon"), name="area")
    areas = areas.assign_coords(lat=data["lat"], lon=data["lon"])
    areas.to_netcdf(tmp_path / "areas.nc", engine="h5netcdf")
    areas.isel(lat=slice(None, None, -1)).to_netcdf(tmp_path / "turned.nc", engine="h5netcdf")
    given = "--variable", "t2m", "--areas", tmp_path / "areas.nc"
    ok("train", folder / "weather.nc", *given, "--out", tmp_path / "model", "--steps", 1, *SMALL)
    coarse = weighted(data["t2m"], areas)
    coarse.rename("t2m").to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok(
        "refine",
        tmp_path / "model",
        tmp_path / "coarse.nc",
        "--areas",
        tmp_path / "turned.nc",
        "--out",
        tmp_path / "f.nc",
    )
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as fine:
        again = weighted(fine["t2m"], areas)
        np.testing.assert_allclose(again, np.broadcast_to(coarse, again.shape), rtol=1e-13, atol=0)
    capsys.readouterr()
    assert main(["refine", str(tmp_path / "model"), str(tmp_path / "coarse.nc"), "--out", str(tmp_path / "g.nc")]) == 2
    assert "give those of the fine cells (--areas)" in capsys.readouterr().err


def test_cells_count_alike_where_that_is_asked_for(folder, tmp_path, capsys):
    ok(
        "train",
        folder / "weather.nc",
        "--variable",
        "t2m",
        "--areas",
        "none",
        "--out",
        tmp_path / "m",
        "--steps",
        1,
        *SMALL,
    )
    assert "areas" not in Cascade.from_pretrained(tmp_path / "m").metadata
    assert "weighted" not in capsys.readouterr().err
    haar = "--variable", "t2m", "--operator", "haar"
    ok("train", folder / "weather.nc", *haar, "--out", tmp_path / "haar", "--steps", 1, *SMALL)
    assert "cells count alike at all latitudes" in capsys.readouterr().err


def test_evaluation_takes_areas_and_companions(folder, tmp_path, capsys):
    few = xr.open_dataset(folder / "weather.nc").isel(time=slice(0, 4))
    few.to_netcdf(tmp_path / "few.nc", engine="h5netcdf")
    where = "--variable", "t2m", "--static", folder / "oro.nc", "--members", 2
    ok("evaluate", folder / "model", tmp_path / "few.nc", *where, "--out", tmp_path / "scores")
    assert "Sites are weighted by the areas of their cells (those of latitudes)" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["about"]["areas"] == "those of latitudes"
    assert scores["consistency_error"]["value"] < 1e-12
    assert scores["bits"]["value"][0] is not None
    kept, cosine = xr.open_dataset(tmp_path / "scores" / "fields.nc"), np.cos(np.deg2rad(LAT))
    truth, (one, two) = kept["truth"].values[:, 0], kept["members"].values[:, :, 0]
    crps = (abs(one - truth) + abs(two - truth)) / 2 - abs(one - two) / 2
    found = scores["channels"]["t2m"]["crps"]["value"]
    assert found == pytest.approx(np.average(crps.mean((0, 2)), weights=cosine), rel=1e-5)
    assert found != pytest.approx(crps.mean(), rel=1e-3)
    baseline = abs(kept["bicubic"].values[:, 0] - truth).mean((0, 2))
    wanted = np.average(baseline, weights=cosine)
    assert scores["channels"]["t2m"]["crps_bicubic"]["value"] == pytest.approx(wanted, rel=1e-5)


def test_scores_say_by_which_areas_sites_are_weighted(folder, tmp_path, capsys):
    data = weather().isel(time=slice(0, 3))
    data[["t2m", "msl"]].to_netcdf(tmp_path / "few.nc", engine="h5netcdf")
    areas = xr.DataArray(np.random.default_rng(1).random((32, 48)) + 0.1, dims=("lat", "lon"), name="area")
    areas.assign_coords(lat=data["lat"], lon=data["lon"]).to_netcdf(tmp_path / "areas.nc", engine="h5netcdf")
    model = "evaluate", folder / "model", tmp_path / "few.nc", "--static", folder / "oro.nc", "--variable", "t2m"
    for given, said in ((tmp_path / "areas.nc", "those of areas.nc"), ("none", None)):
        out = tmp_path / str(said)
        ok(*model, "--members", 2, "--no-likelihood", "--areas", given, "--out", out)
        assert ("Sites are weighted" in (words := capsys.readouterr().out)) == (said is not None)
        assert "No errors: 3 samples are too few; an error from fewer than 4" in words
        scores = json.loads((out / "scores.json").read_text())
        assert scores["about"]["areas"] == said
        assert scores["consistency_error"]["value"] < 1e-5 and scores["crps"]["error"] is None
    ok("report", folder / "model", out, tmp_path / "those of areas.nc", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "weighted by the areas of their cells (those of areas.nc)" in page and "No errors: 3 samples are" in page


def test_what_does_not_fit_is_refused_in_a_sentence(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    model, coarse = folder / "model", folder / "coarse.nc"
    refine = ["refine", model, coarse, "--variable", "t2m", "--out", "out.nc"]
    says(refused(capsys, *refine), "trained beside z", "--static FILE, as oro.nc was")
    says(refused(capsys, *refine, "--static", folder / "weather.nc"), "companion z is missing")
    says(refused(capsys, *refine, "--static", f"{folder / 'oro.nc'}:height"), "no variable 'height'")
    weather()["z"].isel(lat=slice(0, 16)).to_netcdf("part.nc", engine="h5netcdf")
    says(refused(capsys, *refine, "--static", "part.nc"), "companion z", "same place")
    xr.open_dataset(coarse)[["t2m"]].to_netcdf("alone.nc", engine="h5netcdf")
    alone = ["refine", model, "alone.nc", "--static", folder / "oro.nc", "--out", "out.nc"]
    says(refused(capsys, *alone), "companion msl is missing")
    train = ["train", folder / "weather.nc", "--variable", "t2m", "--out", "out", "--steps", 1, *SMALL]
    says(refused(capsys, *train, "--given", "t2m"), "t2m is what the model is to make")
    says(refused(capsys, *train, "--static", "part.nc"), "z has the lattice (16, 48)", "same lattice")
    says(refused(capsys, *train, "--static", folder / "weather.nc"), "several variables", "weather.nc:NAME")
    says(refused(capsys, *train, "--areas", "part.nc"), "areas on the lattice (16, 48)")
    says(refused(capsys, *train, "--operator", "haar", "--areas", "part.nc"), "needs --operator block-spin")
    says(refused(capsys, "sample", model, "--lattice", 16, 16, "--out", "out.nc"), "trained beside companions")


def test_a_training_goes_on_beside_what_it_was_begun_with_and_options_that_differ_are_named(
    folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "model", "model")
    other = xr.open_dataset(folder / "oro.nc", engine="h5netcdf")
    (other + 1).to_netcdf("oro.nc", engine="h5netcdf")
    other.rename(z="lsm").to_netcdf("lsm.nc", engine="h5netcdf")
    train = ["train", folder / "weather.nc", "--variable", "t2m", "--out", "model", "--steps", 4, "--resume", *SMALL]
    static, given = ["--static", folder / "oro.nc"], ["--given", "msl"]
    for options, words in (
        (given, "begun with --static oro.nc:z; give it again"),
        (static, "begun with --given msl; give it again"),
        ([], "begun with --static oro.nc:z and --given msl; give it again"),
        ([*static, "lsm.nc", *given], "begun without --static lsm.nc:lsm; leave it out"),
        ([*static, *given, "--areas", "none"], "begun with the areas that latitudes say (no --areas)"),
        (["--static", "oro.nc", *given], "begun with other companions (--static, --given)"),
    ):
        says(refused(capsys, *train, *options), words, "--overwrite")
    ok(*train, *static, *given)
