"""The lifts by name."""

from collections.abc import Sequence
from typing import Literal, get_args

from rgdm.errors import InputError
from rgdm.model.lifts.diffusion import DiffusionLift, Objective
from rgdm.model.lifts.flow import FlowLift, couplings
from rgdm.model.lifts.standardized import StandardizedLift, condition_channels
from rgdm.model.lifts.texture import Texture
from rgdm.model.networks.registry import BackboneKind, make_backbone
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

LiftKind = Literal["diffusion", "flow"]


def make_lifts(
    kind: LiftKind,
    operator: CoarseGraining,
    channels: int,
    dimension: int,
    boundary: Boundary,
    shared: bool,
    backbones: Sequence[BackboneKind],
    widths: Sequence[int],
    blocks: tuple[int, int],
    objective: Objective,
    bend: float,
    evaluations: int,
    scattering: int = 0,
) -> list[StandardizedLift]:
    """One untrained lift a level, the finest first, each with its backbone and width; ``shared`` ones have one network.

    ``blocks`` are those of encoder and decoder; a flow has only the latter, and no objective. ``scattering``: scales of
    the texture that networks are shown.
    """
    if shared and (len(set(backbones)) > 1 or len(set(widths)) > 1):
        raise InputError(
            f"backbones {', '.join(backbones)} of widths {', '.join(map(str, widths))}; a shared network has one of "
            "each: train without sharing (--no-shared)"
        )
    if kind not in get_args(LiftKind):
        raise InputError(f"unknown lift {kind!r}; known are {', '.join(get_args(LiftKind))}")
    bands = operator.bands(dimension)
    texture = Texture(scattering, dimension, boundary).count if scattering else 0
    conditions, levels = condition_channels(channels, bands, texture), len(widths)
    size, each = channels * bands, 1 if shared else levels
    if kind == "flow":
        if set(backbones) != {"conv"}:
            other = next(kind for kind in backbones if kind != "conv")
            raise InputError(f"the backbone {other!r} in a flow; its couplings are conv, diffusion takes any")
        layers = [couplings(size, conditions, dimension, boundary, width, blocks[1]) for width in widths[:each]] * (
            levels // each
        )
        return [
            FlowLift(operator, channels, dimension, boundary, each, level, bend, scattering)
            for level, each in enumerate(layers)
        ]
    pairs = zip(backbones[:each], widths[:each], strict=True)
    nets = [
        make_backbone(backbone, size, conditions, dimension, boundary, width, blocks) for backbone, width in pairs
    ] * (levels // each)
    return [
        DiffusionLift(
            operator, channels, dimension, boundary, net, None, objective, level, bend, evaluations, scattering
        )
        for level, net in enumerate(nets)
    ]
