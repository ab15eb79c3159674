"""The continuous limit: its coefficients, its Fokker-Planck equation, and the chain that converges to it."""

import math

import numpy as np
import pytest
import torch
from convergence import order
from scipy.linalg import solve_banded

from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisySteps,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Cosine, Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.continuous import ContinuousChain
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
OCTAVES = math.log2(4 * math.pi / 0.5)
CHAINS = {
    "exact RG": ContinuousChain(ForwardProcess(Fourier(), ExactRG(0.5)), OCTAVES),
    "massive exact RG, eta = 1/4": ContinuousChain(ForwardProcess(Fourier(), ExactRG(0.5, 0.3)), OCTAVES, 0.25),
    "exact RG to a cutoff of 2": ContinuousChain(ForwardProcess(Fourier(), ExactRG(2.0)), math.log2(2 * math.pi)),
    "heat": ContinuousChain(ForwardProcess(Cosine(), HeatDissipation(2.0)), 3.0),
    "heat, eta = 0": ContinuousChain(ForwardProcess(Fourier(), HeatDissipation(2.0)), 3.0, 0.0),
    "variance preserving": ContinuousChain(ForwardProcess(Site(), VariancePreserving()), 1.0),
    "staggered": ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(2.0, 3)), 2.0, 0.5),
    "matched": ContinuousChain(ForwardProcess(Fourier(), SpectrumMatched(lambda k: 1 / (0.1 + k**2))), 2.0),
}
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)


def at(lam, count=1):
    return torch.full((count,), lam, dtype=torch.float64)


@every_chain
@pytest.mark.parametrize("fraction", [0.11, 0.37, 0.83])
def test_the_marginal_solves_the_equations_of_mean_and_variance(chain, fraction):
    """d alpha = -(gamma + Delta) alpha and d sigma^2 = -2 (gamma + Delta) sigma^2 + 2 D, by central differences."""
    lam, h = fraction * chain.span, 1e-5
    (before, cold), (after, hot) = (chain.marginal(at(lam + d), LATTICE) for d in (-h, h))
    alpha, sigma = chain.marginal(at(lam), LATTICE)
    rate, heat = chain.rates(at(lam), LATTICE)
    gone = (after == 0) & (chain.rescaling > 0)  # the signal is gone, only the rescaling acts
    torch.testing.assert_close((after - before) / (2 * h), torch.where(gone, 0.0, -rate * alpha), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close((hot**2 - cold**2) / (2 * h), -2 * rate * sigma**2 + 2 * heat, rtol=1e-6, atol=1e-6)


@every_chain
def test_noise_is_never_taken_away(chain):
    for fraction in (0.0, 0.3, 0.6, 0.9):
        rate, heat = chain.rates(at(fraction * chain.span), LATTICE)
        assert bool((heat >= 0).all() and rate.isfinite().all() and heat.isfinite().all())
        alpha, sigma = chain.process.marginal(at(fraction), LATTICE)
        later, louder = chain.process.marginal(at(fraction + 0.05), LATTICE)
        kept = torch.where(alpha > 0, later / alpha.clamp(min=1e-300), 0.0)
        assert bool((louder.square() - (kept * sigma).square() >= -1e-9).all())  # the noise that a step adds


def test_exact_rg_has_the_coefficients_of_its_langevin_equation():
    """dz = -(k^2 + m^2) z dtau + sqrt(2) dW with dtau = Lambda^-2 dlambda, Lambda the cutoff that has fallen so far."""
    cutoff, mass, lattice = 0.5, 0.3, (16,)
    chain = ContinuousChain(ForwardProcess(Fourier(), ExactRG(cutoff, mass)), OCTAVES)
    k, lam = chain.process.basis.wavenumber(lattice), 0.7 * chain.span
    assert chain.span == pytest.approx(math.log(ExactRG.FIRST / cutoff))
    speed = (math.exp(lam) / ExactRG.FIRST) ** 2  # dtau / dlambda
    rate, heat = chain.rates(at(lam), lattice)
    torch.testing.assert_close(rate[0, 0], (k**2 + mass**2) * speed)
    torch.testing.assert_close(heat[0, 0], torch.full_like(k, speed))


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "staggered"])
def test_the_covariance_of_a_correlated_field_flows_as_fokker_planck_says(name):
    """dC = -(A C + C A) + 2 D integrated by Runge-Kutta, against ``alpha C_0 alpha + sigma^2``, from 0.1 to 0.8."""
    chain, n = CHAINS[name], math.prod(LATTICE)
    root = torch.randn(n, n)
    c_0 = root @ root.T / n

    def exact(lam):
        alpha, sigma = (a.flatten() for a in chain.marginal(at(lam), LATTICE))
        return alpha[:, None] * c_0 * alpha + torch.diag(sigma**2)

    begin, end, steps = 0.1 * chain.span, 0.8 * chain.span, 100
    rates, heats = (a.flatten(1) for a in chain.rates(torch.linspace(begin, end, 2 * steps + 1), LATTICE))

    def slope(i, c):
        return -(rates[i, :, None] + rates[i]) * c + 2 * torch.diag(heats[i])

    c, h = exact(begin), (end - begin) / steps
    for i in range(0, 2 * steps, 2):
        k1 = slope(i, c)
        k2 = slope(i + 1, c + h / 2 * k1)
        k3 = slope(i + 1, c + h / 2 * k2)
        c = c + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(i + 2, c + h * k3))
    torch.testing.assert_close(c, exact(end), rtol=1e-5, atol=1e-5)


def test_a_spectrum_follows_its_rate():
    chain, spectrum = CHAINS["exact RG"], torch.rand(LATTICE) + 0.1
    lam, h = 0.6 * chain.span, 1e-5

    def later(lam):
        alpha, sigma = chain.marginal(at(lam), LATTICE)
        return (alpha**2 * spectrum + sigma**2)[0, 0]

    torch.testing.assert_close(
        chain.spectrum_rate(later(lam), lam), (later(lam + h) - later(lam - h)) / (2 * h), rtol=1e-7, atol=1e-9
    )


def test_a_critical_spectrum_stands_still_in_the_frame_that_grows_with_the_scale():
    """Modes of equal q at two scales have the same power if eta is that of the field, and not with another eta."""
    eta, k = 0.25, 2 * math.pi / 64 * torch.arange(1, 9)
    for given, still in ((eta, True), (0.0, False), (None, False)):
        chain = ContinuousChain(ForwardProcess(Site(), Trigonometric()), 3.0, given)
        size, _ = chain.marginal(at(math.log(2)), (1,))
        signal = size.flatten() / math.cos(math.pi / 6)  # what the rescaling alone does to the amplitude
        power, doubled = signal**2 * k ** (-2 + eta), (2 * k) ** (-2 + eta)  # q = 2 k after one octave
        assert torch.allclose(power, doubled) == still
    assert torch.allclose(chain.comoving(math.log(2), (8,)), 2 * chain.comoving(0.0, (8,)))


def mixture_on_a_line():
    return GaussianMixture(
        torch.tensor([0.3, 0.7]), torch.tensor([-1.2, 0.8]).reshape(2, 1, 1), torch.tensor([0.05, 0.1]).reshape(2, 1, 1)
    )


def fokker_planck(density, x, rate, heat, h):
    """``dp = d(rate x p) + D d^2 p`` on a grid, Crank-Nicolson, central differences; rate and D at every time."""
    dx = x[1] - x[0]

    def bands(f, d):
        matrix = np.zeros((3, len(x)))
        matrix[0, 1:] = f * x[1:] / (2 * dx) + d / dx**2  # from the right neighbour
        matrix[1] = -2 * d / dx**2
        matrix[2, :-1] = -f * x[:-1] / (2 * dx) + d / dx**2
        return matrix

    now = bands(rate[0], heat[0])
    for f, d in zip(rate[1:], heat[1:], strict=True):
        then = bands(f, d)
        right = density + h / 2 * now[1] * density
        right[:-1] += h / 2 * now[0, 1:] * density[1:]
        right[1:] += h / 2 * now[2, :-1] * density[:-1]
        left = -h / 2 * then
        left[1] += 1
        density, now = solve_banded((1, 1), left, right), then
    return density


@pytest.mark.parametrize("name", ["variance preserving", "exact RG", "heat, eta = 0"])
def test_a_mixture_solves_the_fokker_planck_equation_on_a_grid(name):
    """The oracle is a solver of the equation, which knows drift and diffusion only; second order in its grid."""
    chain, law = CHAINS[name], mixture_on_a_line()
    begin, end = 0.2 * chain.span, 0.7 * chain.span

    def exact(lam, x):
        now = law.at(chain.process, lam / chain.span)
        size = math.exp(-chain.rescaling * lam)  # y = size * z
        return np.exp(now.log_prob(torch.from_numpy(x / size).reshape(-1, 1, 1)).numpy()) / size

    errors = []
    for points in (401, 801):
        x, times = np.linspace(-9, 9, points), torch.linspace(begin, end, points)
        rate, heat = (a.flatten().numpy() for a in chain.rates(times, (1,)))
        solved = fokker_planck(exact(begin, x), x, rate, heat, (end - begin) / (points - 1))
        errors.append(np.abs(solved - exact(end, x)).max() / exact(end, x).max())
    assert errors[1] < 5e-3 and 1.8 < math.log2(errors[0] / errors[1]) < 2.2


@pytest.mark.integration
@pytest.mark.parametrize("name", ["variance preserving", "exact RG", "massive exact RG, eta = 1/4"])
def test_the_probability_flow_carries_quantiles_of_a_mixture(name):
    """In one dimension the probability flow keeps the distribution function of each point, F_0(y_0) = F_1(y_1)."""
    chain, law = CHAINS[name], mixture_on_a_line()

    def cdf(z, lam):
        now = law.at(chain.process, lam / chain.span)
        each = torch.special.ndtr((z - now.mean.flatten()) / now.variance.flatten().sqrt())
        return (now.weight * each).sum(-1)

    def slope(y, lam):
        size = math.exp(-chain.rescaling * lam)
        score = law.at(chain.process, lam / chain.span).score(y / size) / size
        return chain.velocity(y, at(lam, len(y)), score)

    begin, end, steps = 0.1 * chain.span, 0.7 * chain.span, 50
    y, h = torch.linspace(-2, 2, 21).reshape(-1, 1, 1), (end - begin) / steps
    first = cdf(y.flatten()[:, None] / math.exp(-chain.rescaling * begin), begin)
    for i in range(steps):
        lam = begin + i * h
        k1 = slope(y, lam)
        k2 = slope(y + h / 2 * k1, lam + h / 2)
        y = y + h * slope(y + h / 2 * k2, lam + h / 2) if i % 2 else y + h * k2
    last = cdf(y.flatten()[:, None] / math.exp(-chain.rescaling * end), end)
    torch.testing.assert_close(first, last, rtol=0, atol=2e-4)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["exact RG to a cutoff of 2", "variance preserving"])
def test_the_chain_converges_to_the_flow_at_first_order(name):
    chain, lattice, counts = CHAINS[name], (16,), (32, 64, 128)
    alpha, sigma = (a[0, 0] for a in chain.marginal(at(chain.span), lattice))
    basis, errors = chain.process.basis, []
    for steps in counts:
        discrete = chain.chain(steps, lattice)
        mode = basis.synthesize(torch.eye(16).unsqueeze(1))
        z = basis.analyze(discrete.covariance(mode))[:, 0]
        torch.testing.assert_close(basis.analyze(discrete.mean(mode))[:, 0], torch.diag(alpha))
        torch.testing.assert_close(z, torch.diag(z.diagonal()))
        errors.append((z.diagonal() / sigma**2 - 1).abs().max())
    assert abs(float(order(errors, counts)) - 1) < 0.1


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: ContinuousChain(ForwardProcess(Site(), Trigonometric()), 0.0), "octaves = 0.0"),
        (lambda: CHAINS["exact RG"].chain(0, (8,)), "0 steps"),
        (lambda: CHAINS["heat, eta = 0"].chain(4, (8,)), "eta=None"),
        (lambda: CHAINS["matched"].chain(4, (8,)), "is not white"),
        (lambda: CHAINS["exact RG"].rates(at(9.0), (8,)), "this chain has 0 to"),
    ],
)
def test_what_has_no_such_limit_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()


def test_a_mode_whose_signal_is_gone_only_rescales():
    process = ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.5, 0.5], [0, 1]))
    rate, heat = ContinuousChain(process, 2.0, 0.0).rates(at(1.6 * math.log(2)), (8,))
    gone = process.marginal(torch.tensor([0.8]), (8,))[0] == 0
    assert bool(gone.any()) and bool((rate[gone] == 1).all()) and not bool(heat[gone].any())
