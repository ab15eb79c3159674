"""Fields in units of the truth: each channel about its mean, over its standard deviation."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

_ROUNDINGS = 2.0
"""A channel is constant if its standard deviation is no more than so many roundings of its largest value."""


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation of each channel of the truth (float64), and whether it is constant.

    Of a constant channel, whose values differ by their own rounding at most, the unit is 1.
    """

    mean: Float[Tensor, "C"]
    std: Float[Tensor, "C"]
    constant: Bool[Tensor, "C"]

    @classmethod
    def of(cls, truth: Float[Tensor, "B C *L"], weights: Shaped[Tensor, "#B #C *#L"] | None = None) -> "Standard":
        """Over samples and sites, which have ``weights``: none where they do not count."""
        moments = []
        for c in range(truth.shape[1]):
            x, w = truth[:, c].double(), None if weights is None else weights.expand_as(truth)[:, c]
            if w is not None:
                x, w = x[w > 0], w[w > 0].double()
            if w is None or bool((w == w[:1]).all()):
                moments.append((x.mean(), (x - x.mean()).std(correction=0)))
            else:
                mean = (x * w).sum() / w.sum()
                moments.append((mean, ((x - mean).square() * w).sum().div(w.sum()).sqrt()))
        mean, std = (torch.stack(part) for part in zip(*moments, strict=True))
        rounding = torch.finfo(truth.dtype).eps * truth.abs().double().transpose(0, 1).flatten(1).amax(1)
        constant = ~(std > _ROUNDINGS * rounding)
        return cls(mean, torch.where(constant, 1.0, std), constant)

    def apply(self, field: Float[Tensor, "*S"], lattice: int) -> Float[Tensor, "*S"]:
        """A field (B, C, *L) or an ensemble (M, B, C, *L), of so many lattice axes, in these units.

        The mean is subtracted in double precision; the result is of the type of the field.
        """
        mean, std = self._shaped(lattice)
        out = torch.empty_like(field)
        for i in range(len(field)):  # doubles of one part at a time
            out[i] = ((field[i].double() - mean) / std).to(field.dtype)
        return out

    def restore(self, field: Float[Tensor, "*S"], lattice: int) -> Float[Tensor, "*S"]:
        """The inverse of :meth:`apply`."""
        mean, std = self._shaped(lattice)
        return (field.double() * std + mean).to(field.dtype)

    def _shaped(self, lattice: int) -> tuple[Tensor, Tensor]:
        shape = (-1, *(1,) * lattice)
        return self.mean.reshape(shape), self.std.reshape(shape)
