"""Metadata of a model: plain values of JSON, and those that rgdm reads itself of the right kinds."""

import math

import numpy as np
import pytest
import torch

from rgdm.errors import InputError
from rgdm.model.checks.metadata import checked_metadata, plain_metadata

GOOD = {
    "name": "height",
    "channels": ["height", "depth"],
    "axes": ["y", "x"],
    "attrs": {"units": "m", "valid_min": -5, "levels": [1, 2.5]},
    "own_attrs": {"height": {"units": "m"}},
    "training": {"steps": 4, "loss": None, "lattice": [16, 24]},
    "mine": {"anything": [None, True, {"a": 1}]},
}


def test_what_is_right_stays_as_it_is():
    assert checked_metadata(GOOD) is GOOD and plain_metadata(GOOD) == GOOD


def test_numbers_of_numpy_and_tuples_become_those_of_json_and_what_is_not_finite_goes():
    plain = plain_metadata({"a": np.float32(0.5), "b": (1, np.arange(2)), "c": math.nan, "d": [math.inf], "e": None})
    assert plain == {"a": 0.5, "b": [1, [0, 1]], "d": [None], "e": None}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ([], "no dictionary"),
        ({"name": 5}, "'name' are 5, and not a text"),
        ({"channels": "height"}, "'channels'"),
        ({"channels": [1]}, "'channels'"),
        ({"attrs": 5}, "'attrs'"),
        ({"attrs": {"crs": {"zone": 32}}}, "'attrs'"),
        ({"own_attrs": {"u": 1}}, "'own_attrs'"),
        ({"identity": {"channels": 3}}, "'identity'"),
        ({"training": 3}, "'training'"),
        ({"training": {"loss": "small"}}, "'training'"),
        ({"training": {"lattice": 4}}, "'training'"),
        ({"a": "x\0y"}, "no text"),
        ({"a": "\ud800"}, "no text"),
        ({"\ud800": 1}, "no text"),
        ({3: 1}, "no text"),
        ({"a": torch.zeros(1)}, "JSON does not hold"),
        ({"a": math.nan}, "JSON does not hold"),
    ],
)
def test_what_is_wrong_is_one_sentence(metadata, words):
    with pytest.raises(InputError, match=words) as caught:
        checked_metadata(metadata)
    assert "\n" not in str(caught.value)


def test_what_is_nested_deeply_is_refused():
    deep: list = []
    for _ in range(20):
        deep = [deep]
    with pytest.raises(InputError, match="nested more than"):
        checked_metadata({"a": deep})
