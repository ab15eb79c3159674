"""Hybrid Monte Carlo: reversible, of second order, exact where the field is free, faster with Fourier acceleration."""

import math

import pytest
import torch

from rgdm.physics.actions import FreeField, IsingDual, Phi4
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.exact import ising
from rgdm.physics.monte_carlo.hmc import HybridMonteCarlo

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("mass2", [None, 0.5])
def test_a_trajectory_is_reversible_and_of_second_order(mass2):
    x, p = torch.randn(3, 1, 4, 6), torch.randn(3, 1, 4, 6)
    chains = HybridMonteCarlo(Phi4.critical(), x, 0.05, 8, mass2)
    there, back = chains.trajectory(x, p)
    again, turned = chains.trajectory(there, -back)
    torch.testing.assert_close(again, x)
    torch.testing.assert_close(-turned, p)
    errors = []
    for n in (8, 16, 32):
        chains = HybridMonteCarlo(Phi4.critical(), x, 0.4 / n, n, mass2)
        errors.append(float((chains.energy(*chains.trajectory(x, p)) - chains.energy(x, p)).abs().mean()))
    assert math.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.15)


@pytest.mark.integration
@pytest.mark.parametrize("mass2", [None, 0.3])
def test_a_free_field_has_its_spectrum_and_exp_of_minus_dh_has_mean_one(mass2):
    field, lattice = FreeField(0.3), (8, 8)
    chains = HybridMonteCarlo(field, torch.zeros(400, 1, *lattice), 0.25, 6, mass2, seed=1)
    weights, powers = [], []
    for i in range(120):
        weight = chains.update()
        if i >= 60:
            weights.append(weight)
            powers.append(torch.fft.fft2(chains.field[:, 0]).abs().square() / 64)
    power = torch.stack(powers).mean(0)  # of each chain
    off = (power.mean(0) - field.spectrum(lattice)) / (power.std(0) / 20)
    assert float(off.abs().max()) < 5 and 0.5 < chains.acceptance < 1
    weight = torch.stack(weights).mean(0)
    assert abs(float((weight.mean() - 1) / (weight.std() / 20))) < 4


@pytest.mark.slow
def test_fourier_acceleration_shortens_the_memory_of_a_nearly_free_field():
    times = []
    for mass2, size in ((None, 0.2), (0.05, 0.2)):
        chains = HybridMonteCarlo(FreeField(0.05), torch.zeros(32, 1, 16, 16), size, 7, mass2, seed=2)
        history = []
        for i in range(300):
            chains.update()
            if i >= 60:
                history.append(chains.field.flatten(1).mean(1) ** 2)
        times.append(gamma_method(torch.stack(history, 1).numpy()).tau)
    assert times[1] < times[0] / 2


@pytest.mark.integration
def test_the_continuous_dual_carries_the_ising_energy():
    action = IsingDual(0.35, 0.3)
    chains = HybridMonteCarlo(action, torch.randn(500, 1, 4, 4), 0.3, 6, seed=3)
    energies = []
    for i in range(120):
        chains.update()
        if i >= 60:
            spins = action.spins(chains.field, torch.rand_like(chains.field))
            energies.append(-(spins * (spins.roll(1, 2) + spins.roll(1, 3))).flatten(1).mean(1))
    each = torch.stack(energies).mean(0)
    exact = ising.thermodynamics(0.35, (4, 4)).energy
    assert abs(float((each.mean() - exact) / (each.std() / 500**0.5))) < 4


def test_impossible_steps_are_refused():
    with pytest.raises(ValueError, match=r"step_size = 0\.0"):
        HybridMonteCarlo(Phi4.critical(), torch.zeros(1, 1, 4), 0.0)
    with pytest.raises(ValueError, match=r"m\^2 = -1.0"):
        HybridMonteCarlo(Phi4.critical(), torch.zeros(1, 1, 4), mass2=-1.0)
