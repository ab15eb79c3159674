"""The geometry of the splitting: symplectic maps, reversibility, bounded energy."""

import pytest
import torch

from rgdm.scale.basis import Site
from rgdm.theory.phase_space import PhaseSpaceProcess, halves
from rgdm.theory.splitting import SymplecticSplitting, kick, rotate

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = PhaseSpaceProcess(Site())


def force(z):
    """Of the potential z^4 / 4 in addition to z^2 / 2, and a coupling of neighbours."""
    return -(z**3) - 0.3 * (2 * z - z.roll(1, -1) - z.roll(-1, -1))


def energy(y):
    z, p = halves(y)
    potential = z**2 / 2 + z**4 / 4 + 0.15 * (z - z.roll(1, -1)) ** 2
    return (p**2 / 2 + potential).flatten(1).sum(1)


def strang(y, angle):
    """One step of the sampler's two maps: half a turn, the kick, half a turn."""
    half = torch.tensor(angle / 2)
    y = rotate(y, half)
    return rotate(kick(y, angle * force(halves(y)[0])), half)


def euler(y, angle):
    z, p = halves(y)
    return torch.cat([z + angle * p, p + angle * (force(z) - z)], 1)


def defect(jacobian):
    """How far ``J^T Omega J`` is from Omega."""
    n = len(jacobian) // 2
    omega = torch.zeros(2 * n, 2 * n)
    omega[:n, n:], omega[n:, :n] = torch.eye(n), -torch.eye(n)
    return float((jacobian.T @ omega @ jacobian - omega).abs().max())


def test_the_maps_without_friction_are_symplectic_and_those_of_euler_are_not():
    start = torch.randn(10)

    def path(step):
        def after(flat):
            y = flat.reshape(1, 2, 5)
            for _ in range(20):
                y = step(y, 0.15)
            return y.flatten()

        return torch.autograd.functional.jacobian(after, start)

    assert defect(path(strang)) < 1e-10
    assert defect(path(euler)) > 0.1


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_the_sampler_is_symplectic_where_the_excess_is_a_force(steps):
    """An estimate is made up whose excess depends on the position alone, linear, so that the map is its Jacobian."""
    matrix = torch.randn(3, 3)
    matrix = matrix + matrix.T

    def estimate(y, t):
        (z, p), law = halves(y), PLAIN.marginal(t, (3,))
        push = z @ matrix - p  # the score of the momentum that is wanted
        return (push * law.determinant + law.zz * p - law.zp * z) / (law.zz * law.mean_p - law.zp * law.mean_z)

    jacobian = SymplecticSplitting(steps)(estimate, PLAIN, torch.eye(6).reshape(6, 2, 3)).flatten(1).T
    assert float((jacobian - torch.eye(6)).abs().max()) > 0.1
    assert defect(jacobian) / float(jacobian.square().max()) < 1e-10


@pytest.mark.integration
def test_forward_and_back_is_where_it_began():
    start = torch.randn(4, 2, 5)
    y = start
    for _ in range(500):
        y = strang(y, 0.1)
    assert float((y - start).abs().max()) > 0.1
    for _ in range(500):
        y = strang(y, -0.1)
    torch.testing.assert_close(y, start, rtol=0, atol=1e-10)


@pytest.mark.integration
def test_the_energy_stays_within_bounds_over_many_periods_and_that_of_euler_drifts():
    y = torch.randn(8, 2, 5)
    other, first, errors = y, energy(y), []
    for _ in range(4000):
        y = strang(y, 0.1)
        errors.append((energy(y) / first - 1).abs().max())
    early, late = torch.stack(errors[:1000]).max(), torch.stack(errors[-1000:]).max()
    assert float(late) < 0.05 and float(late) < 1.3 * float(early)
    for _ in range(20):
        other = euler(other, 0.1)
    assert float((energy(other) / first).min()) > 1.2
