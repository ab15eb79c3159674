"""What stands where a coarse field has no value, for the sake of those who look at its surroundings."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.closed_form.amplitude import CUT, WIDTHS, blur
from rgdm.scale.boundary import Boundaries

FILLING = (0.8, *WIDTHS)
"""Standard deviations of the windows that values are filled from, in sites; the widest goes as far as features look."""
ENOUGH = 1e-3
"""Least weight of the sites that are there in a window."""


def smoothly_filled(
    x: Float[Tensor, "B C *K"], weights: Float[Tensor, "b c *K"], boundary: Boundaries
) -> Float[Tensor, "B C *K"]:
    """The field with smooth values where its weight is 0: the mean of a window, of the narrowest that has any.

    Beyond the reach of the widest window it is 0, the mean of a normalised field; nobody looks there. Values that are
    there are left alone.
    """
    have = (weights > 0).expand_as(x)
    if bool(have.all()):
        return x
    out = values = torch.where(have, x, 0.0)
    there = have.to(x)
    for width in FILLING:
        around = blur(there, width, boundary)
        new = ~have & (around > ENOUGH)
        out = torch.where(new, blur(values, width, boundary) / around.clamp(min=ENOUGH), out)
        have = have | new
    return out


def filling_reach() -> int:
    """How many sites away a filled value looks."""
    return math.ceil(CUT * max(FILLING))
