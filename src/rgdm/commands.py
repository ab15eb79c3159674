"""The commands: each reads files, does one thing, writes files. Also callable from Python."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from rgdm import __version__, config
from rgdm.data.fields import read_field, with_own_axes
from rgdm.data.layout import from_samples, unwrap
from rgdm.data.memory import check_memory
from rgdm.data.validity import check_finite, check_varies
from rgdm.data.writing import check_output, write_field
from rgdm.evaluate import bicubic, bits_per_dof, block_constant, judge, save_evaluation
from rgdm.model import storage
from rgdm.model.calibrate import calibrate
from rgdm.model.cascade import Cascade
from rgdm.progress import bar, training_bar
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.operators import check_lattice_depth
from rgdm.train import Budget, Trainer, check_resumable, choose_device


def train(options: config.Train) -> Cascade:
    """Read fields, measure the closed-form parts, train the lifts, fit the temperatures, save."""
    timed = options.minutes is None and options.steps is None
    budget = Budget(options.steps, 5.0 if timed else options.minutes)
    choose_device(options.device)
    check_seed(options.seed)
    if options.resume and options.overwrite:
        raise ValueError("--resume goes on with a training and --overwrite replaces it; give one of the two")
    if options.resume:
        check_resumable(options.out)
    if options.out.exists() and not (options.overwrite or options.resume):
        raise ValueError(f"{options.out} exists; choose another name, or pass --overwrite or --resume")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"{options.out} is a file; a model is a folder, choose another name")
    field = load(options.fields, options.variable, options.dimension, options.fill)
    check_varies(field)
    return fit(field, options, budget)


def fit(field: xr.DataArray, options: config.Train, budget: Budget) -> Cascade:
    """Train on fields that are already in memory, dims ``(sample, channel, *lattice)``."""
    values, _ = unwrap(field, field.sizes["channel"], options.dimension)
    model = build(options, values.shape[1])
    try:
        check_lattice_depth(model.step, tuple(values.shape[2:]), model.levels)
    except ValueError as error:
        raise ValueError(f"{error} (the last {options.dimension} axes are the lattice: --dimension)") from None
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


def build(options: config.Train, channels: int) -> Cascade:
    """An untrained model, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return Cascade(
            channels=channels,
            dimension=options.dimension,
            levels=options.levels,
            boundary=options.boundary,
            operator=options.operator,
            factor=options.factor,
            shared=options.shared,
            width=options.width,
            encoder_blocks=options.encoder_blocks,
            decoder_blocks=options.decoder_blocks,
            evaluations=options.evaluations,
            objective=options.objective,
            lift=options.lift,
            bend=options.bend,
            sweep=options.sweep,
        )


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
        model.sweep.fit(model.normalise(values.to(model.mean.device)), seed=trainer.seed)
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


def sample(options: config.Sample) -> xr.DataArray:
    """Generate fields and write them."""
    check_output(options.out, options.overwrite)
    model = open_model(options.model, options.device)
    check_size(model, options.lattice, options.count)
    model.check_sample(options.lattice, options.count)
    with bar("sampling", options.count) as show:
        values = model.sample(options.lattice, options.count, options.seed, options.evaluations, show, options.sweeps)
    attrs = model.metadata.get("attrs", {}) | provenance(options)
    result = from_samples(values, axis_names(model), channel_names(model), attrs)
    write_field(options.out, result, options.overwrite, provenance(options))
    note(model)
    return result


def refine(options: config.Refine) -> xr.DataArray:
    """Refine a coarse field into an ensemble and write it."""
    check_output(options.out, options.overwrite)
    model = open_model(options.model, options.device)
    coarse = load([options.coarse], options.variable, model.dimension, options.fill)
    check_channels(model, coarse, options.coarse)
    levels = model.depth(options.levels)
    if options.members < 1:
        raise ValueError(f"members is {options.members}; at least one is needed")
    lattice = tuple(n * model.step.factor**levels for n in coarse.shape[2:])
    total = coarse.sizes["sample"] * options.members
    check_size(model, lattice, total)
    with bar("refining", total) as show:
        result = model.refine(coarse, options.levels, options.members, options.seed, options.evaluations, watch=show)
    result = with_own_axes(result, coarse)
    write_field(options.out, result, options.overwrite, provenance(options))
    note(model, coarse)
    return result


def evaluate(options: config.Evaluate) -> dict[str, Any]:
    """Coarsen, refine and judge; keep scores and fields if a folder is given."""
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise ValueError(f"{options.out} exists; choose another name or pass --overwrite")
    if options.members < 2:
        raise ValueError(f"members is {options.members}; an ensemble needs at least 2 to be judged")
    model = open_model(options.model, options.device)
    field = load([options.field], options.variable, model.dimension, options.fill)
    check_channels(model, field, options.field)
    truth, _ = unwrap(field, model.channels, model.dimension)
    levels = model.depth(options.levels)
    check_size(model, tuple(truth.shape[2:]), len(truth) * options.members)
    scores = verify(model, truth, levels, options, options.out, dict(field.attrs))
    note(model, field)
    return scores


def verify(
    model: Cascade,
    truth: torch.Tensor,
    levels: int,
    options: config.Evaluate | config.Demo,
    out: Path | None,
    attrs: dict[Any, Any],
) -> dict[str, Any]:
    """Scores of the ensemble that the model makes of the coarsened truth."""
    coarse = model.flow(truth, levels)[-1]
    evaluations = options.evaluations if isinstance(options, config.Evaluate) else None
    with bar("refining", len(truth) * options.members) as show:
        ensemble = model.refine(coarse, levels, options.members, options.seed, evaluations, watch=show)
    factor = model.step.factor**levels
    baseline = {
        "block_constant": block_constant(coarse, factor),
        "bicubic": bicubic(coarse, factor, model.boundary, model.step.place_after(levels)),
    }
    scores = judge(truth, ensemble, coarse, model.step, levels, model.boundary, baseline)
    if options.likelihood:
        try:
            with bar("likelihood", levels) as show:
                scores |= bits_per_dof(model, truth, levels, show)
        except ValueError as error:
            print(f"rgdm: note: no bits per degree of freedom: {error}", file=sys.stderr)
    if out is not None:
        zoom = model.flow(ensemble[0, :1], levels)[::-1]
        notes = {str(key): str(value) for key, value in attrs.items()} | provenance(options)
        save_evaluation(out, scores, truth, coarse, baseline["bicubic"], ensemble, zoom, attrs=notes)
    return scores


def report(options: config.Report) -> None:
    """Write the page."""
    from rgdm.report import write_report  # matplotlib is an extra

    write_report(options.out, list(options.sources), options.overwrite)


# --- shared steps ------------------------------------------------------------------------------


def load(paths: list[Path] | tuple[Path, ...], variable: str | None, dimension: int, fill: bool) -> xr.DataArray:
    """A checked field ``(sample, channel, *lattice)``."""
    return check_finite(read_field(paths, variable, dimension), fill)


def open_model(name: str, device: str) -> Cascade:
    """A model on the device asked for."""
    return Cascade.from_pretrained(name).to(choose_device(device))


def check_seed(seed: int) -> None:
    """Raise ``ValueError`` if torch does not take the seed."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"the seed is {seed}; it must be between 0 and 2^63 - 1")


def check_channels(model: Cascade, field: xr.DataArray, path: Path) -> None:
    """Raise ``ValueError`` if the field has another number of channels than the model."""
    if field.sizes["channel"] != model.channels:
        raise ValueError(
            f"{path} has {field.sizes['channel']} channel(s); the model was trained on {model.channels} "
            f"({', '.join(channel_names(model))}): choose with --variable"
        )


def note(model: Cascade, field: xr.DataArray | None = None) -> None:
    """Say on stderr what is allowed and perhaps not meant: a training cut short, another variable, another unit."""
    if "training" not in model.metadata:
        print("rgdm: note: the training of this model was not finished (rgdm train ... --resume)", file=sys.stderr)
    if field is None or field.name is None:
        return
    for what, own, theirs in (
        ("variable", ", ".join(channel_names(model)), ", ".join(str(name) for name in field["channel"].values)),
        ("unit", model.metadata.get("attrs", {}).get("units"), field.attrs.get("units")),
    ):
        if own and theirs and own != theirs:
            print(f"rgdm: note: the {what} is {theirs}; the model was trained on {own}", file=sys.stderr)


def check_size(model: Cascade, lattice: Lattice, fields: int) -> None:
    """Raise ``ValueError`` if the lattice does not suit the model, or the memory does not suffice."""
    if len(lattice) != model.dimension:
        raise ValueError(f"the lattice {lattice} has {len(lattice)} axes; this model is {model.dimension}-dimensional")
    if any(n < 1 for n in lattice):
        raise ValueError(f"the lattice {lattice} has an empty axis; every axis needs at least 1 site")
    what = f"{fields} x " + " x ".join(str(n) for n in lattice)
    check_memory(model.memory(lattice, fields), f"making {what} sites")


def describe(field: xr.DataArray) -> dict[str, Any]:
    """Names and units of the training data, to be written on what the model makes."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in field.attrs.items()}
    attrs = {k: v for k, v in plain.items() if isinstance(v, str | int | float)}
    return {
        "name": str(field.name or ""),
        "channels": [str(name) for name in field["channel"].values],
        "axes": [str(name) for name in field.dims[2:]],
        "attrs": {str(k): v for k, v in attrs.items()},
    }


def axis_names(model: Cascade) -> list[str]:
    """The lattice axes by name."""
    return model.metadata.get("axes") or ["z", "y", "x"][3 - model.dimension :]


def channel_names(model: Cascade) -> list[str]:
    """The channels by name."""
    return model.metadata.get("channels") or [f"channel{i}" for i in range(model.channels)]


def provenance(options: Any) -> dict[str, str]:
    """What is written into the attributes of every output: command and options."""
    settings = ", ".join(f"{key}={value}" for key, value in vars(options).items())
    return {"made_by": f"rgdm {__version__} {type(options).__name__.lower()}", "settings": settings}


def summary(scores: dict[str, Any]) -> list[str]:
    """A few lines that say how good a refinement is, each figure with its error and what is good."""

    def figure(name: str) -> str:
        values, errors = scores[name]["value"], scores[name]["error"]
        if not isinstance(values, list):
            values, errors = [values], [errors]
        errors = errors if isinstance(errors, list) else [errors] * len(values)
        pairs = zip(values, errors, strict=True)
        return ", ".join(f"{v:.3f}" + (f" +- {e:.3f}" if e is not None else "") for v, e in pairs if v is not None)

    return [
        f"Coarse field kept to {scores['consistency_error']['value']:.1e} of its spread (rounding only: below 5e-6)",
        f"Fair CRPS over that of bicubic interpolation: {figure('crps_over_bicubic')} (below 1; smaller is better)",
        f"Spread over error of the ensemble: {figure('spread_skill')} (1; below it, too sure of itself)",
        f"Power over that of the truth, finest octave first: {figure('octave_ratio')} (1)",
        f"Kurtosis of detail over that of the truth, finest level first: {figure('detail_kurtosis_ratio')} (1)",
        *(
            [
                f"Bits per degree of freedom of the true detail, finest level first: {figure('bits')} "
                "(small; white noise as large as the field has 2.05)",
                f"Bits that the networks save of those of the closed-form part: {figure('bits_gain')} (above 0)",
            ]
            if "bits" in scores
            else []
        ),
    ]
