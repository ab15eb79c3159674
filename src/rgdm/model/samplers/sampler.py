"""What every sampler is: it turns a conditional mean into a sample, from noise back to data, mode by mode."""

import abc
import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.process.forward import ForwardProcess

ConditionalMean = Callable[[Tensor, Tensor], Tensor]
"""``(z_t, t) -> E[z_0 | z_t]``."""
Draw = Callable[[int], Tensor]
"""``step -> unit noise`` of the state's shape."""
NOISELESS = 1e-5
"""Smallest angle at which a state has noise; below it, division by sigma would turn rounding errors into noise."""


class Separated(NamedTuple):
    """A state taken apart into its estimated data and noise, ``z_t = alpha z_0 + sigma eps``."""

    data: Tensor
    noise: Tensor
    angle: Tensor
    """``atan2(sigma, alpha)`` of each mode."""

    @property
    def velocity(self) -> Tensor:
        """How the state, scaled to the unit circle, moves with the angle: 0 for white data of unit variance."""
        return self.angle.cos() * self.noise - self.angle.sin() * self.data


class ReverseStep(NamedTuple):
    """What a sampler knows when it goes from t to s < t."""

    process: ForwardProcess
    conditional_mean: ConditionalMean
    z: Tensor
    t: Tensor
    s: Tensor
    now: Separated
    """The estimate at t."""
    before: Separated | None
    """That of the step before."""
    number: int
    draw: Draw | None


class Sampler(abc.ABC):
    """Carries the noise of t = 1 (``ForwardProcess.start``) back to data at t = 0.

    States are coefficients of the process's basis, and every mode moves along its own
    angle ``atan2(sigma, alpha)``. ``evaluations`` counts network calls.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise InputError(f"{steps} sampling steps; at least 1 is needed")
        self.steps = steps

    @property
    def evaluations(self) -> int:
        """How often the denoiser is evaluated for one sample."""
        return self.steps

    def spending(self, evaluations: int) -> "Sampler":
        """The same sampler with as many evaluations, or the next number below that it can make."""
        sampler = copy.copy(self)
        Sampler.__init__(sampler, self.steps * evaluations // self.evaluations)
        return sampler

    @abc.abstractmethod
    def __call__(
        self,
        conditional_mean: ConditionalMean,
        process: ForwardProcess,
        z: Float[Tensor, "B C *L"],
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *L"]:
        """Carry ``z`` from t = 1 to t = 0. ``draw`` supplies the noise of stochastic samplers."""


class EqualSteps(Sampler):
    """Integrates the reverse process in ``steps`` equal steps of t."""

    def __call__(
        self,
        conditional_mean: ConditionalMean,
        process: ForwardProcess,
        z: Float[Tensor, "B C *L"],
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *L"]:
        before: Separated | None = None
        for i in range(self.steps):
            t = torch.full(z.shape[:1], 1 - i / self.steps, dtype=z.dtype, device=z.device)
            s = torch.full_like(t, 1 - (i + 1) / self.steps)
            now = separate(process, z, conditional_mean(z, t), t)
            z = self.step(ReverseStep(process, conditional_mean, z, t, s, now, before, i, draw))
            before = now
        return z

    @abc.abstractmethod
    def step(self, at: ReverseStep) -> Tensor:
        """The state at s."""


def separate(process: ForwardProcess, z: Tensor, data: Tensor, t: Tensor) -> Separated:
    """Data and noise in a state z_t whose data are estimated as ``data``."""
    alpha, sigma = process.amplitudes(t, tuple(z.shape[2:]))
    known = sigma > NOISELESS * alpha  # elsewhere z says nothing of the noise, and its mean is 0
    noise = torch.where(known, (z - alpha * data) / torch.where(known, sigma, torch.ones_like(sigma)), 0.0)
    return Separated(data, noise, torch.atan2(sigma, alpha))


def _angle(process: ForwardProcess, t: Tensor, z: Tensor) -> Tensor:
    alpha, sigma = process.amplitudes(t, tuple(z.shape[2:]))
    return torch.atan2(sigma, alpha)


def turn(at: ReverseStep, velocity: Tensor) -> Tensor:
    """The state at s if z / hypot(alpha, sigma) moves with this velocity per angle."""
    lattice = tuple(at.z.shape[2:])
    alpha_t, sigma_t = at.process.amplitudes(at.t, lattice)
    alpha_s, sigma_s = at.process.amplitudes(at.s, lattice)
    angle = torch.atan2(sigma_s, alpha_s) - torch.atan2(sigma_t, alpha_t)
    size = torch.hypot(alpha_t, sigma_t)
    unit = at.z / torch.where(size > 0, size, torch.ones_like(size))  # neither signal nor noise: the mode is 0
    return torch.hypot(alpha_s, sigma_s) * (unit + angle * velocity)
