"""A coarse field unlike those of the training is noticed, with the figure; one like them is not."""

import re
import warnings

import pytest
import torch

from lift_examples import red
from rgdm.errors import RangeWarning
from small import cascade


def climate(offset: float = 0.0, size: float = 1.0) -> torch.Tensor:
    """Temperatures and humidities of 16 days."""
    x = red(32, (32, 32)).double().reshape(16, 2, 32, 32)
    return torch.cat([280 + offset + 5 * size * x[:, :1], 0.01 + 0.002 * x[:, 1:]], 1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = cascade(2, 2, 2, "periodic", width=2, evaluations=1)
    made.fit(climate())
    made.metadata["channels"] = ["t", "q"]
    return made.eval()


def said(model, coarse, levels=1) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.refine(coarse, levels)
    assert all(each.category is RangeWarning for each in caught)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize("levels", [1, 2])
def test_another_day_of_the_same_climate_needs_no_word(model, levels):
    torch.manual_seed(5)
    coarse = model.trajectory(climate(), levels)[-1]
    assert said(model, coarse, levels) == []
    assert said(model, coarse[:1, :, :2, :3], levels) == []


@pytest.mark.parametrize("levels", [1, 2])
def test_another_climate_is_named_with_the_figure(model, levels):
    torch.manual_seed(5)
    coarse = model.trajectory(climate(offset=60), levels)[-1]
    (sentence,) = said(model, coarse, levels)
    assert sentence.startswith("the coarse field of t is unlike the training data: ")
    assert re.search(r"(9\d|100) % of the values of a field lie outside the range", sentence)
    assert sentence.endswith("no block means of the truth, `rgdm debias` corrects them")


def test_one_impossible_value_is_named(model):
    coarse = model.trajectory(climate())[1]
    coarse[3, 1, 2, 2] = 1.0
    (sentence,) = said(model, coarse)
    assert "the coarse field of q" in sentence and "the farthest by" in sentence


def test_one_day_of_many_is_enough(model):
    coarse = model.trajectory(climate())[1]
    coarse[5, 0] += 60
    (sentence,) = said(model, coarse)
    assert "the coarse field of t" in sentence


def test_a_field_too_rough_or_too_smooth_is_named(model):
    coarse = model.trajectory(climate())[1]
    mean, spread = coarse.mean((0, 2, 3), keepdim=True), coarse.std((0, 2, 3), keepdim=True)
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2 - 1
    rough = said(model, mean + 6 * spread * board)
    assert len(rough) == 2 and all("neighbours differ by far more than anywhere in the training" in s for s in rough)
    smooth = said(model, mean + 1e-3 * (coarse[:1] - mean))
    assert len(smooth) == 2 and all("a field is smoother than 99% of the training" in s for s in smooth)
    assert not any("rgdm debias" in s for s in smooth)  # no values are out of range


def test_a_model_that_measured_nothing_says_nothing():
    assert said(cascade(1, 2, 1, width=2, evaluations=1), torch.full((1, 1, 4, 4), 1e6)) == []


def test_a_repeated_level_is_compared_in_its_own_units():
    model = cascade(1, 2, 3, "periodic", width=2, evaluations=1)
    fields = red(32, (32, 32))
    model.fit(fields)
    larger = model.enlarged(1, 2.0, level=2)
    coarse = model.trajectory(fields)[-1]
    # one level up, normalised fields are as much larger as the gain makes them: block means are the same
    assert said(larger, coarse, 4) == []
    assert said(model.enlarged(1, 1e-2, level=2), coarse, 4) != []
    assert said(larger, 100 * coarse, 4) != []


def test_what_was_measured_is_stored(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = type(model).from_pretrained(tmp_path / "model")
    coarse = model.trajectory(climate(offset=60))[1]
    assert said(again, coarse) == said(model, coarse) != []
