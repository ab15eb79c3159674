"""What a file or folder offers: its variables with named axes, one function for each format."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr
import zarr

from rgdm.data.conventions import auxiliary_variables
from rgdm.data.engines.geotiff import open_geotiff, opens
from rgdm.data.engines.grib import GRIB_SUFFIXES, open_grib, proj_first
from rgdm.data.images.reading import IMAGE_SUFFIXES, read_images
from rgdm.data.missing import present
from rgdm.errors import InputError
from rgdm.notes import say

CHANNELS = "channels"
"""The attribute of a written file that says which of its variables are the channels, in order."""

_NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class Source:
    """The variables of an opened file, decoded, with names, coordinates and attributes.

    Args:
        variables: by name.
        channels: those meant when the user names none.
        close: the file.
        attrs: of the file.
        coords: coordinates, bounds and grid mappings, which are no fields.
        stored: the same variables as they are stored, packed and with fill values; where missing, they are as decoded.
        netcdf: whether what was never written holds the default fill values of NetCDF.
        zero_filled: variables whose fill value is the 0 that Zarr 2 gives to any array, which therefore says nothing.
        groups: opens the groups of the file that hold variables, each by its path.
    """

    variables: dict[str, xr.DataArray]
    channels: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None
    attrs: dict[str, Any] = field(default_factory=dict)
    coords: xr.Dataset = field(default_factory=xr.Dataset)
    stored: dict[str, xr.Variable] = field(default_factory=dict)
    netcdf: bool = False
    zero_filled: frozenset[str] = frozenset()
    groups: Callable[[], dict[str, "Source"]] = dict


def open_source(path: Path, dimension: int) -> Source:
    """Open a file or folder by its suffix and first bytes; arrays of NetCDF and Zarr stay on disk."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path}")
    suffix = path.suffix.lower()
    proj_first()
    if path.is_dir() and (suffix == ".zarr" or any((path / mark).exists() for mark in _ZARR_MARKS)):
        return _open_zarr(path, dimension)
    if suffix in GRIB_SUFFIXES:
        return _open_engine(path, open_grib)
    if opens(path):
        return _open_engine(path, open_geotiff)
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        return _open_images(path, dimension)
    if suffix in _NETCDF_SUFFIXES:
        return _open_netcdf(path)
    if suffix in (".npy", ".npz"):
        return _open_numpy(path, dimension)
    raise InputError(
        f"{path} is of an unknown kind; give NetCDF ({', '.join(_NETCDF_SUFFIXES)}), a .zarr folder, .npy, .npz, "
        f"an image or a folder of images, GRIB ({', '.join(GRIB_SUFFIXES)})"
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one sentence that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except ImportError as error:  # the library of this format is not installed
        raise InputError(f"cannot read {path}: {error}") from error
    except Exception as error:  # every format has its own exceptions, some of them bare
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"cannot read {path}; it is damaged, truncated or of another format ({lines[0]})") from error


def _open_netcdf(path: Path) -> Source:
    with reading(path), path.open("rb") as file:
        mark = file.read(8)
    if mark.startswith(b"CDF\x05"):
        raise InputError(
            f"cannot read {path}; it is NetCDF in the 64-bit data format (CDF-5): convert it with "
            f"`nccopy -k nc4 {path.name} NEW.nc`"
        )
    if mark.startswith(b"CDF"):
        return _open_dataset(path, "scipy")
    if mark == b"\x89HDF\r\n\x1a\n":
        with reading(path), h5netcdf.File(path, phony_dims="access") as file:
            groups = [name.strip("/") for name in _groups_of(file)]
        return _open_dataset(path, "h5netcdf", groups)
    if mark.startswith(b"\x0e\x03\x13\x01"):
        raise InputError(
            f"cannot read {path}; it is HDF4: convert it to NetCDF-4, as with `ncl_convert2nc` or `h4toh5`"
        )
    raise InputError(f"cannot read {path}; it does not begin like a NetCDF file")


def _groups_of(group: h5netcdf.Group) -> Iterator[str]:
    """The paths of all groups below one that hold variables."""
    for each in group.groups.values():
        if each.variables:
            yield each.name
        yield from _groups_of(each)


def _open_zarr(path: Path, dimension: int) -> Source:
    if not any((path / mark).exists() for mark in _ZARR_MARKS):
        raise InputError(f"cannot read {path}; it holds no Zarr metadata")
    with reading(path):
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            array = _named(np.asarray(node[...]), dimension).assign_attrs(dict(node.attrs))
            stored, zero = _with_fill_of_zarr(array.variable, node.fill_value, node.metadata.zarr_format)
            return Source({"field": array}, stored={"field": stored}, zero_filled=frozenset(["field"] if zero else []))
        members = node.members(max_depth=None)
        groups = {name.rpartition("/")[0] for name, member in members if isinstance(member, zarr.Array)} - {""}
    return _open_dataset(path, "zarr", sorted(groups))


def _open_dataset(path: Path, engine: str, groups: Sequence[str] = (), group: str = "") -> Source:
    options: dict = {"engine": engine, "decode_cf": False}
    if group:
        options["group"] = group
    if engine == "zarr":
        options["consolidated"] = False
    with reading(path):
        raw = xr.open_dataset(path, **options)
        data = _decoded(raw)
        for above in _above(group) if group else ():
            holder = _open_dataset(path, engine, group=above)
            data = _with_coordinates_of(data, holder.coords.load())
            holder.close()
    data = data.set_coords(auxiliary_variables(data))
    # Sorted, because Zarr lists variables in the order of the folder, which is any.
    variables = {str(name): data[name] for name in sorted(data.data_vars, key=str)}
    stored, zero_filled = {name: raw.variables[name] for name in variables}, set()
    for name, variable in stored.items() if engine == "zarr" else ():
        fill = variable.encoding.get("fill_value", variable.attrs.get("_FillValue"))
        stored[name], zero = _with_fill_of_zarr(variable, fill, 3 if (path / "zarr.json").exists() else 2)
        zero_filled |= {name} if zero else set()
    channels = str(data.attrs.get(CHANNELS, "")).split(",")
    return Source(
        variables,
        channels if set(channels) <= set(variables) else [],
        raw.close,
        dict(data.attrs),
        data.coords.to_dataset(),
        stored,
        engine != "zarr",
        frozenset(zero_filled),
        lambda: _open_groups(path, engine, groups),
    )


def _open_engine(path: Path, read: Callable[[Path], xr.Dataset]) -> Source:
    """What an engine of xarray reads."""
    try:
        with reading(path):
            data = read(path)
    except InputError as error:  # what it says itself is better than what is said of it
        raise error.__cause__ if isinstance(error.__cause__, InputError) else error from None
    data = data.set_coords(auxiliary_variables(data))
    variables = {str(name): data[name] for name in data.data_vars}
    channels = list(variables) if len(variables) > 1 and all(name.startswith("band_") for name in variables) else []
    return Source(variables, channels, data.close, dict(data.attrs), data.coords.to_dataset())


def _open_groups(path: Path, engine: str, names: Sequence[str]) -> dict[str, Source]:
    """The groups that can be read, in the order of their names."""
    groups = {}
    for name in sorted(names):
        with suppress(InputError):
            groups[name] = _open_dataset(path, engine, group=name)
    return groups


def _decoded(raw: xr.Dataset) -> xr.Dataset:
    """Decoded by the CF conventions, with dates where the calendar is known; units of "s" make no time differences."""
    with warnings.catch_warnings():  # several fill values: the fields are decoded here
        warnings.simplefilter("ignore", xr.SerializationWarning)
        try:
            return xr.decode_cf(raw, decode_timedelta=False)
        except (ValueError, OverflowError):  # a calendar that cannot be decoded; the field can do without
            return xr.decode_cf(raw, decode_times=False, decode_timedelta=False)


def _above(group: str) -> list[str]:
    """The groups that hold a group, nearest first; the file itself is the last, without a name."""
    parts = group.split("/")
    return ["/".join(parts[:i]) for i in range(len(parts) - 1, -1, -1)]


def _with_coordinates_of(data: xr.Dataset, above: xr.Dataset) -> xr.Dataset:
    """A group with the coordinates that it shares with the groups which hold it."""
    shared = {
        name: coordinate.variable
        for name, coordinate in above.coords.items()
        if name not in data.variables and all(data.sizes.get(n) == size for n, size in coordinate.sizes.items())
    }
    return data.assign_coords(shared)


def _with_fill_of_zarr(stored: xr.Variable, fill: Any, version: int) -> tuple[xr.Variable, bool]:
    """A variable with the fill value of its array as an attribute, unless it is the 0 that Zarr 2 gives to any array.

    Numbers with a scale or an offset were packed by xarray, which chooses no fill value by itself.
    """
    stored = stored.copy(deep=False)
    packed = "scale_factor" in stored.attrs or "add_offset" in stored.attrs
    if version == 2:
        stored.attrs.pop("_FillValue", None)
    if fill is None or stored.dtype.kind not in "fiu":
        return stored, False
    if fill != 0 or (version == 2 and packed):
        stored.attrs.setdefault("_FillValue", fill)
    return stored, version == 2 and "_FillValue" not in stored.attrs


def _open_numpy(path: Path, dimension: int) -> Source:
    with reading(path):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        arrays = {"field": stored} if isinstance(stored, np.ndarray) else _without_masks(dict(stored), path)
    return Source({str(name): _named(array, dimension) for name, array in arrays.items()})


def _without_masks(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Arrays of an .npz file; ``mask`` and ``NAME_mask`` of truth values are the masks of others, as in numpy.ma."""
    masks = {name: each for name, each in arrays.items() if each.dtype == bool and name.endswith("mask")}
    found, applied = {}, set()
    for name, array in arrays.items():
        own = f"{name}_mask" if f"{name}_mask" in masks else "mask"
        if name not in masks and own in masks and masks[own].shape == array.shape and array.dtype.kind in "fiu":
            count = int(masks[own].sum())
            say([f"{own} in {path} masks {count} values of {name} (True is missing)"])
            array = present(np.ma.MaskedArray(array, masks[own]))
            applied.add(own)
        found[name] = array
    return {name: array for name, array in found.items() if name not in applied}


def _named(array: np.ndarray, dimension: int) -> xr.DataArray:
    """Names for axes known by their place: ``(batch..., channel, *lattice)``, channels only after a batch."""
    lattice = [f"axis_{i}" for i in range(min(dimension, array.ndim))]
    extra = array.ndim - len(lattice)
    leading = [f"batch_{i}" for i in range(extra)]
    if extra >= 2:
        leading[-1] = "channel"
    return xr.DataArray(array, dims=[*leading, *lattice])


def _open_images(path: Path, dimension: int) -> Source:
    if dimension != 2:
        raise InputError(f"{path} holds images, which have 2 dimensions; the model needs {dimension}")
    images = read_images(path)
    attrs = {} if images.nodata is None else {"_FillValue": images.nodata}
    parts = [
        xr.DataArray(images.values[..., i], dims=("sample", "y", "x"), attrs=attrs) for i in range(len(images.channels))
    ]
    return Source(dict(zip(images.channels, parts, strict=True)), images.channels)
