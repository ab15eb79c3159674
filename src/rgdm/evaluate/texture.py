"""Figures of one channel in its own unit: its values, and the texture that the eye sees."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.evaluate.increments import lags, slopes, structure_terms
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
    weights: Shaped[Tensor, "#B 1 *#L"] | None,
    below: float | None,
    boundary: Boundaries,
    blocks: int | None = None,
) -> Figures:
    """Range, quantiles and wet share of the values, quantiles of the slopes: members against truth.

    Of sites that have ``weights``, by these. Errors are jackknife errors over samples, or over ``blocks`` of
    consecutive ones.
    """
    values, members = (_values(fields, weights) for fields in (truth[None], ensemble))
    quantiles = _quantiles(values, members, PROBABILITIES, blocks)
    q, true, model, true_without, model_without = quantiles
    figures: Figures = {
        "range": _range(values.parts, members.parts),
        "quantiles": {
            "value": model - true,
            "error": delete_one_error(model_without - true_without),
            "probability": q,
            "truth": true,
            "ensemble": model,
        },
        "slopes": _ratio(*_quantiles(*_steps(truth, ensemble, None, boundary, weights), STEEPNESS, blocks)),
        **_wet(values, members, blocks),
    }
    flat, middle = figures["slopes"], STEEPNESS.index(0.5)
    if below is not None:
        steps = _steps(truth, ensemble, below, boundary, weights)
        flat, middle = _ratio(*_quantiles(*steps, (0.5,), blocks)), 0
    figures["flatness_ratio"] = {key: flat[key][middle] for key in ("value", "error", "truth", "ensemble")}  # pyright: ignore
    return figures


class _Values(NamedTuple):
    """Numbers of each sample, of all members together, and their weights; None: they count alike."""

    parts: list[Tensor]
    weights: list[Tensor] | None


def _values(fields: Tensor, weights: Tensor | None) -> _Values:
    """The values of members (M, B, 1, *L) at the sites that count."""
    if weights is None:
        return _Values([sample.flatten() for sample in fields.transpose(0, 1)], None)
    parts, sizes = [], []
    for sample, own in zip(fields.transpose(0, 1), weights.expand_as(fields[0]), strict=True):
        parts.append(sample[:, own > 0].flatten())
        sizes.append(own[own > 0].double().repeat(len(fields)))
    return _Values(parts, sizes)


def _steps(
    truth: Tensor, ensemble: Tensor, below: float | None, boundary: Boundaries, weights: Tensor | None
) -> tuple[_Values, _Values]:
    """The slopes of the truth and of all members."""
    own = [None] * len(truth) if weights is None else list(weights.expand_as(truth))
    found = []
    for fields in (truth[None], ensemble):
        each = [
            [slopes(member, below, boundary, w) for member in sample]
            for sample, w in zip(fields.transpose(0, 1), own, strict=True)
        ]
        parts = [torch.cat([steps for steps, _ in sample]) for sample in each]
        sizes = [torch.cat([size for _, size in sample if size is not None]) for sample in each if weights is not None]
        found.append(_Values(parts, sizes if weights is not None else None))
    return found[0], found[1]


def _range(truth: list[Tensor], members: list[Tensor]) -> Figures:
    """Smallest and largest value; how far those of the members lie beyond, over the range of the truth."""
    low, high = (float(f(torch.stack([f(each) for each in truth if len(each)]))) for f in (torch.min, torch.max))
    least, most = (float(f(torch.stack([f(each) for each in members if len(each)]))) for f in (torch.min, torch.max))
    beyond = max(low - least, most - high, 0.0)
    width = high - low
    value = beyond / width if width > 0 else (None if beyond > 0 else 0.0)
    return {"value": value, "error": None, "truth": [low, high], "ensemble": [least, most]}


def _wet(truth: _Values, members: _Values, blocks: int | None) -> Figures:
    """The share of values above 0, members minus truth, where 0 is the smallest value of the truth and occurs in it."""
    if min(float(each.min()) for each in truth.parts if len(each)) != 0:
        return {}
    parts = []
    for each, sizes in (truth, members):
        sizes = [torch.ones_like(x, dtype=torch.float64) for x in each] if sizes is None else sizes
        wet = [float(w[x > 0].sum()) for x, w in zip(each, sizes, strict=True)]
        parts += [torch.tensor(wet, dtype=torch.float64), torch.tensor([float(w.sum()) for w in sizes]).double()]
    true, model = (jackknife(torch.div, *pair, blocks=blocks) for pair in (parts[:2], parts[2:]))
    off = jackknife(lambda a, n, b, m: b / m - a / n, *parts, blocks=blocks)
    return {"wet_share": {"value": off.value, "error": off.error, "truth": true.value, "ensemble": model.value}}


Quantiles = tuple[list[float], Tensor, Tensor, Tensor, Tensor]


def _quantiles(truth: _Values, members: _Values, probabilities: tuple[float, ...], blocks: int | None) -> Quantiles:
    q = torch.tensor(probabilities, dtype=torch.float64, device=truth.parts[0].device)
    (true, true_without), (model, model_without) = (
        delete_one_quantiles(in_blocks(x.parts, blocks), q, None if x.weights is None else in_blocks(x.weights, blocks))
        for x in (truth, members)
    )
    return list(probabilities), true, model, true_without, model_without


def _ratio(q: list[float], true: Tensor, model: Tensor, true_without: Tensor, model_without: Tensor) -> Figures:
    error = delete_one_error(model_without / true_without)
    return {"value": model / true, "error": error, "probability": q, "truth": true, "ensemble": model}


def structure_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    boundary: Boundaries,
    weights: Shaped[Tensor, "#B 1 *#L"] | None = None,
    blocks: int | None = None,
) -> Figures:
    """Structure functions of order 2 and 4, members over truth at each distance."""
    distances = lags(tuple(truth.shape[2:]))
    true, size = (part[:, 0] for part in structure_terms(truth, distances, boundary, weights))
    each = [structure_terms(member, distances, boundary, weights)[0][:, 0] for member in ensemble]
    model = torch.stack(each).mean(0)
    ratio = jackknife(torch.div, model, true, blocks=blocks)
    return {
        f"structure_{order}": {
            "value": ratio.value[:, i],
            "error": ratio.error[:, i],
            "lag": distances,
            "truth": true.mean(0)[:, i] / size.mean(0)[:, 0],
        }
        for i, order in enumerate((2, 4))
    }


def excursion_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    thresholds: Float[Tensor, "T"],
    boundary: Boundaries,
    weights: Shaped[Tensor, "#B 1 *#L"] | None = None,
    blocks: int | None = None,
) -> Figures:
    """Minkowski functionals above each threshold, members over truth; of the Euler characteristic the difference.

    Areas are by the ``weights`` of sites; the other functionals count edges and parts, of all sites alike. ``error`` is
    the jackknife error over samples, or over ``blocks`` of consecutive ones. ``scatter`` is what the value
    would vary by if the truth were one more member, from the spread of the members (times ``1 + 1/M`` in variance),
    also of a single sample.
    """
    count = min(len(ensemble), max(2, MOST // truth.numel()))
    true = minkowski(truth, thresholds, boundary)[:, 0]
    each = torch.stack([minkowski(member, thresholds, boundary)[:, 0] for member in ensemble[:count]])
    if weights is not None:
        w = weights.double().expand_as(truth)
        w = w / w.mean()
        true[..., 0] = _areas(truth, thresholds, w)
        each[..., 0] = torch.stack([_areas(member, thresholds, w) for member in ensemble[:count]])
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


def _areas(field: Tensor, thresholds: Tensor, w: Tensor) -> Float[Tensor, "B T"]:
    """The weighted share of the sites above each threshold."""
    field = field.double()
    return torch.stack([((field > t) * w).flatten(1).mean(1) for t in thresholds.tolist()], 1).cpu()


def thresholds_of(
    truth: Float[Tensor, "B 1 *L"], weights: Shaped[Tensor, "#B 1 *#L"] | None, named: tuple[float, ...]
) -> Float[Tensor, "T"]:
    """The named thresholds, from the lowest; without any those that have given shares of the truth below them."""
    if named:
        return torch.tensor(sorted(set(named)), dtype=torch.float64)
    q = torch.tensor(LEVELS, dtype=torch.float64)
    if weights is None:
        return delete_one_quantiles([truth.flatten().cpu()], q)[0].unique()
    own = weights.expand_as(truth)
    values, sizes = (x[own > 0].cpu() for x in (truth, own.double()))
    return delete_one_quantiles([values], q, [sizes])[0].unique()
