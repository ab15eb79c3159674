"""The lifts of a design."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import nn

from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.laws.flow import Flow, coupling_layers
from rgdm.model.laws.law import Law
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.positive import ShareCondition, ShareStandardizer
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import LocalStandardizer, Standardizer
from rgdm.model.lifts.texture import Texture
from rgdm.model.networks.backbone import Backbone
from rgdm.model.networks.registry import make_backbone
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.grid import Grid
from rgdm.scale.operators.shares import Shares

Network = TypeVar("Network", bound=nn.Module)


def make_lifts(
    design: Design, grid: Grid, channels: int, operator: CoarseGraining, companions: int = 0, clock: int = 0
) -> list[StandardizedLift]:
    """One untrained lift a level, the finest first, each with its backbone and width; ``shared`` ones have one network.

    All are told of so many ``companions``, and cosines and sines of the ``clock``.

    A flow has no encoder blocks and no objective, and learns the correlations itself.
    """
    dimension, boundary = grid.dimension, grid.boundaries
    size = channels * operator.bands(dimension)

    def condition(level: int) -> Condition:
        texture = Texture(design.scattering, dimension, boundary) if design.scattering else None
        kind = ShareCondition if isinstance(operator, Shares) else Condition
        return kind(operator, channels, dimension, level, texture, companions, clock)

    def standardizer(level: int) -> Standardizer:
        if isinstance(operator, Shares):
            return ShareStandardizer(operator, channels, dimension, boundary, level, companions, clock)
        coloured = design.lift != "flow"
        parts = {"bend": design.bend, "coloured": coloured, "companions": companions, "clock": clock}
        return LocalStandardizer(operator, channels, dimension, boundary, **parts)

    laws = _laws(design, grid, size, condition(0).count)
    return [StandardizedLift(operator, standardizer(level), law, condition(level)) for level, law in enumerate(laws)]


def _laws(design: Design, grid: Grid, size: int, features: int) -> list[Law]:
    """The law of each level: detail of ``size`` channels, given so many features."""
    dimension, boundary = grid.dimension, grid.boundaries
    if design.lift == "flow":
        other = [kind for kind in design.backbones if kind != "conv"]
        if other:
            raise InputError(f"the backbone {other[0]!r} in a flow; its couplings are conv, diffusion takes any")

        def layers(level: int) -> nn.ModuleList:
            width = design.widths[level]
            return coupling_layers(size, features, dimension, boundary, width, design.decoder_blocks)

        return [Flow(each) for each in _each_level(layers, design)]
    blocks = design.encoder_blocks, design.decoder_blocks

    def backbone(level: int) -> Backbone:
        kind, width = design.backbones[level], design.widths[level]
        return make_backbone(kind, size, features, dimension, boundary, width, blocks)

    return [Diffusion(each, None, design.objective, design.sampling_steps) for each in _each_level(backbone, design)]


def _each_level(network: Callable[[int], Network], design: Design) -> Sequence[Network]:
    """A network for each level, or one that all of them share."""
    if design.shared:
        return [network(0)] * design.levels
    return [network(level) for level in range(design.levels)]
