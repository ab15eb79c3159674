"""Log-likelihood of a denoiser by its probability flow."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.samplers.sampler import ConditionalMean, separate
from rgdm.process.derivative import along
from rgdm.process.forward import ForwardProcess

Probes = Float[Tensor, "P B D *K"] | None
"""Random signs that estimate a trace, or None to compute it."""
SIGNAL = 0.01
"""Largest alpha / sigma at t = 1 at which the signal that is left does not matter to the density."""
FIRST = 1e-6
"""Where the integration over the root of t begins; in the root, for sigma often begins like it."""
EXACT = 1024
"""Most degrees of freedom of a field whose trace is computed instead of estimated."""
TOGETHER = 2**16
"""Values of derivatives that are computed at a time for a trace."""


class TooManyDetailsError(InputError):
    """Too many degrees of freedom for a divergence that is computed."""


class Tracing(NamedTuple):
    """How the divergence of a network is had.

    Args:
        probes: unit signs ``(P, B, D, *K)`` that estimate it (Hutchinson 1990); None: it is computed.
        tolerance: of the probability flow, relative to the unit variance of its state.
    """

    probes: Probes = None
    tolerance: float = 1e-5


TRACED = Tracing()
"""The divergence is computed, to 1e-5."""


class LogProb(NamedTuple):
    """log p of each field in nats, and the standard error of what was estimated in it (0 where nothing was)."""

    value: Float[Tensor, " B"]
    error: Float[Tensor, " B"]

    @classmethod
    def without_error(cls, value: Float[Tensor, " B"]) -> "LogProb":
        """Without error."""
        return cls(value, torch.zeros_like(value))

    def plus_for_all(self, value: float, error: float) -> "LogProb":
        """With the same estimate for every field."""
        return self.plus(LogProb(torch.full_like(self.value, value), torch.full_like(self.error, error)))

    def plus(self, other: "LogProb") -> "LogProb":
        """The sum, the errors being independent."""
        return LogProb(self.value + other.value.to(self.value), torch.hypot(self.error, other.error.to(self.error)))


class Likelihood(NamedTuple):
    """log p of fields, taken apart: each level's detail given its coarse field, and the base field; in nats."""

    levels: list[LogProb]
    """Of normalised fields, the finest first."""
    base: LogProb | None
    """None where the density is that given a coarse field."""
    units: float
    """The Jacobian of the normalisation: log p is a density in the user's units."""
    dofs: list[int]
    """Degrees of freedom of each part."""

    @property
    def parts(self) -> list[LogProb]:
        """The levels and the base."""
        return self.levels if self.base is None else [*self.levels, self.base]

    @property
    def total(self) -> LogProb:
        """log p of each field."""
        whole = functools.reduce(LogProb.plus, self.parts)
        return LogProb(whole.value + self.units, whole.error)

    @property
    def bits(self) -> list[Float[Tensor, " B"]]:
        """``-log2 p`` per degree of freedom, the finest level first and the base last, of normalised fields.

        The unit is the standard deviation of the field: white noise of that size has 2.05 bits.
        """
        return [-part.value / (n * math.log(2)) for part, n in zip(self.parts, self.dofs, strict=True)]


def normal_log_prob(z: Float[Tensor, "B *S"], deviation: float | Float[Tensor, " D"] = 1.0) -> LogProb:
    """Of white noise, in double precision; of one standard deviation, or of one for each channel."""
    size = torch.as_tensor(deviation, dtype=torch.float64, device=z.device)
    size = size.reshape(-1, *[1] * (z.dim() - 2)) if size.dim() else size
    density = (z.double() / size).square() + (2 * math.pi * size.square()).log()
    return LogProb.without_error(-density.flatten(1).sum(1) / 2)


def signs(like: Float[Tensor, "B D *K"], count: int, seed: int = 0) -> Float[Tensor, "P B D *K"]:
    """Random signs for Hutchinson's estimate."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randint(0, 2, (count, *like.shape), generator=generator) - 1).to(like)


@torch.no_grad()
def probability_flow_log_prob(
    conditional_mean: ConditionalMean,
    process: ForwardProcess,
    z: Float[Tensor, "B D *K"],
    temperature: float | Float[Tensor, " D"] = 1.0,
    probes: Probes = None,
    tolerance: float = 1e-5,
) -> LogProb:
    """log p(z_0) of the flow that takes noise of the given temperature at t = 1 to data at t = 0.

    On the unit circle, ``u = z_t / hypot(alpha, sigma)``, the state moves with ``du/dt = dtheta/dt velocity`` and
    ``log p_0(u_0) = log p_1(u_1) + integral div(du/dt) dt`` (Chen et al. 2018, arXiv:1806.07366; Song et al. 2021,
    arXiv:2011.13456, eq. 39), by an adaptive Dormand-Prince rule in sqrt(t). ``tolerance`` is that of every degree of
    freedom and of log p per degree of freedom, in a step. ``probes`` estimate the divergence (Grathwohl et al. 2018,
    arXiv:1810.01367); then the error is that over the probes, unknown (nan) for a single one.

    Raises:
        ValueError: if signal is left at t = 1, where the state has to be noise, or if many degrees of freedom come
            without probes.
    """
    from zuko.utils import odeint  # costs as much to import as the rest of this package

    least = 10 * torch.finfo(z.dtype).eps
    if not least <= tolerance < math.inf:
        raise InputError(
            f"the tolerance is {tolerance}; it must be at least {least:.1g}, which is about rounding in {z.dtype} "
            "(model.double() for less)"
        )
    lattice, size = tuple(z.shape[2:]), z[0].numel()
    if probes is None and size > EXACT:
        raise TooManyDetailsError(
            f"the exact divergence of {size} degrees of freedom takes as many derivatives at each of a hundred times; "
            f"above {EXACT} it is estimated with random signs as probes"
        )
    alpha, sigma = process.marginal(z.new_ones(1), lattice)
    if bool((alpha > SIGNAL * sigma).any()):
        raise InputError(
            f"signal is left at t = 1 (alpha / sigma = {float((alpha / sigma).max()):.2g}), so the law there is not "
            f"that of noise; a likelihood needs a schedule that ends below {SIGNAL} in every mode"
        )
    probes = None if probes is None else probes.to(z)
    count = 1 if probes is None else len(probes)

    def slope(t: Tensor, rates: tuple[Tensor, ...], u: Tensor) -> Tensor:
        alpha, sigma, alpha_rate, sigma_rate = rates
        radius, t = torch.hypot(alpha, sigma), t.expand(len(u))
        turn = (alpha * sigma_rate - sigma * alpha_rate) / radius.square()  # dtheta / dt
        data = conditional_mean(radius * u, t)
        return turn * separate(process, radius * u, data, t).velocity

    def both(root: Tensor, u: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        root = root.clamp(FIRST, 1)  # the last step may pass 1 by a rounding error
        t = root.square().reshape(1)
        alpha, sigma, *rates = process.rates(t, lattice)
        moving = alpha, sigma, *(2 * root * rate for rate in rates)
        rate, trace = _with_divergence(lambda u: slope(t, moving, u), u, probes)
        return rate, trace / size

    begun = z.new_zeros(count, len(z))
    start = (z, begun)
    u, gained = odeint(both, start, 0.0, 1.0, atol=tolerance, rtol=tolerance)  # pyright: ignore[reportArgumentType]
    gained = size * gained.double()
    error = torch.zeros_like(gained[0])
    if probes is not None:
        error = gained.std(0) / count**0.5 if count > 1 else torch.full_like(error, torch.nan)
    return normal_log_prob(u, temperature).plus(LogProb(gained.mean(0), error))


def _with_divergence(slope: Callable[[Tensor], Tensor], u: Tensor, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """The slope, and the trace of its derivative, ``(P, B)``; one row if it is computed."""
    if probes is not None:
        pairs = [along(slope, u, p) for p in probes]
        traces = [turned.mul(p).flatten(1).sum(1) for (_, turned), p in zip(pairs, probes, strict=True)]
        return pairs[0][0], torch.stack(traces)
    size = u[0].numel()
    total, value = u.new_zeros(len(u)), u
    for chosen in torch.arange(size, device=u.device).split(max(1, TOGETHER // u.numel())):
        ones = torch.zeros(len(chosen), len(u), size, dtype=u.dtype, device=u.device)
        ones[torch.arange(len(chosen)), :, chosen] = 1
        copies = u.repeat(len(chosen), *[1] * (u.dim() - 1))
        value, turned = along(slope, copies, ones.reshape(copies.shape))
        total = total + turned.reshape(ones.shape)[torch.arange(len(chosen)), :, chosen].sum(0)
    return value[: len(u)], total[None]
