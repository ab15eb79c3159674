"""``rgdm lattice``: fields of a known action, simulated, measured and written."""

import numpy as np
import pytest
import xarray as xr
from running import ok

from rgdm import commands, config
from rgdm.cli import main
from rgdm.physics.actions import FreeField

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("action", ["phi4", "ising", "ising-dual", "free"])
def test_lattice_fields_are_simulated_measured_and_written(tmp_path, capsys, action):
    ok("lattice", action, "--out", tmp_path / "fields.nc", "--size", 8, "--count", 100, "--chains", 10)
    printed = capsys.readouterr().out
    assert "susceptibility" in printed and "tau_int" in printed and "+-" in printed
    field = xr.open_dataset(tmp_path / "fields.nc")
    assert dict(field.sizes) == {"sample": 100, "y": 8, "x": 8} and "lattice" in field.attrs["made_by"]
    if action == "ising":
        assert set(np.unique(field["spin"])) == {-1, 1}


def test_lattice_fields_of_the_free_field_have_its_spectrum(tmp_path):
    found = commands.lattice(config.Simulation("free", tmp_path / "x.npy", size=16, count=800, mass2=0.5))
    value, error = (float(found[part].sel(observable="phi2")) for part in ("value", "error"))
    assert abs(value - float(FreeField(0.5).spectrum((16, 16)).mean())) < 4 * error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["phi4", "--dimension", "3"], "give one with --coupling"),
        (["phi4", "--quartic", "0.5"], "give one with --coupling"),
        (["ising", "--size", "1"], "at least 2"),
        (["ising-dual", "--delta", "0"], "delta = 0.0; a number above 0"),
        (["phi4", "--quartic", "-1", "--coupling", "0.3"], "quartic = -1.0; a number above 0"),
        (["ising", "--chains", "0"], "chains = 0"),
        (["free", "--chains", "0"], "chains = 0"),
        (["phi4", "--coupling", "1e30"], "coupling = 1e+30; a number from -100 to 100"),
        (["phi4", "--coupling", "nan"], "coupling = nan"),
        (["ising", "--thermalization", str(10**12)], "thermalization = 1000000000000"),
        (["ising", "--interval", "0"], "interval = 0"),
        (["phi4", "--size", "100000"], "memory"),
    ],
)
def test_lattice_fields_that_cannot_be_made_are_refused(tmp_path, capsys, arguments, words):
    assert main(["lattice", *arguments, "--out", str(tmp_path / "x.nc")]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())
