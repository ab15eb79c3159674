"""The split of positive fields: every part keeps its share of the mass, so that nothing ever becomes negative."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin


class Shares(CoarseGraining):
    """Block means of fields that are never negative, and how the mass of a block is shared among its sites.

    A block is halved along its last axis, each half along the axis before, and so on; the detail of a halving is the
    contrast ``c = (a - b) / (a + b)`` of the two means, from -1 to 1, so that ``a = m (1 + c)``, ``b = m (1 - c)`` with
    m the mean of both: a random multiplicative cascade (Schertzer and Lovejoy 1987, J. Geophys. Res. 92, 9693), in its
    microcanonical form, which keeps the mass of every block. Details are in the order of the halvings. The halves of
    nothing have the contrast 0. Sums are exact whatever the contrasts, and where the coarse field is 0 the fine one is.

    The coarse field is the block mean times ``2^(d/2)``, as that of block spins.
    """

    blockwise = True
    factor = 2

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        self.check(tuple(x.shape[2:]))
        if bool((x < 0).any()):
            raise InputError(
                f"{int((x < 0).sum())} values are negative, down to {float(x.min()):.3g}; shares need none"
            )
        d, contrasts = x.dim() - 2, []
        parts = sites(x)  # in the order of the leaves of the tree
        while len(parts) > 1:
            pairs = list(zip(parts[::2], parts[1::2], strict=True))
            total = [a + b for a, b in pairs]
            contrasts = [
                torch.where(t > 0, (a - b) / torch.where(t > 0, t, 1.0), 0.0)
                for t, (a, b) in zip(total, pairs, strict=True)
            ] + contrasts
            parts = [t / 2 for t in total]
        return parts[0] * self.gain(d), torch.stack(contrasts, 2).flatten(1, 2)

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        d = coarse.dim() - 2
        tree = self._tree(coarse, detail)
        return joined(tree[-(2**d) :])

    @property
    def linear(self) -> CoarseGraining:
        return BlockSpin(2)

    def on(self, weights: Float[Tensor, "B C *F"] | None) -> CoarseGraining:
        from rgdm.scale.operators.weighted_shares import WeightedShares  # which is made of this class

        return self if weights is None else WeightedShares(weights)

    def coarsen(self, x: Float[Tensor, "B C *F"]) -> Float[Tensor, "B C *K"]:
        """Block means, of fields of any sign."""
        return self.linear.coarsen(x)

    def check_orthonormal(self, dimension: int) -> None:
        raise InputError("shares are not orthonormal: they keep sums, not sums of squares")

    def check_volume(self, dimension: int) -> None:
        raise InputError("a model of positive fields has no likelihood: that half of a block is dry has no density")

    def parents(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """The mean of what each detail halves."""
        d = coarse.dim() - 2
        return torch.stack(self._tree(coarse, detail)[: self.bands(d)], 2).flatten(1, 2)

    def amounts(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """Half the difference of the two halves of each halving."""
        tree, bands = self._tree(coarse, detail), self.bands(coarse.dim() - 2)
        return torch.stack([(tree[2 * i + 1] - tree[2 * i + 2]) / 2 for i in range(bands)], 2).flatten(1, 2)

    def axis_of(self, dimension: int) -> tuple[int, ...]:
        """For each detail of a channel along which axis it halves."""
        return tuple(dimension - 1 - level for level in range(dimension) for _ in range(2**level))

    def _tree(self, coarse: Tensor, detail: Tensor) -> list[Tensor]:
        """Means of the block, of its halves, of their halves, ..., of its sites."""
        d, channels = coarse.dim() - 2, coarse.shape[1]
        contrasts = detail.unflatten(1, (channels, self.bands(d))).unbind(2)
        tree = [coarse / self.gain(d)]
        for i, contrast in enumerate(contrasts):
            tree += [tree[i] * (1 + contrast), tree[i] * (1 - contrast)]
        return tree


def sites(x: Tensor) -> list[Tensor]:
    """The sites of every block, the last axis varying slowest."""
    parts = [x]
    for axis in reversed(range(2, x.dim())):
        parts = [half for part in parts for half in part.unflatten(axis, (-1, 2)).unbind(axis + 1)]
    return parts


def joined(parts: list[Tensor]) -> Tensor:
    """The inverse of :func:`sites`."""
    for axis in range(2, parts[0].dim()):
        parts = [
            torch.stack(pair, axis + 1).flatten(axis, axis + 1) for pair in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]
