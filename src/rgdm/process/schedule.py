"""How much signal and noise each mode carries at time t: one pair (alpha, sigma) per wavenumber."""

import abc
import math

import torch
from jaxtyping import Float
from torch import Tensor


class Schedule(abc.ABC):
    """``z_t = alpha(t, k) z_0 + sigma(t, k) noise`` for t in [0, 1]; t = 0 is data.

    ``t`` is ``(batch,)``, ``k`` is ``(*lattice)`` in radians per site; both results are
    ``(batch, 1, *lattice)``. alpha / sigma never rises with t.
    """

    @abc.abstractmethod
    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        """Amplitudes of signal and noise."""


class VariancePreserving(Schedule):
    """The continuous DDPM: ``alpha^2 = exp(-int beta)``, ``sigma^2 = 1 - alpha^2``, beta linear in t.

    Song et al. 2021, arXiv:2011.13456, eq. 11 with ``beta_min``, ``beta_max``.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        if not 0 <= beta_min <= beta_max:
            raise ValueError(f"beta_min = {beta_min}, beta_max = {beta_max}; 0 <= beta_min <= beta_max is needed")
        self.beta_min, self.beta_max = beta_min, beta_max

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        spent = _column(t, k) * self.beta_min + _column(t, k).square() * (self.beta_max - self.beta_min) / 2
        flat = torch.ones_like(k)
        return torch.exp(-spent / 2) * flat, (-torch.expm1(-spent)).sqrt() * flat


class Trigonometric(Schedule):
    """``alpha = cos(pi t / 2)``, ``sigma = sin(pi t / 2)``: constant speed in angle for unit-variance data.

    Albergo & Vanden-Eijnden 2023, arXiv:2209.15571; Lu & Song 2024, arXiv:2410.11081 (TrigFlow).
    """

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        return _circle(_column(t, k) * torch.ones_like(k))


class Staggered(Schedule):
    """One octave after the other, the finest first; ``width`` octaves are under way at once.

    With o(k) = log2(pi / k) octaves below the pixel and O = ``octaves`` in all,
    ``angle = pi/2 * clip((t (O - 1 + w) - o(k)) / w, 0, 1)``. ``w -> 0`` is the pure
    cascade, ``w -> inf`` plain trigonometric diffusion.
    """

    def __init__(self, width: float, octaves: float) -> None:
        if width <= 0 or octaves < 1:
            raise ValueError(f"width = {width}, octaves = {octaves}; width > 0 and octaves >= 1 are needed")
        self.width, self.octaves = width, octaves

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        octave = torch.log2(math.pi / k.clamp(min=math.pi * 2.0**-self.octaves)).clamp(0, self.octaves - 1)
        t = _column(t, k)
        progress = (t * (self.octaves - 1 + self.width) - octave) / self.width
        progress = torch.where(t >= 1, 1.0, progress)  # rounding must leave no signal at the end
        return _circle(progress.clamp(0, 1))


class NoisyStep(Schedule):
    """The chain ``x_{t+1} = R(x_t + sqrt(beta) eps)`` on a pyramid, one band lost at every step.

    At time t the chain has made ``s = t * levels`` steps (linear in between). A detail
    of level l has received the noise of the steps up to its own and is gone after it:
    ``alpha = 1`` and ``sigma^2 = beta * min(s, l + 1)`` until s = l + 1, then alpha = 0 and
    its place holds noise of the amplitude it had. The coarse field of ``R^levels`` keeps alpha = 1.
    """

    def __init__(self, beta: float, levels: int, factor: int = 2) -> None:
        if beta <= 0 or levels < 1:
            raise ValueError(f"beta = {beta}, levels = {levels}; beta > 0 and levels >= 1 are needed")
        self.beta, self.levels, self.factor = beta, levels, factor

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        octaves = torch.log(math.pi / k.clamp(min=1e-300)) / math.log(self.factor)
        level = octaves.floor().clamp(0, self.levels)
        step = _column(t, k) * self.levels
        alive = (step < level + 1) | (level == self.levels)
        return alive.to(k), (self.beta * torch.minimum(step, level + 1)).sqrt()


def _column(t: Tensor, k: Tensor) -> Tensor:
    return t.to(k).reshape(-1, 1, *[1] * k.dim())


def _circle(progress: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of ``pi/2 * progress``, with exact zeros at both ends."""
    angle = progress * (math.pi / 2)
    alpha = torch.where(progress >= 1, torch.zeros_like(angle), angle.cos())
    return alpha, angle.sin()
