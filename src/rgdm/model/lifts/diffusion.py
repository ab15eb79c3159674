"""The lift of a diffusion model: a denoiser for what the Gaussian lift leaves."""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.lifts.denoiser import Denoiser, Regression
from rgdm.model.lifts.likelihood import LogProb, Probes, probability_flow_log_prob
from rgdm.model.lifts.sample_score import sample_score
from rgdm.model.lifts.standardized import TAIL, StandardizedLift
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule, Trigonometric
from rgdm.scale.basis import Site
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

Objective = Literal["velocity", "noise", "data", "energy"]
"""What training brings down: the squared error of a denoiser in one of three quantities, or the score of samples."""


class DiffusionLift(StandardizedLift):
    """A denoiser for what the Gaussian lift leaves, in coordinates where that rest is white and of unit size.

    ``detail = G * coarse + a * sinh(s * W z) / s``: after local amplitude and tails W takes out the
    correlations; z is unit white noise for an untrained network and what the
    denoiser makes of it for a trained one.

    With the objective ``energy`` the network is trained through its own sampler of ``evaluations`` steps: two samples
    of the detail are drawn, and their energy score against the truth is brought down
    (:func:`~rgdm.model.lifts.sample_score.sample_score`; Shen & Meinshausen 2024, arXiv:2307.00835: engression). Such a
    lift needs one evaluation or two, is a sampler of that many evaluations only, and has no density.
    """

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        backbone: Backbone,
        schedule: Schedule | None = None,
        objective: Objective = "velocity",
        level: int = 0,
        bend: float = TAIL,
        evaluations: int = 1,
        scattering: int = 0,
    ) -> None:
        super().__init__(operator, channels, dimension, boundary, level, bend, scattering)
        if objective not in get_args(Objective):
            raise InputError(f"unknown objective {objective!r}; known are {', '.join(get_args(Objective))}")
        regression: Regression = "velocity" if objective == "energy" else objective
        self.denoiser = Denoiser(ForwardProcess(Site(), schedule or Trigonometric()), backbone, regression)
        self.trained_by = AdamsBashforth(evaluations) if objective == "energy" else None
        self.draws = 1 if self.trained_by is None else 2

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
        features = self.denoiser.backbone.encode(condition)
        if self.trained_by is None:
            return self.denoiser.loss(z, t, noise, features, importance)
        both = torch.cat((features, features))
        made = self.sampled(torch.cat(noise.chunk(2, 1)), both, self.trained_by)
        if importance is not None:
            for axis in range(2, importance.dim()):
                importance = importance.repeat_interleave(self.operator.factor, axis)
        with torch.autocast(z.device.type, enabled=False):  # small differences of large values, as in `example`
            first, second = self._fine(made.to(z)).chunk(2)
            return sample_score(first, second, self._fine(z), importance)

    def _fine(self, z: Tensor) -> Tensor:
        """A fine field with the detail of z and no coarse field, in units of the local amplitude: what is scored."""
        band = self.amplitude.band
        band = (band / band.square().mean().sqrt()).to(z).reshape(1, -1, *[1] * (z.dim() - 2))
        detail = self.gaussian.colouring.colour(z) * band
        bands = self.operator.bands(z.dim() - 2)
        return self.operator.merge(torch.zeros_like(detail[:, ::bands]), detail)

    def sampled(
        self, noise: Float[Tensor, "B D *K"], features: Tensor, sampler: Sampler, draw: Draw | None = None
    ) -> Float[Tensor, "B D *K"]:
        """z from unit noise and features of the condition, differentiable."""
        start = self.denoiser.process.start(noise)
        return sampler(lambda z, t: self.denoiser(z, t, features), self.denoiser.process, start, draw)

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
        z = self.sampled(self.temperature * noise.to(weight), features, self._checked(sampler), draw)
        return self.restore(coarse, z)

    def _checked(self, sampler: Sampler) -> Sampler:
        """The sampler, if the network was trained for it."""
        if self.trained_by is None:
            return sampler
        if type(sampler) is not type(self.trained_by) or sampler.evaluations != self.trained_by.evaluations:
            raise InputError(
                f"{sampler.evaluations} evaluations a level of {type(sampler).__name__}; this model was trained by its "
                f"samples of {self.trained_by.evaluations} of {type(self.trained_by).__name__} and makes no others: "
                "leave the number out"
            )
        return sampler

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
        if self.trained_by is not None:
            raise InputError(
                "a model trained by the energy score of its samples has no likelihood; one of --objective velocity has"
            )
        self.operator.check_volume(fine.dim() - 2)
        coarse, detail = self.operator.split(fine)
        z, volume = self._white(coarse, detail)
        weight = next(self.denoiser.backbone.parameters())
        features = self.denoiser.backbone.encode(self.condition(coarse.to(weight)))
        flow = probability_flow_log_prob(
            lambda z, t: self.denoiser(z, t, features.repeat(len(z) // len(features), *[1] * (z.dim() - 1))),
            self.denoiser.process,
            z.to(weight),
            min(float(self.temperature), hottest),
            probes,
            tolerance,
        )
        return flow.plus(volume)
