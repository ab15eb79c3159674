"""The chain against dense matrices, against itself simulated, and against the process that it is."""

import math

import pytest
import torch

from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Trigonometric
from rgdm.scale.basis import Cosine, Fourier, Pyramid
from rgdm.scale.filters import Band, Filter
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet
from rgdm.theory.chain import Chain, NoisyMap, conjugate_gradients
from rgdm.theory.deterministic_inverse import DeterministicInverse
from rgdm.theory.effective_energy import EffectiveEnergy

pytestmark = pytest.mark.usefixtures("float64")

BAND = Band(Fourier(), 0.5, 2.0)
SMOOTH = Filter(Fourier(), lambda k: torch.exp(-0.3 * k**2))
BETAS = (0.4, 0.1, 0.7, 0.3)


def four_steps(step, band=None):
    """A change of scale, noise (perhaps in a band), noise (then smoothed too), another change of scale."""
    beta = iter(BETAS)
    return Chain(
        [
            NoisyMap(step, next(beta)),
            NoisyMap(None, next(beta), band),
            NoisyMap(SMOOTH if band else None, next(beta)),
            NoisyMap(step, next(beta)),
        ]
    )


CASES = [
    (BlockSpin(2), (8,), None),
    (BlockSpin(2), (4, 8), BAND),
    (BlockSpin(2), (4, 4, 4), None),
    (BlockSpin(3), (9,), BAND),
    (Decimation(2), (4, 8), BAND),
    (MomentumShell(2), (8,), BAND),
    (MomentumShell(2, "reflect"), (4, 8), Band(Cosine(), 0.5, 2.0)),
    (Wavelet("db2"), (4, 8), None),
]
every_case = pytest.mark.parametrize(("step", "lattice", "band"), CASES, ids=str)


def normal(_, shape):
    return torch.randn(shape)


def matrix(apply, lattice):
    """The dense matrix of a linear map of fields."""
    n = math.prod(lattice)
    return apply(torch.eye(n).reshape(n, 1, *lattice)).reshape(n, -1).T


def dense(chain, lattice):
    """A_t, C_t for every t, and (R_t, beta_t P_t), from the matrices of the operators alone."""
    n = math.prod(lattice)
    mean, covariance, moments, maps = torch.eye(n), torch.zeros(n, n), [], []
    moments.append((mean, covariance, lattice))
    for t in range(len(chain)):
        step = chain.step(t)
        n = math.prod(lattice)
        noise = step.beta * (torch.eye(n) if step.band is None else matrix(step.band, lattice))
        if step.operator is None:
            r = torch.eye(n)
        elif step.operator is SMOOTH:
            r = matrix(SMOOTH, lattice)
        else:
            lattice = tuple(m // step.operator.factor for m in lattice)
            r = step.operator.dense(tuple(m * step.operator.factor for m in lattice))[: math.prod(lattice)]
        mean, covariance = r @ mean, r @ (covariance + noise) @ r.T
        moments.append((mean, covariance, lattice))
        maps.append((r, noise))
    return moments, maps


@every_case
def test_mean_and_covariance_are_those_of_the_dense_recursion(step, lattice, band):
    chain = four_steps(step, band)
    for t, (mean, covariance, coarse) in enumerate(dense(chain, lattice)[0]):
        torch.testing.assert_close(matrix(lambda x, t=t: chain.mean(x, t), lattice), mean)
        torch.testing.assert_close(matrix(lambda y, t=t: chain.covariance(y, t), coarse), covariance)


@every_case
def test_a_simulated_chain_has_the_moments_of_the_closed_form(step, lattice, band):
    chain, x = four_steps(step, band), 3 * torch.randn(1, 1, *lattice)
    count = 8000
    samples = chain.sample(x.expand(count, 1, *lattice), normal)
    for t, (mean, covariance, _) in enumerate(dense(chain, lattice)[0][1:], start=1):
        s = samples[t].flatten(1)
        deviation = covariance.diagonal().sqrt()
        assert float(((s.mean(0) - mean @ x.flatten()) / (deviation / count**0.5)).abs().max()) < 4.5
        measured = (s - s.mean(0)).T @ (s - s.mean(0)) / count
        error = ((covariance.square() + deviation[:, None] ** 2 * deviation**2) / count).sqrt()
        assert float(((measured - covariance) / error).abs().max()) < 5
        wrong = ((s.var(0) / (1.1 * deviation**2) - 1) / (2 / count) ** 0.5).abs().max()
        assert float(wrong) > 4.5  # a beta that is wrong by a tenth is found out


@pytest.mark.integration
@every_case
@pytest.mark.parametrize("t", [0, 1, 2, 3])
def test_the_bridge_is_gaussian_conditioning(step, lattice, band, t):
    chain, x = four_steps(step, band), torch.randn(2, 1, *lattice)
    moments, maps = dense(chain, lattice)
    (mean, covariance, _), (r, noise) = moments[t], maps[t]
    ahead = chain.sample(x, normal)[t + 1]
    joint = r @ (covariance + noise) @ r.T
    gain = covariance @ r.T @ torch.linalg.pinv(joint, hermitian=True)
    before = x.flatten(1) @ mean.T
    expected = before + (ahead.flatten(1) - before @ r.T) @ gain.T
    torch.testing.assert_close(chain.bridge(ahead, x, t).flatten(1), expected, rtol=1e-8, atol=1e-8)

    count = 4000
    samples = chain.sample_bridge(
        ahead[:1].expand(count, *ahead.shape[1:]), x[:1].expand(count, 1, *lattice), t, normal
    )
    left = (covariance - gain @ r @ covariance).diagonal().clamp(min=0).sqrt()
    error = (samples.flatten(1).mean(0) - expected[0]).abs()
    assert bool((error < 4.5 * left / count**0.5 + 1e-8).all())
    torch.testing.assert_close(samples.flatten(1).std(0), left, rtol=0.06, atol=1e-8)


@pytest.mark.parametrize("step", [BlockSpin(2), MomentumShell(2), Wavelet("db2")], ids=str)
def test_a_chain_of_one_operator_and_white_noise_is_a_process(step):
    chain, lattice = four_steps(step), (8, 16)
    process, x = chain.process(), torch.randn(1, 1, 8, 16)
    z = process.basis.analyze(x)
    for t in range(len(chain) + 1):
        alpha, sigma = process.marginal(torch.tensor([t / len(chain)]), lattice)
        mean = chain.mean(x, t)
        corner = (..., *(slice(n) for n in mean.shape[2:]))
        levels = sum(chain.step(i).operator is not None for i in range(t, len(chain)))
        left = type(process.basis)(step, levels).analyze if levels else lambda y: y
        torch.testing.assert_close(left(mean), (alpha * z)[corner])
        ones = torch.ones_like(mean)
        torch.testing.assert_close(chain.covariance(ones, t), sigma[corner].square() * ones)


def test_a_chain_that_is_no_process_says_why():
    with pytest.raises(ValueError, match="bands"):
        Chain([NoisyMap(BlockSpin(2), 1.0), NoisyMap(None, 1.0, BAND)]).process()
    with pytest.raises(ValueError, match="one orthonormal operator"):
        Chain([NoisyMap(BlockSpin(2), 1.0), NoisyMap(Wavelet("db2"), 1.0)]).process()


def cube(x):
    return BlockSpin(2).coarsen(x) ** 3


def test_the_law_of_a_nonlinear_step_is_estimated_with_its_error():
    chain, x = Chain([NoisyMap(cube, 0.5)]), torch.randn(1, 1, 8)
    m, v = BlockSpin(2).coarsen(x)[0], 0.5
    moments = chain.monte_carlo(x, normal, 40_000)
    mean, variance = m**3 + 3 * m * v, 9 * m**4 * v + 36 * m**2 * v**2 + 15 * v**3
    assert float(((moments.mean - mean) / moments.mean_error).abs().max()) < 4.5
    assert float(((moments.variance - variance) / moments.variance_error).abs().max()) < 4.5
    assert float(((moments.variance - 1.3 * variance) / moments.variance_error).abs().max()) > 4.5


def test_what_has_no_closed_form_is_refused_with_the_remedy():
    chain = Chain([NoisyMap(None, 1.0), NoisyMap(cube, 0.5)])
    assert torch.equal(chain.mean(torch.ones(1, 1, 8), 1), torch.ones(1, 1, 8))
    for ask in (chain.mean, lambda x: chain.covariance(x, 2), lambda x: chain.bridge(x, x, 1)):
        with pytest.raises(ValueError, match=r"step 1 .*is not known to be linear; use monte_carlo"):
            ask(torch.ones(1, 1, 8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Chain([]), "no steps"),
        (lambda: NoisyMap(None, -1.0), "beta = -1.0"),
        (lambda: Band(Fourier(), 2.0, 1.0), "from 2.0 to 1.0"),
        (lambda: four_steps(BlockSpin(2)).sample(torch.ones(1, 1, 6), normal), "step 3 of the chain: the lattice .3,."),
        (lambda: four_steps(BlockSpin(2)).mean(torch.ones(1, 1, 8), 5), "t = 5; the chain has the times 0 to 4"),
        (
            lambda: four_steps(BlockSpin(2)).bridge(torch.ones(1, 1, 3), torch.ones(1, 1, 8), 0),
            r"state of time 1 has the shape \(1, 1, 3\); the chain makes \(1, 1, 4\)",
        ),
        (lambda: Chain([NoisyMap(cube, 1.0)]).monte_carlo(torch.ones(1, 1, 8), normal, 2), "count is 2"),
        (lambda: Chain([NoisyMap(cube, 1.0)]).monte_carlo(torch.ones(2, 1, 8), normal), "a batch of 2 fields"),
        (lambda: four_steps(BlockSpin(2)).bridge(torch.ones(1, 1, 1), torch.ones(1, 1, 8), 4), "bridge back to t = 4"),
    ],
)
def test_an_impossible_chain_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_map_of_another_kind_may_change_the_lattice():
    chain = Chain([NoisyMap(lambda x: x[..., ::3], 1.0), NoisyMap(BlockSpin(2), 1.0)])
    assert [tuple(x.shape[2:]) for x in chain.sample(torch.ones(1, 1, 12), normal)] == [(12,), (4,), (2,)]
    with pytest.raises(ValueError, match=r"the lattice \(5,\)"):
        chain.sample(torch.ones(1, 1, 15), normal)


def test_conjugate_gradients_solve_a_singular_system_where_it_can_be_met():
    root = torch.randn(9, 5)
    singular = root @ root.T
    b = torch.randn(3, 9) @ singular
    x = conjugate_gradients(lambda y: y @ singular, b.unsqueeze(1))
    torch.testing.assert_close(x[:, 0], b @ torch.linalg.pinv(singular, hermitian=True), rtol=1e-7, atol=1e-7)


class Doubled(BlockSpin):
    """Coarse fields twice as large as they should be."""

    def analyze_axis(self, x):
        return 2 * super().analyze_axis(x)


@pytest.mark.parametrize(
    "use",
    [
        lambda step, x: Chain([NoisyMap(step, 0.1)]).mean(x),
        lambda step, x: Chain([NoisyMap(step, 0.1)]).covariance(x[..., :4]),
        lambda step, x: Chain([NoisyMap(step, 0.1)]).process().perturb(x, torch.rand(1), x),
        lambda step, x: EffectiveEnergy(lambda x: x.square().flatten(1).sum(1), NoisyMap(step, 0.0))(x[..., :1]),
        lambda step, x: DeterministicInverse(step, 1, 1, "periodic").fit(x),
        lambda step, x: ForwardProcess(Pyramid(step, 1), Trigonometric()).perturb(x, torch.rand(1), x),
        lambda step, x: gaussian_lift(step, 1, 1, "periodic").log_prob(x),
    ],
    ids=["mean", "covariance", "process", "energy", "deterministic", "pyramid", "likelihood"],
)
def test_an_operator_that_is_not_orthonormal_where_it_must_be_is_refused(use):
    with pytest.raises(ValueError, match="Doubled is not orthonormal: its split has 4 times the sum of squares"):
        use(Doubled(2), torch.randn(1, 1, 8))
