"""The areas of the cells of a grid, as far as its coordinates tell."""

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from rgdm.data.axes import lattice_axes
from rgdm.data.cells.edges import refine_edges
from rgdm.data.conventions import angle_of


def areas_of(
    field: xr.DataArray | xr.Dataset, axes: Sequence[Hashable], factors: Sequence[int] = ()
) -> np.ndarray | None:
    """The areas of cells between latitudes, ``(1, 1, *lattice)`` in units of their mean; None without latitudes.

    A cell reaches half-way to its neighbours, and not beyond a pole, so that its area goes with the difference of the
    sines of its edges. On a regular grid that is the cosine of its latitude.

    Args:
        field: with a coordinate of latitudes along one of its lattice axes, rotated ones of a rotated pole.
        axes: the names of the lattice axes, or of a model's, which are found by their roles.
        factors: by how many parts each cell is cut along each axis, to have the areas of these.
    """
    array = field if isinstance(field, xr.DataArray) else field[next(iter(field.data_vars))]
    lattice = lattice_axes(array, len(axes), order=axes)[1]
    factors = list(factors) or [1] * len(lattice)
    for place, (name, factor) in enumerate(zip(lattice, factors, strict=True)):
        if name not in array.coords:  # xarray would number the sites
            continue
        coordinate = array.coords[name]
        if coordinate.ndim != 1 or coordinate.dtype.kind not in "fiu" or coordinate.size < 2:
            continue
        angle, circle = angle_of(name, coordinate.attrs)
        if angle != "latitude" or np.abs(coordinate.values).max() > circle / 4 * (1 + 1e-6):
            continue
        edges = refine_edges(coordinate.values, factor, circle / 4) * (2 * np.pi / circle)
        bands = np.abs(np.diff(np.sin(edges)))
        shape = [1] * (2 + len(lattice))
        shape[2 + place] = len(bands)
        sizes = [array.sizes[other] * b for other, b in zip(lattice, factors, strict=True)]
        return np.broadcast_to((bands / bands.mean()).reshape(shape), (1, 1, *sizes)).copy()
    return None
