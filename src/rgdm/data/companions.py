"""Fields that are known beside the field of a model: static ones at full resolution, and coarse ones that inform."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from torch import Tensor

from rgdm.data.alignment import align
from rgdm.data.fields import read_field
from rgdm.data.formats import open_source
from rgdm.data.identity import Channel, Identity
from rgdm.data.mask import laid_out, split_names
from rgdm.data.origin import origin_of
from rgdm.errors import InputError
from rgdm.notes import option, say

Kind = Literal["static", "given"]
"""Known at full resolution and at all times, or as block means of the coarsest level only, at the time of the field."""
FILE = "rgdm_file"
"""Attribute of what was read from a file: its name without folders."""


@dataclass(frozen=True)
class Companion:
    """What a model knows of one.

    Args:
        name: of the variable; None: not known.
        units: as its attribute spells them.
        standard_name: of the CF conventions.
        kind: static, or given with each field.
        file: where it was when the model was trained, by its name without folders.
    """

    name: str | None
    units: str | None = None
    standard_name: str | None = None
    kind: Kind = "static"
    file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> "Companion":
        """What :meth:`to_json` describes; raises ``InputError`` if it does not describe anything."""
        try:
            found = cls(**content)
        except TypeError:
            raise InputError(f"the metadata of the model do not describe a companion: {content}") from None
        texts = (found.name, found.units, found.standard_name, found.file)
        if found.kind not in ("static", "given") or not all(isinstance(text, str | None) for text in texts):
            raise InputError(f"the metadata of the model do not describe a companion: {content}")
        return found

    @classmethod
    def of(cls, array: xr.DataArray, kind: Kind, file: str | None = None) -> "Companion":
        """That of a variable."""
        texts = (array.attrs.get(key) for key in ("units", "standard_name"))
        units, standard = (None if text is None else str(text) for text in texts)
        return cls(str(array.name), units, standard, kind, file)


def laid_beside(
    source: Any, like: Any, axes: Sequence[str], known: Sequence[Companion], lattice: Sequence[int] = ()
) -> list[np.ndarray]:
    """Companions as values ``(sample or 1, 1, *lattice)`` each, which lie as the field ``like`` does.

    Of xarray objects variables are found by name, else by standard name, their units converted, their axes matched and
    turned as those of a mask (:func:`~rgdm.data.mask.laid_out`). An array is ``(G, *lattice)``, or with one axis of
    samples before. Missing values are NaN. ``lattice`` says the sizes that they should have.

    Raises:
        InputError: if a variable is not there, of another quantity or place, or does not fit.
    """
    if not isinstance(source, xr.DataArray | xr.Dataset):
        return _of_array(source, len(axes), len(known))
    data = source if isinstance(source, xr.Dataset) else _variables(source)
    found = [_named(data, each) for each in known]
    channels = tuple(Channel(each.name, each.units, each.standard_name) for each in known)
    values = []
    for name, channel in zip(found, channels, strict=True):
        aligned = align(data[name].rename(channel.name), Identity((channel,)), f"the companion {name}")
        say(aligned.notes)
        array = aligned.field.squeeze([d for d in ("channel",) if d in aligned.field.dims], drop=True)
        notes: list[str] = []
        values.append(laid_out(array, like, axes, lattice, notes, f"companion {name}", np.nan))
        say(notes)
    return values


def find(data: xr.Dataset, known: Companion) -> str | None:
    """The name of a companion in a Dataset, by its own or by its standard name; None if it is not there."""
    names = [str(name) for name in data.variables]
    if known.name in names:
        return str(known.name)
    alike = [n for n in names if known.standard_name and data[n].attrs.get("standard_name") == known.standard_name]
    return alike[0] if len(alike) == 1 else None


def _named(data: xr.Dataset, known: Companion) -> str:
    if (name := find(data, known)) is not None:
        return name
    raise InputError(
        f"the companion {known.name} is missing; there are {', '.join(map(str, data.data_vars))}: give it too "
        f"({option('--static FILE, --given FILE', 'static=, given=')}), or rename the variable that is it"
    )


def _variables(array: xr.DataArray) -> xr.Dataset:
    """A DataArray as a Dataset, of an axis ``channel`` one variable for each."""
    if "channel" in array.dims and "channel" in array.coords:
        return array.to_dataset("channel")
    return array.to_dataset(name=array.name or "companion")


def _of_array(source: Any, dimension: int, count: int) -> list[np.ndarray]:
    values = source.detach().double().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source, np.float64)
    if values.ndim == dimension and count == 1:
        values = values[None]
    if values.ndim not in (dimension + 1, dimension + 2) or values.shape[-1 - dimension] != count:
        raise InputError(
            f"the companions are an array of shape {values.shape}; ({count}, *lattice) is needed, with one axis of "
            "samples before where they differ"
        )
    values = values if values.ndim == dimension + 2 else values[None]
    return [values[:, i : i + 1] for i in range(count)]


def read_companions(given: Sequence[str], axes: Sequence[str], known: Sequence[Companion] = ()) -> xr.Dataset:
    """The variables of files, ``FILE`` or ``FILE:NAME,NAME``, each ``(*lattice)`` or ``(sample, *lattice)``.

    Args:
        given: files; one without names has one variable, or those that are known.
        axes: names of the lattice axes, or others of the same roles.
        known: the companions of a model, taken by name.
    """
    found: dict[str, xr.DataArray] = {}
    for each in given:
        path, names = split_names(each)
        if not names:
            names = _named_in(path, len(axes), known)
        field = read_field([path], ",".join(names) or None, len(axes), order=axes)
        for name, array in unstacked(field).items():
            if name in found:
                raise InputError(f"{name} is in several of the files {', '.join(given)}; name the file it comes from")
            found[name] = array.assign_attrs({FILE: path.name})
    return xr.Dataset(found)


def unstacked(field: xr.DataArray) -> dict[str, xr.DataArray]:
    """The channels of a field ``(sample, channel, *lattice)`` that was read, each with its own attributes and name."""
    own, found = origin_of(field).channels, {}
    for name in map(str, field["channel"].values):
        array = field.sel(channel=name, drop=True).rename(name)
        array.attrs = dict(own.get(name, {}))
        found[name] = array.squeeze("sample", drop=True) if array.sizes["sample"] == 1 else array
    return found


def _named_in(path: Path, dimension: int, known: Sequence[Companion]) -> list[str]:
    """Those variables of a file that are known, or its only one."""
    source = open_source(path, dimension)
    try:
        held = [name for name, array in source.variables.items() if array.ndim >= dimension]
        standard = {name: source.variables[name].attrs.get("standard_name") for name in held}
    finally:
        source.close()
    names = [name for name in held if any(one.name == name for one in known)]
    alike = [one.standard_name for one in known if one.name not in names and one.standard_name]
    names += [name for name in held if name not in names and standard[name] in alike]
    if names or (len(held) <= 1 and not known):
        return names
    listed = ", ".join(held) or "no variable"
    if known:
        wanted = ", ".join(str(one.name) for one in known)
        raise InputError(
            f"the companion {wanted} is missing: {path} has {listed}; give a file that has it"
            f"{option(' (--static FILE, --given FILE)', '')}, or rename the variable that is it"
        )
    raise InputError(f"{path} has several variables ({listed}); choose with {path.name}:NAME or {path.name}:NAME,NAME")
