"""The lifts by name."""

from typing import Literal, get_args

from rgdm.model.denoiser import Objective
from rgdm.model.diffusion import DiffusionLift
from rgdm.model.flow import FlowLift, couplings
from rgdm.model.networks import LocalConvNet
from rgdm.model.standardized import StandardizedLift, condition_channels
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

LiftKind = Literal["diffusion", "flow"]


def make_lifts(
    kind: LiftKind,
    step: CoarseGraining,
    channels: int,
    dimension: int,
    boundary: Boundary,
    levels: int,
    shared: bool,
    width: int,
    blocks: tuple[int, int],
    objective: Objective,
    bend: float,
) -> list[StandardizedLift]:
    """One untrained lift a level, the finest first; ``shared`` ones have one network.

    ``blocks`` are those of encoder and decoder; a flow has only the latter, and no objective.
    """
    bands = step.bands(dimension)
    conditions = condition_channels(channels, bands)
    size = channels * bands, conditions, dimension, boundary, width
    if kind == "diffusion":
        nets = [LocalConvNet(*size, *blocks) for _ in range(1 if shared else levels)]
        nets = nets * levels if shared else nets
        return [
            DiffusionLift(step, channels, dimension, boundary, net, objective=objective, level=level, bend=bend)
            for level, net in enumerate(nets)
        ]
    if kind == "flow":
        layers = [couplings(*size, blocks[1]) for _ in range(1 if shared else levels)]
        layers = layers * levels if shared else layers
        return [FlowLift(step, channels, dimension, boundary, each, level, bend) for level, each in enumerate(layers)]
    raise ValueError(f"unknown lift {kind!r}; known are {', '.join(get_args(LiftKind))}")
