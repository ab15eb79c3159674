"""Samplers in equal steps: Ancestral (DDPM), DDIM, Heun and Adams-Bashforth."""

from collections.abc import Callable

import torch
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.samplers.sampler import EqualSteps, ReverseStep, Separated, _angle, separate, turn

LONGEST = 2.0
"""Largest ratio of a step to the one before it in the extrapolation, for modes that had hardly moved."""


class Ancestral(EqualSteps):
    """Draws from the bridge ``q(z_s | z_t, z_0_hat)``: DDPM (Ho et al. 2020, arXiv:2006.11239)."""

    def step(self, at: ReverseStep) -> Tensor:
        mean, deviation = at.process.bridge(at.z, at.now.data, at.t, at.s)
        if float(at.s[0]) == 0:
            return mean
        if at.draw is None:
            raise InputError("the Ancestral sampler is stochastic: it needs the argument `draw`")
        return mean + deviation * at.draw(at.number)


class Ddim(EqualSteps):
    """Keeps the estimate over the step, ``z_s = alpha_s z_0_hat + sigma_s eps_hat``; first order.

    Song et al. 2020, arXiv:2010.02502. With few steps it is short of variance: n steps of the trigonometric
    schedule multiply even white data of unit variance by ``cos(pi / 2n)^n``.
    """

    def step(self, at: ReverseStep) -> Tensor:
        alpha, sigma = at.process.amplitudes(at.s, tuple(at.z.shape[2:]))
        return alpha * at.now.data + sigma * at.now.noise


class Heun(EqualSteps):
    """Averages the velocities at both ends; second order, two evaluations a step but the last.

    Karras et al. 2022, arXiv:2206.00364, alg. 1, in the angle of each mode.
    """

    @property
    def evaluations(self) -> int:
        return 2 * self.steps - 1

    def spending(self, evaluations: int) -> "Heun":
        return Heun((evaluations + 1) // 2)

    def step(self, at: ReverseStep) -> Tensor:
        return heun(at, lambda split: split.velocity)


class AdamsBashforth(EqualSteps):
    """Extrapolates the velocity from the step before; second order, one evaluation a step.

    Adams-Bashforth in the angle of each mode (TrigFlow: Lu & Song 2024, arXiv:2410.11081, extrapolated).
    White data of unit variance are exact in one step.
    """

    def step(self, at: ReverseStep) -> Tensor:
        velocity = at.now.velocity
        if at.before is None:
            return turn(at, velocity)
        ahead, behind = at.now.angle - _angle(at.process, at.s, at.z), at.before.angle - at.now.angle
        moved = behind > 0
        ratio = torch.where(moved, ahead / torch.where(moved, behind, torch.ones_like(behind)), 0.0)
        ratio = ratio.clamp(max=LONGEST)
        return turn(at, velocity + ratio / 2 * (velocity - at.before.velocity))


def heun(at: ReverseStep, slope: Callable[[Separated], Tensor], noise: Tensor | float = 0.0) -> Tensor:
    """The state at s by the mean of the slopes at both ends; at t = 0, where no noise is left, by Euler's rule."""
    guess = turn(at, slope(at.now)) + noise
    if float(at.s[0]) == 0:
        return guess
    there = separate(at.process, guess, at.conditional_mean(guess, at.s), at.s)
    return turn(at, (slope(at.now) + slope(there)) / 2) + noise
