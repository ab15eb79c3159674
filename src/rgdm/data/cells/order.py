"""Whether the sites of a lattice are neighbours in the order in which they lie."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.cells.edges import unwrap_angle
from rgdm.data.conventions import angle_of, is_label
from rgdm.errors import InputError
from rgdm.notes import option

REGULAR = 1.25
"""The largest over the smallest step of an axis that has one spacing, as that of a Gaussian grid."""


def check_order(field: xr.DataArray | xr.Dataset, lattice: Sequence[Hashable]) -> None:
    """Raise ``InputError`` unless positions and dates along each lattice axis rise or fall from site to site.

    Axes without a coordinate, or with labels, are taken as they are.
    """
    for axis in lattice:
        if axis not in field.coords:
            continue
        coordinate, numbers = field.coords[axis], numbers_of(field.coords[axis])
        if numbers is None or len(numbers) < 2:
            continue
        missing = int(np.isnan(numbers).sum())
        if missing:
            raise InputError(
                f"{missing} of {len(numbers)} values of the coordinate {axis} are missing; give them, or leave these "
                "sites out"
            )
        steps = np.diff(numbers)
        way = np.sign(np.median(steps)) or 1.0
        if (steps * way <= 0).any():
            _refuse(coordinate, steps * way)
        _check_circle(coordinate, numbers)


def numbers_of(coordinate: xr.DataArray) -> np.ndarray | None:
    """Positions along an axis as they rise and fall, longitudes without jumps, dates in seconds; None of labels."""
    values = coordinate.values
    if coordinate.ndim != 1:
        return None
    if values.dtype.kind == "M":
        seconds = (values - values[0]) / np.timedelta64(1, "s")
        return np.where(np.isnat(values), np.nan, seconds)
    if values.dtype.kind == "O" and values.size and hasattr(values[0], "calendar"):
        return np.array([np.nan if value is None else (value - values[0]).total_seconds() for value in values])
    if values.dtype.kind not in "fiu" or is_label(coordinate):
        return None
    angle, circle = angle_of(str(coordinate.name), coordinate.attrs)
    numbers = values.astype(np.float64)
    return unwrap_angle(numbers, circle) if angle == "longitude" and np.isfinite(numbers).all() else numbers


def uneven(coordinate: xr.DataArray) -> str:
    """Where the steps of an axis differ by more than a regular grid's, in words; empty if they do not."""
    numbers = numbers_of(coordinate)
    if numbers is None or len(numbers) < 3:
        return ""
    sizes = abs(np.diff(numbers))
    if sizes.max() <= REGULAR * sizes.min():
        return ""
    usual = np.median(sizes)
    i = int(np.argmax(abs(sizes / usual - 1)))
    seconds = " s" if coordinate.dtype.kind in "MO" else ""
    between = f"{_word(coordinate.values[i])} and {_word(coordinate.values[i + 1])}"
    return f"a step of {sizes[i]:g}{seconds} between {between}, others of {usual:g}{seconds}"


def calendar_of(coordinate: xr.DataArray) -> str:
    """The calendar of dates; empty of anything else."""
    if coordinate.dtype.kind == "M":
        return "standard"
    first = coordinate.values.flat[0] if coordinate.dtype.kind == "O" and coordinate.size else None
    return (
        str(getattr(first, "calendar", "")).replace("gregorian", "standard").replace("proleptic_standard", "standard")
    )


def check_calendars(fields: Sequence[xr.DataArray], names: Sequence[str], force: bool = False) -> list[str]:
    """Raise ``InputError`` if files count dates by different calendars, which cannot stand beside each other.

    With ``force`` a sentence says that these are left out.
    """
    notes = []
    for key, coordinate in fields[0].coords.items():
        own = calendar_of(coordinate)
        for field, name in zip(fields[1:], names[1:], strict=True):
            other = calendar_of(field.coords[key]) if key in field.coords else ""
            if own and other and own != other:
                differs = f"{name} counts {key} by the calendar {other}; {names[0]} by {own}"
                if not force:
                    remedy = f"leave {key} out by {option('--force')}"
                    raise InputError(f"{differs}: use convert_calendar of xarray, or {remedy}")
                notes.append(f"{differs}; {key} is left out")
    return notes


def _refuse(coordinate: xr.DataArray, steps: np.ndarray) -> None:
    """Say which positions are the same, or out of order."""
    axis, values = coordinate.name, coordinate.values
    if (steps == 0).any():
        i = int(np.argmax(steps == 0))
        raise InputError(
            f"{axis} is {_word(values[i])} twice, at the sites {i} and {i + 1}; leave one of them out "
            f"(drop_duplicates({str(axis)!r}) in xarray)"
        )
    i = int(np.argmax(steps < 0))
    raise InputError(
        f"{axis} is not in order: {_word(values[i])} at site {i} is followed by {_word(values[i + 1])}; sort the field "
        f"(sortby({str(axis)!r}) in xarray)"
    )


def _check_circle(coordinate: xr.DataArray, numbers: np.ndarray) -> None:
    angle, circle = angle_of(str(coordinate.name), coordinate.attrs)
    if angle == "longitude" and abs(numbers[-1] - numbers[0]) > circle * (1 - 1e-6):
        first, last = (_word(coordinate.values[i]) for i in (0, -1))
        raise InputError(
            f"{coordinate.name} goes from {first} to {last}, more than once round the globe; leave the last "
            f"site out (isel({coordinate.name}=slice(-1)) in xarray)"
        )


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, np.integer | np.floating) else str(value).removesuffix(".000000000")
