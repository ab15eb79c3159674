"""log Z by integration over the coupling, against exact numbers."""

import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.exact.ising import log_z
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.reweighting.free_energy import log_z_by_integration


def kaufman(coupling: float, side: int) -> float:
    return float(log_z(torch.tensor(coupling, dtype=torch.float64), (side, side)))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("action", "lattice", "exact", "nodes"),
    [
        (Ising.critical(), (8, 8), kaufman(Ising.critical().coupling, 8), 8),
        (Ising(-0.4), (8, 8), kaufman(0.4, 8), 8),  # the sublattices of an even torus, one of them turned over
        (Ising(0.6), (12, 12), kaufman(0.6, 12), 18),
        (Phi4.critical(), (3, 3), phi4_log_z(Phi4.critical(), 3), 8),
        (FreeField(1.0).action(1), (12,), FreeField(1.0).log_z((12,)), 8),
        (FreeField(0.5).action(), (6, 6), FreeField(0.5).log_z((6, 6)), 12),
    ],
    ids=["critical", "antiferromagnet", "ordered", "phi4", "chain", "free"],
)
def test_integration_over_the_coupling_gives_the_exact_partition_function(
    action: Phi4 | Ising, lattice: tuple[int, ...], exact: float, nodes: int
) -> None:
    estimate = log_z_by_integration(action, lattice, nodes=nodes, seed=3)
    assert abs(float(estimate.value) - exact) < 4 * float(estimate.error)
    assert float(estimate.error) < 2e-3 * abs(exact)


def test_one_node_is_no_integral() -> None:
    estimate = log_z_by_integration(Ising.critical(), (8, 8), nodes=1)
    assert abs(float(estimate.value) - kaufman(Ising.critical().coupling, 8)) > 20 * float(estimate.error)


@pytest.mark.integration
def test_its_error_is_what_seeds_differ_by() -> None:
    estimate = [log_z_by_integration(Ising(0.4), (4, 4), updates=20, nodes=4, seed=seed) for seed in range(40)]
    spread = torch.stack([each.value for each in estimate]).std()
    stated = torch.stack([each.error for each in estimate]).square().mean().sqrt()
    assert float(spread / stated) == pytest.approx(1, abs=0.35)  # three errors of a spread of 40


def test_same_seed_same_value_and_every_node_is_told() -> None:
    told: list[tuple[int, int]] = []
    one, two = (
        log_z_by_integration(Ising(0.3), (4, 4), updates=2, nodes=3, seed=1, watch=lambda *at: told.append(at))
        for _ in range(2)
    )
    assert float(one.value) == float(two.value)
    assert told == 2 * [(1, 3), (2, 3), (3, 3)]


def test_sites_without_neighbours_are_exact() -> None:
    estimate = log_z_by_integration(Ising(0.0), (4, 4), updates=1, nodes=1)
    assert float(estimate.value) == pytest.approx(16 * 0.6931471805599453, rel=1e-12)
    assert float(estimate.error) == 0


@pytest.mark.parametrize(
    ("action", "settings", "said"),
    [
        (Phi4.from_mass(0.0, 0.0), {}, "may have no lower bound"),
        (Ising(0.4), {"nodes": 0}, "0 nodes"),
        (Ising(0.4), {"updates": 0}, "0 updates"),
        (Ising(0.4), {"lattice": (1, 8)}, "2 sites"),
    ],
)
def test_what_has_no_partition_function_is_refused(action: Phi4 | Ising, settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        log_z_by_integration(action, **({"lattice": (4, 4)} | settings))
