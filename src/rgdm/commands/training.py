"""Fields in, a model folder out."""

import sys

import torch
import xarray as xr

from rgdm import config
from rgdm.commands.shared import check_seed, describe, load
from rgdm.data.axes import grid_of
from rgdm.data.checks import check_varies
from rgdm.data.layout import unwrap
from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.calibrate import calibrate
from rgdm.model.cascade.cascade import Cascade
from rgdm.progress import bar, training_bar
from rgdm.scale.grid import Grid
from rgdm.train import Budget, Trainer, check_resumable, choose_device


def train(options: config.Train) -> Cascade:
    """Read fields, measure the closed-form parts, train the lifts, fit the temperatures, save."""
    timed = options.minutes is None and options.steps is None
    budget = Budget(options.steps, 5.0 if timed else options.minutes)
    choose_device(options.device)
    check_seed(options.seed)
    if options.resume and options.overwrite:
        raise InputError("--resume goes on with a training and --overwrite replaces it; give one of the two")
    if options.resume:
        check_resumable(options.out)
    if options.out.exists() and not (options.overwrite or options.resume):
        raise InputError(f"{options.out} exists; choose another name, or pass --overwrite or --resume")
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out} is a file; a model is a folder, choose another name")
    field = load(options.fields, options.variable, options.dimension, options.fill)
    check_varies(field)
    return fit(field, options, budget)


def fit(field: xr.DataArray, options: config.Train, budget: Budget) -> Cascade:
    """Train on fields that are already in memory, dims ``(sample, channel, *lattice)``."""
    values, _ = unwrap(field, field.sizes["channel"], options.dimension)
    model = build(options, grid_of(field, options.boundary, options.factor), values.shape[1])
    try:
        model.operator.check_depth(tuple(values.shape[2:]), model.levels)
    except InputError as error:
        raise InputError(f"{error} (the last {options.dimension} axes are the lattice: --dimension)") from None
    if not options.resume:
        with bar("measuring", model.levels + 1) as show:
            model.fit(values, watch=show)
    model.metadata = describe(field)
    trainer = Trainer(
        model,
        values,
        options.out,
        budget,
        options.seed,
        options.learning_rate,
        options.device,
        options.precision,
        options.mirror,
        options.checkpoint_seconds,
    )
    if options.resume:
        trainer.resume()
        if trainer.finished and "training" in storage.read_config(options.out)[1]:
            print(f"The training had its {trainer.step} steps before; a larger budget goes on", file=sys.stderr)
            return Cascade.from_pretrained(options.out)
    with training_bar(budget) as show_progress:
        trainer.run(show_progress)
    return finish(trainer, values)


def build(options: config.Train, grid: Grid, channels: int) -> Cascade:
    """An untrained model, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return Cascade(options.design, grid, channels)


def finish(trainer: Trainer, values: torch.Tensor) -> Cascade:
    """Fit the temperatures of the averaged model and save it."""
    trainer.accelerator.wait_for_everyone()
    model = Cascade.from_pretrained(trainer.folder).to(trainer.accelerator.device)
    if not trainer.accelerator.is_main_process:
        return model
    try:
        with bar("calibrating", model.levels) as show:
            calibrate(model, values, watch=show)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the training is saved in {trainer.folder}, only its calibration is missing") from None
    if model.sweep is not None:
        model.sweep.fit(model.normalise(values.to(model.device)), seed=trainer.seed)
    losses = [record["loss"] for record in trainer.records[-10:]]
    model.metadata["training"] = {
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "loss": sum(losses) / len(losses) if losses else None,
        "samples": len(values),
        "lattice": list(values.shape[2:]),
    }
    model.save_pretrained(trainer.folder)
    return model
