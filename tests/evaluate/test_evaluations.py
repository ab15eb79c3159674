"""How many evaluations a model will use: the fewest that are as good as many, as the figures say."""

import math

import pytest
import torch

from rgdm.evaluate import evaluations
from rgdm.evaluate.evaluations import CANDIDATES, MANY, Trial, choose_evaluations
from small import cascade

MANY_STEPS = Trial(MANY, 0.2, 0.98, (0.95, 1.02))


def smooth(count: int = 6) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(count, 1, 64, 64).cumsum(-1).cumsum(-2)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"crps": 0.2009}, True),
        ({"crps": 0.2011}, False),
        ({"crps": 0.15, "spread_skill": 0.90}, False),
        ({"spread_skill": 1.05}, True),
        ({"octaves": (0.91, 1.02)}, True),
        ({"octaves": (0.80, 1.02)}, False),
        ({"octaves": (0.95, 1.12)}, False),
    ],
)
def test_few_evaluations_are_good_if_no_figure_is_worse_than_that_of_many(change, good):
    assert MANY_STEPS._replace(evaluations=3, **change).as_good_as(MANY_STEPS) is good


@pytest.mark.parametrize("enough", [*CANDIDATES, MANY])
def test_the_fewest_that_are_good_are_kept(monkeypatch, enough):
    model, asked, told = cascade(evaluations=None), [], []

    def trial(model, fields, number, depth, sites):
        asked.append(number)
        return MANY_STEPS._replace(evaluations=number, crps=0.2 if number >= enough else 0.3)

    monkeypatch.setattr(evaluations, "_trial", trial)
    trials = choose_evaluations(model, smooth(), lambda done, total: told.append(done / total))
    assert asked == [MANY, *(n for n in CANDIDATES if n <= enough)]
    assert trials[-1].evaluations == model.design.evaluations == model.sampler.evaluations == enough
    assert told == sorted(told) and told[-1] == 1


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_law_that_is_right_in_one_step_needs_no_more_than_the_fewest(boundary):
    model = cascade(boundary=boundary, evaluations=None)
    model.fit(smooth())
    trials = choose_evaluations(model, smooth(), sites=20_000)
    many, few = trials
    assert (many.evaluations, few.evaluations) == (MANY, CANDIDATES[0])
    assert few.crps == pytest.approx(many.crps, rel=1e-3)  # untrained: white noise, whatever the steps
    assert few.octaves == pytest.approx(many.octaves, rel=1e-3)
    assert math.isfinite(few.spread_skill)


@pytest.mark.parametrize(("dimension", "side"), [(1, 512), (3, 48)])
def test_lines_and_bodies_are_tried_in_pieces_of_about_the_size_that_is_asked(monkeypatch, dimension, side):
    model, seen = cascade(dimension=dimension, evaluations=None), []
    model.fit(torch.randn(4, 1, *[side] * dimension).cumsum(-1))
    plain = evaluations._trial

    def trial(model, fields, number, depth, sites):
        seen.append(fields.values.numel())
        return plain(model, fields, number, depth, sites)

    monkeypatch.setattr(evaluations, "_trial", trial)
    choose_evaluations(model, torch.randn(4, 1, *[side] * dimension).cumsum(-1), sites=20_000)
    assert seen and max(seen) <= 16 * 24**3


def test_a_field_that_is_too_large_to_try_leaves_the_model_as_it_is(monkeypatch):
    model = cascade(boundary="periodic", evaluations=None)
    model.fit(smooth())
    monkeypatch.setattr(evaluations, "LARGEST", 100)
    assert choose_evaluations(model, smooth(), sites=100) == [] and model.design.evaluations is None


def test_of_many_large_fields_a_few_are_tried(monkeypatch):
    model, seen = cascade(boundary="periodic", evaluations=None), []
    model.fit(smooth())
    plain = evaluations._trial

    def trial(model, fields, *rest):
        seen.append(len(fields))
        return plain(model, fields, *rest)

    monkeypatch.setattr(evaluations, "_trial", trial)
    monkeypatch.setattr(evaluations, "LARGEST", 3 * smooth()[0].numel())
    monkeypatch.setattr(evaluations, "tiles", lambda model, fields, *rest: fields)
    assert choose_evaluations(model, smooth(), sites=100) and set(seen) == {3}
