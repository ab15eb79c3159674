"""Log-likelihood of a denoiser by its probability flow."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.samplers import Estimate, separate
from rgdm.process.forward import ForwardProcess

Probes = Float[Tensor, "P B D *K"] | None
"""Random signs that estimate a trace, or None to compute it."""
EXACT = 4096
"""Most degrees of freedom of a field whose trace is computed one by one."""


class LogProb(NamedTuple):
    """log p of each field in nats, and the standard error of what was estimated in it (0 where nothing was)."""

    value: Float[Tensor, " B"]
    error: Float[Tensor, " B"]

    @classmethod
    def exact(cls, value: Float[Tensor, " B"]) -> "LogProb":
        """Without error."""
        return cls(value, torch.zeros_like(value))

    def plus(self, term: Float[Tensor, " B"], error: float = 0.0) -> "LogProb":
        """With a further term, known but for an independent error."""
        return LogProb(self.value + term.to(self.value), torch.hypot(self.error, torch.full_like(self.error, error)))


class Likelihood(NamedTuple):
    """log p of fields, taken apart: each level's detail given its coarse field, and the base field; in nats."""

    levels: list[LogProb]
    """Of normalised fields, the finest first."""
    base: LogProb
    units: float
    """The Jacobian of the normalisation: log p is a density in the user's units."""
    dofs: list[int]
    """Degrees of freedom of the levels and of the base."""

    @property
    def total(self) -> LogProb:
        """log p(x) of each field."""
        value, variance = self.base.value + self.units, self.base.error.square()
        for level in self.levels:
            value, variance = value + level.value, variance + level.error.square()
        return LogProb(value, variance.sqrt())

    @property
    def bits(self) -> list[Float[Tensor, " B"]]:
        """``-log2 p`` per degree of freedom, the finest level first and the base last, of normalised fields.

        The unit is the standard deviation of the field: white noise of that size has 2.05 bits.
        """
        parts = [*self.levels, self.base]
        return [-part.value / (n * math.log(2)) for part, n in zip(parts, self.dofs, strict=True)]


def signs(like: Float[Tensor, "B D *K"], count: int, seed: int = 0) -> Float[Tensor, "P B D *K"]:
    """Random signs for Hutchinson's estimate."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randint(0, 2, (count, *like.shape), generator=generator) - 1).to(like)


@torch.no_grad()
def flow_log_prob(
    estimate: Estimate,
    process: ForwardProcess,
    z: Float[Tensor, "B D *K"],
    temperature: float = 1.0,
    probes: Probes = None,
    tolerance: float = 1e-5,
) -> LogProb:
    """log p(z_0) of the flow that takes noise of the given temperature at t = 1 to data at t = 0.

    On the unit circle, ``u = z_t / hypot(alpha, sigma)``, the state moves with ``du/dt = dtheta/dt velocity`` and
    ``log p_0(u_0) = log p_1(u_1) + integral div(du/dt) dt`` (Chen et al. 2018, arXiv:1806.07366; Song et al. 2021,
    arXiv:2011.13456, eq. 39), by an adaptive Dormand-Prince rule. ``probes`` estimate the divergence (Grathwohl
    et al. 2018, arXiv:1810.01367); then the error is that over the probes, unknown (nan) for a single one.
    """
    from zuko.utils import odeint  # costs as much to import as the rest of this package

    if tolerance <= 0:
        raise ValueError(f"the tolerance is {tolerance}; it must be positive")
    lattice, size = tuple(z.shape[2:]), z[0].numel()
    if probes is None and size > EXACT:
        raise ValueError(
            f"the exact divergence of {size} degrees of freedom takes as many derivatives; "
            f"give random signs as probes above {EXACT} (rgdm.model.likelihood.signs)"
        )
    probes = None if probes is None else probes.to(z)
    count = 1 if probes is None else len(probes)

    def slope(t: Tensor, rates: tuple[Tensor, ...], u: Tensor) -> Tensor:
        alpha, sigma, alpha_rate, sigma_rate = rates
        radius = torch.hypot(alpha, sigma)
        turn = (alpha * sigma_rate - sigma * alpha_rate) / radius.square()  # dtheta / dt
        data = estimate(radius * u, t)
        return turn * separate(process, radius * u, data, t).velocity

    def both(time: Tensor, u: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        t = time.clamp(0, 1).repeat(len(u))  # the last step may pass 1 by a rounding error
        rates = process.rates(t, lattice)
        return _with_divergence(lambda u: slope(t, rates, u), u, probes)

    begun = z.new_zeros(count, len(z))
    start = (z, begun)
    u, gained = odeint(both, start, 0.0, 1.0, atol=tolerance, rtol=tolerance)  # pyright: ignore[reportArgumentType]
    u, gained = u.double(), gained.double()
    normal = -((u / temperature).square() + math.log(2 * math.pi * temperature**2)).flatten(1).sum(1) / 2
    error = torch.zeros_like(normal)
    if probes is not None:
        error = gained.std(0) / count**0.5 if count > 1 else torch.full_like(normal, torch.nan)
    return LogProb(normal + gained.mean(0), error)


def _with_divergence(slope: Callable[[Tensor], Tensor], u: Tensor, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """The slope, and the trace of its derivative, ``(P, B)``; one row if it is computed."""
    if probes is not None:
        pairs = [torch.func.jvp(slope, (u,), (p,))[:2] for p in probes]
        return pairs[0][0], torch.stack(
            [along.mul(p).flatten(1).sum(1) for (_, along), p in zip(pairs, probes, strict=True)]
        )
    total, flat, value = u.new_zeros(len(u)), u.flatten(1), u
    for i in range(flat.shape[1]):
        one = torch.zeros_like(flat)
        one[:, i] = 1
        value, along = torch.func.jvp(slope, (u,), (one.reshape(u.shape),))[:2]
        total = total + along.flatten(1)[:, i]
    return value, total[None]
