import itertools

import numpy as np
import pytest
import torch

from rgdm.physics.actions import Phi4


def brute_force_energy(field: np.ndarray, action: Phi4) -> float:
    total = 0.0
    for x in itertools.product(*(range(n) for n in field.shape)):
        for axis in range(field.ndim):
            y = list(x)
            y[axis] = (y[axis] + 1) % field.shape[axis]
            total -= action.a * field[x] * field[tuple(y)]
        total += action.b * field[x] ** 2 + action.c * field[x] ** 4
    return total


@pytest.mark.parametrize("lattice", [(6,), (2, 2), (4, 3), (2, 3, 4)])
def test_energy_is_the_sum_over_sites_and_bonds_in_any_dimension(lattice):
    action = Phi4(0.7, -1.1, 0.9)
    field = torch.randn(3, 1, *lattice, dtype=torch.float64)
    expected = [brute_force_energy(x[0].numpy(), action) for x in field]
    np.testing.assert_allclose(action.energy(field), expected, rtol=1e-12)


def test_partition_function_of_the_smallest_critical_lattice_is_the_known_one():
    line = np.linspace(-2.6, 2.6, 27)
    field = np.stack(np.meshgrid(*[line] * 4, indexing="ij"), -1).reshape(-1, 1, 2, 2)
    weight = torch.exp(-Phi4.critical().energy(torch.from_numpy(field)))
    log_z = np.log(float(weight.sum()) * (line[1] - line[0]) ** 4)
    assert log_z == pytest.approx(5.5766051323, abs=1e-6)


def test_beta_and_lambda_give_the_square_and_quartic_couplings():
    assert Phi4.from_beta(0.5, 0.25) == Phi4(0.5, 0.5, 0.25)
    assert Phi4.critical() == Phi4(0.680605, -1.0, 1.0)


def test_an_action_without_lower_bound_is_refused():
    with pytest.raises(ValueError, match="no lower bound"):
        Phi4(1.0, 1.0, -0.5)
