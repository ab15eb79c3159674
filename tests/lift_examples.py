"""Lifts of every law, with weights as after some training, for the tests of what is around them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.laws.flow import Flow, coupling_layers
from rgdm.model.lifts.standardized import StandardizedLift, gaussian_lift
from rgdm.model.lifts.standardizer import UNBOUNDED
from rgdm.model.networks.local import LocalConvNet
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin
from simple_backbones import Shrink
from small import conditions, lift_of

Boundaries = str | Sequence[str]


def randomise(module: nn.Module, size: float = 0.1) -> nn.Module:
    """Weights as after some training."""
    for weight in module.parameters():
        weight.data += size * torch.randn_like(weight)
    return module


def red(count: int, lattice: Sequence[int], channels: int = 1) -> Tensor:
    """Fields whose neighbours are alike."""
    fields = torch.randn(count, channels, *lattice)
    return fields + sum(fields.roll(1, axis) for axis in range(2, fields.dim()))


def measured(
    kind: str, boundary: Boundaries, fields: Tensor, operator: CoarseGraining | None = None, size: float = 0.1
) -> StandardizedLift:
    """A lift measured on fields: ``gaussian``, ``flow``, ``conv`` (diffusion), or ``shrink`` (diffusion, known)."""
    dimension, channels, operator = fields.dim() - 2, fields.shape[1], operator or BlockSpin(2)
    details = channels * operator.bands(dimension)
    features = conditions(channels, operator.bands(dimension))
    if kind == "gaussian":
        lift = gaussian_lift(operator, channels, dimension, boundary, True, prediction_radius=1, colour_radius=1)
    elif kind == "flow":
        layers = randomise(coupling_layers(details, features, dimension, boundary, 6, 1), size)
        lift = lift_of(Flow(layers), operator, channels, dimension, boundary)
    else:
        net = Shrink() if kind == "shrink" else LocalConvNet(details, features, dimension, boundary, 6, 1, 1)
        law = Diffusion(net if kind == "shrink" else randomise(net, size))
        lift = lift_of(law, operator, channels, dimension, boundary)
    lift.fit(fields)
    return lift


def example_lift(kind: str, boundary: Boundaries, dimension: int) -> tuple[StandardizedLift, Tensor]:
    """A lift of the kind without a largest detail, and the small fields that it was measured on."""
    fields = red(16, (8,) * dimension)
    lift = measured(kind, boundary, fields)
    if kind != "gaussian":
        lift.temperature.fill_(0.9)
        lift.standardizer.limit.fill_(torch.inf)
        lift.standardizer.largest.fill_(UNBOUNDED)
    return lift, fields
