"""A lift that serves a level farther up the flow, as near a fixed point of the renormalization group."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.likelihood import LogProb, Probes
from rgdm.model.samplers import Draw, Sampler
from rgdm.model.standardized import StandardizedLift
from rgdm.scale.coarse_graining import CoarseGraining


class Repetition(NamedTuple):
    """Which lift of a cascade is repeated, how often, and what its fields grow by at each level."""

    level: int
    times: int
    growth: float

    def lift(self, level: int) -> int:
        """The lift that serves a level of the longer cascade."""
        return level if level <= self.level else max(self.level, level - self.times)

    def scale(self, level: int) -> float:
        """How much larger the fields of that level are than those that its lift knows."""
        return self.growth ** min(max(0, level - self.level), self.times)


class RescaledLift:
    """``x = s lift(coarse / s)``: the law of another lift for fields that are s times larger."""

    def __init__(self, lift: StandardizedLift, scale: float) -> None:
        self.lift, self.scale = lift, scale

    @property
    def step(self) -> CoarseGraining:
        """The coarse-graining of the lift."""
        return self.lift.step

    @property
    def temperature(self) -> Tensor:
        """That of the lift."""
        return self.lift.temperature

    def sample(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *F"]:
        """A fine field that coarsens to ``coarse``."""
        return self.lift.sample(coarse / self.scale, noise, sampler, draw) * self.scale

    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        probes: Probes = None,
        tolerance: float = 1e-5,
        hottest: float = math.inf,
    ) -> LogProb:
        """log p(detail | coarse) of fine fields."""
        return self._jacobian(fine, self.lift.log_prob(fine / self.scale, probes, tolerance, hottest))

    def untrained_log_prob(self, fine: Float[Tensor, "B C *F"], hottest: float = math.inf) -> LogProb:
        """That of the closed-form part."""
        return self._jacobian(fine, self.lift.untrained_log_prob(fine / self.scale, hottest))

    def _jacobian(self, fine: Tensor, known: LogProb) -> LogProb:
        details = fine[0].numel() * (1 - self.step.factor ** -(fine.dim() - 2))
        return known.plus(LogProb.exact(torch.full_like(known.value, -details * math.log(self.scale))))
