"""Figures are written with two digits of their error, however small they are."""

import math

import pytest

from rgdm.figures import with_error


@pytest.mark.parametrize(
    ("value", "error", "written"),
    [
        (-0.6813, 0.0004, "-0.68130(40)"),
        (1694.2, 163.0, "1694(163)"),
        (110.23, 7.2, "110.2(72)"),
        (3e-5, 1e-7, "3.000(10)e-05"),
        (3e-8, 1e-9, "3.00(10)e-08"),
        (0.0, 2e-9, "0.0(20)e-09"),
        (0.5, math.nan, "0.5"),
        (12345.678, 0.0, "1.235e+04"),
    ],
)
def test_a_figure_has_two_digits_of_its_error(value, error, written):
    assert with_error(value, error) == written
