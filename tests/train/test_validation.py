"""Fields that are kept back choose the weights, and show which networks have stopped to learn."""

import pytest
import torch
from training_runs import fields, tiny, trainer

import rgdm.train.loop
from rgdm.model.networks import local
from rgdm.train import STILL
from rgdm.train.learner import Learner
from rgdm.train.validation import ALIVE, Validation
from small import cascade


def looks(run) -> list[dict]:
    return [record for record in run.records if "held_out" in record]


@pytest.mark.integration
def test_the_same_weights_make_the_same_losses_and_an_untrained_network_that_of_the_closed_form():
    model = tiny()
    validation = Validation(model, model.normalise(fields()), turns=STILL)
    first = validation()
    assert first == validation() and len(first) == model.levels
    for lift in range(model.levels):  # the target has the variance of z and of the noise, which are about 1
        assert first[lift] == pytest.approx(1, abs=0.25)


@pytest.mark.integration
def test_a_silent_network_has_no_slope_and_one_that_has_nothing_to_learn_has(monkeypatch):
    white = torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    model = cascade(levels=1, boundary="periodic", width=8, encoder_blocks=1, decoder_blocks=1)
    model.fit(white)
    validation = Validation(model, model.normalise(white), batches=1)
    assert validation.slope(0) > 1e3 * ALIVE and validation()[0] == pytest.approx(1, abs=0.05)
    backbone = model.own_lift(0).law.denoiser.backbone
    monkeypatch.setattr(local, "LEAK", 0.0)
    with torch.no_grad():  # what puts every unit before the last layer to silence
        backbone.entry.bias.fill_(-200)
        backbone.exit.weight.normal_()
        for block in backbone.decoder:
            block.second.weight.zero_()
    assert validation.slope(0) < ALIVE


@pytest.mark.integration
def test_a_network_that_falls_silent_is_put_back_and_slowed_down(tmp_path, monkeypatch):
    monkeypatch.setattr(rgdm.train.loop, "VALIDATED", 5)
    run = trainer(tmp_path, steps=20, held_out=fields()[:1])
    slope, calls = run_slope(), []

    def silent_once(self, level: int) -> float:
        calls.append(level)
        return 0.0 if len(calls) == 3 else slope(self, level)

    monkeypatch.setattr(Validation, "slope", silent_once)
    run.run()
    (learner,) = run.learners
    assert learner.restarts == 1 and learner.rate == 0.5 and "was silent at step 10" in learner.failures[0]
    assert run.step == 20


@pytest.mark.integration
def test_a_network_that_explodes_is_put_back_and_one_that_learns_by_heart_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(rgdm.train.loop, "VALIDATED", 5)
    losses = [[1.0, 1.0], [1.0, 1.0], [0.9, 0.9], [3.0, 3.0], [0.8, 0.8], [3.0, 3.0]]
    for trained_on, restarts in ((4.0, 2), (0.5, 0)):
        held_out = iter(losses)
        monkeypatch.setattr(Validation, "__call__", lambda self, losses=held_out: next(losses))
        folder = tmp_path / str(restarts)
        folder.mkdir()
        run = trainer(folder, steps=20, held_out=fields()[:1])
        record = type(run)._record

        def as_told(self, level: int, loss: float, every: int = 5, value=trained_on, record=record) -> None:
            record(self, level, value, every)

        monkeypatch.setattr(type(run), "_record", as_told)
        run.run()
        monkeypatch.setattr(type(run), "_record", record)
        (learner,) = run.learners
        assert learner.restarts == restarts and learner.best == pytest.approx(0.8)
        assert all("grew to 3 at step" in reason for reason in learner.failures)


def run_slope():
    return Validation.slope


@pytest.mark.integration
def test_the_model_has_the_weights_that_were_best_on_fields_that_were_kept_back(tmp_path, monkeypatch):
    monkeypatch.setattr(rgdm.train.loop, "VALIDATED", 5)
    losses = iter([[1.0, 1.0], [1.0, 1.0], [0.7, 0.7], [0.5, 0.5], [0.8, 0.8], [0.9, 0.9]])
    monkeypatch.setattr(Validation, "__call__", lambda self: next(losses))
    run, then = trainer(tmp_path, steps=20, held_out=fields()[:1]), {}

    def remember(now) -> None:
        if now.step == 10:
            then.update({name: tensor.clone() for name, tensor in run.average.items()})

    run.run(remember)
    (learner,) = run.learners
    assert learner.step == 10 and learner.best == pytest.approx(0.5)
    assert all(torch.equal(learner.kept[name], then[name]) for name in learner.kept)
    assert not all(torch.equal(learner.kept[name], run.average[name]) for name in learner.kept)
    assert [record["step"] for record in looks(run)] == [0, 5, 10, 15, 20]


@pytest.mark.integration
@pytest.mark.parametrize(("shared", "levels"), [(True, [(0, 1)]), (False, [(0,), (1,)])])
def test_a_network_is_judged_by_the_levels_that_it_serves(shared, levels):
    assert [learner.levels for learner in Learner.of(tiny(shared=shared))] == levels
