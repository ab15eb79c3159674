"""How much each site counts in a mean: the area of its cell, and 0 where it is missing.

Weights are numbers of 0 and more, or true and false for sites that count and others, ``(B or 1, C or 1, *L)``. None:
all sites count alike. Only their ratios matter. What a field holds where its weight is 0 is never looked at.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rgdm.errors import InputError


def counting(
    truth: Float[Tensor, "B C *L"],
    weights: Shaped[Tensor, "#B #C *L"] | None,
    valid: Shaped[Tensor, "#B #C *L"] | None = None,
) -> Float[Tensor, "B C *L"] | None:
    """The weights of the sites of a field that are ``valid``, the largest being 1 (float64); None if all are alike.

    Raises:
        InputError: if a weight is negative or not finite, or a channel has no site of any weight.
    """
    whole = torch.ones_like(truth, dtype=torch.float64)
    for part in (weights, valid):
        whole = whole if part is None else whole * part.to(whole)
    if not bool((whole.isfinite() & (whole >= 0)).all()):
        raise InputError(
            f"weights of sites from {float(whole.min()):g} to {float(whole.max()):g}; they are finite, and 0 (missing) "
            "or more"
        )
    if not bool((whole > 0).transpose(0, 1).flatten(1).any(1).all()):
        raise InputError("a channel of the truth has no valid site; leave it out")
    whole = whole / whole.max()
    return None if bool((whole == 1).all()) else whole


def means(x: Float[Tensor, "B *S"], weights: Shaped[Tensor, "#B *#S"] | None) -> Float[Tensor, "B"]:
    """The mean of each sample over its sites; NaN of a sample without any that counts."""
    if weights is None:
        return x.flatten(1).mean(1)
    weights = weights.to(x).expand_as(x)
    return torch.where(weights > 0, x * weights, 0.0).flatten(1).sum(1) / weights.flatten(1).sum(1)


def sizes(field: Float[Tensor, "B *S"], weights: Shaped[Tensor, "#B *#S"] | None) -> Float[Tensor, "B"]:
    """The mean weight of the sites of each sample (float64): how much it counts among samples."""
    if weights is None:
        return torch.ones(len(field), dtype=torch.float64, device=field.device)
    return weights.double().expand_as(field).flatten(1).mean(1)


def weighted(per_sample: Float[Tensor, "B *S"], sizes: Float[Tensor, "B"]) -> Float[Tensor, "B *S"]:
    """Means over the sites of each sample times its size; NaN, of a sample without any, counts 0."""
    return per_sample.nan_to_num(0.0) * sizes.reshape(-1, *(1,) * (per_sample.dim() - 1)).to(per_sample)


def of_pairs(a: Float[Tensor, "*S"], b: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """How much pairs of sites count: the geometric mean of their weights, 0 if one of both is missing."""
    return (a * b).sqrt()
