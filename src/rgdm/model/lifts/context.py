"""What a lift is told beside its noise: the coarse field, and whatever else is known."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.coarse_graining import CoarseGraining


@dataclass(frozen=True)
class Context:
    """All that is known of a field at one level, before its detail.

    Args:
        coarse: the coarse field, ``(B, C, *K)``, normalised and in the orthonormal convention.
        companions: fields that are known at full resolution (orography, a land mask), ``(B, G, *F)`` on the lattice
            of the fine field. A level is told their coarse part and their detail.
    """

    coarse: Tensor
    companions: Tensor | None = None

    @classmethod
    def of(
        cls, fine: Float[Tensor, "B C *F"], operator: CoarseGraining, companions: Tensor | None = None
    ) -> tuple["Context", Float[Tensor, "B D *K"]]:
        """A fine field taken apart: its context and its detail."""
        coarse, detail = operator.split(fine)
        return cls(coarse, companions), detail

    def coarsen(self, operator: CoarseGraining) -> "Context":
        """The context one level farther up: everything in it is coarse-grained like the field itself."""
        companions = None if self.companions is None else operator.coarsen(self.companions)
        return Context(operator.coarsen(self.coarse), companions)

    def companion_features(self, operator: CoarseGraining) -> Float[Tensor, "B E *K"]:
        """The coarse part and the detail of the companions, ``E = G * (1 + bands)``; none without companions."""
        if self.companions is None:
            return self.coarse[:, :0]
        return torch.cat(operator.split(self.companions), 1)

    def to(self, like: Tensor) -> "Context":
        """In the precision and on the device of a tensor."""
        companions = None if self.companions is None else self.companions.to(like)
        return replace(self, coarse=self.coarse.to(like), companions=companions)
