"""A lift that serves a level farther up, as near a fixed point of the renormalization group."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.laws.likelihood import TRACED, LogProb, Tracing
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.samplers.sampler import Draw, Sampler


class RescaledLift(Lift):
    """The law of another lift for coarse fields that are ``coarse`` times larger, with ``detail`` times its detail."""

    def __init__(self, lift: Lift, coarse: float, detail: float) -> None:
        super().__init__()
        self.lift, self.coarse_scale, self.detail_scale = lift, coarse, detail
        self.operator, self.boundaries = lift.operator, lift.boundaries

    @property
    def temperature(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the lift."""
        return self.lift.temperature

    @property
    def free_temperature(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the lift."""
        return self.lift.free_temperature

    def detail(
        self, context: Context, noise: Float[Tensor, "B D *K"], sampler: Sampler | None = None, draw: Draw | None = None
    ) -> Float[Tensor, "B D *K"]:
        smaller = replace(context, coarse=context.coarse / self.coarse_scale)
        return self.lift.detail(smaller, noise, sampler, draw).to(context.coarse) * self.detail_scale

    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        tracing: Tracing = TRACED,
        free: bool = False,
        networks: bool = True,
        setting: Setting = NOWHERE,
    ) -> LogProb:
        coarse, detail = setting.on(self.operator).split(fine)
        smaller = setting.on(self.operator).merge(coarse / self.coarse_scale, detail / self.detail_scale)
        known = self.lift.log_prob(smaller, tracing, free, networks, setting)
        jacobian = -detail[0].numel() * math.log(self.detail_scale)
        return known.plus(LogProb.without_error(torch.full_like(known.value, jacobian)))

    def reach(self, sampler: Sampler | None = None) -> int | None:
        return self.lift.reach(sampler)
