"""Quantile mapping of samples, column by column: by value, or by what changes at each rank.

Empirical quantile mapping with a constant correction beyond the extremes: Boé et al. 2007, Int. J. Climatol. 27, 1643;
Gudmundsson et al. 2012, Hydrol. Earth Syst. Sci. 16, 3383. Quantile delta mapping: Cannon, Sobie & Murdock 2015,
J. Climate 28, 6938.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from rgdm.bias.quantiles import at_probability, probability_of, quantiles, ranks, value_of_rank

Kind = Literal["additive", "multiplicative"]
Method = Literal["delta", "value"]

STEEPEST = 10.0
"""By how much a change of a positive variable is enlarged at most, where the model has next to nothing and the
observations have more: a ratio to next to nothing says nothing of the change."""

_DRY = 1 - 1e-9
"""Of the threshold: the largest dry value."""


@dataclass(frozen=True)
class QuantileMapping:
    """The monotone map that carries quantiles of a model to the observed ones of the same probability.

    By value it is linear between the quantiles; beyond the extremes the correction is theirs, a difference or a factor.
    By delta a value ``x`` that has some rank in its own sample is compared with the model's value ``y`` of that rank:
    it becomes ``map(y) + (x - y)``, or of positive variables ``map(y) x / y``. So what a sample has changed from the
    model at any rank stays as it is; the model's own sample is mapped by value.

    Args:
        ordered: the model's values ``(N, C)``, from the least to the greatest, NaN last.
        model: quantiles of it, ``(Q, C)``.
        observed: those that it should have, ``(Q, C)``.
        kind: differences, or factors, which keep positive variables positive; these have no 0 (:mod:`rgdm.bias.dry`).
        wet: below it a mapped value is dry; 0: none is.
        drier: values of the model ``(C,)`` below which as many lie as observed ones below ``wet``; these become dry,
            where the quantiles are too far apart to tell.
    """

    ordered: Float[np.ndarray, "N C"]
    model: Float[np.ndarray, "Q C"]
    observed: Float[np.ndarray, "Q C"]
    kind: Kind = "additive"
    wet: float = 0.0
    drier: Float[np.ndarray, " C"] | None = None

    @classmethod
    def fit(
        cls,
        model: Float[np.ndarray, "N C"],
        observed: Float[np.ndarray, "M C"],
        count: int,
        kind: Kind = "additive",
        wet: float = 0.0,
    ) -> "QuantileMapping":
        """The mapping by ``count`` quantiles of samples, NaN where missing."""
        ordered, known = np.sort(model, axis=0), np.maximum((~np.isnan(observed)).sum(0), 1)
        drier = value_of_rank(ordered, ((observed < wet).sum(0) / known)[None])[0] if wet else None
        return cls(ordered, quantiles(model, count), quantiles(observed, count), kind, wet, drier)

    def by_value(self, x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Each value as its like in the model."""
        p = probability_of(self.model, x)
        model, observed = at_probability(self.model, p), at_probability(self.observed, p)
        mapped = observed + (x - model) * (1.0 if self.kind == "additive" else observed / model)
        return mapped if self.drier is None else np.where(x < self.drier, np.minimum(mapped, _DRY * self.wet), mapped)

    def by_delta(self, x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """A whole sample, whose changes from the model stay."""
        like = value_of_rank(self.ordered, ranks(x))
        mapped = self.by_value(like)
        return mapped + (x - like) * (1.0 if self.kind == "additive" else np.minimum(mapped / like, STEEPEST))
