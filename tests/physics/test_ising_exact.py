"""Exact Ising references: against published figures, brute force, and each other."""

import itertools
import math

import numpy as np
import pytest
import torch

from rgdm.physics.actions import Ising, IsingDual
from rgdm.physics.exact import ising, transfer

# log Z, E/N and C/N at K_c by Kaufman's formula
KAUFMAN = {
    4: (15.5219154588, -1.565623787638, 0.78326682593),
    8: (60.1417807891, -1.491589107440, 1.1455592399),
    16: (238.642256635, -1.453064852813, 1.4987049594),
    32: (952.648079549, -1.433658466146, 1.84676759),
    64: (3808.67228342, -1.423938389833, 2.1922113931),
    128: (15232.7693233, -1.419076272085, 2.5363313351),
    256: (60929.1575389, -1.416644954197, 2.8797862552),
}
AT_044 = {4: 15.5047265387, 8: 60.0763075272, 16: 238.387247204, 32: 951.642126409, 64: 3804.67755944}


@pytest.mark.parametrize("side", KAUFMAN)
def test_a_torus_at_criticality_has_the_known_figures(side):
    computed = ising.thermodynamics(Ising.critical().coupling, (side, side))
    assert computed == pytest.approx(KAUFMAN[side], rel=1e-9)


@pytest.mark.parametrize("side", AT_044)
def test_log_z_below_criticality_is_the_known_one(side):
    assert ising.thermodynamics(0.44, (side, side)).log_z == pytest.approx(AT_044[side], rel=1e-11)


def all_spins(lattice):
    states = np.array(list(itertools.product((1.0, -1.0), repeat=math.prod(lattice))))
    return torch.from_numpy(states.reshape(-1, 1, *lattice))


@pytest.mark.parametrize("lattice", [(2, 2), (2, 5), (3, 4), (4, 3)])
@pytest.mark.parametrize("coupling", [0.1, Ising.critical().coupling, 0.9])
def test_kaufmans_formula_is_the_sum_over_all_states(lattice, coupling):
    expected = float(torch.logsumexp(-Ising(coupling).energy(all_spins(lattice)), 0))
    computed = ising.log_z(torch.tensor(coupling, dtype=torch.float64), lattice)
    assert float(computed) == pytest.approx(expected, rel=1e-12)


def test_large_tori_approach_the_bulk():
    assert ising.bulk_free_energy(Ising.critical().coupling) == pytest.approx(0.9296953983, abs=1e-10)
    assert ising.bulk_free_energy(0.3) == pytest.approx(ising.thermodynamics(0.3, (64, 64)).log_z / 64**2, rel=1e-12)
    energy = ising.thermodynamics(Ising.critical().coupling, (256, 256)).energy
    assert energy == pytest.approx(ising.BULK_ENERGY, abs=0.01)


@pytest.mark.parametrize("lattice", [(4, 4), (3, 4), (4, 3), (2, 5)])
@pytest.mark.parametrize("anisotropy", [(1.0, 1.0), (1.0, 0.4), (0.3, 1.5)])
def test_bonds_of_two_strengths_are_those_of_a_sum_over_all_states(lattice, anisotropy):
    states = torch.tensor(list(itertools.product((1.0, -1.0), repeat=math.prod(lattice))), dtype=torch.float64)
    action = Ising(0.4, anisotropy=anisotropy)
    s = action.energy(states.reshape(-1, 1, *lattice))
    found = ising.thermodynamics(0.4, lattice, anisotropy)
    assert found.log_z == pytest.approx(float((-s).logsumexp(0)), rel=1e-12)
    assert 0.4 * found.energy * math.prod(lattice) == pytest.approx(float((-s).softmax(0) @ s), rel=1e-10)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("side", "m2", "u4", "xi"),
    [(4, 0.7613589085687, 0.617199318412, 0.953183766417), (8, 0.6469115749942, 0.613045384943, 0.923686207112)],
)
def test_moments_of_small_tori_are_the_known_ones(side, m2, u4, xi):
    computed = transfer.ising_moments(Ising.critical(), side)
    assert (computed.m2, computed.u4, computed.xi_over_length) == pytest.approx((m2, u4, xi), rel=1e-11)


def test_moments_are_those_of_the_sum_over_all_states():
    action, x = Ising(0.3), all_spins((3, 3))
    weight, m = torch.softmax(-action.energy(x), 0), x.flatten(1).mean(1)
    computed = transfer.ising_moments(action, 3)
    assert computed.m2 == pytest.approx(float(weight @ m**2)) and computed.m4 == pytest.approx(float(weight @ m**4))


def test_the_states_of_four_by_four_spins_are_counted():
    counts = transfer.ising_energy_counts(4)
    known = {-32: 2, -24: 32, -20: 64, -16: 424, -12: 1728, -8: 6688, -4: 13568, 0: 20524}
    assert counts == known | {-energy: count for energy, count in known.items()}


@pytest.mark.parametrize(("side", "known"), [(8, 148.655016), (16, 592.875740), (32, 2369.587091), (64, 9476.428333)])
def test_the_continuous_dual_has_the_known_partition_function(side, known):
    assert ising.dual_log_z(IsingDual.critical(), (side, side)) == pytest.approx(known, abs=1e-6)


def test_the_dual_carries_the_spins():
    """Integrated over its Gaussian, the field gives back the weight of every state of the spins."""
    action, x = IsingDual(0.4, 0.2), all_spins((2, 2))
    field = action.field(x, torch.zeros_like(x))  # the mean A s, whose s^T A s / 2 is the Ising weight
    weight = (x * field).flatten(1).sum(1) / 2 - action.alpha(2) * 2
    torch.testing.assert_close(weight, -Ising(0.4).energy(x))
    noise = torch.randn(4000, 1, 4, 4, dtype=torch.float64)
    spread = action.field(torch.zeros_like(noise), noise).square().mean()
    assert float(spread) == pytest.approx(action.alpha(2), rel=0.02)


def test_one_dimension_and_moved_bonds():
    assert ising.decimated_coupling(1.0) == pytest.approx(0.6625013737, abs=1e-10)
    fixed = 0.3046889317
    assert ising.migdal_kadanoff(fixed) == pytest.approx(fixed, abs=1e-9)
    slope = (ising.migdal_kadanoff(fixed + 1e-6) - ising.migdal_kadanoff(fixed - 1e-6)) / 2e-6
    assert math.log2(slope) == pytest.approx(0.7472357, abs=1e-6)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: ising.thermodynamics(-0.1, (4, 4)), "K > 0"),
        (lambda: ising.thermodynamics(0.1, (1, 4)), "at least 2 sites"),
        (lambda: transfer.ising_moments(Ising(0.1), 11), "a row of 11 spins"),
        (lambda: transfer.ising_energy_counts(5), "5 x 5 spins"),
        (lambda: IsingDual(0.4, 0.0), "delta > 0"),
        (lambda: Ising(math.nan), "finite"),
    ],
)
def test_what_is_not_known_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask()
