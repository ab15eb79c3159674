"""The partition function of an action by simulation: integrated over the coupling, from independent sites."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

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
    nodes: int = 16,
    seed: int = 0,
    watch: Watch | None = None,
) -> Estimate:
    """``log Z``, Z the integral or the sum of ``exp(-S)`` over all fields of a periodic lattice.

    ``d log Z / da = <sum_<xy> phi_x phi_y>`` along the coupling a of neighbours (K of spins), of either sign, from
    a = 0, where Z is a product over sites (thermodynamic integration; Gelman & Meng 1998, Stat. Sci. 13, 163), by
    Clenshaw-Curtis quadrature (Trefethen 2008, SIAM Rev. 50, 67), with Monte Carlo at each node.

    The error has two parts. That of the simulation comes from the differences between chains. For that of the
    quadrature every second node is a rule of its own: its difference from the whole, less what the simulation explains
    of it, is taken, which is the error of the coarser rule and so more than that of the value. It falls exponentially
    with the number of nodes, but slowly on large lattices if the coupling lies beyond a transition, where the integrand
    has a kink of width ``size^(-1 / nu)``: take more nodes there.

    Args:
        action: S is its ``energy``, without the constants by which conventions differ.
        lattice: sites along each of 1 to 3 axes.
        updates: of each of the 64 chains at each node, after thermalization.
        nodes: intervals of the quadrature, an even number; there is one node more.
        seed: of the chains.
        watch: called after each node.

    Returns:
        ``log Z`` in nats and its standard error, float64 scalars.

    Raises:
        InputError: an action whose sites have no law, or that may have no lower bound; fewer than 2 sites along an
            axis, more than 3 axes; an odd number of nodes; no updates.
    """
    alone = SiteConditional(action)
    if isinstance(action, Phi4):
        action.check_bounded(len(lattice))
    if nodes < 4 or nodes % 2 or updates < 1:
        raise InputError(f"{nodes} nodes of {updates} updates; an even number from 4 and at least 1 update are needed")
    coupling = action.coupling if isinstance(action, Ising) else action.a
    independent = math.prod(lattice) * alone.log_partition(torch.zeros((), dtype=torch.float64))
    means, variances = torch.zeros(nodes + 1, dtype=torch.float64), torch.zeros(nodes + 1, dtype=torch.float64)
    for node in range(nodes + 1):
        here = coupling * (1 - math.cos(math.pi * node / nodes)) / 2
        there = replace(action, coupling=here) if isinstance(action, Ising) else replace(action, a=here)
        key = int(np.random.SeedSequence((seed, nodes, node)).generate_state(1)[0])
        bonds = _bonds(MarkovChains(there, lattice, CHAINS, key), updates)
        means[node], variances[node] = bonds.mean(), bonds.var() / CHAINS
        if watch is not None:
            watch(node + 1, nodes + 1)
    rule, nested = (coupling / 2 * _clenshaw_curtis(nodes, every) for every in (1, 2))
    simulation, noise = (rule.square() * variances).sum(), ((rule - nested).square() * variances).sum()
    quadrature = (((rule - nested) * means).sum().square() - noise).clamp(min=0)
    return Estimate(independent + (rule * means).sum(), (simulation + quadrature).sqrt())


def _clenshaw_curtis(intervals: int, every: int = 1) -> Float[Tensor, " N"]:
    """Weights on [-1, 1] of the points ``-cos(pi i / intervals)``, of which each ``every``-th is taken.

    Exact for polynomials of degree ``intervals / every``.
    """
    order = intervals // every
    angle = torch.arange(order + 1, dtype=torch.float64) * math.pi / order
    waves = torch.arange(0, order + 1, 2, dtype=torch.float64)
    sizes = 2 / (1 - waves.square()) / order
    sizes[0], sizes[-1] = sizes[0] / 2, sizes[-1] / (1 if order % 2 else 2)
    weights = 2 * (torch.cos(angle[:, None] * waves) * sizes).sum(1)
    weights[0], weights[-1] = weights[0] / 2, weights[-1] / 2
    spread = torch.zeros(intervals + 1, dtype=torch.float64)
    spread[::every] = weights
    return spread


def _bonds(chains: MarkovChains, updates: int) -> torch.Tensor:
    """``sum_<xy> phi_x phi_y``, the mean along each chain, float64."""
    total = torch.zeros(CHAINS, dtype=torch.float64)
    for done in range(THERMALIZATION + updates):
        chains.update()
        if done >= THERMALIZATION:
            x = torch.from_numpy(chains.field[:, None]).double()
            total += (x * neighbours_ahead(x, chains.action.anisotropy)).flatten(1).sum(1) / updates
    return total
