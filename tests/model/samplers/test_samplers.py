"""Samplers on Gaussian data, where each is linear: its gain and its order can be read off exactly."""

import math

import pytest
import torch

from rgdm.model.samplers.fitted import FittedMultistep, coefficients
from rgdm.model.samplers.reverse import AdamsBashforth, Ancestral, Ddim, Heun
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import NoisyStep, Staggered, Trigonometric, VariancePreserving
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")

DETERMINISTIC = [Ddim, Heun, AdamsBashforth, FittedMultistep]
VARIANCES = (0.2, 0.5, 0.9, 1.0, 1.5, 4.0)
PLAIN = ForwardProcess(Site(), Trigonometric())
STAGGERED = {
    "Fourier, one octave at a time": ForwardProcess(Fourier(), Staggered(1.0, 4)),
    "Fourier, two octaves at a time": ForwardProcess(Fourier(), Staggered(2.0, 4)),
    "pyramid, half an octave at a time": ForwardProcess(Pyramid(BlockSpin(2), 3), Staggered(0.5, 4)),
}


class Posterior:
    """The exact E[z_0 | z_t] of independent modes z_0 ~ N(0, variance), which counts how often it is asked."""

    def __init__(self, process, variance):
        self.process, self.variance, self.calls = process, variance, 0

    def __call__(self, z, t):
        self.calls += 1
        alpha, sigma = self.process.marginal(t, tuple(z.shape[2:]))
        return alpha * self.variance * z / (alpha**2 * self.variance + sigma**2)


def variances(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, -1)


def gain(sampler, process, variance):
    """What the sampler multiplies each mode by, from t = 1 to t = 0."""
    return sampler(Posterior(process, variance), process, torch.ones_like(variance))


def deviation(sampler, process, variance):
    """The standard deviation of a stochastic sampler's result: its response to the start and to every draw."""
    inputs = sampler.steps + 1
    unit = torch.eye(inputs).reshape(inputs, inputs, *[1] * (variance.dim() - 1))
    start = unit[0] * torch.ones_like(variance)
    response = sampler(Posterior(process, variance), process, start, lambda i: unit[i + 1] * torch.ones_like(variance))
    return response.square().sum(0, keepdim=True).sqrt()


def order(result, make, steps):
    """Minus the slope of log error over log steps, mode by mode."""
    errors = torch.stack([(result(make(n)) - 1).abs().flatten() for n in steps]).log()
    x = torch.tensor(steps, dtype=torch.float64).log()
    x = x - x.mean()
    return -(x @ errors) / x.square().sum()


@pytest.mark.integration
@pytest.mark.parametrize(("sampler", "expected"), [(Ddim, 1), (Heun, 2), (AdamsBashforth, 2)])
def test_the_error_of_the_gain_falls_with_the_order_of_the_sampler(sampler, expected):
    s = variances(0.2, 0.5, 1.5, 2.5)
    measured = order(lambda made: gain(made, PLAIN, s) / s.sqrt(), sampler, (32, 64, 128))
    assert float((measured - expected).abs().max()) < 0.15


@pytest.mark.integration
def test_the_ancestral_variance_converges_at_first_order():
    s = variances(0.2, 0.5, 1.0, 1.5, 4.0)
    measured = order(lambda made: deviation(made, PLAIN, s) / s.sqrt(), Ancestral, (64, 128, 256, 512))
    assert float((measured - 1).abs().max()) < 0.15


@pytest.mark.integration
@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
@pytest.mark.parametrize("process", STAGGERED.values(), ids=STAGGERED)
def test_every_mode_of_a_staggered_process_comes_to_its_own_variance(sampler, process):
    lattice = (8, 16)
    s = 1 / (0.3 + process.basis.wavenumber(lattice)[None, None])
    measure = deviation if sampler is Ancestral else gain
    coarse, fine = ((measure(sampler(n), process, s) / s.sqrt() - 1).abs().max() for n in (20, 80))
    limit = 0.2 if sampler in (Ddim, Ancestral) else 0.02
    assert float(fine) < limit
    assert float(fine) < 0.5 * float(coarse)


@pytest.mark.integration
@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
def test_a_variance_preserving_process_comes_to_the_variance_of_the_data(sampler):
    process, s = ForwardProcess(Site(), VariancePreserving()), variances(*VARIANCES)
    measure = deviation if sampler is Ancestral else gain
    torch.testing.assert_close(measure(sampler(200), process, s), s.sqrt(), rtol=0.05, atol=0)


@pytest.mark.parametrize("sampler", [Heun, AdamsBashforth, FittedMultistep])
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("process", [PLAIN, *STAGGERED.values()], ids=["plain", *STAGGERED])
def test_white_data_of_unit_variance_are_exact_in_any_number_of_steps(sampler, steps, process):
    s = torch.ones(1, 1, 8, 8)
    z = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(sampler(steps)(Posterior(process, s), process, z), z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_ddim_loses_variance_even_of_white_data(steps):
    expected = math.cos(math.pi / 2 / steps) ** steps
    torch.testing.assert_close(gain(Ddim(steps), PLAIN, variances(1.0)), variances(expected), rtol=0, atol=1e-12)


def test_in_one_step_ddim_gives_the_mean_of_the_data():
    z, mean = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(Ddim(1)(lambda z, t: mean, PLAIN, z), mean)


def test_in_one_step_the_flow_and_heun_go_along_the_first_velocity():
    z, mean = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    for sampler in (Heun(1), AdamsBashforth(1)):
        torch.testing.assert_close(sampler(lambda z, t: mean, PLAIN, z), z + math.pi / 2 * mean)


def test_two_steps_of_the_flow_are_adams_bashforth_by_hand():
    s, h = 2.0, math.pi / 4
    middle = 1.0  # at the pure noise the estimate is 0, and so is the velocity
    data = math.cos(h) * s * middle / (math.cos(h) ** 2 * s + math.sin(h) ** 2)
    noise = (middle - math.cos(h) * data) / math.sin(h)
    velocity = math.cos(h) * noise - math.sin(h) * data
    torch.testing.assert_close(gain(AdamsBashforth(2), PLAIN, variances(s)), variances(middle - 1.5 * h * velocity))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("sampler", [Ddim, Ancestral])
def test_a_known_datum_is_returned_exactly(sampler, steps):
    datum = torch.randn(1, 2, 8, 8)
    process = STAGGERED["pyramid, half an octave at a time"]
    result = sampler(steps)(lambda z, t: datum, process, torch.randn(1, 2, 8, 8), lambda i: torch.randn(1, 2, 8, 8))
    torch.testing.assert_close(result, datum)


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_no_step_makes_a_nan_where_modes_are_frozen(sampler, steps):
    process = ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(0.05, 3))
    z = torch.randn(1, 1, 8, 8)
    assert bool(sampler(steps)(Posterior(process, 2.0), process, z, lambda i: z).isfinite().all())


@pytest.mark.integration
@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_a_chain_that_keeps_its_coarse_field_gives_it_back(sampler):
    process = ForwardProcess(Pyramid(BlockSpin(2), 2), NoisyStep(0.5, 2))
    z, known = torch.randn(2, 1, 1, 8, 8)
    alpha, sigma = process.marginal(torch.ones(1), (8, 8))
    start = alpha * known + sigma * z
    result = sampler(400)(lambda z, t: known, process, start)
    torch.testing.assert_close(result[..., :2, :2], known[..., :2, :2], rtol=0, atol=0.02)


@pytest.mark.parametrize("sampler", [Heun, AdamsBashforth, Ddim])
def test_an_estimate_that_is_exact_to_a_millionth_is_good_enough_where_an_octave_begins(sampler):
    """Equal steps meet the begin of an octave up to rounding, where sigma is about 1e-8."""
    process = ForwardProcess(Fourier(), Staggered(1.0, 5))
    exact = Posterior(process, 1 / (0.3 + process.basis.wavenumber((32,))[None, None]))
    z = torch.randn(1, 1, 32)
    made = sampler(10)(lambda z, t: exact(z, t) + 1e-6 * torch.randn_like(z), process, z)
    torch.testing.assert_close(made, sampler(10)(exact, process, z), rtol=0, atol=1e-3)


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_evaluations_are_as_many_as_announced(sampler, steps):
    made, posterior = sampler(steps), Posterior(PLAIN, 1.0)
    made(posterior, PLAIN, torch.zeros(1, 1, 4), lambda i: torch.zeros(1, 1, 4))
    assert posterior.calls == made.evaluations


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
def test_members_of_a_batch_do_not_touch_each_other(sampler):
    z, draws = torch.randn(3, 1, 8), torch.randn(5, 3, 1, 8)
    both = sampler(5)(Posterior(PLAIN, 2.0), PLAIN, z, lambda i: draws[i])
    alone = sampler(5)(Posterior(PLAIN, 2.0), PLAIN, z[1:2], lambda i: draws[i, 1:2])
    assert torch.equal(both[1:2], alone)


def test_the_ancestral_sampler_asks_for_its_noise():
    with pytest.raises(ValueError, match="it needs the argument `draw`"):
        Ancestral(2)(Posterior(PLAIN, 1.0), PLAIN, torch.zeros(1, 1, 4))


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
def test_a_sampler_without_steps_is_refused(sampler):
    with pytest.raises(ValueError, match="0 sampling steps; at least 1 is needed"):
        sampler(0)


# --- the fitted flow ---------------------------------------------------------------------------

MANY = torch.logspace(math.log10(0.04), math.log10(4), 30, dtype=torch.float64).reshape(1, 1, -1)


def test_three_fitted_steps_bring_every_deviation_within_three_percent():
    errors = {
        sampler: float((gain(sampler(3), PLAIN, MANY) / MANY.sqrt()).log().abs().max())
        for sampler in (FittedMultistep, AdamsBashforth, Ddim, Heun)
    }
    assert errors.pop(FittedMultistep) < 0.03 and min(errors.values()) > 0.1


@pytest.mark.parametrize("process", [*STAGGERED.values(), ForwardProcess(Site(), VariancePreserving())])
def test_each_mode_is_fitted_to_its_own_angles(process):
    v = torch.rand(1, 1, 8, 16) + 0.3
    ours, plain = (
        float((gain(sampler(24), process, v) / v.sqrt() - 1).abs().max())
        for sampler in (FittedMultistep, AdamsBashforth)
    )
    assert ours < 0.04 and ours < plain / 2


def test_correlated_data_come_to_their_covariance_although_no_step_knows_it():
    """Every step is linear with the same weights for all modes, so a covariance is as good as its eigenvalues."""
    root = torch.randn(12, 12)
    covariance = root @ root.T / 24 + 0.1 * torch.eye(12)

    def estimate(z, t):
        alpha, sigma = t.mul(math.pi / 2).cos()[0], t.mul(math.pi / 2).sin()[0]
        return z @ torch.linalg.solve(alpha**2 * covariance + sigma**2 * torch.eye(12), alpha * covariance)

    made = FittedMultistep(3)(estimate, PLAIN, torch.eye(12).unsqueeze(1))[:, 0]
    error = (made.T @ made - covariance).norm() / covariance.norm()
    assert float(error) < 0.02


def mixture(z, t):
    """E[z_0 | z_t] of two points at -1 and 1, each with the spread 1/4."""
    alpha, sigma = t[0].mul(math.pi / 2).cos(), t[0].mul(math.pi / 2).sin()
    centres, narrow = torch.tensor([-1.0, 1.0]), 1 / 16
    variance = alpha**2 * narrow + sigma**2
    share = (-((z[..., None] - alpha * centres) ** 2) / (2 * variance)).softmax(-1)
    means = centres + alpha * narrow / variance * (z[..., None] - alpha * centres)
    return (share * means).sum(-1)


@pytest.mark.integration
def test_data_that_are_not_gaussian_are_met_with_more_steps():
    start = torch.special.ndtri((torch.arange(1001) + 0.5) / 1001)[None, None]
    exact = Heun(400)(mixture, PLAIN, start)
    for sampler in (FittedMultistep, AdamsBashforth):
        errors = [float((sampler(n)(mixture, PLAIN, start) - exact).square().mean().sqrt()) for n in (4, 8, 16, 64)]
        assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01, sampler


def test_the_mean_of_the_data_is_exact_in_any_number_of_steps():
    for steps in (1, 2, 3, 8):
        made = FittedMultistep(steps)(lambda z, t: torch.full_like(z, 1.7), PLAIN, torch.zeros(1, 1, 5))
        torch.testing.assert_close(made, torch.full_like(made, 1.7))


def test_a_mode_without_noise_to_speak_of_is_no_trouble():
    angles = torch.tensor([[1e-7, 1e-12, 0.0], [5e-8, 1e-12, 0.0], [0.0, 0.0, 0.0]])
    for step in coefficients(angles):
        assert bool(step.isfinite().all()) and torch.allclose(step.sum(0), torch.ones(3))


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, Ancestral])
def test_the_same_sampler_with_other_evaluations(sampler):
    for count in (1, 3, 8):
        made = sampler(5).spending(count)
        assert type(made) is sampler and 0 <= count - made.evaluations <= 1
    with pytest.raises(ValueError, match="at least 1"):
        sampler(5).spending(0)


def test_modes_that_stand_still_keep_their_state():
    angles = torch.tensor([[1.2, 1.5], [1.2, 0.7], [1.2, 0.0]])
    for step in coefficients(angles):
        assert step[:, 0].tolist() == [1.0] + [0.0] * (len(step) - 1)
