"""Tiny models that the command trained, one for each dimension and boundary, kept between runs of the tests.

A folder holds ``field`` (the data) and ``model``. Its key is a hash of the sources and of what is trained, so that a
change of either trains anew.
"""

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm.cli import main

SOURCES = Path(__file__).parents[1] / "src" / "rgdm"
SMALL = ["--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1", "--levels", "2", "--device", "cpu"]
SMALL += ["--evaluations", "3"]
SHAPES = {1: (6, 64), 2: (5, 16, 24), 3: (2, 4, 8, 8)}
DAYS = 2
"""How long a folder that nobody uses is kept."""


def walk(*shape: int) -> Any:
    """A rough field, float32."""
    return (np.random.default_rng(0).standard_normal(shape).cumsum(-1) / 4).astype("f4")


def heights() -> xr.DataArray:
    """A field with names, coordinates, a unit and a time axis."""
    return xr.DataArray(
        100 + 10 * walk(*SHAPES[2]).astype("f8"),
        dims=("time", "lat", "lon"),
        coords={"time": np.arange(5), "lat": np.linspace(60.0, 45.0, 16), "lon": np.arange(24.0)},
        attrs={"units": "m", "valid_min": np.int32(-5)},
        name="height",
    )


def trained(cache: Path, dimension: int, boundary: str = "reflect") -> Path:
    """The folder of a model of so many axes: ``heights.nc`` (or ``field.npy``) and ``model``."""
    folder = cache / _key(dimension, boundary)
    if not folder.exists():
        for old in cache.iterdir():
            if time.time() - old.stat().st_atime > DAYS * 86400:
                shutil.rmtree(old, ignore_errors=True)
        building = Path(tempfile.mkdtemp(dir=cache))
        _train(building, dimension, boundary)
        try:
            building.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(building)
    os.utime(folder)
    return folder


def _train(folder: Path, dimension: int, boundary: str) -> None:
    path = folder / ("heights.nc" if dimension == 2 else "field.npy")
    if dimension == 2:
        heights().to_netcdf(path, engine="h5netcdf")
    else:
        np.save(path, walk(*SHAPES[dimension]).astype("f8"))
    arguments = [str(path), "--out", str(folder / "model"), "--dimension", str(dimension), "--boundary", boundary]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        assert main(["train", *arguments, "--steps", "4", *SMALL]) == 0


def _key(dimension: int, boundary: str) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in [Path(__file__), *sorted(SOURCES.rglob("*.py"))]:
        digest.update(path.read_bytes())
    return f"{dimension}-{boundary}-{digest.hexdigest()}"
