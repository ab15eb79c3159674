"""Coordinates of a lattice whose every cell is cut into parts: positions, angles, dates, labels, bounds."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.cells.bounds import Steps, edges_of_bounds, owners_of_bounds, refined_bounds
from rgdm.data.cells.edges import middles, parts_of, pole_of, refine_axis, unwrap_angle, wrap_like
from rgdm.data.conventions import (
    CELLS,
    angle_of,
    finer_attributes,
    is_label,
    quantities_of_cells,
    role_of,
)
from rgdm.notes import say


def finer_steps(lattice: Sequence[Hashable], factors: Sequence[int], places: Sequence[float] | None = None) -> Steps:
    """The steps of the axes of a lattice that become finer."""
    steps = {}
    for axis, factor, place in zip(lattice, factors, places or [None] * len(factors), strict=True):
        if factor > 1:
            steps[axis] = (factor, None if place == (factor - 1) / 2 else place)
    return steps


def refine_coordinates(field: xr.DataArray | xr.Dataset, steps: Steps) -> xr.Coordinates:
    """The coordinates of a field when its sites become finer along the axes of ``steps``.

    Coordinates without such an axis stay. Positions are refined in float64, latitudes no farther than the poles,
    longitudes across the date line and Greenwich; dates likewise. Labels (words, classes, flags) are repeated.
    Bounds are cut as their cells are, and where edges do not lie half-way between the sites, positions lie in the
    middle of the parts; bounds that leave gaps or overlap are left out. What cannot be refined, such as the position of
    a single site without bounds or the area of cells, is left out and a note says so.
    """
    owners, quantities = owners_of_bounds(field), quantities_of_cells(field)
    changed = [name for name, coordinate in field.coords.items() if set(coordinate.dims) & set(steps)]
    refined, lost = {}, []
    for name in changed:
        coordinate = field.coords[name]
        if name in owners:
            if (bounds := refined_bounds(field.coords[owners[name]], coordinate, steps)) is not None:
                refined[name] = bounds
            continue
        values = None if name in quantities else _within_bounds(field, coordinate, owners, steps)
        if values is None:
            lost.append(str(name))
            continue
        named = {key: names for key, names in coordinate.encoding.items() if key in CELLS}  # as xarray keeps them
        refined[name] = (coordinate.dims, values, finer_attributes(named | coordinate.attrs, {}))
    if lost:
        say([f"left out, for it has no refinement: the coordinate {', '.join(lost)}"])
    plane = plane_steps(field, steps)
    coords = field.coords.to_dataset().drop_vars(changed)
    for name in coords.variables:
        if "GeoTransform" in coords[name].attrs:
            coords[name].attrs = finer_attributes(coords[name].attrs, plane)
    return coords.assign_coords(refined).coords


def plane_steps(field: xr.DataArray | xr.Dataset, steps: Steps) -> dict[str, tuple[int, float]]:
    """Factor and place of the horizontal axes, for transforms of (column, row); without names the last two."""
    plane: dict[str, tuple[int, float]] = {}
    given = {axis: (factor, (factor - 1) / 2 if place is None else place) for axis, (factor, place) in steps.items()}
    for axis, step in given.items():
        if (role := role_of(axis, field.coords.get(axis))) in ("x", "y"):
            plane[role] = step
    if not plane:
        plane = dict(zip(("x", "y"), reversed(given.values()), strict=False))
    return plane


def _within_bounds(
    field: xr.DataArray | xr.Dataset, coordinate: xr.DataArray, owners: Mapping[Hashable, Hashable], steps: Steps
) -> np.ndarray | None:
    """The values of one coordinate: within the cells that its bounds say, where these do not end half-way."""
    for bounds in (name for name, owner in owners.items() if owner == coordinate.name and name in field.coords):
        edges = edges_of_bounds(coordinate, field.coords[bounds], steps)
        if edges is not None and not edges.half_way:
            return edges.wrapped(middles(parts_of(edges.values, steps[coordinate.dims[0]][0])))
    return _refined(field, coordinate, steps)


def _refined(field: xr.DataArray | xr.Dataset, coordinate: xr.DataArray, steps: Steps) -> np.ndarray | None:
    """The values of one coordinate, or None where it has no refinement."""
    ordered = coordinate.transpose(*(name for name in coordinate.dims if name not in steps), ...)
    if ordered.dims != coordinate.dims:  # axes that stay come first, so that the last are those of the lattice
        fine = _refined(field, ordered, steps)
        return None if fine is None else xr.Variable(ordered.dims, fine).transpose(*coordinate.dims).values
    values = coordinate.values
    if values.dtype.kind == "O" and (dates := _seconds(values)) is not None:
        first, seconds = dates
        fine = _along_axes(coordinate, seconds, steps)
        make = np.vectorize(lambda s: first + timedelta(seconds=float(np.round(s, 6))), otypes=[object])
        return None if fine is None else make(fine)
    if is_label(coordinate):
        for axis in set(coordinate.dims) & set(steps):
            values = np.repeat(values, steps[axis][0], coordinate.dims.index(axis))
        return values
    if values.dtype.kind in "Mm":
        if np.isnat(values).any():
            return None
        first = values.ravel()[0]
        since = (values - first).astype("timedelta64[us]").astype(np.float64)
        fine = _along_axes(coordinate, since, steps)
        return None if fine is None else first + np.rint(fine).astype("timedelta64[us]")
    angle, circle = angle_of(str(coordinate.name), coordinate.attrs)
    if angle == "longitude":
        return _refined_longitude(field, coordinate, circle, steps)
    limit = pole_of(angle, circle, values)
    partner = _partner(field, coordinate, "longitude") if angle == "latitude" else None
    if partner is not None and _encloses_pole(partner.values, circle):
        both = _along_axes_of_sphere(coordinate, partner, circle, steps)
        return None if both is None else both[0]
    fine = _along_axes(coordinate, values, steps, limit)
    return None if fine is None or np.abs(fine).max(initial=0) > limit * (1 + 1e-9) else fine


def _refined_longitude(
    field: xr.DataArray | xr.Dataset, coordinate: xr.DataArray, circle: float, steps: Steps
) -> np.ndarray | None:
    values = coordinate.values
    if _encloses_pole(values, circle):
        latitude = _partner(field, coordinate, "latitude")
        both = None if latitude is None else _along_axes_of_sphere(latitude, coordinate, circle, steps)
        return None if both is None else wrap_like(both[1], values, circle)
    smooth = unwrap_angle(values, circle)
    fine = _along_axes(coordinate, smooth, steps)
    jumps = not np.allclose(smooth, values, rtol=0, atol=circle / 1e6)
    return wrap_like(fine, values, circle) if fine is not None and jumps else fine


def _partner(field: xr.DataArray | xr.Dataset, coordinate: xr.DataArray, angle: str) -> xr.DataArray | None:
    """The latitude or longitude of two axes or more that is on the same ones, if there is one."""
    if coordinate.ndim < 2:
        return None
    fit = [
        other.transpose(*coordinate.dims)
        for name, other in field.coords.items()
        if set(other.dims) == set(coordinate.dims) and angle_of(str(name), other.attrs)[0] == angle
    ]
    return fit[0] if len(fit) == 1 else None


def _encloses_pole(longitude: np.ndarray, circle: float) -> bool:
    """Whether two-dimensional longitudes have no continuous branch: going round some cell, they turn once."""
    if longitude.ndim < 2:
        return False
    smooth = unwrap_angle(longitude, circle)
    return any(bool((np.abs(np.diff(smooth, axis=axis)) > circle / 2).any()) for axis in (-1, -2))


def _along_axes_of_sphere(
    latitude: xr.DataArray, longitude: xr.DataArray, circle: float, steps: Steps
) -> tuple[np.ndarray, np.ndarray] | None:
    """Latitude and longitude of cells about a pole, cut along straight lines in space."""
    unit = 2 * np.pi / circle
    phi, lam = latitude.values.astype(np.float64) * unit, longitude.values.astype(np.float64) * unit
    vector = (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi))
    parts = [_along_axes(latitude, component, steps) for component in vector]
    if any(part is None for part in parts):
        return None
    x, y, z = (np.asarray(part) for part in parts)
    return np.arctan2(z, np.hypot(x, y)) / unit, np.arctan2(y, x) / unit


def _along_axes(coordinate: xr.DataArray, values: np.ndarray, steps: Steps, limit: float = np.inf) -> np.ndarray | None:
    """Positions refined along one axis after the other; None where an axis has one site, whose size is unknown."""
    for i, axis in enumerate(coordinate.dims):
        if axis in steps:
            if values.shape[i] < 2:
                return None
            values = np.moveaxis(refine_axis(np.moveaxis(values, i, 0), *steps[axis], limit), 0, i)
    return values


def _seconds(values: np.ndarray) -> tuple[Any, np.ndarray] | None:
    """The first of dates of another calendar (cftime), and the seconds since then; None if these are no dates."""
    try:
        first = values.ravel()[0]
        seconds = [(value - first).total_seconds() for value in values.ravel()]
    except (TypeError, AttributeError, IndexError):
        return None
    return first, np.reshape(seconds, values.shape).astype(np.float64)
