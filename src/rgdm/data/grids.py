"""The grid that a field brings: the names of its axes, which is time, and what the file says of its boundary."""

from collections.abc import Sequence
from dataclasses import replace

import xarray as xr

from rgdm.scale.boundary import Boundary
from rgdm.scale.grid import Grid

PERIODIC = "periodic"
"""The attribute by which a file says that its field is a torus."""


def grid_of(field: xr.DataArray, boundary: Sequence[Boundary] = (), factor: int | Sequence[int] = 2) -> Grid:
    """The grid of a field ``(sample, channel, *lattice)``.

    Args:
        field: whose lattice axes are named; an axis called ``time`` is time.
        boundary: one for all axes, or one for each; empty: as the attribute ``periodic`` of the field says, else
            reflecting.
        factor: of the coarse-graining, one for all axes or one for each; 1: an axis is left alone.
    """
    names = [str(name) for name in field.dims[2:]]
    stated: Sequence[Boundary] = ["periodic"] if str(field.attrs.get(PERIODIC)) in ("True", "1") else ["reflect"]
    grid = Grid.uniform(len(names), list(boundary) or stated, factor, names)
    return Grid(tuple(replace(axis, kind="time") if axis.name == "time" else axis for axis in grid.axes))
