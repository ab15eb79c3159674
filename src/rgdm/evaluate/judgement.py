"""All figures of merit of one refinement, as a dictionary that JSON can hold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.consistency import consistency_ulps
from rgdm.evaluate.correlation import correlation_figures
from rgdm.evaluate.diagrams import event_diagrams
from rgdm.evaluate.events import event_figures
from rgdm.evaluate.pieces import Figures, figures_of, over_channels, pieces_of_fields, pieces_of_sites
from rgdm.evaluate.scattering import scattering_distance
from rgdm.evaluate.scores import consistency_error, energy_score
from rgdm.evaluate.sequence import blocks_for, sequence_figures
from rgdm.evaluate.spectra import octave_power, radial_spectrum
from rgdm.evaluate.standard import Standard
from rgdm.evaluate.texture import excursion_figures, structure_figures, thresholds_of, value_figures
from rgdm.evaluate.variogram import variogram_figures, variogram_pieces
from rgdm.evaluate.weights import counting, means, weighted
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.scattering.coefficients import Scattering

FORMAT = 4
SCALES, WINDOW, MOST = 4, 128, 16
"""Octaves, largest side and most samples of the scattering coefficients, which take long to compute."""
_UNITS = ("crps", "energy_score", "rmse", "variogram_score")


def judge(
    truth: Float[Tensor, "B C *F"],
    ensemble: Float[Tensor, "M B C *F"],
    coarse: Float[Tensor, "B C *K"],
    operator: CoarseGraining,
    levels: int,
    boundary: Boundaries,
    baseline: dict[str, Tensor] | None = None,
    *,
    channels: Sequence[str] = (),
    units: Sequence[str] = (),
    thresholds: Sequence[float] = (),
    valid: Bool[Tensor, "B #C *F"] | None = None,
    weights: Float[Tensor, "#B #C *F"] | None = None,
    areas: str = "given",
    below: float | None = None,
    seed: int = 0,
    times: bool = False,
    blocks: int | None = None,
) -> dict[str, Any]:
    """Every figure of :data:`rgdm.evaluate.GLOSSARY` as ``{"value": ..., "error": ...}``.

    ``channels`` holds the figures of each channel by its name, in its own unit. Those beside it are of all channels
    together, each channel divided by its standard deviation in the truth, so that none hides another; constant
    channels are left out of them. The consistency error is that of the worst channel. Errors are jackknife errors over
    samples; of fewer than :data:`rgdm.jackknife.FEWEST` they are ``None``, and so is a value that does not exist.
    ``about`` holds counts, names and units, ``spectrum`` curves to draw.

    Means over sites are by ``weights``, but for what :data:`rgdm.evaluate.glossary.ALIKE` names: spectra, windows,
    scattering coefficients and counts of edges and parts take all sites alike.

    Args:
        truth: fine fields.
        ensemble: members for each of them.
        coarse: block means that the members should have.
        operator: the coarse-graining, applied ``levels`` times.
        levels: how often.
        boundary: of all axes or of each.
        baseline: fields (B, C, *F), judged by their absolute error, or ensembles (M, B, C, *F), by name.
        channels: names, by default ``channel0`` and so on.
        units: of the channels, to be written beside figures.
        thresholds: of excursion sets, in the unit of the field; by default quantiles of the truth.
        valid: sites that count; all others, where the truth is filled, have no weight in scores, but have one in block
            means. Figures of whole fields (spectra, scattering, coasts) take the filled field there, for the truth, the
            members and the baselines alike.
        weights: of every site, in scores and in block means: areas of cells, 0 where they are missing. Only ratios
            matter. None: all sites alike, of block means those of the filled field.
        areas: what the weights are, in a word for the reader, such as ``latitudes``.
        below: restricts the flatness to neighbours below that value.
        seed: of the ranks of ties.
        times: samples are consecutive frames; how detail lasts is judged too.
        blocks: errors are jackknife errors over so many blocks of consecutive samples; by default each sample is one,
            and frames are in :func:`rgdm.evaluate.sequence.blocks_of_time`. Those of the scattering distance are over
            a few samples that are far apart.

    Raises:
        InputError: if fields or weights are not finite, names do not fit, every channel is constant or no site is
            valid, no channel of the truth crosses a threshold, or there are too few samples for blocks or times.
    """
    names, spoken = _named(truth.shape[1], channels, "channel"), _named(truth.shape[1], units, "")
    fields = {name: field if field.dim() > truth.dim() else field[None] for name, field in (baseline or {}).items()}
    _check_finite(truth=truth, ensemble=ensemble, coarse=coarse, **fields)
    of_sites = counting(truth, weights, valid)
    weights = None if counting(truth, weights) is None else weights
    standard = Standard.of(truth, of_sites)
    if bool(standard.constant.all()):
        raise InputError("the truth is constant; there is nothing that a refinement could be judged by")
    check_thresholds(truth, thresholds, names)
    blocks = blocks_for(len(truth), times, blocks)
    operator = operator.linear  # fields in units of their standard deviation have both signs
    case = _Case(truth, ensemble, fields, operator, levels, boundary, of_sites, standard, times, blocks)
    consistency = consistency_error(ensemble, coarse, operator, levels, weights)
    ulps = consistency_ulps(ensemble, coarse, operator, levels, weights)
    edges = octave_power(truth[:1, :1], boundary)[0]
    own, terms, curves = {}, [], []
    for c, name in enumerate(names):
        each, figures, curve = _channel(case, c, edges, tuple(thresholds), below, seed)
        own[name] = {**_kept(consistency[c], ulps[c]), **figures, "spectrum": curve}
        if not standard.constant[c]:
            terms.append(each)
            curves.append((name, standard.std[c], curve))
    joint = _with_joint_energy(case, over_channels(terms))
    together = figures_of(joint, edges, list(fields), blocks) | variogram_figures(joint, list(fields), blocks)
    varying = [name for name, _, _ in curves]
    about = {
        "format": FORMAT,
        "samples": truth.shape[0],
        "members": ensemble.shape[0],
        "channels": names,
        "units": spoken,
        "std": standard.std,
        "constant": [name for name in names if name not in varying],
        "thresholds": list(thresholds),
        "valid": 1.0 if of_sites is None else float((of_sites > 0).double().mean()),
        "areas": areas if of_sites is not None and bool(((of_sites > 0) & (of_sites < 1)).any()) else None,
        "lattice": list(truth.shape[2:]),
        "levels": levels,
        "factor": [list(b) if isinstance(b, tuple) else b for b in operator.factors_of(truth.dim() - 2, levels)],
        "boundary": boundary,
        "times": times,
        "blocks": blocks,
    }
    together = {**_kept(consistency.max(), ulps.max()), **together, **_between_channels(case, names)}
    together |= _scattering_of_all([own[name] for name in varying])
    return plain({"about": about, **together, "spectrum": _mean_curve(curves), "channels": own})


@dataclass(frozen=True)
class _Case:
    """The fields of one judgement, and the units of their channels."""

    truth: Tensor
    ensemble: Tensor
    baselines: dict[str, Tensor]
    operator: CoarseGraining
    levels: int
    boundary: Boundaries
    weights: Tensor | None
    standard: Standard
    times: bool
    blocks: int | None

    def channels(self, chosen: list[int]) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor | None]:
        """Truth, ensemble, baselines and weights of some channels, in their units."""
        standard = Standard(*(part[chosen] for part in (self.standard.mean, self.standard.std, self.standard.constant)))
        lattice = self.truth.dim() - 2
        baselines = {n: standard.apply(field[:, :, chosen], lattice) for n, field in self.baselines.items()}
        truth, ensemble = (standard.apply(x, lattice) for x in (self.truth[:, chosen], self.ensemble[:, :, chosen]))
        return truth, ensemble, baselines, None if self.weights is None else self.weights[:, chosen]


def _channel(
    case: _Case, c: int, edges: Tensor, thresholds: tuple[float, ...], below: float | None, seed: int
) -> tuple[dict[str, Tensor], Figures, Figures]:
    """The terms of one channel, its figures in its unit, and its spectrum."""
    truth, ensemble, baselines, weights = case.channels([c])
    unit = case.standard.std[c]
    terms = pieces_of_sites(truth, ensemble, baselines, weights, seed)
    filled, smooth = ensemble, baselines
    raw, members = case.truth[:, [c]], case.ensemble[:, :, [c]]
    texture = value_figures(raw, members, weights, below, case.boundary, case.blocks)
    levels = thresholds_of(raw, weights, thresholds)
    if weights is not None:
        valid = weights > 0
        filled, members = torch.where(valid, ensemble, truth), torch.where(valid, members, raw)
        smooth = {name: torch.where(valid, field, truth) for name, field in baselines.items()}
    terms |= pieces_of_fields(truth, filled, smooth, case.operator, case.levels, case.boundary, weights)
    terms |= variogram_pieces(truth, ensemble, baselines, case.boundary, weights)
    figures = figures_of(terms, edges, list(case.baselines), case.blocks)
    figures = _in_unit(figures | variogram_figures(terms, list(case.baselines), case.blocks), float(unit))
    figures |= texture
    figures |= structure_figures(truth, filled, case.boundary, weights, case.blocks)
    figures |= excursion_figures(raw, members, levels, case.boundary, weights, case.blocks)
    others = {name: field[:, :, [c]] for name, field in case.baselines.items()}
    factors = case.operator.factors_of(truth.dim() - 2, case.levels)
    widths = case.operator.widths(truth.dim() - 2, case.levels)
    figures |= event_figures(raw, members, others, levels, widths, weights, case.blocks, case.boundary)
    figures |= event_diagrams(raw, members, levels, factors, weights, case.blocks, case.boundary)
    if case.times:
        figures |= sequence_figures(truth, filled, case.operator, case.levels, case.boundary, weights, case.blocks)
    if not case.standard.constant[c]:
        figures |= _scattering(truth, filled[0], case.boundary)
    for entry in (figures["structure_2"], figures["structure_4"]):
        order = 2 if entry is figures["structure_2"] else 4
        entry["truth"] = entry["truth"] * unit**order  # pyright: ignore
    return terms, figures, _spectra(truth, filled, smooth, case.boundary, float(unit) ** 2)


def _kept(error: Tensor, ulps: Tensor) -> Figures:
    """How exactly the coarse field is kept."""
    return {name: {"value": x, "error": None} for name, x in (("consistency_error", error), ("consistency_ulps", ulps))}


def _between_channels(case: _Case, names: list[str]) -> Figures:
    """How channels vary together."""
    chosen = (~case.standard.constant).nonzero()[:, 0].tolist()
    truth, ensemble, _, weights = case.channels(chosen)
    named = [names[c] for c in chosen]
    return correlation_figures(truth, ensemble, case.operator, case.levels, weights, named, case.blocks)


def _in_unit(figures: Figures, unit: float) -> Figures:
    """Scores in units of the truth, in the unit of the channel."""
    for name, entry in figures.items():
        if name in _UNITS or (name.startswith("crps_") and not name.startswith("crps_over_")):
            figures[name] = {key: part * unit for key, part in entry.items()}  # pyright: ignore
    return figures


def _with_joint_energy(case: _Case, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The energy score of all channels together also judges how channels vary together."""
    chosen = (~case.standard.constant).nonzero()[:, 0].tolist()
    if len(chosen) < 2:
        return terms
    truth, ensemble, baselines, weights = case.channels(chosen)
    for name, field in {"": ensemble, **{f"_{name}": field for name, field in baselines.items()}}.items():
        if len(field) > 1:
            terms[f"energy{name}"] = weighted(energy_score(field, truth, weights), terms["sites"])
        else:
            square = means((field[0].double() - truth).square(), weights)
            terms[f"energy{name}"] = weighted(square.sqrt(), terms["sites"])
    return terms


def _scattering(truth: Tensor, member: Tensor, boundary: Boundaries) -> Figures:
    """Scattering coefficients of one member of each sample against the truth, of the middle of large fields."""
    sides = [min(n, WINDOW) for n in truth.shape[2:]]
    scales = min(SCALES, min(sides).bit_length() - 1)
    if len(sides) > 2 or len(truth) < 2 or scales < 2:
        return {}
    if sides != list(truth.shape[2:]):
        boundary = "reflect"
    middle = (..., *(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(truth.shape[2:], sides, strict=True)))
    samples = torch.linspace(0, len(truth) - 1, min(len(truth), MOST)).round().long().to(truth.device)
    part, other = member[samples][middle], truth[samples][middle]
    if bool(Standard.of(other).constant.any()):
        return {}
    distance = scattering_distance(part, other, Scattering(scales, boundary=boundary))
    value, error, noise = (part[1:3] for part in (*distance.rms, distance.noise))
    return {"scattering_distance": {"value": value, "error": error, "noise": noise}}


def _scattering_of_all(channels: list[Figures]) -> Figures:
    """Root mean square over channels; the error as if theirs were fully correlated, which is the most it can be."""
    found: list[Any] = [each["scattering_distance"] for each in channels if "scattering_distance" in each]
    if not found:
        return {}
    value, error, noise = (torch.stack([each[key] for each in found]) for key in ("value", "error", "noise"))
    rms = value.square().mean(0).sqrt()
    return {
        "scattering_distance": {
            "value": rms,
            "error": (value * error).mean(0) / rms,
            "noise": noise.square().mean(0).sqrt(),
        }
    }


def _spectra(
    truth: Tensor, ensemble: Tensor, baselines: dict[str, Tensor], boundary: Boundaries, unit: float
) -> dict[str, Any]:
    """S(k) of each field: the mean over samples, and the range that holds eight of ten samples."""
    curves: dict[str, Any] = {"wavenumber": radial_spectrum(truth[:1], boundary)[0]}
    for name, field in {"truth": truth[None], "ensemble": ensemble, **baselines}.items():
        spectrum = torch.cat([radial_spectrum(member, boundary)[1] for member in field]) * unit
        low, high = spectrum.quantile(torch.tensor([0.1, 0.9]).to(spectrum), 0)
        curves[name] = {"value": spectrum.mean(0), "low": low, "high": high}
    return curves


def _mean_curve(curves: list[tuple[str, Tensor, Any]]) -> dict[str, Any]:
    """The mean of the spectra over channels, each over the variance of its channel in the truth."""
    first = curves[0][2]
    return {
        name: {key: sum(curve[name][key] / std**2 for _, std, curve in curves) / len(curves) for key in first[name]}
        if isinstance(first[name], dict)
        else first[name]
        for name in first
    }


def _named(count: int, given: Sequence[str], default: str) -> list[str]:
    if not given:
        return [f"{default}{i}" if default else "" for i in range(count)]
    if len(given) != count or (default and len(set(given)) != count):
        raise InputError(f"{', '.join(given)} do not name {count} channels; give one name each, all different")
    return list(given)


def _check_finite(**fields: Tensor) -> None:
    for name, field in fields.items():
        if not bool(field.isfinite().all()):
            raise InputError(
                f"the {name.replace('_', ' ')} holds values that are not finite; fill missing ones of the truth, and "
                "pass `valid` to leave them out of the scores"
            )


def check_thresholds(truth: Float[Tensor, "B C *F"], thresholds: Sequence[float], names: Sequence[str]) -> None:
    """Raise ``InputError`` for a threshold that no channel of the truth crosses."""
    low, high = (f(truth.transpose(0, 1).flatten(1), 1).double() for f in (torch.amin, torch.amax))
    for threshold in thresholds:
        if not math.isfinite(threshold) or not bool(((low <= threshold) & (threshold < high)).any()):
            ranges = ", ".join(f"{n}: {a:.6g} to {b:.6g}" for n, a, b in zip(names, low, high, strict=True))
            raise InputError(f"no value of the truth lies on either side of the threshold {threshold:g} ({ranges})")


def plain(value: Any) -> Any:
    """Tensors become (lists of) numbers, numbers that JSON cannot hold become ``None``."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
