"""What is known of the place of a field at full resolution, beside the field: its measure, companions, and clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.coarse_graining import CoarseGraining


@dataclass(frozen=True)
class Setting:
    """A measure, companions and the time of day and year on the sites of a field, for all samples or for each.

    Args:
        weights: of every site, ``(B or 1, C or 1, *F)``: the area of its cell, or only its part of all, and 0 where it
            is missing. Block means are means with these. None: all sites are alike.
        companions: fields that are known beside it (orography, a land mask), ``(B or 1, G, *F)``, normalised. A level
            is told their coarse part and their detail. None: there are none.
        clock: cosine and sine of the angle of each cycle (year, day), ``(B or 1, T, *F)``, as
            :func:`~rgdm.data.clock.clock_of` makes them. A level is told their means in blocks, and these times the
            detail of each companion: mountains may say another thing in winter. None: nothing is known of the time.
    """

    weights: Tensor | None = None
    companions: Tensor | None = None
    clock: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """All fields of it."""
        return self.weights, self.companions, self.clock

    def on(self, operator: CoarseGraining) -> CoarseGraining:
        """A coarse-graining of fields that lie here."""
        return operator.on(self.weights)

    def coarsen(self, operator: CoarseGraining) -> "Setting":
        """One level farther up: weights add, companions are coarse-grained as whole fields of equal cells are.

        Of the clock there are the means.
        """
        weights = None if self.weights is None else operator.on(self.weights).coarse_weights
        companions = None if self.companions is None else operator.linear.coarsen(self.companions)
        return Setting(weights, companions, self._now(operator))

    def path(self, operator: CoarseGraining, levels: int) -> list["Setting"]:
        """At level 0, 1, ..., ``levels``, of a place of level 0."""
        found: list[Setting] = [self]
        for _ in range(levels):
            found.append(found[-1].coarsen(operator.at(len(found) - 1)))
        return found

    def features(self, operator: CoarseGraining, batch: int) -> Float[Tensor, "B E *K"] | None:
        """What is beside ``batch`` fields, ``E`` as :func:`count_beside` says; None: nothing is.

        The coarse part and the detail of the companions, the detail times the clock, and the clock.
        """
        now, parts = self._now(operator), []
        if self.companions is not None:
            parts += operator.linear.split(self.companions)
            if now is not None:
                parts.append((now.unsqueeze(2) * parts[1].unsqueeze(1)).flatten(1, 2))
        parts += [] if now is None else [now]
        return torch.cat([part.expand(batch, *part.shape[1:]) for part in parts], 1) if parts else None

    def _now(self, operator: CoarseGraining) -> Tensor | None:
        """The means of the clock in blocks."""
        if self.clock is None:
            return None
        return operator.linear.coarsen(self.clock) / operator.linear.gain(self.clock.dim() - 2)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Setting":
        """The same done to all fields of it, such as cutting out a piece."""
        return Setting(*(None if part is None else function(part) for part in self.parts))

    def of(self, samples: slice | Tensor | list[int]) -> "Setting":
        """That of some samples; what holds for all of them stays."""
        return self.map(lambda part: _stretched(part, lambda own: own[samples]) if len(part) > 1 else part)

    @classmethod
    def joined(cls, settings: Sequence["Setting"]) -> "Setting":
        """Those of several samples, one after the other."""
        columns = zip(*(each.parts for each in settings), strict=True)
        there = ([part for part in column if part is not None] for column in columns)
        return cls(*(torch.cat(parts) if parts else None for parts in there))

    def to(self, like: Tensor | torch.device) -> "Setting":
        """On a device, or in the precision and on the device of a tensor."""
        return self.map(lambda part: _stretched(part, lambda own: own.to(like)))


def count_beside(companions: int, clock: int, bands: int) -> int:
    """How many features there are of so many companions, and cosines and sines of a clock."""
    return companions * (1 + bands) + clock * (companions * bands + 1)


def held_once(part: Float[Tensor, "B C *F"]) -> Float[Tensor, "B C *f"]:
    """One site along axes of the lattice along which memory holds no more, as the clock is the same along latitudes."""
    return part[(..., *(slice(None) if step else slice(1) for step in part.stride()[2:]))]


def _stretched(part: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """What a function of samples makes of a field, held once along axes of the lattice along which it is."""
    made = function(held_once(part))
    return made.expand(*made.shape[:2], *part.shape[2:])


NOWHERE = Setting()
"""Sites that are all alike, and nothing beside the field."""
