"""Files to fields: whatever is read becomes one DataArray ``(sample, channel, *lattice)``."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from rgdm.data.axes import lattice_axes
from rgdm.data.formats import Source, open_source, reading
from rgdm.data.memory import check_memory
from rgdm.errors import InputError

_NUMBERS = "fiub"
SAMPLE_AXES = "sample_axes"
"""Where a field remembers, in its encoding, which axes of the file became its samples."""


def read_field(paths: Sequence[str | Path], variable: str | None = None, dimension: int = 2) -> xr.DataArray:
    """Read NetCDF, Zarr, numpy or image files as ``(sample, channel, *lattice)``, float32 (float64 where the file is).

    The last ``dimension`` axes of a variable that are not named channel, sample, member or
    time are its lattice; all others, and the files, become samples. ``variable`` names one
    variable or, separated by commas, one for each channel. A numpy array with two axes or
    more before the lattice has its channels in the last of these.
    """
    if not paths:
        raise InputError("no field is given; name at least one file")
    wanted = [name.strip() for name in variable.split(",")] if variable else []
    fields = [_read(Path(path), wanted, dimension) for path in paths]
    for path, field in zip(paths, fields, strict=True):
        if _kind(field) != _kind(fields[0]):
            raise InputError(f"{path} has {_kind(field)}, {paths[0]} {_kind(fields[0])}; all files must agree")
    return fields[0] if len(fields) == 1 else _along_samples(fields)


def _kind(field: xr.DataArray) -> str:
    return f"the channel(s) {', '.join(field['channel'].values)} on {field.shape[2:]} sites"


def _read(path: Path, wanted: list[str], dimension: int) -> xr.DataArray:
    source = open_source(path, dimension)
    try:
        names = _choose(source, wanted, dimension, path)
        arrays = [source.variables[name] for name in names]
        check_memory(sum(array.size * max(4, array.dtype.itemsize) for array in arrays), f"reading {path}")
        parts = [_as_samples(array, name, dimension, path) for name, array in zip(names, arrays, strict=True)]
    finally:
        source.close()
    if len({(part.shape[0], part.dims, part.shape[2:]) for part in parts}) > 1:
        shapes = ", ".join(f"{name} {dict(array.sizes)}" for name, array in zip(names, arrays, strict=True))
        raise InputError(f"the variables of {path} have the shapes {shapes}; channels must have one shape")
    if len(parts) == 1:
        return parts[0]
    field = xr.concat(
        parts, "channel", join="override", coords="minimal", compat="override", combine_attrs="drop_conflicts"
    ).transpose(*parts[0].dims)
    field.encoding[SAMPLE_AXES] = parts[0].encoding[SAMPLE_AXES]
    return field


def _choose(source: Source, wanted: list[str], dimension: int, path: Path) -> list[str]:
    """The names of the variables that make the channels."""
    variables = source.variables
    listed = ", ".join(f"{name} {array.shape}" for name, array in variables.items()) or "none"
    for name in wanted:
        if name not in variables:
            raise InputError(f"{path} has no variable {name!r}; it has {listed}")
    fit = [name for name, array in variables.items() if array.ndim >= dimension and array.dtype.kind in _NUMBERS]
    for name in wanted or source.channels:
        if name not in fit:
            array = variables[name]
            raise InputError(
                f"the variable {name} of {path} is {array.dtype} of shape {array.shape}; "
                f"a field holds real numbers on at least {dimension} axes"
            )
    names = wanted or source.channels or fit
    if not names:
        kinds = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in variables.items()) or "none"
        raise InputError(f"{path} has no variable of real numbers on at least {dimension} axes; it has {kinds}")
    if len(names) > 1 and names is fit:
        raise InputError(f"{path} has several variables ({listed}); choose with --variable NAME or NAME,NAME")
    return names


def _as_samples(array: xr.DataArray, name: str, dimension: int, path: Path) -> xr.DataArray:
    batch, lattice = lattice_axes(array.dims, dimension)
    channel = ["channel"] if "channel" in array.dims else []
    ordered = array.transpose(*batch, *channel, *lattice)
    count = math.prod(array.sizes[axis] for axis in batch)
    with reading(path):
        coords = _sample_coordinates(array, batch, lattice)
        values = _floating(ordered.to_numpy()).reshape(count, -1, *(array.sizes[axis] for axis in lattice))
    if values.size == 0:
        raise InputError(f"the variable {name} of {path} is empty (shape {array.shape})")
    coords["channel"] = _channel_names(array, name, values.shape[1])
    field = xr.DataArray(
        values, dims=("sample", "channel", *lattice), coords=coords, name=name, attrs=dict(array.attrs)
    )
    field.encoding[SAMPLE_AXES] = tuple(str(axis) for axis in batch)
    return field


def with_own_axes(result: xr.DataArray, field: xr.DataArray) -> xr.DataArray:
    """What was made of a field that was read, with the axis of samples named as in its file, or without one."""
    axes = field.encoding.get(SAMPLE_AXES)
    if axes == () and result.sizes["sample"] == 1:
        return result.isel(sample=0, drop=True)
    if axes is None or len(axes) != 1 or axes[0] == "sample" or axes[0] in result.dims:
        return result
    (name,) = axes
    return result.swap_dims(sample=name) if name in result.coords else result.rename(sample=name)


def _sample_coordinates(array: xr.DataArray, batch: list, lattice: list) -> dict:
    """Coordinates of the lattice as they are; those of a single batch axis become coordinates of the samples."""
    coords = {}
    for name, coordinate in array.coords.items():
        if set(coordinate.dims) <= set(lattice):
            coords[name] = (coordinate.dims, coordinate.values, dict(coordinate.attrs))
        elif len(batch) == 1 and coordinate.dims == (batch[0],):
            coords[name] = (("sample",), coordinate.values, dict(coordinate.attrs))
    return coords


def _channel_names(array: xr.DataArray, name: str, count: int) -> list[str]:
    if "channel" in array.dims and "channel" in array.coords:
        return [str(value) for value in array["channel"].values]
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]


def _floating(values: np.ndarray) -> np.ndarray:
    """float32 or float64 in the byte order of the machine; integers and half precision become float32."""
    double = values.dtype.kind == "f" and values.dtype.itemsize >= 8
    return np.array(values, dtype=np.float64 if double else np.float32)


def _along_samples(fields: list[xr.DataArray]) -> xr.DataArray:
    """Files one after the other; coordinates stay where the files agree on them."""
    first = fields[0]
    coords = {}
    for name, coordinate in first.coords.items():
        others = [field.coords.get(name) for field in fields]
        found = [other for other in others if other is not None and other.dims == coordinate.dims]
        if len(found) < len(fields) or (len({other.dtype for other in found}) > 1 and name != "channel"):
            continue
        if "sample" in coordinate.dims:
            values = np.concatenate([other.values for other in found])
        elif all(np.array_equal(other.values, coordinate.values) for other in found):
            values = coordinate.values
        else:
            continue
        coords[name] = (coordinate.dims, values, dict(coordinate.attrs))
    values = np.concatenate([field.values for field in fields])
    return xr.DataArray(values, dims=first.dims, coords=coords, name=first.name, attrs=dict(first.attrs))
