"""log Z by integration over the coupling, against exact numbers."""

import itertools

import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.exact.ising import log_z
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.reweighting.free_energy import log_z_by_integration


def kaufman(coupling: float, lattice: int | tuple[int, int], anisotropy: tuple[float, float] = (1.0, 1.0)) -> float:
    sides = (lattice, lattice) if isinstance(lattice, int) else lattice
    return float(log_z(torch.tensor(coupling, dtype=torch.float64), sides, anisotropy))


def in_a_field(coupling: float, h: float) -> float:
    """log Z of 3 x 3 spins from all of their states."""
    states = torch.tensor(list(itertools.product((1.0, -1.0), repeat=9)), dtype=torch.float64).reshape(-1, 1, 3, 3)
    return float((-Ising(coupling, h).energy(states)).logsumexp(0))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("action", "lattice", "exact", "nodes"),
    [
        (Ising.critical(), (8, 8), kaufman(Ising.critical().coupling, 8), 8),
        (Ising(-0.4), (8, 8), kaufman(0.4, 8), 8),  # the sublattices of an even torus, one of them turned over
        (Ising(0.6), (12, 12), kaufman(0.6, 12), 24),
        (Phi4.critical(), (3, 3), phi4_log_z(Phi4.critical(), 3), 8),
        (FreeField(1.0).action(1), (12,), FreeField(1.0).log_z((12,)), 8),
        (FreeField(0.5).action(), (6, 6), FreeField(0.5).log_z((6, 6)), 12),
        (Ising(0.4, anisotropy=(1.0, 0.5)), (6, 8), kaufman(0.4, (6, 8), (1.0, 0.5)), 8),
        (Ising(0.3, h=0.2), (3, 3), in_a_field(0.3, 0.2), 12),
    ],
    ids=["critical", "antiferromagnet", "ordered", "phi4", "chain", "free", "rectangle", "in a field"],
)
def test_integration_over_the_coupling_gives_the_exact_partition_function(
    action: Phi4 | Ising, lattice: tuple[int, ...], exact: float, nodes: int
) -> None:
    estimate = log_z_by_integration(action, lattice, nodes=nodes, seed=3)
    assert abs(float(estimate.value) - exact) < 4 * float(estimate.error)
    assert float(estimate.error) < 2e-3 * abs(exact)


@pytest.mark.integration
@pytest.mark.parametrize(("coupling", "side", "nodes"), [(0.6, 32, 8), (0.6, 16, 6), (0.44, 8, 4)])
def test_the_error_has_that_of_the_quadrature(coupling: float, side: int, nodes: int) -> None:
    """So few nodes do not see the kink of the integrand; the control: seeds differ by far less than they are off."""
    made = [log_z_by_integration(Ising(coupling), (side, side), 20, nodes, seed) for seed in range(3)]
    values, errors = torch.stack([each.value for each in made]), torch.stack([each.error for each in made])
    off = float((values.mean() - kaufman(coupling, side)).abs())
    assert off < 3 * float(errors.mean())
    if side == 32:
        assert off > 10 * float(values.std())


@pytest.mark.integration
def test_its_error_is_what_seeds_differ_by() -> None:
    estimate = [log_z_by_integration(Ising(0.4), (4, 4), updates=20, nodes=8, seed=seed) for seed in range(40)]
    spread = torch.stack([each.value for each in estimate]).std()
    stated = torch.stack([each.error for each in estimate]).square().mean().sqrt()
    assert float(spread / stated) == pytest.approx(1, abs=0.35)  # three errors of a spread of 40


def test_same_seed_same_value_and_every_node_is_told() -> None:
    told: list[tuple[int, int]] = []
    one, two = (
        log_z_by_integration(Ising(0.3), (4, 4), updates=2, nodes=4, seed=1, watch=lambda *at: told.append(at))
        for _ in range(2)
    )
    assert float(one.value) == float(two.value)
    assert told == 2 * [(done, 5) for done in range(1, 6)]


def test_sites_without_neighbours_are_exact() -> None:
    estimate = log_z_by_integration(Ising(0.0), (4, 4), updates=1, nodes=4)
    assert float(estimate.value) == pytest.approx(16 * 0.6931471805599453, rel=1e-12)
    assert float(estimate.error) == 0


@pytest.mark.parametrize(
    ("action", "settings", "said"),
    [
        (Phi4.from_mass(0.0, 0.0), {}, "may have no lower bound"),
        (Ising(0.4), {"nodes": 0}, "0 nodes"),
        (Ising(0.4), {"nodes": 7}, "an even number"),
        (Ising(0.4), {"updates": 0}, "0 updates"),
        (Ising(0.4), {"lattice": (1, 8)}, "2 sites"),
    ],
)
def test_what_has_no_partition_function_is_refused(action: Phi4 | Ising, settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        log_z_by_integration(action, **({"lattice": (4, 4)} | settings))
