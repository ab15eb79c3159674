"""Bad fields given to the commands: exit code 2, one sentence that names the value and the remedy, no file."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says, train

from rgdm.cli import main

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unchecked", "place")]


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_located(capsys, bad, model):
    values = np.load("good.npy")
    values[1, 5, 7] = values[1, 9, 9] = bad
    np.save("bad.npy", values)
    for option in (["--operator", "haar"], ["--scattering", "1"]):
        command = [*train("bad.npy"), *option]
        says(refused(capsys, *command), "2 of 512 values", "axis_0[5], axis_1[7]", "--fill")
    config = model / "config.json"
    config.write_text(config.read_text().replace('"block-spin"', '"haar"'))
    for command in (["refine", model, "bad.npy", "--out", "out.zarr"], ["evaluate", model, "bad.npy", "--out", "out"]):
        says(refused(capsys, *command), "2 of 512 values", "axis_0[5], axis_1[7]", "--fill")


def test_what_is_missing_everywhere_is_nothing_to_learn_from_or_refine(capsys, model):
    np.save("bad.npy", np.full((2, 4, 4), np.nan, "f4"))
    for command in (train("bad.npy"), ["refine", model, "bad.npy", "--out", "out.zarr"]):
        says(refused(capsys, *command), "no value that is not missing")


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((8, 8), "f4"), "the lattice (8, 8); one sample or 2"),
        (np.full((16, 16), 2.0, "f4"), "the mask has values such as 2; 1 says"),
        (np.zeros((16, 16), "f4"), "leaves no site in 32 of 32 blocks"),
        (np.ones((3, 16, 16), "f4"), "the mask has the axes sample (3)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(capsys, model, mask, said):
    np.save("mask.npy", mask)
    says(refused(capsys, "refine", model, "coarse.npy", "--mask", "mask.npy", "--out", "out.zarr"), said)


def test_values_that_are_nowhere_finite_cannot_be_filled(capsys):
    np.save("bad.npy", np.full((16, 16), np.nan, "f4"))
    says(refused(capsys, *train("bad.npy"), "--fill"), "nothing to fill them from")


def test_a_constant_field_is_nothing_to_learn_from(capsys):
    np.save("flat.npy", np.full((16, 16), 7.5, "f4"))
    says(refused(capsys, *train("flat.npy")), "constant", "7.5")


def test_words_are_no_field(capsys):
    np.save("words.npy", np.array([["a", "b"], ["c", "d"]]))
    says(refused(capsys, *train("words.npy")), "words.npy", "real numbers")


# --- lattices -----------------------------------------------------------------------------------


def test_a_field_too_small_or_indivisible_says_what_fits(capsys):
    np.save("small.npy", np.random.default_rng(0).standard_normal((4, 8)))
    says(refused(capsys, *train("small.npy"), "--levels", "3"), "(4, 8)", "fits 2 levels", "not 3", "use 2 levels")
    np.save("odd.npy", np.random.default_rng(0).standard_normal((21, 24)))
    says(refused(capsys, *train("odd.npy"), "--levels", "3"), "(21, 24)", "a lattice such as (16, 24)")


def test_a_sample_of_a_lattice_that_does_not_suit_the_model_says_what_would(capsys, model):
    command = ["sample", model, "--out", "out.zarr", "--lattice"]
    says(refused(capsys, *command, 30, 32), "(30, 32)", "(28, 32) would be")
    says(refused(capsys, *command, 32), "(32,)", "2-dimensional")
    says(refused(capsys, *command, 0, 32), "lattice = (0, 32)", "from 1 to")


def test_a_request_beyond_the_memory_says_the_estimate(capsys, model):
    line = refused(capsys, "sample", model, "--lattice", 2**20, 2**20, "--out", "out.zarr")
    says(line, "1048576 x 1048576", "GiB of memory", "are free")
    line = refused(capsys, "refine", model, "coarse.npy", "--members", 10**9, "--out", "out.zarr")
    says(line, "2000000000 x 16 x 16", "GiB of memory")
    line = refused(capsys, "evaluate", model, "good.npy", "--members", 10**9)
    says(line, "GiB of memory")


def test_levels_and_members_beyond_the_model_are_refused(capsys, model):
    for levels, words in ((3, "levels is 3; this model has lifts for 1 to 2"), (0, "levels = 0"), (10**9, "1 to 32")):
        line = refused(capsys, "refine", model, "coarse.npy", "--levels", levels, "--out", "out.zarr")
        says(line, words)
    says(refused(capsys, "refine", model, "coarse.npy", "--members", 0, "--out", "out.zarr"), "members = 0", "from 1")
    says(refused(capsys, "evaluate", model, "good.npy", "--members", 1), "members is 1", "at least 2")
    says(
        refused(capsys, "sample", model, "--lattice", 16, 16, "--count", 0, "--out", "out.zarr"), "count = 0", "from 1"
    )
    says(refused(capsys, "evaluate", model, "good.npy", "--evaluations", 10**12), "evaluations = 10", "to 1000")


# --- channels, dimensions, variables ------------------------------------------------------------


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


# --- files --------------------------------------------------------------------------------------


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


def test_filling_and_a_mask_at_once_are_refused(capsys, model):
    np.save("mask.npy", np.ones((16, 16), "f4"))
    command = ["refine", model, "coarse.npy", "--mask", "mask.npy", "--fill", "--out", "out.zarr"]
    says(refused(capsys, *command), "--fill invents values and --mask")


def test_a_lattice_that_does_not_divide_is_cut_if_that_is_asked_for(capsys, model):
    odd = np.random.default_rng(0).standard_normal((2, 18, 21))
    np.save("odd.npy", odd)
    says(refused(capsys, *train("odd.npy"), "--levels", "2"), "(18, 21)", "cut it with --crop")
    says(refused(capsys, "evaluate", model, "odd.npy", "--out", "out"), "(18, 21)", "cut it with --crop")
    np.save("even.npy", odd[:, :16, :20])
    made = {}
    for name, crop in (("odd", ["--crop"]), ("even", [])):
        assert main(["evaluate", str(model), f"{name}.npy", "--members", "2", "--out", name, *crop]) == 0
        made[name] = json.loads((Path(name) / "scores.json").read_text())["crps"]
        said = capsys.readouterr().err
        assert (
            ("axis_1 is cut from 21 to 20 sites" in said) == ("axis_0 is cut from 18 to 16 sites" in said) == bool(crop)
        )
    assert made["odd"] == made["even"]
    assert main([str(a) for a in [*train("odd.npy"), "--levels", "2", "--crop"]]) == 0
    assert "axis_1 is cut from 21 to 20" in capsys.readouterr().err
