"""Positive variables that are often 0: how often they are, after a correction, as often as observed.

Values below a threshold count as dry. Before a mapping they are drawn at random below it, so that they have ranks and
ratios, and what is below it after the mapping is 0 (Cannon, Sobie & Murdock 2015, section 3; the adaptation of the
frequency of wet days is that of Themeßl, Gobiet & Heinrich 2012, Climatic Change 112, 449).
"""

import numpy as np
from jaxtyping import Float

from rgdm.data.checks import OFTEN

THRESHOLD = 0.01
"""Of the observed mean: what is less is dry, if nobody says otherwise. Of 3 mm of rain a day that is 0.03 mm."""
_LEAST = 1e-3
"""Of the threshold: the smallest value that is drawn."""


def is_positive(x: np.ndarray) -> bool:
    """Whether values, NaN where missing, are never negative and often 0, and not as often at their upper end."""
    known = x[~np.isnan(x)]
    if not known.size or known.min() < 0:
        return False
    return bool((known == 0).mean() >= OFTEN and (known == known.max()).mean() < OFTEN)


def scattered(x: Float[np.ndarray, "N C"], threshold: float, seed: tuple[int, int]) -> Float[np.ndarray, "N C"]:
    """The same values, those below the threshold drawn anew at random between (nearly) 0 and it."""
    drawn = threshold * np.random.default_rng(seed).uniform(_LEAST, 1.0, x.shape)
    return np.where(x < threshold, drawn, x)


def dried(x: Float[np.ndarray, "N C"], threshold: float) -> Float[np.ndarray, "N C"]:
    """0 where values are below the threshold."""
    return np.where(x < threshold, 0.0, x)


def dry_share(x: np.ndarray, threshold: float) -> float:
    """The share of values that are below the threshold, of those that are not missing."""
    known = x[~np.isnan(x)]
    return float((known < threshold).mean()) if known.size else np.nan
