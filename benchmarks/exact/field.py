"""The Gaussian field that every method is tried on, known mode by mode, and what samplers make of its modes."""

import math

import torch
from torch import Tensor

from rgdm.model.samplers.reverse import Ancestral
from rgdm.model.samplers.sampler import ConditionalMean, EqualSteps, ReverseStep, Sampler, separate
from rgdm.model.samplers.stochastic import EulerMaruyama
from rgdm.process.forward import ForwardProcess
from rgdm.scale.basis import Basis
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.transforms import fourier_frequency
from rgdm.theory.mixtures import GaussianMixture

ETA = 0.25


def power(frequencies: Tensor, side: int) -> Tensor:
    """S at integer frequencies ``(2, ...)``, before it is scaled."""
    khat = 4 * torch.sin(math.pi * frequencies.double() / side).square().sum(0)
    return (khat + (2 * math.pi / side) ** 2) ** (ETA / 2 - 1)


def spectrum(side: int) -> Tensor:
    """S on the grid of the FFT, of mean 1: the variance of a site."""
    n = torch.arange(side)
    values = power(torch.stack(torch.meshgrid(n, n, indexing="ij")), side)
    return values / values.mean()


def real_spectrum(side: int) -> Tensor:
    """The same for the real modes of ``Fourier``."""
    n = fourier_frequency(side)
    return spectrum(side)[n[:, None], n]


class Modes(Basis):
    """A list of modes, each known by its wavenumber alone: the different ones of a large lattice."""

    def __init__(self, k: Tensor) -> None:
        super().__init__()
        self.k = k

    def analyze(self, x: Tensor) -> Tensor:
        return x

    def synthesize(self, z: Tensor) -> Tensor:
        return z

    def wavenumber(self, lattice: Lattice) -> Tensor:
        return self.k


def distinct(side: int) -> tuple[Tensor, Tensor]:
    """(k, S) of the modes ``0 <= n_x <= n_y <= side / 2``: all there are, up to symmetry."""
    n = torch.triu_indices(side // 2 + 1, side // 2 + 1)
    k = 2 * math.pi / side * n.double().square().sum(0).sqrt()
    return k, spectrum(side)[n[0], n[1]]


def worst(variance: Tensor, exact: Tensor) -> float:
    return float((variance / exact - 1).abs().max())


def start(process: ForwardProcess, variance: Tensor, exact: bool) -> Tensor:
    """The deviation of each mode at t = 1: that of the noise, or of the exact law where signal is left."""
    alpha, sigma = process.marginal(torch.ones(1, dtype=torch.float64), tuple(variance.shape))
    return (alpha.square() * variance + sigma.square()).sqrt() if exact else sigma


def made_variance(sampler: Sampler, process: ForwardProcess, variance: Tensor, exact: bool = False) -> Tensor:
    """The variance of each mode of what a sampler makes, the denoiser being exact."""
    estimate, z = GaussianMixture.field(variance).conditional_mean(process), start(process, variance, exact)
    if isinstance(sampler, Ancestral | EulerMaruyama):
        return recursion(sampler, process, estimate, z[0, 0].square())
    return sampler(estimate, process, z)[0, 0].square()


def recursion(sampler: EqualSteps, process: ForwardProcess, estimate: ConditionalMean, variance: Tensor) -> Tensor:
    """``v -> a^2 v + b^2`` step by step: a is what a step makes of the state, b of its noise."""
    unit = torch.stack([torch.ones_like(variance), torch.zeros_like(variance)]).unsqueeze(1)
    noise = unit.flip(0)
    for i in range(sampler.steps):
        t, s = (torch.full((2,), 1 - j / sampler.steps, dtype=unit.dtype) for j in (i, i + 1))
        now = separate(process, unit, estimate(unit, t), t)
        kept, added = sampler.step(ReverseStep(process, estimate, unit, t, s, now, None, i, lambda _: noise))[:, 0]
        variance = kept.square() * variance + added.square()
    return variance
