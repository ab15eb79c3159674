"""Empirical quantiles and ranks of samples, column by column; missing values are NaN and do not enter.

Probabilities are those of Hazen (1914): of n values the i-th has ``(i - 1/2) / n``.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def probabilities(count: int) -> Float[np.ndarray, " Q"]:
    """The probabilities of ``count`` quantiles, those of as many ordered values: ``(j + 1/2) / count``."""
    return (np.arange(count) + 0.5) / count


def quantiles(x: Float[np.ndarray, "N C"], count: int) -> Float[np.ndarray, "Q C"]:
    """The quantiles at :func:`probabilities`, linear between ordered values; NaN in columns without any value."""
    ordered, known = np.sort(x, axis=0), (~np.isnan(x)).sum(0)  # NaN come last
    last = np.maximum(known - 1, 0)
    at = np.clip(probabilities(count)[:, None] * known - 0.5, 0, last)
    return _between(ordered, at, last)


def at_probability(table: Float[np.ndarray, "Q C"], p: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Quantiles at any probability, by those in a table; beyond its ends its ends; NaN where ``p`` is."""
    count = len(table)
    at = np.clip(np.nan_to_num(p) * count - 0.5, 0, count - 1)
    return np.where(np.isnan(p), np.nan, _between(table, at, np.full(table.shape[1], count - 1)))


def ranks(x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """The probability of each value among those of its column; equal ones share the mean of theirs."""
    gaps = np.isnan(x)
    known = np.maximum((~gaps).sum(0), 1)
    return np.where(gaps, np.nan, (rankdata(np.where(gaps, np.inf, x), axis=0) - 0.5) / known)


def probability_of(table: Float[np.ndarray, "Q C"], x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """The probability of each value by the quantiles in a table, linear between them; beyond its ends that of the end.

    A value that is several quantiles at once has the mean of their probabilities.
    """
    p, nodes = np.full(x.shape, np.nan), probabilities(len(table))
    for column in np.flatnonzero(~np.isnan(table[0])):
        values, first, count = np.unique(table[:, column], return_index=True, return_counts=True)
        p[:, column] = np.interp(x[:, column], values, (nodes[first] + nodes[first + count - 1]) / 2)
    return np.where(np.isnan(x), np.nan, p)


def _between(
    ordered: Float[np.ndarray, "M C"], at: Float[np.ndarray, "N C"], last: np.ndarray
) -> Float[np.ndarray, "N C"]:
    """Rows at places between whole ones, linear; ``last`` is the last row of each column that counts."""
    low = np.floor(at).astype(np.int64)
    below = np.take_along_axis(ordered, low, 0)
    above = np.take_along_axis(ordered, np.minimum(low + 1, last), 0)
    return below + (at - low) * (above - below)
