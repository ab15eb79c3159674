"""A lift that serves a level farther up the flow, as near a fixed point of the renormalization group."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.lifts.likelihood import LogProb, Probes
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.scale.coarse_graining import CoarseGraining


class Repetition(NamedTuple):
    """Which lift of a cascade is repeated, how often, and what the fields grow by at each change of scale.

    ``growth`` begins with the change from ``level`` to the next; its last value also serves all that follow.
    """

    level: int
    times: int
    growth: tuple[float, ...]

    def lift(self, level: int) -> int:
        """The lift that serves a level of the longer cascade, and the level of the shorter one that is like it."""
        return level if level <= self.level else max(self.level, level - self.times)

    def scale(self, level: int, of: int | None = None) -> float:
        """How much larger the fields of a level are than those of level ``of`` (None: the one that is like it)."""
        first = self.lift(level) if of is None else of
        steps = (min(change - self.level, len(self.growth) - 1) for change in range(first, level))
        return math.prod(self.growth[step] for step in steps)


class RescaledLift:
    """The law of another lift for coarse fields that are ``coarse`` times larger, with ``detail`` times its detail."""

    def __init__(self, lift: StandardizedLift, coarse: float, detail: float) -> None:
        self.lift, self.scales = lift, (coarse, detail)

    @property
    def operator(self) -> CoarseGraining:
        """The coarse-graining of the lift."""
        return self.lift.operator

    @property
    def temperature(self) -> Tensor:
        """That of the lift."""
        return self.lift.temperature

    @torch.no_grad()
    def sample(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *F"]:
        """A fine field that coarsens to ``coarse``."""
        larger, of_detail = self.scales
        return self.operator.merge(
            coarse, self.lift.detail(coarse / larger, noise, sampler, draw).to(coarse) * of_detail
        )

    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        probes: Probes = None,
        tolerance: float = 1e-5,
        hottest: float = math.inf,
    ) -> LogProb:
        """log p(detail | coarse) of fine fields."""
        return self._jacobian(fine, self.lift.log_prob(self._own(fine), probes, tolerance, hottest))

    def untrained_log_prob(self, fine: Float[Tensor, "B C *F"], hottest: float = math.inf) -> LogProb:
        """That of the closed-form part."""
        return self._jacobian(fine, self.lift.untrained_log_prob(self._own(fine), hottest))

    def _own(self, fine: Tensor) -> Tensor:
        """The field in the units of the lift."""
        (coarse, detail), (larger, of_detail) = self.operator.split(fine), self.scales
        return self.operator.merge(coarse / larger, detail / of_detail)

    def _jacobian(self, fine: Tensor, known: LogProb) -> LogProb:
        details = fine[0].numel() * (1 - self.operator.factor ** -(fine.dim() - 2))
        return known.plus(LogProb.without_error(torch.full_like(known.value, -details * math.log(self.scales[1]))))
