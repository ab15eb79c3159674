"""Figures of curves and bars, drawn from what :func:`rgdm.evaluate.judge` returns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from rgdm.errors import InputError
from rgdm.plots.style import BASELINES, COLUMN, FAINT, GREY, INK, LEVELS, MODEL, PAGE, detail_scale, paper

Scores = Mapping[str, Any]
Array = NDArray[np.float64]
RATIO_TOP = 2.0
"""Top of the axis of power over the truth's; larger ratios are drawn as arrows."""


def spectra(scores: Scores, units: str = "") -> Figure:
    """Power spectra with the range of eight in ten samples, below them the power over the truth's in each octave."""
    curves = scores["spectrum"]
    baselines = [name for name in curves if name not in ("wavenumber", "truth", "ensemble")]
    colours = {"ensemble": MODEL, **dict(zip(baselines, BASELINES * len(baselines), strict=False))}
    with paper():
        figure = Figure(figsize=(COLUMN, 3.7), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        k = numbers(curves["wavenumber"])
        upper.plot(k, numbers(curves["truth"]["value"]), color=INK, lw=2.2, label="truth")
        for name in baselines:
            upper.plot(k, numbers(curves[name]["value"]), color=colours[name], lw=1.0, label=spoken(name), zorder=1.5)
        upper.plot(k, numbers(curves["ensemble"]["value"]), color=MODEL, lw=1.3, ls=(0, (4, 1.2)), label="model")
        for name, colour, alpha in (("truth", GREY, 0.22), ("ensemble", MODEL, 0.14)):
            low, high = numbers(curves[name]["low"]), numbers(curves[name]["high"])
            upper.fill_between(k, low, high, color=colour, alpha=alpha, lw=0, zorder=1)
        ratios = {"ensemble": scores["octave_ratio"], **{b: scores[f"octave_ratio_{b}"] for b in baselines}}
        for place, (name, ratio) in enumerate(ratios.items()):
            _octaves(lower, ratio, colours[name], shift=place - (len(ratios) - 1) / 2)
        _spectral_axes(upper, lower, numbers(scores["octave_ratio"]["edges"]), curves, units)
    return figure


def _octaves(axes: Axes, ratio: Scores, colour: str, shift: float) -> None:
    edges = numbers(ratio["edges"])
    middle = np.sqrt(edges[1:] * edges[:-1]) * 2 ** (0.13 * shift)
    value, error = numbers(ratio["value"]), np.nan_to_num(numbers(ratio["error"]))
    axes.errorbar(middle, value, error, fmt="o", color=colour, ms=3, lw=0.9, mec="white", mew=0.4)
    beyond = value > RATIO_TOP
    axes.plot(middle[beyond], np.full(beyond.sum(), RATIO_TOP * 0.97), "^", color=colour, ms=3.5, mew=0)


def _spectral_axes(upper: Axes, lower: Axes, edges: Array, curves: Scores, units: str) -> None:
    label = f"power per mode $S(k)$, ({units})²" if units.strip("1") else "power per mode $S(k)$"
    upper.set(xscale="log", yscale="log", ylabel=label.replace("_", " "))
    shown = numbers(curves["truth"]["value"])
    if (shown > 0).any():
        upper.set_ylim(shown[shown > 0].min() / 12, shown.max() * 6)
    upper.legend(loc="lower left")
    upper.yaxis.set_minor_locator(NullLocator())
    lower.axhspan(0.9, 1.1, color=FAINT, lw=0, zorder=0)
    lower.axhline(1, color=INK, lw=0.7)
    lower.set(ylim=(0, RATIO_TOP), ylabel="power / truth", xlabel="wavenumber (cycles per site)")
    for axes in (upper, lower):
        for edge in edges[1:-1]:
            axes.axvline(edge, color=FAINT, lw=0.5, zorder=-1)
    lower.set_xlim(edges[-1], 0.75)
    lower.xaxis.set_major_locator(FixedLocator(list(edges)))
    lower.xaxis.set_minor_locator(NullLocator())
    lower.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"1/{round(1 / k)}"))


def rank_bars(scores: Scores) -> Figure:
    """How often the truth takes each rank, relative to a flat histogram, with its error."""
    ranks = scores["rank_histogram"]
    value, error = numbers(ranks["value"]), np.nan_to_num(numbers(ranks["error"]))
    with paper():
        figure = Figure(figsize=(COLUMN, 2.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(value))
        axes.bar(place, value, width=0.84, color=MODEL, alpha=0.35, lw=0)
        axes.errorbar(place, value, error, fmt="none", ecolor=MODEL, lw=1.1)
        axes.axhline(1, color=INK, lw=0.8, ls=(0, (4, 2)), label="flat: calibrated")
        axes.legend(loc="upper right")
        axes.set(ylabel="frequency / flat", xlabel="rank of the truth among the members", xlim=(-0.6, len(value) - 0.4))
        axes.set_ylim(0, max(1.6, 1.25 * float(np.nanmax(value + error))))
        ends = {0: "below all", len(value) - 1: "above all"}
        axes.set_xticks(list(ends), list(ends.values()))
    return figure


def kurtosis_levels(scores: Scores) -> Figure:
    """Kurtosis of the detail of model and truth at each level, with errors; 3 is a Gaussian field."""
    kurtosis, factors = scores["detail_kurtosis"], scores["about"]["factor"]
    model, true = numbers(kurtosis["value"]), numbers(kurtosis["truth"])
    with paper():
        figure = Figure(figsize=(COLUMN, 2.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(model))
        for name, value, error, colour, shift in (
            ("truth", true, kurtosis["truth_error"], INK, -0.07),
            ("model", model, kurtosis["error"], MODEL, 0.07),
        ):
            axes.errorbar(
                place + shift, value, np.nan_to_num(numbers(error)), fmt="o", color=colour, lw=1.1, label=name
            )
        axes.axhline(3, color=GREY, lw=0.8, ls=(0, (4, 2)))
        axes.annotate("Gaussian", (1, 3), (-2, 2), ("axes fraction", "data"), "offset points", ha="right", color=GREY)
        axes.set(ylabel="kurtosis of detail", yscale="log", xlim=(-0.5, len(model) - 0.5))
        high = float(np.nanmax(np.concatenate([model, true])))
        axes.set_ylim(2, max(10, 2.5 * high))
        ticks = [t for t in (3, 10, 30, 100, 300, 1000, 3000) if t <= max(10, 2.5 * high)]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(place, [detail_scale(factors, level) for level in range(len(model))])
        axes.set_xlabel("scale of the detail, finest first")
        axes.legend(loc="upper left", ncols=2)
    return figure


def coupling_curves(table: xr.Dataset) -> Figure:
    """Couplings against the level with their errors, one panel for each interaction."""
    names = [str(name) for name in table["interaction"].values]
    with paper():
        figure = Figure(figsize=(PAGE, 1.0 + 1.5 * -(-len(names) // 3)), layout="constrained")
        panels = figure.subplots(-(-len(names) // 3), 3, squeeze=False, sharex=True).flatten()
        for axes, name in zip(panels, names, strict=False):
            one = table.sel(interaction=name)
            axes.axhline(0, color=FAINT, lw=0.7, zorder=0)
            axes.errorbar(one["level"], one["coupling"], one["error"], fmt="o-", ms=3.5, lw=1.1, color=MODEL)
            axes.set_title(name, pad=3)
            axes.set_xticks(one["level"].values)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(names) - 3) : len(names)]:
            axes.set_xlabel("level")
            axes.tick_params(labelbottom=True)
        for axes in panels[: len(names) : 3]:
            axes.set_ylabel("coupling")
    return figure


def training_curve(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss over training time, overall and for each level: a running median over the single records."""
    records = [record for record in history if record.get("loss") is not None]
    if not records:
        raise InputError("the training history holds no loss; there is nothing to draw")
    minutes = numbers([record["seconds"] for record in records]) / 60
    with paper():
        figure = Figure(figsize=(COLUMN, 2.2), layout="constrained")
        axes = figure.subplots()
        for level, losses in _level_losses(records).items():
            colour = LEVELS[level % len(LEVELS)]
            axes.plot(minutes, _running_median(losses), color=colour, lw=0.8, label=f"level {level}")
        loss = numbers([record["loss"] for record in records])
        axes.plot(minutes, loss, ".", color=GREY, ms=1.8, alpha=0.5, mew=0)
        smooth = _running_median(loss)
        axes.plot(minutes, smooth, color=INK, lw=1.6, label="all levels")
        low, high = np.nanmin(smooth), np.nanquantile(loss, 0.98)
        height = max(high - low, 1e-3)
        axes.set(xlabel="minutes of training", ylabel="loss", ylim=(low - 0.15 * height, high + 0.1 * height))
        axes.set_xlim(0, max(float(minutes[-1]), 1e-6))
        axes.legend(loc="upper right")
    return figure


def _level_losses(records: Sequence[Mapping[str, Any]]) -> dict[int, Array]:
    """Level -> its losses; a record holds a list over levels or a mapping of them, with gaps where none was trained."""
    rows = [record.get("level_losses") or {} for record in records]
    rows = [dict(row) if isinstance(row, Mapping) else dict(enumerate(row)) for row in rows]
    levels = sorted({int(level) for row in rows for level in row})
    return {level: numbers([row.get(level, row.get(str(level))) for row in rows]) for level in levels}


def _running_median(values: Array) -> Array:
    """The median over a twentieth of the record around each entry; gaps are passed over."""
    half = max(1, len(values) // 40)
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return np.array([np.median(w[np.isfinite(w)]) if np.isfinite(w).any() else np.nan for w in windows])


def numbers(values: Any) -> Array:
    """A list in which ``None`` stands for a number that does not exist, as an array with NaN there."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def spoken(name: str) -> str:
    """``block_constant`` as "block constant"."""
    return name.replace("_", " ")
