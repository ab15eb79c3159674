"""What belongs to the places of a field, such as a mask of the fine cells that are there: laid out as the field is."""

import itertools
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from rgdm.data.axes import axis_roles, lattice_axes
from rgdm.data.cells.order import calendar_of
from rgdm.data.cells.places import cut_to, laid_on
from rgdm.data.fields import choices, read_field
from rgdm.data.moments import text_of
from rgdm.data.origin import ORIGIN, Origin, origin_of
from rgdm.errors import InputError
from rgdm.notes import option

_BY_PLACE = re.compile(r"(axis|dim)_\d+")
"""Names that are given where there are none."""


def read_mask(path: Path, axes: Sequence[str]) -> xr.DataArray:
    """The mask of a file, ``FILE`` or ``FILE:NAME``, for lattice axes of these names or roles.

    ``InputError`` if the file holds several variables and none is named.
    """
    file, names = split_names(str(path))
    if not names and len(several := choices(file, len(axes))) > 1:
        remedy = option(f"choose the mask with --mask {file}:NAME", f"name the mask by {file}:NAME")
        raise InputError(f"{file} has the variables {', '.join(several)}; {remedy}")
    mask = read_field([file], ",".join(names) or None, len(axes), order=axes)
    static = mask.sizes["sample"] == 1 and not origin_of(mask).samples
    single = {"sample": static, "channel": mask.sizes["channel"] == 1}
    return mask.squeeze([axis for axis, one in single.items() if one], drop=True)


def split_names(given: str) -> tuple[Path, list[str]]:
    """``FILE:NAME,NAME`` as a file and the names of variables; a file that is called so is one."""
    file, colon, names = given.rpartition(":")
    if not colon or len(file) < 2 or Path(given).exists():
        return Path(given), []
    return Path(file), [name.strip() for name in names.split(",") if name.strip()]


def laid_out(
    mask: Any,
    like: Any,
    axes: Sequence[str],
    lattice: Sequence[int] = (),
    notes: list[str] | None = None,
    what: str = "mask",
    missing: float = 0.0,
) -> np.ndarray:
    """A mask, areas or a companion as values ``(sample or 1, channel or 1, *lattice)`` that lie as ``like`` does.

    Of an xarray field the mask is an xarray object too: its lattice axes are found by name or role, without either
    by their sizes where these differ; its cells are laid on those of the field
    (:func:`~rgdm.data.cells.places.laid_on`), channels are taken by name, samples by their coordinates; an axis
    that it has not, or once, is one that it does not depend on; of one that reaches farther than the field its part
    is taken. Of an array it is an array, the last axes the lattice.

    Args:
        mask: an xarray object, array or tensor.
        like: what the field is, aligned with the model.
        axes: the names of the lattice axes of the model.
        lattice: the sizes that it should have along them.
        notes: where sentences are put that say what was done to it.
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
        values = _of_array(mask, len(axes), what)
        return np.where(np.isnan(values), missing, values)
    field = _array(like)
    known = all(name in field.dims for name in axes)
    own: list[Hashable] = [*axes] if known else [*field.dims[-len(axes) :]]
    values = _of_xarray(_array(mask), field, own, tuple(lattice), [] if notes is None else notes, what)
    return np.where(np.isnan(values), missing, values)


def absent(
    missing: np.ndarray, mask: xr.DataArray, like: xr.DataArray, axes: Sequence[str], factors: Sequence[int]
) -> int:
    """How many fine cells are missing: those in missing blocks ``(sample, channel, *coarse)``, and by the mask."""
    for axis, factor in enumerate(factors, start=2):
        missing = missing.repeat(factor, axis)
    return int((missing | (laid_out(mask, like, axes, missing.shape[2:]) == 0)).sum())


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


def _of_xarray(
    mask: xr.DataArray,
    field: xr.DataArray,
    own: list[Hashable],
    lattice: tuple[int, ...],
    notes: list[str],
    what: str,
) -> np.ndarray:
    found = _lattice_of(mask, field, own, lattice, notes, what)
    mask = mask.rename({a: b for a, b in zip(found, own, strict=True) if a != b})
    samples = [name for name in field.dims if name not in (*own, "channel")]
    mask = _once(mask, field, samples, notes, what)
    beside = [name for name in mask.dims if name not in own]
    if any(name not in (*samples, "channel") or mask.sizes[name] != field.sizes.get(name, 1) for name in beside):
        raise InputError(
            f"the {what} has the axes {_sizes(mask)}, the field {_sizes(field)}; beside those of the lattice they must "
            "be among those of the field, and as long"
        )
    for name in beside:
        mask = _matched(mask, field, name, what)
    if lattice:
        mask, done = cut_to(mask, field, own, lattice, f"the {what}")
        notes += done
    mask, done = laid_on(mask, field, own, f"the {what}")
    notes += done
    if any(name in mask.dims for name in samples):
        mask = mask.expand_dims({name: field.sizes[name] for name in samples if name not in mask.dims})
    mask = mask.transpose(*(name for name in (*samples, "channel", *own) if name in mask.dims))
    values = mask.to_numpy().astype(np.float64)
    return values.reshape(-1, mask.sizes.get("channel", 1), *values.shape[values.ndim - len(own) :])


def _lattice_of(
    mask: xr.DataArray, field: xr.DataArray, own: list[Hashable], lattice: tuple[int, ...], notes: list[str], what: str
) -> list[Hashable]:
    """The axes of it that are those of the lattice: by name, by role, else by their sizes, which is said."""
    found, roles, theirs = lattice_axes(mask, len(own), order=own)[1], axis_roles(mask), axis_roles(field)
    known = [a == b or (roles[a] and roles[a] == theirs[b]) for a, b in zip(found, own, strict=True)]
    if all(known) or not lattice:
        return found
    free = [name for name in mask.dims if name not in field.dims or name in own]
    fits = [each for each in itertools.permutations(free, len(own)) if tuple(mask.sizes[n] for n in each) == lattice]
    named, wanted = ", ".join(map(str, free)), ", ".join(map(str, own))
    placed = all(_BY_PLACE.fullmatch(str(name)) for name in found)
    if len(fits) != 1 and not (placed and tuple(found) in fits):
        sizes = " x ".join(map(str, lattice))
        raise InputError(
            f"the {what} has the axes {_sizes(mask)}, of which {'any order' if fits else 'none'} fits the fine lattice "
            f"{sizes}; name them {wanted}"
        )
    taken = found if placed and tuple(found) in fits else list(fits[0])
    how = "in their order" if placed else "by their sizes"
    notes.append(f"the axes {', '.join(map(str, taken))} of the {what} ({named}) are taken for {wanted} {how}")
    return taken


def _once(
    mask: xr.DataArray, field: xr.DataArray, samples: list[Hashable], notes: list[str], what: str
) -> xr.DataArray:
    """Without an axis of samples that has one entry, which serves for all; that is said where there are several."""
    for name in [name for name in mask.dims if name in samples and mask.sizes[name] == 1]:
        if field.sizes[name] > 1:
            own = mask.encoding.get(ORIGIN)
            called = ", ".join(own.samples) if isinstance(own, Origin) and name == "sample" else name
            notes.append(f"the {what} has one {called} and is used for all {field.sizes[name]} of the field")
        mask = mask.isel({name: 0}, drop=True)
    return mask


def unused(mask: Tensor, coarse: Tensor, there: Tensor) -> list[str]:
    """A sentence about cells that a mask allows in blocks where the coarse field is missing.

    Args:
        mask: 1 and 0, ``(b, c, *F)``.
        coarse: with NaN where it is missing.
        there: 1 in the cells of blocks that have a value, ``(B, C, *F)``.
    """
    cells, blocks = int(((mask > 0) & (there == 0)).sum()), int(coarse.isnan().sum())
    if not cells:
        return []
    return [f"the mask has {cells} cells in the {blocks} blocks where the coarse field is missing; they stay missing"]


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
        calendars = [calendar_of(x[key]) for x in (mask, field)]
        if len(set(calendars)) > 1:
            raise InputError(
                f"the {what} counts {key} by the calendar {calendars[0] or 'none'}, the field by "
                f"{calendars[1] or 'none'}; convert one of them (convert_calendar in xarray)"
            )
        here, there = (list(map(text_of, x[key].to_numpy())) for x in (mask, field))
        if here == there:
            continue
        if sorted(here) != sorted(there) or len(set(here)) < len(here):
            first = [x[key].values[0] for x in (mask, field)]
            raise InputError(
                f"the {what} has {first[0]}, ... along {key}, the field {first[1]}, ...; give the {what} of these "
                f"{key}s, or one that does not depend on {key}"
            )
        return mask.isel({axis: [here.index(value) for value in there]})
    return mask


def _sizes(array: xr.DataArray) -> str:
    return ", ".join(f"{name} ({size})" for name, size in array.sizes.items())
