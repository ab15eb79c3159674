"""Which values of a file stand for nothing: by its attributes, by the default of its format, by what numbers can be.

NetCDF Users Guide, appendix A (attribute conventions) and CF Metadata Conventions 1.11, section 2.5.1 (missing data)
and 8.1 (packed data).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rgdm.errors import InputError

LARGEST = 1e30
"""No field holds a larger number, in whatever unit; the default fill value of NetCDF is 9.97e36."""

MISSING = "missing"
"""Where a field that was read keeps why values of it are missing, in its encoding."""

FILLS = ("_FillValue", "missing_value", "nodata", "nodatavals", "GDAL_NODATA")
"""Attributes that hold the values which stand for nothing, as they are stored."""

PACKING = ("scale_factor", "add_offset", "_Unsigned")
"""Attributes that say how numbers are stored."""

RANGES = ("valid_range", "valid_min", "valid_max")
"""Attributes outside which values are missing."""

_UNPACKED = (1.0, 0.0)
_DEFAULTS = {"i2": -32767, "u2": 2**16 - 1, "i4": -(2**31) + 1, "u4": 2**32 - 1, "i8": -(2**63) + 2, "u8": 2**64 - 2}
"""Default fill values of NetCDF for whole numbers."""
_USUAL = (
    -999,
    -9999,
    -99999,
    -999999,
    9999,
    99999,
    999999,
    -(2**15),
    -(2**15) + 1,
    -(2**31),
    -(2**31) + 1,
    1e20,
    -1e20,
)
"""Numbers by which files usually mark what is missing, declared or not."""


@dataclass(frozen=True)
class Unpacked:
    """Numbers in the units of a field, NaN where they are missing, and why they are: one clause for each reason."""

    values: np.ndarray
    reasons: tuple[str, ...] = ()


def unpack(stored: xr.DataArray | xr.Variable, default_fill: bool = False) -> Unpacked:
    """The values of a variable in its own units, float32 or float64, with NaN for what is missing.

    Missing are: the values that :data:`FILLS` name; those outside ``valid_range``, ``valid_min``, ``valid_max`` (in
    packed units, unless the attribute has the type of the unpacked values); numbers beyond :data:`LARGEST`; and a
    usual mark of missing values, such as -9999, that is further from all others than these are from each other.

    Args:
        stored: as in the file, or unpacked, with the packing in its ``encoding``.
        default_fill: also look for the default fill value that NetCDF has for whole numbers.

    Raises:
        InputError: for a factor or an offset that is no number.
    """
    attrs = stored.attrs
    raw = _signed_as_stated(stored.to_numpy(), attrs)
    if raw.dtype.kind not in "fiub":
        return Unpacked(raw)
    gaps, reasons = np.zeros(raw.shape, bool), []

    def leave_out(found: np.ndarray, why: str) -> None:
        new = found & ~gaps
        if new.any():
            reasons.append(f"{int(new.sum())} {why}")
            gaps[...] |= new

    leave_out(~np.isfinite(raw), "NaN or infinite")
    for name in FILLS:
        for fill in _fills(attrs, name, raw.dtype):
            leave_out(raw == fill, f"of the {name} {_number(fill)}")
    if raw.dtype.kind == "f" and raw.dtype.itemsize > 2:
        leave_out(np.abs(raw) > LARGEST, f"beyond {LARGEST:g}, where no field has values")
    for name, bound in _bounds(stored, raw.dtype):
        side = np.less if name == "valid_min" else np.greater
        leave_out(side(raw, bound), f"{'below' if name == 'valid_min' else 'above'} the {name} {_number(bound)}")
    while (mark := _usual_mark(raw, gaps, default_fill)) is not None:
        leave_out(raw == mark, f"of {_number(mark)}, a usual mark of missing values far from all others")
    values = raw.astype(np.float64 if _is_double(raw.dtype, attrs) else np.float32)
    if _packing(attrs) != _UNPACKED:
        values = values * _packing(attrs)[0] + _packing(attrs)[1]
    if gaps.any():
        values[gaps] = np.nan
    return Unpacked(values, tuple(reasons))


def present(values: np.ndarray | xr.DataArray) -> np.ndarray:
    """The values of a user's object with NaN where they are missing: where it is masked, or as :func:`unpack` finds.

    Raises:
        InputError: for floating-point numbers whose attributes say that they are packed; they may be unpacked by now.
    """
    if isinstance(values, xr.DataArray):
        if values.dtype.kind == "f" and _packing(values.attrs) != _UNPACKED:
            scale, offset = _packing(values.attrs)
            raise InputError(
                f"floating-point values whose attributes say scale_factor {scale:g} and add_offset {offset:g}; "
                "decode them with xarray.decode_cf, or delete these attributes if that was done"
            )
        return unpack(values).values
    gaps = np.zeros(values.shape, bool)
    if isinstance(values, np.ma.MaskedArray):
        gaps, values = np.ma.getmaskarray(values), np.asarray(values.data)
    if values.dtype.kind == "f" and values.dtype.itemsize > 2:
        gaps = gaps | (np.abs(values) > LARGEST)
    if not gaps.any():
        return values
    filled = np.array(values, dtype=values.dtype if values.dtype.kind == "f" else np.float32)
    filled[gaps] = np.nan
    return filled


def without_storage(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes that say how numbers are stored hold no longer once they are unpacked."""
    return {key: value for key, value in attrs.items() if key not in (*FILLS, *PACKING, *RANGES)}


def _signed_as_stated(raw: np.ndarray, attrs: Mapping[Any, Any]) -> np.ndarray:
    """Whole numbers, unsigned or signed as ``_Unsigned`` says: NetCDF 3 has no unsigned types."""
    stated = str(attrs.get("_Unsigned", "")).lower()
    wanted = {"true": "u", "false": "i"}.get(stated, "")
    if raw.dtype.kind in "iu" and wanted and raw.dtype.kind != wanted:
        return raw.view(f"{raw.dtype.byteorder}{wanted}{raw.dtype.itemsize}")
    return raw


def _fills(attrs: Mapping[Any, Any], name: Hashable, dtype: np.dtype) -> list[np.generic]:
    """The finite values of an attribute, one, several or in words, as numbers of a type that can hold them."""
    fills = []
    for value in _numbers_of(attrs.get(name), dtype):
        with np.errstate(all="ignore"):
            cast = value.astype(dtype)
        same = dtype.kind == "f" or float(cast) == float(value)
        if np.isfinite(value) and same and np.isfinite(cast) and dtype.kind != "b":
            fills.append(cast)
    return fills


def _numbers_of(value: Any, dtype: np.dtype) -> list[np.generic]:
    """Numbers of an attribute; signed ones of the size of unsigned values are meant bit for bit."""
    if value is None:
        return []
    if isinstance(value, str | bytes):
        value = (value.decode(errors="replace") if isinstance(value, bytes) else value).replace(",", " ").split()
    try:
        numbers = np.ravel(np.asarray(value))
        if numbers.dtype.kind not in "fiu":
            numbers = numbers.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return []
    if {numbers.dtype.kind, dtype.kind} == {"i", "u"} and numbers.dtype.itemsize == dtype.itemsize:
        numbers = numbers.astype(dtype)
    return list(numbers)


def _packing(attrs: Mapping[Any, Any]) -> tuple[float, float]:
    """Factor and offset by which stored numbers become those of the field."""
    found = []
    for name, usual in (("scale_factor", 1.0), ("add_offset", 0.0)):
        numbers = _numbers_of(attrs.get(name), np.dtype(np.float64))
        found.append(float(numbers[0]) if len(numbers) == 1 else usual)
    if not np.all(np.isfinite(found)) or found[0] == 0:
        raise InputError(
            f"scale_factor is {found[0]:g} and add_offset {found[1]:g}; both must be finite, the first not 0"
        )
    return found[0], found[1]


def _bounds(stored: xr.DataArray | xr.Variable, dtype: np.dtype) -> list[tuple[str, Any]]:
    """``valid_min`` and ``valid_max``, by one attribute or two, in units of the values as they are given."""
    attrs, packed = stored.attrs, _packing(stored.attrs)
    was_packed = _packing({key: stored.encoding[key] for key in PACKING[:2] if key in stored.encoding})
    both = _numbers_of(attrs.get("valid_range"), dtype)
    sides = list(zip(RANGES[1:], both, strict=True)) if len(both) == 2 else []
    for name in RANGES[1:]:
        sides += [(name, each) for each in _numbers_of(attrs.get(name), dtype)[:1]]
    bounds = []
    for name, bound in sides:
        whole = np.issubdtype(type(bound), np.integer)
        at, side = float(bound), name
        if packed != _UNPACKED and not whole and dtype.kind in "iu":  # of the unpacked values
            at, side = (at - packed[1]) / packed[0], _turned(name, packed[0])
            at += (1e-6 if side == "valid_max" else -1e-6) * max(1.0, abs(at))
        elif packed == _UNPACKED and was_packed != _UNPACKED and whole:  # of values that are unpacked by now
            at, side = at * was_packed[0] + was_packed[1], _turned(name, was_packed[0])
            at += (0.5 if side == "valid_max" else -0.5) * abs(was_packed[0])
        elif dtype.kind == "f":
            with np.errstate(over="ignore"):
                at = float(bound.astype(dtype))  # 0.1 in single precision is not above 0.1
        elif whole:
            at = int(bound)
        if np.isfinite(at):
            bounds.append((side, at))
    return bounds


def _turned(side: str, scale: float) -> str:
    return side if scale > 0 else {"valid_min": "valid_max", "valid_max": "valid_min"}[side]


def _usual_mark(raw: np.ndarray, gaps: np.ndarray, default_fill: bool) -> Any:
    """The least or greatest value, if it is a usual mark and further from all others than these are from each other."""
    if raw.dtype.kind not in "fiu":
        return None
    marks = [each for each in _USUAL if raw.dtype.kind == "f" or _holds(raw.dtype, each)]
    if default_fill:
        marks += [_DEFAULTS[key] for key in (raw.dtype.str[1:],) if key in _DEFAULTS]
    elif raw.dtype.kind == "u":
        return None  # saturated counts
    with np.errstate(over="ignore"):  # of half precision
        cast = {raw.dtype.type(each) for each in marks}
    ends = _ends(raw, ~gaps)
    for mark in ends if ends is not None else ():
        rest = _ends(raw, ~gaps & (raw != mark)) if mark in cast else None
        if rest is not None and rest[0] != rest[1]:
            low, high, at = (int(x) if raw.dtype.kind in "iu" else float(x) for x in (*rest, mark))
            if min(abs(low - at), abs(high - at)) > high - low:
                return mark
    return None


def _ends(raw: np.ndarray, where: np.ndarray) -> tuple[Any, Any] | None:
    if not where.any():
        return None
    low, high = (np.inf, -np.inf) if raw.dtype.kind == "f" else (np.iinfo(raw.dtype).max, np.iinfo(raw.dtype).min)
    return raw.min(where=where, initial=low), raw.max(where=where, initial=high)


def _holds(dtype: np.dtype, number: float) -> bool:
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


def _is_double(dtype: np.dtype, attrs: Mapping[Any, Any]) -> bool:
    """Whether single precision loses digits: of doubles, and of numbers packed with doubles or offsets."""
    if dtype.kind == "f" and dtype.itemsize >= 8:
        return True
    types = [np.asarray(attrs[name]).dtype for name in PACKING[:2] if name in attrs]
    double = dtype.itemsize > 2 or any(each.kind != "f" or each.itemsize >= 8 for each in types)
    return dtype.kind != "f" and _packing(attrs) != _UNPACKED and (double or _packing(attrs)[1] != 0)


def _number(value: Any) -> str:
    return f"{float(value):g}" if abs(float(value)) < 1e5 or float(value) != int(value) else f"{value:.7g}"
