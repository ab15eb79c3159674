"""What belongs to the places of a field, such as a mask of the fine cells that are there: laid out as the field is."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from rgdm.data.axes import lattice_axes
from rgdm.data.fields import read_field
from rgdm.errors import InputError


def read_mask(path: Path, axes: Sequence[str]) -> xr.DataArray:
    """The mask of a file, for lattice axes of these names or roles, without an axis of one sample or channel."""
    mask = read_field([path], dimension=len(axes), order=axes)
    return mask.squeeze([name for name in ("sample", "channel") if mask.sizes[name] == 1], drop=True)


def laid_out(mask: Any, like: Any, axes: Sequence[str], what: str = "mask", missing: float = 0.0) -> np.ndarray:
    """A mask, areas or a companion as values ``(sample or 1, channel or 1, *lattice)`` that lie as ``like`` does.

    Of an xarray field the mask is an xarray object too: its lattice axes are found by name or role and turned round
    where its coordinates run the other way, channels are taken by name, samples by their coordinates; an axis that it
    has not is one that it does not depend on. Of an array it is an array, the last axes the lattice.

    Args:
        mask: an xarray object, array or tensor.
        like: what the field is, aligned with the model.
        axes: the names of the lattice axes of the model.
        what: how messages call it.
        missing: what stands for missing values.

    Raises:
        InputError: if the mask is of another kind, of another place, or does not fit.
    """
    named = isinstance(like, xr.DataArray | xr.Dataset)
    if named != isinstance(mask, xr.DataArray | xr.Dataset):
        kinds = f"an xarray object and the {what}" if named else f"an array and the {what}"
        raise InputError(f"the coarse field is {kinds} {type(mask).__name__}; give both as one kind")
    if not named:
        return np.nan_to_num(_of_array(mask, len(axes), what), nan=missing)
    field = _array(like)
    known = all(name in field.dims for name in axes)
    own: list[Hashable] = [*axes] if known else [*field.dims[-len(axes) :]]
    return np.nan_to_num(_of_xarray(_array(mask), field, own, what), nan=missing)


def absent(
    missing: np.ndarray, mask: xr.DataArray, like: xr.DataArray, axes: Sequence[str], factors: Sequence[int]
) -> int:
    """How many fine cells are missing: those in missing blocks ``(sample, channel, *coarse)``, and by the mask."""
    for axis, factor in enumerate(factors, start=2):
        missing = missing.repeat(factor, axis)
    return int((missing | (laid_out(mask, like, axes) == 0)).sum())


def _of_array(mask: Any, dimension: int, what: str) -> np.ndarray:
    try:
        given = mask.detach().double().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the {what} is {type(mask).__name__}; an array of numbers is needed") from None
    if not dimension <= given.ndim <= dimension + 2:
        raise InputError(f"the {what} has {given.ndim} axes; the {dimension} of the lattice, samples and channels go")
    if given.ndim == dimension + 1:  # as fields of one channel
        given = given[:, None]
    return given.reshape((1,) * (2 + dimension - given.ndim) + given.shape)


def _of_xarray(mask: xr.DataArray, field: xr.DataArray, own: list[Hashable], what: str) -> np.ndarray:
    found = lattice_axes(mask, len(own), order=own)[1]
    mask = mask.rename({a: b for a, b in zip(found, own, strict=True) if a != b})
    samples = [name for name in field.dims if name not in (*own, "channel")]
    beside = [name for name in mask.dims if name not in own]
    if any(name not in (*samples, "channel") or mask.sizes[name] != field.sizes.get(name, 1) for name in beside):
        raise InputError(
            f"the {what} has the axes {_sizes(mask)}, the field {_sizes(field)}; beside those of the lattice they must "
            "be among those of the field, and as long"
        )
    for name in beside:
        mask = _matched(mask, field, name, what)
    for name in own:
        mask = _turned(mask, field, name, what)
    if any(name in mask.dims for name in samples):
        mask = mask.expand_dims({name: field.sizes[name] for name in samples if name not in mask.dims})
    mask = mask.transpose(*(name for name in (*samples, "channel", *own) if name in mask.dims))
    values = mask.to_numpy().astype(np.float64)
    return values.reshape(-1, mask.sizes.get("channel", 1), *values.shape[values.ndim - len(own) :])


def _array(given: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """A Dataset as one array, of several variables with an axis ``channel``."""
    if isinstance(given, xr.DataArray):
        return given
    names = [str(name) for name in given.data_vars]
    return given[names[0]] if len(names) == 1 else given[names].to_array("channel")


def _matched(mask: xr.DataArray, field: xr.DataArray, axis: Hashable, what: str) -> xr.DataArray:
    """With channels or samples in the order of the field, where their names or coordinates say which they are."""
    keys = [
        name
        for name, c in field.coords.items()
        if c.dims == (axis,) and name in mask.coords and mask[name].dims == (axis,)
    ]
    for key in keys:
        here, there = (list(map(str, x[key].to_numpy())) for x in (mask, field))
        if here == there:
            continue
        if sorted(here) != sorted(there) or len(set(here)) < len(here):
            raise InputError(
                f"the {what} has {here[0]}, ... along {key}, the field {there[0]}, ...; give the {what} of these "
                f"{key}s, or one that does not depend on {key}"
            )
        return mask.isel({axis: [here.index(value) for value in there]})
    return mask


def _turned(mask: xr.DataArray, field: xr.DataArray, axis: Hashable, what: str) -> xr.DataArray:
    """Running the same way along an axis; ``InputError`` if it lies elsewhere."""
    if any(axis not in x.coords or x[axis].ndim != 1 or x[axis].dtype.kind not in "fiu" for x in (mask, field)):
        return mask
    fine, coarse = (x[axis].to_numpy().astype(np.float64) for x in (mask, field))
    if len(fine) > 1 and len(coarse) > 1 and (fine[-1] < fine[0]) != (coarse[-1] < coarse[0]):
        mask, fine = mask.isel({axis: slice(None, None, -1)}), fine[::-1]
    if len(fine) % len(coarse) == 0 and len(fine) > 1:
        middles = fine.reshape(len(coarse), -1).mean(1)
        if np.abs(middles - coarse).max() > 0.5 * np.abs(np.diff(fine)).max():
            raise InputError(
                f"the blocks of the {what} have their middles from {middles.min():g} to {middles.max():g} along "
                f"{axis}, those of the coarse field from {coarse.min():g} to {coarse.max():g}; give a {what} of the "
                "same place, in the same order (longitudes counted alike)"
            )
    return mask


def _sizes(array: xr.DataArray) -> str:
    return ", ".join(f"{name} ({size})" for name, size in array.sizes.items())
