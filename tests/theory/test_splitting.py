"""The splitting on Gaussian data, where it is linear, and its geometry; the denoiser and its loss by brute force."""

import pytest
import torch

from rgdm.model.networks.local import LocalConvNet
from rgdm.scale.basis import Fourier, Site
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves
from rgdm.theory.splitting import PhaseSpaceDenoiser, SymplecticSplitting, kick, rotate
from simple_backbones import Wave, Zero

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = PhaseSpaceProcess(Site())
PROCESSES = {
    "plain": PLAIN,
    "cold momenta": PhaseSpaceProcess(Site(), CriticalDamping(momentum=0.04)),
    "fine modes first": PhaseSpaceProcess(Fourier(), CriticalDamping(rate=lambda k: 1 + k / 2)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
every_churn = pytest.mark.parametrize("churn", [0.0, 0.5, 1.0])
VARIANCES = torch.tensor([0.2, 0.5, 1.5, 2.5, 5.0], dtype=torch.float64)


class Posterior:
    """The exact E[z_0 | y_t] of independent modes, which counts how often it is asked."""

    def __init__(self, process, variance):
        self.process, self.known, self.calls = (
            process,
            GaussianMixture.field(variance).conditional_mean(process.position),
            0,
        )

    def __call__(self, y, t):
        self.calls += 1
        return self.known(self.process.filtered(y, t), t)


def responses(sampler, process, variance):
    """What each unit of the start and of each step's noise becomes, ``(inputs, 2, *lattice)``."""
    slots = 1 if sampler.churn == 0 else 1 + sampler.steps
    unit = torch.eye(2 * slots).reshape(2 * slots, slots, 2, *[1] * variance.dim()) * torch.ones_like(variance)
    return sampler(Posterior(process, variance), process, unit[:, 0], lambda i: unit[:, 1 + i])


def covariance(sampler, process, variance):
    made = responses(sampler, process, variance)
    return torch.einsum("ia...,ib...->ab...", made, made)


def order(errors, steps):
    """Minus the slope of log error over log steps."""
    x = torch.tensor(steps).double().log()
    x = x - x.mean()
    return -(x @ torch.stack(errors).abs().log()) / x.square().sum()


# --- Gaussian data ------------------------------------------------------------------------------


@every_churn
@every_process
def test_the_covariance_converges_at_second_order(process, churn):
    """Of position and momentum of every mode, to diag(variance, 1); with cold momenta of the positions in all."""
    steps, unit = (64, 128, 256), process.schedule.momentum == 1
    exact = torch.diag_embed(torch.stack([VARIANCES, torch.ones(5)], -1)).movedim(0, -1)
    errors = [covariance(SymplecticSplitting(n, churn), process, VARIANCES) - exact for n in steps]
    sizes = [e.norm(dim=(0, 1)) if unit else e[:1, 0].norm(dim=1) for e in errors]  # cold momenta need more steps
    assert float(sizes[-1].abs().max()) < 3e-3
    assert float((order(sizes, steps) - 2).abs().max()) < 0.1


def test_without_the_predicted_momentum_the_kicks_would_be_of_first_order():
    """A negative control, the same loop with the momentum before the kick."""

    def made(n):
        estimate, y = Posterior(PLAIN, VARIANCES), torch.eye(2)[:, :, None] * torch.ones_like(VARIANCES)
        for i in range(n):
            t, s = torch.tensor([1 - (i + 0.5) / n]), torch.tensor([max(0.0, 1 - (i + 1.5) / n)])
            (tau, speed), (later, _) = PLAIN.clock(t, (5,)), PLAIN.clock(s, (5,))
            r = PLAIN.excess(y, estimate(y, t.expand(2)), t.expand(2))
            y = rotate(kick(y, 2 * speed / n * r), later - tau)
        return y[:, 0].square().sum(0) - VARIANCES

    steps = (64, 128, 256)
    assert float((order([made(n) for n in steps], steps) - 1).abs().max()) < 0.3


@every_churn
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_white_data_of_unit_variance_are_exact_in_any_number_of_steps(steps, churn):
    made = covariance(SymplecticSplitting(steps, churn), PLAIN, torch.ones(1))
    torch.testing.assert_close(made[..., 0], torch.eye(2), rtol=0, atol=1e-12)


def test_every_mode_of_a_scale_dependent_process_comes_to_its_own_variance():
    process, lattice = PROCESSES["fine modes first"], (8, 8)
    v = 1 / (0.3 + process.basis.wavenumber(lattice))
    coarse, fine = (float((covariance(SymplecticSplitting(n), process, v)[0, 0] / v - 1).abs().max()) for n in (20, 80))
    assert fine < 0.02 and fine < coarse / 4


@every_churn
def test_bimodal_data_are_met_with_more_steps(churn):
    """Quantiles of the sizes of many independent sites, of two points at -1 and 1 with spread 1/4."""
    law = GaussianMixture(torch.ones(2), torch.tensor([-1.0, 1.0])[:, None, None], torch.full((2, 1, 1), 1 / 16))
    known = law.conditional_mean(PLAIN.position)

    def estimate(y, t):
        return known(PLAIN.filtered(y, t), t)

    truth = law.sample(torch.randn(20_000, 1, 1), torch.rand(20_000)).flatten().abs().sort().values
    errors = []
    for n in (4, 16, 64):
        made = SymplecticSplitting(n, churn)(
            estimate, PLAIN, torch.randn(20_000, 2, 1), lambda i: torch.randn(20_000, 2, 1)
        )
        errors.append(float((halves(made)[0].flatten().abs().sort().values - truth).square().mean().sqrt()))
    assert errors[2] < 0.05 and errors[2] < errors[0] / 2


# --- geometry -----------------------------------------------------------------------------------


def force(z):
    """Of the potential z^4 / 4 in addition to z^2 / 2, and a coupling of neighbours."""
    return -(z**3) - 0.3 * (2 * z - z.roll(1, -1) - z.roll(-1, -1))


def energy(y):
    z, p = halves(y)
    potential = z**2 / 2 + z**4 / 4 + 0.15 * (z - z.roll(1, -1)) ** 2
    return (p**2 / 2 + potential).flatten(1).sum(1)


def strang(y, angle):
    """One step of the sampler's two maps: half a turn, the kick, half a turn."""
    half = torch.tensor(angle / 2)
    y = rotate(y, half)
    return rotate(kick(y, angle * force(halves(y)[0])), half)


def euler(y, angle):
    z, p = halves(y)
    return torch.cat([z + angle * p, p + angle * (force(z) - z)], 1)


def defect(jacobian):
    """How far ``J^T Omega J`` is from Omega."""
    n = len(jacobian) // 2
    omega = torch.zeros(2 * n, 2 * n)
    omega[:n, n:], omega[n:, :n] = torch.eye(n), -torch.eye(n)
    return float((jacobian.T @ omega @ jacobian - omega).abs().max())


def test_the_maps_without_friction_are_symplectic_and_those_of_euler_are_not():
    start = torch.randn(10)

    def path(step):
        def after(flat):
            y = flat.reshape(1, 2, 5)
            for _ in range(20):
                y = step(y, 0.15)
            return y.flatten()

        return torch.autograd.functional.jacobian(after, start)

    assert defect(path(strang)) < 1e-10
    assert defect(path(euler)) > 0.1


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_the_sampler_is_symplectic_where_the_excess_is_a_force(steps):
    """An estimate is made up whose excess depends on the position alone, linear, so that the map is its Jacobian."""
    matrix = torch.randn(3, 3)
    matrix = matrix + matrix.T

    def estimate(y, t):
        (z, p), law = halves(y), PLAIN.marginal(t, (3,))
        push = z @ matrix - p  # the score of the momentum that is wanted
        return (push * law.determinant + law.zz * p - law.zp * z) / (law.zz * law.mean_p - law.zp * law.mean_z)

    made = SymplecticSplitting(steps)(estimate, PLAIN, torch.eye(6).reshape(6, 2, 3)).flatten(1).T
    assert float((made - torch.eye(6)).abs().max()) > 0.1
    assert defect(made) / float(made.square().max()) < 1e-10


def test_the_sampler_is_not_symplectic_for_data():
    """The score depends on the momentum: the flow contracts where data are narrow."""
    made = responses(SymplecticSplitting(64), PLAIN, torch.tensor([0.2]))[..., 0].T
    assert float(torch.linalg.det(made)) == pytest.approx(0.2**0.5, rel=0.01)


def test_forward_and_back_is_where_it_began():
    start = torch.randn(4, 2, 5)
    y = start
    for _ in range(500):
        y = strang(y, 0.1)
    assert float((y - start).abs().max()) > 0.1
    for _ in range(500):
        y = strang(y, -0.1)
    torch.testing.assert_close(y, start, rtol=0, atol=1e-10)


def test_the_energy_stays_within_bounds_over_many_periods_and_that_of_euler_drifts():
    y = torch.randn(8, 2, 5)
    other, first, errors = y, energy(y), []
    for _ in range(4000):
        y = strang(y, 0.1)
        errors.append((energy(y) / first - 1).abs().max())
    early, late = torch.stack(errors[:1000]).max(), torch.stack(errors[-1000:]).max()
    assert float(late) < 0.05 and float(late) < 1.3 * float(early)
    for _ in range(20):
        other = euler(other, 0.1)
    assert float((energy(other) / first).min()) > 1.2


# --- the denoiser -------------------------------------------------------------------------------


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
    made = SymplecticSplitting(48)(lambda y, t: denoiser(y, t), process, unit)
    tolerance = 1e-12 if process.schedule.momentum == 1 else 0.01
    torch.testing.assert_close(made[:, 0].square().sum(0), torch.ones(8, 8), rtol=0, atol=tolerance)


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
        made = halves(SymplecticSplitting(16)(estimate, PLAIN, noise))[0]
        t = torch.full((len(test),), 0.25)
        return float((estimate(PLAIN.perturb(test, t, noise), t) - test).square().mean()), kurtosis(made)

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
        after, made = judged(denoiser)

    def ideal(y, t):  # each site by itself
        return known(PLAIN.filtered(y, t).reshape(-1, 1, 1), t.repeat_interleave(16)).reshape(-1, 1, 16).float()

    best, exact = judged(ideal)
    assert best < after < best + 0.25 * (before - best)
    assert abs(made - exact) < 0.25 * (white - exact)


# --- what is refused ----------------------------------------------------------------------------


@every_churn
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_evaluations_are_as_many_as_announced(steps, churn):
    made, posterior = SymplecticSplitting(steps, churn), Posterior(PLAIN, torch.ones(4))
    made(posterior, PLAIN, torch.zeros(1, 2, 4), lambda i: torch.zeros(1, 2, 4))
    assert posterior.calls == made.evaluations == steps


def test_members_of_a_batch_do_not_touch_each_other():
    y, draws, exact = torch.randn(3, 2, 5), torch.randn(5, 3, 2, 5), Posterior(PLAIN, VARIANCES)
    sampler = SymplecticSplitting(5, 1.0)
    both = sampler(exact, PLAIN, y, lambda i: draws[i])
    assert torch.equal(both[1:2], sampler(exact, PLAIN, y[1:2], lambda i: draws[i, 1:2]))


def test_with_churn_the_sampler_asks_for_its_noise():
    with pytest.raises(ValueError, match="it needs the argument `draw`"):
        SymplecticSplitting(2, 1.0)(Posterior(PLAIN, torch.ones(4)), PLAIN, torch.zeros(1, 2, 4))


def test_a_sampler_without_steps_is_refused():
    with pytest.raises(ValueError, match="0 sampling steps; at least 1 is needed"):
        SymplecticSplitting(0)


@pytest.mark.parametrize("churn", [-0.1, 1.1, float("nan")])
def test_a_churn_that_is_no_share_is_refused(churn):
    with pytest.raises(ValueError, match="it must be between 0"):
        SymplecticSplitting(4, churn)


def test_a_state_without_momenta_is_refused():
    with pytest.raises(ValueError, match="a state of 1 channels"):
        SymplecticSplitting(2)(Posterior(PLAIN, torch.ones(4)), PLAIN, torch.zeros(1, 1, 4))
