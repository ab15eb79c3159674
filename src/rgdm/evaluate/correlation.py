"""Whether variables vary together at each scale as they do in the truth."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.evaluate.detail import details
from rgdm.evaluate.pieces import Figures
from rgdm.evaluate.weights import of_pairs
from rgdm.jackknife import Estimate, jackknife
from rgdm.scale.coarse_graining import CoarseGraining


def detail_correlation(
    field: Float[Tensor, "B C *F"],
    operator: CoarseGraining,
    levels: int,
    weights: Shaped[Tensor, "#B #C *#F"] | None = None,
    blocks: int | None = None,
) -> Estimate:
    """Correlation of the detail of every pair of channels, (pairs, levels), with its jackknife error over samples.

    ``<d_a d_b> / sqrt(<d_a^2> <d_b^2>)``, means over the bands and sites of a level, the finest first; pairs in the
    order (0, 1), (0, 2), ..., (1, 2), ... Detail counts where all sites of its block have ``weights`` in both channels,
    by their mean.
    """
    return jackknife(_correlation, *correlation_terms(field, operator, levels, weights), blocks=blocks)


def correlation_terms(
    field: Float[Tensor, "B C *F"],
    operator: CoarseGraining,
    levels: int,
    weights: Shaped[Tensor, "#B #C *#F"] | None = None,
) -> tuple[Float[Tensor, "B P levels"], Float[Tensor, "B P levels"], Float[Tensor, "B P levels"]]:
    """Weighted sums of ``d_a d_b``, ``d_a^2``, ``d_b^2`` of each sample; those of several members may be added."""
    pairs = list(itertools.combinations(range(field.shape[1]), 2))
    first, second = ([pair[i] for pair in pairs] for i in (0, 1))
    columns = []
    for detail, there in details(field, operator.linear, levels, weights):
        a, b = detail[:, first], detail[:, second]
        if there is not None:
            root = of_pairs(there[:, first], there[:, second]).sqrt()
            a, b = a * root, b * root
        columns.append(torch.stack([part.flatten(2).sum(2) for part in (a * b, a.square(), b.square())]))
    cross, left, right = torch.stack(columns, -1)
    return cross, left, right


def correlation_figures(
    truth: Float[Tensor, "B C *F"],
    ensemble: Float[Tensor, "M B C *F"],
    operator: CoarseGraining,
    levels: int,
    weights: Shaped[Tensor, "#B #C *#F"] | None,
    names: Sequence[str],
    blocks: int | None = None,
) -> Figures:
    """The correlation of detail, members minus truth, a row for each pair of channels at each level."""
    if len(names) < 2:
        return {}
    true = correlation_terms(truth, operator, levels, weights)
    each = [correlation_terms(member, operator, levels, weights) for member in ensemble]
    model = [torch.stack(part).mean(0) for part in zip(*each, strict=True)]
    difference = jackknife(
        lambda a, b, c, d, e, f: _correlation(a, b, c) - _correlation(d, e, f), *model, *true, blocks=blocks
    )
    own, reference = (jackknife(_correlation, *terms, blocks=blocks) for terms in (model, true))
    pairs = list(itertools.combinations(names, 2))
    return {
        "channel_correlation": {
            "value": difference.value.flatten(),
            "error": difference.error.flatten(),
            "truth": reference.value.flatten(),
            "truth_error": reference.error.flatten(),
            "ensemble": own.value.flatten(),
            "ensemble_error": own.error.flatten(),
            "pair": [list(pair) for pair in pairs for _ in range(levels)],
            "level": [level for _ in pairs for level in range(levels)],
        }
    }


def _correlation(cross: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return cross / (left * right).sqrt()
