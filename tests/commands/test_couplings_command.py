"""``rgdm couplings``: of a file and of a model."""

import sys

import numpy as np
import pytest
import xarray as xr
from running import SMALL, ok, walk

from rgdm import config
from rgdm.cli import main
from rgdm.commands import couplings
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lattice.sweep import LearnedSweep
from rgdm.physics.actions import Phi4
from rgdm.physics.monte_carlo.chains import sample_fields

pytestmark = pytest.mark.integration


def test_the_couplings_of_a_file_and_of_a_model_are_printed_kept_and_drawn(tmp_path, capsys, monkeypatch):
    fields = sample_fields(Phi4.critical(), 16, 50, 200, seed=0, thermalization=40, interval=5)
    np.save(tmp_path / "phi.npy", fields.numpy())
    ok("couplings", tmp_path / "phi.npy", "--levels", 1, "--boundary", "periodic", "--out", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["level", "bond", "phi^2", "phi^4"] and len(lines) == 4
    found = xr.open_dataset(tmp_path / "out" / "couplings.nc")
    scale = float(found["scale"][0])
    bond = float(found["coupling"].sel(interaction="bond")[0]) / scale**2
    assert abs(bond + 0.680605) < 4 * float(found["error"].sel(interaction="bond")[0]) / scale**2
    assert (tmp_path / "out" / "couplings.png").stat().st_size > 5000
    fit = LearnedSweep.fit
    monkeypatch.setattr(LearnedSweep, "fit", lambda sweep, x, seed: fit(sweep, x, steps=20, seed=seed))
    torus = "--boundary", "periodic"
    ok("train", tmp_path / "phi.npy", "--out", tmp_path / "model", *torus, "--sweep", "--steps", 3, *SMALL)
    capsys.readouterr()
    ok("couplings", tmp_path / "model", "--levels", 3, "--lattice", 16, 16, "--count", 8, "--out", tmp_path / "own")
    assert "-log p a site" in capsys.readouterr().out
    own, model = xr.open_dataset(tmp_path / "own" / "couplings.nc"), Cascade.from_pretrained(tmp_path / "model")
    made = model.normalise(model.sample((16, 16), 8))
    known = model.log_prob(model.denormalise(made), probes=1, tolerance=1e-3)
    whole = -(known.total.value - known.units) / 256
    assert float(own["energy"][0]) == pytest.approx(float(whole.mean()), abs=1e-3)
    assert float(own["energy"][2]) == pytest.approx(-float(known.base.value.mean()) / 16, abs=1e-3)
    assert np.isnan(own["energy"][3]) and np.isfinite(own["energy_error"][1])
    ok("sample", tmp_path / "model", "--lattice", 16, 16, "--sweeps", 2, "--out", tmp_path / "made.npy")
    assert np.isfinite(np.load(tmp_path / "made.npy")).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("phi.npy", "--lattice", "8", "8"), "is no model"),
        (("phi.npy", "--levels", "9"), "fits"),
        (("one.npy",), "holds one field"),
        (("nothing.npy",), "no file or folder"),
        (("phi.npy", "--reach", "0"), "reach = 0"),
        (("phi.npy", "--reach", "1000"), "reach = 1000; a whole number from 1 to 16"),
        (("phi.npy", "--power", "1000000"), "power = 1000000; a whole number from 2 to 16"),
        (("phi.npy", "--noise", "inf"), "noise = inf"),
        (("phi.npy", "--eta", "nan"), "eta = nan"),
        (("phi.npy", "--out", "phi.npy"), "exists"),
        (("phi.npy", "--seed", "-1"), "seed = -1"),
    ],
)
def test_couplings_that_cannot_be_measured_is_refused_in_one_sentence(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    np.save("phi.npy", walk(4, 16, 16))
    np.save("one.npy", walk(1, 16, 16))
    assert main(["couplings", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error


def test_the_coarse_graining_of_a_model_is_the_default_and_its_depth_is_checked_before_sampling(
    tmp_path, capsys, monkeypatch
):
    np.save(tmp_path / "phi.npy", walk(4, 18, 18))
    model = tmp_path / "model"
    ok("train", tmp_path / "phi.npy", "--out", model, "--factor", 3, "--steps", 1, *SMALL)
    ok("couplings", model, "--levels", 1, "--lattice", 18, 18, "--count", 4)
    monkeypatch.setattr(Cascade, "sample", None)
    capsys.readouterr()
    assert main(["couplings", str(model), "--levels", "3", "--lattice", "18", "18"]) == 2
    assert "fits 2 levels of factor 3, not 3" in capsys.readouterr().err


def test_a_picture_that_cannot_be_drawn_leaves_no_folder_and_none_of_earlier_couplings(tmp_path, monkeypatch):
    np.save(tmp_path / "phi.npy", walk(4, 16, 16))
    command, out = ("couplings", tmp_path / "phi.npy", "--levels", 1, "--out", tmp_path / "out"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("rgdm.plots.coupling_curves", lambda table: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            couplings(config.Couplings((tmp_path / "phi.npy",), out, levels=1))
    assert not out.exists()
    ok(*command)
    monkeypatch.setitem(sys.modules, "rgdm.plots", None)
    monkeypatch.delattr("rgdm.plots", raising=False)
    ok(*command, "--overwrite")
    assert [path.name for path in out.iterdir()] == ["couplings.nc"]
