"""What stops a training, and what it leaves behind."""

import json

import pytest
import torch
from safetensors.torch import load_file
from training_runs import trainer

import rgdm.train.loop
from rgdm.errors import TrainingFailedError
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.train import CHECKPOINT, Budget
from rgdm.train.learner import MOST_RESTARTS


@pytest.mark.integration
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state_before(tmp_path, monkeypatch, where):
    true_loss, calls = Cascade.forward, []

    def broken(self, *arguments):
        calls.append(1)
        loss = true_loss(self, *arguments)
        if len(calls) < 8:
            return loss
        return loss * torch.nan if where == "loss" else loss + (0 * loss).sqrt()  # the slope of sqrt at 0

    monkeypatch.setattr(Cascade, "forward", broken)
    run = trainer(tmp_path)
    with pytest.raises(
        TrainingFailedError, match=r"the loss became .* at step 7, level [01]; .* smaller learning rate"
    ):
        run.run()
    assert [learner.restarts for learner in run.learners] == [MOST_RESTARTS]
    state = load_file(tmp_path / CHECKPOINT)
    assert all(state[f"model/{name}"].isfinite().all() for name in run.weights)
    assert all(state[f"average/{name}"].isfinite().all() for name in run.weights)
    assert json.loads(storage.read_notes(tmp_path / CHECKPOINT)["step"]) == 7


@pytest.mark.integration
def test_a_full_disk_stops_the_run_with_one_sentence(tmp_path, monkeypatch):
    def full(path, tensors, notes=None):
        raise ValueError("the disk is full: x cannot be written, 0.0 MiB are free")

    monkeypatch.setattr(rgdm.train.loop.storage, "write_tensors", full)
    with pytest.raises(ValueError, match="the disk is full"):
        trainer(tmp_path).run()


@pytest.mark.parametrize(
    "budget", [{}, {"steps": 1, "minutes": 1.0}, {"steps": 0}, {"minutes": 0.0}, {"minutes": -1.0}, {"steps": -3}]
)
def test_a_budget_is_one_positive_number(budget):
    with pytest.raises(ValueError, match="budget of"):
        Budget(**budget)


@pytest.mark.integration
@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_learning_rate_is_positive(tmp_path, rate):
    with pytest.raises(ValueError, match=r"learning_rate = .*; a number above 0 and at most 1 is needed"):
        trainer(tmp_path, learning_rate=rate)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_between_checkpoints_that_is_negative_is_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match=r"checkpoint_seconds = .*; a number from 0 to 10.6 is needed"):
        trainer(tmp_path, checkpoint_seconds=seconds)
