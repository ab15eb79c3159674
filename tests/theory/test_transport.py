"""The kinetic cost of schedules: bounds, closed forms, and schedules that reach them."""

import json
import math

import pytest
import torch
from convergence import order
from hypothesis import given
from hypothesis import strategies as st

from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    Staggered,
    Trigonometric,
    VariancePreserving,
    check_order,
)
from rgdm.scale.basis import Site
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.transport import LeastKineticCost, Reclocked, kinetic_cost, speeds

pytestmark = pytest.mark.usefixtures("float64")

K = 2 * math.pi / 64 * torch.arange(1, 33, dtype=torch.float64)
SPECTRA = {
    "white": torch.ones(32, dtype=torch.float64),
    "k^-2": 0.1 / K**2,
    "k^-3": 0.01 / K**3,
    "blue": K**1.5,
}
every_spectrum = pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
metrics = pytest.mark.parametrize("metric", ["transport", "information"])
BASES = {
    "variance preserving": VariancePreserving(),
    "trigonometric": Trigonometric(),
    "heat": HeatDissipation(4.0),
    "staggered": Staggered(2.0, 5),
    "exact RG": ExactRG(0.4),
}
every_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES)


class Line(Site):
    """The modes of a line of 64 sites, by their wavenumber."""

    def wavenumber(self, lattice):
        return K


def on_line(schedule):
    return ForwardProcess(Line(), schedule)


@every_base
@every_spectrum
@metrics
def test_no_schedule_costs_less_than_the_distance_of_its_ends(base, spectrum, metric):
    cost = kinetic_cost(on_line(base), spectrum, metric=metric)
    tiny = 1e-12
    assert bool((cost.energy.sum(0) >= cost.length.sum(0).square() - tiny).all())
    assert bool((cost.length.sum(0).square() >= cost.bound - tiny).all())
    assert cost.total >= cost.reclocked - tiny and cost.reclocked >= cost.optimum - tiny
    rough = kinetic_cost(on_line(base), spectrum, 8, metric)
    assert rough.total <= cost.total + tiny
    torch.testing.assert_close(rough.bound, cost.bound)


def test_the_bound_is_the_squared_wasserstein_distance_of_data_and_noise():
    spectrum = SPECTRA["k^-2"]
    alpha, sigma = (a.flatten() for a in VariancePreserving()(torch.ones(1), K))
    end = alpha**2 * spectrum + sigma**2
    bures = spectrum + end - 2 * (spectrum * end).sqrt()
    torch.testing.assert_close(kinetic_cost(on_line(VariancePreserving()), spectrum).bound, bures)


def test_the_cost_of_a_trigonometric_schedule_tends_to_its_integral():
    """``s = a cos`` for data far above the noise: pi^2 / 8 of the bound, at second order in the intervals."""
    spectrum, counts = torch.full((32,), 1e16), (64.0, 128.0, 256.0)
    costs = [kinetic_cost(on_line(Trigonometric()), spectrum, int(n)) for n in counts]
    assert costs[-1].total / costs[-1].optimum == pytest.approx(math.pi**2 / 8, rel=1e-4)
    assert abs(order([math.pi**2 / 8 - c.total / c.optimum for c in costs], counts) - 2) < 0.1


@every_spectrum
@metrics
def test_least_kinetic_cost_reaches_the_bound_at_constant_speed(spectrum, metric):
    process = on_line(LeastKineticCost(K.tolist(), spectrum.tolist(), metric))
    cost = kinetic_cost(process, spectrum, 50, metric)
    torch.testing.assert_close(cost.energy.sum(0), cost.bound, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cost.length, cost.length[:1].expand_as(cost.length), rtol=1e-7, atol=1e-9)


@every_spectrum
@metrics
def test_the_ease_of_least_kinetic_cost_costs_an_eighth_of_pi_squared(spectrum, metric):
    process = on_line(LeastKineticCost(K.tolist(), spectrum.tolist(), metric, eased=True))
    cost = kinetic_cost(process, spectrum, 1000, metric)
    torch.testing.assert_close(cost.energy.sum(0), math.pi**2 / 8 * cost.bound, rtol=1e-5, atol=1e-12)


@given(st.floats(0, 1))
@metrics
def test_eased_least_kinetic_cost_of_white_data_is_trigonometric(metric, t):
    reclocked = LeastKineticCost([1.0], [1.0], metric, eased=True)(torch.tensor([t]), K)
    torch.testing.assert_close(reclocked, Trigonometric()(torch.tensor([t]), K), rtol=0, atol=1e-8)


@pytest.mark.parametrize("eased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@metrics
def test_least_kinetic_cost_goes_from_data_to_noise(metric, dtype, eased):
    schedule = LeastKineticCost(K.tolist(), SPECTRA["k^-3"].tolist(), metric, eased)
    check_order(schedule, torch.cat([torch.zeros(1), K, 2 * K]))
    alpha, sigma = schedule(torch.tensor([0, 0.4, 1], dtype=dtype), K.to(dtype))
    assert not alpha[2].any() and not sigma[0].any()
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))


@every_base
@pytest.mark.parametrize("spectrum", [SPECTRA["k^-2"], SPECTRA["k^-3"], SPECTRA["blue"]], ids=["k^-2", "k^-3", "blue"])
@metrics
def test_a_clock_of_least_kinetic_cost_has_constant_speed_and_costs_no_more(base, spectrum, metric):
    table = speeds(on_line(base), spectrum, metric, pieces=1024)
    reclocked = on_line(Reclocked(base, table))
    check_order(reclocked.schedule, K)
    before, after = (kinetic_cost(p, spectrum, 2000, metric) for p in (on_line(base), reclocked))
    assert after.total <= before.total
    assert after.total == pytest.approx(before.reclocked, rel=2e-3)
    pace = after.length[100:-100].square().sum(1).sqrt()
    kinks = 0.03 if base is BASES["staggered"] else 1e-3  # its octaves start and stop at once
    assert float((pace / pace.mean() - 1).abs().max()) < kinks
    torch.testing.assert_close(
        reclocked.marginal(torch.tensor([0.0, 1.0]), (32,)), on_line(base).marginal(torch.tensor([0.0, 1.0]), (32,))
    )


def test_a_clock_runs_inversely_to_its_speeds():
    clock = Reclocked(Trigonometric(), [1.0, 1.0, 3.0]).clock
    t = torch.tensor([0.0, 1 / 6, 1 / 3, 1.0])
    torch.testing.assert_close(clock(t), torch.tensor([0.0, 0.25, 0.5, 1.0]), rtol=0, atol=1e-5)
    for speed in (0.0, 7.0):
        t = torch.rand(99)
        torch.testing.assert_close(Reclocked(Trigonometric(), [speed] * 5).clock(t), t)


def test_what_only_rounding_moves_has_no_speed():
    for base in (VariancePreserving(), Trigonometric(), Staggered(2.0, 5)):
        assert not any(speeds(on_line(base), SPECTRA["white"]))


@given(st.lists(st.floats(0, 1e3), min_size=2, max_size=9), st.floats(0, 1), st.floats(0, 1))
def test_any_table_of_speeds_makes_a_clock_that_only_runs_forward(table, one, two):
    clock = Reclocked(Trigonometric(), table).clock
    for dtype in (torch.float32, torch.float64):
        c = clock(torch.tensor([0.0, min(one, two), max(one, two), 1.0], dtype=dtype))
        assert c[0] == 0 and c[-1] == 1 and bool((c.diff() >= 0).all())


def test_the_rates_of_a_reclocked_process_are_the_slopes_of_its_amplitudes():
    process = on_line(Reclocked(Trigonometric(), speeds(on_line(Trigonometric()), SPECTRA["k^-2"])))
    t, h = torch.tensor([0.2, 0.7]), 1e-6
    rates = process.rates(t, (32,))[2:]
    slopes = [
        (b - a) / (2 * h) for a, b in zip(process.marginal(t - h, (32,)), process.marginal(t + h, (32,)), strict=True)
    ]
    torch.testing.assert_close(list(rates), slopes, rtol=1e-6, atol=1e-6)
    assert all(bool(a.isfinite().all()) for a in process.rates(torch.tensor([0.0, 1.0]), (32,)))


@metrics
def test_a_schedule_is_rebuilt_from_what_json_keeps(metric):
    first = LeastKineticCost(K.tolist(), SPECTRA["k^-3"].tolist(), metric, eased=True)
    told = json.loads(json.dumps([first.wavenumbers, first.spectrum, first.metric, first.eased]))
    clocked = Reclocked(first, speeds(on_line(first), SPECTRA["k^-3"]))
    again = Reclocked(LeastKineticCost(*told), json.loads(json.dumps(clocked.speeds)))
    t = torch.rand(5)
    assert all(torch.equal(a, b) for a, b in zip(clocked(t, K), again(t, K), strict=True))


def test_a_table_is_a_power_of_k_between_its_entries_and_constant_beyond():
    ends = LeastKineticCost([0.2, 2.0], [25.0, 0.25])  # k^-2
    k = torch.tensor([0.0, 0.2, 0.5, 2.0, 4.0])
    whole = LeastKineticCost([0.2, 0.5, 2.0], [25.0, 4.0, 0.25])
    torch.testing.assert_close(ends(torch.tensor([0.3]), k), whole(torch.tensor([0.3]), k))
    alpha, sigma = ends(torch.tensor([0.3]), k)
    s = (alpha**2 * torch.tensor([25.0, 25.0, 4.0, 0.25, 0.25]) + sigma**2).sqrt().flatten()
    torch.testing.assert_close(s, torch.tensor([3.8, 3.8, 1.7, 0.65, 0.65]))


@pytest.mark.parametrize("name", ["k^-2", "k^-3"])
def test_eased_least_kinetic_cost_samples_these_spectra_better_than_the_angle_does(name):
    """The worst mode after twelve exact evaluations; a common clock that only saves cost does not help."""
    spectrum = SPECTRA[name]
    schedules = {
        "angle": Trigonometric(),
        "clock": Reclocked(Trigonometric(), speeds(on_line(Trigonometric()), spectrum)),
        "least": LeastKineticCost(K.tolist(), spectrum.tolist(), "information", eased=True),
    }
    worst = {}
    for schedule, reclocked in schedules.items():
        process = on_line(reclocked)
        estimate = GaussianMixture.field(spectrum).conditional_mean(process)
        s = AdamsBashforth(12)(estimate, process, process.start(torch.ones(1, 1, 32)))
        worst[schedule] = float((s.flatten().abs() / spectrum.sqrt() - 1).abs().max())
    assert worst["least"] < 0.1 < 0.3 < min(worst["angle"], worst["clock"])


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: kinetic_cost(on_line(Trigonometric()), 0 * K), "the spectrum has the value 0.0"),
        (lambda: kinetic_cost(on_line(Trigonometric()), K, 0), "0 intervals of time"),
        (lambda: kinetic_cost(on_line(Trigonometric()), K, torch.tensor([0.5, 0.5])), "later than the one"),
        (lambda: speeds(on_line(Trigonometric()), K, pieces=0), "0 pieces"),
        (lambda: Reclocked(Trigonometric(), [1.0]), "1 speeds"),
        (lambda: Reclocked(Trigonometric(), [1.0, -1.0]), "the smallest -1.0"),
        (lambda: Reclocked(Trigonometric(), [1.0, math.nan]), "finite and not negative"),
        (lambda: LeastKineticCost([1.0], [1.0, 2.0]), "1 wavenumbers and 2 values of S"),
        (lambda: LeastKineticCost([1.0, 0.5], [1.0, 2.0]), "must be positive and rise"),
        (lambda: LeastKineticCost([1.0], [-2.0]), "the spectrum has the value -2.0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'euclid'"):
        kinetic_cost(on_line(Trigonometric()), K, metric="euclid")
