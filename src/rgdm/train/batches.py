"""What a training step sees: patches of the fields, and the noise on their detail."""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.scale.grid import Axis
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.train.symmetry import TURNED, Turns

PATCH = {1: 512, 2: 30, 3: 16}
"""Coarse sites along an axis of a patch, by dimension."""
MOST = 512
"""Most patches of a batch: to cut thousands of tiny ones would cost more than to learn from them."""
HALO = 21
"""Width of the halo of a patch, in coarse sites, for features that look around."""
LOOKED_AT = 64
"""Most fields whose sites are counted."""
MARGIN = 6
"""Width of the strip along a cut side that does not count, in coarse sites: networks hardly look farther."""


class Batches:
    """Random patches of the training fields at every level, a pure function of (seed, step, rank).

    A patch of level l is cut from the field at full resolution at any offset, mirrored
    and transposed at random (periodic fields are cut across their edges), then
    coarse-grained l times, as far as ``turns`` allow. An axis that is not longer than a
    patch (of a torus: than a patch and its surroundings) is taken whole, and so is every axis if
    the coarse-graining or the backbone of the level is not local. Patches have a halo, from which the surroundings of
    their sites are measured as in use; real edges stay edges, and come up as often as other places (only the whitening
    of detail near them is that of a mirrored field, whose odd detail changes sign).
    Values may be missing (NaN). Areas of cells and companions are cut like the fields. Batches hold about the same
    number of sites, less where that would be very many patches. The finer levels, of which there is more to see,
    come more often; less so where each level has its own network.
    """

    VERSION = 6
    """Counts the changes of what a step is given: a training that was begun with another cannot go on to the bit."""

    def __init__(
        self, model: Cascade, fields: Tensor | Fields, seed: int, turns: Turns = TURNED, sites: int = 7_200
    ) -> None:
        self.model, self.seed, self.turns, self.sites = model, seed, turns, sites
        self.fields = Fields.of(fields)
        self.count, self.lattice = len(self.fields), self.fields.lattice
        self.gaps = bool(self.fields.values.isnan().any())
        self.share = shares(model)
        self.heeded = self._heeded()

    def __call__(self, step: int, rank: int = 0) -> "Batch":
        """The batch of a step; all ranks have one level."""
        everywhere = _generator(self.seed, step)
        level = int(torch.multinomial(torch.tensor(self.share), 1, generator=everywhere))
        return self.of_level(level, _generator(self.seed, step, rank))

    def of_level(self, level: int, generator: torch.Generator) -> "Batch":
        """A batch of one level."""
        model = self.model
        units = model.grid.widths(level + 1)
        cuts = [
            self._cut(n, unit, level, axis) for n, unit, axis in zip(self.lattice, units, model.grid.axes, strict=True)
        ]
        patch, halo = tuple(cut.patch for cut in cuts), tuple(cut.halo for cut in cuts)
        count = min(MOST, max(1, round(self.sites / math.prod(patch))))
        fields, importance = self._patches(count, cuts, generator)
        fine, setting = fields.values, fields.setting
        for finer in map(model.operator.at, range(level)):
            fine, setting = setting.on(finer).coarsen(fine), setting.coarsen(finer)
        importance = importance / self.heeded[level]
        t = (torch.arange(count) + torch.rand(1, generator=generator)) / count
        lift = model.own_lift(level)
        channels = model.channels * lift.operator.bands(model.dimension) * lift.law.draws
        noise = torch.randn(count, channels, *patch, generator=generator)
        return Batch(level, fine, t, noise, halo, importance, setting)

    @torch.no_grad()
    def _heeded(self) -> list[float]:
        """How much a site counts on average at each level; not 1 where details are missing, or there is no rain."""
        if not (self.gaps or self.model.design.positive):
            return [1.0] * self.model.levels
        sums = torch.zeros(self.model.levels, 2, dtype=torch.float64)
        for i in torch.linspace(0, self.count - 1, min(self.count, LOOKED_AT)).long().tolist():
            some = self.fields.of_samples([i])
            fine, setting = some.values, some.setting
            for level in range(self.model.levels):
                lift = self.model.own_lift(level)
                context, detail = Context.of(fine, lift.operator, setting)
                relevance = lift.standardizer.relevance(context.known(lift.operator, lift.boundaries), detail)
                if relevance is not None:
                    sums[level] += torch.tensor([float(relevance.double().sum()), relevance.numel()])
                else:
                    sums[level] += float(detail[:, :1].numel())
                fine, setting = setting.on(lift.operator).coarsen(fine), setting.coarsen(lift.operator)
        return (sums[:, 0] / sums[:, 1]).clamp(min=1e-6).tolist()

    def _cut(self, n: int, unit: int, level: int, axis: Axis) -> "Cut":
        """How patches are cut along an axis of n sites."""
        side, coarse, lift = PATCH[self.model.dimension], n // unit, self.model.own_lift(level)
        shells = any(isinstance(module, MomentumShell) for module in self.model.operator.modules())
        longest = side if axis.boundary == "reflect" else side + 2 * HALO
        if shells or lift.law.halo is None or coarse <= longest:
            return Cut(n, unit, coarse, 0, axis)
        return Cut(n, unit, side, HALO, axis)

    def _patches(self, count: int, cuts: Sequence["Cut"], generator: torch.Generator) -> tuple[Fields, Tensor]:
        """``count`` patches of random fields, all cut in one go by where their sites lie in memory, and which count.

        Axes are exchanged only if alike, in size and in what lies beyond their ends; time is never reversed.
        """
        device = self.fields.values.device
        field = torch.randint(self.count, (count,), generator=generator)
        places, inner, stride = [], [], math.prod(self.lattice)
        for cut in cuts:
            place, counts = cut.places(count, generator)
            if self.turns.mirror and cut.axis.kind == "space":
                turned = torch.rand(count, 1, generator=generator) < 0.5
                place, counts = (torch.where(turned, x.flip(1), x) for x in (place, counts))
            stride //= cut.length
            places.append(stride * place)
            inner.append(counts)
        if self.turns.exchange and self.model.grid.alike and len({(cut.patch, cut.halo) for cut in cuts}) == 1:
            order = torch.rand(count, len(cuts), generator=generator).argsort(1)[:, :, None]
            places, inner = (torch.stack(x, 1).take_along_dim(order, 1).unbind(1) for x in (places, inner))
        site, importance = torch.zeros(count, 1, dtype=torch.long, device=device), torch.ones(count, 1)
        for axis, (place, counts) in enumerate(zip(places, inner, strict=True), start=1):
            site = site.unsqueeze(-1) + place.to(device).reshape(count, *[1] * axis, -1)
            importance = importance.unsqueeze(-1) * counts.reshape(count, *[1] * axis, -1)

        def taken(part: Tensor) -> Tensor:
            channels, sites = part.shape[1], math.prod(self.lattice)
            own = field[:, None] if len(part) > 1 else torch.zeros_like(field)[:, None]
            first = ((own * channels + torch.arange(channels)) * sites).to(device)
            return part.take(first.reshape(count, channels, *[1] * len(cuts)) + site)

        return self.fields.map(taken), importance / importance.mean()


def _generator(*key: int) -> torch.Generator:
    """One for every key, however large its numbers."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") % 2**63)


def shares(model: Cascade) -> list[float]:
    """How often batches of each level come: of the finer ones there is more to see."""
    decay = 0.5 if model.design.shared and model.grid.depth is None else 0.6
    return [decay**level for level in range(model.levels)]


class Batch(NamedTuple):
    """What a training step is given."""

    level: int
    fine: Tensor
    """``(B, C, *F)``, with the halo."""
    t: Tensor
    noise: Tensor
    """``(B, D, *K)``, without the halo."""
    halo: tuple[int, ...]
    """In coarse sites, along each axis."""
    importance: Tensor
    """``(B, 1, *K)``: how much each site counts, on average over all that is to be learned 1."""
    setting: Setting = NOWHERE
    """Of the patches: the weight of each site, where they differ, and companions."""

    def part(self, of: slice) -> "Batch":
        """Some of the patches."""
        rest = self.halo, self.importance[of], self.setting.of(of)
        return Batch(self.level, self.fine[of], self.t[of], self.noise[of], *rest)


class Cut(NamedTuple):
    """How patches are cut along an axis: its length, and patch and halo in units of coarse sites."""

    length: int
    unit: int
    patch: int
    halo: int
    axis: Axis

    def places(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sites of ``count`` patches with their halo, ``(count, sites)``, and the weights of their coarse sites.

        Beyond an edge a field goes on as the features take it to go on, mirrored. Along a side where it is cut the
        outer sites of a patch weigh nothing, for the network does not see beyond them.
        """
        n, size, wide = self.length, self.unit * self.patch, self.unit * self.halo
        offsets, inner = torch.arange(-wide, size + wide), torch.ones(count, self.patch)
        margin = min(self.halo, MARGIN)
        if self.axis.boundary == "periodic":
            start = torch.randint(n, (count, 1), generator=generator)
            place = (start + offsets) % n
            begins = ends = torch.zeros(count, 1)
        else:
            beyond = size // 8 if self.halo else 0  # so that edges come up
            start = torch.randint(-beyond, n - size + 1 + beyond, (count, 1), generator=generator).clamp(0, n - size)
            place = (start + offsets) % (2 * n)
            place = torch.minimum(place, 2 * n - 1 - place)
            begins, ends = (start == 0).float(), (start == n - size).float()
        inner[:, :margin], inner[:, self.patch - margin :] = begins, ends
        return place, inner
