"""The law of a diffusion model: a denoiser of the standardized detail."""

from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.design import Objective
from rgdm.errors import InputError
from rgdm.model.laws.denoiser import Denoiser, Regression
from rgdm.model.laws.law import Example, Law
from rgdm.model.laws.likelihood import LogProb, Tracing, probability_flow_log_prob
from rgdm.model.laws.sample_score import sample_score
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.notes import option
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule, Trigonometric
from rgdm.scale.basis import Site


class Diffusion(Law):
    """z is what a denoiser makes of white noise, given the features: unit white noise as long as it is untrained.

    With the objective ``energy`` the network is trained through its own sampler of ``evaluations`` steps: two samples
    of the detail are drawn, and their energy score against the truth is brought down
    (:func:`~rgdm.model.laws.sample_score.sample_score`; Shen & Meinshausen 2024, arXiv:2307.00835: engression). Such a
    law needs one evaluation or two, is a sampler of that many evaluations only, and has no density.

    Args:
        backbone: the network.
        schedule: of the noise; trigonometric by default.
        objective: see above.
        evaluations: of the sampler that an ``energy`` law is trained through.
    """

    def __init__(
        self,
        backbone: Backbone,
        schedule: Schedule | None = None,
        objective: Objective = "velocity",
        evaluations: int = 1,
    ) -> None:
        super().__init__()
        if objective not in get_args(Objective):
            raise InputError(f"unknown objective {objective!r}; known are {', '.join(get_args(Objective))}")
        regression: Regression = "velocity" if objective == "energy" else objective
        self.denoiser = Denoiser(ForwardProcess(Site(), schedule or Trigonometric()), backbone, regression)
        self.trained_by = AdamsBashforth(evaluations) if objective == "energy" else None
        self.draws = 1 if self.trained_by is None else 2

    def sample(
        self,
        noise: Float[Tensor, "B D *K"],
        condition: Tensor | None,
        sampler: Sampler | None,
        draw: Draw | None,
        present: Tensor | None = None,
    ) -> Float[Tensor, "B D *K"]:
        sampler = self.trained_by if sampler is None else sampler
        if sampler is None:
            raise InputError("a diffusion law needs a sampler, such as AdamsBashforth(3)")
        return self._from_features(noise, self._encode(condition), self._checked(sampler), draw, present)

    def loss(self, example: Example, t: Float[Tensor, " B"], noise: Tensor) -> Float[Tensor, " B"]:
        """The denoising loss of each sample, or the energy score of two samples."""
        z, features = example.z, self._encode(example.condition)
        if self.trained_by is None:
            return self.denoiser.loss(z, t, noise, features, example.importance, example.present)
        if example.present is not None and not bool(example.present.all()):
            raise InputError(
                f"the objective energy takes no missing values; velocity does, or fill them "
                f"({option('--fill', 'rgdm.data.checks.fill_gaps')})"
            )
        both = None if features is None else torch.cat((features, features))
        pair = self._from_features(torch.cat(noise.chunk(2, 1)), both, self.trained_by)
        with torch.autocast(z.device.type, enabled=False):  # small differences of large values
            first, second = example.field(pair.to(z)).chunk(2)
            truth, importance = example.field(z), example.importance
            if importance is not None:
                for axis in range(2, truth.dim()):
                    importance = importance.repeat_interleave(truth.shape[axis] // z.shape[axis], axis)
            return sample_score(first, second, truth, importance)

    @torch.no_grad()
    def log_prob(
        self, z: Float[Tensor, "B D *K"], condition: Tensor | None, temperature: float | Tensor, tracing: Tracing
    ) -> LogProb:
        """By the probability flow of the denoiser, the limit of many evaluations."""
        if self.trained_by is not None:
            raise InputError(
                f"a model trained by the energy score of its samples has no likelihood; one of "
                f"{option('--objective velocity')} has"
            )
        features, process = self._encode(condition), self.denoiser.process

        def conditional_mean(z: Tensor, t: Tensor) -> Tensor:
            known = features if features is None else features.repeat(len(z) // len(features), *[1] * (z.dim() - 1))
            return self.denoiser(z, t, known)

        return probability_flow_log_prob(conditional_mean, process, z, temperature, *tracing)

    def reach(self, evaluations: int) -> tuple[int, int] | None:
        halos = self.denoiser.backbone.reach()
        if halos is None:
            return None
        if self.trained_by is not None:
            evaluations = max(evaluations, self.trained_by.evaluations)
        encoder, decoder = halos
        return evaluations * decoder, evaluations * decoder + encoder

    @property
    def halo(self) -> int | None:
        halos = self.denoiser.backbone.reach()
        return None if halos is None else max(halos)

    def _encode(self, condition: Tensor | None) -> Tensor | None:
        return None if condition is None or condition.shape[1] == 0 else self.denoiser.backbone.encode(condition)

    def _from_features(
        self,
        noise: Tensor,
        features: Tensor | None,
        sampler: Sampler,
        draw: Draw | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        process = self.denoiser.process
        return sampler(lambda z, t: self.denoiser(z, t, features, present), process, process.start(noise), draw)

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
