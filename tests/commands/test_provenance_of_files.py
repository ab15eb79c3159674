"""A written file says what makes it again, and the command in its history does."""

import json
import shlex

import numpy as np
import pytest
import xarray as xr
from running import ok

pytestmark = pytest.mark.integration


def opened(path):
    return xr.open_dataset(path, engine="zarr" if path.suffix == ".zarr" else "h5netcdf")


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_the_command_in_the_history_makes_the_same_file_again(terrain, tmp_path, suffix):
    coarse = xr.open_dataset(terrain / "heights.nc", engine="h5netcdf").coarsen(lat=4, lon=4).mean()
    coarse["height"].attrs["cell_methods"] = "time: point"
    coarse.assign_attrs(history="before", Conventions="CF-1.8").to_netcdf(tmp_path / "a b.nc", engine="h5netcdf")
    out = tmp_path / f"fine.{suffix}"
    ok("refine", terrain / "model", tmp_path / "a b.nc", "--members", 2, "--seed", 9, "--evaluations", 2, "--out", out)
    with opened(out) as first:
        first.load()
    checksums = json.loads((terrain / "model" / "config.json").read_text())["weights"]
    assert first.attrs["model_checksum"] in checksums and first.attrs["Conventions"] == "CF-1.8"
    asked = {name: int(first.attrs[name]) for name in ("levels", "members", "seed", "evaluations")}
    assert asked == {"levels": 2, "members": 2, "seed": 9, "evaluations": 2}
    assert first["height"].attrs["cell_methods"] == "time: point area: mean"
    assert not {"seed", "history", "model_checksum"} & set(first["height"].attrs)
    before, line = first.attrs["history"].splitlines()
    assert before == "before"
    program, *words = shlex.split(line.split(" ", 1)[1].rpartition(" (rgdm ")[0])
    assert program == "rgdm"
    out.unlink() if suffix == "nc" else out.rename(tmp_path / "old.zarr")
    ok(*words)
    with opened(out) as again:
        np.testing.assert_array_equal(again["height"], first["height"])


def test_generated_fields_say_the_model_and_the_command(terrain, tmp_path):
    ok("sample", terrain / "model", "--lattice", 16, 24, "--seed", 4, "--out", tmp_path / "made.nc")
    with opened(tmp_path / "made.nc") as made:
        assert made.attrs["model_checksum"] in json.loads((terrain / "model" / "config.json").read_text())["weights"]
        assert "--lattice 16 24" in made.attrs["history"] and "--seed 4" in made.attrs["history"]
        assert made.attrs["Conventions"].startswith("CF-") and "history" not in made["height"].attrs
