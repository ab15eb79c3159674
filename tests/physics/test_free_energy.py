"""log Z by integration over the coupling, against exact numbers."""

import pytest
import torch

from rgdm.physics.actions import Ising, Phi4
from rgdm.physics.exact.ising import log_z
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.free_energy import log_z_by_integration


@pytest.mark.parametrize(
    ("action", "size", "exact"),
    [
        (Ising.critical(), 8, float(log_z(torch.tensor(Ising.critical().coupling, dtype=torch.float64), (8, 8)))),
        (Phi4.critical(), 3, phi4_log_z(Phi4.critical(), 3)),
    ],
    ids=["ising", "phi4"],
)
def test_integration_over_the_coupling_gives_the_exact_partition_function(
    action: Phi4 | Ising, size: int, exact: float
) -> None:
    found = log_z_by_integration(action, size, fields=1024, nodes=8, seed=3)
    assert abs(float(found.value) - exact) < 4 * float(found.error)
    assert float(found.error) < 5e-3 * exact
    coarse = log_z_by_integration(action, size, fields=1024, nodes=1, seed=3)
    assert abs(float(coarse.value) - exact) > 4 * float(coarse.error)  # one node is no integral


def test_too_few_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="100 fields"):
        log_z_by_integration(Ising.critical(), 8, fields=100)
