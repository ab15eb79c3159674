import math

import numpy as np
import pytest
import torch

from rgdm.physics.actions import Phi4
from rgdm.physics.exact import transfer
from rgdm.physics.monte_carlo.chains import MarkovChains, rethermalize, sample_fields
from rgdm.physics.observables import observables

# Monte Carlo of others on the critical lattice of 16 x 16: value and error.
CRITICAL_16 = {"phi2": (0.83575, 0.00028), "action_per_site": (-0.56373, 0.00041), "u4": (0.60497, 0.00045)}
CRITICAL_16 |= {"xi_over_length": (0.8797, 0.0027), "m2": (109.21 / 256, 0.22 / 256)}


def deviations(measured, known) -> dict[str, float]:
    """Distance from the known values in combined standard errors."""
    return {k: (measured[k][0] - v) / math.hypot(measured[k][1], e) for k, (v, e) in known.items()}


def exact_smallest_lattice(action: Phi4) -> dict[str, tuple[float, float]]:
    """<phi^2>, <m> and <m^2> of the 2 x 2 lattice by quadrature, and no error."""
    line = np.linspace(-2.6, 2.6, 27)
    field = torch.from_numpy(np.stack(np.meshgrid(*[line] * 4, indexing="ij"), -1).reshape(-1, 1, 2, 2))
    weight = torch.softmax(-action.energy(field), 0)
    mean = field.flatten(1).mean(1)
    known = {"phi2": field.square().flatten(1).mean(1), "m": mean, "m2": mean.square()}
    return {name: (float(weight @ value), 0.0) for name, value in known.items()}


SMALLEST = [Phi4.critical(), Phi4(0.3, 0.5, 0.5), Phi4(-0.4, -0.5, 1.0), Phi4(0.6, -0.8, 1.0, h=0.15)]
SMALLEST += [Phi4(0.5, -0.5, 1.0, h=-0.1, anisotropy=(1.0, -0.4))]


@pytest.mark.integration
@pytest.mark.parametrize("action", SMALLEST, ids=str)
def test_the_smallest_lattice_agrees_with_quadrature(action):
    exact = exact_smallest_lattice(action)
    observed = observables(sample_fields(action, 2, 2000, 20000, 1, 30, 3), action)
    off = deviations(observed, exact)
    assert max(map(abs, off.values())) < 4, off
    assert observed["phi2"][1] < 0.01 * exact["phi2"][0]
    if action.h:  # the control
        assert abs(exact["m"][0]) > 20 * observed["m"][1]


HEAT_BATH = [Phi4.critical(), Phi4(0.5, 1.5, 0.0), Phi4(-0.7, 0.2, 0.3), Phi4(2.0, 0.0, 6.975), Phi4(1.0, -6.0, 1.0)]
HEAT_BATH += [Phi4(1.0, -3.0, 0.2), Phi4(1.0, 0.0, 0.01), Phi4(0.5, -0.5, 1.0, h=-0.7)]


@pytest.mark.integration
@pytest.mark.parametrize("action", HEAT_BATH, ids=str)
def test_the_heat_bath_draws_a_site_from_its_law_given_the_neighbours(action):
    count, axis = 40_000, np.linspace(-50, 50, 200_001)
    for around in (0.0, 0.3, 3.5, 40.0):
        field = torch.zeros(count, 1, 2, 2)
        field[:, 0, 0, 1] = field[:, 0, 1, 0] = around / 4  # the odd sites; each is twice a neighbour
        markov = MarkovChains(action, (2, 2), count, seed=3)
        markov.field[...] = field[:, 0].numpy()
        markov.sweep()
        drawn = np.sort(markov.field[:, 0, 0].astype(np.float64))  # even sites are the first
        exponent = (action.a * around + action.h) * axis - action.b * axis**2 - action.c * axis**4
        density = np.exp(exponent - exponent.max())
        law = np.cumsum(density) / density.sum()
        furthest = np.abs(np.interp(drawn, axis, law) - (np.arange(count) + 0.5) / count).max()
        assert furthest * math.sqrt(count) < 2, around  # Kolmogorov: 2 is met by 99.9 %
        shifted = np.interp(drawn + 0.05 * drawn.std(), axis, law)  # the control
        assert np.abs(shifted - (np.arange(count) + 0.5) / count).max() * math.sqrt(count) > 2.5


def test_the_heat_bath_ends_deep_in_the_ordered_phase_and_for_wild_neighbours():
    assert sample_fields(Phi4.from_quartic(-4.0, 0.24), 4, 2, 2, 0).isfinite().all()
    wild = torch.zeros(1, 1, 4, 4)
    wild[0, 0, 0, 1] = 1e6
    assert rethermalize(Phi4.critical(), wild, 2).abs().max() < 10


def test_fields_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 2 fields have values that are not finite"):
        rethermalize(Phi4.critical(), torch.tensor([0.0, math.nan]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4), 1)


@pytest.fixture(scope="module")
def critical_16() -> torch.Tensor:
    return sample_fields(Phi4.critical(), 16, chains=200, count=1000, seed=2, thermalization=60, interval=10)


def test_critical_observables_agree_with_published_simulations(critical_16):
    off = deviations(observables(critical_16, Phi4.critical()), CRITICAL_16)
    assert max(map(abs, off.values())) < 4, off


@pytest.mark.integration
def test_a_wrong_coupling_is_noticed():
    fields = sample_fields(Phi4.from_beta(0.66, 1.0), 16, chains=200, count=1000, seed=2, thermalization=40, interval=5)
    off = deviations(observables(fields, Phi4.critical()), CRITICAL_16)
    assert abs(off["phi2"]) > 8 and abs(off["u4"]) > 8


@pytest.mark.integration
def test_a_free_field_in_three_dimensions_has_the_exact_two_point_function():
    mass2, size = 1.0, 4
    action = Phi4(1.0, 3 + mass2 / 2, 0.0)
    k = 2 * np.pi * np.arange(size) / size
    khat2 = sum(np.meshgrid(*[4 * np.sin(k / 2) ** 2] * 3))
    fields = sample_fields(action, size, chains=100, count=2000, seed=3, thermalization=40, interval=5, dimension=3)
    phi2, error = observables(fields, action)["phi2"]
    assert abs(phi2 - (1 / (khat2 + mass2)).mean()) < 4 * error


def test_a_seed_reproduces_the_configurations_and_another_does_not():
    def draw(seed: int) -> torch.Tensor:
        return sample_fields(Phi4.critical(), 8, chains=4, count=10, seed=seed, thermalization=3, interval=2)

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))


@pytest.mark.parametrize(("chains", "count"), [(4, 10), (10, 4), (3, 3), (1, 5)])
def test_any_number_of_chains_gives_the_count_asked_for(chains, count):
    fields = sample_fields(Phi4.critical(), 4, chains=chains, count=count, seed=0, thermalization=1, interval=1)
    assert fields.shape == (count, 1, 4, 4) and fields.dtype == torch.float32


def test_progress_ends_at_the_total():
    calls = []
    sample_fields(Phi4.critical(), 4, 2, 4, 0, 3, 2, watch=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 7) for i in range(1, 8)]


@pytest.mark.integration
def test_an_odd_lattice_without_a_checkerboard_is_sampled_too():
    phi2 = observables(sample_fields(Phi4(0.3, 0.5, 0.5), 3, 2000, 20000, 1, 30, 3), Phi4(0.3, 0.5, 0.5))["phi2"]
    exact = (transfer.phi4_log_z(Phi4(0.3, 0.5 - h, 0.5), 3, 10) for h in (1e-4, -1e-4))
    assert abs(phi2[0] - next(exact) / 18e-4 + next(exact) / 18e-4) < 4 * phi2[1]


def test_a_lattice_of_one_site_along_an_axis_is_refused():
    with pytest.raises(ValueError, match="2 sites or more"):
        sample_fields(Phi4.critical(), 1, 1, 1, 0)


def test_an_unbounded_free_field_is_refused():
    with pytest.raises(ValueError, match="no lower bound"):
        sample_fields(Phi4(1.0, 1.5, 0.0), 4, 1, 1, 0)
