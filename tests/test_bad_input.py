"""Bad input to the commands: exit code 2, one sentence that names the value and the remedy, nothing half-written."""

import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.cli import main
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.usefixtures("unchecked")

SMALL = ["--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1", "--steps", "1"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A folder with good files, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    good = np.random.default_rng(0).standard_normal((2, 16, 16)).astype("f4")
    np.save("good.npy", good)
    np.save("coarse.npy", good[:, :4, :4])
    wind = xr.Dataset({"u10": (("t", "y", "x"), good), "v10": (("t", "y", "x"), good[::-1])})
    wind.to_netcdf("wind.nc", engine="h5netcdf")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    model = Cascade(levels=2, width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(torch.randn(2, 1, 16, 16))
    model.metadata = {"channels": ["height"]}
    folder = tmp_path_factory.mktemp("trained") / "model"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def model(place, trained) -> Path:
    return Path(shutil.copytree(trained, place / "model"))


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr of a command that ends with 2, without a new or changed file."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert main([str(a) for a in arguments]) == 2
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if "|" not in line and line.strip()]  # less progress bars
    assert len(lines) == 1 and lines[0].startswith("rgdm: ") and "Traceback" not in said.err
    assert said.out == ""
    return lines[0]


def says(line: str, *words: str) -> None:
    assert [word for word in words if word not in line] == [], line


def train(*arguments: object) -> list[object]:
    return ["train", *arguments, "--out", "out", *SMALL]


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_located(capsys, bad, model):
    values = np.load("good.npy")
    values[1, 5, 7] = values[1, 9, 9] = bad
    np.save("bad.npy", values)
    for command in (
        train("bad.npy"),
        ["refine", model, "bad.npy", "--out", "out.zarr"],
        ["evaluate", model, "bad.npy", "--out", "out"],
    ):
        says(refused(capsys, *command), "2 of 512 values", "axis_0 5, axis_1 7", "--fill")


def test_values_that_are_nowhere_finite_cannot_be_filled(capsys):
    np.save("bad.npy", np.full((16, 16), np.nan, "f4"))
    says(refused(capsys, *train("bad.npy"), "--fill"), "nothing to fill them from")


def test_a_constant_field_is_nothing_to_learn_from(capsys):
    np.save("flat.npy", np.full((16, 16), 7.5, "f4"))
    says(refused(capsys, *train("flat.npy")), "constant", "7.5")


def test_words_are_no_field(capsys):
    np.save("words.npy", np.array([["a", "b"], ["c", "d"]]))
    says(refused(capsys, *train("words.npy")), "words.npy", "real numbers")


# --- lattices ----------------------------------------------------------------------------------


def test_a_field_too_small_or_indivisible_says_what_fits(capsys):
    np.save("small.npy", np.random.default_rng(0).standard_normal((4, 8)))
    says(refused(capsys, *train("small.npy"), "--levels", "3"), "(4, 8)", "fits 2 levels", "not 3", "use 2 levels")
    np.save("odd.npy", np.random.default_rng(0).standard_normal((21, 24)))
    says(refused(capsys, *train("odd.npy"), "--levels", "3"), "(21, 24)", "a lattice such as (16, 24)")


def test_a_sample_of_a_lattice_that_does_not_suit_the_model_says_what_would(capsys, model):
    command = ["sample", model, "--out", "out.zarr", "--lattice"]
    says(refused(capsys, *command, 30, 32), "(30, 32)", "(28, 32) would be")
    says(refused(capsys, *command, 32), "(32,)", "2-dimensional")
    says(refused(capsys, *command, 0, 32), "(0, 32)", "at least 1 site")


def test_a_request_beyond_the_memory_says_the_estimate(capsys, model):
    line = refused(capsys, "sample", model, "--lattice", 2**20, 2**20, "--out", "out.zarr")
    says(line, "1048576 x 1048576", "GiB of memory", "are free")
    line = refused(capsys, "refine", model, "coarse.npy", "--members", 10**9, "--out", "out.zarr")
    says(line, "2000000000 x 16 x 16", "GiB of memory")
    line = refused(capsys, "evaluate", model, "good.npy", "--members", 10**9)
    says(line, "GiB of memory")


def test_levels_and_members_beyond_the_model_are_refused(capsys, model):
    for levels in (0, -1, 3, 100):
        line = refused(capsys, "refine", model, "coarse.npy", "--levels", levels, "--out", "out.zarr")
        says(line, f"levels is {levels}", "1 to 2")
    says(refused(capsys, "refine", model, "coarse.npy", "--members", 0, "--out", "out.zarr"), "members is 0")
    says(refused(capsys, "evaluate", model, "good.npy", "--members", 1), "members is 1", "at least 2")
    says(refused(capsys, "sample", model, "--lattice", 16, 16, "--count", 0, "--out", "out.zarr"), "count is 0")


# --- channels, dimensions, variables -----------------------------------------------------------


def test_a_field_of_other_channels_than_the_models_is_refused(capsys, model):
    both = ["--variable", "u10,v10"]
    line = refused(capsys, "refine", model, "wind.nc", *both, "--out", "out.nc")
    says(line, "2 channel(s)", "trained on 1", "height")
    says(refused(capsys, "evaluate", model, "wind.nc", *both), "2 channel(s)", "--variable")


def test_a_field_of_too_few_dimensions_is_refused(capsys, model):
    np.save("line.npy", np.arange(16.0))
    says(refused(capsys, "refine", model, "line.npy", "--out", "out.nc"), "line.npy", "2 axes")
    says(refused(capsys, *train("line.npy")), "line.npy", "2 axes")


def test_an_unknown_variable_lists_those_there_are(capsys):
    says(refused(capsys, *train("wind.nc"), "--variable", "t2m"), "t2m", "u10", "v10")
    says(refused(capsys, *train("wind.nc")), "several variables", "u10", "v10", "--variable")


def test_files_that_disagree_are_named(capsys):
    np.save("other.npy", np.zeros((8, 8), "f4"))
    says(refused(capsys, *train("good.npy", "other.npy")), "other.npy", "(8, 8)", "good.npy", "(16, 16)")


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nc", "npy", "npz", "zarr", "png"])
def test_a_truncated_or_foreign_file_is_named(capsys, kind, model):
    pytest.importorskip("PIL")
    path = Path(f"broken.{kind}")
    if kind == "zarr":
        xr.open_dataset("wind.nc", engine="h5netcdf").to_zarr(path)
        for part in path.rglob("zarr.json"):
            part.write_text(part.read_text()[:20])
    elif kind == "png":
        path.write_bytes(b"\x89PNG\r\n\x1a\n half a picture")
    else:
        whole = {"nc": Path("wind.nc"), "npy": Path("good.npy"), "npz": Path("good.npz")}[kind]
        np.savez("good.npz", field=np.load("good.npy"))
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    says(refused(capsys, *train(path)), f"broken.{kind}")
    says(refused(capsys, "refine", model, path, "--out", "out.nc"), f"broken.{kind}")


def test_a_missing_or_unknown_file_is_named(capsys):
    says(refused(capsys, *train("nowhere.nc")), "nowhere.nc")
    Path("notes.txt").write_text("hello")
    says(refused(capsys, *train("notes.txt")), "notes.txt", "NetCDF", ".npy")


def test_a_pickle_in_a_numpy_file_is_not_loaded(capsys):
    np.save("object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    says(refused(capsys, *train("object.npy")), "object.npy")


# --- model folders -----------------------------------------------------------------------------


def sample(model: Path) -> list[object]:
    return ["sample", model, "--lattice", 16, 16, "--out", "out.zarr"]


def test_a_model_that_is_none_says_what_is_wrong_with_it(capsys, model):
    says(refused(capsys, *sample(Path("nothing"))), "no model nothing", "ships")
    says(refused(capsys, *sample(Path("good.npy"))), "good.npy is not a model folder")
    (model / "weights.pkl").write_bytes(pickle.dumps({}))
    says(refused(capsys, *sample(model)), "weights.pkl", "can run code")
    (model / "weights.pkl").unlink()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "format": 99}))
    says(refused(capsys, *sample(model)), "format 99", "update rgdm")
    (model / "config.json").write_text('{"format": 1,')
    says(refused(capsys, *sample(model)), "config.json is damaged", "copy it again")
    (model / "config.json").write_text(json.dumps(config))
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-50])
    says(refused(capsys, *sample(model)), "model.safetensors is damaged or truncated")
    (model / "model.safetensors").unlink()
    says(refused(capsys, *sample(model)), "incomplete", "model.safetensors")


# --- outputs -----------------------------------------------------------------------------------


def test_an_output_that_exists_asks_for_overwrite(capsys, model):
    Path("out").mkdir()
    Path("out.zarr").mkdir()
    Path("out.html").write_text("")
    for command in (
        train("good.npy"),
        sample(model),
        ["refine", model, "coarse.npy", "--out", "out.zarr"],
        ["evaluate", model, "good.npy", "--out", "out"],
        ["demo", "--out", "out"],
    ):
        says(refused(capsys, *command), "exists", "--overwrite")


def test_an_output_of_unknown_kind_is_refused_before_any_work(capsys, model, monkeypatch):
    monkeypatch.setattr(Cascade, "sample", None)
    says(refused(capsys, "sample", model, "--lattice", 16, 16, "--out", "out.xyz"), "out.xyz", ".zarr")


def test_overwriting_does_not_turn_a_file_into_a_model(capsys):
    Path("out").write_text("precious")
    says(refused(capsys, *train("good.npy"), "--overwrite"), "out is a file")


def test_a_full_disk_is_named_and_leaves_nothing(capsys, model, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    says(refused(capsys, *sample(model)), "the disk is full", "out.zarr")
    monkeypatch.setattr(Path, "write_bytes", full)
    says(refused(capsys, *train("good.npy"), "--levels", "2"), "the disk is full", "model.safetensors")


def test_a_place_where_nothing_may_be_written_is_named(capsys, model):
    Path("file").write_text("")
    says(refused(capsys, *sample(model)[:-1], "file/out.zarr"), "file/out.zarr")
    arguments = ["train", "good.npy", "--out", "file/out", *SMALL]
    says(refused(capsys, *arguments), "file/out")


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--minutes", "0"], ["budget of 0", "minutes", "positive"]),
        (["--steps", "-5", "--minutes", "1"], ["either steps or minutes"]),
        (["--seed", "-1"], ["seed is -1", "between 0"]),
        (["--seed", str(2**64)], ["the seed is", "between 0"]),
        (["--levels", "0"], ["levels = 0", "at least one"]),
        (["--width", "0"], ["width = 0"]),
        (["--factor", "1"], ["the factor is 1", "at least 2"]),
        (["--operator", "haar", "--factor", "4"], ["the factor is 4", "haar"]),
        (["--evaluations", "0"], ["0 sampling steps", "at least 1"]),
        (["--learning-rate", "-1"], ["learning rate is -1", "positive"]),
        (["--device", "cuda:x"], ["unknown device", "cpu"]),
        (["--device", "cuda"], ["not available here", "--device cpu"]),
        (["--resume"], ["no checkpoint in out", "without --resume"]),
        (["--resume", "--overwrite"], ["give one of the two"]),
    ],
)
def test_an_option_that_makes_no_sense_is_named(capsys, options, words):
    if options == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("there is one")
    steps = [] if "--minutes" in options else ["--steps", "1"]
    says(refused(capsys, "train", "good.npy", "--out", "out", *SMALL[:-2], *steps, *options), *words)


def test_a_resumed_run_with_another_setting_is_refused_by_its_name(capsys):
    assert main([*map(str, train("good.npy")), "--levels", "2"]) == 0
    capsys.readouterr()
    for options, words in (
        (["--levels", "1"], "levels = 2, not 1"),
        (["--levels", "2", "--seed", "3"], "seed = 0, not 3"),
        (["--levels", "2", "--learning-rate", "0.1"], "learning_rate = 0.002, not 0.1"),
        (["--levels", "2", "--no-mirror"], "mirror = True, not False"),
    ):
        says(refused(capsys, *train("good.npy"), *options, "--resume"), words)
    says(refused(capsys, *train("wind.nc"), "--variable", "v10", "--levels", "2", "--resume"), "data = ")


@pytest.mark.parametrize(
    "arguments", [["train", "good.npy", "--out", "out", "--colour", "red"], ["paint"], [], ["sample", "m"]]
)
def test_unknown_options_and_commands_are_refused_by_the_parser(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("out").exists()


def test_memory_that_runs_out_all_the_same_is_one_sentence(capsys, model, monkeypatch):
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):

        def out_of_memory(*_, error=error, **__):
            raise error

        monkeypatch.setattr(Cascade, "sample", out_of_memory)
        says(refused(capsys, *sample(model)), "memory", "fewer or smaller")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug"), None])
def test_a_fault_of_our_own_gives_a_traceback_and_exit_code_1(model, monkeypatch, capsys, error):
    def broken(*_, **__):
        if error is not None:
            raise error
        np.zeros(3).reshape(2, 2)  # a ValueError, but not of ours

    monkeypatch.setattr(Cascade, "sample", broken)
    assert main([str(a) for a in sample(model)]) == 1
    says(capsys.readouterr().err, "Traceback", "in broken", "a fault of rgdm")


def test_our_own_error_is_a_value_error_in_python():
    with pytest.raises(ValueError, match="lattice"):
        Cascade(levels=1, width=8).sample((3, 5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--members", 1], "members is 1"),
        (["--size", 100], "the size is 100; it must be a multiple of 16, such as 96"),
        (["--data", "phi4", "--size", 48], "a multiple of 32"),
        (["--steps", 0], "0 steps"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--device", "cuda:1"], "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_the_demo_looks_at_its_options_before_it_works_for_minutes(capsys, options, words):
    assert words in refused(capsys, "demo", *options)
