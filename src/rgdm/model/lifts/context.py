"""What a lift is told beside its noise: the coarse field, and whatever else is known."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.closed_form.gaps import smoothly_filled
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining


@dataclass(frozen=True)
class Context:
    """All that is known of a field at one level, before its detail.

    Args:
        coarse: the coarse field, ``(B, C, *K)``, normalised and in the orthonormal convention.
        companions: fields that are known at full resolution (orography, a land mask), ``(B, G, *F)`` on the lattice
            of the fine field. A level is told their coarse part and their detail.
        weights: of every fine site, ``(B or 1, C or 1, *F)``, 0 where it is missing: the measure that the coarse field
            is a mean with. Without weight a coarse site has no value, and a detail is 0. None: all sites are alike.
        present: 1 for every detail that there is, else 0, ``(B, D, *K)``; None: all of them are. :meth:`known` finds
            it.
    """

    coarse: Tensor
    companions: Tensor | None = None
    weights: Tensor | None = None
    present: Tensor | None = None

    @classmethod
    def of(
        cls,
        fine: Float[Tensor, "B C *F"],
        operator: CoarseGraining,
        companions: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple["Context", Float[Tensor, "B D *K"]]:
        """A fine field taken apart: its context and its detail."""
        coarse, detail = operator.on(weights).split(fine)
        return cls(coarse, companions, weights), detail

    def known(self, operator: CoarseGraining, boundary: Boundaries) -> "Context":
        """The same with smooth values where the coarse field has none, and the details that there are."""
        if self.weights is None or self.present is not None:
            return self
        on = operator.on(self.weights)
        assert on.coarse_weights is not None and on.present is not None
        coarse = smoothly_filled(self.coarse, on.coarse_weights, boundary)
        bands = operator.bands(coarse.dim() - 2)
        present = on.present.to(coarse).unflatten(1, (-1, bands))
        present = present.expand(len(coarse), coarse.shape[1], *present.shape[2:]).flatten(1, 2)
        return replace(self, coarse=coarse, present=present)

    def coarsen(self, operator: CoarseGraining) -> "Context":
        """The context one level farther up: everything in it is coarse-grained like the field itself."""
        companions = None if self.companions is None else operator.coarsen(self.companions)
        weights = operator.on(self.weights).coarse_weights
        return Context(operator.on(weights).coarsen(self.coarse), companions, weights)

    def companion_features(self, operator: CoarseGraining) -> Float[Tensor, "B E *K"]:
        """The coarse part and the detail of the companions, ``E = G * (1 + bands)``; none without companions."""
        if self.companions is None:
            return self.coarse[:, :0]
        return torch.cat(operator.split(self.companions), 1)

    def to(self, like: Tensor) -> "Context":
        """In the precision and on the device of a tensor."""
        parts = {"companions": self.companions, "weights": self.weights, "present": self.present}
        moved = {name: None if part is None else part.to(like) for name, part in parts.items()}
        return replace(self, coarse=self.coarse.to(like), **moved)
