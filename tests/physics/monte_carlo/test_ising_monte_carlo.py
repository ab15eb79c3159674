"""Updates of spins against exact moments; random numbers that do not depend on threads."""

import importlib.util
import itertools
import sys

import numpy as np
import pytest
import torch

from rgdm.physics.actions import Ising, Phi4, neighbours_ahead
from rgdm.physics.exact import ising, transfer
from rgdm.physics.monte_carlo import kernels
from rgdm.physics.monte_carlo.chains import MarkovChains, sample_fields

UPDATES = ["swendsen-wang", "wolff", "metropolis", "heat-bath"]


def off(values, exact, count):
    """Distance of a mean from the exact one in standard errors over blocks of independent chains."""
    means = values.reshape(count, -1).mean(1)
    return (means.mean() - exact) / (means.std() / count**0.5)


@pytest.mark.integration
@pytest.mark.parametrize("update", UPDATES)
def test_energy_and_magnetization_are_exact(update):
    chains, action = 200, Ising.critical()
    spins = sample_fields(action, 4, chains, 4000, seed=3, thermalization=60, interval=4, update=update)
    energy = -(spins * neighbours_ahead(spins)).flatten(1).mean(1)
    m2 = spins.flatten(1).mean(1) ** 2
    exact = transfer.ising_moments(action, 4)
    assert abs(off(energy, ising.thermodynamics(Ising.critical().coupling, (4, 4)).energy, chains)) < 4
    assert abs(off(m2, exact.m2, chains)) < 4
    assert abs(off(m2**2, exact.m4, chains)) < 4


@pytest.mark.integration
@pytest.mark.parametrize("update", ["swendsen-wang", "metropolis", "heat-bath"])
@pytest.mark.parametrize("h", [0.05, -0.4])
def test_spins_of_a_rectangle_in_a_field_with_bonds_of_two_strengths_are_exact(update, h):
    action, lattice, chains = Ising(0.35, h, (1.0, 0.4)), (3, 4), 200
    states = torch.tensor(list(itertools.product((1.0, -1.0), repeat=12)), dtype=torch.float64).reshape(-1, 1, *lattice)
    weight = (-action.energy(states)).softmax(0)
    spins = sample_fields(action, lattice, chains, 4000, 3, 60, 4, update=update)
    for measure in (
        lambda x: x.flatten(1).mean(1),
        lambda x: x.flatten(1).mean(1).square(),
        lambda x: (x * x.roll(-1, 2)).flatten(1).mean(1),
        lambda x: (x * x.roll(-1, 3)).flatten(1).mean(1),
    ):
        assert abs(off(measure(spins), float(weight @ measure(states)), chains)) < 4
    m = states.flatten(1).mean(1)  # the control: another field
    other = (-Ising(0.35, h + 0.05, (1.0, 0.4)).energy(states)).softmax(0)
    assert abs(off(spins.flatten(1).mean(1), float(other @ m), chains)) > 4


@pytest.mark.integration
@pytest.mark.parametrize("update", ["swendsen-wang", "metropolis", "heat-bath"])
@pytest.mark.parametrize(
    ("action", "lattice"),
    [(Ising(0.3), (4,)), (Ising(0.3, anisotropy=(0.0, 1.0)), (3, 4)), (Ising(0.0), (4, 4)), (Ising(-0.3), (6,))],
)
def test_every_state_is_reached_where_flips_cost_nothing(update, action, lattice):
    """On lines of an even number of spins a checkerboard of flips that are never refused has conserved numbers."""
    sites, chains = int(np.prod(lattice)), 400
    states = torch.tensor(list(itertools.product((1.0, -1.0), repeat=min(sites, 12))), dtype=torch.float64)
    spins = sample_fields(action, lattice, chains, 8000, 3, 60, 4, update=update)
    if sites > 12:  # free spins
        assert abs(off(spins.flatten(1).mean(1).square(), 1 / sites, chains)) < 4
        return
    states = states.reshape(-1, 1, *lattice)
    weight = (-action.energy(states)).softmax(0)
    for measure in (lambda x: x.flatten(1).mean(1).square(), lambda x: (x * x.roll(-1, -1)).flatten(1).mean(1)):
        assert abs(off(measure(spins), float(weight @ measure(states)), chains)) < 4


@pytest.mark.integration
def test_a_strong_field_turns_large_clusters():
    spins = sample_fields(Ising(0.6, h=-0.3), 16, 20, 100, 0, 20, 1)
    assert float(spins.mean()) < -0.97


def test_a_wrong_coupling_is_noticed():
    spins = sample_fields(Ising(0.41), 4, 200, 4000, seed=3, thermalization=60, interval=4)
    m2 = spins.flatten(1).mean(1) ** 2
    assert abs(off(m2, transfer.ising_moments(Ising.critical(), 4).m2, 200)) > 6


@pytest.mark.integration
@pytest.mark.parametrize(("lattice", "coupling"), [((7,), 0.8), ((4, 4, 4), 0.15), ((3, 5), 0.3)])
def test_any_dimension_and_shape(lattice, coupling):
    markov = MarkovChains(Ising(coupling), lattice, 4000, 1)
    for _ in range(30):
        markov.update()
    other = MarkovChains(Ising(coupling), lattice, 4000, 2, "heat-bath")
    for _ in range(120):
        other.update()
    pair = [torch.from_numpy(m.field.astype(np.float64))[:, None] for m in (markov, other)]
    energies = [(x * neighbours_ahead(x)).flatten(1).mean(1) for x in pair]
    spread = (energies[0].var() / 4000 + energies[1].var() / 4000) ** 0.5
    assert abs(float((energies[0].mean() - energies[1].mean()) / spread)) < 4


def test_a_chain_is_the_same_whatever_the_number_of_chains_beside_it_and_of_threads():
    numba = pytest.importorskip("numba")
    before, most = numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    fields = []
    for threads in (1, most):
        numba.set_num_threads(threads)
        markov = MarkovChains(Ising.critical(), (8, 8), 6, 5)
        for _ in range(5):
            markov.update()
        fields.append(markov.field.copy())
    numba.set_num_threads(before)
    assert np.array_equal(*fields)


def test_the_plain_kernels_do_what_the_compiled_ones_do(monkeypatch):
    pytest.importorskip("numba")
    markov = MarkovChains(Ising.critical(), (4, 4), 3, 0)
    key, flats = np.uint64(77), [markov.flat.copy() for _ in range(2)]
    around = (markov.neighbours, markov.bonds, 0.0, markov.order)
    kernels.sweep_ising(markov.flat.copy(), *around, True, key)  # compiled now
    monkeypatch.setitem(sys.modules, "numba", None)
    spec = importlib.util.spec_from_file_location("plain_kernels", kernels.__file__)
    assert spec is not None and spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert kernels.COMPILED and not plain.COMPILED
    for heat_bath in (True, False):
        with np.errstate(over="ignore"):
            plain.sweep_ising(flats[0], *around, heat_bath, key)
        kernels.sweep_ising(flats[1], *around, heat_bath, key)
        assert np.array_equal(*flats)


@pytest.mark.integration
def test_the_random_numbers_are_uniform_and_independent():
    numba = pytest.importorskip("numba")

    @numba.njit
    def draw(count):
        stream = kernels._stream(np.uint64(5), 3)
        out = np.empty(count)
        for i in range(count):
            out[i] = kernels._uniform(stream, i)
        return out

    u = draw(200_000)
    assert u.min() > 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * len(u))
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / np.sqrt(len(u))
    counts = np.bincount((u * 64).astype(int), minlength=64)
    assert ((counts - len(u) / 64) ** 2 / (len(u) / 64)).sum() < 63 + 4 * np.sqrt(2 * 63)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MarkovChains(Ising(0.4), (4, 4), 1, 0, "glauber"), "unknown update 'glauber'"),
        (lambda: MarkovChains(Phi4.critical(), (4, 4), 1, 0, "wolff"), "one of spins"),
        (lambda: MarkovChains(Ising(-0.4), (4, 4), 1, 0, "wolff"), "a Wolff cluster needs bonds > 0"),
        (lambda: MarkovChains(Ising(0.4, h=0.1), (4, 4), 1, 0, "wolff"), "no external field"),
        (lambda: MarkovChains(Ising(0.4, anisotropy=(1.0, 0.5)), (4,), 1, 0), "one for each axis"),
        (lambda: MarkovChains(Ising(0.4), (4, 1), 1, 0), "2 sites or more"),
        (lambda: sample_fields(Ising(0.4), 4, 0, 1, 0), "each must be at least 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_impossible_chains_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
