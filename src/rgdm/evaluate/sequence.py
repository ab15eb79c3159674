"""Samples that follow each other in time: how long detail lasts, and how large its changes are at each scale."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.detail import details
from rgdm.evaluate.pieces import Figures
from rgdm.evaluate.spectra import octave_power
from rgdm.evaluate.weights import of_pairs
from rgdm.jackknife import FEWEST, Estimate, jackknife
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining

MOST_BLOCKS, FRAMES = 20, 5
"""Most blocks of time that errors are computed from, and fewest frames of one where there are enough."""


def lag_correlation(
    fields: Float[Tensor, "T C *F"],
    operator: CoarseGraining,
    levels: int,
    lags: Sequence[int] = (1,),
    weights: Shaped[Tensor, "#T #C *#F"] | None = None,
    blocks: int | None = None,
) -> Estimate:
    """Correlation of the detail d of frames that are some frames apart, (C, levels, lags), level 0 the finest.

    ``<d(t) d(t + lag)> / sqrt(<d(t)^2> <d(t + lag)^2>)``, means over the bands, the sites and all pairs of frames: 1
    for detail that stays, 0 for detail that is drawn anew in every frame. Means are not subtracted: what always stands
    at the same place (mountains) lasts. The error is a jackknife error over blocks of consecutive frames, as frames
    are not independent (Kuensch 1989, Ann. Stat. 17, 1217); it is NaN of fewer than 20 frames, which make too few
    blocks. Detail that is 0 throughout has NaN.

    Args:
        fields: consecutive frames.
        operator: the coarse-graining, applied ``levels`` times.
        levels: how often.
        lags: in frames.
        weights: of sites; detail counts by the mean of those of its block, where none is 0 in both frames.
        blocks: number of blocks of time, by default :func:`blocks_of_time`.

    Raises:
        InputError: if a lag is negative, or there are too few frames for it.
    """
    return correlation_of(*lag_terms(fields, operator, levels, lags, weights), blocks=blocks)


def lag_terms(
    fields: Float[Tensor, "T C *F"],
    operator: CoarseGraining,
    levels: int,
    lags: Sequence[int] = (1,),
    weights: Shaped[Tensor, "#T #C *#F"] | None = None,
) -> tuple[Float[Tensor, "T C levels lags"], Float[Tensor, "T C levels lags"], Float[Tensor, "T C levels lags"]]:
    """Sums of ``d(t) d(t + lag)``, ``d(t)^2`` and ``d(t + lag)^2`` for each t; 0 for the last frames, without a pair.

    Those of several members may be added before :func:`correlation_of`.
    """
    check_lags(len(fields), lags)
    operator = operator.linear
    terms = fields.new_zeros(3, *fields.shape[:2], levels, len(lags), dtype=torch.float64)
    for level, (detail, there) in enumerate(details(fields, operator, levels, weights)):
        for i, lag in enumerate(lags):
            pairs = len(fields) - lag
            now, later = detail[:pairs], detail[lag:]
            if there is not None:
                root = of_pairs(there[:pairs], there[lag:]).sqrt()
                now, later = now * root, later * root
            products = (now * later, now.square(), later.square())
            for term, product in zip(terms, products, strict=True):
                term[:pairs, :, level, i] = product.flatten(2).sum(2)
    cross, now, later = terms
    return cross, now, later


def correlation_of(
    cross: Float[Tensor, "T *S"], now: Float[Tensor, "T *S"], later: Float[Tensor, "T *S"], blocks: int | None = None
) -> Estimate:
    """Correlations from :func:`lag_terms`, with errors over blocks of time."""
    blocks = blocks_of_time(len(cross)) if blocks is None else blocks
    return jackknife(lambda c, a, b: c / (a * b).sqrt(), cross, now, later, blocks=blocks)


def difference_power(
    fields: Float[Tensor, "T C *F"], boundary: Boundaries, lag: int = 1
) -> tuple[Float[Tensor, "E"], Float[Tensor, "T O"]]:
    """Edges of the octaves of scale, and in each the power of ``x(t + lag) - x(t)``; 0 for the last frames.

    The power is a mean over channels, see :func:`rgdm.evaluate.octave_power`. Of frames that are independent it is
    twice the power of the field, of frames that hardly change nearly 0.
    """
    check_lags(len(fields), [lag])
    edges, power = octave_power(fields[lag:].double() - fields[: len(fields) - lag].double(), boundary)
    return edges, torch.cat([power, power.new_zeros(lag, power.shape[1])])


def sequence_figures(
    truth: Float[Tensor, "T 1 *F"],
    ensemble: Float[Tensor, "M T 1 *F"],
    operator: CoarseGraining,
    levels: int,
    boundary: Boundaries,
    weights: Shaped[Tensor, "#T 1 *#F"] | None = None,
    blocks: int | None = None,
) -> Figures:
    """Figures of consecutive frames of a channel: lag-1 correlation of detail, and power of changes, for each scale.

    Errors of differences and ratios are those of pairs, over blocks of time.
    """
    blocks = blocks_of_time(len(truth)) if blocks is None else blocks
    true = [part[:, 0, :, 0] for part in lag_terms(truth, operator, levels, (1,), weights)]
    each = [lag_terms(member, operator, levels, (1,), weights) for member in ensemble]
    model = [torch.stack(part).mean(0)[:, 0, :, 0] for part in zip(*each, strict=True)]
    own, reference = correlation_of(*model, blocks=blocks), correlation_of(*true, blocks=blocks)
    difference = jackknife(
        lambda a, b, c, d, e, f: a / (b * c).sqrt() - d / (e * f).sqrt(), *model, *true, blocks=blocks
    )
    edges, changes = difference_power(truth, boundary)
    power = torch.stack([difference_power(member, boundary)[1] for member in ensemble]).mean(0)
    ratio = jackknife(torch.div, power, changes, blocks=blocks)
    return {
        "lag_correlation": {
            "value": difference.value,
            "error": difference.error,
            "truth": reference.value,
            "truth_error": reference.error,
            "ensemble": own.value,
            "ensemble_error": own.error,
        },
        "change_ratio": {"value": ratio.value, "error": ratio.error, "edges": edges},
    }


def blocks_of_time(frames: int) -> int:
    """How many blocks of consecutive frames errors are computed from: of 5 frames or more, at most 20.

    Shorter blocks would be alike and their errors too small, so that few frames make fewer blocks than errors need.
    """
    return max(1, min(MOST_BLOCKS, frames // FRAMES))


def blocks_for(samples: int, times: bool, blocks: int | None) -> int | None:
    """The number of blocks that errors of so many samples are computed from; None: every sample is one.

    Raises:
        InputError: for fewer than :data:`rgdm.jackknife.FEWEST` blocks, more blocks than samples, or a single frame.
    """
    if times and samples < 2:
        raise InputError(f"{samples} frame follows no other; times need 2 or more")
    if blocks is not None and not FEWEST <= blocks <= samples:
        then = f"take {FEWEST} to {samples}" if samples >= FEWEST else f"errors need {FEWEST} or more; leave blocks out"
        raise InputError(f"{blocks} blocks of {samples} samples give no errors; {then}")
    return blocks_of_time(samples) if times and blocks is None else blocks


def check_lags(frames: int, lags: Sequence[int]) -> None:
    """Raise ``InputError`` for a lag that these frames do not hold."""
    for lag in lags:
        if not 0 <= lag < frames:
            raise InputError(f"a lag of {lag} frames does not fit {frames} frames; take 0 to {frames - 1}")
