"""Events, such as rain above a threshold: their probabilities, their places, and the distribution beyond it."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.pieces import Figures, estimate
from rgdm.evaluate.scores import fair_crps
from rgdm.evaluate.weights import means, sizes, weighted
from rgdm.jackknife import jackknife
from rgdm.scale.boundary import Boundaries, boundary_of_each

BINS = 10
"""Forecast probabilities that a reliability diagram tells apart."""


def brier_score(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    threshold: float,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> Float[Tensor, "B"]:
    """Mean of ``(p - o)^2 - p (1 - p) / (M - 1)`` of each sample, unbiased for any number M >= 2 of members.

    p is the share of the members above the threshold, o whether the truth is (Ferro 2014, Q. J. R. Meteorol. Soc. 140,
    1917).
    """
    count = len(ensemble)
    if count < 2:
        raise InputError(f"{count} members; the score of probabilities needs 2 or more")
    p, o = shares(ensemble, threshold), (truth > threshold).double()
    return means((p - o).square() - p * (1 - p) / (count - 1), weights)


def tail_crps(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    threshold: float,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
) -> Float[Tensor, "B"]:
    """The fair CRPS of the values above a threshold, all others counting as the threshold; of one member its error.

    The threshold-weighted CRPS of Gneiting and Ranjan (2011, J. Bus. Econ. Stat. 29, 411) with the weight 1 above.
    """
    members, y = ensemble.double().clamp(min=threshold), truth.double().clamp(min=threshold)
    if len(ensemble) < 2:
        return means((members[0] - y).abs(), weights)
    return fair_crps(members, y, weights)


def fractions(
    x: Float[Tensor, "B C *L"],
    threshold: float,
    width: int | tuple[int, ...],
    valid: Bool[Tensor, "B C *L"] | None = None,
    boundary: Boundaries = "reflect",
) -> Float[Tensor, "B C *W"]:
    """The share of the valid sites above a threshold in every window inside the field; NaN of no sites.

    ``width`` is the number of sites of a window along all axes, or along each. Along periodic axes of the ``boundary``
    windows go on round the end, so that one begins at every site.
    """
    above = (x > threshold).double()
    widths = (width,) * (x.dim() - 2) if isinstance(width, int) else width
    if any(n < w for n, w in zip(x.shape[2:], widths, strict=True)):
        raise InputError(f"windows of {widths} sites on the lattice {tuple(x.shape[2:])}; take smaller ones")
    wraps = [side == "periodic" for side in boundary_of_each(boundary, x.dim() - 2)]
    if valid is None:
        return _sums(above, widths, wraps) / math.prod(widths)
    return _sums(above * valid, widths, wraps) / _sums(valid.double(), widths, wraps)


def fractions_skill(
    a: Float[Tensor, "B C *L"],
    b: Float[Tensor, "B C *L"],
    threshold: float,
    width: int | tuple[int, ...],
    valid: Bool[Tensor, "B C *L"] | None = None,
    boundary: Boundaries = "reflect",
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Of each sample the terms of the fractions skill score ``1 - error / reference`` of two fields.

    The sums of ``(p_a - p_b)^2`` and of ``p_a^2 + p_b^2`` over windows, p the share of a window above the threshold
    (Roberts and Lean 2008, Mon. Weather Rev. 136, 78).
    """
    return skill_terms(*(fractions(x, threshold, width, valid, boundary) for x in (a, b)))


def skill_terms(
    p: Float[Tensor, "B C *W"], q: Float[Tensor, "B C *W"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """The terms of :func:`fractions_skill` from the :func:`fractions` of both fields."""
    pairs = ((p - q).square(), p.square() + q.square())
    error, reference = (part.nan_to_num(0.0).flatten(1).sum(1) for part in pairs)
    return error, reference


def reliability(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    threshold: float,
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
    blocks: int | None = None,
) -> Figures:
    """How often the event occurs where the members give it a probability, in :data:`BINS` equal bins of probability.

    ``value`` is the observed frequency and ``error`` its jackknife error over samples (or ``blocks`` of them),
    ``forecast`` the mean probability, ``share`` the share of all sites in the bin; all of them by weight.
    """
    return reliability_of(shares(ensemble, threshold), truth > threshold, weights, blocks)


def reliability_of(
    p: Float[Tensor, "B C *L"],
    event: Bool[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
    blocks: int | None = None,
) -> Figures:
    """:func:`reliability` from the probabilities, and whether the event occurs."""
    o = event.double()
    there = torch.ones_like(o) if weights is None else weights.to(o).expand_as(o)
    which = (p * BINS).long().clamp(max=BINS - 1)
    sites, events, sums = (
        torch.stack([torch.bincount(i.flatten(), x.flatten(), BINS) for i, x in zip(which, part, strict=True)])
        for part in (there, o * there, p * there)
    )
    found = jackknife(torch.div, events, sites, blocks=blocks)
    return {**estimate(found), "forecast": sums.sum(0) / sites.sum(0), "share": sites.sum(0) / sites.sum()}


def event_figures(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    baselines: dict[str, Tensor],
    thresholds: Float[Tensor, "T"],
    width: tuple[int, ...],
    weights: Shaped[Tensor, "#B 1 *#L"] | None,
    blocks: int | None = None,
    boundary: Boundaries = "reflect",
) -> Figures:
    """Figures of the events that a channel is above each of some thresholds, in its own unit; windows of ``width``.

    Windows count alike, and in them the sites that have any weight; all else is weighted. Errors are jackknife errors
    over samples, or over ``blocks`` of consecutive ones.
    """
    sites, valid = sizes(truth, weights), None if weights is None else weights.expand_as(truth) > 0
    window = tuple(min(w, n) for w, n in zip(width, truth.shape[2:], strict=True))
    columns: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(name: str, value: Tensor, error: Tensor) -> None:
        columns.setdefault(name, []).append((value, error))

    alike = []
    for threshold in thresholds.tolist():
        o = weighted(means((truth > threshold).double(), weights), sites)
        brier = weighted(brier_score(ensemble, truth, threshold, weights), sites)
        add("event_brier", *jackknife(torch.div, brier, sites, blocks=blocks))
        add("event_skill", *jackknife(lambda s, o, n: 1 - s / (o * (1 - o / n)), brier, o, sites, blocks=blocks))
        tail = weighted(tail_crps(ensemble, truth, threshold, weights), sites)
        for name, field in baselines.items():
            own = weighted(tail_crps(field, truth, threshold, weights), sites)
            add(f"tail_crps_over_{name}", *jackknife(torch.div, tail, own, blocks=blocks))
        some = ensemble[: min(len(ensemble), 4)]
        terms = [fractions_skill(member, truth, threshold, window, valid, boundary) for member in some]
        add("event_fss", *_skill(terms, blocks))
        pairs = zip(some[1:], some, strict=False)
        others = [fractions_skill(a, b, threshold, window, valid, boundary) for a, b in pairs]
        alike.append(_skill(others, blocks)[0])
    figures: Figures = {}
    for name, pairs in columns.items():
        value, error = (torch.stack(part) for part in zip(*pairs, strict=True))
        figures[name] = {"value": value, "error": error, "threshold": thresholds}
    figures["event_fss"] |= {"members": torch.stack(alike), "width": list(window)}  # pyright: ignore
    return figures


def _sums(counts: Tensor, widths: tuple[int, ...], wraps: list[bool]) -> Tensor:
    """Sums over every window inside the field, as differences of running sums, which are exact for counts."""
    for axis, (width, wrap) in enumerate(zip(widths, wraps, strict=True), start=2):
        counts = counts.movedim(axis, -1)
        counts = torch.cat((counts, counts[..., : width - 1]), -1) if wrap else counts
        running = torch.nn.functional.pad(counts.cumsum(-1), (1, 0))
        counts = (running[..., width:] - running[..., :-width]).movedim(-1, axis)
    return counts


def _skill(terms: list[tuple[Tensor, Tensor]], blocks: int | None) -> tuple[Tensor, Tensor]:
    """The fractions skill score over all samples and pairs of fields, with its error."""
    error, reference = (torch.stack(part).mean(0) for part in zip(*terms, strict=True))
    return jackknife(lambda e, r: 1 - e / r, error, reference, blocks=blocks)


def shares(ensemble: Float[Tensor, "M B C *L"], threshold: float) -> Float[Tensor, "B C *L"]:
    """The share of the members above a threshold, one after the other: memory stays that of one."""
    total = torch.zeros_like(ensemble[0], dtype=torch.float64)
    for member in ensemble:
        total += member > threshold
    return total / len(ensemble)
