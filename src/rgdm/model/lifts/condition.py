"""What the networks see of the context of a level: its features, how they are normalised, and how many they are."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.amplitude import WIDTHS, blur_reach
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import count_beside
from rgdm.model.lifts.standardizer import TILE, LocalStandardizer, Look, Standardizer
from rgdm.model.lifts.texture import Texture
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.tiles import in_tiles

SMALLEST = 1e-6
"""Least standard deviation that a feature is divided by."""


class Condition(nn.Module):
    """The features of a context, each of zero mean and unit size on the training fields, and the number of the level.

    For each channel of the coarse field: its value, and what it says of the amplitude; its log roughness in every
    window; its height above the neighbourhood there, in units of the local amplitude; the predicted detail in the same
    units; and its
    :class:`~rgdm.model.lifts.texture.Texture`, if there is one. For each companion: its coarse part and its detail.
    Of a clock: the time, and what it makes of the detail of companions.

    Args:
        operator: the coarse-graining of the level.
        channels: of the field.
        dimension: 1, 2 or 3.
        level: the number by which levels that share a network are told apart.
        texture: shown to the networks too.
        companions: how many fields are known beside the coarse one.
        clock: how many cosines and sines of the time there are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        level: int = 0,
        texture: Texture | None = None,
        companions: int = 0,
        clock: int = 0,
    ) -> None:
        super().__init__()
        self.operator, self.level, self.texture, self.clock = operator, level, texture, clock
        bands = operator.bands(dimension)
        per_channel = 2 + 2 * len(WIDTHS) + bands + (0 if texture is None else texture.count)
        self.beside = count_beside(companions, clock, bands)
        self.count = channels * per_channel + self.beside + 1
        """The number of features, the level included."""
        self.register_buffer("mean", torch.zeros(self.count - 1))
        self.register_buffer("scale", torch.ones(self.count - 1))

    def check(self, standardizer: Standardizer) -> None:
        """``ValueError`` if the standardizer has no prediction or local amplitude, which the features are made with."""
        if not isinstance(standardizer, LocalStandardizer) or standardizer.amplitude is None:
            raise InputError(
                f"the features of a condition are in units of the local amplitude, which {type(standardizer).__name__} "
                "is without here; give a LocalStandardizer local_amplitude=True, or no condition"
            )

    @torch.no_grad()
    def fit(self, context: Context, standardizer: Standardizer) -> None:
        """Measure mean and size of every feature."""
        features = self._features(standardizer, context.coarse, self._beside(context))
        features = features.movedim(1, 0).flatten(1)
        if context.present is not None:
            features = features[:, (context.present > 0).any(1).flatten()]
        self.mean.copy_(features.mean(1))
        self.scale.copy_(features.std(1).clamp(min=SMALLEST))
        if self.clock:  # cosines and sines have a size of their own, also where the data know one season only
            self.mean[-self.clock :], self.scale[-self.clock :] = 0.0, 1.0

    def forward(self, context: Context, standardizer: Standardizer) -> Float[Tensor, "B F *K"]:
        """The normalised features of every coarse site."""
        beside = self._beside(context)
        if isinstance(context, Look) and self.texture is None:
            return self._normalised(self._of(context, beside))
        halo = self.reach(standardizer)

        def make(coarse: Tensor, beside: Tensor) -> Tensor:
            return self._normalised(self._features(standardizer, coarse, beside))

        if halo is None:
            return make(context.coarse, beside)
        return in_tiles(make, [context.coarse, beside], halo, standardizer.boundaries, sites=TILE)

    def reach(self, standardizer: Standardizer) -> int | None:
        """How many coarse sites away a feature looks; None: everywhere, as texture does."""
        return None if self.texture is not None else max(standardizer.reach(), blur_reach())

    def _normalised(self, features: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (features.dim() - 2))
        features = (features - self.mean.reshape(shape)) / self.scale.reshape(shape)
        return torch.cat([features, torch.full_like(features[:, :1], self.level)], 1)

    def _beside(self, context: Context) -> Float[Tensor, "B E *K"]:
        """What is known of companions."""
        beside = context.coarse[:, :0] if context.beside is None else context.beside
        if beside.shape[1] != self.beside:
            raise InputError(
                f"{beside.shape[1]} features of companions and the time; this condition was made for {self.beside}"
            )
        return beside

    def _features(self, standardizer: Standardizer, coarse: Tensor, beside: Tensor) -> Tensor:
        assert isinstance(standardizer, LocalStandardizer) and standardizer.amplitude is not None
        more = beside
        if self.texture is not None:
            more = torch.cat([self.texture(coarse, standardizer.amplitude.floor.sqrt()), beside], 1)
        return self._of(standardizer.read(Context(coarse, beside=beside if self.beside else None)), more)

    @staticmethod
    def _of(look: Look, more: Tensor) -> Tensor:
        predicted = torch.asinh(look.predicted / look.size)
        return torch.cat([look.coarse, look.of_value, look.roughness.flatten(1, 2), look.above, predicted, more], 1)
