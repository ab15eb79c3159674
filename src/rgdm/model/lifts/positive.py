"""The lift's parts for positive fields: shares of mass to white coordinates and back, and what networks are shown."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.amplitude import CUT, WIDTHS, blur, curvature
from rgdm.model.closed_form.colouring import Colouring
from rgdm.model.closed_form.prediction import LinearPrediction
from rgdm.model.closed_form.shares import STEEPEST, Given, ShareLaw
from rgdm.model.laws.likelihood import LogProb
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.standardizer import Standardizer, of_those
from rgdm.scale.boundary import Boundaries, boundary_of_each
from rgdm.scale.operators.shares import Shares

RADIUS = 2
"""Radius of the stencil that predicts shares, in coarse sites."""
COLOUR_RADIUS = 2
"""Radius of the stencils that correlate shares, in coarse sites."""
FEWEST = 100
"""Shares of each kind that correlations are measured on at least."""
FAINT = 0.03
"""Added before a logarithm is taken, in standard deviations of the field."""
LEAST = 0.05
"""How much a block counts in the loss that shares nothing, of one that does."""
HEED = 0.5
"""Power of the block mean by which a block counts in the prediction and in the loss: heavy rain is rare, and most of
what there is."""
SMOOTHEST = 1e-4
"""Added to the curvature of the logarithm before its own is taken."""


class ShareStandardizer(Standardizer):
    """``contrast = F^-1(Phi(y) | parent, roughness, predicted share)`` with ``y = W z``.

    The share is predicted from the logarithms of the neighbours by least squares, and from what companions and the time
    say, as far as that predicts strips of space from the others, heavy blocks counting more; roughness is the curvature
    of these logarithms in a narrow window; F is a :class:`~rgdm.model.closed_form.shares.ShareLaw`. The first halving
    of a block has a law of its own, the others one for each axis. Shares side by side are alike (where it rains more in
    the north of one column, it does so in the next), and blocks whose shares are drawn for themselves show as stripes
    and edges: W, a local filter that leaves every y standard normal, correlates them as those of the data (a Gaussian
    copula).

    Args:
        operator: the split into shares.
        channels: of the field.
        dimension: 1, 2 or 3.
        boundary: of each axis.
        level: 0 is the finest; the coarse fields of shared units are larger at the others.
        companions: fields beside it that the share is predicted from too.
        clock: how many cosines and sines of the time, with which what they say may change.
    """

    def __init__(
        self,
        operator: Shares,
        channels: int,
        dimension: int,
        boundary: Boundaries,
        level: int = 0,
        companions: int = 0,
        clock: int = 0,
    ) -> None:
        super().__init__()
        self.operator, self.channels, self.dimension, self.level = operator, channels, dimension, level
        self.boundaries = boundary_of_each(boundary, dimension)
        self.bands = operator.bands(dimension)
        constant = (0.0,) * self.bands
        self.prediction = LinearPrediction(channels, constant, dimension, RADIUS, boundary, companions, clock)
        self.laws = nn.ModuleList(ShareLaw() for _ in range(channels * dimension))
        self.colouring = Colouring(channels * self.bands, dimension, COLOUR_RADIUS, boundary)

    @torch.no_grad()
    def fit(self, context: Context, detail: Float[Tensor, "B D *K"]) -> None:
        parents, present = self._on(context).parents(context.coarse, detail), context.present
        logits = (2 * torch.atanh(detail.clamp(-1 + 1e-7, 1 - 1e-7))).clamp(-STEEPEST, STEEPEST)
        there = parents > 0 if present is None else (parents > 0) & (present > 0)
        heeded = there * self._heed(context)
        self.prediction.fit(self.seen(context.coarse), torch.where(there, logits, 0.0), heeded, context.beside)
        slopes, rough = self.slopes(context), self.roughness(context)
        for number, bands in enumerate(self._bands()):
            of, wet = Given(parents[:, bands], rough[:, bands], slopes[:, bands]), there[:, bands]
            if bool(wet.any()):
                self.law(number).fit(Given(*(x[wet] for x in of)), detail[:, bands][wet])
        there = there.expand_as(detail).to(detail)
        if bool((there.movedim(1, 0).flatten(1).sum(1) >= FEWEST).all()):
            self.colouring.fit(self._latents(context, detail) * there, there)
            self.colouring.normalise()

    def law(self, number: int) -> ShareLaw:
        """The law of one kind of halving."""
        law = self.laws[number]
        assert isinstance(law, ShareLaw)
        return law

    def slopes(self, context: Context) -> Float[Tensor, "B D *K"]:
        """The predicted logit of every share."""
        return self.prediction(self.seen(context.coarse), context.beside)

    def seen(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *K"]:
        """The logarithm of the block means."""
        return logarithm(coarse, self.level + 1)

    def roughness(self, context: Context) -> Float[Tensor, "B D *K"]:
        """Half the logarithm of the mean curvature of what is seen around, for every share."""
        energy = blur(curvature(self.seen(context.coarse), self.boundaries), WIDTHS[0], self.boundaries)
        return ((energy + SMOOTHEST).log() / 2).repeat_interleave(self.bands, 1)

    def _heed(self, context: Context) -> Float[Tensor, "B D *K"]:
        return (HEED * self.seen(context.coarse)).exp().repeat_interleave(self.bands, 1)

    def relevance(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B #D *K"]:
        there = (self._on(context).parents(context.coarse, detail) > 0).to(detail)
        there = there * self._heed(context)
        if context.present is None:
            return LEAST + (1 - LEAST) * there.mean(1, keepdim=True)
        return context.present * (LEAST + (1 - LEAST) * (context.present * there).mean(1, keepdim=True))

    def standardize(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        y = self._latents(context, detail)
        if context.present is not None:
            y = y / self.colouring.beside(context.present)
        return of_those(self.colouring.whiten(y), context.present)

    def _latents(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """y of all shares, 0 of those that there are not."""
        parents, y = self._on(context).parents(context.coarse, detail), torch.empty_like(detail)
        slopes, rough = self.slopes(context), self.roughness(context)
        for number, bands in enumerate(self._bands()):
            given = Given(parents[:, bands], rough[:, bands], slopes[:, bands])
            y[:, bands] = self.law(number).latent(given, detail[:, bands])
        return of_those(y, context.present)

    def restore(self, context: Context, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        slopes, rough, on = self.slopes(context), self.roughness(context), self._on(context)
        detail = torch.zeros_like(z)
        y = self.colouring.colour(of_those(z, context.present))
        if context.present is not None:
            y = y * self.colouring.beside(context.present)
        for number, bands in enumerate(self._bands()):  # what is halved later is made by what is halved before
            parents = on.parents(context.coarse, detail)[:, bands]
            detail[:, bands] = self.law(number).contrast(Given(parents, rough[:, bands], slopes[:, bands]), y[:, bands])
        return of_those(detail, context.present)

    def invert(self, context: Context, detail: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        self.operator.check_volume(self.dimension)
        raise AssertionError("shares have no volume")

    def reach(self) -> int:
        return max(RADIUS, 1 + math.ceil(CUT * WIDTHS[0]))

    @property
    def spread(self) -> int:
        return self.colouring.colour.radius

    def _on(self, context: Context) -> Shares:
        """The split of fields that lie where this one does."""
        on = context.setting.on(self.operator)
        assert isinstance(on, Shares)
        return on

    def _bands(self) -> list[list[int]]:
        """The details of each law, channel by channel: the halvings along an axis, the last axis first."""
        axes = self.operator.axis_of(self.dimension)
        return [
            [channel * self.bands + i for i, own in enumerate(axes) if own == axis]
            for channel in range(self.channels)
            for axis in reversed(range(self.dimension))
        ]


class ShareCondition(Condition):
    """What networks see of a positive coarse field: its logarithm, whether it is dry, what is around, its slopes."""

    def check(self, standardizer: Standardizer) -> None:
        if not isinstance(standardizer, ShareStandardizer):
            raise InputError(f"these features are of shares, which {type(standardizer).__name__} does not make")

    def _features(self, standardizer: Standardizer, coarse: Tensor, beside: Tensor) -> Tensor:
        assert isinstance(standardizer, ShareStandardizer)
        seen, wet = standardizer.seen(coarse), (coarse > 0).to(coarse)
        around = [blur(x, width, standardizer.boundaries) for width in WIDTHS for x in (seen, wet)]
        features = [seen, wet, *(a - seen if i % 2 == 0 else a for i, a in enumerate(around))]
        return torch.cat([*features, standardizer.slopes(Context(coarse, beside=beside)), beside], 1)


def logarithm(x: Float[Tensor, "B C *L"], levels: int) -> Float[Tensor, "B C *L"]:
    """That of the block means of normalised fields that were coarse-grained so often; nothing is not minus infinity."""
    return (x / 2 ** (levels * (x.dim() - 2) / 2) + FAINT).log()
