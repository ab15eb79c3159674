"""Figures with their errors, as people write them."""

import math


def with_error(value: float, error: float, digits: int = 6) -> str:
    """``-0.6813(4)``: the error in units of the last digit; without one where it is not known.

    Args:
        value: the figure.
        error: its standard error; NaN: not known.
        digits: most of them behind the point.
    """
    if not math.isfinite(error):
        return f"{value:.4g}"
    behind = 0 if error <= 0 else max(0, min(digits, 1 - math.floor(math.log10(error))))
    return f"{value:.{behind}f}({round(error * 10**behind)})"
