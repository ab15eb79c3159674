"""``rgdm sample``, ``refine`` and ``evaluate``: files in, files out."""

import json

import numpy as np
import pytest
import xarray as xr
from running import SMALL, ok, walk

import rgdm
from rgdm import commands
from rgdm.cli import main
from rgdm.data.axes import grid_of
from rgdm.data.fields import read_field
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".npy", ".npz"])
def test_sampling_writes_fields_with_names_and_provenance(terrain, tmp_path, suffix):
    out = tmp_path / f"samples{suffix}"
    ok("sample", terrain / "model", "--lattice", 24, 32, "--count", 3, "--seed", 7, "--out", out)
    expected = Cascade.from_pretrained(terrain / "model").sample((24, 32), 3, seed=7)
    np.testing.assert_allclose(read_field([out]).to_numpy(), expected, rtol=1e-6)
    if suffix in (".zarr", ".nc"):
        with xr.open_dataset(out, engine="zarr" if suffix == ".zarr" else "h5netcdf") as data:
            assert data["height"].dims == ("sample", "lat", "lon")
            assert data["height"].attrs["units"] == "m"
            assert data.attrs["made_by"] == f"rgdm {rgdm.__version__} sample" and "seed=7" in data.attrs["settings"]


@pytest.mark.parametrize("kind", ["nc", "zarr", "npy"])
def test_refining_a_file_keeps_its_block_means_coordinates_and_names(terrain, tmp_path, kind):
    coarse = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")["height"].coarsen(lat=4, lon=4).mean()
    path = tmp_path / f"coarse.{kind}"
    if kind == "nc":
        coarse.to_netcdf(path, engine="h5netcdf")
    elif kind == "zarr":
        coarse.to_dataset().to_zarr(path)
    else:
        np.save(path, coarse.values)
    ok("refine", terrain / "model", path, "--members", 3, "--areas", "none", "--out", tmp_path / "fine.zarr")
    fine = xr.open_zarr(tmp_path / "fine.zarr", chunks=None)
    name = "field" if kind == "npy" else "height"
    values = fine[name].to_numpy()
    assert values.shape == (3, 5, 16, 24) and values.dtype == np.float64
    means = values.reshape(3, 5, 4, 4, 6, 4).mean((3, 5))
    np.testing.assert_allclose(means, np.broadcast_to(coarse.values, means.shape), rtol=0, atol=1e-10)
    if kind != "npy":
        assert fine[name].dims == ("member", "time", "lat", "lon")
        np.testing.assert_allclose(fine["lat"].to_numpy().reshape(4, 4).mean(1), coarse["lat"])
        assert list(fine["time"].values) == [0, 1, 2, 3, 4]


def test_refining_a_file_of_one_field_gives_no_axis_of_samples_and_force_notes_what_does_not_match(
    terrain, tmp_path, capsys
):
    coarse = xr.DataArray(100 + walk(4, 6), dims=("lat", "lon"), name="depth", attrs={"units": "km"})
    coarse.to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok("refine", terrain / "model", tmp_path / "coarse.nc", "--members", 2, "--out", tmp_path / "fine.nc", "--force")
    said = capsys.readouterr().err
    assert "(depth); the model was trained on 1 channel(s) (height); taken as it is" in said
    assert "is in km and is converted; the model was trained on m" in said
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        assert fine["depth"].dims == ("member", "lat", "lon")


def test_refining_fewer_levels_than_the_model_has(terrain, tmp_path):
    np.save(tmp_path / "coarse.npy", 100 + walk(8, 12))
    ok(
        "refine",
        terrain / "model",
        tmp_path / "coarse.npy",
        "--levels",
        1,
        "--out",
        tmp_path / "fine.npy",
        "--members",
        2,
    )
    assert np.load(tmp_path / "fine.npy").shape[-2:] == (16, 24)


def test_evaluating_prints_a_screen_of_figures_and_the_report_shows_them(terrain, tmp_path, capsys):
    options = ["--members", 4, "--thresholds", "100,99", "--out", tmp_path / "evaluation"]
    ok("evaluate", terrain / "model", terrain / "heights.nc", *options)
    lines = capsys.readouterr().out.splitlines()
    words = ("Coarse field", "CRPS", "Spread", "Power", "Kurtosis", "Ranks", "Bits per", "Bits that")
    for word, line in zip(words, lines, strict=False):
        assert word in line and "nan" not in line and line.rstrip().endswith(")")
    assert [line.split()[0] for line in lines[8:]] == ["channel", "height", "members", "99", "100", "Errors", "Sites"]
    assert " m " in lines[9] and len(lines) == 15
    scores = json.loads((tmp_path / "evaluation" / "scores.json").read_text())
    assert f"{scores['crps_over_bicubic']['value']:.3f}" in lines[1]
    pytest.importorskip("matplotlib")
    ok("report", terrain / "model", tmp_path / "evaluation", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page and "Bits per degree of freedom" in page and "Bits saved" in page


def test_a_cascade_of_flow_lifts_is_trained_evaluated_and_continued(tmp_path, capsys):
    np.save(tmp_path / "field.npy", walk(4, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--lift", "flow", "--steps", 3, *SMALL)
    assert Cascade.from_pretrained(tmp_path / "model").design.lift == "flow"
    ok("refine", tmp_path / "model", tmp_path / "field.npy", "--members", 1, "--out", tmp_path / "fine.npy")
    capsys.readouterr()
    ok("evaluate", tmp_path / "model", tmp_path / "field.npy", "--members", 2, "--no-likelihood")
    assert "Bits" not in capsys.readouterr().out
    changed = ["--steps", 4, "--resume", "--lift", "diffusion", *SMALL]
    assert main(["train", *map(str, [tmp_path / "field.npy", "--out", tmp_path / "model", *changed])]) == 2
    assert "begun with lift = flow, not diffusion" in capsys.readouterr().err


def test_frames_are_judged_as_frames_if_they_follow_each_other_in_equal_steps(terrain, tmp_path, capsys):
    heights = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")["height"]
    one = heights.isel({dim: 0 for dim in heights.dims if dim not in ("lat", "lon")})
    hours = np.datetime64("2026-01-01", "ns") + np.arange(6) * np.timedelta64(1, "h")
    frames = xr.concat([one + 5 * t for t in range(6)], xr.IndexVariable("time", hours)).assign_attrs(heights.attrs)
    for name, chosen in (("even", range(6)), ("gap", (0, 1, 4)), ("one", (0,))):
        frames.isel(time=list(chosen)).to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    command = ["evaluate", terrain / "model", "--members", 2, "--no-likelihood", "--frames"]
    ok(*command, tmp_path / "even.nc")
    assert "Detail that lasts to the next frame, finest level first: " in capsys.readouterr().out
    for name, said in (("gap", "steps of time are 1 h and 3 h; take"), ("one", "--frames needs 2 or more samples")):
        assert main(list(map(str, [*command, tmp_path / f"{name}.nc"]))) == 2
        assert said in capsys.readouterr().err


def test_the_summary_leaves_out_errors_that_do_not_exist():
    one = {"value": 0.98765, "error": None}
    several = {"value": [1.0, None, 2.0], "error": [0.1, None, None]}
    scores = {
        "about": {"units": [], "thresholds": [], "samples": 3, "blocks": None, "areas": None},
        "channels": {},
        "consistency_error": {"value": 3.2e-7, "error": None},
        "crps_over_bicubic": {"value": 0.7, "error": 0.012},
        "spread_skill": one,
        "octave_ratio": several,
        "detail_kurtosis_ratio": several,
    }
    lines = commands.summary(scores)
    assert "3.2e-07" in lines[0] and "0.700 +- 0.012" in lines[1] and "0.988 (" in lines[2]
    assert "1.000 +- 0.100, 2.000 (" in lines[3]
    assert lines[-1].startswith("No errors: 3 samples are too few")


@pytest.mark.parametrize(
    "given, message",
    [(("0,x",), "the thresholds are 0, x; give numbers"), (("0", "1e9"), "no value of the truth lies on either side")],
)
def test_thresholds_that_are_none_or_that_nothing_crosses_are_refused(terrain, capsys, given, message):
    arguments = ["evaluate", terrain / "model", terrain / "heights.nc", "--members", 2, "--thresholds", *given]
    assert main(list(map(str, arguments))) == 2
    assert message in capsys.readouterr().err


def test_what_a_model_of_a_torus_makes_says_that_it_is_one(tmp_path):
    np.save(tmp_path / "torus.npy", walk(4, 16, 16))
    model, coarse = tmp_path / "model", tmp_path / "coarse.nc"
    ok("train", tmp_path / "torus.npy", "--out", model, "--boundary", "periodic", "--steps", 1, *SMALL)
    ok("sample", model, "--lattice", 16, 16, "--count", 2, "--out", tmp_path / "sample.nc")
    field = xr.DataArray(walk(1, 4, 4)[0], dims=("y", "x"), name="field", attrs={"periodic": "False"})
    field.to_netcdf(coarse, engine="h5netcdf")
    ok("refine", model, coarse, "--members", 2, "--out", tmp_path / "fine.nc", "--force")
    for name in ("sample.nc", "fine.nc"):
        made = read_field([tmp_path / name])
        assert grid_of(made).boundaries == ("periodic", "periodic") and "periodic" not in made.attrs


@pytest.mark.parametrize(("offset", "lines"), [(0.0, 0), (1e4, 1)])
def test_a_coarse_field_unlike_the_training_data_gets_one_line_with_the_figure(
    terrain, tmp_path, capsys, offset, lines
):
    coarse = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf")["height"].coarsen(lat=4, lon=4).mean()
    (coarse + offset).assign_attrs(coarse.attrs).to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok("refine", terrain / "model", tmp_path / "coarse.nc", "--out", tmp_path / "fine.nc")
    said = [line for line in capsys.readouterr().err.splitlines() if "unlike the training data" in line]
    assert len(said) == lines
    for line in said:
        assert line.startswith("rgdm: warning: the coarse field of height is unlike the training data: 100 % of the")


def test_the_fields_that_a_training_kept_back_are_within_its_range(tmp_path, capsys):
    fields = walk(10, 16, 16)
    fields[-1] += 1e3  # the part that is kept back
    days = xr.DataArray(fields, dims=("time", "y", "x"), name="t", coords={"time": np.arange(10.0)})
    days.to_netcdf(tmp_path / "fields.nc", engine="h5netcdf")
    ok("train", tmp_path / "fields.nc", "--out", tmp_path / "model", "--steps", 1, *SMALL)
    assert "the last" in capsys.readouterr().err
    ok("evaluate", tmp_path / "model", tmp_path / "fields.nc", "--members", 2)
    assert "unlike the training data" not in capsys.readouterr().err
