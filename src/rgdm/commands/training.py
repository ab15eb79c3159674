"""Fields in, a model folder out."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import xarray as xr

from rgdm import config
from rgdm.commands.beside import beside_fields, check_beside
from rgdm.commands.health import evaluations_table, losses_table, samples_table
from rgdm.commands.shared import check_lattice, cropped, describe, load, resumed, without_gaps
from rgdm.data.axes import grid_of, note_globe
from rgdm.data.checks import OFTEN, check_varies
from rgdm.data.conventions import role_of
from rgdm.data.layout import unwrap
from rgdm.data.memory import free_memory
from rgdm.data.moments import step_in_words
from rgdm.data.origin import origin_of
from rgdm.design import Cycle, Design
from rgdm.errors import InputError
from rgdm.evaluate.evaluations import choose_evaluations
from rgdm.model.cascade import storage
from rgdm.model.cascade.calibrate import calibrate, calibrate_free
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import Frames, frames_of
from rgdm.model.cascade.persistence import calibrate_persistence
from rgdm.model.checks.allowance import Allowance
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.notes import say
from rgdm.process.persistence import correlation
from rgdm.progress import bar, training_bar
from rgdm.ranges import check_options
from rgdm.scale.grid import Grid, in_words
from rgdm.train import STILL, Budget, Parts, Trainer, Validation, check_resumable, choose_device, hold_back, turns_of

NOTICED = 0.01
"""Least difference between two losses that is told from chance."""
BY_HEART = 0.75
"""Networks that gain less than this on fields kept back, of what they gain on others, have learned these by heart."""


def train(options: config.Train) -> Cascade:
    """Read fields, measure the closed-form parts, train the lifts, fit the temperatures, save."""
    check_options(options)
    timed = options.minutes is None and options.steps is None
    budget = Budget(options.steps, 5.0 if timed else options.minutes)
    choose_device(options.device)
    if options.resume and options.overwrite:
        raise InputError("--resume goes on with a training and --overwrite replaces it; give one of the two")
    if options.resume:
        check_resumable(options.out)
    if options.out.exists() and not (options.overwrite or options.resume):
        raise InputError(f"{options.out} exists; choose another name, or pass --overwrite or --resume")
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out} is a file; a model is a folder, choose another name")
    field = load(options.fields, options.variable, options.dimension, options.axes, force=options.force)
    if options.resume:
        field = resumed(field, options.out, options.force)
    grid = grid_of(field, options.boundary, options.factor).of_levels(options.design.levels)
    note_globe(field, grid)
    field = cropped(field, grid, options.design.levels) if options.crop else field
    able = options.design.takes_gaps and grid.one_factor
    field, _ = without_gaps(
        field,
        grid.boundaries,
        options.fill,
        "the training takes them for data" if options.fill else "the training sees what is there",
        able,
    )
    check_varies(field)
    options = replace(options, design=decided(options.design, field, grid))
    place, known = beside_fields(field, options, grid)
    if options.resume:
        check_beside(options.out, known)
    return fit(field, options, budget, place, known)


def fit(
    field: xr.DataArray,
    options: config.Train,
    budget: Budget,
    place: Setting = NOWHERE,
    known: Mapping[str, Any] = MappingProxyType({}),
) -> Cascade:
    """Train on fields that are already in memory, dims ``(sample, channel, *lattice)``.

    Their ``place`` holds areas of cells, companions and a clock, of which the metadata ``known`` tell.
    """
    values, layout = unwrap(field, field.sizes["channel"], options.dimension)
    frames = frames_of(layout, len(values))
    companions = 0 if place.companions is None else place.companions.shape[1]
    grid = grid_of(field, options.boundary, options.factor)
    model = build(options, grid, values.shape[1], companions, () if place.clock is None else options.clock)
    check_lattice(model.operator, field, model.levels)
    if model.clock is not None and place.clock is not None:
        model.clock.check_varies(place.clock)
    fields = Fields(values, place)
    parts = hold_back(
        fields, model.grid, model.levels, ordered=in_time(field), narrowest=narrowest(model), where=options.hold_back
    )
    if not options.resume:
        with bar("measuring", model.levels + 1) as show:
            model.fit(parts.training, watch=show)
    model.metadata = describe(field) | dict(known)
    turns, why = turns_of(values, model.grid) if options.mirror else (STILL, [])
    say(why)
    trainer = Trainer(
        model,
        parts.training,
        options.out,
        budget,
        options.seed,
        options.learning_rate,
        options.device,
        options.precision,
        turns,
        options.checkpoint_seconds,
        parts.held_out,
    )
    if options.resume:
        trainer.resume()
        if trainer.finished and "training" in storage.read_config(options.out)[1]:
            print(f"The training had its {trainer.step} steps before; a larger budget goes on", file=sys.stderr)
            return Cascade.from_pretrained(options.out)
    with training_bar(budget) as show_progress:
        trainer.run(show_progress)
    return finish(trainer, parts, frames)


def decided(design: Design, field: xr.DataArray, grid: Grid) -> Design:
    """The design of a training, of which nothing is open any more; what was found of the data is said."""
    settings = Design.from_json(design.to_json())
    if settings.positive is not None:
        return settings
    return replace(settings, positive=_looks_positive(settings, field, grid))


def _looks_positive(design: Design, field: xr.DataArray, grid: Grid) -> bool:
    """Whether fields are never negative and often 0 in each channel, which differences do not keep but shares do."""
    values = field.to_numpy()
    try:
        able = replace(design, positive=True).positive
    except InputError:  # other settings speak against it
        able = False
    if not able or values.dtype.kind != "f":
        return False
    there = np.isfinite(values)
    axes = (0, *range(2, values.ndim))
    zeros, most = ((values == end).sum(axes) / there.sum(axes) for end in (0, np.nanmax(values)))
    if (zeros < OFTEN).any() or (most >= OFTEN).any():  # fractions end at 1 too
        return False
    negative = int((values < 0).sum())
    if 0 < negative < OFTEN * values.size:
        why = f"{negative} are negative, down to {np.nanmin(values):.3g}"
        say([f"{zeros.mean():.0%} of the values are 0 but {why}: zeros are not kept, and values may become negative"])
    if negative:
        return False
    if set(grid.factors) != {2}:
        why = f"the factor is {in_words(grid.factors)}, and only 2 keeps zeros"
        say([f"values are never negative, and {zeros.mean():.0%} of them are 0; they may become negative, for {why}"])
        return False
    say([f"values are never negative, and {zeros.mean():.0%} of them are 0: they stay so (--no-positive lets them go)"])
    return True


def in_time(field: xr.DataArray) -> bool:
    """Whether the samples follow each other in time."""
    origin = origin_of(field)
    first = next((name for name, size in origin.samples.items() if size > 1), None)
    return first is not None and role_of(first, origin.coords.coords.get(first)) == "t"


def narrowest(model: Cascade) -> int:
    """How many coarsest sites a part that is kept back has at least along an axis."""
    condition = model.own_lift(0).condition
    return 2 if condition is None or condition.texture is None else condition.texture.scattering.narrowest


def build(
    options: config.Train, grid: Grid, channels: int, companions: int = 0, clock: tuple[Cycle, ...] = ()
) -> Cascade:
    """An untrained model, the same for the same seed."""
    free = free_memory()
    refusal = f"networks this large cannot be trained in {free / 2**30:.1f} GiB; take a smaller --width or fewer blocks"
    with torch.random.fork_rng(devices=[]), Allowance(free // 5, refusal):  # weights, mean, gradient, two moments
        torch.manual_seed(options.seed)
        return Cascade(options.design, grid, channels, companions=companions, clock=clock)


def finish(trainer: Trainer, parts: Parts, frames: Frames | None = None) -> Cascade:
    """Find how to sample from the best weights, on those fields that tell it best; save, and say it all.

    ``frames`` are the times of every field, where they have some.
    """
    trainer.accelerator.wait_for_everyone()
    model = Cascade.from_pretrained(trainer.folder).to(trainer.accelerator.device)
    if not trainer.accelerator.is_main_process:
        return model
    model.range.fit(model.operator, model.normalised(parts.every.to(model.device)))  # fields kept back are data too
    if model.clock is not None and parts.every.place.clock is not None:
        model.clock.fit(parts.every.place.clock)
    values, said = calibration_fields(model, trainer, parts)
    try:
        notes = settle_sampling(model, values, parts.every) + settle_persistence(model, parts.every, frames)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the training is saved in {trainer.folder}, only its calibration is missing") from None
    if model.sweep is not None:
        model.sweep.fit(model.normalise(parts.training.values.to(model.device)), seed=trainer.seed)
    losses = [record["loss"] for record in trainer.records if "loss" in record][-10:]
    model.metadata["training"] = {
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "loss": sum(losses) / len(losses) if losses else None,
        "samples": len(parts.training),
        "lattice": list(parts.training.lattice),
        "kept_back": parts.what,
    }
    model.save_pretrained(trainer.folder)
    print(*losses_table(trainer, parts), *said, *notes, sep="\n", file=sys.stderr)
    print(*samples_table(model, values, trainer.seed), sep="\n", file=sys.stderr)
    return model


def calibration_fields(model: Cascade, trainer: Trainer, parts: Parts) -> tuple[Fields, list[str]]:
    """The fields that temperatures are fitted on: those kept back, or all of them if none were learned by heart.

    Few fields that were kept back may be unlike the others by chance; all of them are like themselves.
    """
    if parts.held_out is None:
        return parts.training, []
    training = model.normalised(parts.training.to(model.device)).map(lambda part: part.to(model.dtype))
    with trainer.accelerator.autocast():
        now = Validation(model, training, trainer.turns)()
    known, back = gains(trainer, now)
    if known - back > NOTICED and back < BY_HEART * known:
        return parts.held_out, [
            f"Networks gained {known:.3f} on the fields that they were trained on and {back:.3f} on those kept back, "
            "which temperatures are fitted on"
        ]
    return parts.every, []


def gains(trainer: Trainer, now: list[float]) -> tuple[float, float]:
    """By how much networks brought the loss down, on the fields that they were trained on and on those kept back."""
    closed = next(record["closed_form"] for record in trainer.records if "closed_form" in record)
    looks = {record["step"]: record["held_out"] for record in trainer.records if "held_out" in record}
    steps = {level: learner.step for learner in trainer.learners for level in learner.levels}
    share = trainer.share
    known = sum(s * (closed[str(level)] - now[level]) for level, s in enumerate(share))
    back = sum(s * (looks[0][str(level)] - looks[steps[level]][str(level)]) for level, s in enumerate(share))
    return known / sum(share), back / sum(share)


def settle_sampling(model: Cascade, values: Fields, every: Fields) -> list[str]:
    """Fit the temperatures, and first find how many evaluations are enough if that was left open; what was found.

    ``values`` are fields to refine; fields from nothing are to be like ``every`` field.
    """
    design, notes = model.design, []
    if design.evaluations is None and design.lift == "diffusion" and design.objective != "energy":
        with bar("evaluations", 1) as show:
            trials = choose_evaluations(model, values, show)
        notes = evaluations_table(trials)
    with bar("calibrating", 2 * model.levels) as show:
        calibrate(model, values, watch=lambda done, total: show(done, 2 * total))
        calibrate_free(model, every, watch=lambda done, total: show(total + done, 2 * total))
    return notes


def settle_persistence(model: Cascade, every: Fields, frames: Frames | None) -> list[str]:
    """Measure how noise is to be correlated in time, where fields follow each other in it; what was found."""
    if frames is None or not frames.pairs():
        return []
    with bar("persistence", model.levels) as show:
        found = calibrate_persistence(model, every, frames, watch=show)
    if found is None:
        return ["Fields have times, but their detail is not correlated in time: refined frames are independent"]
    each = [f"{correlation(parts, [1.0]).mean():.2f}" for parts in found.levels]
    words = step_in_words(found.step, found.unit)
    return [f"Refined frames {words} apart share noise by a correlation of {', '.join(each)} (finest level first)"]
