"""Whether the cells of a fine field lie in those of a coarse one, and what brings them there."""

import itertools
from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from rgdm.data.cells.edges import pole_of, refine_centres, unwrap_angle
from rgdm.data.conventions import angle_of
from rgdm.data.coordinates import refine_coordinates
from rgdm.errors import InputError

CLOSE = 0.25
"""By so much of a fine cell positions may differ: rounding, and latitudes that are not regular; half a cell is more."""
_WAYS = {True: "rising", False: "falling"}


def laid_on(
    fine: xr.DataArray, coarse: xr.DataArray, axes: Sequence[Hashable], what: str
) -> tuple[xr.DataArray, list[str]]:
    """A fine field whose cells lie in those of a coarse one along the axes that both have, and what was done to it.

    Axes that run the other way are turned, longitudes are counted from where the coarse ones are, and cells of a whole
    circle moved round. Where a field has no coordinates there is nothing to compare.

    Args:
        fine: with the axes of ``coarse`` by name.
        coarse: whose coordinates, refined, are those of ``fine``.
        axes: of the lattice.
        what: how messages call the fine field.

    Raises:
        InputError: if the cells lie elsewhere, be it by half a cell.
    """
    notes: list[str] = []
    known = [axis for axis in axes if all(_positions(field, axis) is not None for field in (fine, coarse))]
    for axis in known:
        fine = _along(fine, coarse, axis, what, notes)
    if len(axes) == 2 and not known:
        fine = _in_the_plane(fine, coarse, tuple(axes), what, notes)
    return fine, notes


def cut_to(
    fine: xr.DataArray, coarse: xr.DataArray, axes: Sequence[Hashable], lattice: Sequence[int], what: str
) -> tuple[xr.DataArray, list[str]]:
    """The part of a larger fine field that lies on a coarse one, where coordinates tell, and what was cut in words.

    So a global orography serves a region. Along other axes the field stays as it is.

    Args:
        fine: with the axes of ``coarse`` by name, running either way.
        coarse: whose coordinates, refined to ``lattice``, are those of the part.
        axes: of the lattice.
        lattice: how many fine sites are needed along them.
        what: how messages call the fine field.

    Raises:
        InputError: if a larger field does not cover the coarse one, or has its cells between those that are needed.
    """
    notes = []
    for axis, size in zip(axes, lattice, strict=True):
        f, c = _positions(fine, axis), _positions(coarse, axis)
        if f is None or c is None or len(f) <= size or size % len(c) or len(f) < 2:
            continue
        angle, circle = angle_of(axis, coarse[axis].attrs)
        factor = size // len(c)
        wanted = refine_centres(c, factor, pole_of(angle, circle, c)) if factor > 1 and len(c) > 1 else c
        if (f[-1] < f[0]) != (wanted[-1] < wanted[0]) and len(wanted) > 1:
            notes.append(f"{what} has {_WAYS[bool(f[-1] > f[0])]} {axis} and is turned")
            fine, f = fine.isel({axis: slice(None, None, -1)}), f[::-1]
        step = float(np.diff(f).mean())
        off = wanted[0] - f
        if angle == "longitude":
            off = (off + circle / 2) % circle - circle / 2
        first = int(abs(off).argmin())
        closes = angle == "longitude" and abs(abs(step) * len(f) - circle) < abs(step) / 2
        if closes:
            fine, f, first = fine.roll({axis: -first}, roll_coords=True), np.roll(f, -first), 0
        part = f[first : first + size]
        away = part - wanted[: len(part)]
        away = (away + circle / 2) % circle - circle / 2 if angle == "longitude" else away
        if len(part) < size or abs(away).max() >= abs(step):
            raise InputError(
                f"{what} reaches from {f[0]:g} to {f[-1]:g} along {axis}, and {wanted[0]:g} to {wanted[-1]:g} is "
                "needed; give one that covers the field, in cells of the same size"
            )
        if abs(away).max() > CLOSE * abs(step):
            raise InputError(
                f"{what} has cells at {part[0]:g}, {part[1]:g}, ... along {axis}, {abs(away).max() / abs(step):.2g} of "
                f"a cell from {wanted[0]:g}, {wanted[min(1, size - 1)]:g}, ... where the field needs them; give one of "
                "the same place"
            )
        fine = fine.isel({axis: slice(first, first + size)})
        notes.append(f"{what} reaches farther along {axis} and is cut to the field")
    return fine, notes


def _positions(field: xr.DataArray, axis: Hashable) -> np.ndarray | None:
    """The positions along an axis, angles without jumps; None if it has none."""
    coordinate = field.coords.get(axis) if axis in field.coords else None
    if coordinate is None or coordinate.ndim != 1 or coordinate.dtype.kind not in "fiu" or axis not in field.dims:
        return None
    (angle, circle), values = angle_of(axis, coordinate.attrs), coordinate.values.astype(np.float64)
    return unwrap_angle(values, circle) if angle == "longitude" else values


def _along(fine: xr.DataArray, coarse: xr.DataArray, axis: Hashable, what: str, notes: list[str]) -> xr.DataArray:
    f, c = _positions(fine, axis), _positions(coarse, axis)
    assert f is not None and c is not None
    if len(f) < 2 or len(f) % len(c):  # of other lattices something else is said
        return fine
    if len(c) > 1 and (f[-1] < f[0]) != (c[-1] < c[0]):
        notes.append(f"{what} has {_WAYS[bool(f[-1] > f[0])]} {axis} and is turned")
        fine, f = fine.isel({axis: slice(None, None, -1)}), f[::-1]
    angle, circle = angle_of(axis, coarse[axis].attrs)
    angle = angle or angle_of(axis, fine[axis].attrs)[0]
    limit = pole_of(angle, circle, c)
    if angle == "longitude":
        fine, f = _round_the_circle(fine, f, c, circle, axis, what, notes)
    if _off(f, c, limit) > CLOSE:
        factor = len(f) // len(c)
        wanted = refine_centres(c, factor, limit) if len(c) > 1 else c
        off = (f.mean() - c.mean()) / abs(np.diff(f)).mean()
        by = f", {abs(off):.2g} of its cells away" if CLOSE < abs(off) < len(f) else ""
        raise InputError(
            f"{what} has cells from {f[0]:g} to {f[-1]:g} along {axis}{by}; those of the coarse field are refined to "
            f"{wanted[0]:g} to {wanted[-1]:g}: give one of the same place"
        )
    return fine


def _off(f: np.ndarray, c: np.ndarray, limit: float) -> float:
    """By how much of a fine cell the fine positions differ from the refined coarse ones, or their means from these.

    Means of latitudes on the poles are not where cells are cut that end there.
    """
    factor, size = len(f) // len(c), abs(np.gradient(f))
    means = abs(f.reshape(-1, factor).mean(1) - c) / size.reshape(-1, factor).mean(1)
    if len(c) == 1 or factor == 1:
        return float(means.max())
    cut = [(abs(f - refine_centres(c, factor, end)) / size).max() for end in {limit, np.inf}]
    return float(min(means.max(), *cut))


def _round_the_circle(
    fine: xr.DataArray, f: np.ndarray, c: np.ndarray, circle: float, axis: Hashable, what: str, notes: list[str]
) -> tuple[xr.DataArray, np.ndarray]:
    """Longitudes counted as the coarse ones are: by whole turns, and from the same cell on where they close."""
    start, step, factor = c[0], float(np.diff(f).mean()), len(f) // len(c)
    first = start - (factor - 1) / 2 * step  # of the fine cells in the first coarse one
    places = 0
    if abs(abs(step) * len(f) - circle) < abs(step) / 2:
        places = round(((first - f[0]) * np.sign(step) % circle) / abs(step)) % len(f)
        if places:
            f = np.concatenate([f[places:], f[:places] + np.sign(step) * circle])
            fine = fine.roll({axis: -places}, roll_coords=True)
            notes.append(f"{what} begins at another {axis} and is moved round by {places} cells")
    turns = round((first - f[0]) / circle)
    if turns and not places:
        notes.append(f"{what} counts {axis} by {turns * circle:+g} otherwise: whole turns are the same place")
    return fine, f + turns * circle


def _in_the_plane(
    fine: xr.DataArray, coarse: xr.DataArray, axes: tuple[Hashable, ...], what: str, notes: list[str]
) -> xr.DataArray:
    """The same by latitudes and longitudes of two axes, where the axes have no positions of their own."""
    found, circle = {}, 360.0
    for name, coordinate in coarse.coords.items():
        angle, circle = angle_of(name, coordinate.attrs)
        if angle and set(coordinate.dims) == set(axes) and name in fine.coords and set(fine[name].dims) == set(axes):
            found[angle] = name
    if len(found) < 2 or any(fine.sizes[axis] % coarse.sizes[axis] or coarse.sizes[axis] < 2 for axis in axes):
        return fine
    steps = {axis: (fine.sizes[axis] // coarse.sizes[axis], None) for axis in axes}
    bare = xr.Dataset(coords={name: coarse[name].variable for name in found.values()})
    refined = refine_coordinates(bare, {axis: step for axis, step in steps.items() if step[0] > 1})
    if not set(found.values()) <= set(refined):
        return fine
    wanted = [refined[found[angle]].transpose(*axes).values for angle in ("latitude", "longitude")]
    for ways in itertools.product((False, True), repeat=2):
        turned = [axis for axis, way in zip(axes, ways, strict=True) if way]
        candidate = fine.isel({axis: slice(None, None, -1) for axis in turned})
        lat, lon = (candidate[found[angle]].transpose(*axes).values for angle in ("latitude", "longitude"))
        size = min(np.median(_distance(lat[a], lon[a], lat[b], lon[b], circle)) for a, b in _NEIGHBOURS)
        if np.median(_distance(lat, lon, wanted[0], wanted[1], circle)) <= CLOSE * size:
            notes += [f"{what} runs the other way along {axis} and is turned" for axis in turned]
            return candidate
    raise InputError(
        f"{what} has other latitudes and longitudes than those of the coarse field, refined; give one of the same place"
    )


_NEIGHBOURS = [(np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])]


def _distance(lat: np.ndarray, lon: np.ndarray, lat2: np.ndarray, lon2: np.ndarray, circle: float) -> np.ndarray:
    """How far places are apart, in the unit of the angles, small distances."""
    across = (lon - lon2 + circle / 2) % circle - circle / 2
    return np.hypot(lat - lat2, across * np.cos(lat2 * 2 * np.pi / circle))
