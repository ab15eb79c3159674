"""Every number has one range, whoever gives it, and a wrong one is one sentence."""

import dataclasses
import math
import typing
from pathlib import Path

import numpy as np
import pytest

from rgdm import config, ranges
from rgdm.cli import COMMANDS
from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.ranges import RANGES, Range, check_each, check_keys, check_options, check_path, check_range, shown

pytestmark = pytest.mark.usefixtures("unchecked")


def numbers(kind: type) -> list[str]:
    """The fields of a dataclass that are numbers, or sequences of numbers, and no flags."""
    hints = typing.get_type_hints(kind)
    return [name for name, hint in hints.items() if {int, float} & leaves(hint) and bool not in leaves(hint)]


def leaves(hint: object) -> set[object]:
    parts = typing.get_args(hint)
    return set().union(*map(leaves, parts)) if parts else {hint}


@pytest.mark.parametrize("kind", [Design, *COMMANDS.values()], ids=lambda kind: kind.__name__)
def test_every_number_of_a_design_or_a_command_has_a_range(kind):
    without = {"thresholds"}  # any number
    assert [name for name in numbers(kind) if name not in RANGES and name not in without] == []


def test_every_default_is_in_its_range():
    assert Design() == Design()
    for kind in COMMANDS.values():
        known = {f.name: f.default for f in dataclasses.fields(kind) if f.name in RANGES}
        for name, value in known.items():
            if value is not None and value is not dataclasses.MISSING:
                check_each(name, value if isinstance(value, tuple) else [value])


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_in_it_and_what_lies_beyond_is_not(name):
    allowed = RANGES[name]
    whole = int if allowed.whole else float
    assert whole(allowed.most) in allowed and (whole(allowed.least) in allowed) != allowed.above
    for wrong in (allowed.least - 1, allowed.most * 2 + 1, math.nan, math.inf, -math.inf, True, "1", None, [1], 1j):
        assert wrong not in allowed
    with pytest.raises(InputError, match=f"{name} = .*; a .*number .*is needed"):
        check_range(name, "many")


def test_a_whole_number_has_no_fraction_and_may_come_from_numpy():
    assert np.int64(3) in Range(1, 5) and 3.0 not in Range(1, 5) and np.float32(0.5) in Range(0, 1, whole=False)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Range(1, 32), "a whole number from 1 to 32"),
        (Range(0, 2**63 - 1), "a whole number from 0 to 2^63 - 1"),
        (Range(0, 1, whole=False, above=True), "a number above 0 and at most 1"),
        (Range(1, 10**9), "a whole number from 1 to 10^9"),
    ],
)
def test_a_range_says_what_is_in_it(allowed, words):
    assert str(allowed) == words


def test_one_wrong_number_among_several_is_enough():
    check_each("width", (4, 8))
    with pytest.raises(InputError, match=r"width = \(4, 0\)"):
        check_each("width", (4, 0))
    with pytest.raises(InputError, match=r"levels = \(3,\)"):
        check_range("levels", (3,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (config.Sample("terrain", (64, 64), Path("a.nc"), seed=2**64), "seed = 18446744073709551616"),
        (config.Sample("terrain", (64, 64), Path("a\0b.nc")), "NUL"),
        (config.Sample("terrain", (64, 64), Path("a" * 300 + ".nc")), "has 303 bytes; .* 255"),
        (config.Sample("terrain", (64, 64), Path("a/" * 3000 + "b.nc")), "has 6004 bytes; .* 4096"),
        (config.Sample("terrain", (64, 10**400), Path("a.nc")), "lattice = "),
        (config.Sample("terrain", (64, 64), Path("a.nc"), evaluations=10**12), "evaluations = 1000000000000"),
        (config.Train((Path("a\0b"),), Path("out")), "NUL"),
        (config.Train((), Path("out"), minutes=math.nan), "minutes = nan"),
    ],
)
def test_options_of_a_command_are_checked_together(options, words):
    with pytest.raises(InputError, match=words) as caught:
        check_options(options)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_a_path_may_be_long_and_of_any_letters():
    for path in ("a" * 255, "é" * 127, "x/" * 1000, "bad\udcff", ".", ""):
        check_path(path)
    with pytest.raises(InputError, match="has 256 bytes"):
        check_path("é" * 128)


def test_settings_are_there_once_each_and_none_besides():
    check_keys("design", {"a": 1}, ["a"])
    for wrong, words in (({}, "'a' is missing"), ({"a": 1, "b": 2}, "'b' is unknown"), ([], "settings by name")):
        with pytest.raises(InputError, match=words):
            check_keys("design", wrong, ["a"])


def test_a_wrong_value_is_shown_on_one_short_line():
    for value in (10**10000, -(10**10000), "a\nb" * 1000, [0] * 1000, {"a": "\0"}):
        assert len(shown(value)) <= ranges.SHOWN + 10 and "\n" not in shown(value) and "\0" not in shown(value)
    assert shown(-(10**100)) == "about -10^100"
