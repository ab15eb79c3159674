"""The closed form of ``x -> R(x + sqrt(beta) eps)`` against the chain itself, simulated."""

import pytest
import torch

from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import NoisyStep
from rgdm.scale.basis import Pyramid, Site
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet

pytestmark = pytest.mark.usefixtures("float64")

SAMPLES = 20_000
BETA = 0.6
CASES = [
    (step, levels, lattice)
    for step in (BlockSpin(2), Decimation(2), MomentumShell(2), MomentumShell(2, "reflect"), Wavelet("db2"))
    for levels, lattice in ((3, (8,)), (2, (4, 8)), (2, (4, 4, 4)))
] + [(BlockSpin(3), 2, (9,)), (BlockSpin(3), 1, (3, 6)), (BlockSpin(3), 1, (3, 3, 3))]
every_case = pytest.mark.parametrize(("step", "levels", "lattice"), CASES, ids=str)


def chain(step, levels, x):
    """The noisy fields ``x_s + sqrt(beta) eps`` and the coarse fields ``x_(s+1)`` made of them."""
    x = x.expand(SAMPLES, *x.shape[1:])
    for _ in range(levels):
        noisy = x + BETA**0.5 * torch.randn_like(x)
        x = step.coarsen(noisy)
        yield noisy, x


def worst_error(samples, mean, deviation):
    """The largest distance of any coefficient's mean or variance from the claim, in standard errors."""
    of_mean = (samples.mean(0) - mean) / (deviation / SAMPLES**0.5)
    of_variance = (samples.var(0) / deviation**2 - 1) / (2 / SAMPLES) ** 0.5
    return max(float(of_mean.abs().max()), float(of_variance.abs().max()))


def errors_of_the_chain(step, levels, lattice, beta):
    """The worst error after every step: of what is left of the field, and of the detail about to be lost."""
    process = ForwardProcess(Pyramid(step, levels), NoisyStep(beta, levels, step.factor))
    x = 3 * torch.randn(1, 1, *lattice)
    z = process.basis.analyze(x)
    for s, (noisy, coarse) in enumerate(chain(step, levels, x), start=1):
        left = Pyramid(step, levels - s) if s < levels else Site()
        corner = (..., *(slice(n) for n in coarse.shape[2:]))
        alpha, sigma = process.marginal(torch.tensor([s / levels]), lattice)
        yield worst_error(left.analyze(coarse), (alpha * z)[corner], sigma[corner])
        before, _ = process.marginal(torch.tensor([(s - 0.5) / levels]), lattice)
        here = (..., *(slice(n) for n in noisy.shape[2:]))
        lost = Pyramid(step, levels - s + 1).analyze(noisy)
        yield worst_error(lost, (before * z)[here], sigma[here])


@pytest.mark.integration
@every_case
def test_the_simulated_chain_has_the_mean_and_variance_of_the_closed_form(step, levels, lattice):
    assert max(errors_of_the_chain(step, levels, lattice, BETA)) < 4.5


@pytest.mark.integration
@every_case
def test_a_closed_form_with_a_wrong_beta_is_found_out(step, levels, lattice):
    assert min(errors_of_the_chain(step, levels, lattice, 1.1 * BETA)) > 4.5


@every_case
def test_what_is_integrated_out_carries_no_signal(step, levels, lattice):
    process = ForwardProcess(Pyramid(step, levels), NoisyStep(BETA, levels, step.factor))
    alpha, _ = process.marginal(torch.ones(1), lattice)
    coarse = (..., *(slice(n // step.factor**levels) for n in lattice))
    assert bool((alpha[coarse] == 1).all())
    assert int(alpha.sum()) == alpha[coarse].numel()
