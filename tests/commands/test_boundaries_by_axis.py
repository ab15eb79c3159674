"""A field that is periodic along one axis alone, through all commands."""

import numpy as np
import pytest
import xarray as xr
from running import SMALL, ok

from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration


def strip(samples: int = 6, rows: int = 16, columns: int = 32) -> xr.DataArray:
    """Smooth along the circle of longitudes, with a drift from south to north, and roughness."""
    random = np.random.default_rng(0)
    waves = np.exp(2j * np.pi * np.arange(1, 6)[:, None] * np.arange(columns) / columns)
    amplitudes = random.standard_normal((samples, rows, 5)).cumsum(1) + 1j * random.standard_normal((samples, rows, 5))
    values = (amplitudes @ waves).real + np.arange(rows)[:, None] + random.standard_normal((samples, rows, columns)) / 3
    return xr.DataArray(280 + values, dims=("time", "lat", "lon"), name="t2m", attrs={"units": "K"})


def test_a_field_that_is_periodic_along_x_is_trained_sampled_refined_and_evaluated(tmp_path, capsys):
    field, model = strip(), tmp_path / "model"
    field.to_netcdf(tmp_path / "field.nc", engine="h5netcdf")
    ok("train", tmp_path / "field.nc", "--out", model, "--boundary", "reflect", "periodic", "--steps", 4, *SMALL)
    grid = Cascade.from_pretrained(model).grid
    assert grid.boundaries == ("reflect", "periodic") and grid.names == ("lat", "lon")
    ok("sample", model, "--lattice", 24, 32, "--count", 2, "--out", tmp_path / "new.nc")
    with xr.open_dataset(tmp_path / "new.nc", engine="h5netcdf") as new:
        assert new["t2m"].shape == (2, 24, 32) and np.isfinite(new["t2m"]).all()
    coarse = field.coarsen(lat=4, lon=4).mean()
    coarse.to_netcdf(tmp_path / "coarse.nc", engine="h5netcdf")
    ok("refine", model, tmp_path / "coarse.nc", "--members", 2, "--out", tmp_path / "fine.nc")
    with xr.open_dataset(tmp_path / "fine.nc", engine="h5netcdf") as fine:
        means = fine["t2m"].coarsen(lat=4, lon=4).mean()
        np.testing.assert_allclose(means, np.broadcast_to(coarse, means.shape), rtol=0, atol=1e-10)
    ok("evaluate", model, tmp_path / "field.nc", "--members", 2)
    assert "nan" not in capsys.readouterr().out


def test_a_refinement_turns_with_a_field_turned_around_its_periodic_axis(tmp_path):
    """By the same noise: given tensors, turned along. Along the reflecting axis it does not, the negative control."""
    import torch

    from rgdm.process.noise import GivenNoise
    from small import cascade

    model = cascade(levels=1, boundary=["reflect", "periodic"])
    field = torch.tensor(strip().to_numpy()).float()[:, None]
    model.fit(field)
    coarse, noise = model.operator.coarsen(model.normalise(field[:1])), torch.randn(1, 3, 8, 16)

    def refined(axis: int) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            here = model.descend(coarse, 1, GivenNoise({(0, 0): noise}))
            turned = model.descend(coarse.roll(3, axis), 1, GivenNoise({(0, 0): noise.roll(3, axis)}))
        return turned, here.roll(6, axis)

    torch.testing.assert_close(*refined(3), rtol=0, atol=1e-4)
    turned, expected = refined(2)
    assert float((turned - expected).abs().max()) > 0.01
