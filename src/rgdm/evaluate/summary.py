"""A few lines that say how good a refinement is."""

import math
from collections.abc import Mapping
from typing import Any

from rgdm.jackknife import FEWEST

Scores = Mapping[str, Any]
MANY = 10
"""Samples or blocks from which on it is not said how uncertain errors are."""
BEYOND = 0.5
"""A sentence says so if members leave the range of the truth by more than this share of it."""
MOST_CHANNELS, MOST_EXCURSIONS = 16, 8
"""Most rows of the tables; channels that are worst against bicubic interpolation come first where there are more."""


def summary(scores: Scores) -> list[str]:
    """Lines with each figure, its error and what is good: of all channels, then of each in its own unit."""
    channels, units = scores["channels"], dict(zip(scores["channels"], scores["about"]["units"], strict=True))
    lines = [
        f"Coarse field kept to {_plain(scores['consistency_error'])} of its spread{_places(scores)} "
        "(rounding only: below 5e-6)",
        f"Fair CRPS over that of bicubic interpolation: {_figure(scores, 'crps_over_bicubic')} "
        "(below 1; smaller is better)",
        f"Spread over error of the ensemble: {_figure(scores, 'spread_skill')} (1; below it, too sure of itself)",
        f"Power over that of the truth, finest octave first: {_figure(scores, 'octave_ratio')} (1)",
        "Kurtosis of detail over that of the truth, finest level first: "
        f"{_figure(scores, 'detail_kurtosis_ratio')} (1)",
    ]
    if len(channels) > 1:
        lines.insert(0, "All channels together, each in units of its standard deviation in the truth:")
    if "rank_deviation" in scores:
        chance = _short(scores["rank_deviation"]["chance"])
        lines.append(
            f"Ranks of the truth, furthest from flat: {_figure(scores, 'rank_deviation')} (by chance {chance})"
        )
    lines += _together(scores)
    if "bits" in scores:
        lines += [
            f"Bits per degree of freedom of the true detail, finest level first: {_figure(scores, 'bits')} "
            "(small; white noise as large as the field has 2.05)",
            f"Bits that the networks save of those of the closed-form part: {_figure(scores, 'bits_gain')} (above 0)",
        ]
    shown = sorted(channels, key=lambda name: -(_value(channels[name], "crps_over_bicubic") or math.inf))
    shown = [name for name in channels if name in shown[:MOST_CHANNELS]]
    lines += _table([["each channel" if len(channels) > 1 else "channel", *_COLUMNS], *_rows(channels, units, shown)])
    if len(shown) < len(channels):
        lines.append(f"{len(channels) - len(shown)} more channels, better against bicubic interpolation, are not shown")
    lines += warnings(channels)
    few = len(channels) > 1 and not scores["about"]["thresholds"]
    rows = [row for name in shown for row in _excursions(name if len(channels) > 1 else "", channels[name], few)]
    if rows:
        titles = ["members / truth, above", "area", "boundary", "islands", "lakes", "Brier skill", "CRPS / bicubic"]
        lines += _table([titles, *rows[:MOST_EXCURSIONS]])
    return [*lines, *notes(scores["about"])]


def notes(about: Scores) -> list[str]:
    """What the errors of an evaluation are, or why there are none; by which areas sites are weighted, if they are."""
    samples, blocks = about["samples"], about["blocks"]
    count = samples if blocks is None else blocks
    if count < FEWEST:
        few = "1 sample is" if samples == 1 else f"{samples} samples are"
        if blocks is not None and samples >= FEWEST:
            few = f"{samples} consecutive samples, in {blocks} block{'s' * (blocks > 1)}, are"
        errors = f"No errors: {few} too few; an error from fewer than {FEWEST} is itself uncertain by half or more."
    else:
        over = f"{samples} samples" if blocks is None else f"{blocks} blocks of consecutive samples, {samples} in all"
        unsure = f"; so few make them uncertain by {1 / math.sqrt(2 * (count - 1)):.0%}" if count < MANY else ""
        errors = f"Errors are jackknife errors over {over}{unsure}."
    if about["areas"] is None:
        return [errors]
    return [
        errors,
        f"Sites are weighted by the areas of their cells ({about['areas']}); spectra, windows, and counts of edges and "
        "parts take all alike.",
    ]


def _together(scores: Scores) -> list[str]:
    """How variables vary together, and how much of the detail lasts from frame to frame."""
    lines, pairs = [], scores.get("channel_correlation")
    known = [i for i, value in enumerate(pairs["value"]) if value is not None] if pairs is not None else []
    if pairs is not None and known:
        i = max(known, key=lambda i: abs(pairs["value"][i]))
        lines.append(
            f"Correlation of detail of two channels, model minus truth: at most {_signed(pairs, i)}, of "
            f"{' and '.join(pairs['pair'][i])} at level {pairs['level'][i]} (0 within 0.03)"
        )
    for name, one in scores["channels"].items():
        if "lag_correlation" in one:
            lag, of = one["lag_correlation"], f" of {name}" if len(scores["channels"]) > 1 else ""
            each = ", ".join(f"{_short(a)} ({_short(b)})" for a, b in zip(lag["ensemble"], lag["truth"], strict=True))
            lines.append(f"Detail{of} that lasts to the next frame, finest level first: {each} (the truth in brackets)")
    return lines


def _signed(entry: Scores, i: int) -> str:
    value, error = entry["value"][i], entry["error"][i]
    return f"{value:+.3f}" + ("" if error is None else f" +- {error:.3f}")


def _places(scores: Scores) -> str:
    value = _value(scores, "consistency_ulps")
    return "" if value is None else f", {value:.2g} units in the last place"


_COLUMNS = ("fair CRPS", "/ bicubic", "spread/error", "finest octave", "coarse error", "members", "truth")


def _rows(channels: Scores, units: Mapping[str, str], shown: list[str]) -> list[list[str]]:
    rows = []
    for name in shown:
        one, unit = channels[name], f" {units[name]}" if units[name] else ""
        low, high = one["range"]["ensemble"]
        least, most = one["range"]["truth"]
        rows.append(
            [
                name,
                f"{one['crps']['value']:.4g}{unit}",
                _short(_value(one, "crps_over_bicubic")),
                _short(_value(one, "spread_skill")),
                _short(_value(one, "octave_ratio")),
                _plain(one["consistency_error"]),
                f"{low:.5g} to {high:.5g}",
                f"{least:.5g} to {most:.5g}{unit}",
            ]
        )
    return rows


def warnings(channels: Scores) -> list[str]:
    """A sentence for each channel whose members leave the range of the truth by much."""
    lines = []
    for name, one in channels.items():
        beyond = one["range"]["value"]
        if beyond is None or beyond > BEYOND:
            by = "although the truth is constant" if beyond is None else f"by {beyond:.2g} of its width"
            lines.append(f"The members of {name} leave the range of the truth {by}: rare values are not to be trusted")
    return lines


def _excursions(name: str, one: Scores, few: bool) -> list[list[str]]:
    """A row for each threshold that the truth crosses, or for the ``few``, the middle one."""
    entries = [one[f"excursion_{kind}"] for kind in ("area", "perimeter", "islands", "lakes")]
    thresholds = entries[0]["threshold"]
    chosen = [i for i in range(len(thresholds)) if entries[1]["truth"][i]]
    chosen = chosen[len(chosen) // 2 : len(chosen) // 2 + 1] if few else chosen
    columns = [*entries, one.get("event_skill"), one.get("tail_crps_over_bicubic")]
    return [[f"{name} {thresholds[i]:.6g}".strip(), *(_with_error(entry, i) for entry in columns)] for i in chosen]


def _with_error(entry: Scores | None, i: int) -> str:
    if entry is None:
        return "-"
    value, error = entry["value"][i], entry["error"][i]
    error = entry["scatter"][i] if error is None and "scatter" in entry else error
    return "-" if value is None else f"{value:.2f}" + ("" if error is None else f" +- {error:.2f}")


def _table(rows: list[list[str]]) -> list[str]:
    """Columns of equal width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _figure(scores: Scores, name: str) -> str:
    if name not in scores:
        return "-"
    values, errors = scores[name]["value"], scores[name]["error"]
    if not isinstance(values, list):
        values, errors = [values], [errors]
    errors = errors if isinstance(errors, list) else [errors] * len(values)
    pairs = zip(values, errors, strict=True)
    return ", ".join(f"{v:.3f}" + (f" +- {e:.3f}" if e is not None else "") for v, e in pairs if v is not None)


def _value(one: Scores, name: str) -> float | None:
    value = one.get(name, {}).get("value")
    return value[0] if isinstance(value, list) else value


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _plain(entry: Scores) -> str:
    return "-" if entry["value"] is None else f"{entry['value']:.1e}"
