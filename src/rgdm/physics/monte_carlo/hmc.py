"""Hybrid Monte Carlo of any differentiable action, with Fourier acceleration."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import Action, FreeField, diagonal

JITTER = 0.3
"""Largest relative deviation of the step size of a trajectory."""


class HybridMonteCarlo:
    """Trajectories of ``steps`` leapfrog steps of ``step_size``, accepted by Metropolis; many chains at once.

    Duane, Kennedy, Pendleton & Roweth 1987, Phys. Lett. B 195, 216. With ``mass2`` M^2 the kinetic energy is
    ``p^T G p / 2`` with the free propagator ``G(k) = 1 / (khat^2 + M^2)``: Fourier acceleration, which moves all modes
    of a nearly free field at one speed (Batrouni et al. 1985, Phys. Rev. D 32, 2736). The step size of a trajectory is
    drawn from ``1 +- JITTER`` times the given one: a mode that turned by pi in every trajectory would never mix
    (Mackenzie 1989, Phys. Lett. B 226, 369). ``field`` is ``(chains, 1, *L)``.
    """

    def __init__(
        self,
        action: Action,
        field: Float[Tensor, "B 1 *L"],
        step_size: float = 0.1,
        steps: int = 10,
        mass2: float | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < step_size < math.inf or steps < 1:
            raise InputError(
                f"step_size = {step_size}, steps = {steps}; a positive size and at least 1 step are needed"
            )
        self.action, self.field = action, field.detach().clone()
        self.step_size, self.steps = step_size, steps
        self.generator = torch.Generator().manual_seed(seed)
        lattice = tuple(field.shape[2:])
        self.kernel = None if mass2 is None else FreeField(mass2).spectrum(lattice).to(field)
        self.accepted, self.tried = 0, 0

    @property
    def acceptance(self) -> float:
        """The share of accepted trajectories so far."""
        return self.accepted / max(1, self.tried)

    def update(self) -> Float[Tensor, " B"]:
        """One trajectory of each chain; returns ``exp(-dH)``, of mean 1 in equilibrium."""
        p = torch.randn(self.field.shape, generator=self.generator, dtype=self.field.dtype).to(self.field)
        p = p if self.kernel is None else diagonal(self.kernel.rsqrt(), p)
        jitter = 1 + JITTER * (2 * float(torch.rand((), generator=self.generator)) - 1)
        x, q = self.trajectory(self.field, p, jitter * self.step_size)
        weight = torch.exp(self.energy(self.field, p) - self.energy(x, q))
        uniform = torch.rand(len(weight), generator=self.generator, dtype=weight.dtype).to(weight)
        accept = uniform < weight
        self.field = torch.where(accept.reshape(-1, *[1] * (x.dim() - 1)), x, self.field)
        self.accepted, self.tried = self.accepted + int(accept.sum()), self.tried + len(accept)
        return weight

    def trajectory(
        self, x: Float[Tensor, "B 1 *L"], p: Float[Tensor, "B 1 *L"], size: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Leapfrog of step size ``size`` (default: ``step_size``): reversible, volume-preserving, second order."""
        size = self.step_size if size is None else size
        p = p + size / 2 * self.force(x)
        for i in range(self.steps):
            x = x + size * self._velocity(p)
            p = p + (size if i < self.steps - 1 else size / 2) * self.force(x)
        return x, p

    def force(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """``-dS/dx`` by automatic differentiation."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.action.energy(x).sum(), x)
        return -slope

    def energy(self, x: Float[Tensor, "B 1 *L"], p: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """``S + p^T G p / 2``."""
        return self.action.energy(x).detach() + (p * self._velocity(p)).flatten(1).sum(1) / 2

    def _velocity(self, p: Tensor) -> Tensor:
        return p if self.kernel is None else diagonal(self.kernel, p)
