"""What names and attributes say of an axis or a coordinate: the CF conventions, and what the names usually mean.

CF Metadata Conventions 1.11, https://cfconventions.org: sections 4 (coordinate types), 5.6 (grid mappings), 7 (cells).
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr

Role = Literal["x", "y", "z", "t", "batch", "cells", ""]
"""Of an axis: horizontal, vertical, time, several fields, places without order; empty: not known."""

REFERENCES = (
    "bounds",
    "climatology",
    "grid_mapping",
    "coordinates",
    "ancillary_variables",
    "cell_measures",
    "formula_terms",
)
"""Attributes that name other variables of the file."""

CELLS = REFERENCES[:3]
"""Those that name variables which describe the sites."""

CELL_METHODS = "cell_methods"
"""The attribute that says what a value is of its cell."""

STALE = ("actual_range", "valid_range", "valid_min", "valid_max", "_FillValue", "missing_value")
"""Attributes that hold for the values as they were stored, not for finer ones."""

_NORTH = re.compile(r"degrees?_?n(orth)?$")
_EAST = re.compile(r"degrees?_?e(ast)?$")
_PRESSURE = ("pa", "hpa", "mbar", "millibar", "millibars", "bar", "dbar")
_STANDARD: dict[Role, tuple[str, ...]] = {
    "y": ("latitude", "grid_latitude", "projection_y_coordinate", "projection_y_angular_coordinate"),
    "x": ("longitude", "grid_longitude", "projection_x_coordinate", "projection_x_angular_coordinate"),
    "z": ("height", "altitude", "depth", "air_pressure", "model_level_number"),
    "t": ("time", "forecast_period", "forecast_reference_time"),
    "batch": ("realization",),
}
_STANDARD_Z = re.compile(r"(atmosphere|ocean)_.*coordinate$|(height|depth|altitude)_")
_NAMES: dict[Role, str] = {
    "y": "lat latitude lats nav_lat xlat rlat nlat y yc yt nj j south_north north_south northing",
    "x": "lon longitude lons long nav_lon xlong rlon nlon x xc xt ni i west_east east_west easting",
    "z": "lev level levels plev pressure pressure_level model_level height heights depth altitude alt z zc bottom_top "
    "isobaricinhpa hybrid deptht olevel sigma",
    "t": "time times t date valid_time forecast_time step leadtime lead_time reftime prediction_timedelta year month "
    "season day hour dayofyear",
    "batch": "channel sample member members realization realisation number ensemble ensemble_member ens refinement "
    "batch",
    "cells": "cell cells ncell ncells cell_id pix npix healpix ncol nface nmesh2_face values",
}
_ROLES: dict[str, Role] = {name: role for role, names in _NAMES.items() for name in names.split()}
_ANGLES: dict[Literal["latitude", "longitude"], tuple[str, ...]] = {
    "latitude": ("lat", "latitude", "lats", "nav_lat", "xlat", "rlat"),
    "longitude": ("lon", "longitude", "lons", "long", "nav_lon", "xlong", "rlon"),
}
_NUMBERED = re.compile(r"(refinement|batch)_\d+$")
_LENGTHS = ("m", "metre", "metres", "meter", "meters", "km", "1")
_LABELS = ("flag_values", "flag_meanings", "flag_masks")


def role_of(name: Hashable, coordinate: xr.DataArray | None = None) -> Role:
    """What an axis is, by the attributes of its coordinate, else by its name."""
    if coordinate is not None:
        attrs, axis = coordinate.attrs, str(coordinate.attrs.get("axis", "")).lower()
        if axis in ("x", "y", "z", "t"):
            return axis
        standard = str(attrs.get("standard_name", ""))
        for role, names in _STANDARD.items():
            if standard in names:
                return role
        if _STANDARD_Z.match(standard):
            return "z"
        units = str(attrs.get("units", "")).lower()
        if _NORTH.match(units) or _EAST.match(units):
            return "y" if _NORTH.match(units) else "x"
        if coordinate.dtype.kind in "Mm":
            return "t"
        if "positive" in attrs or units in _PRESSURE:
            return "z"
    lower = str(name).lower()
    return "batch" if _NUMBERED.match(lower) else _ROLES.get(lower, "")


def angle_of(name: Hashable, attrs: Mapping[Any, Any]) -> tuple[Literal["latitude", "longitude", ""], float]:
    """Whether a coordinate is a latitude or longitude, and the full circle in its unit."""
    units = str(attrs.get("units", "")).lower()
    standard, lower = str(attrs.get("standard_name", "")), str(name).lower()
    circle = 2 * np.pi if units.startswith("rad") else 360.0
    if _NORTH.match(units) or standard in ("latitude", "grid_latitude"):
        return "latitude", circle
    if _EAST.match(units) or standard in ("longitude", "grid_longitude"):
        return "longitude", circle
    if standard or units in _LENGTHS:
        return "", circle
    for angle, names in _ANGLES.items():
        if lower in names:
            return angle, circle
    return "", circle


def is_label(coordinate: xr.DataArray) -> bool:
    """Whether values name what a site belongs to (a basin, a class) and do not say where it is.

    Numbers are positions if they are the coordinate of their own axis, or have a unit, an axis or a standard name;
    other whole numbers, words and flags are labels.
    """
    attrs, kind = coordinate.attrs, coordinate.dtype.kind
    if kind in "Mm":
        return False
    if kind not in "fiu" or any(name in attrs for name in _LABELS):
        return True
    stored = coordinate.encoding.get("dtype")
    whole = kind in "iu" or (stored is not None and np.dtype(stored).kind in "iu" and "scale_factor" not in attrs)
    if not whole or coordinate.dims == (coordinate.name,):
        return False
    if str(attrs.get("standard_name", "")) in ("region", "area_type"):
        return True
    return not ({"axis", "standard_name"} & set(attrs) or attrs.get("units", "1") not in ("", "1"))


def named_variables(attrs: Mapping[Any, Any], attribute: str) -> list[str]:
    """The variables that a CF attribute names: ``crs``, ``a: b c: d`` (the keys of a cell measure are no names)."""
    words = str(attrs.get(attribute, "")).split()
    if attribute == "grid_mapping":  # "crs", or "crs: x y", of which the first names the mapping
        return [word.removesuffix(":") for word in words]
    return [word for word in words if not word.endswith(":")]


def auxiliary_variables(data: xr.Dataset, attributes: Sequence[str] = (*CELLS, "coordinates")) -> list[str]:
    """The variables that others name as their bounds, grid mapping or coordinates; these are no fields."""
    named = [
        name
        for variable in data.variables.values()
        for attribute in attributes
        for source in (variable.attrs, variable.encoding)
        for name in named_variables(source, attribute)
    ]
    return [name for name in dict.fromkeys(named) if name in data.variables]


def quantities_of_cells(data: xr.DataArray | xr.Dataset) -> set[str]:
    """Names of what belongs to whole cells (areas, quality flags of the values): no part of a cell has it."""
    variables = [*(data.data_vars.values() if isinstance(data, xr.Dataset) else [data]), *data.coords.values()]
    named = {
        name
        for variable in variables
        for attribute in ("cell_measures", "ancillary_variables")
        for name in named_variables(variable.attrs, attribute)
    }
    return named | {str(v.name) for v in variables if str(v.attrs.get("standard_name", "")).startswith("cell_")}


Named = TypeVar("Named", xr.DataArray, xr.Dataset)


def without_dangling(data: Named) -> Named:
    """The same data; attributes that name variables which are not there are shortened, or left out."""
    data = data.copy(deep=False)
    there = {str(name) for name in (data.variables if isinstance(data, xr.Dataset) else data.coords)}
    parts = [data[name] for name in data.variables] if isinstance(data, xr.Dataset) else [data]
    for part in [*parts, *(data.coords[name] for name in data.coords)]:
        part.attrs = _references_to(there, part.attrs, part.encoding)
        part.encoding = {key: value for key, value in part.encoding.items() if key not in REFERENCES}
    return data


def _references_to(there: set[str], attrs: Mapping[Any, Any], encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes, with those that xarray keeps in the encoding, as far as they name what is there."""
    kept = {key: value for key, value in attrs.items() if key not in REFERENCES}
    for attribute in REFERENCES:
        for source in (encoding, attrs):
            names = named_variables(source, attribute)
            left = [name for name in names if name in there]
            if attribute == "coordinates" or not left:
                continue  # xarray writes the coordinates of a variable itself
            if len(left) == len(names):
                kept[attribute] = source[attribute]
            elif attribute == "ancillary_variables":
                kept[attribute] = " ".join(left)
    return kept


def finer_attributes(attrs: Mapping[Any, Any], steps: Mapping[str, tuple[int, float]]) -> dict[Any, Any]:
    """Attributes of a field on a lattice that is finer by ``steps``, (factor, place) of x and y.

    Affine transforms (``GeoTransform`` of GDAL, ``transform`` of rasterio) are those of the finer sites, and what held
    for the stored values alone is left out.
    """
    finer = {key: value for key, value in attrs.items() if key not in STALE}
    for key, order in (("GeoTransform", (1, 2, 0, 4, 5, 3)), ("transform", (0, 1, 2, 3, 4, 5))):
        if key in finer:
            numbers = _numbers(finer[key])
            if numbers is None:
                if key == "GeoTransform":
                    del finer[key]
                continue
            # (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f, at corners of sites
            a, b, c, d, e, f = (numbers[i] for i in order)
            (across, shift_across), (down, shift_down) = steps.get("x", (1, 0.0)), steps.get("y", (1, 0.0))
            u, v = 0.5 - (0.5 + shift_across) / across, 0.5 - (0.5 + shift_down) / down
            moved = (a / across, b / down, c + a * u + b * v, d / across, e / down, f + d * u + e * v)
            values = dict(zip(order, moved, strict=True))
            ordered = [values[i] for i in range(6)]
            finer[key] = " ".join(repr(float(x)) for x in ordered) if isinstance(finer[key], str) else tuple(ordered)
    for key, direction in (("geospatial_lat_resolution", "y"), ("geospatial_lon_resolution", "x")):
        numbers = _numbers(finer.get(key, ""), 1)
        if key in finer and direction in steps:
            finer.pop(key)
            if numbers is not None:
                finer[key] = numbers[0] / steps[direction][0]
    return finer


def affine_of(transform: Any) -> tuple[float, float, float, float, float, float] | None:
    """(a, b, c, d, e, f) of a ``GeoTransform``: x = a column + b row + c, y = d column + e row + f at corners."""
    numbers = None if transform is None else _numbers(transform)
    if numbers is None:
        return None
    c, a, b, f, d, e = numbers
    return a, b, c, d, e, f


def _numbers(value: Any, count: int = 6) -> list[float] | None:
    """So many numbers, of text or of a sequence."""
    parts = value.replace(",", " ").split() if isinstance(value, str) else np.ravel(value).tolist()
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        return None
    return numbers[:count] if len(numbers) in (count, 9) else None  # a matrix of nine has a last row of 0 0 1
