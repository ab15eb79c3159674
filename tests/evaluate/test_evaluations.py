"""How many evaluations a model will use: the fewest that are as good as many, as the figures say."""

import math

import pytest
import torch

from rgdm.evaluate import evaluations
from rgdm.evaluate.evaluations import CANDIDATES, MANY, Trial, choose_evaluations
from small import cascade

MANY_STEPS = Trial(MANY, 0.2, 0.98, (0.95, 1.02), (1.0, 1.0))


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
def test_the_fewest_that_are_good_are_kept_with_the_temperatures_that_suit_them(monkeypatch, enough):
    model, asked, told = cascade(evaluations=None), [], []

    def trial(model, fields, number, sites):
        asked.append(number)
        return MANY_STEPS._replace(
            evaluations=number, crps=0.2 if number >= enough else 0.3, temperatures=(1 + number / 100, 0.9)
        )

    monkeypatch.setattr(evaluations, "_trial", trial)
    trials = choose_evaluations(model, smooth(), lambda done, total: told.append(done / total))
    assert asked == [MANY, *(n for n in CANDIDATES if n <= enough)]
    assert trials[-1].evaluations == model.design.evaluations == model.sampler.evaluations == enough
    assert [float(model.own_lift(level).temperature) for level in (0, 1)] == pytest.approx([1 + enough / 100, 0.9])
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
    assert all(0.7 < ratio < 1.4 for ratio in few.octaves) and math.isfinite(few.spread_skill)
