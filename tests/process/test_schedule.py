"""Schedules: laws that all obey, closed forms and limits of each."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.model.samplers.fitted import FittedMultistep
from rgdm.model.samplers.reverse import AdamsBashforth, Ddim, Heun
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisyStep,
    NoisySteps,
    Schedule,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")

SCHEDULES = {
    "VariancePreserving": VariancePreserving(),
    "Trigonometric": Trigonometric(),
    "Staggered(0.1)": Staggered(0.1, 4),
    "Staggered(2)": Staggered(2.0, 4),
    "NoisyStep": NoisyStep(0.7, 3),
    "NoisyStep of factor 3": NoisyStep(0.7, 3, factor=3),
    "NoisySteps": NoisySteps([0.3, 0.0, 0.7, 0.2], [1, 2]),
    "HeatDissipation": HeatDissipation(4.0),
    "ExactRG": ExactRG(0.4),
    "massive ExactRG": ExactRG(0.4, mass=0.3),
    "SpectrumMatched": SpectrumMatched(lambda k: 1 / (0.1 + k**2)),
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
times = st.floats(0, 1)


def octaves(*numbers: float) -> torch.Tensor:
    """Wavenumbers so many octaves below the pixel's."""
    return math.pi * 2.0 ** -torch.tensor(numbers, dtype=torch.float64)


K = torch.cat([octaves(0, 0.5, 1, 1.5, 2, 2.5, 3.5, 9), torch.tensor([0.0, 4.4], dtype=torch.float64)])


@every_schedule
@given(times, times)
def test_signal_over_noise_never_rises_with_time(schedule, one, two):
    alpha, sigma = schedule(torch.tensor([min(one, two), max(one, two)]), K)
    assert bool((alpha[0] * sigma[1] >= alpha[1] * sigma[0] - 1e-15).all())


@every_schedule
def test_time_zero_is_data(schedule):
    alpha, sigma = schedule(torch.zeros(2), K)
    assert torch.equal(alpha, torch.ones(2, 1, len(K)))
    assert torch.equal(sigma, torch.zeros(2, 1, len(K)))


@every_schedule
@given(st.lists(times, min_size=1, max_size=3), st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_each_time_and_mode_has_a_finite_amplitude_of_its_own(schedule, t, lattice):
    for amplitude in schedule(torch.tensor(t), torch.rand(*lattice)):
        assert amplitude.shape == (len(t), 1, *lattice)
        assert bool(((amplitude >= 0) & amplitude.isfinite()).all())


@pytest.mark.parametrize("name", ["VariancePreserving", "Trigonometric", "Staggered(0.1)", "Staggered(2)"])
@given(times)
def test_unit_variance_stays_unit_variance(name, t):
    alpha, sigma = SCHEDULES[name](torch.tensor([t]), K)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1, 1, len(K)), rtol=0, atol=1e-14)


def test_the_variance_preserving_signal_decays_at_the_rate_beta():
    t = torch.tensor([0.37], requires_grad=True)
    alpha, _ = VariancePreserving(0.2, 8.0)(t, torch.ones(1))
    (rate,) = torch.autograd.grad(alpha.log().sum(), t)
    torch.testing.assert_close(rate, -torch.tensor([0.2 + 0.37 * 7.8]) / 2)


def test_the_trigonometric_angle_runs_at_constant_speed():
    t = torch.linspace(0, 1, 7)
    alpha, sigma = Trigonometric()(t, torch.ones(1))
    torch.testing.assert_close(torch.atan2(sigma, alpha).flatten(), math.pi / 2 * t)


@pytest.mark.parametrize("name", ["trigonometric", "narrow", "blur"])
def test_the_rates_at_the_end_are_the_slopes_just_before_it(name):
    schedule = {"trigonometric": Trigonometric(), "narrow": Staggered(1.0, 3), "blur": HeatDissipation(2.0)}[name]
    process, h = ForwardProcess(Fourier(), schedule), 1e-6
    end, before = (process.marginal(torch.tensor([1 - step]), (16,)) for step in (0.0, h))
    *_, alpha_rate, sigma_rate = process.rates(torch.ones(1), (16,))
    torch.testing.assert_close(alpha_rate, (end[0] - before[0]) / h, rtol=0, atol=1e-4)
    torch.testing.assert_close(sigma_rate, (end[1] - before[1]) / h, rtol=0, atol=1e-4)


def test_steps_without_noise_have_finite_rates_and_samples():
    process = ForwardProcess(Pyramid(BlockSpin(2), 1), NoisySteps([0.0, 1.0], [1]))
    assert all(bool(a.isfinite().all()) for a in process.rates(torch.tensor([0.2]), (8,)))
    process = ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.0, 1.0], [0, 1]))
    for sampler in (Ddim(4), Heun(4), AdamsBashforth(4), FittedMultistep(4)):
        made = sampler(lambda z, t: torch.zeros_like(z), process, process.start(torch.randn(2, 1, 8)))
        assert bool(made.isfinite().all())


@pytest.mark.parametrize("schedule", [Trigonometric(), Staggered(0.1, 4), Staggered(2.0, 4)], ids=["trig", "0.1", "2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_at_the_end_nothing_of_the_data_is_left(schedule, dtype):
    alpha, sigma = schedule(torch.ones(1, dtype=dtype), K.to(dtype))
    assert not alpha.any()
    assert torch.equal(sigma, torch.ones_like(sigma))


@given(times)
def test_a_very_wide_stagger_is_trigonometric(t):
    wide, plain = (schedule(torch.tensor([t]), K) for schedule in (Staggered(1e9, 4), Trigonometric()))
    torch.testing.assert_close(wide, plain, rtol=0, atol=1e-8)


@given(times)
def test_a_narrow_stagger_takes_one_octave_at_a_time(t):
    alpha, sigma = Staggered(0.3, 4)(torch.tensor([t]), octaves(0, 1, 2, 3))
    assert int(((alpha > 0) & (sigma > 0)).sum()) <= 1


@pytest.mark.parametrize("width", [0.1, 1.0, 5.0])
@given(times)
def test_a_stagger_takes_the_finest_octave_first(width, t):
    alpha, sigma = Staggered(width, 4)(torch.tensor([t]), octaves(0, 1, 2, 3))
    assert bool((torch.atan2(sigma, alpha).diff() <= 0).all())


def test_an_octave_of_a_stagger_starts_when_the_finer_one_has_come_its_part_of_the_width():
    width = 2.0
    t = torch.tensor([1 / (3 + width)])  # octave 1 is about to start
    alpha, sigma = Staggered(width, 4)(t, octaves(0, 1, 2))
    torch.testing.assert_close(torch.atan2(sigma, alpha).flatten(), torch.tensor([math.pi / 4, 0, 0]))


def test_a_noisy_step_heats_a_mode_until_it_is_integrated_out():
    alpha, sigma = NoisyStep(0.5, 2)(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]), octaves(0.5, 1.5, 2.5))
    assert alpha[:, 0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1]]
    variance = [[0, 0, 0], [0.25] * 3, [0.5] * 3, [0.5, 0.75, 0.75], [0.5, 1, 1]]
    torch.testing.assert_close(sigma[:, 0] ** 2, torch.tensor(variance))


def test_noise_of_steps_that_change_no_scale_adds_up():
    schedule = NoisySteps([0.3, 0.0, 0.7, 0.2], [1, 2])
    alpha, sigma = schedule(torch.arange(5) / 4, octaves(0.5, 1.5, 2.5))
    assert alpha[:, 0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    variance = [[0.0] * 3, [0.3] * 3, [0.3] * 3, [0.3, 1.0, 1.0], [0.3, 1.0, 1.2]]
    torch.testing.assert_close(sigma[:, 0] ** 2, torch.tensor(variance))


def test_heat_dissipation_without_blur_is_trigonometric_and_with_it_blurs_like_the_heat_equation():
    t = torch.tensor([0.3, 0.8])
    torch.testing.assert_close(HeatDissipation(0.0)(t, K), Trigonometric()(t, K))
    alpha, _ = HeatDissipation(5.0)(t, K)
    width = 5 * (math.pi * t / 2).sin() ** 2
    blurred = torch.exp(-((width[:, None] * K) ** 2) / 2) * (math.pi * t / 2).cos()[:, None]
    torch.testing.assert_close(alpha[:, 0], blurred)


@given(times)
def test_noise_of_the_spectrum_of_the_data_keeps_their_variance(t):
    def spectrum(k):
        return 1 / (0.1 + k**2)

    alpha, sigma = SpectrumMatched(spectrum)(torch.tensor([t]), K)
    torch.testing.assert_close((alpha**2 * spectrum(K) + sigma**2)[0, 0], spectrum(K))


@given(st.floats(0.01, 0.99), st.floats(0, 1))
def test_exact_rg_leaves_the_free_field_as_it_is_and_ends_at_its_cutoff(t, mass):
    k = octaves(0, 1, 2, 3, 4)
    schedule = ExactRG(0.4, mass)
    free = 1 / (k**2 + mass**2)
    alpha, sigma = schedule(torch.tensor([t, 1.0]), k)
    torch.testing.assert_close(alpha**2 * free + sigma**2, free.expand(2, 1, 5))
    torch.testing.assert_close(alpha[1, 0], torch.exp(-(k**2 + mass**2) * (0.4**-2 - schedule.FIRST**-2) / 2))


@pytest.mark.parametrize("cutoff", [0.1, 0.4, 3.0])
def test_the_cutoff_of_exact_rg_falls_by_equal_factors(cutoff):
    """The cutoff that is read off how much a mode has lost, ``Lambda^-2 = 2 tau + FIRST^-2``, at equal times."""
    schedule, t = ExactRG(cutoff, 0.3), torch.linspace(0, 1, 9)
    k = torch.tensor([0.2, 1.5])
    alpha, _ = (a[:, 0] for a in schedule(t, k))
    two_tau = -2 * alpha.log() / (k.square() + 0.3**2)
    scale = (two_tau + schedule.FIRST**-2) ** -0.5
    torch.testing.assert_close(scale, schedule.cutoff_at(t)[:, None].expand(-1, 2))
    ratios = scale[1:, 0] / scale[:-1, 0]
    torch.testing.assert_close(ratios, torch.full_like(ratios, (cutoff / schedule.FIRST) ** (1 / 8)))
    assert float(scale[0, 0]) == pytest.approx(4 * math.pi) and float(scale[-1, 0]) == pytest.approx(cutoff)
    alone = (two_tau[1:, 0]) ** -0.5  # the control: without the first cutoff factors are not equal
    assert float((alone[1:] / alone[:-1]).std()) > 0.01


def test_a_mode_of_exact_rg_moves_by_its_langevin_equation():
    """d alpha = -(k^2 + m^2) alpha d tau and d sigma^2 = 2 (1 - (k^2 + m^2) sigma^2) d tau, tau read off one mode."""
    k, t, h = octaves(0, 2, 4), 0.7, 1e-6
    schedule = ExactRG(0.4, 0.2)
    rate = k**2 + 0.2**2
    (below, above), (cool, hot) = (a[:, 0] for a in schedule(torch.tensor([t - h, t + h]), k))
    step = float((below[2] / above[2]).log() / rate[2])
    middle, warm = (a[0, 0] for a in schedule(torch.tensor([t]), k))
    torch.testing.assert_close((above - below) / step, -rate * middle, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close((hot**2 - cool**2) / step, 2 * (1 - rate * warm**2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VariancePreserving(2.0, 1.0), "beta_min = 2.0, beta_max = 1.0"),
        (lambda: VariancePreserving(-1.0, 1.0), "beta_min = -1.0"),
        (lambda: Staggered(0.0, 3), "width = 0.0"),
        (lambda: Staggered(1.0, 0), "octaves = 0"),
        (lambda: Staggered(math.nan, 3), "width = nan"),
        (lambda: Staggered(math.inf, 3), "width = inf"),
        (lambda: NoisyStep(0.0, 2), "beta = 0.0"),
        (lambda: NoisyStep(1.0, 0), "levels = 0"),
        (lambda: NoisySteps([1.0, -1.0], [0]), "none negative"),
        (lambda: NoisySteps([0.0], [0]), "not all zero"),
        (lambda: NoisySteps([1.0, 1.0], [1, 0]), "rising steps from 0 to 1"),
        (lambda: NoisySteps([1.0], [1]), "rising steps from 0 to 0"),
        (lambda: HeatDissipation(-1.0), "blur = -1.0"),
        (lambda: SpectrumMatched(lambda k: -k)(torch.ones(1), octaves(1)), "spectrum of the noise has the value -"),
        (lambda: ExactRG(4.0), "cutoff = 4.0"),
        (lambda: ExactRG(1.0, -1.0), "mass = -1.0"),
    ],
)
def test_an_impossible_schedule_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Rising(Schedule):
    """The data come back half way."""

    def __call__(self, t, k):
        angle = math.pi * t.reshape(-1, 1, *[1] * k.dim()) * torch.ones_like(k)
        return angle.cos().abs(), angle.sin()


class Negative(Trigonometric):
    def __call__(self, t, k):
        alpha, sigma = super().__call__(t, k)
        return alpha - 0.5, sigma


class Flat(Schedule):
    def __call__(self, t, k):
        return 1 - t, t


def test_amplitudes_of_another_shape_are_refused_with_that_shape():
    with pytest.raises(ValueError, match=r"Flat gives amplitudes of shape \(1,\) .*\(batch, 1, \*lattice\) is needed"):
        ForwardProcess(Fourier(), Flat()).marginal(torch.rand(2), (4, 4))


def test_a_schedule_that_brings_signal_back_is_refused_with_time_and_mode():
    process = ForwardProcess(Fourier(), Rising())
    with pytest.raises(ValueError, match=r"alpha / sigma of Rising rises between t = 0\.5 and 0\.531 at k = 0; signal"):
        process.marginal(torch.rand(2), (8, 8))
    with pytest.raises(ValueError, match="alpha / sigma of Rising rises between"):
        process.marginal(torch.rand(2), (512, 512))
    with pytest.raises(ValueError, match="Negative has amplitudes that are negative"):
        ForwardProcess(Site(), Negative()).marginal(torch.rand(2), (4,))


@pytest.mark.parametrize("steps", [22, 37, 59])
def test_the_times_of_a_chain_are_its_steps_whatever_their_number(steps):
    change = steps - 8
    schedule = NoisySteps([1.0] * steps, [change])
    for dtype in (torch.float32, torch.float64):
        for s in range(steps + 1):
            t = torch.tensor([s / steps], dtype=dtype)
            alpha, sigma = schedule(t, octaves(0.5).to(dtype))
            assert float(alpha) == (s <= change)
            assert float(sigma) ** 2 == pytest.approx(min(s, change + 1), rel=1e-5)
