"""What a file or folder offers: its variables with named axes, one function for each format."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from rgdm.data.conventions import auxiliary_variables
from rgdm.data.images import IMAGE_SUFFIXES, read_images
from rgdm.errors import InputError

CHANNELS = "channels"
"""The attribute of a written file that says which of its variables are the channels, in order."""

_NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class Source:
    """The variables of an opened file; ``channels`` are those meant when the user names none.

    ``attrs`` are those of the file; ``coords`` its coordinates, bounds and grid mappings, which are no fields.
    """

    variables: dict[str, xr.DataArray]
    channels: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None
    attrs: dict[str, Any] = field(default_factory=dict)
    coords: xr.Dataset = field(default_factory=xr.Dataset)


def open_source(path: Path, dimension: int) -> Source:
    """Open a file or folder by its suffix and first bytes; arrays of NetCDF and Zarr stay on disk."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path}")
    suffix = path.suffix.lower()
    if path.is_dir() and (suffix == ".zarr" or any((path / mark).exists() for mark in _ZARR_MARKS)):
        return _open_zarr(path, dimension)
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        return _open_images(path, dimension)
    if suffix in _NETCDF_SUFFIXES:
        return _open_netcdf(path)
    if suffix in (".npy", ".npz"):
        return _open_numpy(path, dimension)
    raise InputError(
        f"{path} is of an unknown kind; give NetCDF ({', '.join(_NETCDF_SUFFIXES)}), a .zarr folder, .npy, .npz, "
        "an image or a folder of images"
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
    if mark.startswith(b"CDF"):
        return _open_dataset(path, "scipy")
    if mark == b"\x89HDF\r\n\x1a\n":
        return _open_dataset(path, "h5netcdf")
    raise InputError(f"cannot read {path}; it does not begin like a NetCDF file")


def _open_zarr(path: Path, dimension: int) -> Source:
    if not any((path / mark).exists() for mark in _ZARR_MARKS):
        raise InputError(f"cannot read {path}; it holds no Zarr metadata")
    with reading(path):
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return Source({"field": _named(np.asarray(node[...]), dimension)})
    return _open_dataset(path, "zarr")


def _open_dataset(path: Path, engine: str) -> Source:
    # Units of "s" make no time differences: a field stays a field.
    options: dict = {"engine": engine, "decode_timedelta": False}
    if engine == "zarr":
        options["consolidated"] = False
    with reading(path):
        try:
            data = xr.open_dataset(path, **options)
        except (ValueError, OverflowError):  # a calendar that cannot be decoded; the field can do without
            data = xr.open_dataset(path, decode_times=False, **options)
    data = data.set_coords(auxiliary_variables(data))
    # Sorted, because Zarr lists variables in the order of the folder, which is any.
    variables = {str(name): data[name] for name in sorted(data.data_vars, key=str)}
    channels = str(data.attrs.get(CHANNELS, "")).split(",")
    return Source(
        variables,
        channels if set(channels) <= set(variables) else [],
        data.close,
        dict(data.attrs),
        data.coords.to_dataset(),
    )


def _open_numpy(path: Path, dimension: int) -> Source:
    with reading(path):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        arrays = {"field": stored} if isinstance(stored, np.ndarray) else dict(stored)
    return Source({str(name): _named(array, dimension) for name, array in arrays.items()})


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
    values, channels = read_images(path)
    variables = {name: xr.DataArray(values[..., i], dims=("sample", "y", "x")) for i, name in enumerate(channels)}
    return Source(variables, channels)
