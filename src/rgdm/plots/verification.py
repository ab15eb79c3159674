"""The diagrams of forecasters, drawn from the figures of one channel that :func:`rgdm.evaluate.judge` returns."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rgdm.plots.curves import Array, numbers
from rgdm.plots.style import COLUMN, FAINT, GREY, INK, LEVELS, MODEL, detail_scale, paper
from rgdm.scale.grid import scale_widths

MOST = 4
"""Most thresholds that are drawn as curves."""
RARE = 1e-4
"""Bins of probability that hold a smaller share of all sites are not drawn."""
HEAVY = 20.0
"""Values are drawn on logarithmic axes where none is negative and the largest is so many times the median."""


def reliability_diagram(figures: Mapping[str, Any], units: str = "") -> Figure:
    """How often an event happens where the members give it a probability; below, how often they give it."""
    entry = figures["event_reliability"]
    with paper():
        figure = Figure(figsize=(COLUMN, 4.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        upper.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=(0, (4, 2)), label="reliable")
        for row, colour in _rows(entry):
            place, value, error, share = (numbers(entry[key][row]) for key in ("forecast", "value", "error", "share"))
            often = share >= RARE
            label = f"above {entry['threshold'][row]:.5g}{f' {units}' if units else ''}"
            bars = {"color": colour, "ms": 3, "lw": 1, "elinewidth": 0.8, "label": label}
            upper.errorbar(place[often], value[often], np.nan_to_num(error[often]), fmt="o-", **bars)
            lower.plot(place[share > 0], share[share > 0], "o-", color=colour, ms=2.5, lw=0.8)
            place, value, share = (numbers(entry[f"members{key}"][row]) for key in ("_forecast", "", "_share"))
            upper.plot(place[share >= RARE], value[share >= RARE], color=colour, lw=0.9, ls=(0, (3, 1.5)))
        upper.plot([], [], color=GREY, lw=0.9, ls=(0, (3, 1.5)), label="a member as the truth")
        upper.set(ylabel="observed frequency", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        lower.set(yscale="log", xlabel="probability given by the members", ylabel="sites")
        lower.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        lower.yaxis.set_minor_locator(NullLocator())
    return figure


def fss_curves(scores: Mapping[str, Any], units: str = "") -> Figure:
    """The fractions skill score over the width of windows, of members against truth and (dashed) of two members."""
    entry, about = scores["event_fss_widths"], scores["about"]
    with paper():
        figure = Figure(figsize=(COLUMN, 3.1), layout="constrained")
        axes = figure.subplots()
        width = numbers(entry["width"])
        coarse = max(scale_widths(about["factor"], about["levels"]))
        if width[0] < coarse < width[-1]:
            axes.axvline(coarse, color=GREY, lw=0.8)
            axes.annotate("coarse site", (coarse, 0.02), (3, 0), textcoords="offset points", color=GREY)
        for row, colour in _rows({**entry, "frequency": scores["event_reliability"]["frequency"]}):
            value, error = numbers(entry["value"][row]), np.nan_to_num(numbers(entry["error"][row]))
            label = f"above {entry['threshold'][row]:.5g}{f' {units}' if units else ''}"
            axes.errorbar(width, value, error, fmt="o-", color=colour, ms=3, lw=1.1, label=label)
            axes.plot(width, numbers(entry["members"][row]), color=colour, lw=1, ls=(0, (3, 1.5)))
            useful = entry["useful"][row]
            axes.plot([width[-1] * 1.1, width[-1] * 1.3], [useful, useful], color=colour, lw=1.6, clip_on=False)
        axes.plot([], [], color=GREY, lw=1, ls=(0, (3, 1.5)), label="member against member")
        axes.plot([], [], color=GREY, lw=1.6, label="at the right: useful from here")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda r, _: f"{r:g}"))
        axes.set(xlabel="width of the windows (sites)", ylabel="fractions skill score", ylim=(0, 1.02))
        axes.set_xlim(width[0] / 1.15, width[-1] * 1.3)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def scale_diagram(scores: Mapping[str, Any], units: str = "") -> Figure:
    """The intensity-scale diagram: skill of where values are above each threshold, scale by scale.

    In brackets is that of two members. The coarse field gives the scales above the line.
    """
    entry, factors = scores["event_scale_skill"], scores["about"]["factor"]
    value, alike = (np.array([numbers(row) for row in entry[key]]).T for key in ("value", "members"))
    scales, thresholds = value.shape
    with paper():
        figure = Figure(figsize=(COLUMN, 0.9 + 0.34 * scales), layout="constrained")
        axes = figure.subplots()
        norm = TwoSlopeNorm(0, -1, 1)
        colours = mpl.colormaps["RdBu"].with_extremes(bad=FAINT)
        image = axes.imshow(np.ma.masked_invalid(value), cmap=colours, norm=norm, aspect="auto", origin="lower")
        for s, t in np.ndindex(*value.shape):
            skill = float(value[s, t])
            ink = "white" if np.isfinite(skill) and abs(np.clip(skill, -1, 1)) > 0.6 else INK
            words = f"{_skill(skill)}\n({_skill(float(alike[s, t]))})"
            axes.text(t, s, words, ha="center", va="center", color=ink, fontsize=5.5, linespacing=1.15)
        if scores["about"]["levels"] < scales:
            axes.axhline(scores["about"]["levels"] - 0.5, color=INK, lw=1.2)
        axes.set_xticks(range(thresholds), [f"{threshold:.5g}" for threshold in entry["threshold"]])
        larger = detail_scale(factors, scales - 1).partition(" to ")[0]
        labels = [detail_scale(factors, s).removesuffix(" sites") for s in range(scales - 1)]
        axes.set_yticks(range(scales), [*labels, f"{larger} and more"])
        axes.set(xlabel=f"above{f' ({units})' if units else ''}", ylabel="scale (sites)")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        bar = figure.colorbar(image, ax=axes, ticks=[-1, 0, 1], aspect=25, pad=0.02)
        bar.ax.set_yticklabels(["≤ -1", "0", "1"])
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return figure


def quantile_plot(figures: Mapping[str, Any], units: str = "") -> Figure:
    """Quantiles of the values of the members against those of the truth, with errors of their difference."""
    entry = figures["quantiles"]
    true, model = numbers(entry["truth"]), numbers(entry["ensemble"])
    error = np.nan_to_num(numbers(entry["error"]))
    logarithmic = _is_heavy(true, model, entry["probability"])
    if logarithmic:  # dry sites have no place on the axes
        wet = (true > 0) & (model > 0)
        true, model, error = true[wet], model[wet], error[wet]
        error = np.stack([np.minimum(error, 0.9 * model), error])
        probability = [p for p, keep in zip(entry["probability"], wet, strict=True) if keep]
    else:
        probability = entry["probability"]
    with paper():
        figure = Figure(figsize=(COLUMN, 3.3), layout="constrained")
        axes = figure.subplots()
        low, high = _limits(true, model, logarithmic)
        axes.plot([low, high], [low, high], color=INK, lw=0.8, ls=(0, (4, 2)), label="as in the truth")
        axes.errorbar(true, model, error, fmt="o", color=MODEL, ms=3.5, lw=1.1, label="quantiles of all values")
        for p, x, y in zip(probability, true, model, strict=True):
            if p in (0.001, 0.5, 0.9, 0.99, 0.999):
                shift, side = ((-5, 4), "right") if p > 0.5 else ((5, -8), "left")  # away from the corners
                axes.annotate(f"{100 * p:g} %", (x, y), shift, ha=side, textcoords="offset points", color=GREY)
        if logarithmic:
            axes.set(xscale="log", yscale="log")
        unit = f" ({units})" if units else ""
        axes.set(xlabel=f"truth{unit}", ylabel=f"members{unit}", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.legend(loc="upper left")
    return figure


def _skill(value: float) -> str:
    """Two digits; whole numbers where they are large and negative."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f}" if value > -9.995 else f"{value:.0f}"


def _is_heavy(true: Array, model: Array, probability: list[float]) -> bool:
    """Whether values, none of them negative, spread over so wide a range that only logarithms show them."""
    top, middle = true[-1], true[probability.index(0.5)]
    return bool(min(true[0], model[0]) >= 0 and top > HEAVY * middle and ((true > 0) & (model > 0)).sum() > 1)


def _limits(true: Array, model: Array, logarithmic: bool) -> tuple[float, float]:
    """The same ends for both axes, with a margin."""
    known = np.concatenate([true, model])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if logarithmic:
        return low / 1.5, high * 1.5
    margin = 0.06 * (high - low) or max(1.0, abs(high))
    return low - margin, high + margin


def _rows(entry: Mapping[str, Any]) -> list[tuple[int, str]]:
    """At most :data:`MOST` thresholds that part of the truth is above, evenly chosen, the highest among them."""
    crossed = [row for row, f in enumerate(entry["frequency"]) if f is not None and 0 < f < 1]
    chosen = np.unique(np.linspace(0, len(crossed) - 1, min(MOST, len(crossed))).round().astype(int))
    return [(crossed[int(i)], colour) for i, colour in zip(chosen, LEVELS, strict=False)]


def is_event_free(figures: Mapping[str, Any]) -> bool:
    """Whether there is no threshold that part of the truth is above."""
    return not _rows(figures["event_reliability"])
