"""The lift of a diffusion model: a denoiser for what the Gaussian lift leaves."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.denoiser import Denoiser, Objective
from rgdm.model.likelihood import LogProb, Probes, flow_log_prob
from rgdm.model.networks import Backbone
from rgdm.model.samplers import Draw, Sampler
from rgdm.model.standardized import TAIL, StandardizedLift
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule, Trigonometric
from rgdm.scale.basis import Site
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining


class DiffusionLift(StandardizedLift):
    """A denoiser for what the Gaussian lift leaves, in coordinates where that rest is white and of unit size.

    ``detail = G * coarse + a * sinh(s * W z) / s``: after local amplitude and tails W takes out the
    correlations; z is unit white noise for an untrained network and what the
    denoiser makes of it for a trained one.
    """

    def __init__(
        self,
        step: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        backbone: Backbone,
        schedule: Schedule | None = None,
        objective: Objective = "velocity",
        level: int = 0,
        bend: float = TAIL,
    ) -> None:
        super().__init__(step, channels, dimension, boundary, level, bend)
        self.denoiser = Denoiser(ForwardProcess(Site(), schedule or Trigonometric()), backbone, objective)

    def standardize(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """Detail to the denoiser's coordinates z."""
        return self.gaussian.colouring.whiten(self.compress(coarse, detail)[0])

    def restore(self, coarse: Float[Tensor, "B C *K"], z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """The denoiser's coordinates z to detail."""
        return self.expand(coarse, self.gaussian.colouring.colour(z))

    def loss(
        self,
        fine: Float[Tensor, "B C *F"],
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *K"],
        halo: tuple[int, ...] = (),
    ) -> Float[Tensor, " B"]:
        """The denoising loss of each sample."""
        z, condition, importance = self.example(fine, halo)
        return self.denoiser.loss(z, t, noise, self.denoiser.backbone.encode(condition), importance)

    def detail(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B D *K"]:
        weight = next(self.denoiser.backbone.parameters())
        coarse = coarse.to(weight)
        features = self.denoiser.backbone.encode(self.condition(coarse))
        start = self.temperature * self.denoiser.process.start(noise.to(weight))
        z = sampler(lambda z, t: self.denoiser(z, t, features), self.denoiser.process, start, draw)
        return self.restore(coarse, z)

    @torch.no_grad()
    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        probes: Probes = None,
        tolerance: float = 1e-5,
        hottest: float = math.inf,
    ) -> LogProb:
        """By the probability flow of the denoiser, the limit of many evaluations, at the lift's temperature.

        The map from z to detail is that of ``sample``, W inverted exactly, but for the clamp to the largest detail
        that was measured, which is left out.
        """
        self.step.check_orthonormal(fine.dim() - 2)
        coarse, detail = self.step.split(fine)
        z, volume = self._white(coarse, detail)
        weight = next(self.denoiser.backbone.parameters())
        features = self.denoiser.backbone.encode(self.condition(coarse.to(weight)))
        flow = flow_log_prob(
            lambda z, t: self.denoiser(z, t, features.repeat(len(z) // len(features), *[1] * (z.dim() - 1))),
            self.denoiser.process,
            z.to(weight),
            min(float(self.temperature), hottest),
            probes,
            tolerance,
        )
        return flow.plus(volume)
