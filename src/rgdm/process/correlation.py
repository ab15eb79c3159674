"""The parts of noise whose correlation in time is a measured one: non-negative least squares over a dictionary."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from rgdm.process.persistence import Part, shape

HARMONICS = 24
"""Frequencies between 0 and that of alternating steps: a day of hours is among them."""
SLOW = (0.25, 0.5)
"""More of them, slower ones."""
FLAT = 16
"""The longest span is so many times the longest lag: over that the correlation is nearly constant."""
LEAST = (0.005, 0.01, 0.02, 0.03, 0.03)
"""Parts with smaller shares are left out, one after the other."""
SIMPLE = 0.1
"""By how much a part that alternates must be better than one that decays."""
WORTH = 0.03
"""By how much oscillations must bring the error of the correlations down."""
UNIT = 1e3
"""How firmly shares add up to 1 beside how well they fit."""


def fit_parts(
    lags: Float[np.ndarray, " P"], correlations: Float[np.ndarray, "P D"], weights: Sequence[float] | None = None
) -> tuple[Part, ...]:
    """Parts whose sum has nearly the given correlation of each detail, at lags in steps.

    Spans are ``1, 2, 4, ...`` steps, so that frames at regular times need few fresh fields; any convex decay to zero
    and anything else that is positive definite can be made of them and of oscillations, whatever is measured. Lags of
    a step or less are not looked at: what is lost within a step is lost gradually.

    Args:
        lags: of pairs of frames, positive.
        correlations: of the pairs, of each detail; what is not finite is left out.
        weights: of the pairs; by default alike.
    """
    lags = np.asarray(lags, dtype=np.float64)
    given = np.ones(len(lags)) if weights is None else np.asarray(weights, dtype=np.float64)
    distinct, where = np.unique(np.round(lags, 6), return_inverse=True)
    columns = _dictionary(float(lags.max()))
    spans, rates = np.array(columns).T
    table = shape(distinct[:, None], spans, rates)
    fits = []
    for column in correlations.T:
        there = np.isfinite(column)
        total = np.bincount(where, np.where(there, given, 0.0), len(distinct))
        sums = np.bincount(where, np.where(there, given * np.where(there, column, 0.0), 0.0), len(distinct))
        mean = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
        size = np.sqrt(total / max(total.max(), 1e-300)) * np.maximum(distinct, 1.0) ** -0.5
        fits.append(_shares(table, np.clip(mean, -1, 1), size, rates))
    shares = np.stack(fits, 1)
    used = shares.max(1) > 0
    return tuple(
        Part(float(s), float(r), tuple(map(float, own)))
        for s, r, own in zip(spans[used], rates[used], shares[used], strict=True)
    )


def _dictionary(longest: float) -> list[tuple[float, float]]:
    """Spans and rates; only spans that hold an oscillation have one."""
    spans = [2.0**k for k in range(max(1, math.ceil(math.log2(FLAT * max(longest, 1.0)))) + 1)]
    rates = [math.pi * j / HARMONICS for j in (*SLOW, *range(1, HARMONICS + 1))]
    return [(s, 0.0) for s in spans] + [(s, r) for s in spans for r in rates if s * r >= 2 * math.pi]


def _shares(table: np.ndarray, target: np.ndarray, size: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The share of each column, few of them: such that oscillate only where they are needed."""
    plain = _fewest(table, target, size, np.flatnonzero(rates == 0), rates)
    every = _fewest(table, target, size, np.arange(len(rates)), rates)
    misses = [math.sqrt((size**2 * (table @ each - target) ** 2).sum() / (size**2).sum()) for each in (plain, every)]
    return every if misses[0] - misses[1] > WORTH else plain


def _fewest(table: np.ndarray, target: np.ndarray, size: np.ndarray, kept: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Shares of some columns, none negative, of sum 1."""
    found = np.ones(0)
    for least in (*LEAST, None):
        cost = SIMPLE / math.pi * rates[None, kept]
        rows = np.vstack([table[:, kept] * size[:, None], np.full((1, len(kept)), UNIT), cost])
        from scipy.optimize import nnls  # half a second to import

        found = nnls(rows, np.concatenate([target * size, [UNIT, 0.0]]), maxiter=100 * len(kept))[0]
        found /= found.sum()
        if least is not None:
            kept, found = kept[found > least], found[found > least]
    shares = np.zeros(len(rates))
    shares[kept] = found
    return shares
