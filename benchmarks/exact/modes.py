"""Samplers on independent modes, the denoiser being exact: what they make of the variance of each."""

import torch
from torch import Tensor

from rgdm.model.samplers.reverse import Ancestral
from rgdm.model.samplers.sampler import ConditionalMean, EqualSteps, ReverseStep, Sampler, separate
from rgdm.model.samplers.stochastic import EulerMaruyama
from rgdm.process.forward import ForwardProcess
from rgdm.theory.mixtures import GaussianMixture


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
