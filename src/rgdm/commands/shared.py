"""What the commands have in common: reading, checking, notes, and what is written on every output."""

import shlex
from collections.abc import Mapping
from dataclasses import MISSING as MISSING_DEFAULT
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import tyro
import xarray as xr

from rgdm import __version__, config
from rgdm.data.alignment import Aligned, align
from rgdm.data.checks import check_finite, counted, fill_gaps
from rgdm.data.crop import crop
from rgdm.data.fields import read_field
from rgdm.data.identity import IDENTITY, Identity, identity_of
from rgdm.data.memory import check_memory
from rgdm.data.missing import MISSING
from rgdm.data.origin import origin_of
from rgdm.data.results.provenance import HISTORY, MADE_BY, longer_history, record
from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.edge import align_with, model_checksum
from rgdm.notes import say
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.grid import Grid
from rgdm.train import choose_device


def load(
    paths: list[Path] | tuple[Path, ...],
    variable: str | None,
    dimension: int,
    axes: str | None = None,
    model: Cascade | None = None,
    force: bool = False,
) -> xr.DataArray:
    """A field ``(sample, channel, *lattice)``; ``axes`` are the user's, a model says which it looks for.

    Missing values are NaN, for :func:`without_gaps`.
    """
    chosen = [name.strip() for name in axes.split(",")] if axes is not None else []
    order, names = ((), ()) if model is None else (model.grid.names, channel_names(model))
    return read_field(paths, variable, dimension, chosen, order, names, force)


def without_gaps(
    field: xr.DataArray, boundary: Boundaries, fill: bool, then: str, able: bool = False
) -> tuple[xr.DataArray, np.ndarray]:
    """A field without gaps, and which of its values were missing; ``then`` says what becomes of these.

    They are refused unless ``fill`` is set, or what follows is ``able`` to leave them missing; they are NaN then still.
    """
    if fill:
        field, missing = fill_gaps(field, boundary)
        if missing.any():
            say([f"{counted(missing)} are missing and filled from the nearest valid sites; {then}"])
        return field, missing
    if not able:
        field = check_finite(field)
    missing = ~np.isfinite(field.to_numpy())
    if missing.all(tuple(i for i in range(missing.ndim) if i != 1)).any():
        empty = missing.all(tuple(i for i in range(missing.ndim) if i != 1))
        names = ", ".join(str(name) for name in field["channel"].values[empty])
        raise InputError(f"{names}: no value that is not missing; leave it out, or give another field")
    if missing.any():
        reasons = "; ".join(each for each in field.encoding.get(MISSING, ()) if "NaN" not in each)
        why = f" ({reasons})" if reasons else ""
        say([f"{counted(missing)} are missing{why}, and stay so; {then}"])
    return field, missing


def cropped(field: xr.DataArray, grid: Grid, levels: int) -> xr.DataArray:
    """The largest part of a field whose lattice divides by ``factor^levels``; what was cut is said."""
    field, notes = crop(field, grid.widths(levels), grid.boundaries)
    say(notes)
    return field


def check_lattice(operator: CoarseGraining, field: xr.DataArray, levels: int) -> None:
    """``InputError`` if a field cannot be coarse-grained so often, which says what helps."""
    lattice = tuple(field.shape[2:])
    try:
        operator.check_depth(lattice, levels)
    except InputError as error:
        enough = all(n >= width for n, width in zip(lattice, operator.widths(len(lattice), levels), strict=True))
        help = "; cut it with --crop" if enough else ""
        raise InputError(f"{error}{help} (the last {len(lattice)} axes are the lattice: --dimension)") from None


def aligned(model: Cascade, field: xr.DataArray, path: Path, force: bool, levels: int = 0) -> Aligned:
    """A field as the data of a model lie, ``levels`` coarser than these; what was done to it is said."""
    found = align_with(model, field, str(path), levels, force)
    say(found.notes)
    return found


def resumed(field: xr.DataArray, folder: Path, force: bool) -> xr.DataArray:
    """Fields on which a training goes on, aligned with those on which it began, if their description is left."""
    try:
        known = storage.read_config(folder)[1].get(IDENTITY)
    except InputError:  # killed between two files: the checkpoint is enough to go on
        return field
    if known is None:
        return field
    found = align(field, Identity.from_json(known), "what is read", "the training began on", force=force)
    say(found.notes)
    return found.field


def open_model(name: str, device: str) -> Cascade:
    """A model on the device asked for."""
    return Cascade.from_pretrained(name).to(choose_device(device))


def note(model: Cascade) -> None:
    """Say on stderr that a training was cut short."""
    if "training" not in model.metadata:
        say(["the training of this model was not finished (rgdm train ... --resume)"])


def check_size(model: Cascade, lattice: Lattice, fields: int) -> None:
    """Raise ``ValueError`` if the lattice does not suit the model, or the memory does not suffice."""
    if len(lattice) != model.dimension:
        raise InputError(f"the lattice {lattice} has {len(lattice)} axes; this model is {model.dimension}-dimensional")
    if any(n < 1 for n in lattice):
        raise InputError(f"the lattice {lattice} has an empty axis; every axis needs at least 1 site")
    what = f"{fields} x " + " x ".join(str(n) for n in lattice)
    check_memory(model.memory(lattice, fields), f"making {what} sites")


def describe(field: xr.DataArray) -> dict[str, Any]:
    """What is known of the training data: written on what the model makes, compared with what it is given."""
    return {
        "name": str(field.name or ""),
        "channels": [str(name) for name in field["channel"].values],
        "attrs": _plain(field.attrs),
        "own_attrs": {name: _plain(own) for name, own in origin_of(field).channels.items()},
        IDENTITY: identity_of(field, field.ndim - 2, field.dims[2:]).to_json(),
    }


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Those attributes that JSON holds as they are."""
    values = {str(k): v.item() if isinstance(v, np.generic) else v for k, v in attrs.items()}
    return {k: v for k, v in values.items() if isinstance(v, str | int | float)}


def channel_names(model: Cascade) -> list[str]:
    """The channels by name."""
    names = model.metadata.get("channels") or []
    return names if len(names) == model.channels else [f"channel{i}" for i in range(model.channels)]


def provenance(options: Any, command: str = "", model: Cascade | None = None, before: Any = None) -> dict[str, Any]:
    """What is written into the attributes of every output: how it was made, so that it can be made again.

    Args:
        options: of the command.
        command: its name, by default that of the options.
        model: whose checksum is written, if it was a model that made the output.
        before: the history of the file that it was made of.
    """
    name = command or type(options).__name__.lower()
    settings = ", ".join(f"{key}={value}" for key, value in vars(options).items())
    made: dict[str, Any] = {MADE_BY: f"rgdm {__version__} {name}", "settings": settings}
    if model is not None:
        made |= record(made[MADE_BY], model_checksum(model), seed=options.seed)
    with_model = "" if model is None else f", model {made['model_checksum']}"
    line = f"{command_line(options, name)} (rgdm {__version__}{with_model})"
    return {**made, HISTORY: longer_history(before, line)}


def command_line(options: Any, command: str) -> str:
    """What somebody would type to have these options, without those that are as by default."""
    hints, words = get_type_hints(type(options), include_extras=True), ["rgdm", command]
    placed = [field for field in fields(options) if tyro.conf.Positional in get_args(hints[field.name])]
    for each in placed:
        value = getattr(options, each.name)
        words += _typed(value)
    for each in fields(options):
        value, name = getattr(options, each.name), each.name.replace("_", "-")
        if each in placed or is_dataclass(value) or (each.default is not MISSING_DEFAULT and value == each.default):
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name}")
        else:
            words += [f"--{name}", *_typed(value)]
    return shlex.join(words)


def _typed(value: Any) -> list[str]:
    """The words of an option, numbers that are one for each level with commas between them."""
    each = value if isinstance(value, tuple) else (value,)
    return [config.typed_factor(one) if isinstance(one, tuple) else str(one) for one in each]
