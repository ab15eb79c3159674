"""Channels in another order, axes turned round, values in other units: of DataArrays and Datasets alike."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.identity import fields_of
from rgdm.data.origin import ORIGIN, origin_of
from rgdm.data.units import Conversion


def choose(field: Any, order: Sequence[int]) -> Any:
    """The channels in an order, which may leave some out."""
    if isinstance(field, xr.Dataset):
        fields = fields_of(field)
        names = [fields[i] for i in order]
        if names == fields:
            return field
        rest = [name for name in field.data_vars if name not in fields]
        return field[[*names, *rest]]
    if "channel" not in field.dims or list(order) == list(range(field.sizes["channel"])):
        return field
    return _keeping(field.isel(channel=list(order)), field)


def flip(field: Any, axes: Sequence[Hashable]) -> Any:
    """The field with these axes turned round, coordinates and all."""
    if not axes:
        return field
    flipped = field.isel({name: slice(None, None, -1) for name in axes})
    return _keeping(flipped, field) if isinstance(field, xr.DataArray) else flipped


def _keeping(array: xr.DataArray, source: xr.DataArray) -> xr.DataArray:
    array.encoding = dict(source.encoding)
    return array


def convert(field: Any, conversions: Sequence[Conversion], units: Sequence[str | None]) -> Any:
    """The values of each channel in another unit, computed in float64, and their attributes."""
    if isinstance(field, xr.Dataset):
        parts = zip(fields_of(field), conversions, units, strict=False)
        return field.assign({name: _converted(field[name], each, unit) for name, each, unit in parts})
    if "channel" not in field.dims:
        return _converted(field, conversions[0], units[0])
    axis = field.dims.index("channel")
    parts = zip(np.moveaxis(field.to_numpy(), axis, 0), conversions, strict=True)
    result = _keeping(field.copy(data=np.stack([each.apply(part) for part, each in parts], axis)), field)
    changed = {
        str(name): unit
        for name, each, unit in zip(np.ravel(field.coords.get("channel", [])), conversions, units, strict=False)
        if not each.trivial
    }
    if len(set(units)) == 1 and "units" in field.attrs:
        result.attrs["units"] = units[0]
    if ORIGIN in field.encoding:
        origin = origin_of(field)
        own = {
            name: {**attrs, "units": changed[name]} if name in changed else attrs
            for name, attrs in origin.channels.items()
        }
        result.encoding[ORIGIN] = replace(origin, channels=own)
    return result


def _converted(array: xr.DataArray, change: Conversion, unit: str | None) -> xr.DataArray:
    if change.trivial:
        return array
    result = _keeping(array.copy(data=change.apply(array.to_numpy())), array)
    result.attrs["units"] = unit
    return result
