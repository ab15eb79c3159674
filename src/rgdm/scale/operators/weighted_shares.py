"""Shares of mass on a measure: positive fields on cells of unequal areas, of which some are missing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.shares import Shares, joined, sites


class WeightedShares(Shares):
    """Weighted block means of positive fields, and how densities differ in the halvings of a block.

    A halving has the contrast ``c = (a - b) / (a + b)`` of the weighted means a and b of its halves, of weights w_a and
    w_b, so that with ``k = m W / (w_a (1 + c) + w_b (1 - c))`` and m the mean of both, ``a = k (1 + c)`` and
    ``b = k (1 - c)``: the logit of the share of mass is that of c less that of areas, ``logit u - logit (w_a / W)``.
    Equal weights are :class:`Shares`. A half without weight is missing: the other half has the mean of both, and the
    contrast is 0. The weighted sum of every block is exact, whatever the contrasts.

    Args:
        weights: w >= 0 of every fine site, ``(B or 1, C or 1, *F)``.
    """

    weights: Tensor

    def __init__(self, weights: Float[Tensor, "B C *F"]) -> None:
        super().__init__()
        self.means = BlockSpin(2).on(weights)
        self.register_buffer("weights", weights, persistent=False)

    @property
    def coarse_weights(self) -> Tensor | None:
        return self.means.coarse_weights

    @property
    def present(self) -> Bool[Tensor, "B D *K"] | None:
        if bool((self.weights > 0).all()):
            return None
        return torch.stack([torch.minimum(a, b) > 0 for a, b in self._halves(self.weights)], 2).flatten(1, 2)

    @property
    def linear(self) -> CoarseGraining:
        return self.means

    def on(self, weights: Float[Tensor, "B C *F"] | None) -> CoarseGraining:
        return Shares() if weights is None else WeightedShares(weights)

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        self.check(tuple(x.shape[2:]))
        weights = self.weights.to(x)
        x = torch.where(weights > 0, x, 0.0)  # whatever stands where nothing is
        if bool((x < 0).any()):
            raise InputError(
                f"{int((x < 0).sum())} values are negative, down to {float(x.min()):.3g}; shares need none"
            )
        d, contrasts = x.dim() - 2, []
        parts = list(zip(sites(x), sites(weights), strict=True))
        while len(parts) > 1:
            above, own = [], []
            for (a, wa), (b, wb) in zip(parts[::2], parts[1::2], strict=True):
                total = wa + wb
                above.append(((wa * a + wb * b) / torch.where(total > 0, total, 1.0), total))
                both = (torch.minimum(wa, wb) > 0) & (a + b > 0)
                own.append(torch.where(both, (a - b) / torch.where(both, a + b, 1.0), 0.0))
            parts, contrasts = above, own + contrasts
        return parts[0][0] * self.gain(d), torch.stack(contrasts, 2).flatten(1, 2)

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        tree = self._tree(coarse, detail)
        fine = joined(tree[-(2 ** (coarse.dim() - 2)) :])
        return torch.where(self.weights.to(fine) > 0, fine, 0.0)

    def _tree(self, coarse: Tensor, detail: Tensor) -> list[Tensor]:
        d, channels = coarse.dim() - 2, coarse.shape[1]
        contrasts = detail.unflatten(1, (channels, self.bands(d))).unbind(2)
        tree = [coarse / self.gain(d)]
        for i, (c, (wa, wb)) in enumerate(zip(contrasts, self._halves(self.weights.to(coarse)), strict=True)):
            mass = wa * (1 + c) + wb * (1 - c)
            k = tree[i] * (wa + wb) / torch.where(mass > 0, mass, 1.0)
            tree += [torch.where(wb > 0, k * (1 + c), tree[i]), torch.where(wa > 0, k * (1 - c), tree[i])]
        return tree

    def _halves(self, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The weights of both halves of every halving, in the order of the details."""
        parts, found = sites(weights), []
        while len(parts) > 1:
            pairs = list(zip(parts[::2], parts[1::2], strict=True))
            parts, found = [a + b for a, b in pairs], pairs + found
        return found
