import math

import numpy as np
import pytest

from rgdm.data.units import Conversion, conversion


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m", "metre"),
        ("m", "Meters"),
        ("K", "kelvin"),
        ("1", ""),
        ("1", "dimensionless"),
        ("m s-1", "m/s"),
        ("m s-1", "m s**-1"),
        ("m s^-1", "meters per second"),
        ("W m-2", "W/m^2"),
        ("kg m-2 s-1", "kg/m2/s"),
        ("hPa", "mbar"),
        ("degC", "degrees Celsius"),
        ("degC", "°C"),
        ("degrees_north", "degree"),
        ("dBZ", "dBZ"),
        ("days since 1900-01-01", "days since 1900-01-01"),
    ],
)
def test_spellings_of_one_unit_are_the_same(one, other):
    assert conversion(one, other) == conversion(other, one) == Conversion()


@pytest.mark.parametrize(
    ("given", "wanted", "values", "expected"),
    [
        ("degC", "K", [-273.15, 0, 20], [0, 273.15, 293.15]),
        ("hPa", "Pa", [1013.25], [101325]),
        ("kPa", "mbar", [101.325], [1013.25]),
        ("km", "m", [8.848], [8848]),
        ("mm", "cm", [5], [0.5]),
        ("mm/day", "mm h-1", [24], [1]),
        ("km/h", "m s-1", [36], [10]),
        ("g/kg", "kg kg-1", [8], [0.008]),
        ("%", "1", [50], [0.5]),
        ("radians", "degrees_east", [math.pi], [180]),
    ],
)
def test_units_of_one_quantity_are_converted_and_back(given, wanted, values, expected):
    change = conversion(given, wanted)
    assert change is not None and not change.trivial
    x = np.array(values, dtype=np.float64)
    np.testing.assert_allclose(change.apply(x), expected, rtol=1e-14, atol=1e-12)
    np.testing.assert_allclose(change.inverse.apply(change.apply(x)), x, rtol=1e-14, atol=1e-12)
    back = conversion(wanted, given)
    assert back is not None
    np.testing.assert_allclose(back.apply(change.apply(x)), x, rtol=1e-14, atol=1e-12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mm/h", "kg m-2 s-1"),  # of water only
        ("K", "Pa"),
        ("m", "m s-1"),
        ("C", "K"),  # coulomb
        ("J kg-1", "m2 s-2"),  # true, but not in the table
        ("dBZ", "mm h-1"),
        ("m of water equivalent", "m"),
        ("1e-3 kg kg-1", "g kg-1"),
        ("M", "m"),
        ("K", "1"),
    ],
)
def test_other_quantities_and_units_that_nobody_knows_have_no_conversion(one, other):
    assert conversion(one, other) is None and conversion(other, one) is None


def test_only_a_temperature_by_itself_has_a_zero():
    assert conversion("degC m-1", "K m-1") == Conversion()
    assert conversion("W m-2 degC-1", "W m-2 K-1") == Conversion()


def test_single_precision_stays_and_whole_numbers_become_it():
    change = Conversion(1000.0)
    assert change.apply(np.ones(2, np.float32)).dtype == np.float32
    assert change.apply(np.ones(2, np.float64)).dtype == np.float64
    assert change.apply(np.ones(2, np.int16)).dtype == np.float32
