"""The metadata of a model, names, units and figures that travel with it: what JSON holds, and of the expected kinds."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rgdm.data.identity import Identity
from rgdm.errors import InputError
from rgdm.process.persistence import Persistence
from rgdm.ranges import shown

DEEPEST = 10
"""Most levels of lists and dictionaries in one another."""


def plain_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """As JSON holds it: arrays and tuples as lists, without numbers that are not finite (null in a list).

    Raises:
        InputError: if there is something that JSON does not hold.
    """
    return checked_metadata(_plain(metadata))


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """The same, if it is a dictionary of JSON values in which the names that rgdm itself reads are of their kinds.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(metadata, dict):
        raise InputError(f"the metadata are {shown(metadata)}, no dictionary")
    check_json("metadata", metadata)
    for name, (right, kind) in KINDS.items():
        if name in metadata and not right(metadata[name]):
            raise InputError(f"the metadata {name!r} are {shown(metadata[name])}, and not {kind}")
    return metadata


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        plain = {key: _plain(each) for key, each in value.items()}
        return {key: each for key, each in plain.items() if each is not None or value[key] is None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_json(name: str, value: Any, depth: int = 0) -> None:
    """Raise ``InputError`` if a value, or one in it, is none of JSON, no whole text or nested too deeply."""
    if depth > DEEPEST:
        raise InputError(f"{shown(name)} is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        if not _is_text(value):
            raise InputError(f"{shown(name)} is {shown(value)}, which is no text")
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str) or not _is_text(key):
                raise InputError(f"{shown(name)} has the name {shown(key)}, which is no text")
            check_json(key, each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            check_json(name, each, depth + 1)
    elif not (value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))):
        raise InputError(f"{shown(name)} is {shown(value)}, which JSON does not hold; metadata are plain values")


def _is_text(value: str) -> bool:
    """Whether every file takes this: without NUL, and without halves of characters."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(_number(each) for each in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _attributes(value: Any) -> bool:
    """Of a field: texts, numbers and lists of either."""
    each = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(x, str | bool) or _number(x) or _texts(x) or _numbers(x) for x in each)


def _attributes_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(_attributes(each) for each in value.values())


def _identity(value: Any) -> bool:
    try:
        return isinstance(value, dict) and Identity.from_json(value) is not None
    except InputError:
        return False


def _persistence(value: Any) -> bool:
    try:
        return Persistence.from_json(value) is not None
    except InputError:
        return False


def _training(value: Any) -> bool:
    figures = ("steps", "seconds", "loss", "samples")
    return isinstance(value, dict) and all(
        (_numbers(x) if name == "lattice" else x is None or _number(x))
        for name, x in value.items()
        if name in (*figures, "lattice")
    )


Check = tuple[Callable[[Any], bool], str]
KINDS: dict[str, Check] = {
    "name": (lambda value: isinstance(value, str), "a text"),
    "channels": (_texts, "a list of texts"),
    "axes": (_texts, "a list of texts"),
    "attrs": (_attributes, "texts and numbers by name"),
    "own_attrs": (_attributes_by_name, "attributes by channel"),
    "identity": (_identity, "what is known of the data"),
    "training": (_training, "figures by name"),
    "persistence": (_persistence, "a correlation in time"),
}
"""What rgdm itself reads, and of which kind it is."""
