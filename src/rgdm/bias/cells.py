"""Axes of a data set as samples and cells, and the cells of one looked up among those of another."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from rgdm.data.axes import axis_roles
from rgdm.data.conventions import angle_of, role_of
from rgdm.errors import InputError

_NEAR = 1e-3
"""Of the spacing: how far apart two positions of the same cell may be."""


def samples_of(array: xr.DataArray) -> list[Hashable]:
    """The axes whose entries share a mapping: time, member and the like; all others are cells, each with its own.

    Without any such axis, those are samples of which nothing is known beside latitude and longitude.
    """
    roles = {name: role for name, role in axis_roles(array).items() if name != "channel"}
    held = set(roles.values())
    shared = ("",) if {"x", "y"} <= held and not {"t", "batch"} & held else ("t", "batch")
    return [name for name, role in roles.items() if role in shared]


def cells_of(array: xr.DataArray) -> list[Hashable]:
    """The axes of cells: latitude, longitude, level, and what nothing is known of."""
    samples = samples_of(array)
    return [name for name in array.dims if name not in samples]


def like_cells(array: xr.DataArray, wanted: xr.DataArray, what: str, whose: str) -> tuple[xr.DataArray, list[str]]:
    """An array with the cells of another, in its order and under its names of axes; and notes of what was done.

    Axes are matched by name, else by role. A cell is found by its coordinates, longitudes counted from anywhere; an
    axis without coordinates has to be as long.

    Raises:
        InputError: if a cell is not there, which says which axis differs and how.
    """
    array = _same_axes(array, wanted, what, whose)
    notes: list[str] = []
    for name in cells_of(wanted):
        if name in array.coords and name in wanted.coords and _is_place(array[name]) and _is_place(wanted[name]):
            places = _places(array[name], wanted[name], what, whose)
        else:
            _check_length(array, wanted, name, what, whose)
            places = np.arange(wanted.sizes[name])
        if len(places) != array.sizes[name] or (np.diff(places) != 1).any():
            notes.append(f"{what} has other {name} than {whose}, or in another order: cells are taken by their place")
        array = array.isel({name: places})
    _compare_planes(array, wanted, what, whose)
    return array.transpose(*samples_of(array), *cells_of(wanted)), notes


def _same_axes(array: xr.DataArray, wanted: xr.DataArray, what: str, whose: str) -> xr.DataArray:
    """With the names of the axes of cells of another; axes of one entry come and go."""
    own, other = cells_of(array), cells_of(wanted)
    roles = {role_of(name, array.coords.get(name)): name for name in own if name not in other}
    for name in (name for name in other if name not in own):
        role = role_of(name, wanted.coords.get(name))
        if role and role in roles and roles[role] not in other:
            array = array.drop_vars([name], errors="ignore").rename({roles.pop(role): name})
    extra = [name for name in cells_of(array) if name not in other]
    array = array.squeeze([name for name in extra if array.sizes[name] == 1], drop=True)
    lacking = {name: 1 for name in other if name not in array.dims and wanted.sizes[name] == 1}
    array = array.drop_vars([name for name in lacking if name in array.coords]).expand_dims(lacking)
    if set(cells_of(array)) != set(other):
        raise InputError(
            f"{what} lies on {_sizes(array, own)}, {whose} on {_sizes(wanted, other)}; bring both onto the same cells"
        )
    return array


def _sizes(array: xr.DataArray, names: list[Hashable]) -> str:
    return " x ".join(f"{name} ({array.sizes[name]})" for name in names if name in array.sizes) or "one cell"


def _is_place(coordinate: xr.DataArray) -> bool:
    return coordinate.ndim == 1 and coordinate.dtype.kind in "fiu"


def _check_length(array: xr.DataArray, wanted: xr.DataArray, name: Hashable, what: str, whose: str) -> None:
    if array.sizes[name] != wanted.sizes[name]:
        raise InputError(
            f"{what} has {array.sizes[name]} cells along {name}, {whose} {wanted.sizes[name]}; bring both onto the "
            "same cells, the finer one by block means (xarray: coarsen)"
        )
    for each, of in ((array, what), (wanted, whose)):
        labels = each.coords.get(name)
        if (
            labels is not None
            and labels.dtype.kind not in "fiu"
            and not np.array_equal(labels, wanted.get(name, labels))
        ):
            raise InputError(f"{of} has other {name} than {whose}; give the same, in the same order")


def _places(own: xr.DataArray, wanted: xr.DataArray, what: str, whose: str) -> np.ndarray:
    """Which entry of an axis lies at each position that is wanted."""
    a, b = own.values.astype(np.float64), wanted.values.astype(np.float64)
    angle, circle = angle_of(wanted.name, wanted.attrs)
    step, wanted_step = _step(a, angle, circle), _step(b, angle, circle)
    near = _NEAR * (step or wanted_step or 1.0)
    differs = (
        f"{what} and {whose} do not lie on the same cells: along {own.name} {_range(a, step)}, {_range(b, wanted_step)}"
    )
    remedy = "bring both onto one grid, the finer one by block means (xarray: coarsen), else by conservative regridding"
    if step and wanted_step and abs(step - wanted_step) > 10 * near:
        raise InputError(f"{differs}; {remedy}")
    places = np.empty(len(b), int)
    for i, place in enumerate(b):
        off = a - place
        if angle == "longitude":
            off -= circle * np.round(off / circle)
        places[i] = np.argmin(np.abs(off))
        if not abs(off[places[i]]) <= near:
            raise InputError(f"{differs}; {remedy}")
    return places


def _step(places: np.ndarray, angle: str, circle: float) -> float:
    """The median distance of neighbours; 0 of a single one."""
    steps = np.diff(places)
    if angle == "longitude":
        steps -= circle * np.round(steps / circle)
    return float(np.median(np.abs(steps))) if len(steps) else 0.0


def _range(places: np.ndarray, step: float) -> str:
    by = f" by {step:.6g}" if step else ""
    return f"{len(places)} from {places[0]:.6g} to {places[-1]:.6g}{by}"


def _compare_planes(array: xr.DataArray, wanted: xr.DataArray, what: str, whose: str) -> None:
    """Refuse two-dimensional latitudes or longitudes that differ by more than rounding."""
    for name, coordinate in wanted.coords.items():
        angle, circle = angle_of(name, coordinate.attrs)
        other = array.coords.get(name)
        if coordinate.ndim != 2 or not angle or other is None or set(other.dims) != set(coordinate.dims):
            continue
        off = other.transpose(*coordinate.dims).values - coordinate.values
        if angle == "longitude":
            off = off - circle * np.round(off / circle)
        steps = [np.abs(np.diff(coordinate.values, axis=axis)) for axis in (0, 1) if coordinate.shape[axis] > 1]
        step = min((float(np.median(each[each > 0])) for each in steps if (each > 0).any()), default=1.0)
        if not np.nanmax(np.abs(off)) <= 0.01 * step:
            raise InputError(
                f"{what} and {whose} do not lie on the same cells: their {name} differ by up to "
                f"{np.nanmax(np.abs(off)):.3g}; bring both onto one grid by conservative regridding"
            )
