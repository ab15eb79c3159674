"""Axes that differ: the base knows their lengths, patches keep the direction of time, axes are found by their names."""

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.process.noise import GivenNoise
from rgdm.scale.grid import Axis, Grid
from rgdm.train.batches import Batches
from small import cascade


def red(count: int, *lattice: int) -> torch.Tensor:
    """Isotropic periodic fields whose spectrum falls like k^-3."""
    random = torch.Generator().manual_seed(0)
    k = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(n) for n in lattice), indexing="ij")).square().sum(0)
    modes = torch.fft.fftn(torch.randn(count, 1, *lattice, generator=random), dim=(2, 3))
    return torch.fft.ifftn(modes * (k + 1 / lattice[0] ** 2) ** -0.75, dim=(2, 3)).real


def correlation(x: torch.Tensor, axis: int, lag: int) -> float:
    x = x - x.mean()
    return float((x * x.roll(lag, axis)).mean() / x.square().mean())


@pytest.mark.integration
def test_an_isotropic_field_stays_one_where_only_one_axis_is_coarse_grained():
    fields = red(64, 64, 64)
    model = cascade(levels=3, boundary="periodic", factor=(2, 1))
    model.fit(fields)
    new = model.sample((64, 64), 64, seed=1)
    for axis in (2, 3):
        for lag in (1, 4, 16):
            assert correlation(new, axis, lag) == pytest.approx(correlation(fields, axis, lag), abs=0.06), (axis, lag)


def test_time_is_not_reversed_and_not_exchanged_with_space():
    fields = torch.arange(64.0)[:, None] + 1000.0 * torch.randint(9, (1, 64))
    model = cascade(levels=1)
    model.grid = Grid((Axis("time", kind="time"), Axis("x")))
    batches = Batches(model, fields[None, None], 0)
    for step in range(8):
        batch = batches(step)
        fine, (before, beside) = batch.fine, (2 * h for h in batch.halo)  # beyond an edge it is mirrored
        assert (fine[:, 0, before:-before, beside:-beside].diff(dim=1) == 1).all()
        assert (batches(step).fine == fine).all()


def test_axes_in_another_order_are_those_of_the_model_by_their_names():
    model = cascade(levels=1, boundary=("reflect", "periodic"))
    model.fit(red(8, 16, 32))
    coarse = xr.DataArray(red(1, 8, 16)[0, 0].numpy(), dims=("y", "x"), coords={"x": np.arange(16.0)})
    plain, turned = model.refine(coarse, 1, seed=2), model.refine(coarse.transpose("x", "y"), 1, seed=2)
    assert turned.dims == ("member", "x", "y")
    np.testing.assert_array_equal(turned.transpose(*plain.dims).values, plain.values)


def test_block_means_of_a_generated_field_have_a_gradient_in_its_noise():
    model = cascade(levels=1, boundary="periodic").double()
    model.fit(red(8, 16, 16).double())
    noise = {(1, 0): torch.randn(1, 1, 4, 4).double(), (0, 0): torch.randn(1, 3, 4, 4).double().requires_grad_()}
    mean = model.trajectory(model.generate((8, 8), GivenNoise(noise)))[0].square().mean()
    assert float(torch.autograd.grad(mean, noise[0, 0])[0].abs().sum()) > 0


def test_given_noise_of_another_batch_is_refused():
    model = cascade(levels=1)
    model.fit(red(8, 16, 16))
    with pytest.raises(
        ValueError, match=r"noise has the shape \(1, 3, 4, 4\); these coarse fields need \(2, 3, 4, 4\)"
    ):
        model.descend(torch.zeros(2, 1, 4, 4), 1, GivenNoise({(0, 0): torch.zeros(1, 3, 4, 4)}))
