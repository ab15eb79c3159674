"""Bounds of cells, as files state them, of the parts that the cells are cut into (CF conventions, section 7.1)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from rgdm.data.cells.edges import cell_edges, parts_of, pole_of, unwrap_angle, wrap_like
from rgdm.data.conventions import angle_of, finer_attributes, is_label, named_variables

Steps = Mapping[Hashable, tuple[int, float | None]]
"""Of each axis that becomes finer: its factor, and the place of a coarse site among its fine ones; None: the middle."""
CLOSE = 1e-3
"""By so much of a cell two statements of an edge may differ: they are stored in single precision, or rounded."""
_ROUND = ((0, 0), (0, 1), (1, 1), (1, 0))
_ORDERS = [[_ROUND[(start + way * k) % 4] for k in range(4)] for start in range(4) for way in (1, -1)]
"""Ways to go round the corners of a cell, each a (row, column) of the cell."""


@dataclass(frozen=True)
class Edges:
    """The n + 1 edges of n cells without gaps along an axis.

    Args:
        values: in float64, angles without jumps.
        half_way: whether they lie in the middle between the sites.
        turned: whether bounds name the later edge first.
        circle: of longitudes that jump; 0 of anything else.
        like: the positions of the sites as they are stored.
    """

    values: np.ndarray
    half_way: bool
    turned: bool
    circle: float
    like: np.ndarray

    def wrapped(self, positions: np.ndarray, middle: np.ndarray | None = None) -> np.ndarray:
        """Positions in the range of the sites, or in that of the ``middle`` of the cells that they bound."""
        if not self.circle:
            return positions
        middle = positions if middle is None else middle
        return positions + wrap_like(middle, self.like, self.circle) - middle


def owners_of_bounds(field: xr.DataArray | xr.Dataset) -> dict[Hashable, Hashable]:
    """For each coordinate that is the bounds of another, that other one."""
    owners = {}
    for name, coordinate in field.coords.items():
        for attribute in ("bounds", "climatology"):
            for source in (coordinate.attrs, coordinate.encoding):
                owners |= {bounds: name for bounds in named_variables(source, attribute)}
    return owners


def edges_of_bounds(owner: xr.DataArray, bounds: xr.DataArray, steps: Steps) -> Edges | None:
    """The edges that bounds state along an axis that becomes finer, if they leave no gaps and hold the sites."""
    if owner.ndim != 1 or bounds.ndim != 2 or bounds.dims[0] != owner.dims[0] or bounds.shape[1] != 2:
        return None
    number = owner.dtype.kind in "fiu" and bounds.dtype.kind in "fiu"
    if owner.dims[0] not in steps or steps[owner.dims[0]][1] is not None or not number or is_label(owner):
        return None
    (angle, circle), values = angle_of(str(owner.name), owner.attrs), owner.values.astype(np.float64)
    turning = angle == "longitude"
    centres = unwrap_angle(values, circle) if turning else values
    given = bounds.values.astype(np.float64)
    if not (np.isfinite(centres).all() and np.isfinite(given).all()):
        return None
    if turning:
        given = given + circle * np.round((centres[:, None] - given) / circle)
    jumps = circle if turning and not np.allclose(centres, values, rtol=0, atol=circle / 1e6) else 0.0
    rising = centres[-1] > centres[0] if len(centres) > 1 else given[0, 1] > given[0, 0]
    turned = bool((given[0, 1] > given[0, 0]) != rising)
    pairs, sign = given[:, :: -1 if turned else 1], 1 if rising else -1
    if len(centres) > 1:
        half = cell_edges(centres, pole_of(angle, circle, values))
        own = np.stack([half[:-1], half[1:]], 1)
        if (np.abs(own - pairs) <= CLOSE * np.abs(np.diff(own))).all():
            return Edges(half, True, turned, jumps, values)
    size = sign * np.diff(pairs)[:, 0]
    inside = ((sign * (centres - pairs[:, 0]) >= 0) & (sign * (pairs[:, 1] - centres) >= 0)).all()
    touching = (np.abs(pairs[1:, 0] - pairs[:-1, 1]) <= CLOSE * np.minimum(size[1:], size[:-1])).all()
    if not (inside and touching and (size > 0).all()):
        return None
    return Edges(np.concatenate([pairs[:, 0], pairs[-1:, 1]]), False, turned, jumps, values)


def refined_bounds(owner: xr.DataArray, bounds: xr.DataArray, steps: Steps) -> xr.Variable | None:
    """The bounds of the finer cells, of one axis or of the four corners of cells of two; None where there are none."""
    if owner.ndim == 2 and bounds.shape[2:] == (4,) and bounds.dims[:2] == owner.dims:
        return _refined_corners(owner, bounds, steps)
    edges = edges_of_bounds(owner, bounds, steps)
    if edges is None:
        return None
    fine = parts_of(edges.values, steps[owner.dims[0]][0])
    pairs = np.stack([fine[:-1], fine[1:]], 1)[:, :: -1 if edges.turned else 1]
    pairs = edges.wrapped(pairs, pairs.mean(1, keepdims=True))
    return xr.Variable(bounds.dims, pairs, finer_attributes(bounds.attrs, {}))


def _refined_corners(owner: xr.DataArray, bounds: xr.DataArray, steps: Steps) -> xr.Variable | None:
    """The corners of the parts of cells ``(y, x, 4)``, bilinear between those of the cells, in the same order.

    None where neighbours do not share corners, or a cell has a pole in it.
    """
    factors = [steps.get(axis, (1, None))[0] for axis in owner.dims]
    if bounds.dtype.kind not in "fiu" or any(steps.get(axis, (1, None))[1] is not None for axis in owner.dims):
        return None
    (angle, circle), given = angle_of(str(owner.name), owner.attrs), bounds.values.astype(np.float64)
    if not np.isfinite(given).all():
        return None
    turn = circle if angle == "longitude" else 0.0
    if turn:
        given = given + turn * np.round((given[..., :1] - given) / turn)
        if (np.ptp(given, axis=-1) > turn / 2).any():
            return None
    order = min(_ORDERS, key=lambda each: _mismatch(_square(given, each), turn).max(initial=0))
    square = _square(given, order)
    if (_mismatch(square, turn) > CLOSE * np.ptp(given, axis=-1).max()).any():
        return None
    fine = np.empty((*(n * b for n, b in zip(owner.shape, factors, strict=True)), 4))
    for row, column in np.ndindex(*factors):
        for k, (below, right) in enumerate(order):
            v, u = (row + below) / factors[0], (column + right) / factors[1]
            weights = np.outer([1 - v, v], [1 - u, u])
            fine[row :: factors[0], column :: factors[1], k] = np.einsum("ab,ab...->...", weights, square)
    if turn:
        middle = fine.mean(-1, keepdims=True)
        fine += wrap_like(middle, owner.values, turn) - middle
    return xr.Variable(bounds.dims, fine, finer_attributes(bounds.attrs, {}))


def _square(corners: np.ndarray, order: list[tuple[int, int]]) -> np.ndarray:
    """Corners ``(y, x, 4)`` as ``(row of the corner, column of it, y, x)``."""
    square = np.empty((2, 2, *corners.shape[:-1]))
    for k, place in enumerate(order):
        square[place] = corners[..., k]
    return square


def _mismatch(square: np.ndarray, turn: float) -> np.ndarray:
    """How far corners that neighbours share are apart."""
    parts = [square[:, 1, :, :-1] - square[:, 0, :, 1:], square[1, :, :-1] - square[0, :, 1:]]
    off = np.concatenate([part.ravel() for part in parts])
    return np.abs(off - turn * np.round(off / turn)) if turn else np.abs(off)
