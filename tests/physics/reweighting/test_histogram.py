"""Histogram reweighting of spins against Kaufman's energies and exact cumulants, and Binder crossings."""

import dataclasses
import functools

import pytest
import torch
from scipy.optimize import brentq

from rgdm.physics.actions import Ising, Phi4
from rgdm.physics.exact import ising, transfer
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.reweighting.histogram import ENOUGH, Histogram, binder_crossing

pytestmark = pytest.mark.integration
K_C = Ising.critical().coupling


@functools.cache
def spins(side: int, coupling: float = 0.43, count: int = 20_000, seed: int = 1) -> Histogram:
    action = Ising(coupling)
    return Histogram.of(sample_fields(action, side, 200, count, seed, thermalization=60, interval=2), action)


@pytest.mark.parametrize("coupling", [0.4, 0.43, K_C, 0.46])
def test_energies_and_specific_heats_at_other_couplings_are_exact(coupling):
    exact, made = ising.thermodynamics(coupling, (16, 16)), spins(16)
    for estimate, known in (
        (made.energy(coupling), exact.energy),
        (made.specific_heat(coupling), exact.specific_heat),
    ):
        assert abs(float(estimate.value) - known) < 4 * float(estimate.error) and float(estimate.error) < 0.06
    alone = -made.bonds.mean() / made.sites  # the control: without weights
    if coupling != 0.43:
        assert abs(float(alone) - exact.energy) > 20 * float(made.energy(coupling).error)


@pytest.mark.parametrize("side", [4, 8])
def test_cumulants_and_susceptibilities_at_other_couplings_are_exact(side):
    exact, made = transfer.ising_moments(Ising(K_C), side), spins(side)
    for estimate, known in (
        (made.binder(K_C), exact.u4),
        (made.susceptibility(K_C), exact.m2 * side**2),
    ):
        assert abs(float(estimate.value) - known) < 4 * float(estimate.error) < 0.02 * abs(known)


def exact_crossing(small: int, large: int) -> float:
    def apart(k: float) -> float:
        return transfer.ising_moments(Ising(k), large).u4 - transfer.ising_moments(Ising(k), small).u4

    return float(brentq(apart, 0.42, 0.46))


def test_binder_cumulants_cross_where_those_of_all_states_do():
    crossing, exact = binder_crossing(spins(4), spins(8)), exact_crossing(4, 8)
    assert abs(float(crossing.value) - exact) < 4 * float(crossing.error) and float(crossing.error) < 0.004
    assert abs(exact - K_C) < 0.01


def test_binder_cumulants_of_larger_lattices_cross_at_the_critical_coupling():
    crossing = binder_crossing(spins(8), spins(16))
    assert abs(float(crossing.value) - K_C) < 4 * float(crossing.error) + 3e-4
    assert float(crossing.error) < 0.0015
    critical = spins(16).coupling_at_binder(0.6106901)
    assert abs(float(critical.value) - K_C) < 4 * float(critical.error) + 3e-4


def test_its_error_is_what_seeds_differ_by():
    made = [binder_crossing(spins(4, 0.43, 2000, s), spins(8, 0.43, 2000, 100 + s)) for s in range(2, 32)]
    spread = float(torch.stack([each.value for each in made]).std())
    stated = float(torch.stack([each.error for each in made]).median())
    assert stated / spread == pytest.approx(1, abs=0.4)  # three errors of a spread of 30


def test_phi4_at_another_coupling_of_neighbours_is_quadrature():
    action = Phi4.from_beta(0.6, 1.0)
    made = Histogram.of(sample_fields(action, 3, 400, 8000, 1, 30, 3), action)
    step, there = 1e-3, Phi4.from_beta(0.66, 1.0)
    above, below = (transfer.phi4_log_z(dataclasses.replace(there, a=0.66 + s * step), 3) for s in (1, -1))
    energy = made.energy(0.66)
    assert abs(float(energy.value) + (above - below) / (2 * step) / 9) < 4 * float(energy.error)
    assert made.at(0.66) == there


def test_what_samples_reach_is_where_their_share_is_enough():
    made = spins(16)
    low, high = made.reach
    assert low < 0.43 < high and made.share(0.43) == pytest.approx(1)
    assert made.share(low) == pytest.approx(ENOUGH, rel=0.01) and made.share(high) == pytest.approx(ENOUGH, rel=0.01)
    with pytest.raises(ValueError, match=f"they reach from {low:.6g} to {high:.6g}"):
        made.energy(high + 0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: binder_crossing(spins(8), spins(4)), "the smaller first"),
        (lambda: binder_crossing(spins(4), Histogram.of(torch.randn(4, 1, 8, 8), Phi4.critical())), "one action on"),
        (lambda: binder_crossing(spins(8, 0.2, 400), spins(16, 0.6, 400)), "no coupling that both reach"),
        (lambda: binder_crossing(spins(8, 0.3, 400), spins(16, 0.3, 400)), "not between|do not cross clearly"),
        (lambda: binder_crossing(spins(8, 0.3, 400, 5), spins(16, 0.3, 400, 5)), "not between|do not cross clearly"),
        (lambda: spins(4).mean(0.44, torch.zeros(3)), "values of an observable for 20000 samples"),
        (lambda: spins(4).energy(float("nan")), "a finite one"),
        (lambda: Histogram.of(torch.ones(4, 1, 4, 4), Ising(0.4)).reach, "are equal"),
        (lambda: Histogram.of(torch.ones(1, 1, 4, 4), Ising(0.4)), "at least 2"),
    ],
)
def test_what_samples_cannot_say_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
