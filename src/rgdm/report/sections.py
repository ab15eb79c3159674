"""What the report says, section by section."""

import json
from typing import Any

from matplotlib.figure import Figure

from rgdm import plots
from rgdm.evaluate import Evaluation
from rgdm.plots.style import times
from rgdm.report.page import figure, section, text
from rgdm.report.sources import Material, Samples, find
from rgdm.report.table import figures_table, number, tiles


def sections(material: Material) -> list[str]:
    """All sections for which there is material."""
    attrs, parts = material.attrs, []
    if material.evaluation is not None:
        parts += [_summary(material.evaluation, attrs), _refinement(material, material.evaluation)]
        parts.append(_calibration(material.evaluation))
    if material.samples:
        parts.append(section("Generated fields", *(_generated(samples, attrs) for samples in material.samples)))
    if material.evaluation is not None:
        parts.append(section("All figures", figures_table(material.evaluation.scores, str(attrs.get("units", "")))))
    if material.history:
        parts.append(_training(material))
    return [*parts, _provenance(material)]


def _summary(evaluation: Evaluation, attrs: dict[str, Any]) -> str:
    about = evaluation.scores["about"]
    size = " × ".join(str(n) for n in about["lattice"])
    block = times(b ** about["levels"] for b in about["factor"])
    along = " along every axis" if len(set(about["factor"])) == 1 else ""
    name = f" of {attrs['name']}" if attrs.get("name") else ""
    return (
        f"<p>{about['samples']} held-out fields{text(name)}, {size} sites each, were averaged over blocks of "
        f"{block} sites{along}. From these coarse fields alone the model made {about['members']} "
        f"refinements each. This page compares them with the truth.</p>\n{tiles(evaluation.scores)}"
    )


def _refinement(material: Material, e: Evaluation) -> str:
    look, units = material.attrs.get("look"), str(material.attrs.get("units", ""))
    truth, coarse, bicubic, members = (material.upright(x) for x in (e.truth, e.coarse, e.bicubic, e.members))
    caption = (
        "Each row is one held-out field. The model has seen the coarse column only; every member has exactly its "
        "block means and differs from the others where the coarse field leaves room. The spread is the standard "
        f"deviation of {len(e.members)} members at each site. All panels share colours, light and slopes."
    )
    parts = [
        _figure(
            plots.refinement(truth, coarse, bicubic, members, look=look, units=units),
            "Truth, what the model was given, and what it made of it",
            caption + _axes_note(e.truth.ndim - 2),
        )
    ]
    if e.trajectory:
        caption = (
            "The same sample from coarse to fine. Each lift adds the detail of one scale and keeps all block means of "
            "the level before."
        )
        parts.append(
            _figure(
                plots.trajectory_strip([material.upright(x) for x in e.trajectory], look=look),
                "A renormalization group trajectory",
                caption,
            )
        )
    return section("Refinement of held-out fields", *parts)


def _calibration(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    pair = [
        _figure(
            plots.spectra(scores),
            "Power at every scale",
            "Above: power spectra; shaded is the range of eight in ten samples. Below: power over that of the truth in "
            "each octave, with its error; the band is ten per cent. Bicubic interpolation loses the small scales.",
        ),
        _figure(
            plots.rank_bars(scores),
            "Rank histogram",
            "How often the truth takes each rank among the members. Flat means calibrated, a valley that the ensemble "
            "is too narrow, a hill that it is too wide. Errors are jackknife errors over samples.",
        )
        + _figure(
            plots.kurtosis_levels(scores),
            "Heavy tails of the detail",
            "Kurtosis of what each scale adds. Real fields are quiet in most places and rough in a few, far above the "
            "3 of a Gaussian field.",
        ),
    ]
    return section("Is it calibrated?", f'<div class="pair"><div>{pair[0]}</div><div>{pair[1]}</div></div>')


def _generated(samples: Samples, attrs: dict[str, Any]) -> str:
    crop = attrs.get("crop")
    dimension = samples.field.ndim - 1
    crop = [crop] * dimension if isinstance(crop, int) else crop if isinstance(crop, list) else None
    picture = plots.generated(samples.field, crop, look=attrs.get("look"))
    caption = f"The first field of {samples.path.name}. "
    if crop is not None:
        caption += f"The model was trained on crops of {' × '.join(str(int(n)) for n in crop)} sites. "
    return _figure(picture, "A field made by the model", caption.strip() + _axes_note(dimension))


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
        caption += "The closed-form part alone has a loss of 1."
    curve = _figure(plots.training_curve(history), "Training", caption)
    return section("Training", f'<div class="pair"><div>{curve}</div></div>')


def _provenance(material: Material) -> str:
    facts: dict[str, Any] = {key: value for key, value in material.attrs.items() if isinstance(value, str | int | list)}
    if material.evaluation is not None:
        facts.update(material.evaluation.scores["about"])
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
