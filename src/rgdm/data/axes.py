"""Which axes of a named array are the lattice, the grid that they make, and how coordinates are refined."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import xarray as xr

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundary
from rgdm.scale.grid import Grid

PERIODIC = "periodic"
"""The attribute by which a file says that its field is a torus."""
BOUNDARY = "boundary"
"""The attribute by which a file states boundaries, separated by commas: one for all lattice axes, or one for each."""
_NEVER_LATTICE = ("channel", "sample", "member")


def lattice_axes(dims: Sequence[Hashable], dimension: int) -> tuple[list[Hashable], list[Hashable]]:
    """Split dims into (batch, lattice): the last ``dimension`` that are not channel, sample, member or time.

    ``time`` counts as a lattice axis only where there would be too few without it.
    """
    space = [name for name in dims if name not in (*_NEVER_LATTICE, "time")]
    if len(space) < dimension:
        space = [name for name in dims if name not in _NEVER_LATTICE]
    if len(space) < dimension:
        raise InputError(f"the dims {tuple(dims)} hold {len(space)} lattice axes; the model needs {dimension}")
    lattice = space[len(space) - dimension :]
    return [name for name in dims if name not in lattice and name != "channel"], lattice


def refine_coordinates(
    field: xr.DataArray, lattice: Sequence[Hashable], factors: Sequence[int], places: Sequence[float] | None = None
) -> dict[Hashable, tuple[tuple[Hashable, ...], np.ndarray, dict]]:
    """The coordinates of ``field`` when each site becomes so many along each axis of ``lattice``.

    Coordinates without a lattice axis stay. Numbers along one lattice axis are refined;
    what has no refinement (dates, names, coordinates that need two axes) is left out.
    A site is the middle of those it becomes, unless its place among them is given for each axis (0 is the first).
    """
    refined = {}
    changes = {axis: (factors[i], None if places is None else places[i]) for i, axis in enumerate(lattice)}
    for name, coordinate in field.coords.items():
        values = coordinate.values
        if any(changes.get(axis, (1, None))[0] > 1 for axis in coordinate.dims):
            if coordinate.ndim != 1 or values.dtype.kind not in "fiu" or len(values) < 2:
                continue
            values = refine_axis(values, *changes[coordinate.dims[0]])
        refined[name] = (coordinate.dims, values, dict(coordinate.attrs))
    return refined


def refine_centres(centres: np.ndarray, factor: int) -> np.ndarray:
    """Centres of cells cut into ``factor`` equal parts; edges lie half-way between coarse centres.

    For regular centres this is ``c + ((j + 1/2) / factor - 1/2) * spacing``.
    """
    c = centres.astype(np.float64)
    middle = (c[1:] + c[:-1]) / 2
    edges = np.concatenate([[2 * c[0] - middle[0]], middle, [2 * c[-1] - middle[-1]]])
    part = (np.arange(factor) + 0.5) / factor
    fine = (edges[:-1, None] + part * np.diff(edges)[:, None]).ravel()
    return fine.astype(centres.dtype) if centres.dtype.kind == "f" else fine


def refine_axis(coordinate: np.ndarray, factor: int, place: float | None = None) -> np.ndarray:
    """Fine coordinates such that coarse site i lies at fine site ``place + factor * i``; the middle if not given.

    Linear between the coarse sites, and beyond them with the slope of the last two.
    """
    if place is None or place == (factor - 1) / 2:
        return refine_centres(coordinate, factor)
    c, n = coordinate.astype(np.float64), len(coordinate)
    at = (np.arange(n * factor) - place) / factor
    left = np.clip(np.floor(at).astype(int), 0, n - 2)
    fine = c[left] + (at - left) * (c[left + 1] - c[left])
    return fine.astype(coordinate.dtype) if coordinate.dtype.kind == "f" else fine


def grid_of(field: xr.DataArray, boundary: Sequence[Boundary] = (), factor: int | Sequence[int] = 2) -> Grid:
    """The grid of a field ``(sample, channel, *lattice)``.

    Args:
        field: whose lattice axes are named; an axis called ``time`` is time.
        boundary: one for all axes, or one for each; empty: as the attribute ``boundary`` of the field says, else its
            attribute ``periodic``, else reflecting.
        factor: of the coarse-graining, one for all axes or one for each; 1: an axis is left alone.
    """
    names = [str(name) for name in field.dims[2:]]
    grid = Grid.uniform(len(names), list(boundary) or _stated(field, len(names)), factor, names)
    return Grid(tuple(replace(axis, kind="time") if axis.name == "time" else axis for axis in grid.axes))


def _stated(field: xr.DataArray, dimension: int) -> list[str]:
    """The boundaries that the attributes of a field state, one for all axes or one for each."""
    if BOUNDARY not in field.attrs:
        return ["periodic" if str(field.attrs.get(PERIODIC)) in ("True", "1") else "reflect"]
    sides = [side.strip() for side in str(field.attrs[BOUNDARY]).split(",")]
    if len(sides) not in (1, dimension) or not set(sides) <= set(get_args(Boundary)):
        raise InputError(
            f"the field has the attribute boundary = {field.attrs[BOUNDARY]!r}, which is not one of "
            f"{' or '.join(get_args(Boundary))} for all {dimension} lattice axes or for each; pass --boundary"
        )
    return sides


def with_boundary(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """A field that states the boundaries of a grid, so that :func:`grid_of` reads them again."""
    attrs = {name: value for name, value in field.attrs.items() if name != PERIODIC}
    field = field.copy(deep=False)
    field.attrs = {**attrs, BOUNDARY: ",".join(grid.boundaries)}
    return field
