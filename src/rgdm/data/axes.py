"""Which axes of a named array are the lattice, and the grid that they make."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import xarray as xr

from rgdm.data.conventions import Role, angle_of, role_of
from rgdm.design import Factor
from rgdm.errors import InputError
from rgdm.notes import option, say
from rgdm.scale.boundary import Boundary
from rgdm.scale.grid import Grid

PERIODIC = "periodic"
"""The attribute by which a file says that its field is a torus."""
BOUNDARY = "boundary"
"""The attribute by which a file states boundaries, separated by commas: one for all lattice axes, or one for each."""
_GRID_TYPES = ("grid_type", "CDI_grid_type", "gridType", "grid_mapping_name", "GRIB_gridType")
_WITHOUT_ORDER = ("healpix", "unstructured")
_PLACES = ("station", "stations", "site", "sites", "location", "point", "points", "obs", "observation", "node", "nodes")
REGRID = "regrid it to a lattice (cdo remapcon, xESMF, scipy.interpolate.griddata)"
"""What helps where neighbours in the file are no neighbours in space."""


def lattice_axes(
    array: xr.DataArray, dimension: int, chosen: Sequence[Hashable] = (), order: Sequence[Hashable] = ()
) -> tuple[list[Hashable], list[Hashable]]:
    """Split the dims of an array into (batch, lattice).

    Horizontal axes first (by the CF attributes ``axis``, ``standard_name`` and ``units`` of their coordinates, else by
    usual names), then the last of those of which nothing is known, then vertical ones and time; an axis called
    channel, sample, member, number, realization or ensemble never. Axes of a field ``(sample, channel, *lattice)``,
    as files are read, are known.

    Args:
        array: with names, coordinates and attributes.
        dimension: how many lattice axes there are.
        chosen: the names of the lattice axes, in order; empty: as above.
        order: names in the order wanted, such as those of a model, where the array has them, or axes of the same roles.
    """
    dims, roles = list(array.dims), axis_roles(array)
    free = [name for name in dims if roles[name] != "batch"]
    if chosen:
        _check_chosen(array, dimension, chosen)
        lattice = list(chosen)
    elif dims[:2] == ["sample", "channel"] and len(dims) == 2 + dimension:
        lattice = _ordered(dims[2:], roles, order)
    elif len(free) < dimension:
        _check_order_of_cells(array, free, roles, False)
        raise InputError(f"the dims {tuple(dims)} hold {len(free)} lattice axes; the model needs {dimension}")
    elif order and len(order) == dimension and set(order) <= set(dims):
        lattice = list(order)
    else:
        lattice = _ordered(_preferred(free, roles, dimension), roles, order)
    _check_order_of_cells(array, lattice, roles, bool(chosen))
    return [name for name in dims if name not in lattice and name != "channel"], lattice


def note_axes(array: xr.DataArray, lattice: Sequence[Hashable]) -> None:
    """Say on stderr which axes are the lattice, where they are not the last."""
    axes = [name for name in array.dims if name != "channel"]
    if set(lattice) != set(axes[len(axes) - len(lattice) :]):
        taken = ", ".join(str(name) for name in lattice)
        rest = ", ".join(str(name) for name in axes if name not in lattice)
        say([f"the lattice axes are {taken}; {rest} are samples ({option('--axes', 'axes=')} names others)"])


def axis_roles(array: xr.DataArray) -> dict[Hashable, Role]:
    """The role of each axis of an array."""
    roles: dict[Hashable, Role] = {name: role_of(name, array.coords.get(name)) for name in array.dims}
    for name, coordinate in array.coords.items():  # the axes of two-dimensional latitudes are horizontal
        if coordinate.ndim > 1 and angle_of(name, coordinate.attrs)[0]:
            first, second = coordinate.dims[-2:]
            roles[first], roles[second] = roles[first] or "y", roles[second] or "x"
    return roles


def _preferred(free: list[Hashable], roles: dict[Hashable, Role], dimension: int) -> list[Hashable]:
    """The likeliest lattice axes, in the order of the array."""
    plane = {roles[name] for name in free} >= {"x", "y"}  # one of the two alone tells little of the others
    rank = {"x": 0 if plane else 1, "y": 0 if plane else 1, "": 1, "cells": 1, "z": 2, "t": 3}
    ranks = {name: 1 if name == "z" and not plane else rank[roles[name]] for name in free}
    best = sorted(free, key=lambda name: (ranks[name], -free.index(name)))[:dimension]
    return [name for name in free if name in best]


def _ordered(lattice: list[Hashable], roles: dict[Hashable, Role], order: Sequence[Hashable]) -> list[Hashable]:
    """Lattice axes in the order of others that have the same names or, each once, the same roles."""
    if set(order) == set(lattice):
        return list(order)
    by_role = {roles[name]: name for name in lattice}
    wanted = [role_of(name) for name in order]
    if len(by_role) == len(lattice) and "" not in by_role and sorted(wanted) == sorted(by_role):
        return [by_role[role] for role in wanted]
    return lattice


def _check_chosen(array: xr.DataArray, dimension: int, chosen: Sequence[Hashable]) -> None:
    named, held = ",".join(str(name) for name in chosen), ", ".join(str(name) for name in array.dims)
    asked = option(f"--axes {named}")
    if len(set(chosen)) != dimension or len(chosen) != dimension:
        wanted = f"the lattice has {dimension} ({option('--dimension', 'dimension=')})"
        raise InputError(f"{asked} names {len(set(chosen))} axes; {wanted}")
    if not set(chosen) <= set(array.dims):
        raise InputError(f"{asked}: the variable {array.name} has the axes {held}")
    if "channel" in chosen:
        raise InputError(f"{asked}: the axis channel holds variables and cannot be a lattice axis")


def _check_order_of_cells(
    array: xr.DataArray, lattice: list[Hashable], roles: dict[Hashable, Role], chosen: bool
) -> None:
    """Raise ``InputError`` if neighbours in the file are no neighbours in space, as on HEALPix and meshes."""
    kinds = [str(v.attrs.get(key, "")).lower() for v in (array, *array.coords.values()) for key in _GRID_TYPES]
    kind = next((kind for kind in kinds if kind.startswith(_WITHOUT_ORDER)), "")
    kind = kind or ("unstructured" if {"mesh", "location"} <= set(array.attrs) else "")
    cells = [name for name in lattice if roles[name] == "cells"]
    scattered = [name for name in array.dims if name in lattice and _is_scattered(array, name)]
    if kind or ((cells or scattered) and not chosen):
        what = f"is on a grid of type {kind}" if kind else f"has one axis of cells, {cells[0]}" if cells else ""
        what = what or f"is of scattered places along {scattered[0]}"
        raise InputError(f"the variable {array.name} {what}; {REGRID}, where each axis has neighbours")


def _is_scattered(array: xr.DataArray, axis: Hashable) -> bool:
    """Whether an axis numbers places in the plane, such as stations, that are no neighbours of each other."""
    along = {
        angle: c.values.astype(np.float64)
        for name, c in array.coords.items()
        if c.dims == (axis,) and c.dtype.kind in "fiu" and (angle := angle_of(name, c.attrs)[0])
    }
    time = axis_roles(array)[axis] == "t"
    if len(along) < 2 or time or array.sizes[axis] < 4:
        return False
    steps = np.stack([np.diff(values) for values in along.values()])
    ahead = (steps[:, 1:] * steps[:, :-1]).sum(0)  # of a section each step goes on as the one before
    return str(axis).lower() in _PLACES or bool((ahead <= 0).mean() > 0.25)


def grid_of(field: xr.DataArray, boundary: Sequence[Boundary] = (), factor: int | Sequence[Factor] = 2) -> Grid:
    """The grid of a field ``(sample, channel, *lattice)``.

    Args:
        field: whose lattice axes are named; time is known by its coordinate or name.
        boundary: one for all axes, or one for each; empty: as the attribute ``boundary`` of the field says, else its
            attribute ``periodic``, else reflecting.
        factor: of the coarse-graining, one for all axes or one for each; 1: an axis is left alone. Each may be one for
            every level, as of :class:`~rgdm.scale.grid.Axis`.
    """
    names = [str(name) for name in field.dims[2:]]
    grid = Grid.uniform(len(names), list(boundary) or _stated(field, len(names)), factor, names)
    roles = {str(name): role for name, role in axis_roles(field).items()}
    return Grid(tuple(replace(axis, kind="time") if roles[axis.name] == "t" else axis for axis in grid.axes))


def _stated(field: xr.DataArray, dimension: int) -> list[str]:
    """The boundaries that the attributes of a field state, one for all axes or one for each."""
    if BOUNDARY not in field.attrs:
        return ["periodic" if str(field.attrs.get(PERIODIC)) in ("True", "1") else "reflect"]
    sides = [side.strip() for side in str(field.attrs[BOUNDARY]).split(",")]
    if len(sides) not in (1, dimension) or not set(sides) <= set(get_args(Boundary)):
        raise InputError(
            f"the field has the attribute boundary = {field.attrs[BOUNDARY]!r}, which is not one of "
            f"{' or '.join(get_args(Boundary))} for all {dimension} lattice axes or for each; pass "
            f"{option('--boundary', 'boundary=')}"
        )
    return sides


def note_globe(field: xr.DataArray, grid: Grid) -> None:
    """Say on stderr where boundaries contradict coordinates: longitudes of a whole circle with edges, others without.

    Args:
        field: ``(sample, channel, *lattice)``.
        grid: its grid, as it is going to be taken.
    """
    right = []
    for name, side in zip(field.dims[2:], grid.boundaries, strict=True):
        coordinate = field.coords.get(name)
        angle, circle = ("", 0.0) if coordinate is None else angle_of(name, coordinate.attrs)
        if not angle or coordinate is None or coordinate.size < 3 or coordinate.dtype.kind not in "fiu":
            right.append((name, side, side))
            continue
        values = coordinate.values.astype(np.float64)
        step = abs(np.median(np.diff(values)))
        closes = angle == "longitude" and abs(step * len(values) - circle) < step / 2
        right.append((name, side, "periodic" if closes else "reflect"))
    if any(side != other for _, side, other in right):
        wrong = " and ".join(f"{name} is taken as {side}" for name, side, other in right if side != other)
        sides = [other for _, _, other in right]
        remedy = option(f"--boundary {' '.join(sides)}", f"boundary={sides}")
        why = "longitudes of a whole circle close on themselves, others and latitudes end"
        say([f"{wrong}, but {why}: {remedy}"])


def with_boundary(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """A field that states the boundaries of a grid, so that :func:`grid_of` reads them again."""
    attrs = {name: value for name, value in field.attrs.items() if name != PERIODIC}
    field = field.copy(deep=False)
    field.attrs = {**attrs, BOUNDARY: ",".join(grid.boundaries)}
    return field
