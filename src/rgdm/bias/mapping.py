"""Quantile mapping of samples, column by column: by value, or by what changes at each quantile.

Empirical quantile mapping with a constant correction beyond the last quantile: Boé et al. 2007, Int. J. Climatol. 27,
1643. Quantile delta mapping: Cannon, Sobie & Murdock 2015, J. Climate 28, 6938.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from rgdm.bias.quantiles import at_probability, probability_of, quantiles, ranks

Kind = Literal["additive", "multiplicative"]
Method = Literal["delta", "value"]

STEEPEST = 10.0
"""By how much a change of a positive variable is enlarged at most, where the model has next to nothing and the
observations have more: a ratio to next to nothing says nothing of the change."""


@dataclass(frozen=True)
class QuantileMapping:
    """Quantiles ``(Q, C)`` of a model ``m`` and of observations ``o`` in the same columns.

    A value ``x`` of the probability ``p`` becomes ``o(p) + x - m(p)``, or for positive variables ``o(p) x / m(p)``.
    By value ``p`` is that of ``x`` in the model, so that between the quantiles ``x`` becomes ``o(p)``, and beyond the
    last ones the correction is theirs. By delta ``p`` is the rank of ``x`` among its own sample, so that what this
    sample has changed at a quantile stays as it is, as a difference or as a ratio.

    Args:
        model: its quantiles.
        observed: the quantiles that it should have.
        kind: differences, or ratios, which keep positive variables positive; these have no 0 (:mod:`~rgdm.bias.dry`).
    """

    model: Float[np.ndarray, "Q C"]
    observed: Float[np.ndarray, "Q C"]
    kind: Kind = "additive"

    @classmethod
    def fit(
        cls, model: Float[np.ndarray, "N C"], observed: Float[np.ndarray, "M C"], count: int, kind: Kind = "additive"
    ) -> "QuantileMapping":
        """The mapping by ``count`` quantiles of samples, NaN where missing."""
        return cls(quantiles(model, count), quantiles(observed, count), kind)

    def by_value(self, x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Each value as its like in the model."""
        return self._corrected(x, probability_of(self.model, x))

    def by_delta(self, x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """A whole sample, whose changes from the model stay."""
        return self._corrected(x, ranks(x))

    def _corrected(self, x: Float[np.ndarray, "N C"], p: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        model, observed = at_probability(self.model, p), at_probability(self.observed, p)
        if self.kind == "additive":
            return observed + (x - model)
        return observed + np.minimum(observed / model, STEEPEST) * (x - model)
