"""What a value says of its cell: ``cell_methods`` of the CF conventions (1.11, section 7.3)."""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import xarray as xr

from rgdm.data.axes import axis_roles
from rgdm.data.conventions import CELL_METHODS
from rgdm.data.identity import fields_of
from rgdm.data.origin import ORIGIN, origin_of

_AREA = ("area", "latitude", "longitude", "grid_latitude", "grid_longitude")
_ENTRY = re.compile(r"((?:[\w.+-]+:\s+)+)(\w+)")
"""``name: name: method``, what follows up to the next is said of it."""


def with_cell_methods(
    result: xr.DataArray | xr.Dataset, lattice: Sequence[Hashable], method: str
) -> xr.DataArray | xr.Dataset:
    """A refined field that says what its values are of its cells, ``mean`` or ``point``; nothing is said for "".

    What the coarse field said stays: a mean over the area of a cell is one over that of a finer cell, of which the
    coordinates and bounds speak now. Where it said nothing of the lattice axes, ``area: mean`` is added (of two
    horizontal axes), or the names of the axes.

    Args:
        result: the refined field.
        lattice: the names of its lattice axes that became finer.
        method: of the coarse-graining that takes fine values to coarse ones.
    """
    if not method or not lattice:
        return result
    first = result if isinstance(result, xr.DataArray) else result[fields_of(result)[0]]
    roles = axis_roles(first)
    area = sorted(roles.get(name, "") for name in lattice) == ["x", "y"]
    own = "area: " if area else "".join(f"{name}: " for name in lattice)
    taken = {str(name) for name in lattice} | ({*_AREA} if {"x", "y"} & {roles.get(n, "") for n in lattice} else set())
    result = result.copy(deep=False)
    for part in [result] if isinstance(result, xr.DataArray) else [result[name] for name in fields_of(result)]:
        stated = str(part.attrs.get(CELL_METHODS, "")).strip()
        if not taken & set(methods_of(part.attrs)):
            part.attrs = {**part.attrs, CELL_METHODS: f"{stated} {own}{method}".strip()}
    return result


def methods_of(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """The method of each name in ``cell_methods``, such as ``{"time": "mean", "area": "mean"}``."""
    stated = re.sub(r"\([^()]*\)", "", str(attrs.get(CELL_METHODS, "")))
    return {name: entry[2] for entry in _ENTRY.finditer(stated) for name in re.findall(r"[\w.+-]+(?=:)", entry[1])}


def sums_among(field: Any) -> list[str]:
    """The variables whose values are totals of cells, which parts of a cell share; a mean they have in common."""
    if not isinstance(field, xr.DataArray | xr.Dataset):
        return []
    if isinstance(field, xr.Dataset):
        own = {str(name): field[name].attrs for name in fields_of(field)}
    else:
        own = origin_of(field).channels if ORIGIN in field.encoding else {str(field.name or "the field"): field.attrs}
    return [name for name, attrs in own.items() if any(methods_of(attrs).get(place) == "sum" for place in _AREA)]
