"""The deterministic way back: what is left of the variance of each band, against its closed form."""

import math

import pytest
import torch

from rgdm.model.lifts.context import Context
from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet
from rgdm.theory.deterministic_inverse import DeterministicInverse

pytestmark = pytest.mark.usefixtures("float64")

SIDE = 16
STEPS = [BlockSpin(2), Wavelet("db2"), MomentumShell(2)]


def spectrum() -> torch.Tensor:
    """That of a critical field, of unit variance."""
    k = 2 * math.pi * torch.fft.fftfreq(SIDE)
    power = (k.square() + 0.1).pow(-0.875)
    return power / power.mean()


def fields(count: int = 8000) -> torch.Tensor:
    return torch.fft.ifft(torch.fft.fft(torch.randn(count, 1, SIDE)) * spectrum().sqrt()).real


def exact(step, beta: float) -> torch.Tensor:
    """Traces of the covariances of E[coarse | noisy] and E[detail | noisy], over those of the truth.

    The mean over the ring is left as it is, as every constant.
    """
    m, dense = SIDE // 2, step.dense((SIDE,))
    whole = dense @ torch.fft.ifft(torch.fft.fft(torch.eye(SIDE)) * spectrum()).real @ dense.T
    noisy = whole[:m, :m] + beta * torch.eye(m)
    wiener = whole[:m, :m] @ torch.linalg.inv(noisy)
    wiener = wiener + torch.full((m, m), 1 / m) @ (torch.eye(m) - wiener)
    clean = wiener @ noisy @ wiener.T
    up = whole[m:, :m] @ torch.linalg.inv(whole[:m, :m])
    left, true = (clean, up @ clean @ up.T), (whole[:m, :m], whole[m:, m:])
    return torch.stack([a.trace() / b.trace() for a, b in zip(left, true, strict=True)])


@pytest.mark.integration
@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_what_is_left_of_each_band_is_the_variance_of_a_conditional_mean(step, beta):
    inverse = DeterministicInverse(step, 1, 1, "periodic", beta=beta, radius=4)  # all of the coarse ring
    inverse.fit(fields())
    kept = inverse.kept(fields())
    torch.testing.assert_close(kept, exact(step, beta), rtol=0.02, atol=0.01)
    assert float(kept[1]) < 0.6  # of the detail most is lost


@pytest.mark.integration
def test_the_noise_it_was_made_for_counts():
    inverse = DeterministicInverse(BlockSpin(2), 1, 1, "periodic", beta=0.5, radius=4)
    inverse.fit(fields())
    inverse.beta = 2.0
    assert float((inverse.kept(fields()) - exact(BlockSpin(2), 2.0)).abs().max()) > 0.1


def test_the_adjoint_leaves_no_detail_and_both_keep_a_coarse_field_without_noise():
    x, step = fields(64), BlockSpin(2)
    coarse = step.coarsen(x)
    for upsampling in ("adjoint", "linear"):
        inverse = DeterministicInverse(step, 1, 1, "periodic", upsampling)
        inverse.fit(x)
        torch.testing.assert_close(step.coarsen(inverse.sample(coarse)), coarse)
        assert (float(inverse.kept(x)[1]) < 1e-20) == (upsampling == "adjoint")


@pytest.mark.integration
def test_a_stochastic_lift_restores_what_the_mean_loses():
    x = fields()
    lift = gaussian_lift(BlockSpin(2), 1, 1, "periodic", prediction_radius=4, colour_radius=4)
    lift.fit(x)
    coarse, detail = BlockSpin(2).split(x)
    ratio = lift.detail(Context(coarse), torch.randn_like(detail)).var() / detail.var()
    assert float(ratio) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_a_variance_that_is_none_is_named(beta):
    with pytest.raises(ValueError, match=f"beta is {beta}"):
        DeterministicInverse(BlockSpin(2), 1, 1, "periodic", beta=beta)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_upsampling_is_named():
    with pytest.raises(ValueError, match="unknown upsampling 'cubic'; known are adjoint, linear"):
        DeterministicInverse(BlockSpin(2), 1, 1, "periodic", "cubic")
