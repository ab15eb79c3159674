"""Fields that a model can learn from or refine, finite and not constant; gaps filled, and blank again in results."""

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from rgdm.data.missing import MISSING
from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.scale.boundary import Boundaries, boundary_of_each

OFTEN = 0.02
"""So many zeros among values that are never negative mean that 0 is the end of what can be."""

Values = TypeVar("Values", Tensor, np.ndarray, xr.DataArray)


def check_finite(values: Values) -> Values:
    """Return ``(sample, channel, *lattice)`` values that hold neither NaN nor infinity.

    Raises:
        InputError: which says how many are missing, where the first is, and why, as far as the file says.
    """
    gaps = ~np.isfinite(_numpy(values))
    if not gaps.any():
        return values
    reasons = values.encoding.get(MISSING, ()) if isinstance(values, xr.DataArray) else ()
    told = [each for each in reasons if "NaN" not in each]
    why = f" ({'; '.join(reasons)})" if told else ""
    first = tuple(int(i) for i in np.argwhere(gaps)[0])
    raise InputError(
        f"{counted(gaps)} are {'missing' if told else 'NaN or infinite'}{why}, the first at {_place(values, first)}; "
        f"fill them from the nearest valid sites with {option('--fill', 'rgdm.data.checks.fill_gaps')}"
    )


def counted(gaps: np.ndarray) -> str:
    """How many of the values are missing, and which share of them unless it is tiny."""
    share = gaps.mean()
    return f"{gaps.sum()} of {gaps.size} values" + (f" ({share:.2%})" if share >= 1e-4 else "")


def fill_gaps(values: Values, boundary: Boundaries = "reflect") -> tuple[Values, np.ndarray]:
    """A copy of ``(sample, channel, *lattice)`` values whose gaps have the value of the nearest valid site.

    Across a periodic boundary, too. Also returned: which values were missing, ``(sample, channel, *lattice)``.
    """
    array = _numpy(values)
    gaps = ~np.isfinite(array)
    if not gaps.any():
        return values, gaps
    sides, filled = boundary_of_each(boundary, array.ndim - 2), array.copy()
    for index in np.ndindex(array.shape[:2]):
        if gaps[index].all():
            raise InputError(f"all values at {_place(values, index)} are NaN or infinite; nothing to fill them from")
        if gaps[index].any():
            filled[index] = array[index][_nearest(gaps[index], sides)]
    if isinstance(values, Tensor):
        return torch.from_numpy(filled).to(values.device), gaps
    if isinstance(values, xr.DataArray):
        return _with_values(values, filled), gaps
    return cast(Values, filled), gaps


def _nearest(gaps: np.ndarray, sides: Sequence[str]) -> tuple[np.ndarray, ...]:
    """For each site of a lattice the indices of the nearest one without a gap."""
    width = [n // 2 if side == "periodic" else 0 for n, side in zip(gaps.shape, sides, strict=True)]
    around = np.pad(gaps, [(w, w) for w in width], mode="wrap")
    nearest = np.asarray(distance_transform_edt(around, return_distances=False, return_indices=True))
    own = tuple(slice(w, w + n) for w, n in zip(width, gaps.shape, strict=True))
    return tuple((each[own] - w) % n for each, w, n in zip(nearest, width, gaps.shape, strict=True))


def blank(made: xr.DataArray, missing: np.ndarray, factors: Sequence[int]) -> xr.DataArray:
    """What was made of a filled field, ``(member, sample, channel, *lattice)``: NaN in cells that were missing.

    ``missing`` is ``(sample, channel, *coarse)``, its lattice coarser by ``factors``.
    """
    if not missing.any():
        return made
    for axis, factor in enumerate(factors, start=2):
        missing = missing.repeat(factor, axis)
    return _with_values(made, np.where(missing, np.nan, made.to_numpy()))


def check_made(values: xr.DataArray | xr.Dataset, missing: int = 0) -> None:
    """Raise ``InputError`` unless all values that were made are finite, but for ``missing`` ones that are NaN."""
    parts = [values] if isinstance(values, xr.DataArray) else list(values.data_vars.values())
    numbers = [part.to_numpy() for part in parts if part.dtype.kind == "f"]
    wrong = sum(int((~np.isfinite(array)).sum()) for array in numbers)
    if wrong != missing or (missing and any(np.isinf(array).any() for array in numbers)):
        raise InputError(
            f"{wrong - missing} of {sum(array.size for array in numbers)} values of the result are not finite, and "
            "nothing is written; the model is damaged, or it was given a field far from those that it was trained on"
        )


def _with_values(array: xr.DataArray, values: np.ndarray) -> xr.DataArray:
    changed = array.copy(data=values)
    changed.encoding = dict(array.encoding)
    return changed


def check_varies(values: Tensor | np.ndarray | xr.DataArray) -> None:
    """Raise ``InputError`` if a channel of ``(sample, channel, *lattice)`` has one value everywhere."""
    array = _numpy(values)
    names = values.coords["channel"].values if isinstance(values, xr.DataArray) and "channel" in values.coords else None
    for channel in range(array.shape[1]):
        own = array[:, channel][np.isfinite(array[:, channel])]
        if own.size == 0:
            raise InputError(f"channel {channel if names is None else names[channel]} has no value that is not missing")
        low, high = own.min(), own.max()
        if low == high:
            name = channel if names is None else names[channel]
            raise InputError(f"channel {name} is constant ({low:g}) everywhere; there is nothing to learn from it")


def _numpy(values: Tensor | np.ndarray | xr.DataArray) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return values.to_numpy() if isinstance(values, xr.DataArray) else values


def _place(values: Tensor | np.ndarray | xr.DataArray, index: tuple[int, ...]) -> str:
    """A place in words, such as ``v, sample 7 (time 2001-01-08), lat[3] = -57, lon[4] = 11.25``."""
    if not isinstance(values, xr.DataArray):
        named = [f"{name} {i}" for name, i in zip(("sample", "channel"), index, strict=False)]
        return ", ".join([*named, f"site {index[2:]}"] if index[2:] else named)
    sample, channel, *site = index
    name = str(values["channel"].values[channel]) if "channel" in values.coords else f"channel {channel}"
    along = [f"{key} {_written(c.values[sample])}" for key, c in values.coords.items() if c.dims == values.dims[:1]]
    words = [name, f"sample {sample}" + (f" ({', '.join(along)})" if along else "")]
    for axis, i in zip(values.dims[2:], site, strict=False):
        words.append(f"{axis}[{i}]" + (f" = {_written(values[axis].values[i])}" if axis in values.coords else ""))
    return ", ".join(words)


def _written(value: object) -> str:
    """A coordinate as people write it, a time to the second."""
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[s]")).removesuffix("T00:00:00")
    return f"{value:g}" if isinstance(value, np.floating) else str(value)
