"""What the user gives beside fields: areas of cells, static fields, variables that inform, the time."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr

from rgdm import config
from rgdm.data.areas import areas_of
from rgdm.data.checks import counted, fill_gaps
from rgdm.data.clock import CYCLES, clock_of
from rgdm.data.companions import FILE, Companion, laid_beside, read_companions, unstacked
from rgdm.data.fields import read_field
from rgdm.data.mask import laid_out, split_names
from rgdm.design import Cycle
from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.place import ALIKE, AREAS, COMPANIONS, known_at_coarsest
from rgdm.model.lifts.setting import Setting
from rgdm.notes import say
from rgdm.scale.grid import Grid

_AREAS_ASKED = {
    "given": "with --areas FILE",
    "latitude": "with the areas that latitudes say (no --areas)",
    None: "with cells that count alike (--areas none)",
}
"""How a training was begun, by what its metadata say of areas."""


def beside_fields(field: xr.DataArray, options: config.Train, grid: Grid) -> tuple[Setting, dict[str, Any]]:
    """The place of the fields of a training, and what the metadata of the model say of it."""
    weights, how = _areas(field, options, grid)
    known: dict[str, Any] = {} if how is None else {AREAS: how}
    axes, depth = grid.names, options.design.levels
    static = read_companions(options.static, axes) if options.static else xr.Dataset()
    given = _given(options.fields, options.given, axes) if options.given else xr.Dataset()
    if options.crop:  # as the field was, which is of the same files
        given = given.isel({name: slice(size) for name, size in field.sizes.items() if name in given.dims})
    parts, companions, clock = [], [], None
    if options.clock:
        cycles: list[Cycle] = [cycle for cycle in CYCLES if cycle in options.clock]
        clock = clock_of(field, len(field), cycles, axes, field.shape[2:])
    for kind, data in (("static", static), ("given", given)):
        for name, array in data.data_vars.items():
            if str(name) in map(str, field["channel"].values):
                raise InputError(f"{name} is what the model is to make; it cannot be known beside it")
            file = array.attrs.pop(FILE, None)
            companions.append(Companion.of(array.rename(str(name)), kind, file))  # pyright: ignore[reportArgumentType]
            values = torch.from_numpy(
                _filled(laid_beside(data, field, axes, companions[-1:], field.shape[2:])[0], str(name), grid)
            )
            if tuple(values.shape[2:]) != tuple(field.shape[2:]):
                raise InputError(
                    f"{name} has the lattice {tuple(values.shape[2:])} and the fields {tuple(field.shape[2:])}; what "
                    "is known beside fields lies on the same lattice"
                )
            if kind == "given":
                values = known_at_coarsest(values, grid.factors, 0, depth, grid.boundaries)
            parts.append(values)
    if not parts:
        return Setting(weights, clock=clock), known
    known[COMPANIONS] = [each.to_json() for each in companions]
    together = max(len(part) for part in parts)
    values = torch.cat([part.expand(together, *part.shape[1:]) for part in parts], 1).float()
    return Setting(weights, values, clock), known


def check_beside(folder: Path, known: dict[str, Any]) -> None:
    """``InputError`` if a training goes on beside other areas or companions than it was begun with, by their options.

    Values that differ under the same names are told by the checkpoint.
    """
    try:
        then = storage.read_config(folder)[1]
    except InputError:  # killed between two files: the checkpoint is enough to go on
        return
    if then.get(AREAS) != known.get(AREAS):
        raise InputError(_begun(folder, _AREAS_ASKED.get(then.get(AREAS), "with other areas"), "resume it so"))
    before, now = (
        {(one.kind, one.name): one for one in map(Companion.from_json, each.get(COMPANIONS, []))}
        for each in (then, known)
    )
    if lacks := [_asked(one) for key, one in before.items() if key not in now]:
        raise InputError(_begun(folder, f"with {' and '.join(lacks)}", "give it again"))
    if more := [_asked(one) for key, one in now.items() if key not in before]:
        raise InputError(_begun(folder, f"without {' and '.join(more)}", "leave it out"))


def _begun(folder: Path, how: str, remedy: str) -> str:
    return f"the training in {folder} was begun {how}; {remedy}, or begin another with --overwrite"


def _asked(known: Companion) -> str:
    """The option that gives a companion."""
    return f"--static {known.file or 'FILE'}:{known.name}" if known.kind == "static" else f"--{known.kind} {known.name}"


class Beside(NamedTuple):
    """What ``Cascade.refine`` takes beside a field."""

    areas: xr.DataArray | str | None
    static: xr.Dataset | None
    given: xr.Dataset | None


def known_beside(model: Cascade, options: config.Refine | config.Evaluate, file: Path) -> Beside:
    """What options give beside a field of ``file``."""
    axes = model.grid.names
    known = [Companion.from_json(each) for each in model.metadata.get(COMPANIONS, [])]
    static = [each for each in known if each.kind == "static"]
    given = [each for each in known if each.kind == "given"]
    source = options.given or (file if given else None)
    return Beside(
        _file_of_areas(options.areas, model),
        read_companions(options.static, axes, static) if options.static else None,
        None if source is None else read_companions([str(source)], axes, given),
    )


def _areas(field: xr.DataArray, options: config.Train, grid: Grid) -> tuple[torch.Tensor | None, str | None]:
    """The areas of the cells of a training, and where they come from."""
    if options.areas == ALIKE:
        return None, None
    able = options.design.operator == "block-spin" and grid.one_factor
    if options.areas is not None:
        if not able:
            raise InputError("--areas weighs block means; it needs --operator block-spin and one factor for all axes")
        path, names = split_names(options.areas)
        read = read_field([path], ",".join(names) or None, len(grid.axes), order=grid.names)
        single = [name for name in ("sample", "channel") if read.sizes[name] == 1]
        notes: list[str] = []
        lattice = field.shape[2:]
        values = laid_out(read.squeeze(single, drop=True), field, grid.names, lattice, notes, "file of areas")
        say(notes)
        if tuple(values.shape[2:]) != tuple(field.shape[2:]):
            raise InputError(
                f"{path} has areas on the lattice {tuple(values.shape[2:])}; they are needed on "
                f"{tuple(field.shape[2:])}, that of the fields"
            )
        if (wrong := int((~((values >= 0) & np.isfinite(values))).sum())) > 0:
            raise InputError(
                f"{wrong} of {values.size} areas in {path} are negative or infinite, from {values.min():g} to "
                f"{values.max():g}; areas are 0 (missing) or more"
            )
        return torch.from_numpy(values), "given"
    found = areas_of(field, grid.names)
    if found is None:
        return None, None
    if not able:
        say(["cells count alike at all latitudes; --operator block-spin of one factor weighs them by their areas"])
        return None, None
    say(["block means are weighted by the areas of cells, which latitudes say (--areas none: cells count alike)"])
    return torch.from_numpy(found), "latitude"


def _file_of_areas(given: str | None, model: Cascade) -> xr.DataArray | str | None:
    if given is None or given == ALIKE:
        return given
    path, names = split_names(given)
    read = read_field([path], ",".join(names) or None, model.dimension, order=model.grid.names)
    return read.squeeze([name for name in ("sample", "channel") if read.sizes[name] == 1], drop=True)


def _given(paths: tuple[Path, ...], names: str, axes: tuple[str, ...]) -> xr.Dataset:
    """Variables of the fields' own files."""
    return xr.Dataset(unstacked(read_field(paths, names, len(axes), order=axes)))


def _filled(values: np.ndarray, name: str, grid: Grid) -> np.ndarray:
    """Without gaps, which no network takes for a companion."""
    filled, gaps = fill_gaps(values, grid.boundaries)
    if gaps.any():
        say([f"{counted(gaps)} of {name} are missing, and filled from the nearest valid sites"])
    return filled
