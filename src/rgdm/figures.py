"""Figures with their errors, as people write them."""

import math

FEW = 6
"""Most digits behind the point; figures that need more are written with a power of ten."""


def with_error(value: float, error: float) -> str:
    """``-0.68130(40)``, ``3.00(10)e-05``: the error, of two digits, in units of the last digit of the figure.

    Args:
        value: the figure.
        error: its standard error; NaN: not known, and not written.
    """
    if not math.isfinite(error) or error <= 0:
        return f"{value:.4g}"
    behind = max(0, 1 - math.floor(math.log10(error)))
    if behind <= FEW:
        return f"{value:.{behind}f}({round(error * 10**behind)})"
    power = math.floor(math.log10(max(abs(value), error)))
    return f"{with_error(value / 10.0**power, error / 10.0**power)}e{power:03d}"
