"""Units of measurement as attributes spell them: which are the same, and how one becomes another."""

import math
import re
from dataclasses import dataclass

import numpy as np

_ALIASES = {
    "K": "kelvin kelvins degK deg_K degree_K degrees_K degree_kelvin degrees_kelvin",
    "degC": "celsius deg_C degree_C degrees_C degreeC degreesC degree_celsius degrees_celsius °C ℃",
    "Pa": "pascal pascals",
    "hPa": "hectopascal hectopascals mbar mb millibar millibars",
    "kPa": "kilopascal kilopascals",
    "m": "metre metres meter meters",
    "km": "kilometre kilometres kilometer kilometers",
    "cm": "centimetre centimetres centimeter centimeters",
    "mm": "millimetre millimetres millimeter millimeters",
    "s": "sec second seconds",
    "min": "minute minutes",
    "h": "hr hour hours",
    "d": "day days",
    "kg": "kilogram kilograms",
    "g": "gram grams gramme grammes",
    "%": "percent per_cent",
    "degree": "degrees deg ° degree_north degrees_north degree_N degrees_N degreeN degreesN degree_east degrees_east "
    "degree_E degrees_E degreeE degreesE",
    "rad": "radian radians",
}
_TABLE = {
    "K": ("temperature", 1.0),
    "degC": ("temperature", 1.0),
    "Pa": ("pressure", 1.0),
    "hPa": ("pressure", 1e2),
    "kPa": ("pressure", 1e3),
    "bar": ("pressure", 1e5),
    "m": ("length", 1.0),
    "km": ("length", 1e3),
    "cm": ("length", 1e-2),
    "mm": ("length", 1e-3),
    "s": ("time", 1.0),
    "min": ("time", 60.0),
    "h": ("time", 3600.0),
    "d": ("time", 86400.0),
    "kg": ("mass", 1.0),
    "g": ("mass", 1e-3),
    "%": ("", 1e-2),
    "degree": ("angle", math.pi / 180),
    "rad": ("angle", 1.0),
}
"""The quantity that a unit measures, and its size."""
_CELSIUS = 273.15
_KNOWN = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
_KNOWN |= {alias.capitalize(): name for alias, name in _KNOWN.items() if alias.islower() and len(alias) > 3}
_TOKEN = re.compile(r"([^\W\d]+|[%°℃][A-Za-z]*)([+-]?\d+)?")
_NONE = {"", "-", "none", "dimensionless", "unitless"}


@dataclass(frozen=True)
class Unit:
    """A product of powers of quantities, or of symbols that nothing is known of: ``size * x + zero`` is in SI."""

    powers: tuple[tuple[str, int], ...]
    size: float = 1.0
    zero: float = 0.0


@dataclass(frozen=True)
class Conversion:
    """``x -> factor * x + offset``."""

    factor: float = 1.0
    offset: float = 0.0

    @property
    def trivial(self) -> bool:
        """Whether nothing changes."""
        return self == Conversion()

    @property
    def inverse(self) -> "Conversion":
        """The way back."""
        return Conversion(1 / self.factor, -self.offset / self.factor)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Converted values, computed in float64; float32 and float64 stay, other numbers become float32."""
        if self.trivial:
            return values
        dtype = values.dtype if values.dtype.kind == "f" and values.dtype.itemsize >= 4 else np.float32
        return (values.astype(np.float64) * self.factor + self.offset).astype(dtype)


def parse(text: str) -> Unit:
    """The unit that this text spells, such as ``m s-1``, ``m/s``, ``m s**-1``, ``m s^-1`` or ``degrees Celsius``.

    What is not understood is a unit of its own, equal to nothing but itself.
    """
    words = " ".join(text.split())
    if words.lower() in _NONE:
        return Unit(())
    joined = words.replace(" ", "_")
    if joined in _KNOWN or joined.lower() in _KNOWN:
        words = _KNOWN.get(joined) or _KNOWN[joined.lower()]
    flat = re.sub(r"\s*/\s*| per ", " /", re.sub(r"\*\*|\^", "", words))
    powers: dict[str, int] = {}
    size, zero = 1.0, 0.0
    factors = [factor for factor in re.split(r"[\s*.·]+", flat) if factor]
    for factor in factors:
        sign = -1 if factor.startswith("/") else 1
        factor = factor.removeprefix("/")
        if factor == "1":
            continue
        match = _TOKEN.fullmatch(factor)
        if match is None:
            return Unit(((words, 1),))
        name, power = _KNOWN.get(match[1], match[1]), sign * int(match[2] or 1)
        quantity, one = _TABLE.get(name, (name, 1.0))
        if quantity:
            powers[quantity] = powers.get(quantity, 0) + power
        size *= one**power
        if name == "degC" and len(factors) == 1 and power == 1:
            zero = _CELSIUS
    return Unit(tuple(sorted((name, power) for name, power in powers.items() if power)), size, zero)


def conversion(given: str, wanted: str) -> Conversion | None:
    """How values in one unit become values in another; None if they measure different things, or nobody knows."""
    a, b = parse(given), parse(wanted)
    if a.powers != b.powers:
        return None
    if a == b:
        return Conversion()
    factor, offset = a.size / b.size, (a.zero - b.zero) / b.size
    return Conversion() if math.isclose(factor, 1, rel_tol=1e-12) and not offset else Conversion(factor, offset)
