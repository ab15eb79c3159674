"""A field cut so that its lattice can be coarse-grained as often as a model does."""

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.scale.boundary import Boundary


def crop(field: xr.DataArray, units: Sequence[int], boundaries: Sequence[Boundary]) -> tuple[xr.DataArray, list[str]]:
    """The largest first part of a field ``(sample, channel, *lattice)`` that divides, and what was cut in words.

    Args:
        field: any.
        units: for each lattice axis how many sites become one, ``factor^levels``.
        boundaries: of the axes.

    Raises:
        InputError: if an axis closes on itself, whose ends would no longer be neighbours.
    """
    notes, kept = [], dict[Hashable, slice]()
    for axis, unit, side in zip(field.dims[2:], units, boundaries, strict=True):
        n = field.sizes[axis]
        if n % unit == 0 or n < unit:  # of a lattice that is too small the model says so
            continue
        if side == "periodic":
            raise InputError(
                f"{axis} has {n} sites, which {unit} does not divide, and closes on itself: cut, its ends would be no "
                f"neighbours; regrid it to {max(unit, round(n / unit) * unit)} sites, or give "
                f"{option('--boundary reflect')}"
            )
        kept[axis] = slice(n - n % unit)
        notes.append(f"{axis} is cut from {n} to {n - n % unit} sites{_place(field, axis, n - n % unit)}")
    cut = field.isel(kept)
    cut.encoding = dict(field.encoding)
    return cut, notes


def _place(field: xr.DataArray, axis: Hashable, first: int) -> str:
    """What is left out, by its coordinate where there is one."""
    if axis not in field.coords or field[axis].ndim != 1:
        return ""
    low, high = field[axis].values[[first, -1]]
    words = [f"{v:g}" if isinstance(v, np.integer | np.floating) else str(v) for v in (low, high)]
    return f": {' to '.join(dict.fromkeys(words))} is left out"
