"""Block spins on a measure: means with weights, such as areas of cells, of which those without weight are missing."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.operators.block import BlockSpin


class WeightedBlocks(CoarseGraining):
    """Weighted block means on fields that lie on given weights; with equal weights, block spins.

    One axis after the other, with m the mean with weights w of a block of b sites, W their sum and D the detail rows of
    :meth:`BlockSpin.block`::

        coarse = sqrt(b) m,   detail = D x,   x = m + D^T detail - (mean with weights w of D^T detail)

    where a site without weight counts as m. For b = 2: ``detail = (x_a - x_b) / sqrt2``, ``x_a = m + (w_b / W)
    (x_a - x_b)``, ``x_b = m - (w_a / W) (x_a - x_b)``: the unbalanced Haar transform (Girardi and Sweldens 1997, J.
    Fourier Anal. Appl. 3, 457). So a pair of which one site is missing has no detail, and a pair without sites has
    nothing: both are 0. Weights add. A detail has the weight ``1 / sum (1 / w)`` over the sites that are there, by
    which the next axis averages it: so the weighted sum of squares of a pair is that of its two parts. Whatever the
    detail, ``coarsen(merge(coarse, detail)) == coarse`` where W > 0. Only ratios of weights matter. It splits fields of
    the lattice of its weights alone. A block of more than 2 sites of which some are missing has fewer differences than
    bands; those of its sites come back, and merging any details gives these the differences that a whole block would.

    Args:
        block: the block spin.
        weights: w >= 0 of every fine site, ``(B or 1, C or 1, *F)``.
    """

    blockwise = True
    weights: Tensor

    def __init__(self, block: BlockSpin, weights: Float[Tensor, "B C *F"]) -> None:
        super().__init__()
        block.check(tuple(weights.shape[2:]))
        if not bool((weights >= 0).all()) or not bool(weights.isfinite().all()):
            raise InputError(
                "a weight is negative or not finite; weights are 0 (missing) or more, such as areas of cells"
            )
        self.block, self.factor = block, block.factor
        self.register_buffer("weights", weights, persistent=False)

    @property
    def coarse_weights(self) -> Float[Tensor, "B C *K"]:
        """The weight of every coarse site: the sum of those of its block."""
        w = self.weights
        for axis in range(2, w.dim()):
            w = w.unflatten(axis, (-1, self.factor)).sum(axis + 1)
        return w

    @property
    def present(self) -> Bool[Tensor, "B D *K"] | None:
        """Which details there are: those between sites that are there; None: all of them."""
        if bool((self.weights > 0).all()):
            return None
        bands = self._stages(self.weights)[-1]
        return torch.stack(bands[1:], 2).flatten(1, 2) > 0

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        self._check(x.shape[0], x.shape[1], tuple(x.shape[2:]))
        parts = [torch.where(self.weights.to(x.device) > 0, x, 0.0)]  # whatever stands where nothing is
        for axis, weights in enumerate(self._stages(self.weights)[:-1], start=2):
            parts = [
                band for part, w in zip(parts, weights, strict=True) for band in self._analyze(part, w.to(x), axis)
            ]
        return parts[0], torch.stack(parts[1:], 2).flatten(1, 2)

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        d, channels = coarse.dim() - 2, coarse.shape[1]
        self._check(len(coarse), channels, tuple(n * self.factor for n in coarse.shape[2:]))
        parts = [coarse, *detail.unflatten(1, (channels, self.bands(d))).unbind(2)]
        for axis, weights in reversed(list(enumerate(self._stages(self.weights)[:-1], start=2))):
            groups = [parts[i : i + self.factor] for i in range(0, len(parts), self.factor)]
            parts = [self._synthesize(group, w.to(coarse), axis) for group, w in zip(groups, weights, strict=True)]
        return parts[0]

    def _stages(self, weights: Tensor) -> list[list[Tensor]]:
        """Weights before each axis is taken, and after the last: of the coarse part and of each band."""
        stages = [[weights]]
        for axis in range(2, weights.dim()):
            after = []
            for w in stages[-1]:
                sites = w.unflatten(axis, (-1, self.factor))
                there = sites > 0
                harmonic = torch.where(there, 1 / torch.where(there, sites, 1.0), 0.0).sum(axis + 1).reciprocal()
                band = torch.where(there.sum(axis + 1) > 1, harmonic, 0.0)
                after += [sites.sum(axis + 1), *[band] * (self.factor - 1)]
            stages.append(after)
        return stages

    def _analyze(self, x: Tensor, w: Tensor, axis: int) -> list[Tensor]:
        """The coarse part and the bands of one axis."""
        b = self.factor
        x, w = x.unflatten(axis, (-1, b)).movedim(axis + 1, -1), w.unflatten(axis, (-1, b)).movedim(axis + 1, -1)
        mean = weighted_mean(x, w)
        sites = torch.where(w > 0, x - mean, 0.0)  # differences first: details are small beside values
        rows = self.block.block()[1:].to(x)
        return [math.sqrt(b) * mean[..., 0], *(sites @ rows.T).unbind(-1)]

    def _synthesize(self, bands: list[Tensor], w: Tensor, axis: int) -> Tensor:
        """The sites of one axis."""
        w = w.unflatten(axis, (-1, self.factor)).movedim(axis + 1, -1)
        rest = torch.stack(bands[1:], -1) @ self.block.block()[1:].to(w)
        sites = bands[0].unsqueeze(-1) / math.sqrt(self.factor) + rest - weighted_mean(rest, w)
        return torch.where(w > 0, sites, 0.0).movedim(-1, axis + 1).flatten(axis, axis + 1)

    def _check(self, batch: int, channels: int, lattice: Lattice) -> None:
        fields, own = (batch, channels, *lattice), tuple(self.weights.shape)
        if own[2:] != lattice or own[0] not in (1, batch) or own[1] not in (1, channels):
            raise InputError(f"weights of shape {own} do not fit fields of shape {fields}")


def weighted_mean(x: Float[Tensor, "*S b"], w: Float[Tensor, "*T b"]) -> Float[Tensor, "*U 1"]:
    """The mean over the last axis; 0 where there is no weight."""
    total = w.sum(-1, keepdim=True)
    return (w / torch.where(total > 0, total, 1.0) * x).sum(-1, keepdim=True)
