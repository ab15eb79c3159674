"""Ctrl-C in a command: what is kept, what is said, and how it goes on."""

import signal
from contextlib import contextmanager

import numpy as np
import pytest
from running import SMALL, ok, walk

from rgdm.cli import main
from rgdm.commands import training
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration


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

    for name in ("descend", "generate", "fit"):
        monkeypatch.setattr(Cascade, name, interrupted)
    assert main([command, *map(str, arguments), "--out", str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "rgdm: interrupted; nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.npy"]
