"""Files and models that the tests of the commands share."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def terrain(trained) -> Path:
    """``heights.nc``, which has a time axis, and the ``model`` that was trained on it; only to be read."""
    return trained(2)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with good files, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    good = np.random.default_rng(0).standard_normal((2, 16, 16)).astype("f4")
    np.save("good.npy", good)
    np.save("coarse.npy", good[:, :4, :4])
    wind = xr.Dataset({"u10": (("t", "y", "x"), good), "v10": (("t", "y", "x"), good[::-1])})
    wind.to_netcdf("wind.nc", engine="h5netcdf")
    return tmp_path


@pytest.fixture
def model(place, terrain) -> Path:
    """A model of two levels in that folder, to be damaged."""
    return Path(shutil.copytree(terrain / "model", place / "model"))
