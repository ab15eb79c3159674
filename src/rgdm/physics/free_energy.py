"""The partition function of an action by simulation: integrated over its coupling, from independent sites on."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from rgdm.jackknife import Estimate, jackknife
from rgdm.physics.actions import Ising, Phi4, neighbours_ahead
from rgdm.physics.conditional import SiteConditional
from rgdm.physics.monte_carlo import sample_ising, sample_phi4

CHAINS = 64
Watch = Callable[[int, int], None]


def log_z_by_integration(
    action: Phi4 | Ising, size: int, fields: int = 1024, nodes: int = 12, seed: int = 0, watch: Watch | None = None
) -> Estimate:
    """``log Z`` of a periodic square lattice of ``size`` sites along each axis, with a statistical error.

    ``d log Z / da = <sum_<xy> phi_x phi_y>`` along the coupling a (K of spins), from a = 0, where Z is a product over
    sites (Gelman & Meng 1998, Stat. Sci. 13, 163, thermodynamic integration): Gauss-Legendre with so many ``nodes``,
    ``fields`` Monte Carlo configurations of :mod:`rgdm.physics.monte_carlo` at each. The error is that of the
    simulation alone; that of the quadrature falls exponentially with the nodes on a finite lattice.

    Args:
        watch: is told after each node.
    """
    if nodes < 1 or fields < 2 * CHAINS:
        raise ValueError(f"{nodes} nodes and {fields} fields; at least 1 and {2 * CHAINS} are needed")
    coupling = action.coupling if isinstance(action, Ising) else action.a
    free = dataclasses.replace(action, **{"coupling" if isinstance(action, Ising) else "a": 0.0})
    value = size**2 * SiteConditional(free).log_partition(torch.zeros(1)).sum()
    variance = torch.zeros((), dtype=torch.float64)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    for node, (point, weight) in enumerate(zip(points.tolist(), weights.tolist(), strict=True)):
        here = coupling * (1 + point) / 2
        if isinstance(action, Ising):
            x = sample_ising(Ising(here), size, CHAINS, fields, seed * nodes + node)
        else:
            x = sample_phi4(Phi4(here, action.b, action.c), size, CHAINS, fields, seed * nodes + node)
        bonds = jackknife(lambda mean: mean, (x * neighbours_ahead(x)).double().flatten(1).sum(1), blocks=CHAINS)
        value = value + coupling * weight / 2 * bonds.value
        variance = variance + (coupling * weight / 2 * bonds.error).square()
        if watch is not None:
            watch(node + 1, nodes)
    return Estimate(value, variance.sqrt())
