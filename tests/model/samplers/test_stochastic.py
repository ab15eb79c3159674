"""Stochastic samplers on Gaussian data, where all is linear: orders and laws without Monte Carlo."""

import math

import pytest
import torch

from rgdm.model.samplers.reverse import Heun
from rgdm.model.samplers.stochastic import EulerMaruyama, StochasticHeun
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Staggered, Trigonometric
from rgdm.scale.basis import Fourier, Site
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = ForwardProcess(Site(), Trigonometric())
VARIANCES = torch.tensor([0.2, 0.5, 1.0, 1.5, 2.5], dtype=torch.float64)
WEAK = [(EulerMaruyama, 1), (StochasticHeun, 2)]
both = pytest.mark.parametrize("sampler", [EulerMaruyama, StochasticHeun])


def responses(sampler, process=PLAIN, variance=VARIANCES):
    """What one unit of the start (row 0) and of each step's noise (the others) becomes, ``(steps + 1, *lattice)``."""
    inputs = sampler.steps + 1
    unit = torch.eye(inputs).reshape(inputs, inputs, 1, *[1] * variance.dim()) * torch.ones_like(variance)
    estimate = GaussianMixture.field(variance).conditional_mean(process)
    return sampler(estimate, process, unit[0], lambda i: unit[i + 1])[:, 0]


def order(errors, steps):
    x = torch.tensor(steps, dtype=torch.float64).log()
    x = x - x.mean()
    return -(x @ torch.stack(errors).abs().log()) / x.square().sum()


@pytest.mark.integration
@pytest.mark.parametrize(("sampler", "expected"), WEAK)
@pytest.mark.parametrize("churn", [1.0, 2.0])
def test_the_variance_converges_at_the_weak_order(sampler, expected, churn):
    steps = (64, 128, 256)
    errors = [responses(sampler(n, churn)).square().sum(0) / VARIANCES - 1 for n in steps]
    assert float((order(errors, steps) - expected).abs().max()) < 0.1


def pathwise(sampler, fine, churn=1.0):
    """The responses of the coarse sampler to the noise of ``fine`` steps, whose sums its own noise is."""

    def deviation(n):
        sine = torch.sin(math.pi / 2 * (1 - torch.arange(n + 1) / n)).square()
        return (churn * (sine[:-1] - sine[1:])).sqrt()

    coarse, m = responses(sampler), fine // sampler.steps
    share = deviation(fine) / deviation(sampler.steps).repeat_interleave(m)
    return torch.cat([coarse[:1], share[:, None] * coarse[1:].repeat_interleave(m, 0)])


@pytest.mark.integration
@pytest.mark.parametrize("sampler", [EulerMaruyama, pytest.param(StochasticHeun, marks=pytest.mark.slow)])
def test_the_paths_converge_at_strong_order_one(sampler):
    """Root mean square distance from the path of very many steps in the same Brownian motion."""
    fine, steps = 1024, (32, 64, 128)
    limit = responses(sampler(fine))
    errors = [(pathwise(sampler(n), fine) - limit).square().sum(0).sqrt() for n in steps]
    assert float((order(errors, steps) - 1).abs().max()) < 0.1


@pytest.mark.integration
@both
@pytest.mark.parametrize("churn", [0.3, 3.0])
def test_noise_of_any_strength_keeps_the_law_of_a_staggered_process(sampler, churn):
    process = ForwardProcess(Fourier(), Staggered(2.0, 4))
    variance = 1 / (0.3 + process.basis.wavenumber((8,)))
    steps = 400 if sampler is EulerMaruyama else 120
    made = responses(sampler(steps, churn), process, variance).square().sum(0)
    torch.testing.assert_close(made, variance, rtol=0.02, atol=0)


def test_without_churn_they_are_the_probability_flow():
    estimate, z = GaussianMixture.field(VARIANCES).conditional_mean(PLAIN), torch.randn(2, 1, 5)
    torch.testing.assert_close(StochasticHeun(6, 0.0)(estimate, PLAIN, z), Heun(6)(estimate, PLAIN, z))


@pytest.mark.integration
def test_a_mixture_gets_its_weights_and_the_wrong_estimate_does_not():
    law = GaussianMixture(
        torch.tensor([0.3, 0.7]), torch.tensor([-1.5, 1.0]).reshape(2, 1, 1), torch.full((2, 1, 1), 0.05)
    )
    wrong = GaussianMixture(torch.tensor([0.4, 0.6]), law.mean, law.variance)
    count = 20_000
    for given, agrees in ((law, True), (wrong, False)):
        z = StochasticHeun(40)(
            given.conditional_mean(PLAIN), PLAIN, torch.randn(count, 1, 1), lambda i: torch.randn(count, 1, 1)
        )
        share = float((z < -0.25).double().mean())
        assert (abs(share - 0.3) < 4 * math.sqrt(0.21 / count) + 0.003) == agrees


@both
def test_it_asks_for_its_noise_and_counts_its_evaluations(sampler):
    with pytest.raises(ValueError, match="it needs the argument `draw`"):
        sampler(2)(lambda z, t: z, PLAIN, torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match=r"churn = -1\.0"):
        sampler(2, -1.0)
    made = sampler(5, 0.7).spending(7)
    assert type(made) is sampler and made.churn == 0.7 and made.evaluations == 7
