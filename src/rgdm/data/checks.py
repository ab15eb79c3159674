"""Fields that a model can learn from: finite and not constant."""

from typing import TypeVar, cast

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from rgdm.errors import InputError

Values = TypeVar("Values", Tensor, np.ndarray, xr.DataArray)


def check_finite(values: Values, fill: bool = False) -> Values:
    """Return ``(sample, channel, *lattice)`` values without NaN or infinity.

    Gaps are an :class:`~rgdm.errors.InputError`; with ``fill`` they take the value of the nearest valid site in a copy.
    """
    array = _numpy(values)
    gaps = ~np.isfinite(array)
    if not gaps.any():
        return values
    first = tuple(int(i) for i in np.argwhere(gaps)[0])
    if not fill:
        raise InputError(
            f"{gaps.sum()} of {gaps.size} values ({gaps.mean():.2%}) are NaN or infinite, the first at "
            f"{_place(values, first)}; fill them from the nearest valid sites with --fill"
        )
    filled = array.copy()
    for index in np.ndindex(array.shape[:2]):
        if gaps[index].all():
            raise InputError(f"all values at {_place(values, index)} are NaN or infinite; nothing to fill them from")
        if gaps[index].any():
            nearest = distance_transform_edt(gaps[index], return_distances=False, return_indices=True)
            filled[index] = array[index][tuple(np.asarray(nearest))]
    if isinstance(values, Tensor):
        return torch.from_numpy(filled).to(values.device)
    if isinstance(values, xr.DataArray):
        return values.copy(data=filled)
    return cast(Values, filled)


def check_varies(values: Tensor | np.ndarray | xr.DataArray) -> None:
    """Raise ``InputError`` if a channel of ``(sample, channel, *lattice)`` has one value everywhere."""
    array = _numpy(values)
    names = values.coords["channel"].values if isinstance(values, xr.DataArray) and "channel" in values.coords else None
    for channel in range(array.shape[1]):
        low, high = array[:, channel].min(), array[:, channel].max()
        if low == high:
            name = channel if names is None else names[channel]
            raise InputError(f"channel {name} is constant ({low:g}) everywhere; there is nothing to learn from it")


def _numpy(values: Tensor | np.ndarray | xr.DataArray) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return values.to_numpy() if isinstance(values, xr.DataArray) else values


def _place(values: Tensor | np.ndarray | xr.DataArray, index: tuple[int, ...]) -> str:
    names = values.dims if isinstance(values, xr.DataArray) else ("sample", "channel")
    named = [f"{name} {i}" for name, i in zip(names, index, strict=False)]
    site = index[len(named) :]
    return ", ".join([*named, f"site {site}"] if site else named)
