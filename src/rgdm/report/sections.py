"""What the report says, section by section."""

import json
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rgdm import plots
from rgdm.data.orientation import Orientation
from rgdm.evaluate import Evaluation
from rgdm.evaluate.summary import warnings
from rgdm.plots.style import times
from rgdm.report.page import figure, section, text
from rgdm.report.sources import Material, Samples, Shown, find
from rgdm.report.table import figures_table, number, tiles
from rgdm.report.verification import verification
from rgdm.scale.grid import scale_widths


def sections(material: Material) -> list[str]:
    """All sections for which there is material."""
    attrs, parts, evaluation = material.attrs, [], material.evaluation
    if evaluation is not None:
        about = evaluation.scores["about"]
        channels = material.shown(about["channels"], about["units"])
        parts += [_summary(evaluation, attrs), _refinement(evaluation, channels), verification(evaluation)]
        parts += [_scales(evaluation), _textures(evaluation)]
    if material.samples:
        parts.append(section("Generated fields", *(_generated(each, material) for each in material.samples)))
    if evaluation is not None:
        parts.append(_figures(evaluation))
    if material.history:
        parts.append(_training(material))
    return [*parts, _provenance(material)]


def _summary(evaluation: Evaluation, attrs: dict[str, Any]) -> str:
    about, own = evaluation.scores["about"], evaluation.scores["channels"]
    size = " × ".join(str(n) for n in about["lattice"])
    widths = scale_widths(about["factor"], about["levels"])
    block, along = times(widths), " along every axis" if len(set(widths)) == 1 else ""
    name = f" of {attrs['name']}" if attrs.get("name") else ""
    words = [
        f"{about['samples']} held-out fields{name}, {size} sites each, were averaged over blocks of {block} "
        f"sites{along}. From these coarse fields, and what is known beside them, the model made {about['members']} "
        "refinements each. This page compares them with the truth."
    ]
    if len(own) > 1:
        words.append(
            "The figures below are of all channels together, each in units of its standard deviation in the truth; "
            "those of each channel follow in its own unit."
        )
    if about["constant"]:
        words.append(f"Constant in the truth, and left out of figures of all channels: {', '.join(about['constant'])}.")
    if about["valid"] < 1:
        words.append(
            f"{100 * (1 - about['valid']):.3g} % of the sites are missing in the truth. They do not count in scores of "
            "sites; figures of whole fields take the same filled values there for truth and members."
        )
    words += [f"{sentence}." for sentence in warnings(own)]
    return f"<p>{text(' '.join(words))}</p>\n{tiles(evaluation.scores)}"


def _refinement(e: Evaluation, channels: list[Shown]) -> str:
    lying = Orientation.from_json(e.attrs.get("orientation"))
    caption = (
        "Each row is one held-out field. Of the field the model has seen the coarse column only; every member has "
        "exactly its block means and differs from the others where the coarse field leaves room. The spread is the "
        f"standard deviation of {len(e.members)} members at each site. All panels share colours, light and slopes."
    )
    parts = []
    for shown in channels:
        of = f"{shown.name}: " if len(channels) > 1 else ""
        label = " ".join([shown.name if shown.look != "rgb" else "", f"({shown.units})" if shown.units else ""]).strip()
        fields = [_drawn(lying, x, shown, e.truth.ndim - 2) for x in (e.truth, e.coarse, e.bicubic, e.members)]
        drawing = plots.refinement(*fields, look=shown.look, units=label)
        title = f"{of}truth, what the model was given, and what it made of it"
        parts.append(_figure(drawing, title, caption + _axes_note(e.truth.ndim - 2)))
        if e.trajectory:
            strip = plots.trajectory_strip(
                [_drawn(lying, x, shown, e.truth.ndim - 2) for x in e.trajectory], look=shown.look
            )
            parts.append(_figure(strip, f"{of}a renormalization group trajectory", _TRAJECTORY))
    return section("Refinement of held-out fields", *parts)


_TRAJECTORY = (
    "The same sample from coarse to fine. Each lift adds the detail of one scale and keeps all block means of the "
    "level before."
)


def _drawn(lying: Orientation, x: np.ndarray, shown: Shown, dimension: int) -> np.ndarray:
    """Those channels of fields (..., C, *L) that are shown, north up."""
    x = x.take(shown.channels, x.ndim - dimension - 1)
    return lying.apply(x) if dimension > 1 else x


def _scales(evaluation: Evaluation) -> str:
    scores, parts = evaluation.scores, []
    about = scores["about"]
    for name, unit in zip(about["channels"], about["units"], strict=True):
        own, of = {**scores["channels"][name], "about": about}, f"{name}: " if len(about["channels"]) > 1 else ""
        left = _figure(
            plots.spectra(own, unit),
            f"{of}power at every scale",
            "Above: power spectra; shaded is the range of eight in ten samples. Below: power over that of the truth in "
            "each octave, with its error; the band is ten per cent. Bicubic interpolation loses the small scales.",
        )
        right = _figure(
            plots.kurtosis_levels(own),
            f"{of}heavy tails of the detail",
            "Kurtosis of what each scale adds. Real fields are quiet in most places and rough in a few, far above the "
            "3 of a Gaussian field.",
        )
        parts.append(f'<div class="pair"><div>{left}</div><div>{right}</div></div>')
    return section("Is every scale as strong as it should be?", *parts)


def _textures(evaluation: Evaluation) -> str:
    scores, parts = evaluation.scores, []
    about = scores["about"]
    for name, unit in zip(about["channels"], about["units"], strict=True):
        own, of = scores["channels"][name], f"{name}: " if len(about["channels"]) > 1 else ""
        parts.append(
            _figure(
                plots.excursions(own, len(about["lattice"]), unit),
                f"{of}what lies above a threshold",
                "Minkowski functionals of the sites above each threshold, such as land above the sea: how much, how "
                "long its boundary, in how many parts, and how many parts lie below. Thick bars are errors over "
                "samples; thin ones say how far one more member would lie from the others.",
            )
            + _figure(
                plots.increments(own),
                f"{of}slopes",
                "Differences of two sites at a distance (their second and fourth moment), and of neighbours (quantiles "
                "of their absolute value): 1 everywhere if flat and steep places are as in the truth.",
            )
        )
    return section("Does it look right?", *parts)


def _figures(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    about, own = scores["about"], scores["channels"]
    names = about["channels"]
    together = {name: entry for name, entry in scores.items() if name not in ("about", "channels", "spectrum")}
    if len(names) == 1:
        rest = {name: entry for name, entry in together.items() if name not in own[names[0]]}
        return section("All figures", figures_table({**own[names[0]], **rest}, about, about["units"][0]))
    title = "All channels together, each in units of its standard deviation in the truth"
    tables = [figures_table(together, about, title=title)]
    for name, unit in zip(names, about["units"], strict=True):
        tables.append(figures_table(own[name], about, unit, f"{name} ({unit})" if unit else name))
    return section("All figures", *tables)


def _generated(samples: Samples, material: Material) -> str:
    crop, dimension = material.attrs.get("crop"), samples.field.ndim - 1
    crop = [crop] * dimension if isinstance(crop, int) else crop if isinstance(crop, list) else None
    if crop is not None and samples.orientation.transposed:
        crop = [*crop[:-2], crop[-1], crop[-2]]
    parts = []
    channels = material.shown(samples.channels, samples.units)
    for shown in channels:
        picture = plots.generated(samples.field[shown.channels], crop, look=shown.look)
        caption = f"The first field of {samples.path.name}"
        if shown.look != "rgb":
            caption += f": {shown.name}" + (f" ({shown.units})" if shown.units else "")
        caption += ". "
        if crop is not None:
            caption += f"The model was trained on crops of {' × '.join(str(int(n)) for n in crop)} sites. "
        title = "A field made by the model" + (f": {shown.name}" if len(channels) > 1 else "")
        parts.append(_figure(picture, title, caption.strip() + _axes_note(dimension)))
    return "\n".join(parts)


def _training(material: Material) -> str:
    history, last = material.history, material.history[-1]
    caption = (
        f"{last.get('step', len(history)):,} steps in {last['seconds'] / 60:.1f} minutes. Dots are single records, "
        "lines are running medians, of all levels and of each; level 0 adds the finest detail. "
    )
    if find(material.config, "lift") == "flow":
        caption += "The loss is that of log density, in nats per degree of freedom; the closed-form part alone has 0."
    elif find(material.config, "objective") == "energy":
        caption += "The loss is the energy score of two samples, in units of the local amplitude."
    else:
        caption += "The closed-form part alone has a loss of 1 on the training fields."
    curve = _figure(plots.training_curve(history), "Training", caption)
    return section("Training", f'<div class="pair"><div>{curve}</div></div>')


def _provenance(material: Material) -> str:
    facts: dict[str, Any] = {key: value for key, value in material.attrs.items() if isinstance(value, str | int | list)}
    if material.evaluation is not None:
        facts.update(
            {key: value for key, value in material.evaluation.scores["about"].items() if value not in ([], "")}
        )
    listed = "".join(f"<dt>{text(key)}</dt><dd>{text(_brief(value))}</dd>" for key, value in facts.items())
    parts = [f"<dl>{listed}</dl>"] if listed else []
    if material.config is not None:
        config = text(json.dumps(material.config, indent=2))
        parts.append(f"<details><summary>Configuration of the model</summary><pre>{config}</pre></details>")
    return section("Where this comes from", *parts)


def _figure(drawing: Figure, name: str, caption: str) -> str:
    return figure(plots.figure_to_png(drawing), name, caption)


def _axes_note(dimension: int) -> str:
    return " Of three-dimensional fields the middle slice is shown." if dimension == 3 else ""


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return " × ".join(_brief(each) for each in value)
    return number(value) if isinstance(value, float) else str(value)[:300]
