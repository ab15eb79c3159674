"""The units of the data: how user's values become the normalised fields that lifts work on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.notes import option

RESOLUTION = 1e-3
"""Of the spread of a channel, which the dtype of its values must tell apart."""


FARTHEST = 1e4
"""Mean of a positive field over its standard deviation, at most: float32 tells shares of it apart."""
ROOM = 0.1
"""Of the range of a companion on the training fields, by which it may be left."""
ROUNDING = 1e-6
"""Values below 0 by so little of the largest are taken for 0: packing and regridding make them."""


class Units(nn.Module):
    """Mean and standard deviation of every channel, in the unit of the data (float64).

    Args:
        channels: how many there are.
        positive: 0 has a meaning, and values are only scaled: the mean counts as 0.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, positive: bool = False) -> None:
        super().__init__()
        self.positive = positive
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float64))

    @property
    def dtype(self) -> torch.dtype:
        """That values in the unit of the data need: float64 where float32 steps by more than .001 of their spread."""
        step = torch.finfo(torch.float32).eps * self.mean.abs()
        return torch.float64 if bool((step > RESOLUTION * self.scale).any()) else torch.float32

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B C *L"], what: str = "a channel of the fields") -> None:
        """Measure them, of values that are not missing (NaN); ``ValueError`` if a channel is constant or infinite."""
        pooled = [channel[~channel.isnan()] for channel in x.double().movedim(1, 0).flatten(1)]
        if not all(
            len(channel) and bool(channel.isfinite().all() & (channel.amax() > channel.amin())) for channel in pooled
        ):
            raise InputError(f"{what} is constant, or has infinite values or none; drop or fill it")
        mean, scale = (torch.stack(list(each)) for each in ([c.mean() for c in pooled], [c.std() for c in pooled]))
        if self.positive:
            for channel in pooled:
                check_positive(channel)
            if bool((mean > FARTHEST * scale).any()):
                about = f"a channel varies by less than 1/{FARTHEST:.0f} of its mean"
                raise InputError(f"{about}; fields are positive that come near 0 ({option('--no-positive')})")
        self.mean.copy_(torch.zeros_like(mean) if self.positive else mean)
        self.scale.copy_(scale)

    def normalise(
        self, x: Float[Tensor, "B C *L"], gain: float = 1.0, one: Tensor | float = 1.0
    ) -> Float[Tensor, "B C *L"]:
        """User's values to normalised ones of the same dtype: ``(x - mean * one) * gain / scale`` in float64.

        ``gain`` is the coarse value of the constant 1 in the orthonormal convention, ``one`` its value in user's units.
        """
        mean, scale = self._shaped(x)
        x = x.clamp(min=0) if self.positive else x
        return ((x.double() - mean * one) * (gain / scale)).to(x.dtype)

    def denormalise(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """The normalised field of level 0 in the user's units, in the wider of its dtype and :attr:`dtype`."""
        mean, scale = self._shaped(x)
        return (x.double() * scale + mean).to(torch.promote_types(x.dtype, self.dtype))

    def _shaped(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale, ``(1, C, 1, ...)``."""
        shape = 1, -1, *[1] * (like.dim() - 2)
        return self.mean.reshape(shape), self.scale.reshape(shape)


class CompanionUnits(Units):
    """Units of companions, and the range of their values on the training fields, normalised."""

    lowest: Tensor
    highest: Tensor

    def __init__(self, companions: int) -> None:
        super().__init__(companions)
        self.register_buffer("lowest", torch.zeros(companions))
        self.register_buffer("highest", torch.zeros(companions))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B G *L"], what: str = "a companion") -> None:
        super().fit(x, what)
        low, high = self.normalise(x).transpose(0, 1).flatten(1).aminmax(dim=1)
        self.lowest.copy_(low)
        self.highest.copy_(high)

    @torch.no_grad()
    def outside(self, x: Float[Tensor, "B G *L"]) -> list[tuple[int, float, float]]:
        """Normalised companions that leave the range: which, what share of their values, by how much the farthest.

        By more than :data:`ROOM` of the range, in standard deviations.
        """
        found = []
        for i, each in enumerate(x.transpose(0, 1).flatten(1)):
            low, high = float(self.lowest[i]), float(self.highest[i])
            beyond = torch.maximum(low - each, each - high)
            out = beyond > ROOM * (high - low)
            if bool(out.any()):
                found.append((i, float(out.double().mean()), float(beyond.max())))
        return found


def check_positive(x: Tensor, what: str = "values") -> None:
    """``ValueError`` if values are negative by more than rounding."""
    wrong = x < -ROUNDING * x.abs().max()
    if bool(wrong.any()):
        raise InputError(
            f"{int(wrong.sum())} {what} are negative, down to {float(x.min()):.3g}; positive fields never "
            f"are: set them to 0 where they are errors, or train with {option('--no-positive')}"
        )
