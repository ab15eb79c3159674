"""The time of the year and of the day at every site, from the dates and the longitudes that fields have."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.data.axes import lattice_axes
from rgdm.data.conventions import angle_of
from rgdm.data.coordinates import refine_coordinates
from rgdm.data.moments import is_date, time_of
from rgdm.design import Cycle
from rgdm.errors import InputError

CYCLES: tuple[Cycle, ...] = get_args(Cycle)
"""What a clock may tell, in this order."""
_MIDNIGHT = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}


def clock_of(
    field: Any,
    count: int,
    cycles: Sequence[Cycle],
    axes: Sequence[str],
    lattice: Sequence[int],
    factors: Sequence[int] = (),
    times: Any = None,
) -> Float[Tensor, "B T *F"]:
    """Cosine and sine of the angle of each cycle: 0 at the beginning of the year, and at midnight of each site.

    The angle of the year is the part of the year that is over, by the calendar of the dates, so that years of 360, 365
    and 366 days are one turn. That of the day is local mean solar time: UTC, which dates are taken for, and a turn for
    360 degrees of longitude to the east.

    Args:
        field: an xarray object with dates, and for the day longitudes, which refined are those of the lattice.
        count: how many fields it holds.
        cycles: of ``CYCLES``, in their order.
        axes: the names of the lattice axes, or of a model's, which are found by their roles.
        lattice: sites along them.
        factors: by how many parts each cell is cut along each axis, to have the sites of the lattice.
        times: dates, one for each field, instead of those that it has.

    Returns:
        Float32; what is the same along an axis is held once.

    Raises:
        InputError: without dates or longitudes.
    """
    dates, turns = _dates(field, count, axes, times), []
    flat = (count, *[1] * len(lattice))
    for cycle in cycles:
        turn = _of_year(dates) if cycle == "year" else _of_day(dates)
        turn = turn.reshape(flat)
        turns.append(turn if cycle == "year" else turn + longitudes_of(field, axes, factors))
    angles = 2 * np.pi * np.stack(np.broadcast_arrays(*turns), 1)
    both = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], 2)).float().flatten(1, 2)
    return both.expand(count, 2 * len(cycles), *lattice)


def longitudes_of(field: Any, axes: Sequence[str], factors: Sequence[int] = ()) -> Float[np.ndarray, "*F"]:
    """Longitudes as parts of a turn, from 0 to 1, of one site along axes on which they do not depend.

    ``InputError`` if the field has none, on its axes or on both of them; those of a rotated pole are no longitudes.
    """
    lattice: list[Any] = []
    found: list[xr.DataArray] = []
    if isinstance(field, xr.DataArray | xr.Dataset):
        array = _first(field)
        lattice = lattice_axes(array, len(axes), order=axes)[1]
        found = [own for name, own in array.coords.items() if _is_longitude(name, own) and set(own.dims) <= {*lattice}]
    if not found:
        raise InputError(
            "the hour of the day at a site needs its longitude, and nothing is known of longitudes here; give an "
            "xarray object or a file with a coordinate of longitudes, or a model without the clock of the day"
        )
    own = max(found, key=lambda each: each.ndim)
    steps = {name: (b, None) for name, b in zip(lattice, factors, strict=bool(factors)) if b > 1 and name in own.dims}
    if steps:
        held = {name: field.coords[name].variable for name in _known_with(own, field)}
        refined = refine_coordinates(xr.Dataset(coords=held), steps)
        if own.name not in refined:
            raise InputError(
                f"one {own.name} is given, and how wide its cell is not known; give its bounds, or more than one cell"
            )
        own = refined[own.name]
    values, (_, circle) = own.transpose(*(n for n in lattice if n in own.dims)).values, angle_of(own.name, own.attrs)
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of {values.size} longitudes are missing")
    shape = [own.sizes[name] if name in own.dims else 1 for name in lattice]
    return (values.astype(np.float64).reshape(shape) % circle) / circle


def _is_longitude(name: Any, own: xr.DataArray) -> bool:
    rotated = own.attrs.get("standard_name") == "grid_longitude" or str(name).lower() == "rlon"
    return own.dtype.kind in "fiu" and not rotated and angle_of(name, own.attrs)[0] == "longitude"


def _known_with(own: xr.DataArray, field: xr.DataArray | xr.Dataset) -> list[Any]:
    """A coordinate, its bounds, and latitudes on the same axes, which tell how cells about a pole are cut."""
    bounds = own.attrs.get("bounds", own.encoding.get("bounds"))
    beside = [name for name, c in field.coords.items() if own.ndim > 1 and set(c.dims) == set(own.dims)]
    return list(dict.fromkeys([own.name, *([bounds] if bounds in field.coords else []), *beside]))


def _first(field: xr.DataArray | xr.Dataset) -> xr.DataArray:
    return field if isinstance(field, xr.DataArray) else field[next(iter(field.data_vars))]


def _dates(field: Any, count: int, axes: Sequence[str], times: Any) -> np.ndarray:
    """The date of each field."""
    if times is not None:
        own = times if isinstance(times, xr.DataArray) else xr.DataArray(np.atleast_1d(times), dims="time", name="time")
        values = own.values.ravel()
        if len(values) != count:
            raise InputError(f"{len(values)} times for {count} fields; one for each is needed")
    else:
        array = _first(field) if isinstance(field, xr.DataArray | xr.Dataset) else None
        batch = [] if array is None else lattice_axes(array, len(axes), order=axes)[0]
        names = () if array is None else time_of(array, batch)
        if array is None or not names:
            raise InputError(
                "the clock of this model needs the dates of the fields, and they have none along their samples; give "
                "an xarray object or a file with a dimension of time, or an array with its times"
            )
        own = array.coords[names[0]]
        sizes = {axis: array.sizes[axis] for axis in batch}
        values = own.variable.set_dims(sizes).transpose(*batch).values.reshape(-1)
    units = str(own.attrs.get("units", ""))
    if own.dtype.kind in "iuf" and " since " in units:
        values = xr.decode_cf(xr.Dataset(coords={"time": ("time", values, own.attrs)}))["time"].values
    elif not is_date(own):
        raise InputError(
            f"the times {own.name} are of the type {own.dtype}; a clock needs dates, or numbers with a unit such as "
            "'days since 2000-01-01'"
        )
    missing = np.isnat(values) if values.dtype.kind == "M" else np.array([not hasattr(x, "year") for x in values])
    if missing.any():
        raise InputError(f"{int(missing.sum())} of {values.size} times {own.name} are missing")
    return values


def _of_day(dates: np.ndarray) -> Float[np.ndarray, " N"]:
    """The part of the day that is over in UTC."""
    return _days(dates)[1]


def _of_year(dates: np.ndarray) -> Float[np.ndarray, " N"]:
    """The part of the year that is over."""
    days, part, length = _days(dates)
    return (days + part) / length


def _days(dates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days of the year that are over, the part of the day that is, and the days of the year."""
    if dates.dtype.kind == "M":
        day, year = dates.astype("datetime64[D]"), dates.astype("datetime64[Y]")
        first, one = year.astype("datetime64[D]"), np.timedelta64(1, "D")
        part = (dates - day) / np.timedelta64(1, "s") / 86400
        return (day - first) / one, part, ((year + 1).astype("datetime64[D]") - first) / one
    found = []
    for date in dates:  # of cftime, whatever the calendar
        seconds = 3600 * date.hour + 60 * date.minute + date.second + date.microsecond / 1e6
        first = date.replace(month=1, day=1, **_MIDNIGHT)
        last = first.replace(month=12)
        length = (last - first).days + getattr(last, "daysinmonth", 31)
        found.append(((date.replace(**_MIDNIGHT) - first).days, seconds / 86400, length))
    days, part, length = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return days, part, length
