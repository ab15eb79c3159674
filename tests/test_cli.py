"""The commands end to end: files in, files out, on every kind of file and in 1, 2 and 3 dimensions."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import xarray as xr

import rgdm
from rgdm import commands, config
from rgdm.cli import main
from rgdm.commands import training
from rgdm.data.fields import read_field
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.actions import FreeField, Phi4
from rgdm.physics.monte_carlo.chains import sample_phi4
from rgdm.scale.operators.registry import Operator

SMALL = ["--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1", "--levels", "2", "--device", "cpu"]


def walk(*shape: int) -> np.ndarray:
    """A rough field, float32."""
    return (np.random.default_rng(0).standard_normal(shape).cumsum(-1) / 4).astype("f4")


def ok(*arguments: object) -> None:
    assert main([str(a) for a in arguments]) == 0


@pytest.fixture(scope="module")
def terrain(tmp_path_factory) -> Path:
    """A model folder trained by the command on a NetCDF file of heights with a time axis, and that file."""
    folder = tmp_path_factory.mktemp("terrain")
    heights = xr.DataArray(
        100 + 10 * walk(5, 16, 24).astype("f8"),
        dims=("time", "lat", "lon"),
        coords={"time": np.arange(5), "lat": np.linspace(60.0, 45.0, 16), "lon": np.arange(24.0)},
        attrs={"units": "m", "valid_min": np.int32(-5)},
        name="height",
    )
    heights.to_netcdf(folder / "heights.nc", engine="h5netcdf")
    ok("train", folder / "heights.nc", "--out", folder / "model", "--steps", 4, *SMALL)
    return folder


# --- train, sample, refine, evaluate, report ---------------------------------------------------


def test_training_writes_a_model_its_history_and_what_it_was_trained_on(terrain):
    assert {path.name for path in (terrain / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "checkpoint.safetensors",
        "history.jsonl",
    }
    model = Cascade.from_pretrained(terrain / "model")
    assert model.metadata["channels"] == ["height"] and model.metadata["axes"] == ["lat", "lon"]
    assert model.metadata["attrs"] == {"units": "m", "valid_min": -5}
    assert model.metadata["training"]["steps"] == 4 and model.metadata["training"]["samples"] == 5
    assert float(model.mean) == pytest.approx(100, abs=30)


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
    ok("refine", terrain / "model", path, "--members", 3, "--out", tmp_path / "fine.zarr")
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


def test_refining_a_file_of_one_field_gives_no_axis_of_samples_and_notes_what_does_not_match(terrain, tmp_path, capsys):
    coarse = xr.DataArray(100 + walk(4, 6), dims=("lat", "lon"), name="depth", attrs={"units": "km"})
    coarse.to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok("refine", terrain / "model", tmp_path / "coarse.nc", "--members", 2, "--out", tmp_path / "fine.nc")
    said = capsys.readouterr().err
    assert "the variable is depth; the model was trained on height" in said
    assert "the unit is km; the model was trained on m" in said
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


def test_evaluating_prints_seven_lines_and_the_report_shows_them(terrain, tmp_path, capsys):
    ok("evaluate", terrain / "model", terrain / "heights.nc", "--members", 4, "--out", tmp_path / "evaluation")
    lines = capsys.readouterr().out.splitlines()
    for word, line in zip(
        ("Coarse field", "CRPS", "Spread", "Power", "Kurtosis", "Bits per", "Bits that"), lines, strict=True
    ):
        assert word in line and "nan" not in line and line.rstrip().endswith(")")
    scores = json.loads((tmp_path / "evaluation" / "scores.json").read_text())
    assert f"{scores['crps_over_bicubic']['value']:.3f}" in lines[1]
    pytest.importorskip("matplotlib")
    ok("report", terrain / "model", tmp_path / "evaluation", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page and "Bits per degree of freedom" in page and "Bits saved" in page


def test_a_cascade_of_flow_lifts_is_trained_evaluated_and_continued(tmp_path, capsys):
    np.save(tmp_path / "field.npy", walk(4, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--lift", "flow", "--steps", 3, *SMALL)
    assert Cascade.from_pretrained(tmp_path / "model").configuration["lift"] == "flow"
    ok("refine", tmp_path / "model", tmp_path / "field.npy", "--members", 1, "--out", tmp_path / "fine.npy")
    capsys.readouterr()
    ok("evaluate", tmp_path / "model", tmp_path / "field.npy", "--members", 2, "--no-likelihood")
    assert "Bits" not in capsys.readouterr().out
    changed = ["--steps", 4, "--resume", "--lift", "diffusion", *SMALL]
    assert main(["train", *map(str, [tmp_path / "field.npy", "--out", tmp_path / "model", *changed])]) == 2
    assert "begun with lift = flow, not diffusion" in capsys.readouterr().err


def test_the_summary_leaves_out_errors_that_do_not_exist():
    one = {"value": 0.98765, "error": None}
    several = {"value": [1.0, None, 2.0], "error": [0.1, None, None]}
    scores = {
        "consistency_error": {"value": 3.2e-7, "error": None},
        "crps_over_bicubic": {"value": 0.7, "error": 0.012},
        "spread_skill": one,
        "octave_ratio": several,
        "detail_kurtosis_ratio": several,
    }
    lines = commands.summary(scores)
    assert "3.2e-07" in lines[0] and "0.700 +- 0.012" in lines[1] and "0.988 (" in lines[2]
    assert "1.000 +- 0.100, 2.000 (" in lines[3]


# --- every kind of data ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_two_variables_are_two_channels(tmp_path, kind, capsys):
    wind = xr.Dataset({name: (("time", "y", "x"), (i + 1) * walk(3, 16, 16)) for i, name in enumerate(("u10", "v10"))})
    path = tmp_path / f"wind.{kind}"
    wind.to_netcdf(path, engine="h5netcdf") if kind == "nc" else wind.to_zarr(path)
    ok("train", path, "--variable", "u10,v10", "--out", tmp_path / "model", "--steps", 2, *SMALL)
    ok("sample", tmp_path / "model", "--lattice", 16, 16, "--out", tmp_path / "new.nc")
    with xr.open_dataset(tmp_path / "new.nc", engine="h5netcdf") as new:
        assert list(new.data_vars) == ["u10", "v10"] and new["u10"].shape == (1, 16, 16)
    wind.coarsen(y=4, x=4).mean().to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    variables = ["--variable", "u10,v10"]
    ok("refine", tmp_path / "model", tmp_path / "coarse.nc", *variables, "--members", 2, "--out", tmp_path / "fine.nc")
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        assert list(fine.data_vars) == ["u10", "v10"]
        again = fine["v10"].coarsen(y=4, x=4).mean().values
        np.testing.assert_allclose(again[0], wind["v10"].coarsen(y=4, x=4).mean(), atol=1e-5)
    ok("evaluate", tmp_path / "model", path, *variables, "--members", 2)


@pytest.mark.parametrize(("dimension", "shape"), [(1, (6, 64)), (3, (2, 8, 8, 16))])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_lines_and_volumes(tmp_path, dimension, shape, boundary):
    np.save(tmp_path / "field.npy", walk(*shape).astype("f8"))
    options = ["--dimension", dimension, "--boundary", boundary, "--steps", 2, *SMALL]
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", *options)
    ok("sample", tmp_path / "model", "--lattice", *shape[1:], "--out", tmp_path / "new.zarr", "--count", 2)
    assert read_field([tmp_path / "new.zarr"], dimension=dimension).shape == (2, 1, *shape[1:])
    ok("evaluate", tmp_path / "model", tmp_path / "field.npy", "--members", 2)


def test_several_files_are_samples_and_gaps_are_filled_if_asked(tmp_path):
    for i in range(3):
        values = walk(3, 16, 16)[i]
        values[2, 3] = np.nan if i == 1 else values[2, 3]
        np.save(tmp_path / f"{i}.npy", values)
    files = sorted(tmp_path.glob("*.npy"))
    ok("train", *files, "--fill", "--out", tmp_path / "model", "--steps", 1, *SMALL)
    assert Cascade.from_pretrained(tmp_path / "model").metadata["training"]["samples"] == 3


@pytest.mark.parametrize("operator", get_args(Operator))
def test_every_operator_of_the_command_line_trains(tmp_path, operator):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--operator", operator, "--steps", 1, *SMALL)


def test_the_command_line_knows_the_operators_of_the_model():
    assert get_args(config.Operator) == get_args(Operator)


def test_a_small_time_budget_ends_in_time(tmp_path):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--minutes", 0.01, *SMALL)
    trained = Cascade.from_pretrained(tmp_path / "model").metadata["training"]
    assert 0.6 <= trained["seconds"] < 30


# --- interrupted and resumed -------------------------------------------------------------------


@contextmanager
def stopped_at_step_3(_):
    yield lambda now: signal.raise_signal(signal.SIGINT) if now.step == 3 else None


def test_ctrl_c_in_training_prints_the_command_that_goes_on(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "a field.npy", walk(2, 16, 16))
    command = ["train", str(tmp_path / "a field.npy"), "--out", str(tmp_path / "model"), "--steps", "6", *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(training, "training_bar", stopped_at_step_3)
        assert main([*command, "--overwrite"]) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"rgdm: interrupted; step 3 is saved in {tmp_path / 'model'}; go on with: "
        f"rgdm train '{tmp_path / 'a field.npy'}' --out {tmp_path / 'model'} --steps 6 {' '.join(SMALL)} --resume"
    )
    ok(*command, "--resume")
    assert Cascade.from_pretrained(tmp_path / "model").metadata["training"]["steps"] == 6
    ok(*command, "--resume")
    assert "had its 6 steps before" in capsys.readouterr().err


def test_ctrl_c_in_the_calibration_loses_only_that(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    command = ["train", str(tmp_path / "field.npy"), "--steps", "3", *SMALL]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "calibrate", interrupted)
        assert main([*command, "--out", str(tmp_path / "model")]) == 130
    said = capsys.readouterr().err
    assert "only its calibration is missing; go on with: rgdm train" in said and said.rstrip().endswith("--resume")
    ok(*command, "--out", tmp_path / "model", "--resume")
    ok(*command, "--out", tmp_path / "unbroken")
    names = ("model.safetensors",)
    assert [(tmp_path / "model" / n).read_bytes() for n in names] == [
        (tmp_path / "unbroken" / n).read_bytes() for n in names
    ]


@pytest.mark.parametrize("command", ["sample", "refine", "evaluate", "train"])
def test_ctrl_c_elsewhere_leaves_nothing(terrain, tmp_path, monkeypatch, capsys, command):
    np.save(tmp_path / "coarse.npy", 100 + walk(4, 8))
    out, model = tmp_path / "out.zarr", terrain / "model"
    arguments = {
        "sample": [model, "--lattice", 16, 16],
        "refine": [model, tmp_path / "coarse.npy"],
        "evaluate": [model, terrain / "heights.nc"],
        "train": [terrain / "heights.nc", *SMALL],
    }[command]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for name in ("_descend", "fit"):
        monkeypatch.setattr(Cascade, name, interrupted)
    assert main([command, *map(str, arguments), "--out", str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "rgdm: interrupted; nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.npy"]


def test_the_random_state_of_torch_is_left_alone_by_training(tmp_path):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    before = torch.random.get_rng_state()
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--steps", 1, *SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- memory ------------------------------------------------------------------------------------

PEAK = """
import re, sys, torch
from pathlib import Path
from rgdm import Cascade
def memory(key):  # not ru_maxrss, which a child inherits from its parent
    return 1024 * int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
size, width, count = map(int, sys.argv[1:4])
torch.set_num_threads(1)
model = Cascade(width=width, lift=sys.argv[4])
model.sample((16, 16))
before = memory("VmRSS")
model.refine(torch.randn(size // 8, size // 8), members=count)
print(model.memory((size, size), count) / (memory("VmHWM") - before))
"""


SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in ((2048, 32, 1, "diffusion"), (1024, 32, 1, "flow"))]


@pytest.mark.parametrize("case", [*SLOW, (1024, 32, 4, "diffusion")])
def test_the_estimate_of_memory_is_on_the_safe_side_of_the_peak_and_near_it(case):
    """Of what is live: freed memory goes back at once, as it does not with the allocator's own settings."""
    command = [sys.executable, "-c", PEAK, *map(str, case)]
    live = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=live)
    assert 1.5 <= float(run.stdout) <= 2.1


# --- the demo ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("data", ["terrain", "phi4"])
def test_the_demo_runs_through(tmp_path, data, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "run"
    ok("demo", "--data", data, "--out", out, "--steps", 2, "--size", 64, "--members", 2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[-1] == f"The report is at {out / 'report.html'}"
    assert {path.name for path in out.iterdir()} == {"model", "evaluation", "samples.zarr", "report.html"}
    assert main(["demo", "--data", data, "--out", str(out)]) == 2


def test_the_flow_of_couplings_of_a_file_and_of_a_model_is_printed_kept_and_drawn(tmp_path, capsys):
    fields = sample_phi4(Phi4.critical(), 16, 50, 200, seed=0, thermalization=40, interval=5)
    np.save(tmp_path / "phi.npy", fields.numpy())
    ok("flow", tmp_path / "phi.npy", "--levels", 1, "--boundary", "periodic", "--out", tmp_path / "flow")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["level", "bond", "phi^2", "phi^4"] and len(lines) == 4
    found = xr.open_dataset(tmp_path / "flow" / "flow.nc")
    scale = float(found["scale"][0])
    bond = float(found["coupling"].sel(interaction="bond")[0]) / scale**2
    assert abs(bond + 0.680605) < 4 * float(found["error"].sel(interaction="bond")[0]) / scale**2
    assert (tmp_path / "flow" / "flow.png").stat().st_size > 5000
    torus = "--boundary", "periodic"
    ok("train", tmp_path / "phi.npy", "--out", tmp_path / "model", *torus, "--sweep", "--steps", 3, *SMALL)
    capsys.readouterr()
    ok("flow", tmp_path / "model", "--levels", 3, "--lattice", 16, 16, "--count", 8, "--out", tmp_path / "own")
    assert "-log p a site" in capsys.readouterr().out
    own, model = xr.open_dataset(tmp_path / "own" / "flow.nc"), Cascade.from_pretrained(tmp_path / "model")
    made = model.normalise(model.sample((16, 16), 8))
    known = model.log_prob(model.denormalise(made), probes=1, tolerance=1e-3)
    whole = -(known.total.value - known.units) / 256
    assert float(own["energy"][0]) == pytest.approx(float(whole.mean()), abs=1e-3)
    assert float(own["energy"][2]) == pytest.approx(-float(known.base.value.mean()) / 16, abs=1e-3)
    assert np.isnan(own["energy"][3]) and np.isfinite(own["energy_error"][1])
    ok("sample", tmp_path / "model", "--lattice", 16, 16, "--sweeps", 2, "--out", tmp_path / "made.npy")
    assert np.isfinite(np.load(tmp_path / "made.npy")).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("phi.npy", "--lattice", "8", "8"), "is no model"),
        (("phi.npy", "--levels", "9"), "fits"),
        (("one.npy",), "holds one field"),
        (("nothing.npy",), "no file or folder"),
        (("phi.npy", "--reach", "0"), "reach = 0"),
        (("phi.npy", "--out", "phi.npy"), "exists"),
    ],
)
def test_a_flow_that_cannot_be_measured_is_refused_in_one_sentence(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    np.save("phi.npy", walk(4, 16, 16))
    np.save("one.npy", walk(1, 16, 16))
    assert main(["flow", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error


@pytest.mark.parametrize("action", ["phi4", "ising", "ising-dual", "free"])
def test_lattice_fields_are_simulated_measured_and_written(tmp_path, capsys, action):
    ok("lattice", action, "--out", tmp_path / "fields.nc", "--size", 8, "--count", 100, "--chains", 10)
    printed = capsys.readouterr().out
    assert "susceptibility" in printed and "tau_int" in printed and "+-" in printed
    field = xr.open_dataset(tmp_path / "fields.nc")
    assert dict(field.sizes) == {"sample": 100, "y": 8, "x": 8} and "lattice" in field.attrs["made_by"]
    if action == "ising":
        assert set(np.unique(field["spin"])) == {-1, 1}


def test_lattice_fields_of_the_free_field_have_its_spectrum(tmp_path):
    found = commands.lattice(config.Lattice("free", tmp_path / "x.npy", size=16, count=800, mass2=0.5))
    value, error = (float(found[part].sel(observable="phi2")) for part in ("value", "error"))
    assert abs(value - float(FreeField(0.5).spectrum((16, 16)).mean())) < 4 * error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["phi4", "--dimension", "3"], "give one with --coupling"),
        (["phi4", "--quartic", "0.5"], "give one with --coupling"),
        (["ising", "--size", "1"], "at least 2"),
        (["ising-dual", "--delta", "0"], "delta > 0"),
        (["phi4", "--quartic", "-1", "--coupling", "0.3"], "c > 0 is needed"),
        (["ising", "--chains", "0"], "1 chain"),
        (["free", "--chains", "0"], "1 chain"),
        (["phi4", "--size", "100000"], "memory"),
    ],
)
def test_lattice_fields_that_cannot_be_made_are_refused(tmp_path, capsys, arguments, words):
    assert main(["lattice", *arguments, "--out", str(tmp_path / "x.nc")]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())
