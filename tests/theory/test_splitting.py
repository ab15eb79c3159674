"""The splitting on Gaussian data, where it is linear; its evaluations, and what it refuses."""

import pytest
import torch
from convergence import order

from rgdm.scale.basis import Fourier, Site
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves
from rgdm.theory.splitting import SymplecticSplitting, kick, rotate

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
    result = responses(sampler, process, variance)
    return torch.einsum("ia...,ib...->ab...", result, result)


@pytest.mark.integration
@every_churn
@every_process
def test_the_covariance_converges_at_second_order(process, churn):
    """Of position and momentum of every mode, to diag(variance, 1); with cold momenta of the positions in all."""
    steps, unit = (32, 64, 128), process.schedule.momentum == 1
    exact = torch.diag_embed(torch.stack([VARIANCES, torch.ones(5)], -1)).movedim(0, -1)
    errors = [covariance(SymplecticSplitting(n, churn), process, VARIANCES) - exact for n in steps]
    sizes = [e.norm(dim=(0, 1)) if unit else e[:1, 0].norm(dim=1) for e in errors]  # cold momenta need more steps
    assert float(sizes[-1].abs().max()) < 0.012
    assert float((order(sizes, steps) - 2).abs().max()) < 0.15


@pytest.mark.integration
def test_without_the_predicted_momentum_the_kicks_would_be_of_first_order():
    """A negative control, the same loop with the momentum before the kick."""

    def result(n):
        estimate, y = Posterior(PLAIN, VARIANCES), torch.eye(2)[:, :, None] * torch.ones_like(VARIANCES)
        for i in range(n):
            t, s = torch.tensor([1 - (i + 0.5) / n]), torch.tensor([max(0.0, 1 - (i + 1.5) / n)])
            (tau, speed), (later, _) = PLAIN.clock(t, (5,)), PLAIN.clock(s, (5,))
            r = PLAIN.excess(y, estimate(y, t.expand(2)), t.expand(2))
            y = rotate(kick(y, 2 * speed / n * r), later - tau)
        return y[:, 0].square().sum(0) - VARIANCES

    steps = (32, 64, 128)
    assert float((order([result(n) for n in steps], steps) - 1).abs().max()) < 0.3


@every_churn
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_white_data_of_unit_variance_are_exact_in_any_number_of_steps(steps, churn):
    result = covariance(SymplecticSplitting(steps, churn), PLAIN, torch.ones(1))
    torch.testing.assert_close(result[..., 0], torch.eye(2), rtol=0, atol=1e-12)


@pytest.mark.integration
def test_every_mode_of_a_scale_dependent_process_comes_to_its_own_variance():
    process, lattice = PROCESSES["fine modes first"], (8, 8)
    v = 1 / (0.3 + process.basis.wavenumber(lattice))
    coarse, fine = (float((covariance(SymplecticSplitting(n), process, v)[0, 0] / v - 1).abs().max()) for n in (20, 80))
    assert fine < 0.02 and fine < coarse / 4


@pytest.mark.integration
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
        result = SymplecticSplitting(n, churn)(
            estimate, PLAIN, torch.randn(20_000, 2, 1), lambda i: torch.randn(20_000, 2, 1)
        )
        errors.append(float((halves(result)[0].flatten().abs().sort().values - truth).square().mean().sqrt()))
    assert errors[2] < 0.05 and errors[2] < errors[0] / 2


@every_churn
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_evaluations_are_as_many_as_announced(steps, churn):
    result, posterior = SymplecticSplitting(steps, churn), Posterior(PLAIN, torch.ones(4))
    result(posterior, PLAIN, torch.zeros(1, 2, 4), lambda i: torch.zeros(1, 2, 4))
    assert posterior.calls == result.evaluations == steps


def test_the_sampler_is_not_symplectic_for_data():
    """The score depends on the momentum: the flow contracts where data are narrow."""
    result = responses(SymplecticSplitting(64), PLAIN, torch.tensor([0.2]))[..., 0].T
    assert float(torch.linalg.det(result)) == pytest.approx(0.2**0.5, rel=0.01)


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
