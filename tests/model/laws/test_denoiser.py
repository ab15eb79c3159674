"""The denoiser: exact for white Gaussian data, and its three losses by brute force."""

import pytest
import torch

from rgdm.model.laws.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import NoisyStep, Staggered, Trigonometric, VariancePreserving
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from simple_backbones import Wave, Zero

pytestmark = pytest.mark.usefixtures("float64")

PROCESSES = {
    "trigonometric": ForwardProcess(Site(), Trigonometric()),
    "variance preserving": ForwardProcess(Site(), VariancePreserving()),
    "staggered Fourier": ForwardProcess(Fourier(), Staggered(30.0, 4)),
    "noisy step": ForwardProcess(Pyramid(BlockSpin(2), 2), NoisyStep(0.7, 2)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
T = (0.15, 0.4, 0.8)


def example():
    """Data, times and noise of one batch."""
    return torch.randn(3, 2, 8, 8), torch.tensor(T, dtype=torch.float64), torch.randn(3, 2, 8, 8)


@every_process
def test_with_a_zero_network_the_estimate_is_the_posterior_mean_of_white_data(process):
    z, t, _ = example()
    alpha, sigma = process.marginal(t, (8, 8))
    joint = torch.stack([torch.ones_like(alpha), alpha, alpha, alpha**2 + sigma**2], -1).unflatten(-1, (2, 2))
    regression = joint[..., 0, 1] / joint[..., 1, 1]  # Cov(z_0, z_t) / Var(z_t)
    torch.testing.assert_close(Denoiser(process, Zero())(z, t), regression * z)


@every_process
def test_with_a_zero_network_the_score_is_the_gradient_of_the_exact_log_density(process):
    z, t, _ = example()
    alpha, sigma = process.marginal(t, (8, 8))
    z.requires_grad_()
    law = torch.distributions.Normal(torch.zeros(()), (alpha**2 + sigma**2).sqrt())
    (gradient,) = torch.autograd.grad(law.log_prob(z).sum(), z)
    torch.testing.assert_close(Denoiser(process, Zero()).score(z, t), gradient, rtol=0, atol=1e-10)


def brute_force(denoiser, x, t, noise, features):
    """Squared errors of data, noise and velocity, each from its definition and the estimate alone."""
    process = denoiser.process
    z = process.basis.analyze(x)
    alpha, sigma = process.marginal(t, (8, 8))
    z_t = alpha * z + sigma * noise
    data = denoiser(z_t, t, features)
    eps = (z_t - alpha * data) / sigma
    radius = torch.hypot(alpha, sigma)
    errors = {
        "data": data - z,
        "noise": eps - noise,
        "velocity": (alpha * eps - sigma * data) / radius - (alpha * noise - sigma * z) / radius,
    }
    return errors[denoiser.objective].square().mean((1, 2, 3))


@every_process
@pytest.mark.parametrize("objective", ["data", "noise", "velocity"])
@pytest.mark.parametrize("featured", [False, True])
def test_each_loss_is_the_mean_squared_error_it_is_named_after(process, objective, featured):
    x, t, noise = example()
    features = torch.randn(3, 2, 8, 8) if featured else None
    denoiser = Denoiser(process, Wave(), objective)
    expected = brute_force(denoiser, x, t, noise, features)
    torch.testing.assert_close(denoiser.loss(x, t, noise, features), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("objective", ["data", "noise", "velocity"])
def test_the_losses_differ_by_the_weights_of_data_and_noise(objective):
    x, t, noise = example()
    process = PROCESSES["trigonometric"]
    weight = {"velocity": 1.0, "noise": torch.cos(torch.pi * t / 2) ** 2, "data": torch.sin(torch.pi * t / 2) ** 2}
    velocity = Denoiser(process, Wave(), "velocity").loss(x, t, noise)
    torch.testing.assert_close(Denoiser(process, Wave(), objective).loss(x, t, noise), weight[objective] * velocity)


@every_process
def test_the_target_of_the_network_has_unit_variance_at_every_time(process):
    count = 4000
    x, noise = torch.randn(2, count, 1, 4, 4)
    for t in T:
        loss = Denoiser(process, Zero()).loss(x, torch.full((count,), t), noise)
        assert abs(float(loss.mean()) - 1) < 4 * (2 / (16 * count)) ** 0.5


def test_the_loss_has_a_gradient_for_the_network():
    class Scale(Backbone):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, t, features=None):
            return self.weight * x

    x, t, noise = example()
    denoiser = Denoiser(PROCESSES["trigonometric"], Scale())
    denoiser.loss(3 * x, t, noise).mean().backward()
    assert float(denoiser.backbone.weight.grad) > 0  # wide data: less of z_t is noise than unit variance says


def test_the_features_reach_the_network():
    x, t, noise = example()
    denoiser = Denoiser(PROCESSES["trigonometric"], Wave())
    one, two = (denoiser.loss(x, t, noise, torch.full_like(x, c)) for c in (0.0, 1.0))
    assert bool((one != two).all())


def test_the_score_of_noiseless_modes_is_refused():
    with pytest.raises(ValueError, match="the score needs noise in every mode"):
        Denoiser(PROCESSES["trigonometric"], Zero()).score(torch.zeros(1, 1, 8, 8), torch.zeros(1))


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="unknown objective 'score'; known are velocity, noise, data"):
        Denoiser(PROCESSES["trigonometric"], Zero(), "score")
