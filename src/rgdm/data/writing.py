"""Fields to files, all or nothing: a file is written beside its place and then renamed into it."""

import errno
import json
import os
import secrets
import shutil
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xarray as xr

from rgdm.data.memory import GIB
from rgdm.data.sources import CHANNELS
from rgdm.errors import InputError

_CHUNK = 1024
"""Largest Zarr chunk along a lattice axis."""

_OVERHEAD = 2**16
"""Bytes that a file needs beside its values."""

_ONE_PER_CHUNK = ("member", "refinement", "sample", "channel", "time")


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Return the path if a field can be written there, else raise ``ValueError``; for use before a long computation."""
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise InputError(f"cannot write {path}; its name must end in one of {', '.join(_WRITERS)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name or pass --overwrite")
    return path


def write_field(
    path: str | Path, data: xr.DataArray | xr.Dataset, overwrite: bool = False, attrs: dict | None = None
) -> None:
    """Write a field as .zarr, .nc, .npy or .npz, chosen by the suffix; ``attrs`` describe how it was made.

    In Zarr and NetCDF each channel is a variable of its own. The numpy formats keep the
    values alone: .npy of one DataArray, .npz one array for each variable.
    """
    path = check_output(path, overwrite)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # HDF5 can crash the process when the disk fills up, so ask first; Zarr compresses and may fit.
        if path.suffix != ".zarr" and shutil.disk_usage(path.parent).free < data.nbytes + _OVERHEAD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _WRITERS[path.suffix](temporary, data, attrs or {})
        _put_in_place(temporary, path)
    except BaseException as error:  # also Ctrl-C leaves nothing half-written
        _remove(temporary)
        if _is_full(error):
            free = shutil.disk_usage(path.parent).free
            raise InputError(
                f"the disk is full: {path} needs about {data.nbytes / GIB:.2f} GiB, {free / GIB:.2f} GiB are free"
            ) from error
        if isinstance(error, OSError | ImportError):
            raise InputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
        raise


def as_variables(data: xr.DataArray | xr.Dataset, attrs: dict | None = None) -> xr.Dataset:
    """A Dataset with one variable for each channel, without the storage details of the files it came from."""
    if isinstance(data, xr.DataArray):
        names = [str(name) for name in data["channel"].values] if "channel" in data.coords else []
        if "channel" in data.dims and names and len(set(names)) == len(names):
            parts = {name: data.isel(channel=i, drop=True).rename(name) for i, name in enumerate(names)}
            data = xr.Dataset(parts, attrs={CHANNELS: ",".join(names)})
        else:
            data = data.to_dataset(name=str(data.name or "field"))
    data = data.drop_encoding()
    return data.assign_attrs({name: _plain(value) for name, value in {**data.attrs, **(attrs or {})}.items()})


def _plain(value: object) -> object:
    """What every format can hold as an attribute; the rest as JSON."""
    if isinstance(value, str | int | float | np.ndarray | np.generic) and not isinstance(value, bool):
        return value
    return json.dumps(value, default=str)


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
    _write_binary(path, lambda file: np.save(file, data.to_numpy()))


def _write_npz(path: Path, data: xr.DataArray | xr.Dataset, attrs: dict) -> None:
    dataset = data if isinstance(data, xr.Dataset) else data.to_dataset(name=str(data.name or "field"))

    def write(file: BinaryIO) -> None:
        # Not np.savez, whose arguments are the names: a variable called `file` would be lost.
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in dataset.data_vars.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array.to_numpy(), allow_pickle=False)

    _write_binary(path, write)


def _write_binary(path: Path, write: Callable[[BinaryIO], None]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


_WRITERS = {".zarr": _write_zarr, ".nc": _write_netcdf, ".npy": _write_npy, ".npz": _write_npz}


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        temporary.replace(path)
        return
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    path.rename(old)  # a folder cannot be replaced in one step
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _remove(path: Path) -> None:
    """Remove what was written so far, if anything was; the error that led here is the one to report."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_full(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, is full; HDF5 says so only in its text."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or (isinstance(error, Exception) and os.strerror(errno.ENOSPC) in str(error))
