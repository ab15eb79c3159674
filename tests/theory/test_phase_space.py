"""The process in phase space: its closed forms against the equations they solve, and its matched filter."""

import math

import pytest
import torch

from rgdm.process.schedule import check_order
from rgdm.scale.basis import Fourier, Site
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves, propagator

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
PROCESSES = {
    "plain": PhaseSpaceProcess(Site()),
    "cold momenta": PhaseSpaceProcess(Site(), CriticalDamping(momentum=0.04, pace=1.0)),
    "fine modes first": PhaseSpaceProcess(Fourier(), CriticalDamping(momentum=0.3, rate=lambda k: 1 + k)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def at(*t):
    return torch.tensor(t)


def covariance(law):
    return torch.stack([law.zz, law.zp, law.zp, law.pp], -1).unflatten(-1, (2, 2))


def integrated(process, datum, end):
    """Mean and covariance at t = ``end`` by Runge-Kutta, from ``ds = beta F s dt``, ``dS = beta (F S + S F^T + D) dt``.

    ``datum`` is the second moment of the datum that is integrated out.
    """
    drift, heat = torch.tensor([[0.0, 1.0], [-1.0, -2.0]]), torch.diag(torch.tensor([0.0, 4.0]))
    mean = torch.tensor([1.0, 0.0])
    spread = torch.diag(torch.tensor([datum, process.schedule.momentum]))
    steps = 40 + round(800 * end)
    h = end / steps

    def slope(t, mean, spread):
        beta = process.clock(at(t), LATTICE)[1][0, 0, ..., None, None]
        turned = drift @ spread
        return beta[..., 0] * (mean @ drift.T), beta * (turned + turned.mT + heat)

    for i in range(steps):
        t, state = i * h, (mean, spread)
        k1 = slope(t, *state)
        k2 = slope(t + h / 2, *(s + h / 2 * k for s, k in zip(state, k1, strict=True)))
        k3 = slope(t + h / 2, *(s + h / 2 * k for s, k in zip(state, k2, strict=True)))
        k4 = slope(t + h, *(s + h * k for s, k in zip(state, k3, strict=True)))
        mean, spread = (
            s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
        )
    return mean, spread


@pytest.mark.integration
@every_process
@pytest.mark.parametrize("end", [0.02, 0.3, 0.8])
def test_mean_and_covariance_solve_their_equations(process, end):
    mean, spread = integrated(process, 0.0, end)
    law = process.marginal(at(end), LATTICE)
    torch.testing.assert_close(law.mean_z[0, 0].expand(mean[..., 0].shape), mean[..., 0], rtol=0, atol=1e-8)
    torch.testing.assert_close(law.mean_p[0, 0].expand(mean[..., 1].shape), mean[..., 1], rtol=0, atol=1e-8)
    torch.testing.assert_close(covariance(law)[0, 0].expand(spread.shape), spread, rtol=0, atol=1e-8)


@pytest.mark.integration
@every_process
def test_gaussian_data_have_the_covariance_that_solves_the_same_equation(process):
    _, spread = integrated(process, 2.5, 0.5)
    law = process.marginal(at(0.5), LATTICE).of(2.5)
    torch.testing.assert_close(covariance(law)[0, 0].expand(spread.shape), spread, rtol=0, atol=1e-8)


@every_process
def test_at_the_end_positions_and_momenta_are_unit_noise(process):
    law = process.marginal(at(1.0), LATTICE)
    assert float(torch.hypot(law.mean_z, law.mean_p).max()) < 1e-100
    torch.testing.assert_close(covariance(law), torch.eye(2).expand(covariance(law).shape), rtol=0, atol=1e-12)


@every_process
def test_at_the_beginning_positions_are_the_data(process):
    z, noise = torch.randn(3, 2, *LATTICE), torch.randn(3, 4, *LATTICE)
    position, momentum = halves(process.perturb(z, torch.zeros(3), noise))
    assert torch.equal(position, z)
    torch.testing.assert_close(momentum, process.schedule.momentum**0.5 * noise[:, 2:])
    torch.testing.assert_close(process.filtered(torch.cat([position, momentum], 1), torch.zeros(3)), z)


@pytest.mark.parametrize("t", [1e-9, 1e-6, 1e-3])
def test_the_first_moments_of_the_noise_are_those_of_a_free_particle(t):
    """Cancellations would spoil them: for unit momenta tau^2 and (4/3) tau^3 in the lead."""
    law = PROCESSES["plain"].marginal(at(t), LATTICE)
    tau = float(PROCESSES["plain"].clock(at(t), LATTICE)[0])
    assert float(law.zz) == pytest.approx(tau**2, rel=3 * tau + 1e-12)
    assert float(law.determinant) == pytest.approx(4 / 3 * tau**3, rel=10 * tau + 1e-6)


@every_process
def test_perturbed_samples_have_the_moments_of_the_marginal(process):
    count, t = 20_000, 0.3
    z = torch.randn(1, 1, *LATTICE)
    y = process.perturb(z.expand(count, -1, -1, -1), torch.full((count,), t), torch.randn(count, 2, *LATTICE))
    law = process.marginal(at(t), LATTICE)
    off = y - torch.cat([law.mean_z * z, law.mean_p * z], 1)
    for measured, exact, scale in (
        (off.mean(0)[:1], 0.0, law.zz.sqrt()),
        (off.mean(0)[1:], 0.0, law.pp.sqrt()),
        (off[:, 0].square().mean(0), law.zz, 2**0.5 * law.zz),
        (off[:, 1].square().mean(0), law.pp, 2**0.5 * law.pp),
        ((off[:, 0] * off[:, 1]).mean(0), law.zp, (law.zz * law.pp + law.zp**2).sqrt()),
    ):
        assert float(((measured - exact) / scale).abs().max()) * count**0.5 < 4.5


@every_process
def test_a_path_of_two_times_is_the_path_of_one(process):
    """Semigroup: the law at t, carried on by the propagator and the heat of the time between, is the law at s."""
    t, s = at(0.3), at(0.6)
    first, last = process.marginal(t, LATTICE), process.marginal(s, LATTICE)
    between = process.clock(s, LATTICE)[0] - process.clock(t, LATTICE)[0]
    matrix = torch.stack(propagator(between), -1).unflatten(-1, (2, 2))
    carried = matrix @ (covariance(first) - torch.eye(2)) @ matrix.mT + torch.eye(2)
    torch.testing.assert_close(carried, covariance(last), rtol=0, atol=1e-12)


@pytest.mark.parametrize("damping", [0.0, 0.4, 1.0])
def test_the_propagator_is_the_matrix_exponential(damping):
    tau = torch.tensor([0.0, 0.1, 1.0, 7.0])
    drift = torch.tensor([[0.0, 1.0], [-1.0, -2 * damping]])
    expected = torch.linalg.matrix_exp(tau[:, None, None] * drift)
    torch.testing.assert_close(torch.stack(propagator(tau, damping), -1).unflatten(-1, (2, 2)), expected)


@every_process
def test_the_matched_filter_is_a_position_of_the_equivalent_process(process):
    z, noise, t = torch.randn(3, 2, *LATTICE), torch.randn(3, 4, *LATTICE), at(0.0, 0.2, 0.9)
    filtered = process.filtered(process.perturb(z, t, noise), t)
    torch.testing.assert_close(filtered, process.position.perturb(z, t, process.filtered_noise(noise, t)))


@every_process
def test_the_filtered_noise_is_unit_noise(process):
    t = at(0.0, 1e-4, 0.2, 0.9, 1.0)
    one, none = torch.ones(5, 1, *LATTICE), torch.zeros(5, 1, *LATTICE)
    parts = [process.filtered_noise(torch.cat(pair, 1), t) for pair in ((one, none), (none, one))]
    torch.testing.assert_close(torch.hypot(*parts), one)


@every_process
def test_the_equivalent_process_never_gains_signal(process):
    check_order(process.schedule, process.basis.wavenumber(LATTICE), times=200)


def test_with_a_larger_rate_a_mode_loses_its_data_earlier():
    process = PROCESSES["fine modes first"]
    alpha, _ = process.position.marginal(at(0.3), LATTICE)
    order = process.basis.wavenumber(LATTICE).flatten().argsort()
    assert bool((alpha.flatten()[order].diff() <= 1e-12).all())
    assert float(alpha.max()) > 2 * float(alpha.min())


@every_process
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_score_of_data_that_are_not_gaussian_needs_the_matched_filter_only(process, t):
    """Against the gradient of the exact density in the plane of each mode, a mixture of Gaussians."""
    shape = (2, 1, *LATTICE)
    mixture = GaussianMixture(torch.tensor([0.3, 0.7]), torch.randn(shape), 0.1 + torch.rand(shape))
    y = torch.randn(5, 2, *LATTICE, requires_grad=True)
    law, joint = process.marginal(at(t), LATTICE), []
    for weight, mean, variance in zip(mixture.weight, mixture.mean, mixture.variance, strict=True):
        off_z, off_p = y[:, :1] - law.mean_z * mean, y[:, 1:] - law.mean_p * mean
        given = law.of(variance)
        square = (given.pp * off_z**2 - 2 * given.zp * off_z * off_p + given.zz * off_p**2) / given.determinant
        joint.append(weight.log() - (square + given.determinant.log()).flatten(1).sum(1) / 2)
    (gradient,) = torch.autograd.grad(torch.stack(joint).logsumexp(0).sum(), y)
    times = torch.full((5,), t)
    with torch.no_grad():
        data = mixture.conditional_mean(process.position)(process.filtered(y, times), times)
        torch.testing.assert_close(process.score(y, data, times), gradient, rtol=1e-8, atol=1e-8)


def test_with_unit_momenta_white_data_are_in_equilibrium_at_all_times():
    process, y, t = PROCESSES["plain"], torch.randn(3, 2, *LATTICE), at(0.1, 0.5, 0.9)
    data = GaussianMixture.field(torch.ones(LATTICE)).conditional_mean(process.position)(process.filtered(y, t), t)
    torch.testing.assert_close(process.excess(y, data, t), torch.zeros(3, 1, *LATTICE), rtol=0, atol=1e-12)


def test_in_single_precision_the_state_is_that_of_double_precision():
    process, t = PROCESSES["plain"], at(1e-5, 0.1, 0.9)
    z, noise = torch.randn(3, 1, *LATTICE), torch.randn(3, 2, *LATTICE)
    y = process.perturb(z, t, noise)
    torch.testing.assert_close(process.perturb(z.float(), t, noise.float()).double(), y, rtol=0, atol=1e-5)
    assert process.filtered(y.float(), t.float()).dtype == torch.float32


@pytest.mark.parametrize(("momentum", "pace"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)])
def test_a_momentum_or_pace_that_is_not_positive_is_refused(momentum, pace):
    with pytest.raises(ValueError, match="both must be positive and finite"):
        CriticalDamping(momentum, pace)


@pytest.mark.parametrize("rate", [lambda k: k, lambda k: 1 / k, lambda k: k.new_ones(2)])
def test_a_rate_that_is_not_positive_or_not_per_mode_is_refused(rate):
    with pytest.raises(ValueError, match="one positive, finite number per mode is needed"):
        PhaseSpaceProcess(Fourier(), CriticalDamping(rate=rate)).marginal(at(0.5), LATTICE)


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_a_time_outside_the_unit_interval_is_refused(t):
    with pytest.raises(ValueError, match=r"it must stay within \[0, 1\]"):
        PROCESSES["plain"].marginal(at(t), LATTICE)


def test_an_odd_number_of_channels_is_no_state():
    with pytest.raises(ValueError, match="a state of 3 channels; as many momenta as positions"):
        PROCESSES["plain"].start(torch.zeros(1, 3, *LATTICE))


def test_the_score_at_the_data_is_refused():
    y = torch.zeros(1, 2, *LATTICE)
    with pytest.raises(ValueError, match="the score needs noise in every mode"):
        PROCESSES["plain"].score(y, y[:, :1], at(0.0))
