"""How exactly block means are kept, in units in the last place of the numbers that are stored."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.evaluate.scores import mean_errors
from rgdm.scale.coarse_graining import CoarseGraining


def consistency_ulps(
    ensemble: Float[Tensor, "M B C *F"],
    coarse: Float[Tensor, "B C *K"],
    operator: CoarseGraining,
    levels: int,
    weights: Float[Tensor, "b c *F"] | None = None,
) -> Float[Tensor, "C"]:
    """``max |block mean - coarse| / ulp`` of each channel; the means are computed in double precision.

    The unit in the last place (ulp) is the distance of neighbouring numbers of the type in which the members are
    stored, at the largest absolute value of the block, be it of a site or the coarse value; of operators that look
    beyond a block at the largest of the field. A mean of exact values that are then rounded is off by at most half of
    one, and a coarse value that is rounded itself by half of one more. See
    :func:`rgdm.evaluate.consistency_error` for ``weights``.
    """
    worst = torch.zeros(coarse.shape[1], dtype=torch.float64, device=coarse.device)
    widths = operator.widths(coarse.dim() - 2, levels)
    errors = mean_errors(ensemble, coarse, operator, levels, weights)
    for member, error in zip(ensemble, errors, strict=True):
        largest = member.abs() if weights is None else torch.where(weights > 0, member, 0.0).abs()
        for axis, width in enumerate(widths, start=2):
            largest = largest.unflatten(axis, (-1, width)).amax(axis + 1)
        largest = torch.maximum(largest.double(), coarse.double().abs().nan_to_num(0.0))
        if not operator.blockwise:
            largest = largest.flatten(2).amax(2).reshape(*largest.shape[:2], *(1,) * (largest.dim() - 2))
        units = error / ulp(largest, ensemble.dtype)
        worst = torch.maximum(worst, units.transpose(0, 1).flatten(1).amax(1))
    return worst


def ulp(value: Float[Tensor, "*S"], dtype: torch.dtype) -> Float[Tensor, "*S"]:
    """The distance of neighbouring numbers of a type from the power of 2 at or below ``|value|`` on (float64)."""
    info = torch.finfo(dtype)
    exponent = torch.frexp(value.double().abs().clamp(min=info.tiny))[1] - 1
    return torch.ldexp(torch.full_like(value, info.eps, dtype=torch.float64), exponent)
