"""A model and a true field in, scores out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from rgdm import config
from rgdm.commands.beside import known_beside
from rgdm.commands.shared import (
    aligned,
    check_lattice,
    check_size,
    cropped,
    load,
    note,
    open_model,
    provenance,
    without_gaps,
)
from rgdm.data.checks import fill_gaps
from rgdm.data.identity import identity_of, known_of
from rgdm.data.layout import Layout, unwrap
from rgdm.data.moments import moments, step_in_words, time_of
from rgdm.data.orientation import orientation_of
from rgdm.errors import InputError
from rgdm.evaluate import bicubic, bits_per_dof, block_constant, judge, save_evaluation
from rgdm.evaluate.judgement import check_thresholds
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import Frames, frames_of
from rgdm.model.cascade.geometry import measures, trajectory, weights_of
from rgdm.model.cascade.persistence import PERSISTENCE
from rgdm.model.cascade.place import AREAS, place_of
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.notes import say
from rgdm.progress import bar
from rgdm.ranges import check_options

UNEQUAL = 1.15
"""Steps of time that differ by less are equal, as those of months are."""


def evaluate(options: config.Evaluate) -> dict[str, Any]:
    """Coarsen, refine and judge; keep scores and fields if a folder is given."""
    check_options(options)
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists; choose another name or pass --overwrite")
    if options.members < 2:
        raise InputError(f"members is {options.members}; an ensemble needs at least 2 to be judged")
    model = open_model(options.model, options.device)
    field = load([options.field], options.variable, model.dimension, options.axes, model)
    field = aligned(model, field, options.field, options.force).field
    if options.frames:
        check_frames(field)
    beside = known_beside(model, options, options.field)
    levels = model.depth(options.levels)
    field = cropped(field, model.grid, levels) if options.crop else field
    check_lattice(model.operator, field, levels)
    check_size(model, tuple(field.shape[2:]), len(field) * options.members)
    then = "they are left out of the scores"
    field, missing = without_gaps(field, model.grid.boundaries, options.fill, then, model.takes_gaps)
    values = unwrap(field, model.channels, model.dimension, axes=model.grid.names)[0]
    place = place_of(model, field, values, 0, None, *beside)
    scores = verify(model, field, levels, options, options.out, missing, place)
    note(model)
    return scores


def verify(
    model: Cascade,
    field: xr.DataArray,
    levels: int,
    options: config.Evaluate | config.Demo,
    out: Path | None,
    missing: np.ndarray | None = None,
    place: Setting = NOWHERE,
) -> dict[str, Any]:
    """Scores of the ensemble that the model makes of the coarsened truth, a field ``(sample, channel, *lattice)``.

    Where the truth was ``missing`` (of its shape), no site counts, and the fields that are kept are NaN. If it is not
    filled there, block means are those of the sites that are there. ``place`` holds areas of cells and companions.
    """
    values, layout = unwrap(field, model.channels, model.dimension, axes=model.grid.names)
    if place.weights is not None and model.takes_gaps and bool((place.weights == 0).any()):
        values = values.where(place.weights > 0, torch.nan)  # cells without an area are missing
        missing = values.isnan().numpy()
    fields, frames = Fields(values, place), _frames(model, layout, len(values), options)
    truth, setting = fields.values, fields.setting
    gaps, weights, areas = weights_of(truth), setting.weights, place.weights
    coarse = model.trajectory(truth, levels, areas)[-1]
    whole = coarse
    if gaps is not None:  # figures of whole fields take these values, for truth and members alike
        truth, whole = (_filled(x, model) for x in (truth, coarse))
    names = [str(name) for name in field["channel"].values]
    levels_of_sets = thresholds(options.thresholds) if isinstance(options, config.Evaluate) else ()
    check_thresholds(truth, levels_of_sets, names)
    evaluations = options.evaluations if isinstance(options, config.Evaluate) else None
    with bar("refining", len(truth) * options.members) as show:
        settings = levels, options.members, options.seed, evaluations
        ensemble = model.refine(
            coarse, *settings, watch=show, place=setting, times=frames, persistent=frames is not None
        )
    if gaps is not None:
        ensemble = torch.where(gaps > 0, ensemble, truth)
    factors, sides = model.grid.widths(levels), model.grid.boundaries
    baseline = {
        "block_constant": block_constant(whole, factors),
        "bicubic": bicubic(whole, factors, sides, model.operator.places(model.dimension, levels)),
    }
    if weights is not None:
        baseline = {name: _on(field, whole, setting, model, levels) for name, field in baseline.items()}
    valid = None if missing is None or not missing.any() else torch.from_numpy(~missing)
    known = identity_of(field, model.dimension, model.grid.names)
    scores = judge(
        truth,
        ensemble,
        whole,
        model.operator,
        levels,
        sides,
        baseline,
        channels=names,
        units=[channel.units or "" for channel in known.channels],
        thresholds=levels_of_sets,
        valid=valid,
        weights=weights,
        areas=_areas_in_words(model, options),
        times=isinstance(options, config.Evaluate) and options.frames,
    )
    if options.likelihood and valid is not None:
        say(["no bits per degree of freedom: values of the truth are missing"])
    elif options.likelihood:
        try:
            with bar("likelihood", levels) as show:
                scores |= bits_per_dof(model, fields, levels, show)
        except InputError as error:
            say([f"no bits per degree of freedom: {error}"])
    if out is not None:
        first = ensemble[0, :1]
        there = first if gaps is None else first.where(gaps[:1] > 0, torch.nan)
        zoom = model.trajectory(there, levels, areas if areas is None else areas[:1])[::-1]
        notes: dict[str, Any] = {str(key): str(value) for key, value in field.attrs.items()} | provenance(options)
        rising = [axis.rising for axis in known_of(model.metadata, model.grid, model.channels).axes]
        lying = orientation_of(field, field.dims[2:], rising)
        notes["orientation"] = lying.to_json()
        save_evaluation(out, scores, truth, coarse, baseline["bicubic"], ensemble, zoom, notes, valid)
    return scores


def _areas_in_words(model: Cascade, options: config.Evaluate | config.Demo) -> str:
    """Which areas weigh the sites, if any do."""
    given = options.areas if isinstance(options, config.Evaluate) else None
    known = {"latitude": "those of latitudes"}.get(str(model.metadata.get(AREAS)), "given")
    return known if given is None else f"those of {Path(given).name}"


def _frames(model: Cascade, layout: Layout, count: int, options: config.Evaluate | config.Demo) -> Frames | None:
    """The times of fields, where members are to last in time."""
    wanted = PERSISTENCE in model.metadata and (isinstance(options, config.Demo) or options.persistence)
    return frames_of(layout, count, ", or make independent frames (--no-persistence)") if wanted else None


def check_frames(field: xr.DataArray) -> None:
    """Raise ``InputError`` unless the samples follow each other in equal steps of time, as far as the file says."""
    if field.sizes["sample"] < 2:
        raise InputError("--frames needs 2 or more samples that follow each other in time; the file holds one")
    names = time_of(field, ["sample"])
    if not names or field.coords[names[0]].dims != ("sample",):
        return
    times, unit = moments(field.coords[names[0]])
    steps = np.diff(times)
    if steps.min() <= 0 or steps.max() > UNEQUAL * steps.min():
        found = " and ".join(step_in_words(step, unit) for step in sorted({steps.min(), steps.max()}))
        raise InputError(
            f"the samples are no consecutive frames: steps of {names[0]} are {found}; take a piece of equal steps and "
            "one member, or leave --frames out"
        )


def _on(fine: Tensor, coarse: Tensor, setting: Setting, model: Cascade, levels: int) -> Tensor:
    """A field that is shifted in each block so that the weighted mean of its sites is the coarse value."""
    assert setting.weights is not None
    off = coarse - trajectory(model.operator, fine, levels, setting.weights)[-1]
    of_blocks = measures(model.operator, setting.weights, levels)[-1]
    assert of_blocks is not None
    off = off.where(of_blocks > 0, 0.0)
    return fine + block_constant(off, model.grid.widths(levels))


def _filled(x: Tensor, model: Cascade) -> Tensor:
    """Without gaps: from the nearest values of a sample, of one without any with the mean of the others."""
    empty = x.isnan().flatten(2).all(2)
    means = torch.stack([channel[~channel.isnan()].mean() for channel in x.unbind(1)])
    shape = (*empty.shape, *[1] * (x.dim() - 2))
    x = torch.where(empty.reshape(shape), means.expand(empty.shape).reshape(shape), x)
    return fill_gaps(x, model.grid.boundaries)[0]


def thresholds(words: tuple[str, ...]) -> tuple[float, ...]:
    """Numbers that are separated by spaces or commas."""
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        raise InputError(f"the thresholds are {', '.join(parts)}; give numbers, such as --thresholds 0,-1000") from None
