"""All figures of merit of one refinement, as a dictionary that JSON can hold."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.evaluate.detail import detail_moments, ensemble_moments, kurtosis_ratio
from rgdm.evaluate.scattering import scattering_distance
from rgdm.evaluate.scores import consistency_error, energy_score, fair_crps, rank_histogram, slopes, spread_skill
from rgdm.evaluate.spectra import octave_ratio, radial_spectrum
from rgdm.jackknife import Estimate, delete_one_error, delete_one_quantiles, jackknife
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.scattering.coefficients import Scattering

FORMAT = 1
PROBABILITIES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
SCALES, WINDOW, MOST = 4, 128, 16
"""Octaves, largest side and most samples of the scattering coefficients, which take long to compute."""

Figures = dict[str, Any]


def judge(
    truth: Float[Tensor, "B C *F"],
    ensemble: Float[Tensor, "M B C *F"],
    coarse: Float[Tensor, "B C *K"],
    operator: CoarseGraining,
    levels: int,
    boundary: Boundaries,
    baseline: dict[str, Tensor] | None = None,
    *,
    below: float | None = None,
    seed: int = 0,
) -> Figures:
    """Every figure of :data:`rgdm.evaluate.GLOSSARY` as ``{"value": ..., "error": ...}``, in the user's units.

    A baseline is a field (B, C, *F), judged by its absolute error, or an ensemble (M, B, C, *F). Errors are jackknife
    errors over samples. The error of a single sample is ``None``, and so is a value that does not exist. The dictionary
    also holds ``about`` (counts) and ``spectrum`` (curves to draw). ``below`` restricts the flatness to sites below
    that value.
    """
    baselines = {name: field if field.dim() > truth.dim() else field[None] for name, field in (baseline or {}).items()}
    figures: Figures = {
        "about": {
            "format": FORMAT,
            "samples": truth.shape[0],
            "members": ensemble.shape[0],
            "channels": truth.shape[1],
            "lattice": list(truth.shape[2:]),
            "levels": levels,
            "factor": list(operator.factors(truth.dim() - 2)),
            "boundary": boundary,
        },
        "consistency_error": {"value": consistency_error(ensemble, coarse, operator, levels), "error": None},
        **_scores(truth, ensemble, baselines),
        **_calibration(truth, ensemble, seed),
        **_detail(truth, ensemble, operator, levels),
        **_values(truth, ensemble, below),
        **_octaves(truth, ensemble, baselines, boundary),
        **_scattering(truth, ensemble[0], boundary),
        "spectrum": _spectra(truth, ensemble, baselines, boundary),
    }
    return plain(figures)


def _scores(truth: Tensor, ensemble: Tensor, baselines: dict[str, Tensor]) -> Figures:
    crps, energy = _crps_and_energy(ensemble, truth)
    error = (ensemble.double().mean(0) - truth.double()).square().flatten(1).mean(1)
    figures: Figures = {
        "crps": _mean(crps),
        "energy_score": _mean(energy),
        "rmse": estimate(jackknife(torch.sqrt, error)),
    }
    for name, field in baselines.items():
        baseline_crps, baseline_energy = _crps_and_energy(field, truth)
        figures[f"crps_{name}"] = _mean(baseline_crps)
        figures[f"crps_over_{name}"] = estimate(jackknife(torch.div, crps, baseline_crps))
        figures[f"energy_over_{name}"] = estimate(jackknife(torch.div, energy, baseline_energy))
    return figures


def _crps_and_energy(ensemble: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """CRPS and energy score of each sample; for a single field the mean absolute and the root mean square error."""
    if len(ensemble) > 1:
        return fair_crps(ensemble, truth), energy_score(ensemble, truth)
    error = (ensemble[0].double() - truth.double()).flatten(1)
    return error.abs().mean(1), error.square().mean(1).sqrt()


def _calibration(truth: Tensor, ensemble: Tensor, seed: int) -> Figures:
    spread, ranks = spread_skill(ensemble, truth), rank_histogram(ensemble, truth, seed)
    outside = jackknife(lambda relative: (relative[0] + relative[-1]) / 2, ranks.per_sample)
    return {
        "spread_skill": {"value": spread.pooled, "error": spread.error, "per_sample": spread.per_sample},
        "rank_histogram": {"value": ranks.relative, "error": ranks.error, "counts": ranks.counts},
        "outside": estimate(outside),
    }


def _detail(truth: Tensor, ensemble: Tensor, operator: CoarseGraining, levels: int) -> Figures:
    kurtosis = kurtosis_ratio(ensemble, truth, operator, levels)
    variance = ensemble_moments(ensemble, operator, levels)[0], detail_moments(truth, operator, levels)[0]
    return {
        "detail_kurtosis": {
            **estimate(kurtosis.ensemble),
            "truth": kurtosis.truth.value,
            "truth_error": kurtosis.truth.error,
        },
        "detail_kurtosis_ratio": estimate(kurtosis.ratio),
        "detail_variance_ratio": estimate(jackknife(torch.div, *variance)),
    }


def _values(truth: Tensor, ensemble: Tensor, below: float | None) -> Figures:
    """Quantiles of the values and of the steps between neighbours, model against truth."""
    q = torch.tensor(PROBABILITIES, dtype=torch.float64, device=truth.device)
    true, true_without = delete_one_quantiles([sample.flatten() for sample in truth], q)
    model, model_without = delete_one_quantiles([sample.flatten() for sample in ensemble.transpose(0, 1)], q)
    half = torch.full_like(q[:1], 0.5)
    rough, rough_without = delete_one_quantiles([slopes(sample, below) for sample in truth], half)
    steps = [torch.cat([slopes(member, below) for member in sample]) for sample in ensemble.transpose(0, 1)]
    model_rough, model_rough_without = delete_one_quantiles(steps, half)
    return {
        "quantiles": {
            "value": model - true,
            "error": delete_one_error(model_without - true_without),
            "probability": list(PROBABILITIES),
            "truth": true,
            "ensemble": model,
        },
        "flatness_ratio": {
            "value": (model_rough / rough)[0],
            "error": delete_one_error(model_rough_without / rough_without)[0],
            "truth": rough[0],
            "ensemble": model_rough[0],
        },
    }


def _octaves(truth: Tensor, ensemble: Tensor, baselines: dict[str, Tensor], boundary: Boundaries) -> Figures:
    figures = {}
    for name, field in {"octave_ratio": ensemble, **{f"octave_ratio_{n}": f for n, f in baselines.items()}}.items():
        edges, ratio = octave_ratio(field, truth, boundary)
        figures[name] = {**estimate(ratio), "edges": edges}
    return figures


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
    scattering = Scattering(scales, boundary=boundary)
    distance = scattering_distance(member[samples][middle], truth[samples][middle], scattering)
    value, error, noise = (part[1:3] for part in (*distance.rms, distance.noise))
    return {"scattering_distance": {"value": value, "error": error, "noise": noise}}


def _spectra(truth: Tensor, ensemble: Tensor, baselines: dict[str, Tensor], boundary: Boundaries) -> Figures:
    """S(k) of each field: the mean over samples, and the range that holds eight of ten samples."""
    curves: Figures = {"wavenumber": radial_spectrum(truth[:1], boundary)[0]}
    for name, field in {"truth": truth[None], "ensemble": ensemble, **baselines}.items():
        spectrum = torch.cat([radial_spectrum(member, boundary)[1] for member in field])
        low, high = spectrum.quantile(torch.tensor([0.1, 0.9]).to(spectrum), 0)
        curves[name] = {"value": spectrum.mean(0), "low": low, "high": high}
    return curves


def _mean(per_sample: Tensor) -> Figures:
    return {**estimate(jackknife(lambda mean: mean, per_sample)), "per_sample": per_sample}


def estimate(statistic: Estimate) -> Figures:
    """A statistic and its error as the entry of a figure."""
    return statistic._asdict()


def plain(value: Any) -> Any:
    """Tensors become (lists of) numbers, numbers that JSON cannot hold become ``None``."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
