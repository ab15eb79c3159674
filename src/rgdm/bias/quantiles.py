"""Empirical quantiles and ranks of samples, column by column; missing values are NaN and do not enter.

Of n values in order the i-th, from 0, has the probability ``i / (n - 1)``, so that the least has 0 and the greatest 1
(type 7 of Hyndman & Fan 1996, the quantiles of numpy).
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def probabilities(count: int) -> Float[np.ndarray, " Q"]:
    """The probabilities of ``count`` quantiles, at least 2, the extremes among them: ``j / (count - 1)``."""
    return np.linspace(0.0, 1.0, count)


def quantiles(x: Float[np.ndarray, "N C"], count: int) -> Float[np.ndarray, "Q C"]:
    """The quantiles at :func:`probabilities`, linear between ordered values; NaN in columns without any value."""
    return value_of_rank(np.sort(x, axis=0), np.tile(probabilities(count)[:, None], x.shape[1]))


def value_of_rank(ordered: Float[np.ndarray, "N C"], p: Float[np.ndarray, "M C"]) -> Float[np.ndarray, "M C"]:
    """The quantiles of ordered values, NaN last, at any probability; NaN where ``p`` is."""
    last = np.maximum((~np.isnan(ordered)).sum(0) - 1, 0)
    return np.where(np.isnan(p), np.nan, _between(ordered, np.nan_to_num(p) * last, last))


def at_probability(table: Float[np.ndarray, "Q C"], p: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """The same by a table of :func:`quantiles`, linear between these."""
    return value_of_rank(table, p)


def ranks(x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """The probability of each value in its column; equal ones share the mean of theirs, one alone has 1/2."""
    gaps = np.isnan(x)
    known = (~gaps).sum(0)
    order = rankdata(np.where(gaps, np.inf, x), axis=0) - 1
    return np.where(gaps, np.nan, np.where(known > 1, order / np.maximum(known - 1, 1), 0.5))


def probability_of(table: Float[np.ndarray, "Q C"], x: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """The probability of each value by the quantiles in a table, linear between them; 0 and 1 beyond the extremes.

    A value that is several quantiles at once has the mean of their probabilities.
    """
    p, nodes = np.full_like(x, np.nan), probabilities(len(table))
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
