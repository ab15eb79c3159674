"""The denoiser in phase space and its loss, against their definitions."""

import pytest
import torch

from rgdm.model.networks.local import LocalConvNet
from rgdm.scale.basis import Fourier, Site
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves
from rgdm.theory.splitting import PhaseSpaceDenoiser, SymplecticSplitting
from simple_backbones import Wave, Zero

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = PhaseSpaceProcess(Site())
PROCESSES = {
    "plain": PLAIN,
    "cold momenta": PhaseSpaceProcess(Site(), CriticalDamping(momentum=0.04)),
    "fine modes first": PhaseSpaceProcess(Fourier(), CriticalDamping(rate=lambda k: 1 + k / 2)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
VARIANCES = torch.tensor([0.2, 0.5, 1.5, 2.5, 5.0], dtype=torch.float64)


def example():
    """Data, times and noise of one batch."""
    return torch.randn(3, 2, 8, 8), torch.tensor([0.1, 0.4, 0.8]), torch.randn(3, 4, 8, 8)


@every_process
def test_with_a_zero_network_the_score_is_the_gradient_of_the_exact_log_density_of_white_data(process):
    y, t = torch.randn(3, 4, 8, 8, requires_grad=True), example()[1]
    law, (z, p) = process.marginal(t, (8, 8)).of(1.0), halves(y)
    square = (law.pp * z**2 - 2 * law.zp * z * p + law.zz * p**2) / law.determinant
    (gradient,) = torch.autograd.grad(-square.sum() / 2, y)
    torch.testing.assert_close(PhaseSpaceDenoiser(process, Zero()).score(y, t), gradient, rtol=1e-9, atol=1e-9)


@every_process
def test_the_loss_is_hybrid_score_matching(process):
    """From its definition: the squared error of the momentum's noise, over what white data leave of it."""
    denoiser, (x, t, noise), features = PhaseSpaceDenoiser(process, Wave()), example(), torch.randn(3, 2, 8, 8)
    z = process.basis.analyze(x)
    law = process.marginal(t, (8, 8))
    _, _, spread = law.root  # of the momentum, given data and position
    estimated = -spread * halves(denoiser.score(process.perturb(z, t, noise), t, features))[1]
    white = law.of(1.0)
    left = 1 - spread**2 * white.zz / white.determinant
    expected = ((halves(noise)[1] - estimated) ** 2 / left).mean((1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x, t, noise, features), expected)


@every_process
def test_the_target_has_unit_variance_at_every_time(process):
    t = torch.tensor([0.0, 1e-3, 0.3, 0.9, 1.0]).repeat_interleave(400)
    loss = PhaseSpaceDenoiser(process, Zero()).loss(torch.randn(2000, 1, 4, 4), t, torch.randn(2000, 2, 4, 4))
    assert float((loss.reshape(5, 400).mean(1) - 1).abs().max()) < 0.08


@every_process
def test_with_a_zero_network_samples_are_white(process):
    denoiser = PhaseSpaceDenoiser(process, Zero())
    unit = torch.eye(2)[:, :, None, None] * torch.ones(8, 8)
    result = SymplecticSplitting(48)(lambda y, t: denoiser(y, t), process, unit)
    tolerance = 1e-12 if process.schedule.momentum == 1 else 0.01
    torch.testing.assert_close(result[:, 0].square().sum(0), torch.ones(8, 8), rtol=0, atol=tolerance)


@pytest.mark.integration
def test_training_finds_the_two_sides_of_bimodal_sites():
    """Untrained, the samples have the kurtosis 3 of white noise."""
    centres, spread = torch.tensor([-0.95, 0.95])[:, None, None], torch.full((2, 1, 1), 0.09)
    law = GaussianMixture(torch.ones(2), centres, spread)

    def fields(count):
        return law.sample(torch.randn(count * 16, 1, 1), torch.rand(count * 16)).reshape(count, 1, 16).float()

    def unit(*shape):
        return torch.randn(*shape, dtype=torch.float32)

    def kurtosis(x):
        return float(x.pow(4).mean() / x.square().mean() ** 2)

    def judged(estimate):
        result = halves(SymplecticSplitting(16)(estimate, PLAIN, noise))[0]
        t = torch.full((len(test),), 0.25)
        return float((estimate(PLAIN.perturb(test, t, noise), t) - test).square().mean()), kurtosis(result)

    net = LocalConvNet(1, 1, 1, "periodic", width=16, encoder_blocks=0, decoder_blocks=1).float()
    denoiser, known = PhaseSpaceDenoiser(PLAIN, net), law.conditional_mean(PLAIN.position)
    test, noise = fields(1000), unit(1000, 2, 16)
    with torch.no_grad():
        before, white = judged(denoiser)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(200):
        loss = denoiser.loss(fields(128), torch.rand(128, dtype=torch.float32), unit(128, 2, 16))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    with torch.no_grad():
        after, result = judged(denoiser)

    def ideal(y, t):  # each site by itself
        return known(PLAIN.filtered(y, t).reshape(-1, 1, 1), t.repeat_interleave(16)).reshape(-1, 1, 16).float()

    best, exact = judged(ideal)
    assert best < after < best + 0.25 * (before - best)
    assert abs(result - exact) < 0.25 * (white - exact)
