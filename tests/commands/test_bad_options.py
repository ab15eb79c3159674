"""Bad models, outputs and options: exit code 2, one sentence that names the value and the remedy, no file."""

import errno
import io
import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from refusing import SMALL, refused, sample, says, train

from rgdm.cli import main
from rgdm.model.cascade.cascade import Cascade
from small import cascade

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unchecked", "place")]


# --- model folders ------------------------------------------------------------------------------


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


# --- outputs ------------------------------------------------------------------------------------


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
    says(refused(capsys, *train("good.npy"), "--out", "file/out"), "file/out")


def test_a_terminal_that_cannot_show_a_name_shows_its_codes(model, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    for name in ("höhe.npy", "h\udcff.npy"):
        assert main([str(a) for a in [*sample(model)[:-1], name]]) == 0 and Path(name).is_file()
    screen.flush()
    assert screen.buffer.getvalue() == b"The samples are in h\\xf6he.npy\nThe samples are in h\\udcff.npy\n"


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--minutes", "0"], ["minutes = 0", "above 0"]),
        (["--minutes", "nan"], ["minutes = nan", "above 0"]),
        (["--minutes", "inf"], ["minutes = inf", "at most 10^6"]),
        (["--steps", "5", "--minutes", "1"], ["either steps or minutes"]),
        (["--steps", "-5"], ["steps = -5", "from 1"]),
        (["--steps", str(10**30)], ["steps = 1000000000000000000000000000000;", "10^9"]),
        (["--seed", "-1"], ["seed = -1", "from 0 to 2^63 - 1"]),
        (["--seed", str(2**64)], ["seed = 18446744073709551616", "from 0 to 2^63 - 1"]),
        (["--levels", "0"], ["levels = 0", "from 1 to 32"]),
        (["--levels", str(10**9)], ["levels = 1000000000", "from 1 to 32"]),
        (["--width", "0"], ["width = 0"]),
        (["--width", "100000"], ["width = 100000", "to 4096"]),
        (["--encoder-blocks", "-1"], ["encoder_blocks = -1", "from 0 to 64"]),
        (["--decoder-blocks", "99"], ["decoder_blocks = 99", "from 0 to 64"]),
        (["--bend", "nan"], ["bend = nan", "from 0 to 10"]),
        (["--scattering", "9"], ["scattering = 9", "from 0 to 3"]),
        (["--factor", "1"], ["every axis has factor 1", "2 or more"]),
        (["--factor", "0"], ["factor = 0", "from 1 to 16"]),
        (["--boundary", *["reflect"] * 3], ["3 boundaries", "for 2 axes", "one for all"]),
        (["--operator", "haar", "--factor", "4"], ["the factor is 4", "haar"]),
        (["--evaluations", "0"], ["evaluations = 0", "from 1 to 1000"]),
        (["--learning-rate", "-1"], ["learning_rate = -1", "above 0"]),
        (["--learning-rate", "1e10"], ["learning_rate = 10000000000", "at most 1"]),
        (["--checkpoint-seconds", "nan"], ["checkpoint_seconds = nan", "from 0"]),
        (["--checkpoint-seconds", "-1"], ["checkpoint_seconds = -1", "from 0"]),
        (["--out", "new/" + 300 * "a"], ["has 300 bytes", "at most 255"]),
        (["--out", "new/a\0b"], ["NUL"]),
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
    says(refused(capsys, "train", "good.npy", "--out", "out", *SMALL, *steps, *options), *words)


def test_a_resumed_run_with_another_setting_is_refused_by_its_name(capsys):
    assert main([*map(str, train("good.npy")), "--levels", "2"]) == 0
    capsys.readouterr()
    for options, words in (
        (["--levels", "1"], "levels = 2, not 1"),
        (["--levels", "2", "--seed", "3"], "seed = 0, not 3"),
        (["--levels", "2", "--learning-rate", "0.1"], "learning_rate = 0.002, not 0.1"),
        (["--levels", "2", "--no-mirror"], "mirror = True, not False"),
        (
            ["--levels", "2", "--boundary", "periodic"],
            "boundary = ['reflect', 'reflect'], not ['per",
        ),
    ):
        says(refused(capsys, *train("good.npy"), *options, "--resume"), words)
    says(
        refused(capsys, *train("wind.nc"), "--variable", "v10", "--levels", "2", "--resume"),
        "other fields (files, --variable",
    )


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
        cascade(levels=1, width=8).sample((3, 5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--members", 1], "members is 1"),
        (["--size", 100], "the size is 100; it must be a multiple of 16, such as 96"),
        (["--data", "phi4", "--size", 48], "a multiple of 32"),
        (["--steps", 0], "steps = 0"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--device", "cuda:1"], "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_the_demo_looks_at_its_options_before_it_works_for_minutes(capsys, options, words):
    assert words in refused(capsys, "demo", *options)
