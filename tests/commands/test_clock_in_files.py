"""The clock on the command line: read off dates and longitudes, kept by the model, missed in one sentence."""

import json

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says
from running import SMALL, ok

from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration
LON = np.arange(48) * 0.5 + 170


def breeze() -> xr.Dataset:
    """A coast whose detail goes with the hour of its sites, in a calendar of 360 days; ``z`` without a time."""
    rng = np.random.default_rng(0)
    z = np.abs(rng.standard_normal((32, 48)).cumsum(0)) * 200
    smooth = rng.standard_normal((12, 32, 48)).cumsum(1).cumsum(2) / 30
    hours = np.arange(12) * 31
    time = xr.date_range("2000-02-28", periods=12, freq="31h", calendar="360_day", use_cftime=True)
    turn = hours[:, None, None] / 24 + LON / 360
    coords = {
        "time": time,
        "lat": ("lat", np.arange(32.0), {"units": "degrees_north"}),
        "lon": ("lon", (LON + 180) % 360 - 180, {"units": "degrees_east"}),
    }
    t = 280 + smooth + 6e-3 * np.cos(2 * np.pi * turn) * z
    dims = ("time", "lat", "lon")
    return xr.Dataset({"t2m": (dims, t, {"units": "K"}), "z": (dims[1:], z, {"units": "m"})}, coords)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``breeze.nc``, ``z.nc``, ``coarse.nc`` and the ``model``."""
    place, data = tmp_path_factory.mktemp("clock"), breeze()
    data[["t2m"]].to_netcdf(place / "breeze.nc", engine="h5netcdf")
    data["z"].to_netcdf(place / "z.nc", engine="h5netcdf")
    data["t2m"].coarsen(lat=4).mean().isel(lon=slice(20)).to_netcdf(place / "part.nc", engine="h5netcdf")
    coarse = data["t2m"].assign_coords(lon=("lon", LON, data["lon"].attrs)).coarsen(lat=4, lon=4).mean()
    coarse["lon"].attrs = coarse["lat"].attrs = {}
    coarse.to_netcdf(place / "coarse.nc", engine="h5netcdf")
    beside = "--static", place / "z.nc", "--clock", "day", "year", "--areas", "none"
    ok("train", place / "breeze.nc", *beside, "--out", place / "model", "--steps", 2, *SMALL)
    return place


def test_a_trained_model_reads_the_clock_off_coarse_files(folder, tmp_path):
    model = Cascade.from_pretrained(folder / "model")
    assert model.clock is not None and model.clock.cycles == ("year", "day")
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["configuration"]["clock"] == ["year", "day"]
    static = "--static", folder / "z.nc"
    ok("refine", folder / "model", folder / "coarse.nc", *static, "--members", 2, "--out", tmp_path / "fine.nc")
    ok("evaluate", folder / "model", folder / "breeze.nc", *static, "--members", 2, "--out", tmp_path / "scores")
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        truth = breeze()["t2m"]
        made = fine["t2m"].mean("member")
        # day and night at the same sites: what is made changes its sign as the truth does
        detail = [x - x.coarsen(lat=4, lon=4).mean().values.repeat(4, 1).repeat(4, 2) for x in (made, truth)]
        said = np.corrcoef(detail[0].values.ravel(), detail[1].values.ravel())[0, 1]
    assert said > 0.9
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["consistency_error"]["value"] < 1e-9 and scores["bits"]["value"][0] is not None


def test_what_a_clock_misses_is_refused_in_a_sentence(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with xr.open_dataset(folder / "coarse.nc", engine="h5netcdf") as coarse:
        coarse.drop_vars("time").to_netcdf("timeless.nc", engine="h5netcdf")
        coarse.drop_vars("lon").to_netcdf("nowhere.nc", engine="h5netcdf")
        np.save("bare.npy", coarse["t2m"].values)
    capsys.readouterr()
    refine = ["refine", folder / "model"]
    more = ["--static", folder / "z.nc", "--out", "out.nc"]
    says(refused(capsys, *refine, "timeless.nc", *more), "needs the dates of the fields")
    says(refused(capsys, *refine, "nowhere.nc", *more), "nothing is known of longitudes")
    says(refused(capsys, *refine, "bare.npy", *more), "needs the dates of the fields")
    says(refused(capsys, "sample", folder / "model", "--lattice", 16, 16, "--out", "o.nc"), "beside companions")
    with xr.open_dataset(folder / "breeze.nc", engine="h5netcdf") as fine:
        noon = fine.assign_coords(time=xr.date_range("2000-01-01T12", periods=12, freq="D"))
        noon.to_netcdf("noon.nc", engine="h5netcdf")
        fine.assign_coords(time=np.arange(12)).to_netcdf("counted.nc", engine="h5netcdf")
    train = ["--clock", "day", "--out", "out", "--steps", 1, *SMALL]
    says(refused(capsys, "train", "noon.nc", *train), "are of the same time of the day", "leave day out")
    says(refused(capsys, "train", "counted.nc", *train), "a clock needs dates")


def test_fields_of_one_hour_are_refused_before_a_training(tmp_path, capsys):
    """Also where strips of several longitudes are kept back, which have several hours."""
    data = breeze()["t2m"].isel(time=slice(4)).drop_vars("time")
    data = xr.concat([data] * 4, "lon").assign_coords(lon=("lon", np.arange(192) * 0.5, {"units": "degrees_east"}))
    data = data.assign_coords(time=("time", xr.date_range("2001-01-01T12", periods=4)))
    data.to_dataset().to_netcdf(tmp_path / "noon.nc", engine="h5netcdf")
    out = "--out", tmp_path / "model", "--steps", 2, "--areas", "none"
    said = refused(capsys, "train", tmp_path / "noon.nc", "--clock", "day", "--hold-back", "space", *out, *SMALL)
    assert "all 4 fields are of the same time of the day" in said and not (tmp_path / "model").exists()
