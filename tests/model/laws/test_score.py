"""Scores of denoisers against automatic differentiation of known densities, Gaussian and with several wells."""

import itertools
import math

import pytest
import torch

from rgdm.model.laws.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
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
from rgdm.scale.basis import Cosine, Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.wavelets import Wavelet
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
PROCESSES = {
    "trigonometric": ForwardProcess(Site(), Trigonometric()),
    "variance preserving": ForwardProcess(Site(), VariancePreserving()),
    "heat dissipation": ForwardProcess(Cosine(), HeatDissipation(2.0)),
    "exact RG": ForwardProcess(Fourier(), ExactRG(0.4, 0.2)),
    "spectrum matched": ForwardProcess(Fourier(), SpectrumMatched(lambda k: 1 / (k.square() + 0.3))),
    "staggered": ForwardProcess(Pyramid(Wavelet("db2"), 1), Staggered(30.0, 2)),
    "noisy step": ForwardProcess(Pyramid(BlockSpin(2), 2), NoisyStep(0.7, 2)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def laws() -> dict[str, GaussianMixture]:
    wells = torch.randn(3, 1, *LATTICE), torch.rand(3, 1, *LATTICE) + 0.1
    return {
        "gaussian": GaussianMixture.field(torch.rand(LATTICE) + 0.2),
        "mixture": GaussianMixture(torch.rand(3), *wells),
    }


class Oracle(Backbone):
    """What a perfectly trained network says: the conditional mean of the velocity."""

    def __init__(self, law: GaussianMixture, process: ForwardProcess) -> None:
        super().__init__()
        self.law, self.process = law, process

    def forward(self, x, t, features=None):
        alpha, sigma = self.process.marginal(t, LATTICE)
        radius = torch.hypot(alpha, sigma)
        z = radius * self.process.basis.analyze(x)
        data = self.law.conditional_mean(self.process)(z, t)
        return self.process.basis.synthesize((alpha * (z - alpha * data) / sigma - sigma * data) / radius)


def by_differentiation(law: GaussianMixture, process: ForwardProcess, z: torch.Tensor, t: float) -> torch.Tensor:
    z = z.detach().requires_grad_()
    return torch.autograd.grad(law.at(process, t).log_prob(z).sum(), z)[0]


@every_process
@pytest.mark.parametrize("name", ["gaussian", "mixture"])
@pytest.mark.parametrize("t", [0.1, 0.45, 0.9])
def test_the_score_of_a_perfect_network_is_the_gradient_of_the_log_density(process, name, t):
    law, time = laws()[name], torch.full((5,), t)
    z = process.perturb(law.sample(torch.randn(5, 1, *LATTICE), torch.rand(5)), time, torch.randn(5, 1, *LATTICE))
    exact = by_differentiation(law, process, z, t)
    torch.testing.assert_close(Denoiser(process, Oracle(law, process)).score(z, time), exact, rtol=1e-8, atol=1e-8)


@every_process
@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_the_means_of_data_noise_and_velocity_say_the_same_score(process, name):
    law, t = laws()[name], 0.45
    z, time = torch.randn(5, 1, *LATTICE), torch.full((5,), t)
    alpha, sigma = process.marginal(time, LATTICE)
    data = law.conditional_mean(process)(z, time)
    noise, radius = (z - alpha * data) / sigma, torch.hypot(alpha, sigma)
    velocity = (alpha * noise - sigma * data) / radius
    exact = by_differentiation(law, process, z, t)
    torch.testing.assert_close((alpha * data - z) / sigma**2, exact)
    torch.testing.assert_close(-noise / sigma, exact)
    torch.testing.assert_close(-(z + alpha / sigma * radius * velocity) / radius**2, exact)


class Perceptron(Backbone):
    """Of one site; it knows nothing of the law."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (5, 32, 32, 1)
        parts = [[torch.nn.Linear(a, b), torch.nn.SiLU()] for a, b in itertools.pairwise(sizes)]
        self.layers = torch.nn.Sequential(*[part for pair in parts for part in pair][:-1])
        torch.nn.init.zeros_(self.layers[-1].weight)

    def forward(self, x, t, features=None):
        angle = t.reshape(-1, 1, 1).expand_as(x) * math.pi / 2
        seen = [x, angle.cos(), angle.sin(), x * angle.cos(), x * angle.sin()]
        return self.layers(torch.stack(seen, -1)).squeeze(-1)


LONG = [pytest.param(objective, marks=pytest.mark.slow) for objective in ("data", "noise")]


@pytest.mark.integration
@pytest.mark.parametrize("objective", [*LONG, "velocity"])
def test_each_objective_learns_the_score(objective):
    law = GaussianMixture(
        torch.tensor([0.3, 0.7]), torch.tensor([-1.2, 0.8])[:, None, None], torch.full((2, 1, 1), 0.09)
    )
    process = PROCESSES["trigonometric"]
    denoiser = Denoiser(process, Perceptron(), objective)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)

    def error():
        squares = []
        for t in (0.3, 0.5, 0.7):
            time = torch.full((2000,), t)
            x = law.sample(torch.randn(2000, 1, 1), torch.rand(2000))
            z = process.perturb(x, time, torch.randn(2000, 1, 1))
            exact = law.at(process, t).score(z)
            squares.append((denoiser.score(z, time) - exact).square().mean() / exact.square().mean())
        return float(torch.stack(squares).mean().detach())

    untrained = error()
    for _ in range(500):
        x = law.sample(torch.randn(512, 1, 1), torch.rand(512))
        loss = denoiser.loss(x, (torch.arange(512) + torch.rand(512)) / 512, torch.randn(512, 1, 1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert untrained > 0.2 and error() < 0.03
