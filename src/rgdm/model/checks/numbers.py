"""Whether the numbers of a stored model are possible: finite, and as large as measurements and weights can be."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.shares import GAIN


class Bounds(NamedTuple):
    """The values that a tensor may have: between two finite ones, or also infinite."""

    least: float
    most: float
    infinite: bool = False


TINY, HUGE = 5e-324, 1.7e308
"""The smallest and the largest positive float64."""
WEIGHTS, OTHER = Bounds(-1e6, 1e6), Bounds(-1e30, 1e30)
"""Of weights that are trained, and of what is measured but not named below."""
BOUNDS = {
    "units.mean": Bounds(-HUGE, HUGE),
    "units.scale": Bounds(TINY, HUGE),
    "companions.mean": Bounds(-HUGE, HUGE),
    "companions.scale": Bounds(TINY, HUGE),
    "clock.seen": Bounds(0, 1),
    "temperature": Bounds(1e-3, 10),  # both: the end of a name counts
    "condition.mean": Bounds(-1e6, 1e6),
    "condition.scale": Bounds(1e-7, 1e6),
    "amplitude.offset": Bounds(-100, 100),
    "amplitude.gamma": Bounds(0, 1),
    "amplitude.rise": Bounds(-50, 50),
    "amplitude.band": Bounds(1e-13, 1e13),
    "amplitude.floor": Bounds(1e-13, 1e13),
    "standardizer.tail": Bounds(0, 10),
    "standardizer.limit": Bounds(0, 1e6, infinite=True),
    "standardizer.largest": Bounds(0, 1e30),
    "base.share": Bounds(0, 1),
    ".none": Bounds(0, 1),  # shares: masses of the atoms, what is believed of slopes, quantiles of what these leave
    ".all": Bounds(0, 1),
    ".gain": Bounds(0, GAIN),
    ".size": Bounds(-10, 10),
    ".table": Bounds(-1e4, 1e4),
    ".centres_0": Bounds(-1e3, 1e3),
    ".centres_1": Bounds(-1e3, 1e3),
    ".centres_2": Bounds(0, 1e3),
    "sweep.scale": Bounds(1e-13, 1e13),
}
"""By the end of the name of a tensor."""
RISING = ("base.marginal", "amplitude.knots", ".table", ".centres_0", ".centres_1", ".centres_2")
"""Tables whose values never fall along their last axis."""
COVARIANCES = ("base.spectrum",)
"""Matrices (C, C, ...) of covariances: no variance is negative, and no two channels go together more than fully."""


def check_numbers(place: str, name: str, value: Tensor, own: Tensor) -> None:
    """Raise ``InputError`` if a stored tensor has values that it cannot have.

    Args:
        place: the file, for the sentence.
        name: of the tensor in the model.
        value: what is stored.
        own: the tensor of the model that will take it; that of a trained weight is an ``nn.Parameter``.
    """
    if value.is_floating_point() != own.is_floating_point() or value.is_complex() != own.is_complex():
        raise InputError(f"{place} does not fit its configuration: {name!r} is {value.dtype}, not {own.dtype}")
    if not value.is_floating_point() or not value.numel():
        return
    known = next((bounds for end, bounds in BOUNDS.items() if name.endswith(end)), None)
    bounds = known or (WEIGHTS if isinstance(own, nn.Parameter) else OTHER)
    measured = value.detach()
    if bounds.infinite:  # where nothing was measured
        measured = torch.where(measured == math.inf, bounds.most, measured)
    least, most = (float(x) for x in measured.aminmax())
    if not (bounds.least <= least and most <= bounds.most):
        raise InputError(
            f"{place} is damaged: {name!r} has values from {least:.4g} to {most:.4g}, and {bounds.least:.4g} to "
            f"{bounds.most:.4g} are possible; copy or train the model again"
        )
    if name.endswith(RISING) and bool((value.diff(dim=-1) < 0).any()):
        raise InputError(f"{place} is damaged: the values of {name!r} do not rise; copy or train the model again")
    if name.endswith(COVARIANCES) and not _are_covariances(value.detach().double()):
        raise InputError(f"{place} is damaged: {name!r} are no covariances; copy or train the model again")


def _are_covariances(matrices: Float[Tensor, "C C *N"]) -> bool:
    """Whether ``C_aa >= 0`` and ``C_ab^2 <= C_aa C_bb``, to rounding."""
    variance = matrices.diagonal().movedim(-1, 0)
    largest = variance[:, None] * variance[None]
    return bool((variance >= 0).all() and (matrices.square() <= largest * (1 + 1e-4) + 1e-30).all())
