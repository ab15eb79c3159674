"""The Lagrangian form: actions with closed forms, minimal paths against numerical ones, and what schedules cost."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisySteps,
    Staggered,
    Trigonometric,
    VariancePreserving,
    check_order,
)
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.continuous import ContinuousChain
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.path_cost import lagrangian, minimal_path, onsager_machlup, step_costs
from rgdm.theory.transport import LeastKineticCost, Reclocked, kinetic_cost, speeds

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
OU = ContinuousChain(ForwardProcess(Site(), VariancePreserving(3.0, 3.0)), 1.0)  # alpha^2 = exp(-3 t): constant rates
RATE = 1.5 / math.log(2)  # its gamma, and its D
FLOWS = {
    "Ornstein-Uhlenbeck": OU,
    "exact RG": ContinuousChain(ForwardProcess(Fourier(), ExactRG(0.5)), 4.0),
    "massive exact RG, eta = 1/4": ContinuousChain(ForwardProcess(Fourier(), ExactRG(1.0, 0.3)), 3.0, 0.25),
    "heat, eta = 0": ContinuousChain(ForwardProcess(Fourier(), HeatDissipation(2.0)), 3.0, 0.0),
    "staggered": ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(2.0, 3)), 2.0, 0.5),
    "chain": ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.5, 0.5], [0, 1])), 2.0),
}
every_flow = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
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


def noisy_times(flow):
    """When noise enters all modes."""
    begin, end = (0.52, 0.6) if flow is FLOWS["staggered"] else (0.1, 0.45)
    return torch.linspace(begin, end, 9) * flow.span


def on_line(schedule):
    return ForwardProcess(Line(), schedule)


def order(errors, counts):
    x = torch.tensor(counts).log()
    x = x - x.mean()
    return float(-(x @ torch.tensor(errors).log()) / x.square().sum())


# --- the action of a path --------------------------------------------------------------------


def test_a_mode_held_in_place_pays_the_drift_that_it_resists():
    """(0 + gamma y)^2 / (4 D) for the whole span, and the divergence -gamma / 2."""
    still, n = torch.full((401, 2, 3), 0.7), 6
    expected = n * RATE * 0.7**2 / 4 * OU.span
    assert float(onsager_machlup(OU, still)) == pytest.approx(expected, rel=1e-5)
    more = onsager_machlup(OU, still, divergence=True) - onsager_machlup(OU, still)
    assert float(more) == pytest.approx(-n * RATE / 2 * OU.span, rel=1e-12)


def test_a_free_path_without_drift_costs_its_velocity_squared():
    """The zero mode of exact RG only diffuses: ``(y' - y)^2 / (2 sigma^2)`` at constant speed in sigma^2."""
    flow = FLOWS["exact RG"]
    lam = torch.linspace(0, flow.span, 9)
    _, sigma = flow.marginal(lam, (1,))
    path = 0.3 + 2 * sigma.square() / sigma[-1].square()
    expected = 2**2 / (2 * float(sigma[-1]) ** 2)
    assert float(onsager_machlup(flow, path, lam)) == pytest.approx(expected, rel=1e-12)
    assert float(onsager_machlup(flow, path + 0.1 * torch.rand(9, 1, 1), lam)) > expected


@every_flow
def test_the_path_that_follows_the_drift_costs_nothing(flow):
    lam = torch.linspace(0, 0.95 * flow.span, 12)
    alpha, _ = flow.marginal(lam, LATTICE)
    path = alpha * torch.randn(1, 2, *LATTICE)
    gone = (alpha == 0).any(0)  # a signal that is taken away whole leaves its noise to be paid for
    assert float(step_costs(flow, path, lam)[..., ~gone[0]].abs().max()) < 1e-20
    assert float(step_costs(flow, path.float(), lam)[..., ~gone[0]].max()) < 1e-9


def test_a_mode_without_noise_costs_nothing_or_is_impossible():
    flow = ContinuousChain(ForwardProcess(Pyramid(BlockSpin(2), 2), NoisySteps([0.0, 0.5], [0, 1])), 2.0, 0.0)
    lam = torch.tensor([0.0, 0.2, 0.4])  # no noise yet; all shrink by exp(-lambda)
    path = torch.exp(-lam).reshape(3, 1, 1) * torch.randn(1, 1, 8)
    assert float(onsager_machlup(flow, path, lam)) == 0
    path[1, 0, 3] += 1e-6
    assert float(onsager_machlup(flow, path, lam)) == math.inf
    with pytest.raises(ValueError, match="1 modes have no noise"):
        minimal_path(flow, path[0], path[1], lam[:2])
    y, at = path[:1], lam[:1]
    assert not lagrangian(flow, y, -y, at).any()
    assert bool(lagrangian(flow, y, y, at).isinf().all())


@every_flow
def test_the_action_is_minus_the_log_density_of_the_transitions(flow):
    """Against the law of the process itself, whose two marginals a mixture of one component carries on."""
    t, s = 0.3, 0.55
    y, later = 0.3 * torch.randn(2, 1, *LATTICE)
    alpha, sigma = flow.process.marginal(torch.tensor([t, s]), LATTICE)
    kept = torch.where(alpha[0] > 0, alpha[1] / alpha[0], 1.0)
    added = (sigma[1] ** 2 - (kept * sigma[0]) ** 2)[0]
    noisy = added > 1e-12
    law = GaussianMixture(torch.ones(1), (kept * y)[None], torch.where(noisy, added, 1.0)[None, None])
    size = [math.exp(-flow.rescaling * flow.span * a) for a in (t, s)]
    path = torch.stack([size[0] * y, size[1] * torch.where(noisy, later, kept * y)])
    lam = flow.span * torch.tensor([t, s])
    target = -law.log_prob(torch.where(noisy, later, kept * y)[None]) - (2 * math.pi * law.variance).log().sum() / 2
    torch.testing.assert_close(onsager_machlup(flow, path, lam), target[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["Ornstein-Uhlenbeck", "massive exact RG, eta = 1/4", "heat, eta = 0"])
def test_the_sum_of_the_lagrangian_converges_to_the_action_of_a_smooth_path_at_second_order(name):
    flow, errors, counts = FLOWS[name], [], (32.0, 64.0, 128.0)
    a, b = torch.randn(2, 1, 1, *LATTICE)

    def path(lam):
        x = lam.reshape(-1, 1, 1, 1)
        return a * x.cos() + b * (2 * x).sin()

    def speed(lam):
        x = lam.reshape(-1, 1, 1, 1)
        return -a * x.sin() + 2 * b * (2 * x).cos()

    begin, end = 0.2 * flow.span, 0.8 * flow.span
    fine = torch.linspace(begin, end, 8193)
    middle = (fine[1:] + fine[:-1]) / 2
    exact = lagrangian(flow, path(middle), speed(middle), middle).sum() * (fine[1] - fine[0])
    for n in counts:
        lam = torch.linspace(begin, end, int(n) + 1)
        action = onsager_machlup(flow, path(lam), lam)
        assert action < exact
        errors.append(float(exact - action))
    assert abs(order(errors, counts) - 2) < 0.1


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
        for divergence, found in ((True, means), (False, spreads)):
            sites = (
                lagrangian(OU, middle, velocity, at, divergence).sum(0) * h + n * math.log(4 * math.pi * RATE * h) / 2
            )
            density = step_costs(OU, path, lam).sum(0) + n * math.log(2 * math.pi * added) / 2
            found.append(float((sites - density).square().mean().sqrt()))
    assert abs(order(means, counts) - 1) < 0.3 and means[-1] < 5e-3
    assert min(spreads) > 0.4  # without the divergence it is wrong by gamma / 2 for the whole time


@given(st.integers(1, 6), st.integers(0, 3))
def test_a_point_put_in_never_lowers_the_action(where, name):
    flow = list(FLOWS.values())[name]
    lam = torch.linspace(0.05, 0.9, 8) * flow.span
    path = torch.randn(8, 1, *LATTICE)
    left = torch.arange(8) != where
    assert onsager_machlup(flow, path, lam) >= onsager_machlup(flow, path[left], lam[left])


# --- minimal paths ---------------------------------------------------------------------------


@every_flow
def test_the_minimal_path_costs_what_its_ends_are_apart(flow):
    lam = noisy_times(flow)
    start, end = torch.randn(2, 2, *LATTICE)
    path, action = minimal_path(flow, start, end, lam)
    alpha, sigma = (a[:, 0] for a in flow.marginal(lam[[0, -1]], LATTICE))
    kept = alpha[1] / alpha[0]
    expected = (end - kept * start).square() / 2 / (sigma[1].square() - (kept * sigma[0]).square())
    assert torch.equal(path[0], start) and torch.equal(path[-1], end)
    torch.testing.assert_close(action, expected.sum())
    torch.testing.assert_close(onsager_machlup(flow, path, lam), action)


@every_flow
def test_no_path_near_the_minimal_one_is_cheaper(flow):
    lam = noisy_times(flow)
    path, action = minimal_path(flow, *torch.randn(2, 1, *LATTICE), lam)
    for size in (1e-3, 1.0):
        for _ in range(5):
            bump = size * torch.randn_like(path)
            bump[0] = bump[-1] = 0
            assert onsager_machlup(flow, path + bump, lam) > action


@pytest.mark.parametrize("name", ["Ornstein-Uhlenbeck", "exact RG", "heat, eta = 0"])
def test_numerical_minimisation_finds_the_minimal_path(name):
    flow = FLOWS[name]
    lam = torch.linspace(0.2, 0.7, 9) * flow.span
    start, end = torch.randn(2, 1, 4)
    expected, least = minimal_path(flow, start, end, lam)
    rough = torch.lerp(start, end, torch.linspace(0, 1, 9).reshape(-1, 1, 1))
    inner = rough[1:-1].clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [inner], 1.0, 400, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        action = onsager_machlup(flow, torch.cat([start[None], inner, end[None]]), lam)
        action.backward()
        return action

    optimizer.step(closure)
    assert float(onsager_machlup(flow, rough, lam)) > 1.001 * float(least)
    torch.testing.assert_close(inner.detach(), expected[1:-1], rtol=0, atol=1e-6)


def test_the_minimal_path_solves_the_equation_of_euler_and_lagrange():
    """With constant rates ``y'' = gamma^2 y``: an arc of hyperbolic sines, whatever discretisation."""
    start, end, lam = torch.randn(1, 5), torch.randn(1, 5), torch.linspace(0, OU.span, 33)
    path, _ = minimal_path(OU, start, end, 32)
    x = (RATE * lam).reshape(-1, 1, 1)
    expected = ((x[-1] - x).sinh() * start + x.sinh() * end) / x[-1].sinh()
    torch.testing.assert_close(path, expected)


def test_a_mode_whose_signal_is_lost_drifts_until_the_last_step():
    flow = ContinuousChain(ForwardProcess(Site(), Trigonometric()), 1.0)
    start, end = torch.randn(2, 1, 3)
    path, action = minimal_path(flow, start, end, 4)
    torch.testing.assert_close(path[:-1], flow.marginal(torch.linspace(0, flow.span, 5), (3,))[0][:-1] * start)
    torch.testing.assert_close(action, end.square().sum() / 2)


# --- what schedules cost ---------------------------------------------------------------------


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
    found = [kinetic_cost(on_line(Trigonometric()), spectrum, int(n)) for n in counts]
    assert found[-1].total / found[-1].optimum == pytest.approx(math.pi**2 / 8, rel=1e-4)
    assert abs(order([math.pi**2 / 8 - c.total / c.optimum for c in found], counts) - 2) < 0.1


@every_spectrum
@metrics
def test_least_action_reaches_the_bound_at_constant_speed(spectrum, metric):
    process = on_line(LeastKineticCost(K.tolist(), spectrum.tolist(), metric))
    cost = kinetic_cost(process, spectrum, 50, metric)
    torch.testing.assert_close(cost.energy.sum(0), cost.bound, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cost.length, cost.length[:1].expand_as(cost.length), rtol=1e-7, atol=1e-9)


@every_spectrum
@metrics
def test_the_ease_of_least_action_costs_an_eighth_of_pi_squared(spectrum, metric):
    process = on_line(LeastKineticCost(K.tolist(), spectrum.tolist(), metric, eased=True))
    cost = kinetic_cost(process, spectrum, 1000, metric)
    torch.testing.assert_close(cost.energy.sum(0), math.pi**2 / 8 * cost.bound, rtol=1e-5, atol=1e-12)


@given(st.floats(0, 1))
@metrics
def test_eased_least_action_of_white_data_is_trigonometric(metric, t):
    made = LeastKineticCost([1.0], [1.0], metric, eased=True)(torch.tensor([t]), K)
    torch.testing.assert_close(made, Trigonometric()(torch.tensor([t]), K), rtol=0, atol=1e-8)


@pytest.mark.parametrize("eased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@metrics
def test_least_action_goes_from_data_to_noise(metric, dtype, eased):
    schedule = LeastKineticCost(K.tolist(), SPECTRA["k^-3"].tolist(), metric, eased)
    check_order(schedule, torch.cat([torch.zeros(1), K, 2 * K]))
    alpha, sigma = schedule(torch.tensor([0, 0.4, 1], dtype=dtype), K.to(dtype))
    assert not alpha[2].any() and not sigma[0].any()
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))


@every_base
@pytest.mark.parametrize("spectrum", [SPECTRA["k^-2"], SPECTRA["k^-3"], SPECTRA["blue"]], ids=["k^-2", "k^-3", "blue"])
@metrics
def test_a_clock_of_least_action_has_constant_speed_and_costs_no_more(base, spectrum, metric):
    table = speeds(on_line(base), spectrum, metric, pieces=1024)
    made = on_line(Reclocked(base, table))
    check_order(made.schedule, K)
    before, after = (kinetic_cost(p, spectrum, 2000, metric) for p in (on_line(base), made))
    assert after.total <= before.total
    assert after.total == pytest.approx(before.reclocked, rel=2e-3)
    pace = after.length[100:-100].square().sum(1).sqrt()
    kinks = 0.03 if base is BASES["staggered"] else 1e-3  # its octaves start and stop at once
    assert float((pace / pace.mean() - 1).abs().max()) < kinks
    torch.testing.assert_close(
        made.marginal(torch.tensor([0.0, 1.0]), (32,)), on_line(base).marginal(torch.tensor([0.0, 1.0]), (32,))
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
def test_eased_least_action_samples_these_spectra_better_than_the_angle_does(name):
    """The worst mode after twelve exact evaluations; a common clock that only saves action does not help."""
    spectrum = SPECTRA[name]
    schedules = {
        "angle": Trigonometric(),
        "clock": Reclocked(Trigonometric(), speeds(on_line(Trigonometric()), spectrum)),
        "least": LeastKineticCost(K.tolist(), spectrum.tolist(), "information", eased=True),
    }
    worst = {}
    for schedule, made in schedules.items():
        process = on_line(made)
        estimate = GaussianMixture.field(spectrum).conditional_mean(process)
        s = AdamsBashforth(12)(estimate, process, process.start(torch.ones(1, 1, 32)))
        worst[schedule] = float((s.flatten().abs() / spectrum.sqrt() - 1).abs().max())
    assert worst["least"] < 0.1 < 0.3 < min(worst["angle"], worst["clock"])


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
            lambda: onsager_machlup(FLOWS["staggered"], torch.zeros(3, 1, 4, 4), divergence=True),
            "modes lose their signal whole",
        ),
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
