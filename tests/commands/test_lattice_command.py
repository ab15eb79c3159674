"""``rgdm lattice``: fields of a known action, simulated, measured and written."""

import numpy as np
import pytest
import torch
import xarray as xr
from running import SMALL, ok

from rgdm import commands, config
from rgdm.cli import main
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.actions import FreeField
from rgdm.physics.hamiltonian import EffectiveHamiltonian
from rgdm.physics.interactions import Bond, Power

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
    found = commands.lattice(config.Simulation("free", tmp_path / "x.npy", size=(16,), count=800, mass2=0.5))
    value, error = (float(found[part].sel(observable="phi2")) for part in ("value", "error"))
    assert abs(value - float(FreeField(0.5).spectrum((16, 16)).mean())) < 4 * error


@pytest.mark.parametrize("action", ["phi4", "ising"])
def test_a_rectangle_in_a_field_with_bonds_of_two_strengths_has_the_couplings_asked_for(tmp_path, capsys, action):
    asked = ["--size", 8, 16, "--coupling", 0.4, "--external-field", 0.1, "--anisotropy", 1, 0.5, "--count", 4000]
    ok("lattice", action, *asked, "--quartic", 0.8, "--chains", 100, "--out", tmp_path / "x.nc")
    x = torch.tensor(xr.open_dataset(tmp_path / "x.nc")["spin" if action == "ising" else "phi"].values)[:, None]
    assert x.shape == (4000, 1, 8, 16)
    wanted = torch.tensor([-0.2, -0.4, -0.1, *([] if action == "ising" else [-0.6, 0.8])], dtype=torch.float64)
    terms = [Bond((0, 1), isotropic=False), Bond((1, 0), isotropic=False), Power(1), Power(2), Power(4)][: len(wanted)]
    fit = EffectiveHamiltonian.fit_spins if action == "ising" else EffectiveHamiltonian.fit
    fitted = fit(x.double(), terms)
    assert float(((fitted.couplings - wanted) / fitted.errors).abs().max()) < 4.5
    if action == "phi4":  # the command that measures them says the same of the file
        found = commands.couplings(config.Couplings((tmp_path / "x.nc",), levels=1, odd=True, anisotropic=True))
        one = float((found["coupling"].sel(interaction="bond[1, 0]") / found["scale"] ** 2)[0])
        assert [str(name) for name in found["interaction"].values][:2] == ["bond[0, 1]", "bond[1, 0]"]
        assert one == pytest.approx(-0.4, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        (["ising", "--dimension", 3, "--size", 4], "Ising(coupling=0.221654626", "0.221654626 +- 5e-09 (Ferrenberg"),
        (["ising", "--size", 4, 6, "--anisotropy", 1, 1], "Ising(coupling=0.44068679", "0.440686794 (Kramers"),
        (["ising", "--size", 4, "--anisotropy", 1, 2], "Ising(coupling=0.304688931", "0.304688932 (Onsager"),
        (["phi4", "--size", 4], "Phi4(a=0.680605, b=-1.0, c=1.0", "0.680605 +- 4e-06 (Kaupuzs"),
    ],
)
def test_the_critical_coupling_on_record_is_the_default(tmp_path, capsys, arguments, expected, said):
    ok("lattice", *arguments, "--count", 4, "--chains", 2, "--thermalization", 1, "--out", tmp_path / "x.nc")
    assert f"critical coupling {said}" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "x.nc") as file:
        assert next(iter(file.data_vars.values())).attrs["action"].startswith(expected)


def test_every_command_takes_the_torus_that_the_file_states(tmp_path):
    """One made by ``rgdm lattice`` is a torus to all of them; ``--boundary`` has the last word."""
    fields, model = tmp_path / "phi.nc", tmp_path / "model"
    ok("lattice", "phi4", "--size", 8, 16, "--coupling", 0.6, "--count", 60, "--chains", 10, "--out", fields)
    ok("train", fields, "--out", model, "--steps", 2, *SMALL)
    assert Cascade.from_pretrained(model).grid.boundaries == ("periodic", "periodic")
    ok("sample", model, "--lattice", 8, 8, "--count", 4, "--out", tmp_path / "new.nc")
    ok("evaluate", model, fields, "--members", 2, "--out", tmp_path / "scores")
    with xr.open_dataset(fields) as data:
        coarse = data["phi"][:2].coarsen(y=4, x=4).mean()
    coarse.attrs["periodic"] = "True"
    coarse.to_netcdf(tmp_path / "coarse.nc")
    ok("refine", model, tmp_path / "coarse.nc", "--members", 2, "--out", tmp_path / "fine.nc")
    for made in ("new.nc", "fine.nc"):
        with xr.open_dataset(tmp_path / made) as file:
            assert set(file["phi"].attrs["boundary"].split(",")) == {"periodic"}
    ok("report", model, tmp_path / "scores", tmp_path / "new.nc", "--out", tmp_path / "report.html")

    def bonds(name: str, *boundary: str) -> float:
        found = commands.couplings(config.Couplings((tmp_path / name,), levels=1, boundary=boundary))
        return float(found["coupling"].sel(interaction="bond")[0])

    torus, edges = bonds("phi.nc", "periodic"), bonds("phi.nc", "reflect")
    assert bonds("phi.nc") == torus != edges
    assert bonds("new.nc") == bonds("new.nc", "periodic") != bonds("new.nc", "reflect")  # what sample wrote, too
    ok("train", fields, "--out", tmp_path / "other", "--boundary", "reflect", "--steps", 2, *SMALL)
    assert Cascade.from_pretrained(tmp_path / "other").grid.boundaries == ("reflect", "reflect")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["phi4", "--dimension", "3"], "give one (--coupling)"),
        (["phi4", "--quartic", "0.123"], "give one (--coupling), or take ising in 2 dimensions"),
        (["phi4", "--size", "8", "8", "8"], "no critical coupling of phi4 in 3"),
        (["ising", "--size", "8", "8", "8", "8"], "--size 8 8 8 8 has 4 axes"),
        (["ising", "--size", "8", "8", "--dimension", "3"], "--size 8 8 has 2 axes; --dimension is 3"),
        (["ising", "--size", "8", "0"], "size = (8, 0); of each a whole number"),
        (["ising", "--size", "8", "1"], "at least 2"),
        (["ising", "--anisotropy", "1", "1", "1", "--coupling", "0.4"], "one for each axis"),
        (["ising", "--anisotropy", "1", "1e30"], "anisotropy = (1.0, 1e+30); of each a number from -100 to 100"),
        (["ising", "--external-field", "nan"], "external_field = nan"),
        (["free", "--external-field", "0.1"], "--external-field and --anisotropy are for phi4 and ising, not for free"),
        (["ising-dual", "--anisotropy", "1", "0.5"], "not for ising-dual"),
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
