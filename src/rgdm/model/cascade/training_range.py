"""What coarse fields were like in training, so that one from elsewhere is noticed before it is refined."""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rgdm.design import Cycle
from rgdm.errors import InputError, RangeWarning
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.geometry import measures
from rgdm.model.closed_form.tails import bandwise
from rgdm.model.lifts.setting import NOWHERE, Setting, held_once
from rgdm.notes import option
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
SAME = 0.02
"""Cosines and sines of times that differ by less, a day of a year, are of the same one, for leap years shift it."""
HOURS, NEAR = 24, 3
"""Parts of a cycle of the clock, and how many of them a time may be from the nearest that the training had."""
OUTSIDE = "lie outside the range of the training"
"""What is said of values, rather than of their contrast; a bias may be why."""


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
    def fit(self, operator: CoarseGraining, fields: Tensor | Fields) -> None:
        """Measure the coarse fields that lifts refine, of normalised fields of the data, NaN where they are missing."""
        fields = Fields.of(fields)
        fine, weights = fields.values, fields.setting.weights
        for level in range(len(self.spread)):
            on = operator.at(level).on(weights)
            fine, weights = on.coarsen(fine), on.coarse_weights
            there = None if weights is None else (weights > 0).expand_as(fine)
            each = zip(bandwise(fine, there), bandwise(contrast(fine, there), there), strict=True)
            for channel, (values, contrasts) in enumerate(each):
                contrasts = contrasts[~contrasts.isnan()]
                if len(contrasts) == 0:
                    raise InputError("a coarse field has no two neighbours that are not missing; take fewer levels")
                self.lowest[level, channel], self.highest[level, channel] = values.amin(), values.amax()
                self.spread[level, channel] = values.std(correction=0)
                self.roughest[level, channel] = contrasts.amax()
                self.smoothest[level, channel] = contrasts.kthvalue(1 + int(SMOOTHEST * len(contrasts))).values

    @torch.no_grad()
    def outside(
        self, level: int, coarse: Float[Tensor, "B C *K"], channel: int, there: Tensor | None = None
    ) -> list[str]:
        """In which ways fields are outside the range, with figures in standard deviations of the training fields.

        Where not all values are ``there``, ``(B, C, *K)``, the others are within it.
        """
        lowest, highest, spread, smoothest, roughest = (
            float(each[level, channel])
            for each in (self.lowest, self.highest, self.spread, self.smoothest, self.roughest)
        )
        if spread == 0:
            return []
        found, values = [], coarse[:, channel].flatten(1)
        beyond = (torch.maximum(lowest - values, values - highest) / spread).clamp(min=0)
        known = torch.ones_like(beyond) if there is None else there[:, channel].flatten(1).to(beyond)
        share = float(_share((beyond > MARGIN).float(), known).max())
        far = float((beyond * known).max())
        if share > SHARE or far > FAR:
            found.append(
                f"{100 * share:.3g} % of the values of a field {OUTSIDE} at this scale, "
                f"the farthest by {far:.3g} standard deviations"
            )
        if max(coarse.shape[2:]) == 1:
            return found
        contrasts = contrast(coarse, there)[:, channel].flatten(1)
        known = (~contrasts.isnan()).to(contrasts)
        contrasts = contrasts.nan_to_num(0.0)
        share = float(_share((contrasts > ROUGHER * roughest).float(), known).max())
        if share > SHARE:
            found.append(
                f"at {100 * share:.3g} % of the sites of a field neighbours differ by far more than anywhere in the "
                f"training, by up to {float(contrasts.max()) / spread:.3g} standard deviations where "
                f"{roughest / spread:.3g} was the most"
            )
        each = _share(contrasts.square(), known).sqrt()[known.sum(1) > 0]
        least = float(each.min()) if len(each) else smoothest
        if least < smoothest:
            found.append(
                f"a field is smoother than {1 - SMOOTHEST:.0%} of the training: neighbours differ by "
                f"{least / spread:.2g} standard deviations, there by {smoothest / spread:.2g} or more"
            )
        return found


class ClockRange(nn.Module):
    """Which times of the year and of the day the training fields had, in 24ths of a cycle.

    Args:
        cycles: that the clock tells.
    """

    seen: Tensor

    def __init__(self, cycles: Sequence[Cycle]) -> None:
        super().__init__()
        self.cycles = tuple(cycles)
        self.register_buffer("seen", torch.zeros(len(cycles), HOURS))

    @property
    def count(self) -> int:
        """Of cosines and sines."""
        return 2 * len(self.cycles)

    @torch.no_grad()
    def fit(self, clock: Float[Tensor, "B T *L"]) -> None:
        """Measure them."""
        self.seen.zero_()
        for own, hours in zip(self.seen, self._hours(clock), strict=True):
            own[hours.unique()] = 1

    def check_varies(self, clock: Float[Tensor, "B T *L"]) -> None:
        """``ValueError`` if all of several whole fields have the same time, from which nothing can be learned."""
        at_one_site = clock[(..., *(0,) * (clock.dim() - 2))]
        for i, cycle in enumerate(self.cycles):
            low, high = at_one_site[:, 2 * i : 2 * i + 2].aminmax(dim=0)
            if bool((high - low < SAME).all()):
                raise InputError(
                    f"all {len(clock)} fields are of the same time of the {cycle}, which then says nothing; leave "
                    f"{cycle} out of the clock ({option('--clock')})"
                )

    @torch.no_grad()
    def outside(self, clock: Float[Tensor, "B T *L"]) -> list[tuple[Cycle, float]]:
        """Cycles of which there are times that the training had nothing near, and at what share of the sites."""
        found: list[tuple[Cycle, float]] = []
        for cycle, own, hours in zip(self.cycles, self.seen, self._hours(clock), strict=True):
            near = torch.stack([own.roll(shift) for shift in range(-NEAR, NEAR + 1)]).amax(0)
            share = float((near[hours] == 0).double().mean())
            if share > 0 and bool(own.any()):
                found.append((cycle, share))
        return found

    def _hours(self, clock: Float[Tensor, "B T *L"]) -> list[Tensor]:
        pairs = held_once(clock).double().unflatten(1, (-1, 2)).unbind(1)
        turns = [torch.atan2(pair[:, 1], pair[:, 0]) / (2 * math.pi) for pair in pairs]
        return [(turn * HOURS).round().long() % HOURS for turn in turns]


def contrast(x: Float[Tensor, "B C *L"], there: Bool[Tensor, "B C *L"] | None = None) -> Float[Tensor, "B C *L"]:
    """The root mean square difference of each site from the next along every axis; of the last from the one before.

    Of neighbours that are both ``there``; NaN where there are none.
    """
    axes = [axis for axis in range(2, x.dim()) if x.shape[axis] > 1]
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for axis in axes:
        step, both = x.diff(dim=axis).square(), torch.ones_like(x).narrow(axis, 1, x.shape[axis] - 1)
        if there is not None:
            n = there.shape[axis]
            both = both * (there.narrow(axis, 0, n - 1) & there.narrow(axis, 1, n - 1))
        for part, sums in ((step * both, total), (both, count)):
            sums += torch.cat([part, part.narrow(axis, -1, 1)], axis)
    return (total / count).sqrt() if axes else total


def _share(x: Float[Tensor, "B N"], known: Float[Tensor, "B N"]) -> Float[Tensor, " B"]:
    """The mean of each field over the sites that are known; 0 without any."""
    return (x * known).sum(1) / known.sum(1).clamp(min=1)


def warn_outside(model: "Cascade", coarse: Float[Tensor, "B C *K"], levels: int, place: Setting = NOWHERE) -> None:
    """A :class:`~rgdm.errors.RangeWarning` if block means of level ``levels`` are unlike all that were trained on.

    On a measure, those that have a weight. Likewise of the companions of the place, which are normalised.
    """
    of_blocks = measures(model.operator, place.weights, levels)[-1]
    there = None if of_blocks is None else (of_blocks > 0).expand_as(coarse).to(coarse.device)
    own = model.repetition.lift(levels - 1)
    x = model.normalise(coarse, levels) / model.repetition.scale(levels, own + 1)
    names = model.metadata.get("channels") or [f"channel {i}" for i in range(model.channels)]
    for channel, name in enumerate(names):
        found = model.range.outside(own, x, channel, there)
        if found:
            biased = any(OUTSIDE in each for each in found)
            remedy = "; if its values are a model's output and no block means of the truth, `rgdm debias` corrects them"
            warnings.warn(
                f"the coarse field of {name} is unlike the training data: {'; '.join(found)}. Detail there is a guess"
                + (remedy if biased else ""),
                RangeWarning,
                stacklevel=4,  # the caller of Cascade.refine, which is wrapped
            )
    for cycle, share in model.clock.outside(place.clock) if model.clock and place.clock is not None else ():
        warnings.warn(
            f"{100 * share:.3g} % of the sites and times lie at a time of the {cycle} that the training did not have, "
            "nor one near it. Detail there is a guess",
            RangeWarning,
            stacklevel=4,
        )
    if model.companions is not None and place.companions is not None:
        known = [each.get("name") for each in model.metadata.get("companions", [])]
        for i, share, far in model.companions.outside(place.companions.to(model.device)):
            name = known[i] if i < len(known) and known[i] else f"companion {i}"
            warnings.warn(
                f"{name} is unlike what it was in the training: {100 * share:.3g} % of its values lie outside that "
                f"range, the farthest by {far:.3g} standard deviations (another unit, a sea floor for land?). "
                "What it says of the detail there is cut to the most that it said in the training, and a guess",
                RangeWarning,
                stacklevel=4,
            )
