"""Figures that are ratios of means over samples, and the terms of these means for each sample of one channel."""

from collections.abc import Callable

import torch
from torch import Tensor

from rgdm.evaluate.detail import detail_moments, ensemble_moments, kurtosis
from rgdm.evaluate.ranks import rank_deviation
from rgdm.evaluate.scores import energy_score, fair_crps, rank_histogram, spread_and_error
from rgdm.evaluate.spectra import octave_power
from rgdm.evaluate.weights import means, sizes, weighted
from rgdm.jackknife import Estimate, jackknife
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining

Figures = dict[str, object]
Pieces = dict[str, Tensor]
"""Terms (B, ...) by name. Those of several channels in their own units are averaged to those of all."""


def pieces_of_sites(
    truth: Tensor, ensemble: Tensor, baselines: dict[str, Tensor], weights: Tensor | None, seed: int
) -> Pieces:
    """The terms of scores of single sites, of one channel (or of channels of one unit): means with ``weights``."""
    sites = sizes(truth, weights)
    variance, error = spread_and_error(ensemble, truth, weights)
    ranks = rank_histogram(ensemble, truth, seed, weights).per_sample
    terms = {"variance": variance, "error": error, "ranks": ranks}
    for name, field in {"": ensemble, **{f"_{name}": field for name, field in baselines.items()}}.items():
        terms[f"crps{name}"], terms[f"energy{name}"] = _crps_and_energy(field, truth, weights)
    return {"sites": sites, **{name: weighted(term, sites) for name, term in terms.items()}}


def _crps_and_energy(ensemble: Tensor, truth: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """CRPS and energy score of each sample; for a single field the mean absolute and the root mean square error."""
    if len(ensemble) > 1:
        return fair_crps(ensemble, truth, weights), energy_score(ensemble, truth, weights)
    error = ensemble[0].double() - truth.double()
    return means(error.abs(), weights), means(error.square(), weights).sqrt()


def pieces_of_fields(
    truth: Tensor,
    ensemble: Tensor,
    baselines: dict[str, Tensor],
    operator: CoarseGraining,
    levels: int,
    boundary: Boundaries,
    weights: Tensor | None = None,
) -> Pieces:
    """The terms of figures of whole fields of one channel: octaves, and moments of the detail, which has weights."""
    second, fourth, _ = detail_moments(truth, operator, levels, weights)
    terms = {"second_truth": second, "fourth_truth": fourth, "octaves_truth": octave_power(truth, boundary)[1]}
    terms["second"], terms["fourth"], terms["details"] = ensemble_moments(ensemble, operator, levels, weights)
    for name, field in {"": ensemble, **{f"_{name}": field for name, field in baselines.items()}}.items():
        terms[f"octaves{name}"] = torch.stack([octave_power(member, boundary)[1] for member in field]).mean(0)
    return terms


def over_channels(each: list[Pieces]) -> Pieces:
    """The terms of all channels together, from those of each in its own unit."""
    return {name: torch.stack([terms[name] for terms in each]).mean(0) for name in each[0]}


def figures_of(terms: Pieces, edges: Tensor, baselines: list[str], blocks: int | None = None) -> Figures:
    """The figures that follow from the terms, with jackknife errors over samples or ``blocks`` of consecutive ones."""

    def over(statistic: Callable[..., Tensor], *parts: Tensor) -> Estimate:
        return jackknife(statistic, *parts, blocks=blocks)

    def mean(term: Tensor, sites: Tensor) -> Figures:
        return {**estimate(over(torch.div, term, sites)), "per_sample": term / sites}

    sites = terms["sites"]
    crps, energy = terms["crps"], terms["energy"]
    spread = over(lambda v, e: (v / e).sqrt(), terms["variance"], terms["error"])
    ranks, bins = terms["ranks"], sites[:, None]
    figures: Figures = {
        "crps": mean(crps, sites),
        "energy_score": mean(energy, sites),
        "rmse": estimate(over(lambda e, n: (e / n).sqrt(), terms["error"], sites)),
    }
    for name in baselines:
        figures[f"crps_{name}"] = mean(terms[f"crps_{name}"], sites)
        figures[f"crps_over_{name}"] = estimate(over(torch.div, crps, terms[f"crps_{name}"]))
        figures[f"energy_over_{name}"] = estimate(over(torch.div, energy, terms[f"energy_{name}"]))
    figures["spread_skill"] = {**estimate(spread), "per_sample": (terms["variance"] / terms["error"]).sqrt()}
    figures["rank_histogram"] = estimate(over(torch.div, ranks, bins))
    figures["rank_deviation"] = rank_deviation(ranks, sites, blocks)
    figures["outside"] = estimate(over(lambda r, n: (r[0] + r[-1]) / 2 / n[0], ranks, bins))
    size = terms["details"]
    model, true = (terms["second"], terms["fourth"], size), (terms["second_truth"], terms["fourth_truth"], size)
    truth = over(kurtosis, *true)
    figures["detail_kurtosis"] = {
        **estimate(over(kurtosis, *model)),
        "truth": truth.value,
        "truth_error": truth.error,
    }
    ratio = over(lambda a, b, m, c, d, n: kurtosis(a, b, m) / kurtosis(c, d, n), *model, *true)
    figures["detail_kurtosis_ratio"] = estimate(ratio)
    figures["detail_variance_ratio"] = estimate(over(torch.div, model[0], true[0]))
    for name in ("", *(f"_{name}" for name in baselines)):
        octaves = over(torch.div, terms[f"octaves{name}"], terms["octaves_truth"])
        figures[f"octave_ratio{name}"] = {**estimate(octaves), "edges": edges}
    return figures


def estimate(statistic: Estimate) -> Figures:
    """A statistic and its error as the entry of a figure."""
    return dict(statistic._asdict())
