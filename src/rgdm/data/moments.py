"""When fields are: the coordinates of time among those that they have, as numbers."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from rgdm.data.conventions import role_of
from rgdm.errors import InputError

SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
"""Of one of each unit, in the singular."""


class Moments(NamedTuple):
    """Times of several fields.

    ``unit`` is ``s``, from 1970-01-01 on in the calendar of the dates, or that of numbers that are no lengths of time.
    """

    values: np.ndarray
    unit: str


def time_of(array: xr.DataArray, batch: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """The coordinate that says when each field is, and others of time that tell nothing more; none if there is none.

    Dates go before numbers, and what CF calls ``time`` before times that a forecast began, which stay with what tells
    fields apart unless they are the same.
    """
    found = [name for name, own in array.coords.items() if set(own.dims) <= set(batch) and role_of(name, own) == "t"]
    if not found:
        return ()
    first, *others = sorted(found, key=lambda name: (_rank(name, array.coords[name]), str(name)))
    chosen, same = array.coords[first], []
    for name in others:
        own = array.coords[name]
        if not is_date(own) or (own.dims == chosen.dims and bool((own.values == chosen.values).all())):
            same.append(name)
    return first, *same


def _rank(name: Hashable, own: xr.DataArray) -> tuple[bool, ...]:
    standard, lower = str(own.attrs.get("standard_name", "")), str(name).lower()
    return (
        not (is_date(own) or " since " in str(own.attrs.get("units", ""))),
        standard != "time" and lower != "valid_time",
        standard == "forecast_reference_time",
        lower not in ("time", "t", "times"),
    )


def is_date(own: xr.DataArray) -> bool:
    """Whether values are dates, of whatever calendar."""
    return own.dtype.kind == "M" or (
        own.dtype.kind == "O" and any(hasattr(each, "year") for each in np.asarray(own.values).flat)
    )


def moments(own: xr.DataArray) -> Moments:
    """The values of a coordinate of time as numbers.

    Raises:
        InputError: if they are neither dates, spans of time nor numbers, or one is missing.
    """
    if (gone := missing_times(own)).any():
        raise InputError(
            f"{int(gone.sum())} of {gone.size} values of {own.name} are missing; give them, or leave these fields out"
        )
    units, kind, given = str(own.attrs.get("units", "")).strip(), own.dtype.kind, np.asarray(own.values)
    if kind in "iuf" and " since " in units:
        decoded = xr.decode_cf(xr.Dataset(coords={"time": ("time", given.ravel(), own.attrs)}))["time"]
        return moments(xr.DataArray(decoded.values.reshape(own.shape), dims=own.dims))
    if kind in "Mm":
        values, unit = _seconds(given), "s"
    elif is_date(own):
        values, unit = np.array([_since_epoch(date) for date in given.flat]).reshape(own.shape), "s"
    elif kind in "iuf":
        word = units.lower()
        length = SECONDS.get(word) or SECONDS.get(word.removesuffix("s"))
        values, unit = given.astype(np.float64) * (length or 1), "s" if length else units
    else:
        raise InputError(f"the times {own.name} have the type {own.dtype}; dates or numbers are needed")
    return Moments(values, unit)


def missing_times(own: xr.DataArray) -> np.ndarray:
    """Which values of a coordinate of time are none: dates that are missing, and numbers that are not finite."""
    return ~np.isfinite(own.values) if own.dtype.kind == "f" else own.isnull().to_numpy()


def step_in_words(step: float, unit: str) -> str:
    """A step of ``Moments``: seconds in the largest unit of which it is at least one, such as ``7 h``."""
    names = {86400: "d", 3600: "h", 60: "min"} if unit == "s" else {}
    length, name = next(((size, name) for size, name in names.items() if step >= size), (1, unit))
    return f"{step / length:g} {name}".strip()


def _seconds(values: np.ndarray) -> np.ndarray:
    """Dates or spans in seconds, to the nanosecond where that is what they have."""
    kind = "datetime64" if values.dtype.kind == "M" else "timedelta64"
    whole = values.astype(f"{kind}[s]")
    rest = (values - whole).astype("timedelta64[ns]").astype(np.int64) / 1e9
    return np.asarray(whole.astype(np.int64) + rest)


def _since_epoch(date: Any) -> float:
    """Of a date of another calendar (cftime), or of Python's."""
    epoch = date.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return (date - epoch).total_seconds()


def text_of(value: object) -> str:
    """The same for equal values of any type: dates and spans in nanoseconds, numbers to the digits of their type."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        kind = "datetime64" if isinstance(value, np.datetime64) else "timedelta64"
        seconds = value.astype(f"{kind}[s]")
        return str(int(seconds.astype(np.int64)) * 10**9 + int((value - seconds).astype("timedelta64[ns]").astype(int)))
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        single = isinstance(value, np.floating) and value.dtype.itemsize <= 4
        return f"{float(value):.{7 if single else 15}g}"
    return str(value)
