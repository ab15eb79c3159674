"""Times of two data sets: sorted, of one step, in groups of the year, in whatever calendar each has."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from rgdm.bias.cells import samples_of
from rgdm.data.conventions import role_of
from rgdm.errors import InputError
from rgdm.notes import option

Group = Literal["month", "season", "none"]

FIRST, SECOND = "January February March April May June", "July August September October November December"
MONTHS = tuple(f"{FIRST} {SECOND}".split())
SEASONS = ("December to February", "March to May", "June to August", "September to November")
_REAL = {"standard", "gregorian", "proleptic_gregorian"}
"""Calendars that agree since 1582."""
_STEP = 1.5
"""By what factor steps of time may differ: months are 28 to 31 days long."""


@dataclass(frozen=True)
class Times:
    """The times of one data set along one of its axes.

    Args:
        what: how sentences call the data set.
        axis: along which they lie; None without an axis of time.
        values: dates (``datetime64`` or of cftime) or numbers, sorted; None without any.
        months: from 1 to 12; None if the times are no dates.
        calendar: of the dates.
    """

    what: str
    axis: Hashable | None = None
    values: np.ndarray | None = None
    months: np.ndarray | None = None
    calendar: str | None = None

    @property
    def step(self) -> float | None:
        """The median step in days."""
        if self.months is None or self.values is None or len(self.values) < 2:
            return None
        return float(np.median([step / np.timedelta64(1, "s") for step in _steps(self.values)]) / 86400)

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the last year."""
        if self.months is None or self.values is None:
            return None
        ends = xr.DataArray(self.values[[0, -1]], dims="t").dt.year.values
        return int(ends[0]), int(ends[1])

    def groups(self, group: Group, count: int) -> np.ndarray:
        """The number of the group of each of ``count`` times."""
        if group == "none":
            return np.zeros(count, int)
        if self.months is None:
            raise InputError(
                f"the times of {self.what} are no dates, so that nobody knows the {group}s; give dates, or "
                f"{option('--group none')}"
            )
        return self.months - 1 if group == "month" else self.months % 12 // 3


def group_names(group: Group) -> tuple[str, ...]:
    """How sentences call the groups."""
    return {"month": MONTHS, "season": SEASONS, "none": ("all times",)}[group]


def times_of(array: xr.DataArray, what: str) -> Times:
    """The times of an array, by the coordinate that holds dates, else by the axis of time.

    Raises:
        InputError: if times are not sorted, or one is there twice; or if their calendar needs a package.
    """
    samples = samples_of(array)
    along = [name for name in samples if role_of(name, array.coords.get(name)) == "t"]
    lines = [c for c in array.coords.values() if c.ndim == 1 and c.dims[0] in samples]
    own = [c for c in lines if _are_dates(c) or c.dims[0] in along]
    own.sort(key=lambda c: (not _are_dates(c), c.name != c.dims[0]))  # dates first, of these the axis itself
    if not own:
        return Times(what, along[0] if along else None)
    times = own[0]
    units = str(times.attrs.get("units", ""))
    if not _are_dates(times) and " since " in units and times.dtype.kind in "fiu":
        _check_calendar(times, what)
    _check_sorted(times, what)
    if not _are_dates(times):
        return Times(what, times.dims[0], times.values)
    return Times(what, times.dims[0], times.values, times.dt.month.values.astype(int), times.dt.calendar)


def compare_times(own: Times, observed: Times, force: bool) -> list[str]:
    """A sentence on each difference of two calendars or steps.

    Raises:
        InputError: if their steps differ, for means over other times have another distribution; not with ``force``.
    """
    notes = []
    both = {own.calendar, observed.calendar}
    if len(both) == 2 and None not in both and not both <= _REAL:
        calendars = f"{own.what} has the calendar {own.calendar}, {observed.what} {observed.calendar}"
        notes.append(f"{calendars}: months are taken by number")
    if own.step and observed.step and not 1 / _STEP < own.step / observed.step < _STEP:
        differs = f"{own.what} has a value every {_days(own.step)}, {observed.what} every {_days(observed.step)}"
        if not force:
            raise InputError(
                f"{differs}: average the finer one over the times of the other (xarray: resample), or go on as it is "
                f"with {option('--force')}"
            )
        notes.append(f"{differs}; taken as it is")
    return notes


def compare_periods(own: Times, observed: Times) -> list[str]:
    """A sentence if a model's reference period is another than the observed one."""
    a, b = own.span, observed.span
    if a is None or b is None or max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1:
        return []
    periods = f"{own.what} is of {_years(a)}, {observed.what} of {_years(b)}"
    return [f"{periods}: what the climate changed between counts as bias too"]


def compare_length(given: Times, reference: Times) -> list[str]:
    """A sentence if times to be corrected by their ranks are far longer than those of reference."""
    a, b = given.span, reference.span
    if a is None or b is None or a[1] - a[0] + 1 <= 2 * (b[1] - b[0] + 1):
        return []
    return [
        f"{given.what} is of {_years(a)}, {reference.what} of {_years(b)}: ranks are taken over all of these years, "
        "and their trend counts as spread; better give pieces as long as the reference, one at a time"
    ]


def _are_dates(coordinate: xr.DataArray) -> bool:
    if coordinate.dtype.kind == "M":
        return True
    return coordinate.dtype.kind == "O" and coordinate.size > 0 and hasattr(coordinate.values.flat[0], "calendar")


def _check_calendar(times: xr.DataArray, what: str) -> None:
    """Raise ``InputError`` if dates are numbers because the package that knows their calendar is not there."""
    try:
        import cftime  # noqa: F401
    except ImportError:
        calendar = times.attrs.get("calendar", "standard")
        raise InputError(
            f"the dates of {what} are in the calendar {calendar}, which needs the package cftime; install it with "
            "`pip install 'rgdm[debias]'`"
        ) from None


def _check_sorted(times: xr.DataArray, what: str) -> None:
    values = times.values
    if times.dtype.kind == "M" and np.isnat(values).any():
        raise InputError(
            f"{what} has {int(np.isnat(values).sum())} {times.name}s that are missing; leave these times out"
        )
    if times.dtype.kind not in "MOfiu" or len(values) < 2:
        return
    wrong = np.flatnonzero(~(values[1:] > values[:-1]))
    if len(wrong):
        before, after = (_date(values[wrong[0] + i]) for i in range(2))
        if before == after:
            raise InputError(f"{what} has the {times.name} {after} twice; give each once (xarray: drop_duplicates)")
        raise InputError(f"{what} has the {times.name} {after} after {before}; sort it (xarray: sortby)")


def _steps(values: np.ndarray) -> list[np.timedelta64]:
    return [np.timedelta64(step) for step in np.diff(values)]


def _date(value: object) -> str:
    text = str(value.astype("datetime64[s]")) if isinstance(value, np.datetime64) else str(value)
    return text.removesuffix("T00:00:00").removesuffix(" 00:00:00")


def _days(step: float) -> str:
    if abs(step - 1) < 0.05:
        return "day"
    return f"{step:.3g} days" if step > 1 else f"{24 * step:.3g} hours"


def _years(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"
