"""The partition function of an action by simulation: integrated over the coupling, from independent sites."""

import math

import numpy as np
import torch

from rgdm.errors import InputError
from rgdm.jackknife import Estimate
from rgdm.physics.actions import Ising, Phi4, neighbours_ahead
from rgdm.physics.conditional import SiteConditional
from rgdm.physics.monte_carlo.chains import MarkovChains
from rgdm.watch import Watch

CHAINS = 64
"""Independent chains at each coupling; the error is estimated from their differences."""
THERMALIZATION = 80
"""Updates that are discarded at the start of each chain."""


def log_z_by_integration(
    action: Phi4 | Ising,
    lattice: tuple[int, ...],
    updates: int = 160,
    nodes: int = 12,
    seed: int = 0,
    watch: Watch | None = None,
) -> Estimate:
    """``log Z``, Z the integral or the sum of ``exp(-S)`` over all fields of a periodic lattice.

    ``d log Z / da = <sum_<xy> phi_x phi_y>`` along the coupling a of neighbours (K of spins), of either sign, from
    a = 0, where Z is a product over sites (thermodynamic integration; Gelman & Meng 1998, Stat. Sci. 13, 163), by
    Gauss-Legendre quadrature, with Monte Carlo at each node.

    The error is that of the simulation. The error of the quadrature falls exponentially with the number of nodes. It
    falls more slowly on large lattices if the coupling lies beyond a transition, where the integrand has a kink of
    width ``size^(-1 / nu)``, 1 / size in two dimensions: take more nodes there, until the value does not change.

    Args:
        action: S is its ``energy``, without the constants by which conventions differ.
        lattice: sites along each of 1 to 3 axes.
        updates: of each of the 64 chains at each node, after thermalization.
        nodes: of the quadrature.
        seed: of the chains.
        watch: called after each node.

    Returns:
        ``log Z`` in nats and its standard error, float64 scalars.

    Raises:
        InputError: an action whose sites have no law, or that may have no lower bound; fewer than 2 sites along an
            axis, more than 3 axes; no nodes, no updates.
    """
    alone = SiteConditional(action)
    if isinstance(action, Phi4):
        action.check_bounded(len(lattice))
    if nodes < 1 or updates < 1:
        raise InputError(f"{nodes} nodes of {updates} updates; at least 1 of each is needed")
    coupling = action.coupling if isinstance(action, Ising) else action.a
    value = math.prod(lattice) * alone.log_partition(torch.zeros((), dtype=torch.float64))
    variance = torch.zeros((), dtype=torch.float64)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    for node, (point, weight) in enumerate(zip(points.tolist(), weights.tolist(), strict=True)):
        here, part = coupling * (1 + point) / 2, coupling * weight / 2
        there = Ising(here) if isinstance(action, Ising) else Phi4(here, action.b, action.c)
        key = int(np.random.SeedSequence((seed, nodes, node)).generate_state(1)[0])
        bonds = _bonds(MarkovChains(there, lattice, CHAINS, key), updates)
        value = value + part * bonds.mean()
        variance = variance + part**2 * bonds.var() / CHAINS
        if watch is not None:
            watch(node + 1, nodes)
    return Estimate(value, variance.sqrt())


def _bonds(chains: MarkovChains, updates: int) -> torch.Tensor:
    """``sum_<xy> phi_x phi_y``, the mean along each chain, float64."""
    total = torch.zeros(CHAINS, dtype=torch.float64)
    for done in range(THERMALIZATION + updates):
        chains.update()
        if done >= THERMALIZATION:
            x = torch.from_numpy(chains.field[:, None]).double()
            total += (x * neighbours_ahead(x)).flatten(1).sum(1) / updates
    return total
