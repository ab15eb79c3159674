"""The recursion of the effective energy against laws that are known, and against brute force."""

import math

import pytest
import torch
from scipy.integrate import dblquad

from rgdm.physics.actions import Phi4
from rgdm.scale.basis import Fourier, Pyramid
from rgdm.scale.filters import Band
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.theory.chain import Chain, NoisyMap
from rgdm.theory.effective_energy import EffectiveEnergy, effective_energies
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

Y = torch.tensor([-1.5, -0.2, 0.0, 0.9], dtype=torch.float64).reshape(-1, 1, 1)


@pytest.mark.parametrize("operator", [BlockSpin(2), Decimation(2), MomentumShell(2)], ids=str)
@pytest.mark.parametrize("components", [1, 3])
def test_a_mixture_keeps_the_energy_of_its_marginal(operator, components):
    """Coarse-grain with noise, then only noise: the recursion, twice, against the closed form at both times."""
    chain = Chain([NoisyMap(operator, 0.3), NoisyMap(None, 0.2)])
    process = chain.process()
    law = GaussianMixture(
        torch.rand(components) + 0.3, torch.randn(components, 1, 2), torch.rand(components, 1, 2) / 2 + 0.2
    )
    energies = effective_energies(lambda x: law.energy(process.basis.analyze(x)), chain, nodes=40, reach=8.0)
    assert isinstance(process.basis, Pyramid)
    for t in (1, 2):
        whole = law.at(process, t / 2)
        coarse = GaussianMixture(whole.weight, whole.mean[..., :1], whole.variance[..., :1])
        torch.testing.assert_close(energies[t](Y), coarse.energy(Y), rtol=0, atol=1e-7)


def test_phi4_on_two_sites_against_an_integral_written_out():
    action, beta = Phi4.from_beta(0.68, 1.0), 0.4
    effective = EffectiveEnergy(action.energy, NoisyMap(BlockSpin(2), beta), nodes=80)

    def integrand(detail, eta, y):
        mean, difference = (y - math.sqrt(beta) * eta) / math.sqrt(2), detail / math.sqrt(2)
        a, b = mean + difference, mean - difference
        s = -action.a * 2 * a * b + action.b * (a * a + b * b) + action.c * (a**4 + b**4)
        return math.exp(-s - eta * eta / 2) / math.sqrt(2 * math.pi)

    expected = [-math.log(dblquad(integrand, -9, 9, -6, 6, args=(float(y),), epsabs=1e-11)[0]) for y in Y]
    torch.testing.assert_close(effective(Y), torch.tensor(expected), rtol=0, atol=1e-7)


def test_without_noise_decimation_of_a_gaussian_pair_leaves_the_schur_complement():
    precision = torch.tensor([[1.5, -0.6], [-0.6, 2.0]])
    effective = EffectiveEnergy(
        lambda x: torch.einsum("bi,ij,bj->b", x[:, 0], precision, x[:, 0]) / 2, NoisyMap(Decimation(2), 0.0), reach=9.0
    )
    left = precision[0, 0] - precision[0, 1] ** 2 / precision[1, 1]
    torch.testing.assert_close(effective(Y) - effective(0 * Y), left * Y[:, 0, 0] ** 2 / 2, rtol=0, atol=1e-8)


def test_the_gradient_of_the_energy_is_minus_the_score():
    chain = Chain([NoisyMap(BlockSpin(2), 0.5)])
    law = GaussianMixture(
        torch.ones(2), torch.tensor([-1.0, 1.0]).reshape(2, 1, 1).expand(2, 1, 2), torch.ones(2, 1, 2)
    )
    basis = chain.process().basis
    y = Y.clone().requires_grad_()
    energy = EffectiveEnergy(lambda x: law.energy(basis.analyze(x)), chain.step(0), reach=8.0)
    (slope,) = torch.autograd.grad(energy(y).sum(), y)
    coarse = GaussianMixture(law.weight, law.mean[..., :1], law.variance[..., :1] + 0.5)
    torch.testing.assert_close(-slope, coarse.score(Y), rtol=0, atol=1e-7)


def test_a_square_of_four_sites_in_two_dimensions():
    operator, y = BlockSpin(2), Y.unsqueeze(-1)
    law = GaussianMixture.field(torch.tensor([[2.0, 0.5], [0.7, 0.4]]))
    effective = EffectiveEnergy(lambda x: law.energy(Pyramid(operator, 1).analyze(x)), NoisyMap(operator, 0.0), 40, 6.0)
    expected = y[:, 0, 0, 0] ** 2 / 4 + math.log(2 * math.pi * 2.0) / 2
    torch.testing.assert_close(effective(y), expected, rtol=0, atol=1e-7)


@pytest.mark.integration
def test_a_large_batch_is_integrated_part_by_part(monkeypatch):
    chain, sizes = Chain([NoisyMap(BlockSpin(2), 0.3), NoisyMap(BlockSpin(2), 0.1)]), []

    def energy(x):
        sizes.append(x.numel())
        return x.square().flatten(1).sum(1)

    y = torch.randn(5, 1, 1)
    whole = effective_energies(energy, chain, nodes=8)[2](y)
    monkeypatch.setattr("rgdm.theory.effective_energy.POINTS", 8**4 * 4)
    sizes.clear()
    torch.testing.assert_close(effective_energies(energy, chain, nodes=8)[2](y), whole)
    assert max(sizes) <= 8**4 * 4


@pytest.mark.parametrize(
    ("steps", "shape", "nodes", "expected"),
    [
        ([0.3, 0.1], (1, 1), 6, 6**2 * 6**4),  # four sites, two steps
        ([0.3, 0.1], (1, 2), 3, 3**4 * 3**8),
        ([0.0, 0.1], (1, 1), 6, 6**2 * 6**2),  # without noise there are only details
        ([0.3], (1, 1, 1), 5, 5**4),
        ([0.3], (2, 1), 5, 5**4),
    ],
)
def test_what_a_value_costs_is_known_beforehand(steps, shape, nodes, expected):
    called = []

    def energy(x):
        called.append(len(x))
        return x.square().flatten(1).sum(1)

    chain = Chain([NoisyMap(BlockSpin(2), beta) for beta in steps])
    top = effective_energies(energy, chain, nodes=nodes)[-1]
    assert isinstance(top, EffectiveEnergy) and top.evaluations(shape) == expected
    top(torch.zeros(2, *shape))
    assert sum(called) == 2 * expected


def test_noise_alone_costs_the_nodes_of_each_site():
    chain = Chain([NoisyMap(BlockSpin(2), 0.3), NoisyMap(None, 0.2)])
    top = effective_energies(lambda x: x.square().flatten(1).sum(1), chain, nodes=5)[2]
    assert isinstance(top, EffectiveEnergy) and top.evaluations((1, 1)) == 5 * 5**2


def test_an_absurd_cost_is_refused_before_anything_is_computed():
    chain = Chain([NoisyMap(BlockSpin(2), 0.1)] * 3)
    top = effective_energies(lambda x: pytest.fail("evaluated"), chain, nodes=12)[3]
    with pytest.raises(ValueError, match=r"3.9e\+15 evaluations of the energy for 3 field\(s\), 12 nodes"):
        top(torch.zeros(3, 1, 1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EffectiveEnergy(torch.sum, NoisyMap(None, 1.0, Band(Fourier(), 0.0, 1.0))), "white noise"),
        (lambda: EffectiveEnergy(torch.sum, NoisyMap(torch.tanh, 1.0)), "an orthonormal operator"),
        (lambda: EffectiveEnergy(torch.sum, NoisyMap(None, 1.0), nodes=1), "nodes = 1"),
        (
            lambda: EffectiveEnergy(torch.sum, NoisyMap(BlockSpin(2), 1.0))(torch.zeros(1, 1, 4)),
            "48 nodes for each of 8 degrees of freedom are too many",
        ),
    ],
)
def test_what_cannot_be_integrated_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
