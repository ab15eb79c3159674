"""The lifts of a design."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

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


class Kind(NamedTuple):
    """What levels have in common that can share a network."""

    factors: tuple[int, ...]
    details: int
    """Channels of the detail."""
    features: int


def make_lifts(
    design: Design, grid: Grid, channels: int, operator: CoarseGraining, companions: int = 0, clock: int = 0
) -> list[StandardizedLift]:
    """One untrained lift a level, the finest first, each with its backbone and width; ``shared`` ones have one network.

    Levels of different factors have different numbers of details: those of equal factors share a network. All are told
    of so many ``companions``, and cosines and sines of the ``clock``.

    A flow has no encoder blocks and no objective, and learns the correlations itself.
    """
    dimension, boundary = grid.dimension, grid.boundaries
    own = [operator.at(level) for level in range(design.levels)]

    def condition(level: int) -> Condition:
        texture = Texture(design.scattering, dimension, boundary) if design.scattering else None
        kind = ShareCondition if isinstance(operator, Shares) else Condition
        return kind(own[level], channels, dimension, level, texture, companions, clock)

    def standardizer(level: int) -> Standardizer:
        if isinstance(operator, Shares):
            return ShareStandardizer(operator, channels, dimension, boundary, level, companions, clock)
        coloured = design.lift != "flow"
        parts = {"bend": design.bend, "coloured": coloured, "companions": companions, "clock": clock}
        return LocalStandardizer(own[level], channels, dimension, boundary, **parts)

    told = [condition(level) for level in range(design.levels)]
    sizes = [channels * each.bands(dimension) for each in own]
    kinds = [Kind(a.factors(dimension), n, b.count) for a, n, b in zip(own, sizes, told, strict=True)]
    laws = _laws(design, grid, kinds)
    return [StandardizedLift(own[level], standardizer(level), law, told[level]) for level, law in enumerate(laws)]


def _laws(design: Design, grid: Grid, kinds: Sequence[Kind]) -> list[Law]:
    """The law of each level: how its detail is distributed, given features."""
    dimension, boundary = grid.dimension, grid.boundaries
    if design.lift == "flow":
        other = [kind for kind in design.backbones if kind != "conv"]
        if other:
            raise InputError(f"the backbone {other[0]!r} in a flow; its couplings are conv, diffusion takes any")

        def layers(level: int) -> nn.ModuleList:
            width, own = design.widths[level], kinds[level]
            return coupling_layers(own.details, own.features, dimension, boundary, width, design.decoder_blocks)

        return [Flow(each) for each in _each_level(layers, design, kinds)]
    blocks = design.encoder_blocks, design.decoder_blocks

    def backbone(level: int) -> Backbone:
        kind, width, own = design.backbones[level], design.widths[level], kinds[level]
        return make_backbone(kind, own.details, own.features, dimension, boundary, width, blocks)

    networks = _each_level(backbone, design, kinds)
    return [Diffusion(each, None, design.objective, design.sampling_steps) for each in networks]


def _each_level(network: Callable[[int], Network], design: Design, kinds: Sequence[Kind]) -> Sequence[Network]:
    """A network for each level, or one that all of a kind share."""
    if not design.shared:
        return [network(level) for level in range(design.levels)]
    made = {kind: network(kinds.index(kind)) for kind in dict.fromkeys(kinds)}
    return [made[kind] for kind in kinds]
