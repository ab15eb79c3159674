"""What a training step sees: patches of the fields, and the noise on their detail."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.grid import Axis
from rgdm.scale.operators.momentum_shell import MomentumShell

PATCH = {1: 512, 2: 30, 3: 16}
"""Coarse sites along an axis of a patch, by dimension."""
MOST = 512
"""Most patches of a batch: to cut thousands of tiny ones would cost more than to learn from them."""
HALO = 21
"""Width of the halo of a patch, in coarse sites, for features that look around; between edges the most it can be."""


class Batches:
    """Random patches of the training fields at every level, a pure function of (seed, step, rank).

    A patch of level l is cut from the field at full resolution at any offset, mirrored
    and transposed at random (periodic fields are cut across their edges), then
    coarse-grained l times. ``mirror=False`` for fields that have no such symmetry. An axis of a periodic
    field that is not much longer than a patch is taken whole, and so is every axis if
    the coarse-graining or the backbone of the level is not local. Patches between edges have a halo too where networks
    are shown the texture of the field, which reaches far.
    Batches hold about the same number of sites, less where that would be very many patches. The finer
    levels, of which there is more to see, come more often; less so where each level has its own network.
    """

    VERSION = 3
    """Counts the changes of what a step is given: a training that was begun with another cannot go on to the bit."""

    def __init__(
        self, model: Cascade, fields: Float[Tensor, "B C *L"], seed: int, mirror: bool = True, sites: int = 7_200
    ) -> None:
        self.model, self.seed, self.mirror, self.sites = model, seed, mirror, sites
        self.count, self.channels, *lattice = fields.shape
        self.lattice, self.values = tuple(lattice), fields.flatten()
        decay = 0.5 if model.design.shared else 0.6
        self.share = [decay**level for level in range(model.levels)]

    def __call__(self, step: int, rank: int = 0) -> tuple[int, Tensor, Tensor, Tensor, tuple[int, ...]]:
        """``(level, fine patches, t, noise, halo)``, the halo in coarse sites; all ranks have one level."""
        model = self.model
        everywhere = torch.Generator().manual_seed(hash((self.seed, step)) % 2**63)
        level = int(torch.multinomial(torch.tensor(self.share), 1, generator=everywhere))
        generator = torch.Generator().manual_seed(hash((self.seed, step, rank)) % 2**63)
        units = [b ** (level + 1) for b in model.grid.factors]
        extents = [self._extent(n // units[i], level, model.grid.axes[i]) for i, n in enumerate(self.lattice)]
        patch, halo = zip(*extents, strict=True)
        count = min(MOST, max(1, round(self.sites / math.prod(patch))))
        wide = tuple(unit * (p + 2 * h) for unit, p, h in zip(units, patch, halo, strict=True))
        alike = model.grid.alike and len(set(zip(patch, halo, strict=True))) == 1
        fine = self._patches(count, wide, alike, generator)
        for _ in range(level):
            fine = model.operator.coarsen(fine)
        t = (torch.arange(count) + torch.rand(1, generator=generator)) / count
        channels = model.channels * model.operator.bands(model.dimension) * model.own_lift(level).law.draws
        noise = torch.randn(count, channels, *patch, generator=generator)
        return level, fine, t, noise, halo

    def _extent(self, n: int, level: int, axis: Axis) -> tuple[int, int]:
        """Length of a patch along an axis of n coarse sites, and of the halo at either end of it."""
        side = PATCH[self.model.dimension]
        lift = self.model.own_lift(level)
        shells = any(isinstance(module, MomentumShell) for module in self.model.operator.modules())
        if shells or lift.law.halo is None:
            return n, 0
        if axis.boundary == "reflect":
            textured = lift.condition is not None and lift.condition.texture is not None
            return min(side, n), min(HALO, (n - side) // 2) if textured and n > side else 0
        return (n, 0) if n <= side + 2 * HALO else (side, HALO)

    def _patches(
        self, count: int, size: tuple[int, ...], alike: bool, generator: torch.Generator
    ) -> Float[Tensor, "B C *K"]:
        """``count`` patches of random fields, all cut in one go by where their sites lie in memory.

        Axes are exchanged only if ``alike``, in size and in what lies beyond their ends; time is never reversed.
        """
        device = self.values.device
        field = torch.randint(self.count, (count,), generator=generator)
        places, stride = [], math.prod(self.lattice)
        for n, s, axis in zip(self.lattice, size, self.model.grid.axes, strict=True):
            start = torch.randint(n if axis.boundary == "periodic" else n - s + 1, (count, 1), generator=generator)
            place = (start + torch.arange(s)) % n
            if self.mirror and axis.kind == "space":
                place = torch.where(torch.rand(count, 1, generator=generator) < 0.5, place, place.flip(1))
            stride //= n
            places.append(stride * place)
        if self.mirror and alike:
            order = torch.rand(count, len(size), generator=generator).argsort(1)
            places = torch.stack(places, 1).gather(1, order[:, :, None].expand(-1, -1, size[0])).unbind(1)
        site = (field[:, None] * self.channels + torch.arange(self.channels)).to(device) * math.prod(self.lattice)
        for axis, place in enumerate(places, start=1):
            site = site.unsqueeze(-1) + place.to(device).reshape(count, *[1] * axis, -1)
        return self.values.take(site)
