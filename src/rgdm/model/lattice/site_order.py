"""The order in which sites are drawn, and what each is given: sublattice by sublattice, from coarse to fine."""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rgdm.errors import InputError

LARGEST_CORE = 8
"""Most sites along an axis of the coarsest sublattice, whose sites are drawn one after the other."""
MOST_GIVEN = 2**25
"""Most values that the sites of a lattice are given in all: their positions are held in memory."""
NEAREST = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Stage:
    """Sites that are drawn together, and what each of them is given.

    Attributes:
        sites: their positions in the flattened lattice, ``(S,)``.
        given: positions of the values that each is given, ``(S, M)``, in the same arrangement around each.
    """

    sites: Int[Tensor, " S"]
    given: Int[Tensor, "S M"]


def stages(lattice: tuple[int, int], reach: int, independent: bool) -> list[Stage]:
    """An order of the sites of a periodic lattice that goes from coarse to fine.

    First the sublattice of every ``2^k``-th site, one site after the other, k as large as the sides allow; then, for
    each finer spacing, the centres of the squares and the two kinds of edges, each in four colours. A site is given
    all sites before it within ``reach`` spacings along each axis. With ``independent`` the edges of the finest spacing
    are one stage, each given its four nearest neighbours: they are independent if only nearest neighbours interact.
    """
    if len(lattice) != 2 or min(lattice) < 2 or reach < 1:
        raise InputError(f"lattice {lattice}, reach {reach}; two axes of at least 2 sites and a reach of 1 are needed")
    given = lattice[0] * lattice[1] * (2 * reach + 1) ** 2
    if given > MOST_GIVEN:
        raise InputError(f"lattice {lattice}, reach {reach}: sites see {given} others in all; {MOST_GIVEN} at most")
    depth = min((n & -n).bit_length() - 1 for n in lattice)
    core = tuple(n >> depth for n in lattice)
    if max(core) > LARGEST_CORE:
        raise InputError(
            f"the coarsest sublattice of {lattice} has {core} sites, at most {LARGEST_CORE} along an axis are drawn "
            "one by one; choose sides that are divisible by a higher power of 2"
        )
    if independent and depth == 0:
        raise InputError(f"the lattice {lattice} has no checkerboard; even sides are needed for independent last sites")
    known = torch.zeros(lattice, dtype=torch.bool)
    order = [_stage(known, [site], 2**depth, reach) for site in _product(lattice, 2**depth)]
    for level in reversed(range(depth)):
        spacing = 2**level
        kinds = [[(spacing, spacing)], [(0, spacing)], [(spacing, 0)]]
        if independent and level == 0:
            kinds = [kinds[0]]
        for kind in kinds:
            sites = [(y + dy, x + dx) for y, x in _product(lattice, 2 * spacing) for dy, dx in kind]
            order += [_stage(known, colour, spacing, reach) for colour in _colours(sites, lattice, 2 * spacing)]
    if independent:
        sites = [(y, x) for y, x in _product(lattice, 1) if (y + x) % 2]
        around = [((y + dy) % lattice[0], (x + dx) % lattice[1]) for y, x in sites for dy, dx in NEAREST]
        order.append(Stage(_flat(sites, lattice[1]), _flat(around, lattice[1]).reshape(-1, len(NEAREST))))
    return order


def _product(lattice: tuple[int, int], spacing: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, lattice[0], spacing) for x in range(0, lattice[1], spacing)]


def _colours(sites: list[tuple[int, int]], lattice: tuple[int, int], spacing: int) -> list[list[tuple[int, int]]]:
    """Sites of a square sublattice, parted so that neighbours differ: four colours, or one a row on odd sides."""
    periods = [2 if (n // spacing) % 2 == 0 else n // spacing for n in lattice]
    parted: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for y, x in sites:
        parted.setdefault((y // spacing % periods[0], x // spacing % periods[1]), []).append((y, x))
    return [parted[key] for key in sorted(parted, key=lambda key: (sum(key) % 2, key))]


def _stage(known: Tensor, sites: list[tuple[int, int]], spacing: int, reach: int) -> Stage:
    """The stage of these sites, which it marks as known."""
    lattice = known.shape
    spans = []
    for n in lattice:
        steps = n // spacing
        low = min(reach, (steps - 1) // 2)
        spans.append([spacing * i for i in range(-low, min(reach, steps - 1 - low) + 1)])
    y, x = sites[0]
    around = [(dy, dx) for dy, dx in itertools.product(*spans) if known[(y + dy) % lattice[0], (x + dx) % lattice[1]]]
    given = [((y + dy) % lattice[0], (x + dx) % lattice[1]) for y, x in sites for dy, dx in around]
    for site in sites:
        known[site] = True
    return Stage(_flat(sites, lattice[1]), _flat(given, lattice[1]).reshape(len(sites), -1))


def _flat(sites: list[tuple[int, int]], width: int) -> Int[Tensor, " S"]:
    return torch.tensor([y * width + x for y, x in sites], dtype=torch.long)


def gather(y: Float[Tensor, "B N"], given: Int[Tensor, "S M"]) -> Float[Tensor, "B S K"]:
    """The values that each site is given; a single 0 where there are none."""
    return y[:, given] if given.shape[1] else y.new_zeros(len(y), len(given), 1)
