"""Windows of a lattice with the halo that a lift needs around them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.lifts.context import Context
from rgdm.process.noise import Noise, Window
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining, Lattice


@dataclass(frozen=True)
class Region:
    """A window of coarse sites and its halo.

    Args:
        window: window and halo together; beyond a periodic edge its coordinates go on.
        before: sites of the halo before the window along each axis.
        inner: sites of the window itself.
        lattice: the whole lattice.
    """

    window: Window
    before: Lattice
    inner: Lattice
    lattice: Lattice

    def cut(self, context: Context, operator: CoarseGraining) -> Context:
        """The context of these sites, out of that of the whole lattice."""
        factors = operator.factors(len(self.lattice))
        setting = context.setting.map(lambda part: self._take(part, factors))
        return Context(self._take(context.coarse, (1,) * len(self.lattice)), setting)

    def noise(self, noise: Noise) -> Noise:
        """The noise of a torus, also asked for beyond its edges."""
        inside = all(
            o >= 0 and o + n <= whole
            for o, n, whole in zip(self.window.origin, self.window.lattice, self.lattice, strict=True)
        )
        if inside:
            return noise
        whole = Window.whole(self.window.level, self.lattice)
        return lambda draw, channels, window: self._take(noise(draw, channels, whole), (1,) * len(self.lattice))

    def crop(self, fine: Tensor, operator: CoarseGraining) -> Tensor:
        """The fine sites of the window itself."""
        ends = [b + n for b, n in zip(self.before, self.inner, strict=True)]
        first, last = (operator.fine_lattice(side) for side in (self.before, ends))
        return fine[(..., *map(slice, first, last))]

    def _take(self, x: Tensor, factors: Lattice) -> Tensor:
        for axis, (o, n, whole, b) in enumerate(
            zip(self.window.origin, self.window.lattice, self.lattice, factors, strict=True), start=2
        ):
            x = x.index_select(axis, torch.arange(b * o, b * (o + n), device=x.device) % (b * whole))
        return x


def region(window: Window, halo: int | None, lattice: Lattice, boundaries: tuple[Boundary, ...]) -> Region:
    """A window with its halo, which ends at a reflecting edge of the lattice.

    It begins at an even site, as the whole does, for a flow tells even sites from odd ones. A periodic axis is taken
    whole where the halo meets itself, or where going on across the seam would make odd sites of even ones.
    """
    if halo is None:
        raise InputError(
            "this lift looks everywhere, so it has no windows; one with conv networks, without texture, of an operator "
            "that looks at blocks (block-spin, haar, decimation) has"
        )
    ends = [o + n for o, n in zip(window.origin, window.lattice, strict=True)]
    if min(window.origin) < 0 or min(window.lattice) < 1 or any(e > n for e, n in zip(ends, lattice, strict=True)):
        raise InputError(f"the window from {window.origin} to {tuple(ends)} is not inside the lattice {lattice}")
    origin, last = [], []
    for o, end, n, boundary in zip(window.origin, ends, lattice, boundaries, strict=True):
        low, high = (o - halo) // 2 * 2, end + halo
        if boundary == "reflect" or high - low >= n or (n % 2 and (low < 0 or high > n)):
            low, high = (0, n) if boundary == "periodic" else (max(0, low), min(n, high))
        origin.append(low)
        last.append(high)
    before = tuple(o - first for o, first in zip(window.origin, origin, strict=True))
    wide = Window(window.level, tuple(b - a for a, b in zip(origin, last, strict=True)), tuple(origin))
    return Region(wide, before, window.lattice, lattice)
