"""A model and a true field in, scores out."""

import sys
from pathlib import Path
from typing import Any

import torch

from rgdm import config
from rgdm.commands.shared import check_channels, check_size, load, note, open_model, provenance
from rgdm.data.layout import unwrap
from rgdm.errors import InputError
from rgdm.evaluate import bicubic, bits_per_dof, block_constant, judge, save_evaluation
from rgdm.model.cascade.cascade import Cascade
from rgdm.progress import bar


def evaluate(options: config.Evaluate) -> dict[str, Any]:
    """Coarsen, refine and judge; keep scores and fields if a folder is given."""
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists; choose another name or pass --overwrite")
    if options.members < 2:
        raise InputError(f"members is {options.members}; an ensemble needs at least 2 to be judged")
    model = open_model(options.model, options.device)
    field = load([options.field], options.variable, model.dimension, options.fill)
    check_channels(model, field, options.field)
    truth, _ = unwrap(field, model.channels, model.dimension, axes=model.grid.names)
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
    coarse = model.trajectory(truth, levels)[-1]
    evaluations = options.evaluations if isinstance(options, config.Evaluate) else None
    with bar("refining", len(truth) * options.members) as show:
        ensemble = model.refine(coarse, levels, options.members, options.seed, evaluations, watch=show)
    factors, sides = tuple(b**levels for b in model.grid.factors), model.grid.boundaries
    baseline = {
        "block_constant": block_constant(coarse, factors),
        "bicubic": bicubic(coarse, factors, sides, model.operator.places(model.dimension, levels)),
    }
    scores = judge(truth, ensemble, coarse, model.operator, levels, sides, baseline)
    if options.likelihood:
        try:
            with bar("likelihood", levels) as show:
                scores |= bits_per_dof(model, truth, levels, show)
        except InputError as error:
            print(f"rgdm: note: no bits per degree of freedom: {error}", file=sys.stderr)
    if out is not None:
        zoom = model.trajectory(ensemble[0, :1], levels)[::-1]
        notes = {str(key): str(value) for key, value in attrs.items()} | provenance(options)
        save_evaluation(out, scores, truth, coarse, baseline["bicubic"], ensemble, zoom, attrs=notes)
    return scores


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
