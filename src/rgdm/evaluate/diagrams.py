"""What the diagrams of forecasters draw of events above thresholds: reliability, and skill over scales."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.design import Factor
from rgdm.evaluate.events import fractions, reliability_of, shares, skill_terms
from rgdm.evaluate.intensity import scale_errors, scale_skill
from rgdm.evaluate.pieces import Figures
from rgdm.jackknife import Estimate, jackknife
from rgdm.scale.boundary import Boundaries

MEMBERS = 4
"""Members that are compared with the truth, and each with the next: the first ones."""


def event_diagrams(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    thresholds: Float[Tensor, "T"],
    factors: tuple[Factor, ...],
    weights: Shaped[Tensor, "#B 1 *#L"] | None = None,
    blocks: int | None = None,
    boundary: Boundaries = "reflect",
) -> Figures:
    """Tables of a channel, with a row for each threshold, in its own unit.

    ``event_reliability`` has a column for each bin of probability, ``event_fss_widths`` for each width of windows,
    ``event_scale_skill`` for each scale, that of ``factors``, the finest first; the last one is all larger scales.
    ``members`` is what members have that are judged by members, NaN of a single one: so far from the diagonal, from 1
    and from 0 is an ensemble of this size even if the truth could be one of it. Reliability is by the weights of sites;
    windows and scales count alike all sites that have any.
    """
    valid = None if weights is None else weights.expand_as(truth) > 0
    rows = [float(threshold) for threshold in thresholds]
    some, columns = ensemble[:MEMBERS], widths_of(tuple(truth.shape[2:]))
    curves = [_reliability(ensemble, truth, threshold, weights, blocks) for threshold in rows]
    around = (valid, boundary, blocks)
    fss = [[_fractions(some, truth, threshold, width, *around) for width in columns] for threshold in rows]
    skill = [_scales(some, truth, threshold, factors, valid, blocks) for threshold in rows]
    return {
        "event_reliability": {
            **{key: torch.stack([curve[key] for curve in curves]) for key in curves[0]},  # pyright: ignore
            "frequency": _frequencies(truth, rows, weights),
            "threshold": rows,
        },
        "event_fss_widths": {
            "value": torch.stack([torch.stack([one.value for one, _ in row]) for row in fss]),
            "error": torch.stack([torch.stack([one.error for one, _ in row]) for row in fss]),
            "members": torch.stack([torch.stack([alike for _, alike in row]) for row in fss]),
            "useful": 0.5 + _frequencies(truth, rows, valid) / 2,
            "width": columns,
            "threshold": rows,
        },
        "event_scale_skill": {
            "value": torch.stack([one.value for one, _ in skill]),
            "error": torch.stack([one.error for one, _ in skill]),
            "members": torch.stack([alike for _, alike in skill]),
            "threshold": rows,
        },
    }


def widths_of(lattice: tuple[int, ...]) -> list[int]:
    """The widths 1, 2, 4, ... sites of windows, up to half the longest axis."""
    return [2**j for j in range(max(1, (max(lattice) // 2).bit_length()))]


def _reliability(
    ensemble: Tensor, truth: Tensor, threshold: float, weights: Tensor | None, blocks: int | None
) -> Figures:
    """The reliability of the members against the truth, and of the others against some members."""
    count, p = len(ensemble), shares(ensemble, threshold)
    curve = reliability_of(p, truth > threshold, weights, blocks)
    if count < 2:
        nothing = torch.full_like(curve["share"], torch.nan)  # pyright: ignore[reportArgumentType]
        return {**curve, "members": nothing, "members_forecast": nothing, "members_share": nothing}
    each = []
    for member in ensemble[:MEMBERS]:
        event = member > threshold
        others = ((count * p).round() - event.double()) / (count - 1)
        each.append(reliability_of(others, event, weights))
    value, forecast, share = (torch.stack([one[key] for one in each]) for key in ("value", "forecast", "share"))
    members, places = ((part.nan_to_num(0.0) * share).sum(0) / share.sum(0) for part in (value, forecast))
    return {**curve, "members": members, "members_forecast": places, "members_share": share.mean(0)}


def _fractions(
    some: Tensor,
    truth: Tensor,
    threshold: float,
    width: int,
    valid: Tensor | None,
    boundary: Boundaries,
    blocks: int | None,
) -> tuple[Estimate, Tensor]:
    """The fractions skill score of members against the truth with its error, and that of members alike."""
    window = tuple(min(width, n) for n in truth.shape[2:])
    true, *each = (fractions(x, threshold, window, valid, boundary) for x in (truth, *some))

    def skill(pairs: list[tuple[Tensor, Tensor]]) -> Estimate:
        error, reference = (torch.stack(part).mean(0) for part in zip(*pairs, strict=True))
        return jackknife(lambda e, r: 1 - e / r, error, reference, blocks=blocks)

    own = skill([skill_terms(member, true) for member in each])
    if len(some) < 2:
        return own, torch.full_like(own.value, torch.nan)
    return own, skill([skill_terms(a, b) for a, b in zip(each[1:], each, strict=False)]).value


def _scales(
    some: Tensor, truth: Tensor, threshold: float, factors: tuple[Factor, ...], valid: Tensor | None, blocks: int | None
) -> tuple[Estimate, Tensor]:
    """The intensity-scale skill of members against the truth with its error, and that of members alike."""

    def share(x: Tensor) -> Tensor:
        return (x if valid is None else x & valid).flatten(1).double().mean(1)

    sites = share(torch.ones_like(truth, dtype=torch.bool))

    def skill(pairs: list[tuple[Tensor, Tensor]]) -> Estimate:
        errors = torch.stack([scale_errors(a, b, threshold, factors, valid) for a, b in pairs]).mean(0)
        events = [torch.stack([share(x > threshold) for x in fields]).mean(0) for fields in zip(*pairs, strict=True)]
        return jackknife(scale_skill, errors, *events, sites, blocks=blocks)

    own = skill([(member, truth) for member in some])
    if len(some) < 2:
        return own, torch.full_like(own.value, torch.nan)
    return own, skill(list(zip(some[1:], some, strict=False))).value


def _frequencies(truth: Tensor, thresholds: list[float], weights: Tensor | None) -> Tensor:
    """How often the truth is above each threshold."""
    w = torch.ones_like(truth, dtype=torch.float64) if weights is None else weights.double().expand_as(truth)
    return torch.stack([((truth > threshold) * w).sum() / w.sum() for threshold in thresholds])
