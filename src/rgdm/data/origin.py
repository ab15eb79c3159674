"""How a field lay in its file, and the same for what was made of it: own axes, own attributes, own bounds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from rgdm.data.axes import BOUNDARY
from rgdm.data.conventions import CELL_METHODS, CELLS, auxiliary_variables, finer_attributes, without_dangling
from rgdm.data.coordinates import Steps, finer_steps, plane_steps, refine_coordinates
from rgdm.data.formats import CHANNELS
from rgdm.data.layout import new_axis, numbered
from rgdm.data.results.provenance import HISTORY, RECORD

_OF_THE_FILE = (*RECORD, HISTORY, CELL_METHODS)
"""What is said of an ensemble as a whole, or of each variable by itself."""
ORIGIN = "origin"
"""Where a field that was read keeps its origin, in its encoding."""


@dataclass(frozen=True)
class Origin:
    """What a field ``(sample, channel, *lattice)`` cannot hold of the file that it was read from.

    Args:
        dims: the axes as stored, without that of channels.
        samples: the axes that became samples and their sizes, in this order.
        channels: the attributes of each channel.
        coords: coordinates of the axes of samples, reference systems, and bounds of the lattice axes.
        attrs: those of the file.
        mixed: the axes of coordinates that depend on samples and lattice, such as positions that move.
    """

    dims: tuple[str, ...]
    samples: Mapping[str, int]
    channels: Mapping[str, dict[str, Any]]
    coords: xr.Dataset = field(default_factory=xr.Dataset)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    mixed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def origin_of(array: xr.DataArray) -> Origin:
    """The origin of a field ``(sample, channel, *lattice)``; of one that was not read from a file, itself."""
    if isinstance(origin := array.encoding.get(ORIGIN), Origin):
        return origin
    names = [str(name) for name in array["channel"].values] if "channel" in array.coords else []
    dims = tuple(str(name) for name in array.dims if name != "channel")
    return Origin(dims, {"sample": array.sizes["sample"]}, {name: dict(array.attrs) for name in names})


def with_own_attributes(field: xr.DataArray, channels: Mapping[str, dict[str, Any]]) -> xr.DataArray:
    """A field ``(sample, channel, *lattice)`` whose channels have attributes of their own."""
    field, origin = field.copy(deep=False), origin_of(field)
    own = {name: finer_attributes(channels.get(name, {}), {}) for name in origin.channels}
    field.encoding[ORIGIN] = replace(origin, channels=own)
    return field


def with_own_axes(result: xr.DataArray, source: xr.DataArray) -> xr.DataArray:
    """What was made of a field that was read, ``(member, sample, channel, *lattice)``, with the axes of its file.

    The axes of samples come back by name with their coordinates, where they are as many as were read.
    """
    origin = origin_of(source)
    if math.prod(origin.samples.values()) != result.sizes["sample"] or set(origin.samples) & set(result.dims[3:]):
        return result
    member, _, channel, *lattice = (str(name) for name in result.dims)
    values = result.to_numpy().reshape(result.shape[0], *origin.samples.values(), *result.shape[2:])
    coords = {name: c for name, c in result.coords.items() if "sample" not in c.dims and name != member}
    batch = origin.coords.drop_dims([name for name in origin.coords.dims if name not in origin.samples])
    coords |= {name: c for name, c in batch.coords.items() if name not in coords}
    coords |= {
        name: _unmixed(result.coords[name], dims, origin)
        for name, dims in origin.mixed.items()
        if name in result.coords
    }
    own = xr.DataArray(
        values, dims=["_", *origin.samples, channel, *lattice], coords=coords, name=result.name, attrs=result.attrs
    )
    return own.rename({"_": (name := new_axis(own))}).assign_coords({name: numbered(own, name, len(values))})


def _unmixed(coordinate: xr.DataArray, dims: tuple[str, ...], origin: Origin) -> xr.Variable:
    """A coordinate ``(sample, *lattice)`` on the axes that it had in the file."""
    lattice = [str(name) for name in coordinate.dims if name != "sample"]
    ordered = coordinate.transpose("sample", *lattice)
    values = ordered.to_numpy().reshape(*origin.samples.values(), *ordered.shape[1:])
    whole = xr.Variable([*origin.samples, *lattice], values, coordinate.attrs)
    return whole.isel({name: 0 for name in origin.samples if name not in dims}).transpose(*dims)


def as_dataset(result: xr.DataArray, source: xr.DataArray, factors: tuple[int, ...], places: Any = None) -> xr.Dataset:
    """What :func:`with_own_axes` gives as the variables of a file, each with its own attributes.

    Args:
        result: ``(member, *samples, channel, *lattice)``, finer than ``source`` by ``factors``.
        source: the field that was read.
        factors: of the axes of the lattice.
        places: of a coarse site among its fine ones along each axis; None: the middle.
    """
    origin = origin_of(source)
    steps = finer_steps(source.dims[2:], factors, places)
    plane = plane_steps(source, steps)
    order = [name for name in origin.dims if name in result.dims]
    order = [*(name for name in result.dims if name not in order), *order] if len(order) == len(origin.dims) else None
    variables = {}
    for i, name in enumerate(str(name) for name in result["channel"].values):
        part = result.isel(channel=i, drop=True)
        own = finer_attributes(origin.channels.get(name, {}), plane)
        gone = {key for key in source.attrs if key not in result.attrs}
        attrs = {key: value for key, value in own.items() if key not in gone}
        attrs |= {key: v for key, v in result.attrs.items() if key not in source.attrs and key not in _OF_THE_FILE}
        part.attrs, part.encoding = attrs, {}
        variables[name] = part if order is None else _transposed(part, [n for n in order if n != "channel"])
    fine = xr.Dataset(variables, attrs={**finer_attributes(origin.attrs, plane), CHANNELS: ",".join(variables)})
    of_samples = {n: c for n, c in origin.coords.variables.items() if c.ndim == 2 and set(c.dims) & set(origin.samples)}
    fine = fine.assign_coords(_refined_bounds(origin.coords, source, steps) | of_samples)
    for name, coordinate in source.coords.items():
        if name in fine.coords and "bounds" in coordinate.attrs:
            fine[name].attrs["bounds"] = coordinate.attrs["bounds"]
    cells = auxiliary_variables(fine, CELLS)
    return without_dangling(fine.reset_coords([name for name in cells if name in fine.coords]))


def _refined_bounds(coords: xr.Dataset, source: xr.DataArray, steps: Steps) -> dict[Any, xr.Variable]:
    """The bounds that a file had of the lattice axes, of the finer cells, and the positions within them."""
    refined = {}
    for name, coordinate in source.coords.items():
        bounds = str(coordinate.attrs.get("bounds", ""))
        if bounds in coords and set(coordinate.dims) & set(steps):
            both = xr.Dataset(coords={name: coordinate.variable, bounds: coords[bounds].variable})
            fine = refine_coordinates(both, steps)
            refined |= {each: fine[each].variable for each in (name, bounds) if bounds in fine}
    return refined


def _transposed(part: xr.DataArray, order: list[Any]) -> xr.DataArray:
    """The part with its axes in an order, and what it states of their boundaries likewise."""
    lattice = [name for name in part.dims[-len(_sides(part)) :]] if BOUNDARY in part.attrs else []
    moved = part.transpose(*order, transpose_coords=False)
    if len(lattice) > 1:
        sides = dict(zip(lattice, _sides(part), strict=True))
        moved.attrs[BOUNDARY] = ",".join(sides[name] for name in order if name in sides)
    return moved


def _sides(part: xr.DataArray) -> list[str]:
    return str(part.attrs.get(BOUNDARY, "")).split(",")
