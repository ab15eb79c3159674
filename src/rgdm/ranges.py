"""The range of every number that a person, a command or a saved model gives, checked before anything is built."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from rgdm.errors import InputError

SHOWN = 60
"""Most characters of a wrong value that a sentence repeats."""
LONGEST_NAME, LONGEST_PATH = 255, 4096
"""Bytes that file systems take for one name, and for a whole path."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``least`` to ``most``: whole ones, or finite ones.

    Args:
        least: the smallest.
        most: the largest.
        whole: whether only integers are meant.
        above: whether ``least`` itself is left out.
    """

    least: float
    most: float
    whole: bool = True
    above: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether this is such a number; a bool is none, nor is a number that is written as a text."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        inside = bool(self.least <= value <= self.most)  # pyright: ignore[reportOperatorIssue]
        return inside and not (self.above and value == self.least)

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        power = round(math.log10(self.most))
        most = f"10^{power}" if power > 3 and self.most == 10**power else f"{self.most:g}"
        most = "2^63 - 1" if self.most == 2**63 - 1 else most
        if self.above:
            return f"a {kind} above {self.least:g} and at most {most}"
        return f"a {kind} from {self.least:g} to {most}"


RANGES = {
    # what a model is
    "levels": Range(1, 32),
    "width": Range(1, 4096),
    "encoder_blocks": Range(0, 64),
    "decoder_blocks": Range(0, 64),
    "evaluations": Range(1, 1000),
    "bend": Range(0, 10, whole=False),
    "scattering": Range(0, 3),
    "channels": Range(1, 1024),
    "companions": Range(0, 1024),
    "dimension": Range(1, 3),
    "factor": Range(1, 16),
    "times": Range(0, 32),
    "growth": Range(0, 1000, whole=False, above=True),
    # training
    "minutes": Range(0, 1e6, whole=False, above=True),
    "steps": Range(1, 10**9),
    "learning_rate": Range(0, 1, whole=False, above=True),
    "checkpoint_seconds": Range(0, 1e6, whole=False),
    "seed": Range(0, 2**63 - 1),
    # fields that are made
    "lattice": Range(1, 10**12),
    "size": Range(1, 2**20),
    "count": Range(1, 10**9),
    "members": Range(1, 10**9),
    "sweeps": Range(0, 10**6),
    # corrections of a bias
    "quantiles": Range(2, 10**6),
    "wet": Range(0, 1e6, whole=False, above=True),
    # couplings and simulations
    "reach": Range(1, 16),
    "power": Range(2, 16),
    "eta": Range(-10, 10, whole=False),
    "noise": Range(0, 100, whole=False),
    "coupling": Range(-100, 100, whole=False),
    "external_field": Range(-1000, 1000, whole=False),
    "anisotropy": Range(-100, 100, whole=False),
    "quartic": Range(0, 1000, whole=False, above=True),
    "mass2": Range(0, 1e6, whole=False, above=True),
    "delta": Range(0, 1000, whole=False, above=True),
    "chains": Range(1, 10**6),
    "thermalization": Range(0, 10**6),
    "interval": Range(1, 10**6),
}
"""One range for each name, wherever it is an argument, an option or a setting of a saved model."""


def check_range(name: str, value: Any, what: str = "") -> None:
    """Raise ``InputError`` if a number is not in the range of this name.

    Args:
        name: as in :data:`RANGES`.
        value: whatever was given as the number.
        what: how the sentence calls it, by default as its name.
    """
    if value not in RANGES[name]:
        raise InputError(f"{what or name} = {shown(value)}; {RANGES[name]} is needed")


def check_each(name: str, values: Sequence[Any]) -> None:
    """Raise ``InputError`` if one of several numbers, or one of those that it is of levels, is not in this range."""
    values = tuple(one for value in values for one in (value if isinstance(value, tuple) else (value,)))
    if len(values) == 1:
        check_range(name, values[0])
    elif not all(value in RANGES[name] for value in values):
        raise InputError(f"{name} = {shown(values)}; of each {RANGES[name]} is needed")


def check_options(owner: Any, complete: bool = False) -> None:
    """Raise ``InputError`` if a field of a dataclass that has a range is not in it, or a path is none.

    None, for what is not given, is left alone, and what has no range; if all must be there (``complete``) None is left
    alone only where it is the default.
    """
    for field in fields(owner):
        value = getattr(owner, field.name)
        for path in value if isinstance(value, tuple) else [value]:
            if isinstance(path, Path | str):
                check_path(path)
        if field.name in RANGES and (value is not None or (complete and field.default is not None)):
            check_each(field.name, value) if isinstance(value, tuple) else check_range(field.name, value)


def check_flag(name: str, value: Any) -> None:
    """Raise ``InputError`` if this is not true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{name} = {shown(value)}; true or false is needed")


def check_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raise ``InputError`` if this is none of the known words."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"unknown {name} {shown(value)}; known are {', '.join(known)}")


def check_keys(name: str, value: Any, keys: Sequence[str]) -> None:
    """Raise ``InputError`` if this is not a dictionary of exactly these settings."""
    if not isinstance(value, dict):
        raise InputError(f"{name} = {shown(value)}; settings by name are needed")
    for key in sorted(set(value) ^ set(keys), key=str):
        raise InputError(f"the setting {shown(key)} is {'missing' if key in keys else 'unknown'} in {name}")


def check_path(path: str | Path) -> None:
    """Raise ``InputError`` if no file can have this name, before a folder is made for it."""
    text = str(path)
    if "\0" in text:
        raise InputError(f"the path {shown(text)} has a NUL character; give it another name")
    for part, most in [*((part, LONGEST_NAME) for part in Path(text).parts), (text, LONGEST_PATH)]:
        length = len(part.encode(errors="surrogatepass"))
        if length > most:
            raise InputError(f"the name {shown(part)} has {length} bytes; take one of at most {most}")


def shown(value: Any) -> str:
    """The value on one line, cut short if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN:
        return f"about {'-' if value < 0 else ''}10^{int(math.log10(abs(value)))}"
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
