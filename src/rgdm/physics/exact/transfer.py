"""Sums over all states of small tori by transfer matrices, one row of sites after the other."""

import functools
import itertools
import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgdm.errors import InputError
from rgdm.physics.actions import Ising, Phi4

Array = NDArray[np.float64]
SHARES = (0.5, 1.0)
"""What share of the squares of a bond the weight of a site has: the best at weak and at strong coupling."""
LARGEST = 6000
"""Most states of a row, up to its symmetries."""
AGREE = 1e-6
"""Difference of log Z, in nats, of two numbers of nodes that is agreement; two nodes gain more than a digit."""


class Moments(NamedTuple):
    """Moments of the magnetization m a site of a square torus."""

    m2: float
    m4: float
    u4: float
    """``1 - <m^4> / (3 <m^2>^2)``."""
    xi_over_length: float
    """Second-moment correlation length along one axis, over the side."""


def ising_moments(action: Ising, side: int) -> Moments:
    """Exact moments of ``side x side`` spins, ``side`` at most 10."""
    if not 2 <= side <= 10:
        raise InputError(f"a row of {side} spins; sums over all states are made for 2 to 10")
    _check_symmetric(action)
    states = np.array(list(itertools.product((1.0, -1.0), repeat=side)))
    row = action.coupling * (states * np.roll(states, -1, 1)).sum(1)
    transfer = np.exp(row[:, None] / 2 + action.coupling * states @ states.T + row / 2)
    transfer /= transfer.max()
    total = states.sum(1)
    # the power series in h of prod_t T exp(h M), to h^4
    powers = [total**n / math.factorial(n) for n in range(5)]
    step, series = [transfer * p for p in powers], [np.eye(len(states))] + [np.zeros_like(transfer)] * 4
    for _ in range(side):
        series = [sum((series[i] @ step[n - i] for i in range(n + 1)), np.zeros_like(transfer)) for n in range(5)]
    z, _, second, _, fourth = (float(np.trace(s)) for s in series)
    sites = side**2
    m2, m4 = 2 * second / z / sites**2, 24 * fourth / z / sites**4
    mode = _lowest_mode(transfer, total, side) / z / sites**2
    return Moments(m2, m4, 1 - m4 / (3 * m2**2), math.sqrt(m2 / mode - 1) / (2 * math.sin(math.pi / side)) / side)


def _lowest_mode(transfer: Array, total: Array, side: int) -> float:
    """``Z <|sum_t exp(2 pi i t / L) M_t|^2>`` with M_t the sum of row t."""
    power = [np.eye(len(total))]
    for _ in range(side):
        power.append(power[-1] @ transfer)
    total_mode = 0.0
    for distance in range(side):
        pair = np.einsum("ij,j,ji,i->", power[distance], total, power[side - distance], total)
        total_mode += side * math.cos(2 * math.pi * distance / side) * float(pair)
    return total_mode


def ising_energy_counts(side: int) -> dict[int, int]:
    """Number of states of ``side x side`` spins by energy ``-sum_<xy> s_x s_y``; ``side`` at most 4."""
    if not 2 <= side <= 4:
        raise InputError(f"{side} x {side} spins; all states are counted for 2 to 4")
    states = np.array(list(itertools.product((1, -1), repeat=side * side)), dtype=np.int8).reshape(-1, side, side)
    bonds = states * (np.roll(states, -1, 1) + np.roll(states, -1, 2))
    energies, counts = np.unique(-bonds.sum((1, 2), dtype=np.int64), return_counts=True)
    return dict(zip(energies.tolist(), counts.tolist(), strict=True))


def phi4_log_z(action: Phi4, side: int, nodes: int = 10) -> float:
    """``log Z`` of ``side x side`` sites by Gauss quadrature of each site.

    The points are those of the weight that a site has by itself and by its bonds, of which
    ``a phi phi' = |a| (phi^2 + phi'^2) / 2 - |a| (phi - sign(a) phi')^2 / 2`` has a share (``SHARES``): they lie where
    neighbours push a field, at weak and at strong coupling.
    The result with n points is compared with that of n - 2, and n grows from ``nodes`` in steps of 2 until both agree
    to ``AGREE``: 10 to 20 are enough. ``side`` of 2 to 4 is practical.

    Warns:
        RuntimeWarning: the two do not agree with as many points as can be held; the sentence has their difference.

    Raises:
        InputError: an external field or bonds that differ between the axes; an action that may have no lower bound;
            ``nodes`` that cannot be held.
    """
    _check_symmetric(action)
    action.check_bounded(2)
    if nodes < 4:
        raise InputError(f"{nodes} nodes; at least 4 are needed to compare two results")
    if _states(side, nodes) > LARGEST:
        raise InputError(
            f"{nodes} nodes on {side} sites make {_states(side, nodes)} states; at most {LARGEST} are held"
        )
    rule = functools.cache(functools.partial(_phi4_log_z, action, side))
    while True:
        apart = {}
        for share in SHARES:
            apart[share] = abs(rule(nodes, share) - rule(nodes - 2, share))
            if apart[share] <= AGREE:
                return rule(nodes, share)
        best = min(SHARES, key=lambda share: apart[share])
        if _states(side, nodes + 2) > LARGEST:
            warnings.warn(
                f"log Z of {action} on {side} x {side} sites: {nodes} and {nodes - 2} nodes differ by "
                f"{apart[best]:.2g}, and more cannot be held; take a smaller side",
                RuntimeWarning,
                stacklevel=2,
            )
            return rule(nodes, best)
        nodes += 2


def _check_symmetric(action: Phi4 | Ising) -> None:
    if action.h or action.anisotropy:
        raise InputError(f"{action}; sums over all states are made without external field, for equal bonds")


def _states(side: int, nodes: int) -> int:
    """The number of states of a row up to translations and the sign (Burnside's lemma)."""
    fixed = 0
    for shift in range(side):
        cycles = math.gcd(shift, side)
        length = side // cycles  # of each cycle; a mirrored state needs an even one, or the node in the middle
        fixed += nodes**cycles + (nodes if length % 2 == 0 else nodes % 2) ** cycles
    return fixed // (2 * side)


def _phi4_log_z(action: Phi4, side: int, nodes: int, share: float) -> float:
    """With so many nodes and this share of the bonds in the weight.

    The transfer matrix is split into the sectors of translations of a row and of the sign.
    """
    points, log_weights = site_quadrature(action, nodes, share)
    states = np.array(list(itertools.product(range(nodes), repeat=side)))
    mirror = nodes - 1 - states  # the points lie symmetrically
    orbit = [np.roll(s, shift, 1) for s in (states, mirror) for shift in range(side)]
    place = nodes ** np.arange(side - 1, -1, -1)
    images = np.stack([s @ place for s in orbit])  # (group, state)
    first = images.min(0) == np.arange(len(states))
    kept = np.flatnonzero(first)
    stabilizer = (images[:, kept] == kept).sum(0)
    field = points[states]
    log_row = action.a * (field * np.roll(field, -1, 1)).sum(1) + log_weights[states].sum(1)
    half = log_row[kept] / 2
    blocks = [half[:, None] + action.a * field[kept] @ field[images[g, kept]].T + half for g in range(len(orbit))]
    shift = float(max(block.max() for block in blocks))
    for block in blocks:
        np.exp(block - shift, out=block)
    size, total = np.sqrt(np.outer(stabilizer, stabilizer)), 0.0
    for parity, momentum in itertools.product((1, -1), range(side // 2 + 1)):
        alone = 2 * momentum % side == 0  # a momentum that is its own opposite has real phases
        phase = [s * np.exp(2j * np.pi * momentum * t / side) for s in (1, parity) for t in range(side)]
        phase = [p.real if alone else p for p in phase]
        exists = np.abs(sum(p * (images[g, kept] == kept) for g, p in enumerate(phase))) > 0.5
        sector = sum(p * b for p, b in zip(phase, blocks, strict=True))
        sector = (sector / size)[np.ix_(exists, exists)]
        half_way = np.linalg.matrix_power(sector, side // 2)  # Hermitian, and so the trace of a product is a sum
        other_half = half_way @ sector if side % 2 else half_way
        total += (1 if alone else 2) * float((half_way.conj() * other_half).sum().real)
    return math.log(total) + side * shift


def site_quadrature(action: Phi4, nodes: int, share: float) -> tuple[Array, Array]:
    """Points on the line, and log weights with which they integrate ``exp(-b phi^2 - c phi^4)`` times a function.

    The Gauss points of ``exp(-(b - 2 share |a|) phi^2 - c phi^4)``, by the discretised Stieltjes procedure (Gautschi
    2004, *Orthogonal Polynomials*, sec. 2.2): the Jacobi matrix of the weight on a fine grid, then its eigenvalues
    (Golub & Welsch 1969).
    """
    bonds, c = 2 * abs(action.a), action.c
    widest = action.b - bonds
    reach = (45 / c) ** 0.25 + math.sqrt(max(0.0, -widest) / c) if c else math.sqrt(45 / widest)
    x = np.linspace(-reach, reach, 4001)
    log_weight = -(action.b - share * bonds) * x**2 - c * x**4
    top = float(log_weight.max())
    weight = np.exp(log_weight - top) * (x[1] - x[0])
    mass = float(weight.sum())
    before, now = np.zeros_like(x), np.full_like(x, 1 / math.sqrt(mass))
    beyond, links = 0.0, []
    for _ in range(nodes - 1):
        ahead = x * now - beyond * before  # the diagonal vanishes: the weight is even
        beyond = math.sqrt(float((weight * ahead**2).sum()))
        links.append(beyond)
        before, now = now, ahead / beyond
    points, vectors = np.linalg.eigh(np.diag(links, 1) + np.diag(links, -1))
    points = (points - points[::-1]) / 2
    tiny = np.finfo(np.float64).tiny
    return points, top + math.log(mass) + np.log(np.maximum(vectors[0] ** 2, tiny)) - share * bonds * points**2
