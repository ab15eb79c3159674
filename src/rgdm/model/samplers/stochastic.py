"""Samplers that integrate the reverse stochastic equation: the flow, and noise that keeps its law."""

import torch
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.samplers.reverse import heun
from rgdm.model.samplers.sampler import EqualSteps, ReverseStep, Separated, turn


class EulerMaruyama(EqualSteps):
    """The reverse equation by Euler's rule: weak and strong order 1.

    In the angle theta of each mode, from pure noise (pi/2) to data (0), the state on the unit circle obeys for any
    ``churn`` c >= 0

        ``du = -velocity dh - c cos(theta) eps_hat dh + sqrt(2 c sin(theta) cos(theta)) dW``,   h = -theta,

    for ``-eps_hat / sin(theta)`` is the score and Langevin noise of any strength keeps a law (Song et al. 2021,
    arXiv:2011.13456, eq. 6; Karras et al. 2022, arXiv:2206.00364, eq. 6). c = 0 is the probability flow. The noise
    of a step has its exact variance, ``c (sin^2(theta_t) - sin^2(theta_s))``; Kloeden & Platen 1992, sec. 10.2.
    """

    def __init__(self, steps: int, churn: float = 1.0) -> None:
        super().__init__(steps)
        if not 0 <= churn < float("inf"):
            raise InputError(f"churn = {churn}; the strength of the noise must be finite and not negative")
        self.churn = churn

    def step(self, at: ReverseStep) -> Tensor:
        return turn(at, self._slope(at.now)) + self._noise(at)

    def _slope(self, split: Separated) -> Tensor:
        """What the state changes by per angle, without the noise."""
        return split.velocity + self.churn * split.angle.cos() * split.noise

    def _noise(self, at: ReverseStep) -> Tensor:
        """The noise of the step from t to s, on the scale of the state at s."""
        if self.churn == 0:
            return torch.zeros_like(at.z)
        if at.draw is None:
            raise InputError(f"the {type(self).__name__} sampler is stochastic: it needs the argument `draw`")
        alpha, sigma = at.process.amplitudes(at.s, tuple(at.z.shape[2:]))
        added = at.now.angle.sin().square() - torch.atan2(sigma, alpha).sin().square()
        return torch.hypot(alpha, sigma) * (self.churn * added.clamp(min=0)).sqrt() * at.draw(at.number)


class StochasticHeun(EulerMaruyama):
    """The same by Heun's rule: weak order 2 (the noise is additive), strong order 1; two evaluations a step.

    Kloeden & Platen 1992, sec. 15.1. The last step, to data without noise, is Euler's.
    """

    @property
    def evaluations(self) -> int:
        return 2 * self.steps - 1

    def spending(self, evaluations: int) -> "StochasticHeun":
        return StochasticHeun((evaluations + 1) // 2, self.churn)

    def step(self, at: ReverseStep) -> Tensor:
        return heun(at, self._slope, self._noise(at))
