"""Fields to files, each there whole or not at all."""

import errno
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm.atomic import replacing
from rgdm.data.checks import check_made
from rgdm.data.conventions import without_dangling
from rgdm.data.formats import CHANNELS
from rgdm.data.origin import ORIGIN, origin_of
from rgdm.data.results.encodings import encoding_of_dates, is_date, kept_encoding
from rgdm.data.results.raster import INSTEAD, TIFF, check_installed, write_raster
from rgdm.errors import InputError
from rgdm.notes import option

_DATES = "microseconds since 1970-01-01"
_CHUNK = 1024
"""Largest Zarr chunk along a lattice axis."""

_OVERHEAD = 2**16
"""Bytes that a file needs beside its values."""

_ONE_PER_CHUNK = ("member", "refinement", "sample", "channel", "time")

NAMED = (".zarr", ".nc", *TIFF)
"""Formats that have variables with names, axes and attributes."""


def check_output(path: str | Path, overwrite: bool = False, placed: bool = True) -> Path:
    """The path, if a field can be written there; else an ``InputError``. To be called before a long computation.

    Fields that are not ``placed`` on the Earth, such as generated ones, are no GeoTIFF.
    """
    path = Path(path)
    if path.suffix in TIFF and not placed:
        raise InputError(f"cannot write {path}: generated fields lie nowhere on the Earth; {INSTEAD}")
    if path.suffix in TIFF:
        check_installed(path)
    if path.suffix not in _WRITERS:
        raise InputError(f"cannot write {path}; its name must end in one of {', '.join(_WRITERS)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or pass {option('--overwrite')}")
    return path


def write_field(
    path: str | Path,
    data: xr.DataArray | xr.Dataset,
    overwrite: bool = False,
    attrs: dict | None = None,
    missing: int | None = 0,
) -> None:
    """Write a field as .zarr, .nc, .npy, .npz or GeoTIFF, chosen by the suffix; ``attrs`` describe its origin.

    In Zarr and NetCDF each channel is a variable of its own, in a GeoTIFF its variables or the entries of one further
    axis are bands (:mod:`rgdm.data.results.raster`). The numpy formats keep the values alone: .npy of one DataArray,
    .npz one array for each variable. All values must be finite but for the ``missing`` ones, which are NaN; with None
    (of tables, which are no fields) they may be anything.
    """
    path = check_output(path, overwrite)
    if missing is not None:
        check_made(data, missing)
    with replacing(path, data.nbytes) as temporary:
        # HDF5 can crash the process when the disk fills up, so ask first; Zarr compresses and may fit.
        if path.suffix != ".zarr" and shutil.disk_usage(path.parent).free < data.nbytes + _OVERHEAD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            _WRITERS[path.suffix](temporary, data, attrs or {})
        except InputError:
            raise
        except (ValueError, TypeError, NotImplementedError) as error:  # a name or a coordinate it does not take
            raise InputError(f"cannot write {path}: {error}") from error


def as_variables(data: xr.DataArray | xr.Dataset, attrs: dict | None = None) -> xr.Dataset:
    """A Dataset with one variable for each channel, without the storage details of the files it came from."""
    if isinstance(data, xr.DataArray):
        names = [str(name) for name in data["channel"].values] if "channel" in data.coords else []
        if "channel" in data.dims and names and len(set(names)) == len(names):
            own = origin_of(data).channels if ORIGIN in data.encoding else {}
            parts = {name: data.isel(channel=i, drop=True).rename(name) for i, name in enumerate(names)}
            parts = {name: part.assign_attrs({**own.get(name, {}), **part.attrs}) for name, part in parts.items()}
            data = xr.Dataset(parts, attrs={CHANNELS: ",".join(names)})
        else:
            data = data.to_dataset(name=str(data.name or "field"))
    data = without_dangling(data)
    kept = {name: _kept(variable) for name, variable in data.variables.items()}
    data = data.drop_encoding()
    data.attrs = _plain_attributes({**data.attrs, **(attrs or {})})
    for name, variable in data.variables.items():
        data[name].attrs = _plain_attributes(variable.attrs)
        data[name].encoding |= kept[name]
        bounds = str(variable.attrs.get("bounds", ""))
        if is_date(variable) and bounds in data:  # the bounds of dates are in their units
            data[name].encoding = data[bounds].encoding = kept[name] or {"units": _DATES}
    words = {name: c.variable.astype(object) for name, c in data.coords.items() if c.dtype.kind == "U"}
    return data.assign_coords(words)  # words of any length, which Zarr has a type for


def _kept(variable: xr.Variable) -> dict[str, Any]:
    """What is right for an array of any size in any format: compression, and the unit of dates."""
    return kept_encoding(variable.encoding, variable.values) | encoding_of_dates(variable)


def _plain_attributes(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes that every format can hold, under names that every format takes."""
    return {str(name).replace("/", "_"): _plain(value) for name, value in attrs.items() if str(name).strip()}


def _plain(value: object) -> object:
    """The value if every format can hold it as an attribute, else its JSON, or its words if it has none."""
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biufSU" else str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str | float) or (type(value) is int and abs(value) < 2**63):
        return value
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, list | tuple) and value and all(type(one) in (int, float) for one in value):
        return list(value) if all(type(one) is int and abs(one) < 2**63 for one in value) else [float(x) for x in value]
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError):  # keys that JSON has not, circles
        return str(value)


def _write_zarr(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    dataset = as_variables(data, attrs)
    encoding = {name: {"chunks": _chunks(array)} for name, array in dataset.data_vars.items() if array.ndim}
    with warnings.catch_warnings():  # zarr says that other readers may not know it; they do without
        warnings.filterwarnings("ignore", "Consolidated metadata")
        dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=True, encoding=encoding)


def _chunks(array: xr.DataArray) -> tuple[int, ...]:
    batch = array.ndim - 3  # at most three axes are lattice
    return tuple(
        1 if name in _ONE_PER_CHUNK or i < batch else max(1, min(n, _CHUNK))
        for i, (name, n) in enumerate(array.sizes.items())
    )


def _write_netcdf(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    as_variables(data, attrs).to_netcdf(path, engine="h5netcdf")


def _write_npy(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    if isinstance(data, xr.Dataset):
        raise InputError(f".npy holds one array, the Dataset has the variables {list(data.data_vars)}; write .npz")
    with path.open("wb") as file:  # np.save would add a suffix to a name
        np.save(file, data.to_numpy())


def _write_npz(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    dataset = data if isinstance(data, xr.Dataset) else data.to_dataset(name=str(data.name or "field"))
    # Not np.savez, whose arguments are the names: a variable called `file` would be lost.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in dataset.data_vars.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array.to_numpy(), allow_pickle=False)


def _write_tiff(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    write_raster(path, as_variables(data, attrs))


_WRITERS = {
    ".zarr": _write_zarr,
    ".nc": _write_netcdf,
    ".npy": _write_npy,
    ".npz": _write_npz,
    **dict.fromkeys(TIFF, _write_tiff),
}
