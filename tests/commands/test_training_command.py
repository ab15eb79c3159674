"""``rgdm train``: every kind of file, in 1, 2 and 3 dimensions, and what it leaves behind."""

from functools import partialmethod
from typing import get_args

import numpy as np
import pytest
import torch
import xarray as xr
from running import SMALL, ok, walk

from rgdm.cli import main
from rgdm.commands import training
from rgdm.data.fields import read_field
from rgdm.design import Operator
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.scale.grid import Grid
from rgdm.scale.operators.learned import Learned
from rgdm.train import Budget, Parts, Trainer
from small import cascade

pytestmark = pytest.mark.integration


def test_training_writes_a_model_its_history_and_what_it_was_trained_on(terrain):
    assert {path.name for path in (terrain / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "checkpoint.safetensors",
        "history.jsonl",
    }
    model = Cascade.from_pretrained(terrain / "model")
    assert model.metadata["channels"] == ["height"] and model.grid.names == ("lat", "lon")
    assert model.grid == Grid.uniform(2, names=["lat", "lon"])
    assert model.metadata["attrs"] == {"units": "m"}  # a limit of stored values is none of finer ones
    assert model.metadata["training"]["steps"] == 4 and model.metadata["training"]["samples"] == 4
    assert float(model.units.mean) == pytest.approx(100, abs=30)


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


@pytest.mark.parametrize("dimension", [1, 3])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_lines_and_volumes_are_trained_sampled_and_evaluated(trained, tmp_path, dimension, boundary):
    folder = trained(dimension, boundary)
    assert Cascade.from_pretrained(folder / "model").grid.boundaries == (boundary,) * dimension
    lattice = np.load(folder / "field.npy").shape[1:]
    ok("sample", folder / "model", "--lattice", *lattice, "--out", tmp_path / "new.zarr", "--count", 2)
    assert read_field([tmp_path / "new.zarr"], dimension=dimension).shape == (2, 1, *lattice)
    ok("evaluate", folder / "model", folder / "field.npy", "--members", 2)


def test_several_files_are_samples_and_gaps_are_filled_if_asked(tmp_path):
    for i in range(3):
        values = walk(3, 16, 16)[i]
        values[2, 3] = np.nan if i == 1 else values[2, 3]
        np.save(tmp_path / f"{i}.npy", values)
    files = sorted(tmp_path.glob("*.npy"))
    ok("train", *files, "--fill", "--out", tmp_path / "model", "--steps", 1, *SMALL)
    training = Cascade.from_pretrained(tmp_path / "model").metadata["training"]
    assert training["samples"] == 2 and training["kept_back"] == "the last of 3 samples"


@pytest.mark.parametrize("operator", get_args(Operator))
def test_every_operator_of_the_command_line_trains(tmp_path, operator, monkeypatch):
    monkeypatch.setattr(Learned, "learn", partialmethod(Learned.learn, steps=5))
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--operator", operator, "--steps", 1, *SMALL)
    assert Cascade.from_pretrained(tmp_path / "model").design.operator == operator


def test_what_is_never_negative_is_noted_and_stays_so_if_asked(tmp_path, capsys):
    rain = xr.DataArray(walk(6, 16, 16).clip(min=0), dims=("time", "y", "x"), name="rain", attrs={"units": "mm/h"})
    rain.to_netcdf(tmp_path / "rain.nc", engine="h5netcdf")
    begin = ["train", tmp_path / "rain.nc", "--steps", 2, *SMALL, "--out"]
    ok(*begin, tmp_path / "any")
    assert "of them are 0: they stay so (--no-positive" in capsys.readouterr().err
    ok(*begin, tmp_path / "signed", "--no-positive")
    ok(*begin, tmp_path / "model", "--positive")
    assert "they stay so" not in capsys.readouterr().err
    found = [Cascade.from_pretrained(tmp_path / name).design.positive for name in ("any", "signed", "model")]
    assert found == [True, False, True]
    ok("evaluate", tmp_path / "model", tmp_path / "rain.nc", "--members", 2, "--out", tmp_path / "run")
    assert "no likelihood" in capsys.readouterr().err
    coarse = rain.coarsen(y=4, x=4).mean()
    coarse[:, 1, 1] = 0
    coarse.assign_attrs(rain.attrs).to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok("refine", tmp_path / "model", tmp_path / "coarse.nc", "--members", 2, "--out", tmp_path / "fine.nc")
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        made = fine["rain"]
        assert float(made.min()) == 0 and not made[..., 4:8, 4:8].any()
        np.testing.assert_allclose(made[0].coarsen(y=4, x=4).mean(), coarse, rtol=1e-6, atol=1e-12)
    coarse[0, 0, 0] = -1
    coarse.assign_attrs(rain.attrs).to_netcdf(tmp_path / "wrong.nc", engine="h5netcdf")
    command = ["refine", tmp_path / "model", tmp_path / "wrong.nc", "--out", tmp_path / "none.nc"]
    assert main([str(word) for word in command]) == 2
    assert "1 values of the coarse field are negative" in capsys.readouterr().err


def test_a_small_time_budget_ends_in_time(tmp_path):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--minutes", 0.01, *SMALL)
    trained = Cascade.from_pretrained(tmp_path / "model").metadata["training"]
    assert 0.6 <= trained["seconds"] < 30


def test_the_random_state_of_torch_is_left_alone_by_training(tmp_path):
    np.save(tmp_path / "field.npy", walk(2, 16, 16))
    before = torch.random.get_rng_state()
    ok("train", tmp_path / "field.npy", "--out", tmp_path / "model", "--steps", 1, *SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("back", "chosen"), [(0.30, "every"), (0.20, "held_out"), (-0.4, "held_out")])
def test_temperatures_are_fitted_on_all_fields_unless_some_were_learned_by_heart(tmp_path, monkeypatch, back, chosen):
    model = cascade(levels=1)
    fields = torch.randn(4, 1, 16, 16)
    parts = Parts(*map(Fields, (fields[:3], fields[3:], fields)), "the last of 4 samples")
    model.fit(fields)
    trainer = Trainer(model, parts.training, tmp_path, Budget(1, None), device="cpu", held_out=parts.held_out)
    trainer.records = [
        {"step": 0, "closed_form": {"0": 1.0}},
        {"step": 0, "held_out": {"0": 0.9}},
        {"step": 7, "held_out": {"0": 0.9 - back}},
    ]
    trainer.learners[0].step = 7
    monkeypatch.setattr(training.Validation, "__call__", lambda self: [0.68])  # gains .32 where it was trained
    values, said = training.calibration_fields(model, trainer, parts)
    assert values is getattr(parts, chosen)
    assert bool(said) == (chosen == "held_out") and all("0.320" in line for line in said)
    assert training.calibration_fields(model, trainer, parts._replace(held_out=None)) == (parts.training, [])


@pytest.mark.parametrize(("value", "said"), [(np.nan, ""), (-0.5, "1 are negative, down to -0.5")])
def test_zeros_that_are_not_kept_are_said(tmp_path, capsys, value, said):
    """Beside gaps they are kept."""
    rain = walk(6, 16, 16).clip(min=0)
    rain[0, 3, 4] = value
    np.save(tmp_path / "rain.npy", rain)
    ok("train", tmp_path / "rain.npy", "--steps", 1, *SMALL, "--out", tmp_path / "model")
    told = capsys.readouterr().err
    assert (f"of the values are 0 but {said}: zeros are not kept" in told) == bool(said)
    assert Cascade.from_pretrained(tmp_path / "model").design.positive is not bool(said)
