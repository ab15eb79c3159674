"""How much memory making fields takes, estimated before it begins."""

import math
from typing import TYPE_CHECKING

import torch

from rgdm.design import BackboneKind
from rgdm.model.lifts.texture import Texture
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.tiles import largest

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade

TOGETHER = 2**18
"""Sites that are made at a time: as many small fields as have so many sites together."""
AT_ONCE = 2**22
"""Sites that are made at a time by all threads: as many batches, where they are that small."""
SITE_BYTES: dict[BackboneKind, int] = {"conv": 30, "unet": 160, "dit": 80, "fno": 280}
"""Bytes of one evaluation at its peak, for each site and unit of width, on the safe side."""


def memory_bytes(model: "Cascade", lattice: Lattice, fields: int) -> int:
    """The bytes that making ``fields`` fields of this lattice takes at its peak, on the safe side.

    Measured: beside the result, in double precision at most, the finest lift holds 11 to 12 fine fields for each
    channel and its features twice (a flow has none), and the network 30 times its width on one tile; that of a
    flow 14 times its width, and 100 bytes a site for the splines. That is up to twice what is live at the peak, for
    an allocator may keep nearly that much more (glibc: up to 1.8 times).
    """
    design, channels = model.design, model.channels
    sites, cell = math.prod(lattice), math.prod(model.grid.factors_at(0))
    threads = min(batches_at_once(lattice), torch.get_num_threads(), -(-fields // fields_together(lattice)))
    together = min(fields, threads * fields_together(lattice))
    features = 0 if design.lift == "flow" else 2.2 * design.widths[0] / cell
    lift = 4.8 * sites * together * (features + 11.5 * channels)
    network = max(_network(model, level, lattice, fields, together) for level in range(design.levels))
    if design.scattering:
        a_site = Texture.bytes_a_site(design.scattering, model.dimension, model.grid.boundaries)
        lift += a_site * channels * sites * together / cell
    return int(lift + network + 8 * sites * channels * fields) + 8 * 2**20


def fields_together(lattice: Lattice) -> int:
    """How many fields are made in one batch."""
    return max(1, TOGETHER // math.prod(lattice))


def batches_at_once(lattice: Lattice) -> int:
    """How many batches are made at a time at most, where there are so many threads."""
    return max(1, AT_ONCE // (fields_together(lattice) * math.prod(lattice)))


def _network(model: "Cascade", level: int, lattice: Lattice, fields: int, together: int) -> float:
    """The bytes of evaluations at a level: of a tile for each thread, or of all where the network looks everywhere."""
    coarse_lattice, halo = model.operator.coarse_lattice(lattice, level + 1), model.own_lift(level).law.halo
    seen = together * math.prod(coarse_lattice)
    if halo is not None:
        seen = largest(min(fields, fields_together(lattice)), coarse_lattice, halo, torch.get_num_threads())
    width = model.design.widths[level]
    if model.design.lift == "flow":
        return (14 * width + 100) * seen
    return SITE_BYTES[model.design.backbones[level]] * width * seen
