"""Figures of one channel in its own unit: its values, and the texture that the eye sees."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.evaluate.increments import lags, slopes, structure_functions
from rgdm.evaluate.minkowski import FUNCTIONALS, minkowski
from rgdm.evaluate.pieces import Figures
from rgdm.jackknife import delete_one_error, delete_one_quantiles, in_blocks, jackknife
from rgdm.scale.boundary import Boundaries

PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the truth that are thresholds where the user names none."""
STEEPNESS = (0.1, 0.5, 0.9, 0.99, 0.999)
MOST = 2**25
"""Sites of members that are labelled at each threshold; of more the first members are taken."""


def value_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    valid: Bool[Tensor, "B 1 *L"] | None,
    below: float | None,
    boundary: Boundaries,
    blocks: int | None = None,
) -> Figures:
    """Range, quantiles and wet share of the values, quantiles of the slopes, of valid sites: members against truth.

    Errors are jackknife errors over samples, or over ``blocks`` of consecutive ones.
    """
    masks = [None] * len(truth) if valid is None else list(valid)
    values = [sample.flatten() if mask is None else sample[mask] for sample, mask in zip(truth, masks, strict=True)]
    members = [
        sample.flatten() if mask is None else sample[:, mask].flatten()
        for sample, mask in zip(ensemble.transpose(0, 1), masks, strict=True)
    ]
    steps = [slopes(sample, None, boundary, mask) for sample, mask in zip(truth, masks, strict=True)]
    model_steps = [
        torch.cat([slopes(member, None, boundary, mask) for member in sample])
        for sample, mask in zip(ensemble.transpose(0, 1), masks, strict=True)
    ]
    quantiles = _quantiles(values, members, PROBABILITIES, blocks)
    q, true, model, true_without, model_without = quantiles
    figures: Figures = {
        "range": _range(values, members),
        "quantiles": {
            "value": model - true,
            "error": delete_one_error(model_without - true_without),
            "probability": q,
            "truth": true,
            "ensemble": model,
        },
        "slopes": _ratio(*_quantiles(steps, model_steps, STEEPNESS, blocks)),
        **_wet(values, members, blocks),
    }
    flat, middle = figures["slopes"], STEEPNESS.index(0.5)
    if below is not None:
        steps = [slopes(sample, below, boundary, mask) for sample, mask in zip(truth, masks, strict=True)]
        model_steps = [
            torch.cat([slopes(member, below, boundary, mask) for member in sample])
            for sample, mask in zip(ensemble.transpose(0, 1), masks, strict=True)
        ]
        flat, middle = _ratio(*_quantiles(steps, model_steps, (0.5,), blocks)), 0
    figures["flatness_ratio"] = {key: flat[key][middle] for key in ("value", "error", "truth", "ensemble")}  # pyright: ignore
    return figures


def _range(truth: list[Tensor], members: list[Tensor]) -> Figures:
    """Smallest and largest value; how far those of the members lie beyond, over the range of the truth."""
    low, high = (float(f(torch.stack([f(each) for each in truth if len(each)]))) for f in (torch.min, torch.max))
    least, most = (float(f(torch.stack([f(each) for each in members if len(each)]))) for f in (torch.min, torch.max))
    beyond = max(low - least, most - high, 0.0)
    width = high - low
    value = beyond / width if width > 0 else (None if beyond > 0 else 0.0)
    return {"value": value, "error": None, "truth": [low, high], "ensemble": [least, most]}


def _wet(truth: list[Tensor], members: list[Tensor], blocks: int | None) -> Figures:
    """The share of values above 0, members minus truth, where 0 is the smallest value of the truth and occurs in it."""
    if min(float(each.min()) for each in truth if len(each)) != 0:
        return {}
    parts = []
    for values in (truth, members):
        parts += [torch.tensor([float((each > 0).sum()) for each in values], dtype=torch.float64)]
        parts += [torch.tensor([float(len(each)) for each in values], dtype=torch.float64)]
    true, model = (jackknife(torch.div, *pair, blocks=blocks) for pair in (parts[:2], parts[2:]))
    off = jackknife(lambda a, n, b, m: b / m - a / n, *parts, blocks=blocks)
    return {"wet_share": {"value": off.value, "error": off.error, "truth": true.value, "ensemble": model.value}}


Quantiles = tuple[list[float], Tensor, Tensor, Tensor, Tensor]


def _quantiles(
    truth: list[Tensor], members: list[Tensor], probabilities: tuple[float, ...], blocks: int | None
) -> Quantiles:
    q = torch.tensor(probabilities, dtype=torch.float64, device=truth[0].device)
    true, true_without = delete_one_quantiles(in_blocks(truth, blocks), q)
    model, model_without = delete_one_quantiles(in_blocks(members, blocks), q)
    return list(probabilities), true, model, true_without, model_without


def _ratio(q: list[float], true: Tensor, model: Tensor, true_without: Tensor, model_without: Tensor) -> Figures:
    error = delete_one_error(model_without / true_without)
    return {"value": model / true, "error": error, "probability": q, "truth": true, "ensemble": model}


def structure_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    boundary: Boundaries,
    blocks: int | None = None,
) -> Figures:
    """Structure functions of order 2 and 4, members over truth at each distance."""
    distances = lags(tuple(truth.shape[2:]))
    true = structure_functions(truth, distances, boundary)[:, 0]
    model = torch.stack([structure_functions(member, distances, boundary)[:, 0] for member in ensemble]).mean(0)
    ratio = jackknife(torch.div, model, true, blocks=blocks)
    return {
        f"structure_{order}": {
            "value": ratio.value[:, i],
            "error": ratio.error[:, i],
            "lag": distances,
            "truth": true.mean(0)[:, i],
        }
        for i, order in enumerate((2, 4))
    }


def excursion_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    thresholds: Float[Tensor, "T"],
    boundary: Boundaries,
    blocks: int | None = None,
) -> Figures:
    """Minkowski functionals above each threshold, members over truth; of the Euler characteristic the difference.

    ``error`` is the jackknife error over samples, or over ``blocks`` of consecutive ones. ``scatter`` is what the value
    would vary by if the truth were one more member, from the spread of the members (times ``1 + 1/M`` in variance),
    also of a single sample.
    """
    count = min(len(ensemble), max(2, MOST // truth.numel()))
    true = minkowski(truth, thresholds, boundary)[:, 0]
    each = torch.stack([minkowski(member, thresholds, boundary)[:, 0] for member in ensemble[:count]])
    scatter = (each.var(0).sum(0) * (1 + 1 / count)).sqrt() / len(truth)
    ratio = jackknife(torch.div, each.mean(0), true, blocks=blocks)
    difference = jackknife(torch.sub, each.mean(0), true, blocks=blocks)
    figures: Figures = {}
    for i, name in enumerate(FUNCTIONALS):
        kind, unit = (difference, 1.0) if name == "euler" else (ratio, true.mean(0)[:, i])
        figures[f"excursion_{name}"] = {
            "value": kind.value[:, i],
            "error": kind.error[:, i],
            "scatter": scatter[:, i] / unit,
            "threshold": thresholds,
            "truth": true.mean(0)[:, i],
            "ensemble": each.mean((0, 1))[:, i],
        }
    return figures


def thresholds_of(
    truth: Float[Tensor, "B 1 *L"], valid: Bool[Tensor, "B 1 *L"] | None, named: tuple[float, ...]
) -> Float[Tensor, "T"]:
    """The named thresholds, from the lowest; without any those that have given shares of the truth below them."""
    if named:
        return torch.tensor(sorted(set(named)), dtype=torch.float64)
    q = torch.tensor(LEVELS, dtype=torch.float64)
    values = [truth.flatten().cpu() if valid is None else truth[valid].cpu()]
    return delete_one_quantiles(values, q)[0].unique()
