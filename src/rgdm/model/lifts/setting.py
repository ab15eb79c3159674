"""What is known of the place of a field at full resolution, beside the field: its measure and its companions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.coarse_graining import CoarseGraining


@dataclass(frozen=True)
class Setting:
    """A measure and companions on the sites of a field, for all samples or for each.

    Args:
        weights: of every site, ``(B or 1, C or 1, *F)``: the area of its cell, or only its part of all, and 0 where it
            is missing. Block means are means with these. None: all sites are alike.
        companions: fields that are known beside it (orography, a land mask), ``(B or 1, G, *F)``, normalised. A level
            is told their coarse part and their detail. None: there are none.
    """

    weights: Tensor | None = None
    companions: Tensor | None = None

    def on(self, operator: CoarseGraining) -> CoarseGraining:
        """A coarse-graining of fields that lie here."""
        return operator.on(self.weights)

    def coarsen(self, operator: CoarseGraining) -> "Setting":
        """One level farther up: weights add, companions are coarse-grained as whole fields of equal cells are."""
        weights = None if self.weights is None else operator.on(self.weights).coarse_weights
        return Setting(weights, None if self.companions is None else operator.linear.coarsen(self.companions))

    def path(self, operator: CoarseGraining, levels: int) -> list["Setting"]:
        """At level 0, 1, ..., ``levels``, of a place of level 0."""
        found: list[Setting] = [self]
        for _ in range(levels):
            found.append(found[-1].coarsen(operator.at(len(found) - 1)))
        return found

    def features(self, operator: CoarseGraining, batch: int) -> Float[Tensor, "B E *K"] | None:
        """The coarse part and the detail of the companions for ``batch`` fields, ``E = G * (1 + bands)``."""
        if self.companions is None:
            return None
        parts = torch.cat(operator.linear.split(self.companions), 1)
        return parts.expand(batch, *parts.shape[1:])

    def map(self, function: Callable[[Tensor], Tensor]) -> "Setting":
        """The same done to all fields of it, such as cutting out a piece."""
        return Setting(*(None if part is None else function(part) for part in (self.weights, self.companions)))

    def of(self, samples: slice | Tensor | list[int]) -> "Setting":
        """That of some samples; what holds for all of them stays."""
        return self.map(lambda part: part[samples] if len(part) > 1 else part)

    @classmethod
    def joined(cls, settings: Sequence["Setting"]) -> "Setting":
        """Those of several samples, one after the other."""
        columns = zip(*((each.weights, each.companions) for each in settings), strict=True)
        there = ([part for part in column if part is not None] for column in columns)
        return cls(*(torch.cat(parts) if parts else None for parts in there))

    def to(self, like: Tensor | torch.device) -> "Setting":
        """On a device, or in the precision and on the device of a tensor."""
        return self.map(lambda part: part.to(like))


NOWHERE = Setting()
"""Sites that are all alike, and nothing beside the field."""
