"""Likelihoods by the probability flow against exact densities: Gaussian fields, mixtures, and random signs."""

import math

import pytest
import torch

from rgdm.model.laws.likelihood import probability_flow_log_prob, signs
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisyStep,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = ForwardProcess(Site(), Trigonometric())


PROCESSES = {
    "trigonometric": PLAIN,
    "variance preserving": ForwardProcess(Site(), VariancePreserving(beta_max=40.0)),
    "staggered": ForwardProcess(Fourier(), Staggered(2.0, 3)),
    "heat dissipation": ForwardProcess(Fourier(), HeatDissipation(1.0)),
    "exact RG": ForwardProcess(Fourier(), ExactRG(0.2, 0.9)),
    "spectrum matched": ForwardProcess(Fourier(), SpectrumMatched(lambda k: 4 / (1 + k.square()))),
}


SLOW = ("heat dissipation", "exact RG")  # the longest


@pytest.mark.integration
@pytest.mark.parametrize(
    "process", [pytest.param(p, id=n, marks=[pytest.mark.slow] * (n in SLOW)) for n, p in PROCESSES.items()]
)
def test_the_flow_of_a_gaussian_field_has_its_exact_density(process):
    law = GaussianMixture.field(torch.rand(2, 2) * 2 + 0.2)
    z = torch.randn(3, 1, 2, 2)
    made = probability_flow_log_prob(law.conditional_mean(process), process, z, tolerance=2e-8)
    torch.testing.assert_close(made.value, law.log_prob(z), rtol=1e-6, atol=0)
    assert not made.error.any()


@pytest.mark.integration
def test_the_flow_of_a_mixture_has_its_exact_density():
    law = GaussianMixture(torch.tensor([0.4, 0.6]), torch.randn(2, 1, 3), torch.rand(2, 1, 3) / 2 + 0.1)
    z = torch.randn(4, 1, 3)
    made = probability_flow_log_prob(law.conditional_mean(PLAIN), PLAIN, z, tolerance=1e-6)
    torch.testing.assert_close(made.value, law.log_prob(z), rtol=1e-5, atol=1e-5)


@pytest.mark.integration
def test_random_signs_estimate_the_divergence_within_their_error_and_a_wrong_density_is_found_out():
    root = torch.randn(12, 12)
    covariance = root @ root.T / 12 + 0.3 * torch.eye(12)
    law = torch.distributions.MultivariateNormal(torch.zeros(12), covariance)

    def estimate(z, t):
        alpha, sigma = t.mul(math.pi / 2).cos()[0], t.mul(math.pi / 2).sin()[0]
        return z @ torch.linalg.solve(alpha**2 * covariance + sigma**2 * torch.eye(12), alpha * covariance)

    z = law.sample((5,)).unsqueeze(1)
    made = probability_flow_log_prob(estimate, PLAIN, z, probes=signs(z, 32), tolerance=1e-3)
    exact = law.log_prob(z[:, 0])
    assert bool((made.error > 0).all())
    assert float(((made.value - exact) / made.error).abs().max()) < 4
    assert float(((made.value - exact - 2) / made.error).abs().min()) > 2


@pytest.mark.integration
def test_a_temperature_widens_the_density_of_white_data():
    z = torch.randn(3, 1, 4)
    made = probability_flow_log_prob(lambda z, t: z * t.mul(math.pi / 2).cos().reshape(-1, 1, 1), PLAIN, z, 1.3)
    torch.testing.assert_close(
        made.value, torch.distributions.Normal(0.0, 1.3).log_prob(z).sum((1, 2)), rtol=1e-6, atol=0
    )


@pytest.mark.usefixtures("unchecked")
def test_what_has_no_likelihood_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="exact divergence of 5000 degrees of freedom"):
        probability_flow_log_prob(lambda z, t: z, PLAIN, torch.zeros(1, 1, 5000))
    for process in (
        ForwardProcess(Fourier(), ExactRG(1.0)),
        ForwardProcess(Pyramid(BlockSpin(2), 1), NoisyStep(0.7, 1)),
    ):
        with pytest.raises(ValueError, match="signal is left at t = 1"):
            probability_flow_log_prob(lambda z, t: z, process, torch.zeros(1, 1, 8))
    for tolerance in (0.0, 1e-8, math.nan):
        with pytest.raises(ValueError, match=r"the tolerance is .*at least 1e-06.*double"):
            probability_flow_log_prob(lambda z, t: z, PLAIN, torch.zeros(1, 1, 5).float(), tolerance=tolerance)
