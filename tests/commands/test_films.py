"""``rgdm train`` measures how long detail lasts, ``refine`` makes films that last so, ``evaluate`` judges these."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from running import SMALL, ok

from rgdm.cli import main
from rgdm.evaluate import lag_correlation
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.integration
FRAMES, LEARNED = 46, 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film of which a frame keeps 0.8 of the one before, and a model that was trained on its first part."""
    folder = tmp_path_factory.mktemp("film")
    generator, x, frames = np.random.default_rng(0), np.zeros((16, 16)), []
    for _ in range(FRAMES + 10):
        x = 0.8 * x + 0.6 * generator.standard_normal(x.shape)
        frames.append(x + np.roll(x, 1, 0) + np.roll(x, 1, 1) + 5)
    coords = {
        "time": pd.date_range("2000-01-01", periods=FRAMES, freq="3h"),
        "lat": np.arange(16.0),
        "lon": np.arange(16.0),
    }
    field = xr.DataArray(np.array(frames[10:]), coords, ("time", "lat", "lon"), name="wind", attrs={"units": "m s-1"})
    field[:LEARNED].to_netcdf(folder / "film.nc", engine="h5netcdf")
    field[LEARNED:].to_netcdf(folder / "later.nc", engine="h5netcdf")
    field[LEARNED:].coarsen(lat=4, lon=4).mean().to_netcdf(folder / "coarse.nc", engine="h5netcdf")
    ok("train", folder / "film.nc", *SMALL, "--steps", 2, "--boundary", "periodic", "--out", folder / "model")
    return folder


def lasting(path, members: int = 4) -> float:
    """The correlation of the finest detail from frame to frame."""
    field = xr.open_dataset(path, engine="h5netcdf")["wind"]
    values = torch.from_numpy(field.values.reshape(-1, *field.shape[-3:]))
    return float(torch.stack([lag_correlation(x[:, None], BlockSpin(2), 1).value for x in values]).mean())


def test_refined_films_last_unless_that_is_switched_off(folder, tmp_path):
    wanted = lasting(folder / "later.nc")
    found = []
    for options in ((), ("--no-persistence",)):
        out = tmp_path / f"fine{len(options)}.nc"
        ok("refine", folder / "model", folder / "coarse.nc", "--members", 4, "--out", out, *options)
        found.append(lasting(out))
    assert abs(found[0] - wanted) < 0.05 and wanted - found[1] > 0.3


def test_the_training_says_how_long_detail_lasts_and_keeps_it(folder):
    kept = Cascade.from_pretrained(folder / "model").metadata["persistence"]
    assert kept["step"] == 3 * 3600 and kept["unit"] == "s" and len(kept["levels"]) == 2


def test_evaluate_judges_the_film_that_refine_would_make(folder, tmp_path, monkeypatch):
    seen = []
    refine = Cascade.refine
    monkeypatch.setattr(Cascade, "refine", lambda *a, **k: seen.append(refine(*a, **k)) or seen[-1])
    ok(
        "evaluate",
        folder / "model",
        folder / "later.nc",
        "--members",
        4,
        "--no-likelihood",
        "--frames",
        "--out",
        tmp_path / "e",
    )
    made = [lag_correlation(member, BlockSpin(2), 1).value for member in seen[0]]
    assert abs(float(torch.stack(made).mean()) - lasting(folder / "later.nc")) < 0.05
    scores = json.loads((tmp_path / "e" / "scores.json").read_text())
    assert scores["channels"]["wind"]["lag_correlation"] is not None


def timeless(path, out, places: list[int]):
    """The same file, of which some times are missing."""
    with xr.open_dataset(path, engine="h5netcdf") as film:
        times = film["time"].values.copy()
        times[places] = "NaT"
        film.assign_coords(time=times).to_netcdf(out, engine="h5netcdf")
    return out


def test_missing_times_are_refused_where_frames_follow_each_other_and_harmless_elsewhere(folder, tmp_path, capsys):
    coarse = timeless(folder / "coarse.nc", tmp_path / "coarse.nc", [2, 3])
    refine = ["refine", folder / "model", coarse, "--members", 2, "--out", tmp_path / "fine.nc"]
    later = timeless(folder / "later.nc", tmp_path / "later.nc", [4])
    evaluate = ["evaluate", folder / "model", later, "--members", 2, "--no-likelihood"]
    film = timeless(folder / "film.nc", tmp_path / "film.nc", [0])
    train = ["train", film, *SMALL, "--steps", 1, "--boundary", "periodic", "--out", tmp_path / "model"]
    capsys.readouterr()
    for command, count, remedy in (
        (refine, "2 of 16 samples (2, 3,", "(--no-persistence)"),
        (evaluate, "1 of 16 samples (4,", "(--no-persistence)"),
        (train, "1 of 30 samples (0,", "leave these samples out"),
    ):
        assert main([str(word) for word in command]) == 2
        said = capsys.readouterr().err
        assert f"time is missing for {count}" in said and remedy in said
    assert not (tmp_path / "fine.nc").exists() and not (tmp_path / "model").exists()
    ok(*refine, "--no-persistence")
    ok(*evaluate, "--no-persistence")


def test_evaluate_judges_independent_frames_if_that_is_asked_for(folder, tmp_path):
    lags = []
    for name, options in (("lasting", ()), ("independent", ("--no-persistence",))):
        out = tmp_path / name
        judged = ["--members", 4, "--no-likelihood", "--frames", "--out", out, *options]
        ok("evaluate", folder / "model", folder / "later.nc", *judged)
        figure = json.loads((out / "scores.json").read_text())["channels"]["wind"]["lag_correlation"]
        lags.append(np.array(figure["value"], float).ravel()[0])
    assert lags[0] - lags[1] > 0.3
