"""The intensity-scale skill: at which scales are events of which intensity in the right place?"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rgdm.design import Factor
from rgdm.evaluate.baselines import block_mean
from rgdm.scale.grid import factors_at_scale, scale_widths


def depth_of(lattice: tuple[int, ...], factors: tuple[Factor, ...]) -> int:
    """How often a lattice can be halved (coarse-grained by these factors) until one site is left or nothing divides.

    Factors of levels go on with the last of them.
    """
    depth = 0
    while math.prod(factors_at_scale(factors, depth)) > 1:
        if any(n % width for n, width in zip(lattice, scale_widths(factors, depth + 1), strict=True)):
            break
        depth += 1
    return depth


def scale_errors(
    field: Float[Tensor, "B 1 *L"],
    truth: Float[Tensor, "B 1 *L"],
    threshold: float,
    factors: tuple[Factor, ...],
    valid: Bool[Tensor, "B 1 *L"] | None = None,
) -> Float[Tensor, "B S"]:
    """Mean squares of the Haar components of ``(field > threshold) - (truth > threshold)``, the finest scale first.

    Component s is what means over blocks of ``factors^s`` sites (of factors of levels: the product of s of them) have
    beyond those over the next larger blocks; the last one is the mean over the largest blocks. They sum to the mean
    square of the difference (Casati et al. 2004, Meteorol. Appl. 11, 141, eqs. 8 to 10). Sites that are not valid count
    as alike.
    """
    error = (field > threshold).double() - (truth > threshold).double()
    if valid is not None:
        error = error * valid
    powers = [error.square().flatten(1).mean(1)]
    for scale in range(depth_of(tuple(truth.shape[2:]), factors)):
        error = block_mean(error, factors_at_scale(factors, scale))
        powers.append(error.square().flatten(1).mean(1))
    powers.append(torch.zeros_like(powers[0]))
    power = torch.stack(powers, 1)
    return power[:, :-1] - power[:, 1:]


def scale_skill(
    errors: Float[Tensor, "S"], field: Float[Tensor, ""], truth: Float[Tensor, ""], sites: Float[Tensor, ""]
) -> Float[Tensor, "S"]:
    """``1 - errors / ((f (1 - g) + g (1 - f)) / S)``: 1 where there is no error, 0 for events scattered at random.

    f and g are the frequencies of the event in the field and in the truth. The error of fields whose events are at
    random places is taken to be shared evenly by the S scales (Casati 2010, Weather Forecast. 25, 113; for f = g that
    of Casati et al. 2004, eq. 12).

    Args:
        errors: means of :func:`scale_errors`.
        field: share of all sites that are valid and have the event in the field.
        truth: the same in the truth.
        sites: share of all sites that are valid.
    """
    f, g = field / sites, truth / sites
    return 1 - errors / sites / ((f * (1 - g) + g * (1 - f)) / len(errors))
