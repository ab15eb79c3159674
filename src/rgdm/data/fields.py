"""Files to fields: whatever is read becomes one DataArray ``(sample, channel, *lattice)``."""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.alignment import align_files
from rgdm.data.axes import lattice_axes, note_axes
from rgdm.data.formats import Source, open_source, reading
from rgdm.data.memory import check_memory
from rgdm.data.missing import MISSING, unpack, without_storage
from rgdm.data.origin import ORIGIN, Origin, origin_of
from rgdm.errors import InputError
from rgdm.notes import option, say

_NUMBERS = "fiub"


def read_field(
    paths: Sequence[str | Path],
    variable: str | None = None,
    dimension: int = 2,
    axes: Sequence[str] = (),
    order: Sequence[str] = (),
    names: Sequence[str] = (),
    force: bool = False,
) -> xr.DataArray:
    """Read NetCDF, Zarr, numpy or image files as ``(sample, channel, *lattice)``, float32 (float64 where the file is).

    Args:
        paths: of the files, which follow each other as samples.
        variable: the name of one variable or, separated by commas, one for each channel; ``group/name`` in a group.
        dimension: of the lattice; all other axes become samples, by name the same in all channels. A numpy array with
            two axes or more before the lattice has its channels in the last of these.
        axes: the names of the lattice axes; empty: as :func:`~rgdm.data.axes.lattice_axes` finds them.
        order: names of axes, such as those of a model, in whose order the lattice axes are wanted.
        names: of a model's variables, which are taken of a file that has them, where ``variable`` names none.
        force: go on where files disagree in what they say of their units, spacing or boundary.

    Returns:
        The field, with the coordinates of lattice and samples, and the attributes that all its channels have. How it
        lay in the file is its origin (:func:`~rgdm.data.origin.origin_of`). What is missing, by whatever the file says
        of it (:func:`~rgdm.data.missing.unpack`), is NaN.
    """
    if not paths:
        raise InputError("no field is given; name at least one file")
    wanted = [name.strip() for name in variable.split(",")] if variable else []
    fields = [_read(Path(paths[0]), wanted, dimension, axes, order, names)]
    for path in paths[1:]:
        alike = names or [str(name) for name in fields[0]["channel"].values]
        fields.append(_read(Path(path), wanted, dimension, axes, fields[0].dims[2:], alike))
    fields = align_files(fields, [str(path) for path in paths], force)
    for path, field in zip(paths, fields, strict=True):
        if _kind(field) != _kind(fields[0]):
            raise InputError(f"{path} has {_kind(field)}, {paths[0]} {_kind(fields[0])}; all files must agree")
    return fields[0] if len(fields) == 1 else _along_samples(fields)


def _kind(field: xr.DataArray) -> str:
    return f"the channel(s) {', '.join(field['channel'].values)} on {field.shape[2:]} sites"


def _read(
    path: Path, wanted: list[str], dimension: int, axes: Sequence[str], order: Sequence[Hashable], known: Sequence[str]
) -> xr.DataArray:
    opened = open_source(path, dimension)
    source = opened
    try:
        wanted = wanted or (list(known) if set(known) <= set(source.variables) else [])
        source, wanted = _group(opened, wanted, known, dimension, path)
        names = _choose(source, wanted, dimension, path)
        arrays = [source.variables[name] for name in names]
        check_memory(sum(array.size * max(4, array.dtype.itemsize) for array in arrays), f"reading {path}")
        for name, array in zip(names, arrays, strict=True):
            if array.size == 0:
                empty = [f"{axis} has length 0" for axis, size in array.sizes.items() if size == 0]
                raise InputError(f"the variable {name} of {path} is empty: its axis {', '.join(empty)}")
        if any(dict(array.sizes) != dict(arrays[0].sizes) for array in arrays):
            shapes = ", ".join(f"{name} {dict(array.sizes)}" for name, array in zip(names, arrays, strict=True))
            raise InputError(f"the variables of {path} have the shapes {shapes}; channels must have one shape")
        batch, lattice = lattice_axes(arrays[0], dimension, axes, order)  # of all: their axes are matched by name
        note_axes(arrays[0], lattice)
        with reading(path):
            read = [_values(source, name, batch, lattice, path) for name in names]
            coords = _coordinates(arrays[0], batch, lattice)
            origin = _origin(source, dict(zip(names, arrays, strict=True)), batch)
    finally:
        for each in {id(each): each for each in (opened, source)}.values():
            each.close()
    coords["channel"] = list(origin.channels)
    parts = [values for values, _ in read]
    values = np.concatenate(parts, 1) if len(parts) > 1 else parts[0]
    field = xr.DataArray(values, dims=("sample", "channel", *lattice), coords=coords, attrs=_shared(origin.channels))
    field.name = names[0] if len(names) == 1 else None
    field.encoding |= {ORIGIN: origin, MISSING: tuple(reason for _, reasons in read for reason in reasons)}
    return field


def _group(
    opened: Source, wanted: list[str], known: Sequence[str], dimension: int, path: Path
) -> tuple[Source, list[str]]:
    """The group that holds the wanted variables, or the only one that holds a field where the file itself has none."""
    fits = set(wanted) <= set(opened.variables) if wanted else bool(_fields(opened, dimension))
    groups = {} if fits else opened.groups()
    if not groups:
        return opened, wanted
    stated = {each.strip("/").rpartition("/")[0] for each in wanted}
    if len(stated) > 1:
        raise InputError(f"{path}: the variables {', '.join(wanted)} lie in several groups; channels must be of one")
    names = [each.rpartition("/")[2] for each in wanted]
    holding = [name for name, group in groups.items() if _fields(group, dimension)]
    able = [name for name in holding if set(names) <= set(groups[name].variables) and stated <= {"", name}]
    if len(able) > 1 and not wanted:
        able = [name for name in able if known and set(known) <= set(groups[name].variables)]
    if len(able) != 1:
        held = [f"{name}/{each}" for name in holding for each in _fields(groups[name], dimension)] or list(groups)
        lacks = f"has no variable {', '.join(wanted)}" if wanted and not able else "has its fields in groups"
        remedy = option("--variable GROUP/NAME")
        raise InputError(f"{path} {lacks}; its groups hold {', '.join(held)}: choose with {remedy}")
    name = able[0]
    for other, group in groups.items():
        if other != name:
            group.close()
    return groups[name], names or [each for each in known if set(known) <= set(groups[name].variables)]


def _fields(source: Source, dimension: int) -> list[str]:
    """The variables that can be fields."""
    variables = source.variables.items()
    return [name for name, array in variables if array.ndim >= dimension and array.dtype.kind in _NUMBERS]


def choices(path: Path, dimension: int) -> list[str]:
    """The variables of a file of which a user has to choose one; none where the file says itself what is meant."""
    source = open_source(path, dimension)
    try:
        return [] if source.channels else _fields(source, dimension)
    finally:
        source.close()


def _choose(source: Source, wanted: list[str], dimension: int, path: Path) -> list[str]:
    """The names of the variables that make the channels."""
    variables = source.variables
    listed = ", ".join(f"{name} {array.shape}" for name, array in variables.items()) or "none"
    for name in wanted:
        if name not in variables:
            raise InputError(f"{path} has no variable {name!r}; it has {listed}")
    fit = _fields(source, dimension)
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
        remedy = option("--variable NAME or NAME,NAME", "variable='NAME' or 'NAME,NAME'")
        raise InputError(f"{path} has several variables ({listed}); choose with {remedy}")
    return names


def _values(
    source: Source, name: str, batch: list[Hashable], lattice: list[Hashable], path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """``(sample, channel, *lattice)``, and why values are missing."""
    array = source.variables[name]
    unpacked = unpack(source.stored.get(name, array.variable), source.netcdf)
    if name in source.zero_filled and (count := int((unpacked.values == 0).sum())):
        equal = f"{count} values of {name} in {path} equal its fill_value 0"
        say([f"{equal}, which Zarr 2 gives to any array; they are taken as data"])
    channel = ["channel"] if "channel" in array.dims else []
    values = xr.Variable(array.dims, unpacked.values).transpose(*batch, *channel, *lattice).to_numpy()
    count = math.prod(array.sizes[axis] for axis in batch)
    return np.ascontiguousarray(values).reshape(count, -1, *(array.sizes[axis] for axis in lattice)), unpacked.reasons


def _coordinates(array: xr.DataArray, batch: list[Hashable], lattice: list[Hashable]) -> dict[Hashable, Any]:
    """Coordinates of the lattice as they are; those of axes of samples, repeated along the others of these."""
    coords, sizes = {}, {axis: array.sizes[axis] for axis in batch}
    for name, coordinate in array.coords.items():
        attrs = dict(coordinate.attrs)
        if set(coordinate.dims) <= set(lattice):
            coords[name] = (coordinate.dims, coordinate.values, attrs, _stored_as(coordinate))
        elif set(coordinate.dims) <= {*batch, *lattice} and (len(batch) == 1 or name != "sample"):
            own = [axis for axis in lattice if axis in coordinate.dims]
            spread = coordinate.variable.set_dims({**sizes, **{axis: array.sizes[axis] for axis in own}})
            values = spread.transpose(*batch, *own).values.reshape(-1, *(array.sizes[axis] for axis in own))
            coords[name] = (("sample", *own), values, attrs, _stored_as(coordinate))
    return coords


def _stored_as(coordinate: xr.DataArray) -> dict[str, Any]:
    """The type of numbers in the file, by which whole numbers with gaps are known."""
    return {key: value for key, value in coordinate.encoding.items() if key == "dtype"}


def _origin(source: Source, arrays: dict[str, xr.DataArray], batch: list[Hashable]) -> Origin:
    first, channels = next(iter(arrays.values())), {}
    for name, array in arrays.items():
        attrs = {str(key): value for key, value in without_storage(array.attrs).items()}
        channels |= {one: attrs for one in _channel_names(array, name, array.sizes.get("channel", 1))}
    kept = [
        name
        for name, coordinate in source.coords.coords.items()
        if set(coordinate.dims) <= set(batch) or _are_bounds(coordinate, first)
    ]
    coords = xr.Dataset(coords={name: source.coords.variables[name] for name in kept}).load()
    samples = {str(axis): first.sizes[axis] for axis in batch}
    mixed = {
        str(n): tuple(map(str, c.dims)) for n, c in first.coords.items() if 0 < len(set(c.dims) & set(batch)) < c.ndim
    }
    return Origin(tuple(str(n) for n in first.dims if n != "channel"), samples, channels, coords, source.attrs, mixed)


def _are_bounds(coordinate: xr.DataArray, array: xr.DataArray) -> bool:
    """Whether a coordinate may be bounds: ``(axis, 2)`` of an axis of the array, or ``(axis, axis, 4)`` of two."""
    return coordinate.ndim in (2, 3) and len(set(coordinate.dims) - set(array.dims)) == 1


def _shared(attributes: Mapping[str, dict[str, Any]] | Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The attributes that all have alike."""
    each = list(attributes.values()) if isinstance(attributes, Mapping) else list(attributes)
    return {key: value for key, value in each[0].items() if all(_same(other.get(key), value) for other in each)}


def _same(a: object, b: object) -> bool:
    """Whether two attributes are equal, arrays among them."""
    return type(a) is type(b) and bool(np.array_equal(np.asarray(a), np.asarray(b)))


def _channel_names(array: xr.DataArray, name: str, count: int) -> list[str]:
    if "channel" in array.dims and "channel" in array.coords:
        return [str(value) for value in array["channel"].values]
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]


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
    origins = [origin_of(field) for field in fields]
    channels = {name: _shared([o.channels.get(name, {}) for o in origins]) for name in origins[0].channels}
    joined = xr.DataArray(values, dims=first.dims, coords=coords, name=first.name, attrs=_shared(channels))
    joined.encoding[ORIGIN] = Origin(("sample", *map(str, first.dims[2:])), {"sample": len(values)}, channels)
    joined.encoding[MISSING] = tuple(reason for field in fields for reason in field.encoding.get(MISSING, ()))
    return joined
