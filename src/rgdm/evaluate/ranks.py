"""How far a rank histogram is from flat, as one figure: the same as asking whether the PIT is uniform."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.jackknife import jackknife

POINTS = 2000
"""Places of a numerical integral."""


def rank_deviation(
    ranks: Float[Tensor, "B R"], sites: Float[Tensor, "B"], blocks: int | None = None
) -> dict[str, object]:
    """The bin that is furthest from flat: ``value`` ``max |r - 1|``, ``error`` of that bin, and the ``bin`` itself.

    The rank of the truth among M members, ties broken at random, over M + 1 is the probability integral transform
    (PIT) of a randomised forecast (Czado et al. 2009, Biometrics 65, 1254), uniform if the truth could be a member.
    ``chance`` is the mean of the largest deviation of a histogram that is flat but for the errors of its bins, taken
    as independent: the largest of many is not near 0.

    Args:
        ranks: relative frequencies of the ranks of each sample, times its share of ``sites``.
        sites: the share of each sample.
        blocks: number of blocks of consecutive samples of the jackknife; None: every sample is one.
    """
    relative = jackknife(torch.div, ranks, sites[:, None], blocks=blocks)
    off = (relative.value - 1).abs()
    worst = int(off.argmax())
    return {
        "value": off[worst],
        "error": relative.error[worst],
        "bin": worst,
        "chance": largest_by_chance(relative.error),
    }


def largest_by_chance(errors: Float[Tensor, "R"]) -> Float[Tensor, ""]:
    """The mean of ``max_i |n_i|`` for independent Gaussian n of these standard deviations; NaN if one is.

    ``integral_0^oo (1 - prod_i erf(x / (sqrt2 e_i))) dx``.
    """
    top = errors.max()
    if not bool(top > 0):  # 0, or NaN
        return top
    x = torch.linspace(0, 8 * float(top), POINTS, dtype=torch.float64, device=errors.device)
    below = torch.erf(x[1:, None] / (math.sqrt(2) * errors.double())).prod(1)
    return torch.trapezoid(torch.cat([x.new_ones(1), 1 - below]), x)
