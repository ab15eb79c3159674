"""The cost of a path: closed forms, log densities, and minimal paths against numerical ones."""

import math

import pytest
import torch
from convergence import order
from hypothesis import given
from hypothesis import strategies as st

from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisySteps,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.continuous import ContinuousChain
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.path_cost import lagrangian, minimal_path, onsager_machlup, step_costs

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
OU = ContinuousChain(ForwardProcess(Site(), VariancePreserving(3.0, 3.0)), 1.0)  # alpha^2 = exp(-3 t): constant rates
RATE = 1.5 / math.log(2)  # its gamma, and its D
CHAINS = {
    "Ornstein-Uhlenbeck": OU,
    "exact RG": ContinuousChain(ForwardProcess(Fourier(), ExactRG(0.5)), 4.0),
    "massive exact RG, eta = 1/4": ContinuousChain(ForwardProcess(Fourier(), ExactRG(1.0, 0.3)), 3.0, 0.25),
    "heat, eta = 0": ContinuousChain(ForwardProcess(Fourier(), HeatDissipation(2.0)), 3.0, 0.0),
    "staggered": ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(2.0, 3)), 2.0, 0.5),
    "noisy steps": ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.5, 0.5], [0, 1])), 2.0),
}
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)


def noisy_times(chain):
    """When noise enters all modes."""
    begin, end = (0.52, 0.6) if chain is CHAINS["staggered"] else (0.1, 0.45)
    return torch.linspace(begin, end, 9) * chain.span


# --- the cost of a path --------------------------------------------------------------------


def test_a_mode_held_in_place_pays_the_drift_that_it_resists():
    """(0 + gamma y)^2 / (4 D) for the whole span, and the divergence -gamma / 2."""
    still, n = torch.full((401, 2, 3), 0.7), 6
    expected = n * RATE * 0.7**2 / 4 * OU.span
    assert float(onsager_machlup(OU, still)) == pytest.approx(expected, rel=1e-5)
    more = onsager_machlup(OU, still, divergence=True) - onsager_machlup(OU, still)
    assert float(more) == pytest.approx(-n * RATE / 2 * OU.span, rel=1e-12)


def test_a_free_path_without_drift_costs_its_velocity_squared():
    """The zero mode of exact RG only diffuses: ``(y' - y)^2 / (2 sigma^2)`` at constant speed in sigma^2."""
    chain = CHAINS["exact RG"]
    lam = torch.linspace(0, chain.span, 9)
    _, sigma = chain.marginal(lam, (1,))
    path = 0.3 + 2 * sigma.square() / sigma[-1].square()
    expected = 2**2 / (2 * float(sigma[-1]) ** 2)
    assert float(onsager_machlup(chain, path, lam)) == pytest.approx(expected, rel=1e-12)
    assert float(onsager_machlup(chain, path + 0.1 * torch.rand(9, 1, 1), lam)) > expected


@every_chain
def test_the_path_that_follows_the_drift_costs_nothing(chain):
    lam = torch.linspace(0, 0.95 * chain.span, 12)
    alpha, _ = chain.marginal(lam, LATTICE)
    path = alpha * torch.randn(1, 2, *LATTICE)
    gone = (alpha == 0).any(0)  # a signal that is taken away whole leaves its noise to be paid for
    assert float(step_costs(chain, path, lam)[..., ~gone[0]].abs().max()) < 1e-20
    assert float(step_costs(chain, path.float(), lam)[..., ~gone[0]].max()) < 1e-9


def test_a_mode_without_noise_costs_nothing_or_is_impossible():
    chain = ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.0, 0.5], [0, 1])), 2.0, 0.0)
    lam = torch.tensor([0.0, 0.2, 0.4])  # no noise yet; all shrink by exp(-lambda)
    path = torch.exp(-lam).reshape(3, 1, 1) * torch.randn(1, 1, 8)
    assert float(onsager_machlup(chain, path, lam)) == 0
    path[1, 0, 3] += 1e-6
    assert float(onsager_machlup(chain, path, lam)) == math.inf
    with pytest.raises(ValueError, match="1 modes have no noise"):
        minimal_path(chain, path[0], path[1], lam[:2])
    y, at = path[:1], lam[:1]
    assert not lagrangian(chain, y, -y, at).any()
    assert bool(lagrangian(chain, y, y, at).isinf().all())


@every_chain
def test_the_cost_is_minus_the_log_density_of_the_transitions(chain):
    """Against the law of the process itself, whose two marginals a mixture of one component carries on."""
    t, s = 0.3, 0.55
    y, later = 0.3 * torch.randn(2, 1, *LATTICE)
    alpha, sigma = chain.process.marginal(torch.tensor([t, s]), LATTICE)
    kept = torch.where(alpha[0] > 0, alpha[1] / alpha[0], 1.0)
    added = (sigma[1] ** 2 - (kept * sigma[0]) ** 2)[0]
    noisy = added > 1e-12
    law = GaussianMixture(torch.ones(1), (kept * y)[None], torch.where(noisy, added, 1.0)[None, None])
    size = [math.exp(-chain.rescaling * chain.span * a) for a in (t, s)]
    path = torch.stack([size[0] * y, size[1] * torch.where(noisy, later, kept * y)])
    lam = chain.span * torch.tensor([t, s])
    target = -law.log_prob(torch.where(noisy, later, kept * y)[None]) - (2 * math.pi * law.variance).log().sum() / 2
    torch.testing.assert_close(onsager_machlup(chain, path, lam), target[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["Ornstein-Uhlenbeck", "massive exact RG, eta = 1/4", "heat, eta = 0"])
def test_the_sum_of_the_lagrangian_converges_to_the_cost_of_a_smooth_path_at_second_order(name):
    chain, errors, counts = CHAINS[name], [], (32.0, 64.0, 128.0)
    a, b = torch.randn(2, 1, 1, *LATTICE)

    def path(lam):
        x = lam.reshape(-1, 1, 1, 1)
        return a * x.cos() + b * (2 * x).sin()

    def speed(lam):
        x = lam.reshape(-1, 1, 1, 1)
        return -a * x.sin() + 2 * b * (2 * x).cos()

    begin, end = 0.2 * chain.span, 0.8 * chain.span
    fine = torch.linspace(begin, end, 8193)
    middle = (fine[1:] + fine[:-1]) / 2
    exact = lagrangian(chain, path(middle), speed(middle), middle).sum() * (fine[1] - fine[0])
    for n in counts:
        lam = torch.linspace(begin, end, int(n) + 1)
        cost = onsager_machlup(chain, path(lam), lam)
        assert cost < exact
        errors.append(float(exact - cost))
    assert abs(order(errors, counts) - 2) < 0.1


@pytest.mark.integration
def test_the_discrete_lagrangian_of_a_brownian_path_is_its_log_density_at_first_order():
    """At midpoints, with the divergence and the constants log(4 pi D h) / 2, as steps of a sampled path get smaller."""
    counts, modes = (64.0, 128.0, 256.0), 4000
    means, spreads = [], []
    for n in map(int, counts):
        lam, h = torch.linspace(0.2, 0.6, n + 1), 0.4 / n
        kept, added = math.exp(-RATE * h), 1 - math.exp(-2 * RATE * h)
        y = [torch.randn(1, modes)]
        for _ in range(n):
            y.append(kept * y[-1] + math.sqrt(added) * torch.randn(1, modes))
        path = torch.stack(y)
        middle, velocity = (path[1:] + path[:-1]) / 2, path.diff(dim=0) / h
        at = (lam[1:] + lam[:-1]) / 2
        for divergence, errors in ((True, means), (False, spreads)):
            sites = (
                lagrangian(OU, middle, velocity, at, divergence).sum(0) * h + n * math.log(4 * math.pi * RATE * h) / 2
            )
            density = step_costs(OU, path, lam).sum(0) + n * math.log(2 * math.pi * added) / 2
            errors.append(float((sites - density).square().mean().sqrt()))
    assert abs(order(means, counts) - 1) < 0.3 and means[-1] < 5e-3
    assert min(spreads) > 0.4  # without the divergence it is wrong by gamma / 2 for the whole time


@given(st.integers(1, 6), st.integers(0, 3))
def test_a_point_put_in_never_lowers_the_cost(where, name):
    chain = list(CHAINS.values())[name]
    lam = torch.linspace(0.05, 0.9, 8) * chain.span
    path = torch.randn(8, 1, *LATTICE)
    left = torch.arange(8) != where
    assert onsager_machlup(chain, path, lam) >= onsager_machlup(chain, path[left], lam[left])


# --- minimal paths ---------------------------------------------------------------------------


@every_chain
def test_the_minimal_path_costs_what_its_ends_are_apart(chain):
    lam = noisy_times(chain)
    start, end = torch.randn(2, 2, *LATTICE)
    path, cost = minimal_path(chain, start, end, lam)
    alpha, sigma = (a[:, 0] for a in chain.marginal(lam[[0, -1]], LATTICE))
    kept = alpha[1] / alpha[0]
    expected = (end - kept * start).square() / 2 / (sigma[1].square() - (kept * sigma[0]).square())
    assert torch.equal(path[0], start) and torch.equal(path[-1], end)
    torch.testing.assert_close(cost, expected.sum())
    torch.testing.assert_close(onsager_machlup(chain, path, lam), cost)


@every_chain
def test_no_path_near_the_minimal_one_is_cheaper(chain):
    lam = noisy_times(chain)
    path, cost = minimal_path(chain, *torch.randn(2, 1, *LATTICE), lam)
    for size in (1e-3, 1.0):
        for _ in range(5):
            bump = size * torch.randn_like(path)
            bump[0] = bump[-1] = 0
            assert onsager_machlup(chain, path + bump, lam) > cost


@pytest.mark.parametrize("name", ["Ornstein-Uhlenbeck", "exact RG", "heat, eta = 0"])
def test_numerical_minimisation_finds_the_minimal_path(name):
    chain = CHAINS[name]
    lam = torch.linspace(0.2, 0.7, 9) * chain.span
    start, end = torch.randn(2, 1, 4)
    expected, least = minimal_path(chain, start, end, lam)
    rough = torch.lerp(start, end, torch.linspace(0, 1, 9).reshape(-1, 1, 1))
    inner = rough[1:-1].clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [inner], 1.0, 400, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        cost = onsager_machlup(chain, torch.cat([start[None], inner, end[None]]), lam)
        cost.backward()
        return cost

    optimizer.step(closure)
    assert float(onsager_machlup(chain, rough, lam)) > 1.001 * float(least)
    torch.testing.assert_close(inner.detach(), expected[1:-1], rtol=0, atol=1e-6)


def test_the_minimal_path_solves_the_equation_of_euler_and_lagrange():
    """With constant rates ``y'' = gamma^2 y``: an arc of hyperbolic sines, whatever discretisation."""
    start, end, lam = torch.randn(1, 5), torch.randn(1, 5), torch.linspace(0, OU.span, 33)
    path, _ = minimal_path(OU, start, end, 32)
    x = (RATE * lam).reshape(-1, 1, 1)
    expected = ((x[-1] - x).sinh() * start + x.sinh() * end) / x[-1].sinh()
    torch.testing.assert_close(path, expected)


def test_a_mode_whose_signal_is_lost_drifts_until_the_last_step():
    chain = ContinuousChain(ForwardProcess(Site(), Trigonometric()), 1.0)
    start, end = torch.randn(2, 1, 3)
    path, cost = minimal_path(chain, start, end, 4)
    torch.testing.assert_close(path[:-1], chain.marginal(torch.linspace(0, chain.span, 5), (3,))[0][:-1] * start)
    torch.testing.assert_close(cost, end.square().sum() / 2)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: minimal_path(OU, torch.zeros(1, 3), torch.zeros(1, 4), 3), r"start of shape \(1, 3\)"),
        (lambda: minimal_path(OU, torch.zeros(1, 3), torch.zeros(1, 3), 0), "a path of 0 steps"),
        (
            lambda: minimal_path(OU, torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([0.3, 0.1])),
            "later than the one",
        ),
        (
            lambda: minimal_path(OU, torch.zeros(1, 3), torch.zeros(1, 3), torch.tensor([0.0, 9.0])),
            "this chain has 0 to",
        ),
        (lambda: onsager_machlup(OU, torch.zeros(3, 1, 3), torch.tensor([0.1, 0.3])), "2 scale-times for a path of 3"),
        (
            lambda: onsager_machlup(CHAINS["staggered"], torch.zeros(3, 1, 4, 4), divergence=True),
            "modes lose their signal whole",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()
