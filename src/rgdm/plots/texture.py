"""Figures of what the eye sees: coasts, islands and lakes above thresholds, slopes and structure functions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rgdm.plots.curves import Array, numbers
from rgdm.plots.style import BASELINES, FAINT, GREY, INK, MODEL, PAGE, paper

_WORDS = {
    1: ("share", "ends", "intervals above", "intervals below"),
    2: ("area", "boundary", "islands", "lakes"),
    3: ("volume", "surface", "parts above", "parts below"),
}
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def excursions(figures: Mapping[str, Any], dimension: int, units: str = "") -> Figure:
    """Area, boundary, islands and lakes above each threshold, members over truth.

    Thick bars are errors over samples; thin ones say how far one more member would lie from the others.
    """
    with paper():
        figure = Figure(figsize=(PAGE, 2.0), layout="constrained")
        panels = figure.subplots(1, 4)
        kinds = ("area", "perimeter", "islands", "lakes")
        for axes, kind, word in zip(panels, kinds, _WORDS[dimension], strict=True):
            entry = figures[f"excursion_{kind}"]
            place = np.arange(len(entry["threshold"]))
            value, error, scatter = (numbers(entry[key]) for key in ("value", "error", "scatter"))
            axes.errorbar(place, value, _below(value, scatter), fmt="none", ecolor=GREY, lw=0.7)
            axes.errorbar(place, value, _below(value, error), fmt="o", color=MODEL, ms=3.5, lw=1.8)
            axes.set_title(f"{word}, members / truth", pad=3)
            axes.set_xticks(place, [f"{threshold:.4g}" for threshold in entry["threshold"]], rotation=30)
            axes.set_xlim(-0.6, len(place) - 0.4)
            _ratio_axis(axes, value)
        panels[0].set_xlabel(f"threshold{f' ({units})' if units else ''}")
    return figure


def increments(figures: Mapping[str, Any]) -> Figure:
    """Structure functions against distance, and quantiles of slopes, members over truth, with errors."""
    with paper():
        figure = Figure(figsize=(PAGE, 2.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for order, colour, shift in ((2, MODEL, 0.97), (4, BASELINES[0], 1.03)):
            entry = figures[f"structure_{order}"]
            value, error = numbers(entry["value"]), numbers(entry["error"])
            place = shift * numbers(entry["lag"])
            label = f"order {order}"
            left.errorbar(place, value, _below(value, error), fmt="o-", color=colour, ms=3, lw=1, label=label)
        left.set_xscale("log", base=2)
        left.xaxis.set_major_formatter(FuncFormatter(lambda r, _: f"{r:g}"))
        left.set(xlabel="distance (sites)", title="structure functions, members / truth")
        left.legend(loc="best")
        entry = figures["slopes"]
        value, error = numbers(entry["value"]), numbers(entry["error"])
        place = np.arange(len(value))
        right.errorbar(place, value, _below(value, error), fmt="o-", color=MODEL, ms=3, lw=1)
        right.set_xticks(place, [f"{100 * q:g} %" for q in entry["probability"]])
        right.set(xlabel="quantile of the slopes", title="slopes, members / truth")
        _ratio_axis(left, numbers([*figures["structure_2"]["value"], *figures["structure_4"]["value"]]))
        _ratio_axis(right, value)
    return figure


def _below(value: Array, error: Array) -> Array:
    """Error bars for a logarithmic axis: their lower ends stay above zero; none where there is no error."""
    error = np.nan_to_num(error)
    return np.stack([np.clip(error, 0, 0.9 * np.abs(np.nan_to_num(value))), error])


def _ratio_axis(axes: Axes, value: Array) -> None:
    axes.axhline(1, color=INK, lw=0.8, ls=(0, (4, 2)))
    axes.axhspan(0.9, 1.1, color=FAINT, lw=0, zorder=0)
    known = value[np.isfinite(value) & (value > 0)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    axes.set(yscale="log", ylim=(min(0.45, 0.7 * low), max(2.2, 1.4 * high)))
    axes.yaxis.set_major_locator(FixedLocator(_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
