"""Numbers with their errors, and the words that explain them."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from rgdm.evaluate.glossary import explain
from rgdm.evaluate.summary import notes
from rgdm.plots.style import detail_scale
from rgdm.report.page import text

Scores = Mapping[str, Any]
HEADLINES = {
    "crps_over_bicubic": "CRPS / bicubic",
    "spread_skill": "spread / skill",
    "consistency_error": "coarse-consistency error",
    "octave_ratio": "power, finest octave / truth",
    "detail_kurtosis_ratio": "kurtosis, finest level / truth",
}
IN_UNITS = ("crps", "rmse", "energy_score", "variogram_score", "quantiles", "range")
DRAWN = ("rank_histogram", "event_reliability", "event_fss_widths", "event_scale_skill")
"""Figures that are pictures only."""
MOST_PAIRS = 24
"""Most rows of pairs of channels; those that are furthest from 0 are kept."""


def tiles(scores: Scores) -> str:
    """The few figures that say most, large."""
    items = []
    for name, label in HEADLINES.items():
        term = explain(name)
        if name not in scores or term is None:
            continue
        value, error = scores[name]["value"], scores[name]["error"]
        if isinstance(value, list):
            value, error = value[0], error[0]
        shown, _, plus = number(value, error).partition(" ± ")
        plus = f' <span class="error">± {plus}</span>' if plus else ""
        items.append(
            f'<li><span>{label}</span><b>{shown}{plus}</b><span class="quiet">good: {text(term.good)}</span></li>'
        )
    return f'<ul class="tiles">{"".join(items)}</ul>'


def figures_table(figures: Scores, about: Scores, units: str = "", title: str = "") -> str:
    """All figures of the glossary but pictures, each with its error, its meaning and what is good."""
    rows = []
    for name, entry in figures.items():
        term = explain(name)
        if term is None or name in DRAWN or name.startswith("octave_ratio_"):
            continue
        in_unit = name in IN_UNITS or _is_baseline_score(name) or "threshold" in entry
        unit = f" {text(units)}" if units and in_unit else ""
        rows.append(
            f'<tr><th scope="row">{text(term.title)}</th><td class="number">{_cell(name, entry, about, unit)}</td>'
            f"<td>{text(term.meaning)}</td><td>{text(term.good)}</td></tr>"
        )
    said = text(" ".join(notes(about)))
    note = f"<b>{text(title)}.</b> {said}" if title else said
    return (
        f'<div class="scroll"><table><caption>{note}</caption><thead><tr><th scope="col">figure</th>'
        '<th scope="col">value ± error</th><th scope="col">what it means</th><th scope="col">good is</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _is_baseline_score(name: str) -> bool:
    return name.startswith("crps_") and not name.startswith("crps_over_")


def _cell(name: str, entry: Scores, about: Scores, unit: str) -> str:
    value, error = entry["value"], entry["error"]
    if name == "range":
        (low, high), (least, most) = entry["ensemble"], entry["truth"]
        pairs = (("members", low, high), ("truth", least, most))
        lines = [f"<small>{who}</small> {a:.5g} to {b:.5g}{unit}" for who, a, b in pairs]
        return "<br>".join([number(value), *lines])
    if not isinstance(value, list):
        beside = {"rank_deviation": ("by chance", "chance"), "wet_share": ("truth", "truth")}.get(name)
        said = "" if beside is None else f" <small>({beside[0]} {number(entry[beside[1]])})</small>"
        return number(value, error) + unit + said
    lines = zip(_labels(entry, about, unit), value, error, strict=True)
    cells = [f"<small>{label}</small> {number(v, e)}{unit * (name in IN_UNITS)}" for label, v, e in lines]
    if "truth_error" in entry:
        pairs = zip(cells, entry["truth"], entry["truth_error"], strict=True)
        cells = [f"{cell} <small>(truth {number(v, e)})</small>" for cell, v, e in pairs]
    if name == "channel_correlation":
        return "<br>".join(_furthest(cells, value))
    if name.startswith("excursion_") or name == "quantiles":
        cells = [f"{cell} <small>(truth {number(v)})</small>" for cell, v in zip(cells, entry["truth"], strict=True)]
    if name == "event_fss":
        cells = [f"{c} <small>(members {number(v)})</small>" for c, v in zip(cells, entry["members"], strict=True)]
    return "<br>".join(cells)


def _furthest(cells: list[str], value: list[float | None]) -> list[str]:
    """The rows that are furthest from 0, in their order, and how many are left out."""
    ranked = sorted(range(len(cells)), key=lambda i: -abs(value[i] or 0.0))[:MOST_PAIRS]
    left = len(cells) - len(ranked)
    return [cells[i] for i in sorted(ranked)] + [f"<small>{left} more, nearer to 0</small>"] * (left > 0)


def _labels(entry: Scores, about: Scores, unit: str) -> list[str]:
    """What the entries of a list stand for: octaves, quantiles, thresholds, distances or levels."""
    if "edges" in entry:
        sites = [1 / edge for edge in entry["edges"]]
        return [f"{a:g} to {b:g} sites" for a, b in itertools.pairwise(sites)]
    if "probability" in entry:
        return [f"{100 * q:g} %" for q in entry["probability"]]
    if "threshold" in entry:
        return [f"above {threshold:.5g}{unit}" for threshold in entry["threshold"]]
    if "pair" in entry:
        scales = [detail_scale(about["factor"], level) for level in entry["level"]]
        return [f"{text(a)} and {text(b)}, {scale}" for (a, b), scale in zip(entry["pair"], scales, strict=True)]
    if "lag" in entry:
        return [f"{lag} sites" if lag > 1 else "1 site" for lag in entry["lag"]]
    if "noise" in entry:
        return [f"order {order}" for order in range(1, len(entry["value"]) + 1)]
    return [detail_scale(about["factor"], level) for level in range(len(entry["value"]))]


def number(value: float | None, error: float | None = None) -> str:
    """``33.0 ± 6.6``: two digits of the error, as many of the value; three digits without an error."""
    if value is None:
        return "–"
    if not error:
        return _scientific(value) if 0 < abs(value) < 1e-3 or abs(value) >= 1e6 else f"{value:.3g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    if value:
        places = min(places, max(0, 4 - math.floor(math.log10(abs(value)))))
    if places > 7:
        return f"{_scientific(value)} ± {_scientific(error)}"
    return f"{value:.{places}f} ± {error:.{places}f}"


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{superscript}"
