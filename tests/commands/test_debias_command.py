"""``rgdm debias``: files in, a file and figures out, or one sentence; and what comes after, ``rgdm refine``."""

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says
from running import ok

from rgdm.cli import main

pytestmark = pytest.mark.integration

MONTHS = 12 * 20


def weather(mean: float = 280.0, spread: float = 3.0, seed: int = 0, calendar: str = "standard") -> xr.Dataset:
    """Monthly temperature with a gap at sea, and rain, on 2 x 3 cells."""
    rng = np.random.default_rng(seed)
    times = xr.date_range("1991-01-01", periods=MONTHS, freq="MS", calendar=calendar, use_cftime=calendar != "standard")
    season = -8 * np.cos(2 * np.pi * np.arange(MONTHS) / 12)
    t2m = mean + season[:, None, None] + spread * rng.standard_normal((MONTHS, 2, 3))
    t2m[:, 1, 2] = np.nan
    rain = np.where(rng.random(t2m.shape) < 0.3, 0.0, rng.gamma(1.0, spread, t2m.shape))
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), t2m.astype("f4"), {"units": "K", "standard_name": "air_temperature"}),
            "pr": (("time", "lat", "lon"), rain.astype("f4"), {"units": "mm", "standard_name": "rainfall_amount"}),
        },
        coords={
            "time": times,
            "lat": ("lat", [10.0, 12.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 2.0, 4.0], {"units": "degrees_east"}),
        },
        attrs={"title": "weather", "history": "made by hand"},
    )


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a model's output, observations and a warmer scenario."""
    monkeypatch.chdir(tmp_path)
    weather(seed=1).to_netcdf("observed.nc")
    weather(283, 5, 2).to_netcdf("model.nc")
    warmer = weather(283, 5, 2)
    warmer["t2m"] = (warmer["t2m"] + 2).assign_attrs(warmer["t2m"].attrs)
    warmer.to_netcdf("scenario.nc")
    return tmp_path


def made(path: str = "out.nc") -> xr.Dataset:
    with xr.open_dataset(path) as data:
        return data.load()


def test_all_variables_are_corrected_written_with_their_provenance_and_said_with_figures(here, capsys):
    ok("debias", "model.nc", "--like", "observed.nc", "--out", "out.nc", "--group", "season")
    said = capsys.readouterr()
    lines = said.out.splitlines()
    rain, (heading, means, farthest) = lines[:4], lines[4:7]
    assert heading.startswith("t2m (K), means over 20 mappings") and heading.endswith("held out")
    assert heading.split()[-4:-2] == ["before", "after"]
    before, after, held_out = map(float, means.split()[-3:])
    assert after < 0.01 < 0.2 < held_out < 0.7 * before and before == pytest.approx(3, abs=0.5)
    assert float(farthest.split()[-2]) < 0.2 * float(farthest.split()[-3])
    assert rain[0].startswith("pr (mm)") and rain[3].split()[:2] == ["dry", "values:"]
    assert lines[-1] == "The corrected values are in out.nc"
    assert "note: t2m: 240 of 1440 values (16.67%) are missing and stay so" in said.err
    assert said.err.count("counts as dry (--wet names another value)") == 1
    data, given, truth = made(), weather(283, 5, 2), weather(seed=1)
    assert set(data.data_vars) == {"pr", "t2m"}
    assert data.attrs["title"] == "weather" and data.attrs["made_by"].endswith("debias")
    assert data.attrs["history"].endswith(": model.nc corrected to be distributed like observed.nc\nmade by hand")
    assert "quantiles=50" in data.attrs["settings"]
    for name in ("t2m", "pr"):
        attrs = dict(data[name].attrs)
        assert "onto observed.nc: 50 quantiles, for each season, each cell" in attrs.pop("bias_correction")
        assert attrs == given[name].attrs
        np.testing.assert_allclose(data[name].mean("time"), truth[name].mean("time"), rtol=0.03)
    assert data["t2m"].coords.identical(given["t2m"].coords)
    np.testing.assert_array_equal(data["t2m"].isnull(), given["t2m"].isnull())


def test_a_scenario_is_corrected_as_the_model_is_and_its_change_is_said(here, capsys):
    options = ["--like", "observed.nc", "--apply", "scenario.nc", "--variable", "t2m", "--quantiles", 15]
    ok("debias", "model.nc", *options, "--out", "out.zarr")
    assert "change of the mean: 2 before, 2 after" in capsys.readouterr().out
    data = xr.open_zarr("out.zarr").load()
    assert list(data) == ["t2m"]
    np.testing.assert_allclose((data["t2m"] - weather(seed=1)["t2m"]).mean("time").isel(lat=0), 2, atol=0.1)
    assert data.attrs["history"].splitlines()[0].endswith("scenario.nc corrected to be distributed like observed.nc")


def test_two_runs_write_the_same(here):
    for out in ("one.nc", "two.nc"):
        ok("debias", "model.nc", "--like", "observed.nc", "--out", out, "--pooled")
    assert made("one.nc").drop_attrs().identical(made("two.nc").drop_attrs())


def test_a_calendar_of_360_days_other_names_units_and_bounds_come_through(here, capsys):
    data = weather(283, 5, 2, "360_day").rename(t2m="tas", lat="latitude")
    data["tas"] = (data["tas"] - 273.15).assign_attrs(data["tas"].attrs | {"units": "degC"})
    data["time"].attrs["bounds"] = "time_bnds"
    data["time"].encoding["units"] = "days since 1991-01-01"
    start = data["time"].values
    data["time_bnds"] = (("time", "bnds"), np.stack([start, np.append(start[1:], start[-1].replace(day=30))], 1))
    data.to_netcdf("model360.nc")
    ok("debias", "model360.nc", "--like", "observed.nc", "--out", "out.nc", "--variable", "tas=t2m", "--quantiles", 20)
    said = capsys.readouterr().err
    assert "has the calendar 360_day, observed.nc" in said and "is in degC and is converted; observed.nc has K" in said
    with xr.open_dataset("out.nc", decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as out:
        assert out["tas"].attrs["units"] == "degC" and out["tas"].dims == ("time", "latitude", "lon")
        assert (out["time"].values == data["time"].values).all()
        assert (out["time_bnds"].values == data["time_bnds"].values).all()
        truth = weather(seed=1)["t2m"].mean("time").values - 273.15
        np.testing.assert_allclose(out["tas"].mean("time"), truth, atol=0.1)


def test_arrays_without_names_can_be_corrected(here):
    np.save("model.npy", weather(283, 5, 2)["pr"].values)
    np.save("observed.npy", weather(seed=1)["pr"].values)
    ok("debias", "model.npy", "--like", "observed.npy", "--out", "out.npz", "--group", "none")
    assert np.load("out.npz")["field"].shape == (MONTHS, 2, 3)


def debias(*more: object, model: str = "model.nc", like: str = "observed.nc") -> list[object]:
    return ["debias", model, "--like", like, "--out", "out.nc", "--variable", "t2m", *more]


def test_mistakes_are_one_sentence(here, capsys):
    says(refused(capsys, *debias(like="nothing.nc")), "there is no file or folder nothing.nc")
    says(refused(capsys, *debias("--variable", "q")), "model.nc has no variable 'q'", "t2m (240, 2, 3)")
    says(refused(capsys, *debias("--variable", "t2m=q")), "observed.nc has no variable 'q'")
    says(refused(capsys, *debias("--variable", "t2m,,")), "names nothing, or something twice")
    says(refused(capsys, *debias()), "50 quantiles need as many values of a cell (January), and model.nc has 20",
         "take --quantiles 20 or --group season or --group none or --pooled")  # fmt: skip
    says(refused(capsys, *debias("--quantiles", 1)), "quantiles = 1", "from 2")
    says(
        refused(capsys, *debias("--variable", "t2m=pr", "--group", "season")),
        "t2m in K; observed.nc has mm: convert it",
    )
    weather(seed=1).isel(time=slice(None, None, -1)).to_netcdf("back.nc")
    says(refused(capsys, *debias(like="back.nc")), "back.nc has the time 2010-11-01 after 2010-12-01; sort it")
    weather(seed=1).isel(lon=[0, 1]).to_netcdf("part.nc")
    says(
        refused(capsys, *debias(like="part.nc")),
        "part.nc and model.nc do not lie on the same cells: along lon 2 from 0",
    )
    weather(seed=1)[["pr"]].rename(pr="x").drop_attrs().to_netcdf("x.nc")
    line = refused(capsys, "debias", "model.nc", "--like", "x.nc", "--out", "out.nc")
    says(line, "model.nc has pr, t2m, x.nc x: say what belongs together with --variable MODEL=OBSERVED")
    below = weather(283, 5, 2)
    below["pr"][3, 0, 0] = -1e-4
    below.to_netcdf("below.nc")
    line = refused(capsys, *debias("--variable", "pr", "--group", "none", model="below.nc"))
    says(line, "1 values of below.nc are negative, down to -0.0001: set them to 0, or take --kind additive")
    Path("out.nc").touch()
    says(refused(capsys, *debias()), "out.nc exists; choose another name or pass --overwrite")


def test_without_the_package_of_calendars_the_sentence_names_the_extra(here, capsys, monkeypatch):
    weather(283, 5, 2, "360_day").to_netcdf("model360.nc")
    monkeypatch.setitem(sys.modules, "cftime", None)
    monkeypatch.setattr("xarray.coding.times.cftime", None)
    line = refused(capsys, *debias(model="model360.nc"))
    says(line, "the dates of model360.nc are in the calendar 360_day, which needs the package cftime", "'rgdm[debias]'")


def test_a_biased_coarse_field_is_warned_of_and_not_once_it_is_corrected(terrain, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coarse = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")["height"].coarsen(lat=4, lon=4).mean()
    coarse.to_netcdf("observed.nc")
    (3e3 + 2 * coarse).assign_attrs(coarse.attrs).to_netcdf("model.nc")
    pooled = ["--group", "none", "--pooled"]
    ok("debias", "model.nc", "--like", "observed.nc", "--out", "corrected.nc", *pooled)
    np.testing.assert_allclose(made("corrected.nc")["height"], coarse, atol=0.1 * float(coarse.std()))
    capsys.readouterr()
    for name, lines in (("model.nc", 1), ("corrected.nc", 0)):
        assert main(["refine", str(terrain / "model"), name, "--out", "fine.nc", "--members", "2", "--overwrite"]) == 0
        assert capsys.readouterr().err.count("`rgdm debias` corrects them") == lines
