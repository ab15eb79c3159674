"""Files as Datasets: each variable on its own axes, decoded, with its own attributes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from rgdm.data.formats import open_source, reading
from rgdm.data.memory import check_memory
from rgdm.data.missing import unpack, without_storage
from rgdm.errors import InputError


def read_variables(path: str | Path, names: Sequence[str] = (), optional: bool = False) -> xr.Dataset:
    """The variables of a file that hold real numbers on at least one axis, float32 (float64 where the file is).

    What is missing, by whatever the file says of it (:func:`~rgdm.data.missing.unpack`), is NaN. Coordinates, bounds
    and the attributes of the file are kept.

    Args:
        path: NetCDF, Zarr, numpy or images, as :func:`~rgdm.data.formats.open_source` reads them.
        names: which variables; empty: all.
        optional: take those of ``names`` that are there.

    Raises:
        InputError: if there is none, or one of ``names`` is not there.
    """
    path = Path(path)
    source = open_source(path, 2)
    try:
        fit = {n: v for n, v in source.variables.items() if v.ndim and v.dtype.kind in "fiub" and v.size}
        wanted = [name for name in names if name in fit or not optional] or list(fit)
        listed = ", ".join(f"{name} {array.shape}" for name, array in source.variables.items()) or "none"
        for name in wanted:
            if name not in fit:
                raise InputError(f"{path} has no variable {name!r} of real numbers; it has {listed}")
        if not wanted:
            inside = ", ".join(source.groups())
            raise InputError(
                f"{path} has its variables in groups ({inside}); write one group as a file of its own (xarray: "
                "open_dataset with group)"
                if inside
                else f"{path} has no variable of real numbers; it has {listed}"
            )
        check_memory(sum(fit[name].size * 8 * 4 for name in wanted), f"reading and mapping {path}")
        with reading(path):
            variables = {}
            for name in wanted:
                unpacked = unpack(source.stored.get(name, fit[name].variable), source.netcdf)
                array = fit[name].copy(data=unpacked.values.astype(np.result_type(unpacked.values, np.float32)))
                array.attrs, array.encoding = without_storage(fit[name].attrs), dict(fit[name].encoding)
                variables[name] = array
            data = xr.Dataset(variables, attrs=dict(source.attrs))
            bounds = {
                n: c for n, c in source.coords.load().coords.items() if set(c.dims) & set(data.dims) or not c.dims
            }
            return data.assign_coords(bounds)
    finally:
        source.close()
