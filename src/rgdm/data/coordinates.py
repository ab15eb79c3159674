"""Coordinates of a lattice whose every cell is cut into parts: positions, angles, dates, labels, bounds."""

import sys
from collections.abc import Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.conventions import (
    CELLS,
    angle_of,
    finer_attributes,
    is_label,
    named_variables,
    quantities_of_cells,
    role_of,
)

Steps = Mapping[Hashable, tuple[int, float | None]]
"""Of each axis that becomes finer: its factor, and the place of a coarse site among its fine ones; None: the middle."""


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
    Bounds are computed anew where they are the edges half-way between the sites, else left out. What cannot be
    refined, such as the position of a single site or the area of cells, is left out and a note says so.
    """
    owners, quantities = _owners_of_bounds(field), quantities_of_cells(field)
    changed = [name for name, coordinate in field.coords.items() if set(coordinate.dims) & set(steps)]
    refined, lost = {}, []
    for name in changed:
        coordinate = field.coords[name]
        if name in owners:
            if (bounds := _refined_bounds(field.coords[owners[name]], coordinate, steps)) is not None:
                refined[name] = bounds
            continue
        values = None if name in quantities else _refined(field, coordinate, steps)
        if values is None:
            lost.append(str(name))
            continue
        named = {key: names for key, names in coordinate.encoding.items() if key in CELLS}  # as xarray keeps them
        refined[name] = (coordinate.dims, values, finer_attributes(named | coordinate.attrs, {}))
    if lost:
        print(f"rgdm: note: left out, for it has no refinement: the coordinate {', '.join(lost)}", file=sys.stderr)
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


def cell_edges(centres: np.ndarray, limit: float = np.inf) -> np.ndarray:
    """The n + 1 edges of n cells along the first axis: half-way between centres, none beyond +-limit."""
    c = centres.astype(np.float64)
    middle = (c[1:] + c[:-1]) / 2
    edges = np.concatenate([2 * c[:1] - middle[:1], middle, 2 * c[-1:] - middle[-1:]])
    return np.clip(edges, -limit, limit)


def refine_edges(centres: np.ndarray, factor: int, limit: float = np.inf) -> np.ndarray:
    """The edges of cells cut into ``factor`` equal parts each, along the first axis."""
    edges = cell_edges(centres, limit)
    parts = (np.arange(factor) / factor).reshape(-1, *(1,) * (edges.ndim - 1))
    cut = edges[:-1, None] + parts * np.diff(edges, axis=0)[:, None]
    return np.concatenate([cut.reshape(-1, *edges.shape[1:]), edges[-1:]])


def refine_centres(centres: np.ndarray, factor: int, limit: float = np.inf) -> np.ndarray:
    """Centres of cells cut into ``factor`` equal parts, float64, along the first axis.

    For regular centres this is ``c + ((j + 1/2) / factor - 1/2) * spacing``. A cell at a pole (``limit``) ends there.
    """
    edges = refine_edges(centres, factor, limit)
    return (edges[1:] + edges[:-1]) / 2


def refine_axis(centres: np.ndarray, factor: int, place: float | None = None, limit: float = np.inf) -> np.ndarray:
    """Fine positions such that coarse site i lies at fine site ``place + factor * i``; the middle if not given.

    Linear between the coarse sites, and beyond them with the slope of the last two; along the first axis, float64.
    """
    if place is None or place == (factor - 1) / 2:
        return refine_centres(centres, factor, limit)
    c, n = centres.astype(np.float64), len(centres)
    at = ((np.arange(n * factor) - place) / factor).reshape(-1, *(1,) * (c.ndim - 1))
    left = np.clip(np.floor(at.ravel()).astype(int), 0, n - 2)
    return c[left] + (at - left.reshape(at.shape)) * (c[left + 1] - c[left])


def unwrap_angle(angle: np.ndarray, circle: float = 360.0) -> np.ndarray:
    """Angles without jumps of a circle between neighbours along the last two axes."""
    c = np.unwrap(angle.astype(np.float64), period=circle, axis=-1)
    if c.ndim > 1:
        first = np.unwrap(c[..., 0], period=circle, axis=-1)
        c = c + (first - c[..., 0])[..., None]
    return c


def _wrap_like(angle: np.ndarray, like: np.ndarray, circle: float) -> np.ndarray:
    """Angles from 0 to a circle, or about 0 where those of ``like`` are."""
    low = -circle / 2 if np.min(like) < 0 else 0.0
    return (angle - low) % circle + low


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
    limit = _pole(angle, circle, values)
    partner = _partner(field, coordinate, "longitude") if angle == "latitude" else None
    if partner is not None and _encloses_pole(partner.values, circle):
        both = _along_axes_of_sphere(coordinate, partner, circle, steps)
        return None if both is None else both[0]
    fine = _along_axes(coordinate, values, steps, limit)
    return None if fine is None or np.abs(fine).max(initial=0) > limit * (1 + 1e-9) else fine


def _pole(angle: str, circle: float, values: np.ndarray) -> float:
    """The largest latitude; of what is none, by its values neither, infinity."""
    pole = circle / 4
    return pole if angle == "latitude" and np.nanmax(np.abs(values), initial=0) <= pole * (1 + 1e-6) else np.inf


def _refined_longitude(
    field: xr.DataArray | xr.Dataset, coordinate: xr.DataArray, circle: float, steps: Steps
) -> np.ndarray | None:
    values = coordinate.values
    if _encloses_pole(values, circle):
        latitude = _partner(field, coordinate, "latitude")
        both = None if latitude is None else _along_axes_of_sphere(latitude, coordinate, circle, steps)
        return None if both is None else _wrap_like(both[1], values, circle)
    smooth = unwrap_angle(values, circle)
    fine = _along_axes(coordinate, smooth, steps)
    jumps = not np.allclose(smooth, values, rtol=0, atol=circle / 1e6)
    return _wrap_like(fine, values, circle) if fine is not None and jumps else fine


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


def _owners_of_bounds(field: xr.DataArray | xr.Dataset) -> dict[Hashable, Hashable]:
    """For each coordinate that is the bounds of another, that other one."""
    owners = {}
    for name, coordinate in field.coords.items():
        for attribute in ("bounds", "climatology"):
            for source in (coordinate.attrs, coordinate.encoding):
                owners |= {bounds: name for bounds in named_variables(source, attribute)}
    return owners


def _refined_bounds(owner: xr.DataArray, bounds: xr.DataArray, steps: Steps) -> xr.Variable | None:
    """The bounds of the finer cells of an axis, if the coarse ones are the edges half-way between sites."""
    if owner.ndim != 1 or bounds.ndim != 2 or bounds.dims[0] != owner.dims[0] or bounds.shape[1] != 2:
        return None
    factor, place = steps[owner.dims[0]]
    if place is not None or len(owner) < 2 or is_label(owner) or owner.dtype.kind not in "fiu":
        return None
    angle, circle = angle_of(str(owner.name), owner.attrs)
    limit = _pole(angle, circle, owner.values)
    centres = unwrap_angle(owner.values, circle) if angle == "longitude" else owner.values
    edges, given = cell_edges(centres, limit), bounds.values.astype(np.float64)
    turned = given[0, 0] > given[0, 1] if edges[0] < edges[1] else given[0, 0] < given[0, 1]
    pairs = np.stack([edges[:-1], edges[1:]], 1)[:, :: -1 if turned else 1]
    off = pairs - given
    if angle == "longitude":
        off -= circle * np.round(off / circle)
    if not (np.abs(off) <= 1e-3 * np.abs(np.diff(pairs))).all():
        return None
    fine = refine_edges(centres, factor, limit)
    values = np.stack([fine[:-1], fine[1:]], 1)[:, :: -1 if turned else 1]
    if angle == "longitude" and not np.allclose(centres, owner.values, rtol=0, atol=circle / 1e6):
        middle = values.mean(1, keepdims=True)
        values += _wrap_like(middle, owner.values, circle) - middle
    return xr.Variable(bounds.dims, values, finer_attributes(bounds.attrs, {}))
