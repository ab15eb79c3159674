"""Mixtures of Gaussians against dense algebra, simulation and automatic differentiation."""

import math

import pytest
import torch

from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import ExactRG, HeatDissipation, Staggered, Trigonometric, VariancePreserving
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
PROCESSES = {
    "variance preserving": ForwardProcess(Site(), VariancePreserving()),
    "trigonometric": ForwardProcess(Site(), Trigonometric()),
    "heat": ForwardProcess(Fourier(), HeatDissipation(1.5)),
    "exact RG": ForwardProcess(Fourier(), ExactRG(0.8)),
    "staggered": ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(30.0, 3)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def mixture(components=3):
    return GaussianMixture(
        torch.rand(components) + 0.2,
        torch.randn(components, 2, *LATTICE),
        torch.rand(components, 2, *LATTICE) + 0.05,
    )


def dense_log_prob(law, z):
    parts = torch.distributions.Independent(torch.distributions.Normal(law.mean, law.variance.sqrt()), 3)
    weight = torch.distributions.Categorical(law.weight)
    return torch.distributions.MixtureSameFamily(weight, parts).log_prob(z)


def test_the_density_is_that_of_the_distribution_of_torch():
    law, z = mixture(), torch.randn(5, 2, *LATTICE)
    torch.testing.assert_close(law.log_prob(z), dense_log_prob(law, z))
    torch.testing.assert_close(law.energy(z), -law.log_prob(z))


@every_process
@pytest.mark.parametrize("t", [0.2, 0.7])
@pytest.mark.parametrize("components", [1, 3])
def test_the_score_is_the_gradient_of_the_log_density_at_every_time(process, t, components):
    law = mixture(components).at(process, t)
    z = torch.randn(4, 2, *LATTICE, requires_grad=True)
    (gradient,) = torch.autograd.grad(dense_log_prob(law, z).sum(), z)
    torch.testing.assert_close(law.score(z), gradient, rtol=1e-10, atol=1e-10)


@every_process
@pytest.mark.parametrize("t", [0.2, 0.7])
def test_the_estimate_and_the_score_obey_tweedies_formula(process, t):
    law, z, time = mixture(), torch.randn(4, 2, *LATTICE), torch.full((4,), t)
    alpha, sigma = process.marginal(time, LATTICE)
    data = law.conditional_mean(process)(z, time)
    torch.testing.assert_close((alpha * data - z) / sigma**2, law.at(process, t).score(z), rtol=1e-8, atol=1e-8)


@pytest.mark.integration
@every_process
def test_perturbed_samples_have_the_law_of_their_time(process):
    """By the mean energy, whose error is known; and a law at another time is found out."""
    law, count = mixture(), 20_000
    z = law.sample(torch.randn(count, 2, *LATTICE), torch.rand(count))
    z_t = process.perturb(z, torch.full((count,), 0.4), torch.randn_like(z))
    then = law.at(process, 0.4)
    exact = then.sample(torch.randn(count, 2, *LATTICE), torch.rand(count))
    for law_t, agrees in ((then, True), (law.at(process, 0.5), False)):
        ours, theirs = law_t.energy(z_t), then.energy(exact)
        error = ((ours.var() + theirs.var()) / count).sqrt()
        assert (abs(float((ours.mean() - theirs.mean()) / error)) < 4) == agrees


def test_without_noise_the_estimate_is_the_state_and_without_signal_the_mean():
    process, law, z = PROCESSES["trigonometric"], mixture(), torch.randn(3, 2, *LATTICE)
    estimate = law.conditional_mean(process)
    torch.testing.assert_close(estimate(z, torch.zeros(3)), z)
    mean = (law.weight.reshape(-1, 1, 1, 1) * law.mean).sum(0)
    torch.testing.assert_close(estimate(z, torch.ones(3)), mean.expand(3, -1, -1, -1))


def test_a_gaussian_field_is_a_mixture_of_one():
    spectrum = torch.rand(LATTICE) + 0.1
    law, z = GaussianMixture.field(spectrum), torch.randn(2, 1, *LATTICE)
    expected = torch.distributions.Normal(torch.zeros(()), spectrum.sqrt()).log_prob(z).sum((1, 2, 3))
    torch.testing.assert_close(law.log_prob(z), expected)


@pytest.mark.parametrize(("weight", "variance"), [(0.0, 1.0), (1.0, -1.0)])
def test_an_impossible_mixture_is_refused(weight, variance):
    with pytest.raises(ValueError, match="weights must be positive, variances not negative"):
        GaussianMixture(torch.tensor([weight]), torch.zeros(1, 1, 4), torch.full((1, 1, 4), variance))


def test_a_law_without_density_or_of_no_numbers_is_refused():
    point = GaussianMixture(torch.ones(1), torch.zeros(1, 1, 4), torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match="variance 0"):
        point.log_prob(torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match="not finite"):
        GaussianMixture(torch.ones(1), torch.full((1, 1, 4), math.nan), torch.ones(1, 1, 4))


@pytest.mark.usefixtures("unchecked")
def test_a_mixture_of_shapes_that_do_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(1, 1, 4\) and \(1, 1, 4\)"):
        GaussianMixture(torch.ones(2), torch.zeros(1, 1, 4), torch.ones(1, 1, 4))


def test_each_field_of_a_batch_has_its_own_time():
    law = GaussianMixture(torch.tensor([0.3, 0.7]), torch.randn(2, 1, 4), torch.rand(2, 1, 4) + 0.1)
    process = ForwardProcess(Site(), Trigonometric())
    z, t = torch.randn(3, 1, 4), torch.tensor([0.2, 0.5, 0.8])
    alone = torch.cat([law.conditional_mean(process)(z[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(law.conditional_mean(process)(z, t), alone)
