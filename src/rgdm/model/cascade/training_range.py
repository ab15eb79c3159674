"""What coarse fields were like in training, so that one from elsewhere is noticed before it is refined."""

import warnings
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import RangeWarning
from rgdm.scale.coarse_graining import CoarseGraining

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade

SHARE = 0.01
"""Of the values of a field, which may lie outside the range by chance."""
MARGIN = 1.0
"""How many standard deviations beyond the extremes of the training values count as inside, for extremes are chance."""
FAR = 3.0
"""Standard deviations beyond the extremes that a single value does not have by chance."""
ROUGHER = 1.5
"""How many times the largest contrast of training counts as inside."""
SMOOTHEST = 0.01
"""The part of the training sites that is smoother than what counts as smooth."""


class TrainingRange(nn.Module):
    """Extremes and spread of the values, and of their contrast with neighbours, of the training fields at each level.

    All of normalised coarse fields as lifts take them, ``(levels, channels)``; before a fit the spread is 0.
    """

    lowest: Tensor
    highest: Tensor
    spread: Tensor
    smoothest: Tensor
    roughest: Tensor

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        for name in ("lowest", "highest", "spread", "smoothest", "roughest"):
            self.register_buffer(name, torch.zeros(levels, channels))

    @torch.no_grad()
    def fit(self, operator: CoarseGraining, fine: Float[Tensor, "B C *L"]) -> None:
        """Measure the coarse fields that lifts refine, of normalised fields of the data."""
        for level in range(len(self.spread)):
            fine = operator.coarsen(fine)
            values, contrasts = fine.movedim(1, 0).flatten(1), contrast(fine).movedim(1, 0).flatten(1)
            self.lowest[level], self.highest[level] = values.amin(1), values.amax(1)
            self.spread[level] = values.std(1, correction=0)
            self.roughest[level] = contrasts.amax(1)
            self.smoothest[level] = contrasts.kthvalue(1 + int(SMOOTHEST * contrasts.shape[1]), 1).values

    @torch.no_grad()
    def outside(self, level: int, coarse: Float[Tensor, "B C *K"], channel: int) -> list[str]:
        """In which ways fields are outside the range, with figures in standard deviations of the training fields."""
        lowest, highest, spread, smoothest, roughest = (
            float(each[level, channel])
            for each in (self.lowest, self.highest, self.spread, self.smoothest, self.roughest)
        )
        if spread == 0:
            return []
        found, values = [], coarse[:, channel].flatten(1)
        beyond = (torch.maximum(lowest - values, values - highest) / spread).clamp(min=0)
        share, far = float((beyond > MARGIN).float().mean(1).max()), float(beyond.max())
        if share > SHARE or far > FAR:
            found.append(
                f"{100 * share:.3g} % of the values of a field lie outside the range of the training at this scale, "
                f"the farthest by {far:.3g} standard deviations"
            )
        if max(coarse.shape[2:]) == 1:
            return found
        contrasts = contrast(coarse)[:, channel].flatten(1)
        share = float((contrasts > ROUGHER * roughest).float().mean(1).max())
        if share > SHARE:
            found.append(
                f"at {100 * share:.3g} % of the sites of a field neighbours differ by far more than anywhere in the "
                f"training, by up to {float(contrasts.max()) / spread:.3g} standard deviations where "
                f"{roughest / spread:.3g} was the most"
            )
        least = float(contrasts.square().mean(1).sqrt().min())
        if least < smoothest:
            found.append(
                f"a field is smoother than {1 - SMOOTHEST:.0%} of the training: neighbours differ by "
                f"{least / spread:.2g} standard deviations, there by {smoothest / spread:.2g} or more"
            )
        return found


def contrast(x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The root mean square difference of each site from the next along every axis; of the last from the one before."""
    axes = [axis for axis in range(2, x.dim()) if x.shape[axis] > 1]
    total = torch.zeros_like(x)
    for axis in axes:
        step = x.diff(dim=axis).square()
        total += torch.cat([step, step.narrow(axis, -1, 1)], axis)
    return (total / max(1, len(axes))).sqrt()


def warn_outside(model: "Cascade", coarse: Float[Tensor, "B C *K"], levels: int) -> None:
    """A :class:`~rgdm.errors.RangeWarning` if block means of level ``levels`` are unlike all that were trained on."""
    own = model.repetition.lift(levels - 1)
    x = model.normalise(coarse, levels) / model.repetition.scale(levels, own + 1)
    names = model.metadata.get("channels") or [f"channel {i}" for i in range(model.channels)]
    for channel, name in enumerate(names):
        found = model.range.outside(own, x, channel)
        if found:
            warnings.warn(
                f"the coarse field of {name} is unlike the training data: {'; '.join(found)}. Detail there is a guess",
                RangeWarning,
                stacklevel=4,  # the caller of Cascade.refine, which is wrapped
            )
