"""GRIB by cfgrib, a file of one lattice."""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import xarray as xr

from rgdm.errors import InputError

GRIB_SUFFIXES = (".grib", ".grib2", ".grb", ".grb2")


def proj_first() -> None:
    """Load the PROJ of pyproj before that of eccodes where both are there, or programs end in a crash.

    Whatever xarray opens first loads all of its engines, and eccodes with them.
    """
    if find_spec("eccodes") is not None:
        with suppress(ImportError):
            import_module("pyproj")


def open_grib(path: Path) -> xr.Dataset:
    """The variables of a GRIB file, decoded; no index file is left beside it.

    ``InputError`` if cfgrib and the library eccodes are not installed, or the file holds several lattices.
    """
    if find_spec("cfgrib") is None:
        raise InputError(f"{path} is GRIB, which cfgrib reads: pip install 'rgdm[formats]'")
    try:
        return xr.open_dataset(
            path, engine="cfgrib", backend_kwargs={"indexpath": "", "errors": "raise"}, decode_timedelta=False
        )
    except Exception as error:  # cfgrib has its own exceptions, some of them bare
        several = type(error).__name__ == "DatasetBuildError" or "DatasetBuildError" in str(error)
        if several:
            lines = str(error).strip().splitlines() or [""]
            raise InputError(
                f"{path} holds fields of several levels or steps that are no one array ({lines[0]}); take one kind of "
                "them out, as with `grib_copy -w typeOfLevel=surface` or cdo"
            ) from error
        raise
