"""Laws that stay known along a process: mixtures of Gaussians; one component is a Gaussian field."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.samplers.sampler import ConditionalMean
from rgdm.process.forward import ForwardProcess


class GaussianMixture:
    """``p(z) = sum_i w_i N(z; mean_i, variance_i)``, each component diagonal in the coefficients z of a process.

    ``weight`` is ``(K,)``, ``mean`` and ``variance`` are ``(K, C, *lattice)``. A single component of zero mean is
    a Gaussian field whose spectrum is ``variance``. Under a process a mixture stays a mixture, so its density, energy
    ``H_t = -log p_t``, score and ``E[z_0 | z_t]`` are known at all times: references for samplers, schedules and
    learned scores.
    """

    def __init__(
        self, weight: Float[Tensor, " K"], mean: Float[Tensor, "K C *L"], variance: Float[Tensor, "K C *L"]
    ) -> None:
        if mean.shape != variance.shape or weight.shape != mean.shape[:1]:
            raise InputError(
                f"weights, means and variances of shapes {tuple(weight.shape)}, {tuple(mean.shape)} and "
                f"{tuple(variance.shape)}; (K,), (K, C, *lattice) and again (K, C, *lattice) are needed"
            )
        if not bool(mean.isfinite().all() and variance.isfinite().all() and weight.isfinite().all()):
            raise InputError("a weight, mean or variance is not finite; give numbers")
        if not bool((weight > 0).all()) or not bool((variance >= 0).all()):
            raise InputError(
                f"smallest weight {float(weight.min())}, smallest variance {float(variance.min())}; "
                "weights must be positive, variances not negative"
            )
        self.weight, self.mean, self.variance = weight / weight.sum(), mean, variance

    @classmethod
    def field(cls, spectrum: Float[Tensor, "*L"]) -> "GaussianMixture":
        """The Gaussian field of zero mean whose coefficients have this spectrum, one channel."""
        return cls(
            torch.ones_like(spectrum.flatten()[:1]), torch.zeros_like(spectrum)[None, None], spectrum[None, None]
        )

    def sample(self, noise: Float[Tensor, "B C *L"], uniform: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """A sample from unit noise and a uniform number, which chooses the component."""
        which = torch.searchsorted(self.weight.cumsum(0), uniform.to(self.weight)).clamp(max=len(self.weight) - 1)
        return self.mean[which].to(noise) + self.variance[which].sqrt().to(noise) * noise

    def at(self, process: ForwardProcess, t: float) -> "GaussianMixture":
        """The law of z_t: means ``alpha m``, variances ``alpha^2 v + sigma^2``."""
        time = torch.full((1,), t, dtype=self.mean.dtype, device=self.mean.device)
        alpha, sigma = process.marginal(time, tuple(self.mean.shape[2:]))
        return GaussianMixture(self.weight, alpha * self.mean, alpha.square() * self.variance + sigma.square())

    def log_prob(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, " B"]:
        """log p(z); all variances must be positive."""
        return self._log_joint(z).logsumexp(1)

    def energy(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, " B"]:
        """``H = -log p``, with its constant."""
        return -self.log_prob(z)

    def score(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """The gradient of log p."""
        return self._mix(self._share(z), (self.mean.to(z) - z[:, None]) / self.variance.to(z))

    def conditional_mean(self, process: ForwardProcess) -> ConditionalMean:
        """``(z_t, t) -> E[z_0 | z_t]``, the output of a perfectly trained denoiser."""

        def posterior(z: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = (a.unsqueeze(1) for a in process.marginal(t.to(z), tuple(z.shape[2:])))
            mean, variance = self.mean.to(z), self.variance.to(z)
            total = (alpha.square() * variance + sigma.square()).clamp(min=torch.finfo(z.dtype).tiny)
            away = z[:, None] - alpha * mean
            each = mean + alpha * variance / total * away
            if len(self.weight) == 1:
                return each[:, 0]
            joint = self.weight.to(z).log() - (away.square() / total + total.log()).flatten(2).sum(2) / 2
            return self._mix(joint.softmax(1), each)

        return posterior

    def _log_joint(self, z: Tensor) -> Tensor:
        """log (w_i p_i(z)), ``(B, K)``."""
        variance = self.variance.to(z)
        if not bool((variance > 0).all()):
            raise InputError("a mode has variance 0, so there is no density; take t > 0, where noise was added")
        square = (z[:, None] - self.mean.to(z)).square() / variance
        return self.weight.to(z).log() - (square + (2 * math.pi * variance).log()).flatten(2).sum(2) / 2

    def _share(self, z: Tensor) -> Tensor:
        """The probability of each component given z, ``(B, K)``."""
        return self._log_joint(z).softmax(1)

    def _mix(self, share: Tensor, parts: Tensor) -> Tensor:
        return (share.reshape(*share.shape, *[1] * (parts.dim() - 2)) * parts).sum(1)
