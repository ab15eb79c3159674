"""Compiled updates of many Markov chains at once; without numba the same code runs as plain Python, slowly.

Fields are ``(chains, sites)``; ``neighbours`` is ``(sites, 2 d)``, first the d ahead; ``bonds``, ``(2 d,)``, are the
couplings with them; ``h`` is the external field. Random numbers are a hash of (key, chain, counter), so a result does
not depend on the number of threads.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import numba
except ImportError:  # an extra: pip install "rgdm[lattice]"
    numba = None

COMPILED = numba is not None
NUMBERS = 1 << 20
"""Most random numbers of one site in a heat-bath sweep of phi^4."""
PROPOSED = 0.9
"""Share of the sites at which a Metropolis sweep of spins proposes a flip."""
prange: Any = range if numba is None else numba.prange


def _compiled(parallel: bool = False) -> Callable[[Callable[..., Any]], Any]:
    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        plain = inspect.unwrap(function)  # a checker of annotations may have wrapped it
        if numba is None:
            return plain
        return numba.njit(cache=True, parallel=parallel, nogil=True, error_model="numpy")(plain)

    return compiled


@_compiled()
def _mix(x):
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_compiled()
def _stream(key, chain):
    return _mix(np.uint64(key) + _mix(np.uint64(chain) + np.uint64(0x9E3779B97F4A7C15)))


@_compiled()
def _uniform(stream, counter):
    """In (0, 1)."""
    bits = _mix(np.uint64(stream) + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
    return (np.float64(bits) + 0.5) * (1.0 / 9007199254740992.0)


@_compiled()
def _around(values, neighbours, bonds, x):
    """The sum over the neighbours of a site, each with the strength of its bond."""
    total = 0.0
    for j in range(neighbours.shape[1]):
        total += bonds[j] * float(values[neighbours[x, j]])
    return total


@_compiled(parallel=True)
def heat_bath_phi4(field, neighbours, bonds, h, order, b, c, key):
    """One sweep over the sites in ``order``: each gets a new value from its exact law given the neighbours.

    That law is ``exp(p phi - b phi^2 - c phi^4)``, p the pull of the neighbours and of h. For any s > 0 a proposal from
    N(p / 2s, 1 / 2s) accepted with ``exp(-c (phi^2 - v)^2)``, ``v = (s - b) / 2c``, has this law. Acceptance is highest
    where v is <phi^2> of the proposal. This is an increasing and concave equation for s, which Newton's method solves
    from below, starting at the root for p = 0; the root grows with abs(p). Without c, s = b. NaN stays NaN.
    """
    chains, sites = field.shape
    spread = math.sqrt(b * b + 4.0 * c)
    start = 0.5 * (spread + b) if b > 0.0 else 2.0 * c / (spread - b)
    for chain in prange(chains):
        stream = _stream(key, chain)
        for i in range(sites):
            x = order[i]
            pull = _around(field[chain], neighbours, bonds, x) + h
            if not math.isfinite(pull):
                field[chain, x] = math.nan
                continue
            s, v = start, 0.0
            if c > 0.0:
                for _ in range(200):
                    excess = (s - b) / (2.0 * c) - 0.5 / s - 0.25 * (pull / s) ** 2
                    step = excess / (0.5 / c + 0.5 / s**2 + 0.5 * pull**2 / s**3)
                    s -= step
                    if abs(step) < 1e-3 * s:
                        break
                v = (s - b) / (2.0 * c)
            counter = i * NUMBERS
            while True:
                size = math.sqrt(-math.log(_uniform(stream, counter)) / s)  # Box & Muller, of variance 1 / 2s
                new = 0.5 * pull / s + size * math.cos(2.0 * math.pi * _uniform(stream, counter + 1))
                if _uniform(stream, counter + 2) <= math.exp(-c * (new * new - v) ** 2):
                    break
                counter += 3
            field[chain, x] = new


@_compiled(parallel=True)
def sweep_ising(field, neighbours, bonds, h, order, heat_bath, key):
    """One sweep: a new value of each spin given its neighbours (heat bath), or a flip by Metropolis' rule.

    A flip is proposed at ``PROPOSED`` of the sites. At all of them a checkerboard is not ergodic: flips that cost no
    energy are then never refused, so that lines of spins keep their numbers of walls that move left and right.
    """
    chains, sites = field.shape
    for chain in prange(chains):
        stream = _stream(key, chain)
        for i in range(sites):
            x = order[i]
            pull = 2.0 * (_around(field[chain], neighbours, bonds, x) + h)
            if heat_bath:
                field[chain, x] = 1 if _uniform(stream, i) < 1.0 / (1.0 + math.exp(-pull)) else -1
            elif _uniform(stream, i) < PROPOSED * math.exp(min(0.0, -pull * float(field[chain, x]))):
                field[chain, x] = -field[chain, x]


@_compiled()
def _root(parent, x):
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@_compiled(parallel=True)
def swendsen_wang(field, neighbours, bonds, h, key):
    """Bonds with probability ``1 - exp(-2 a phi_x phi_y)``, then a sign for each cluster by its law in the field h."""
    chains, sites = field.shape
    ahead = neighbours.shape[1] // 2
    for chain in prange(chains):
        stream = _stream(key, chain)
        parent = np.empty(sites, dtype=np.int32)
        for x in range(sites):
            parent[x] = x
        for x in range(sites):
            value = 2.0 * float(field[chain, x])
            for j in range(ahead):
                y = neighbours[x, j]
                strength = bonds[j] * value * float(field[chain, y])
                if strength > 0.0 and _uniform(stream, x * ahead + j) > math.exp(-strength):
                    p, q = _root(parent, x), _root(parent, y)
                    if p < q:
                        parent[q] = p
                    elif q < p:
                        parent[p] = q
        signs = np.uint64(ahead) * np.uint64(sites)
        total = np.zeros(sites if h != 0.0 else 1)
        if h != 0.0:
            for x in range(sites):
                total[_root(parent, x)] += float(field[chain, x])
        for x in range(sites):
            root = _root(parent, x)
            turned = 0.5 if h == 0.0 else 1.0 / (1.0 + math.exp(min(700.0, 2.0 * h * total[root])))
            if _uniform(stream, signs + np.uint64(root)) < turned:
                field[chain, x] = -field[chain, x]


@_compiled(parallel=True)
def wolff(field, neighbours, bonds, h, key):
    """One cluster around a random site of each chain is flipped; returns the sizes of the clusters in sites.

    Without an external field: ``h`` is not looked at.
    """
    chains, sites = field.shape
    sizes = np.zeros(chains, dtype=np.int64)
    for chain in prange(chains):
        stream = _stream(key, chain)
        stack = np.empty(sites, dtype=np.int32)
        x = min(int(_uniform(stream, 0) * sites), sites - 1)
        stack[0], size, counter = x, 1, 1
        field[chain, x] = -field[chain, x]
        grown = 1
        while size > 0:
            size -= 1
            x = stack[size]
            value = -2.0 * float(field[chain, x])  # the spin is flipped already
            for j in range(neighbours.shape[1]):
                y = neighbours[x, j]
                strength = bonds[j] * value * float(field[chain, y])
                if strength > 0.0:
                    if _uniform(stream, counter) > math.exp(-strength):
                        field[chain, y] = -field[chain, y]
                        stack[size] = y
                        size += 1
                        grown += 1
                    counter += 1
        sizes[chain] = grown
    return sizes
