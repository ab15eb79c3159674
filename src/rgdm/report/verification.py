"""The section that verifies an ensemble as forecasters do: five diagrams, and how to read each of them."""

from collections.abc import Mapping
from typing import Any

from rgdm import plots
from rgdm.evaluate import Evaluation
from rgdm.evaluate.summary import notes
from rgdm.plots.verification import is_event_free
from rgdm.report.page import figure, section, text
from rgdm.report.table import number

RANKS = (
    "If the truth could be one of the members, it takes every rank equally often, and all bars reach the line within "
    "their errors. A valley in the middle means too narrow an ensemble, a hill too wide a one, a slope a bias; truth "
    "and members that are equal, such as dry sites, are put in order at random."
)
RELIABILITY = (
    "Of all sites to which the members give a probability of 70 %, the event should happen at 70 %: points lie on the "
    "dashed black line, below it the ensemble promises too much. Few members alone bend the curve; the dashed coloured "
    "lines are what it is when a member takes the place of the truth, and the lower panel says how many sites a point "
    "stands for."
)
FSS = (
    "Windows of a width are compared by the share of their sites above the threshold: 1 is the same share everywhere, "
    "and windows as narrow as a site ask for the very place. The dashed lines, one member against another, are what "
    "chance within the ensemble leaves; solid lines well below them are a fault of the model, and marks at the right "
    "are the score that is usually called useful."
)
SCALES = (
    "Blue: at this scale the members have the areas above the threshold in the right place (1 is no error); red: they "
    "err as much as if these were scattered at random, or more. What lies above the black line was given by the coarse "
    "field; below it detail is drawn by chance, so that the figure to compare with is that of one member against "
    "another, in brackets."
)
QUANTILES = (
    "Each point is a quantile of all values, such as 99 %: on the line the members have as many values of this size as "
    "the truth; zeros have no place on logarithmic axes. Points above the line at the upper end are extremes that are "
    "too strong, points below it extremes that are too weak."
)


def verification(evaluation: Evaluation) -> str:
    """Rank histogram, reliability, fractions skill score over width, intensity-scale skill and quantiles."""
    scores, parts = evaluation.scores, []
    about = scores["about"]
    for name, unit in zip(about["channels"], about["units"], strict=True):
        own = {**scores["channels"][name], "about": about}
        parts.append(_diagrams(own, f"{name}: " if len(about["channels"]) > 1 else "", unit))
    words = "An event is a value above a threshold, such as rain of more than 5 mm in an hour. "
    if not about["thresholds"]:
        words += "The thresholds here are quantiles of the truth; --thresholds names others. "
    words += " ".join(notes(about))
    return section("Verification", f"<p>{text(words)}</p>", *parts)


def _diagrams(own: Mapping[str, Any], of: str, unit: str) -> str:
    """Two columns; without events only ranks and quantiles."""
    ranks, wet = own["rank_deviation"], own.get("wet_share")
    furthest = f" Furthest from flat: {number(ranks['value'], ranks['error'])}"
    furthest += "." if ranks["chance"] is None else f"; by chance {number(ranks['chance'])} is to be expected."
    shares = None if wet is None else [f"{100 * wet[who]:.3g} %" for who in ("ensemble", "truth")]
    dry = "" if shares is None else f" {shares[0]} of the sites of the members are wet, of the truth {shares[1]}."
    left = [(plots.rank_bars(own), f"{of}rank histogram", RANKS + furthest)]
    right = [(plots.quantile_plot(own, unit), f"{of}quantiles", QUANTILES + dry)]
    if not is_event_free(own):
        left.append((plots.reliability_diagram(own, unit), f"{of}reliability of probabilities", RELIABILITY))
        right.insert(0, (plots.fss_curves(own, unit), f"{of}events in windows", FSS))
        left.append((plots.scale_diagram(own, unit), f"{of}events, scale by scale", SCALES))
    columns = [[figure(plots.figure_to_png(each), *words) for each, *words in column] for column in (left, right)]
    inside = "".join(f"<div>{''.join(column)}</div>" for column in columns)
    return f'<div class="pair">{inside}</div>'
