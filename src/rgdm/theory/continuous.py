"""The continuous limit: a process as a stochastic equation in lambda = log(scale), with dilation and rescaling."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.process.forward import ForwardProcess
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.filters import Filter, Gain
from rgdm.theory.chain import Chain, NoisyMap

START = 1e-7
"""Smallest t at which rates are taken: at 0 the amplitude of the noise has no derivative."""


class ContinuousChain(nn.Module):
    """``dy = F(y, lambda) dlambda + sqrt(2 D(lambda)) dW`` in the coefficients of a process, mode by mode.

    Scale-time ``lambda = log(scale)`` runs from 0 to ``span = octaves * log(2)`` while t runs from 0 to 1. The
    state is the field in a unit of length that grows with the scale (the dilation of an RG step): its wavenumbers are
    ``q = k exp(lambda)``, its amplitude is ``y = exp(-Delta lambda) z``, with ``Delta = 1 - eta / 2`` for an anomalous
    dimension eta, so that a critical spectrum ``S(k) ~ k^(-2 + eta)`` is the same function of q at all scales. With
    ``eta=None`` nothing is rescaled and y = z.

    ``F = -(gamma + Delta) y``, where ``gamma = -dlog(alpha)/dlambda`` and
    ``D = (dsigma^2/dlambda + 2 gamma sigma^2) / 2 exp(-2 Delta lambda)`` follow from the schedule by automatic
    differentiation: Song et al. 2021, arXiv:2011.13456, eq. 5, 13, per mode; for
    :class:`~rgdm.process.schedule.ExactRG` they are those of Carosso 2020, arXiv:1904.13057.
    """

    def __init__(self, process: ForwardProcess, octaves: float, eta: float | None = None) -> None:
        super().__init__()
        if not 0 < octaves < math.inf:
            raise InputError(f"octaves = {octaves}; the scale must grow by a positive number of them")
        self.process, self.octaves, self.eta = process, octaves, eta

    @property
    def span(self) -> float:
        """lambda at t = 1."""
        return self.octaves * math.log(2)

    @property
    def rescaling(self) -> float:
        """Delta: the amplitude is divided by ``scale^Delta``."""
        return 0.0 if self.eta is None else 1 - self.eta / 2

    def comoving(self, lam: float, lattice: Lattice) -> Float[Tensor, "*L"]:
        """q of each mode: its wavenumber per unit of length, which has grown with the scale."""
        return self.process.basis.wavenumber(lattice) * math.exp(lam)

    def marginal(self, lam: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of y given the data, each ``(B, 1, *lattice)``."""
        alpha, sigma = self.process.marginal(self._time(lam), lattice)
        size = self._size(lam, len(lattice))
        return size * alpha, size * sigma

    def rates(self, lam: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor]:
        """``(gamma + Delta, D)``, each ``(B, 1, *lattice)``; gamma and D of a mode whose signal is gone are 0."""
        time = self._time(lam).clamp(min=START)
        alpha, sigma, slope, growth = self.process.rates(time, lattice)
        kept = alpha > 0
        gamma = torch.where(kept, -slope / torch.where(kept, alpha, torch.ones_like(alpha)), 0.0) / self.span
        heat = (sigma * growth / self.span + gamma * sigma.square()).clamp(min=0)
        heat = heat * self._size(lam, len(lattice)).square()
        return gamma + self.rescaling, torch.where(kept, heat, 0.0)

    def drift(self, y: Float[Tensor, "B C *L"], lam: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """``F(y, lambda)``."""
        return -self.rates(lam, tuple(y.shape[2:]))[0] * y

    def diffusion(self, lam: Float[Tensor, " B"], lattice: Lattice) -> Float[Tensor, "B 1 *L"]:
        """``D(lambda)`` of each mode."""
        return self.rates(lam, lattice)[1]

    def velocity(
        self, y: Float[Tensor, "B C *L"], lam: Float[Tensor, " B"], score: Float[Tensor, "B C *L"]
    ) -> Float[Tensor, "B C *L"]:
        """``F - D score``: the probability flow, an ordinary equation with the same law at every lambda."""
        rate, heat = self.rates(lam, tuple(y.shape[2:]))
        return -rate * y - heat * score

    def spectrum_rate(self, spectrum: Float[Tensor, "*L"], lam: float) -> Float[Tensor, "*L"]:
        """``dS/dlambda = -2 (gamma + Delta) S + 2 D``: the Fokker-Planck equation of a Gaussian field, per mode."""
        rate, heat = self.rates(spectrum.new_full((1,), lam), tuple(spectrum.shape))
        return -2 * rate[0, 0] * spectrum + 2 * heat[0, 0]

    def chain(self, steps: int, lattice: Lattice) -> Chain:
        """The discrete chain ``x' = R(x + sqrt(beta) eps)`` whose limit for many ``steps`` this one is.

        R multiplies each mode by the factor by which alpha falls, ``beta = 2 D dlambda`` at the middle of the step. The
        noise is white, so D must be the same for all modes, and nothing is rescaled. The covariance converges at first
        order in ``1 / steps``.
        """
        if steps < 1:
            raise InputError(f"{steps} steps; a chain needs at least 1")
        if self.eta is not None:
            raise InputError("a discrete chain does not rescale; take a continuous one with eta=None")
        lam, width = torch.linspace(0, self.span, steps + 1, dtype=torch.float64), self.span / steps
        heat = self.diffusion((lam[1:] + lam[:-1]) / 2, lattice).flatten(1)
        if bool(((heat - heat.mean(1, keepdim=True)).abs() > 1e-9 * heat.mean(1, keepdim=True)).any()):
            raise InputError("the noise of this process is not white, so no chain of white noise has it as limit")
        pairs = zip(lam.unfold(0, 2, 1), (2 * width * heat.mean(1)).tolist(), strict=True)
        return Chain([NoisyMap(Filter(self.process.basis, self._fall(pair)), beta) for pair, beta in pairs])

    def _fall(self, lam: Tensor) -> Gain:
        """``k -> alpha(later) / alpha(earlier)``."""
        time = self._time(lam)

        def gain(k: Tensor) -> Tensor:
            alpha, _ = self.process.schedule(time.to(k), k)
            return alpha[1, 0] / alpha[0, 0].clamp(min=torch.finfo(k.dtype).tiny)

        return gain

    def _time(self, lam: Tensor) -> Tensor:
        time = lam / self.span
        if not bool(((time >= 0) & (time < 1 + 1e-6)).all()):
            raise InputError(
                f"lambda runs from {float(lam.min()):.6g} to {float(lam.max()):.6g}; this chain has 0 to "
                f"{self.span:.6g}"
            )
        return torch.where((time > 1) & (time < 1 + 1e-6), torch.ones_like(time), time)

    def _size(self, lam: Tensor, axes: int) -> Tensor:
        return torch.exp(-self.rescaling * lam).reshape(-1, 1, *[1] * axes)
