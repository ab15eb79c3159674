"""A forward process in phase space: every mode has a momentum, and noise enters through the momenta alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule
from rgdm.scale.basis import Basis
from rgdm.scale.coarse_graining import Lattice

LATEST = 300.0
"""Largest tau: of the data nothing is left there in any precision, while their direction does not underflow yet."""


class PhaseLaw(NamedTuple):
    """A Gaussian in the plane (position, momentum) of each mode: mean per unit datum, and covariance."""

    mean_z: Tensor
    mean_p: Tensor
    zz: Tensor
    zp: Tensor
    pp: Tensor

    @property
    def determinant(self) -> Tensor:
        """Determinant of the covariance."""
        return (self.zz * self.pp - self.zp.square()).clamp(min=0)

    @property
    def root(self) -> tuple[Tensor, Tensor, Tensor]:
        """Entries zz, pz and pp of the lower Cholesky factor of the covariance."""
        zz = self.zz.sqrt()
        pz = torch.where(zz > 0, self.zp / torch.where(zz > 0, zz, 1.0), 0.0)
        return zz, pz, torch.where(zz > 0, self.determinant.sqrt() / torch.where(zz > 0, zz, 1.0), self.pp.sqrt())

    @property
    def filter(self) -> tuple[Tensor, Tensor]:
        """``det(Sigma) Sigma^-1 mean``: weights of position and momentum in the matched filter of the datum."""
        return self.mean_z * self.pp - self.mean_p * self.zp, self.mean_p * self.zz - self.mean_z * self.zp

    @property
    def signal(self) -> Tensor:
        """``det(Sigma) mean^T Sigma^-1 mean``; divided by the determinant it is the squared signal-to-noise ratio."""
        weight_z, weight_p = self.filter
        return weight_z * self.mean_z + weight_p * self.mean_p

    def of(self, variance: Tensor | float) -> "PhaseLaw":
        """The law for Gaussian data of zero mean and this variance, with the datum integrated out."""
        z, p = self.mean_z, self.mean_p
        zz, zp, pp = (s + variance * m for s, m in ((self.zz, z * z), (self.zp, z * p), (self.pp, p * p)))
        return PhaseLaw(torch.zeros_like(zz), torch.zeros_like(zz), zz, zp, pp)


class CriticalDamping(Schedule):
    """A critically damped oscillator in a heat bath: ``dz = p dtau``, ``dp = -(z + 2 p) dtau + 2 dW``.

    ``tau(t, k) = -pace * rate(k) * log(1 - t)``; at t = 0 z is data and p ~ N(0, ``momentum``), at t = 1 (where tau is
    infinite) both are N(0, 1). Dockhorn, Vahdat & Kreis 2022, arXiv:2112.07068, sec. 3, with their mass absorbed
    in the units of p and time, their friction then being 2. ``rate`` makes modes lose their data earlier or later,
    e.g. ``lambda k: 1 + k``; without it all are alike. Given the data, with ``x = 2 tau`` and the incomplete gamma
    function ``P(3, x) = 1 - exp(-x) (1 + x + x^2 / 2)``,

        ``mean = exp(-tau) (1 + tau, -tau) z_0``,
        ``Sigma_zz = P + m tau^2 exp(-x)``,
        ``Sigma_zp = (2 tau^2 + m tau (1 - tau)) exp(-x)``,
        ``Sigma_pp = P + (4 tau + m (1 - tau)^2) exp(-x)``,    m = ``momentum``,

    free of cancellations. As a schedule it is that of the matched filter, the position that says as much of the data
    as position and momentum do: ``alpha / sigma = sqrt(mean^T Sigma^-1 mean)``, ``alpha^2 + sigma^2 = 1``.
    """

    def __init__(
        self, momentum: float = 1.0, pace: float = 2.0, rate: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        if not 0 < momentum < float("inf") or not 0 < pace < float("inf"):
            raise InputError(f"momentum = {momentum}, pace = {pace}; both must be positive and finite")
        self.momentum, self.pace, self.rate = momentum, pace, rate

    def clock(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        """tau and dtau/dt, float64."""
        k = k.double()
        rate = torch.ones_like(k) if self.rate is None else self.rate(k)
        if rate.shape != k.shape or not bool(((rate > 0) & rate.isfinite()).all()):
            raise InputError(
                f"rate(k) has the shape {tuple(rate.shape)} for k of {tuple(k.shape)} and the smallest value "
                f"{float(rate.min())}; one positive, finite number per mode is needed"
            )
        left = (1 - t.to(k)).clamp(min=1e-300).reshape(-1, 1, *[1] * k.dim())
        return (-self.pace * rate * left.log()).clamp(max=LATEST), self.pace * rate / left

    def law(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> PhaseLaw:
        """``q(z_t, p_t | z_0)``, the momentum at t = 0 integrated out; each part ``(B, 1, *lattice)``, float64."""
        return self.at(self.clock(t, k)[0])

    def at(self, tau: Float[Tensor, "*T"]) -> PhaseLaw:
        """The same law at these tau."""
        heat = torch.special.gammainc(torch.full_like(tau, 3.0), 2 * tau)
        once, twice, m = torch.exp(-tau), torch.exp(-2 * tau), self.momentum
        return PhaseLaw(
            once * (1 + tau),
            -once * tau,
            heat + m * tau.square() * twice,
            (2 * tau.square() + m * tau * (1 - tau)) * twice,
            heat + (4 * tau + m * (1 - tau).square()) * twice,
        )

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        law = self.law(t, k)
        alpha, sigma = law.signal.sqrt(), law.determinant.sqrt()
        size = torch.hypot(alpha, sigma)
        return (alpha / size).to(k), (sigma / size).to(k)


class PhaseSpaceProcess(nn.Module):
    """A diffusion of position and momentum, per mode of an orthonormal basis; the noise drives the momentum.

    A state ``y_t = (z_t, p_t)`` is ``(B, 2 C, *lattice)``, positions first. For one datum per mode the matched filter
    ``mean^T Sigma^-1 y`` is a sufficient statistic, so ``E[z_0 | z_t, p_t] = E[z_0 | filtered]`` for any law of the
    data. ``position`` is the process of this filter, which has positions only.
    """

    def __init__(self, basis: Basis, schedule: CriticalDamping | None = None) -> None:
        super().__init__()
        self.schedule = schedule or CriticalDamping()
        self.position = ForwardProcess(basis, self.schedule)

    @property
    def basis(self) -> Basis:
        """The basis in which modes are independent."""
        return self.position.basis

    def clock(self, t: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor]:
        """tau and dtau/dt of each mode, ``(B, 1, *lattice)`` (axes of length 1 if all modes are alike), float64."""
        return self.schedule.clock(t, self._wavenumber(t, lattice))

    def marginal(self, t: Float[Tensor, " B"], lattice: Lattice) -> PhaseLaw:
        """``q(y_t | z_0)``; each part ``(B, 1, *lattice)`` (axes of length 1 if all modes are alike), float64."""
        return self.schedule.law(t, self._wavenumber(t, lattice))

    def perturb(
        self, z: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], noise: Float[Tensor, "B D *L"]
    ) -> Float[Tensor, "B D *L"]:
        """A sample of ``q(y_t | z_0)`` from two fields of unit noise, D = 2 C."""
        law = self.marginal(t, tuple(z.shape[2:]))
        (first, second), (zz, pz, pp) = halves(noise), (part.to(z) for part in law.root)
        return torch.cat([law.mean_z.to(z) * z + zz * first, law.mean_p.to(z) * z + pz * first + pp * second], 1)

    def start(self, noise: Float[Tensor, "B D *L"]) -> Float[Tensor, "B D *L"]:
        """The state at t = 1 from unit noise: the noise itself."""
        halves(noise)
        return noise

    def filtered(self, y: Float[Tensor, "B D *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """The matched filter of a state, ``alpha z_0 + sigma noise`` with the amplitudes of ``position``.

        With ``momentum = 1`` it is the projection on the direction into which the datum has turned.
        """
        (z, p), law = halves(y), self.marginal(t, tuple(y.shape[2:]))
        weight_z, weight_p = law.filter
        size = (law.signal * (law.signal + law.determinant)).sqrt()
        return (weight_z / size).to(y) * z + (weight_p / size).to(y) * p

    def filtered_noise(self, noise: Float[Tensor, "B D *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """The unit noise of ``filtered(perturb(z, t, noise), t)``."""
        (first, second), law = halves(noise), self.marginal(t, tuple(noise.shape[2:]))
        zz, pz, pp = law.root
        along, across = law.mean_z * pp, law.mean_p * zz - law.mean_z * pz  # L^-1 mean, up to a factor
        size = torch.hypot(along, across)
        return (along / size).to(noise) * first + (across / size).to(noise) * second

    def score(
        self, y: Float[Tensor, "B D *L"], data: Float[Tensor, "B C *L"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B D *L"]:
        """The gradient of log p(y_t), ``Sigma^-1 (mean E[z_0 | y_t] - y_t)``; ``data`` is that expectation, t > 0."""
        (z, p), law = halves(y), self.marginal(t, tuple(y.shape[2:]))
        if not bool((law.determinant > 0).all()):
            raise InputError("the score needs noise in every mode; there is none at t = 0")
        off_z, off_p = law.mean_z * data - z, law.mean_p * data - p
        pull_z = (law.pp * off_z - law.zp * off_p) / law.determinant
        pull_p = (law.zz * off_p - law.zp * off_z) / law.determinant
        return torch.cat([pull_z, pull_p], 1).to(y)

    def excess(
        self, y: Float[Tensor, "B D *L"], data: Float[Tensor, "B C *L"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *L"]:
        """``p + d log p(y_t) / dp``: 0 in equilibrium, for ``momentum = 1`` also for white data of unit variance."""
        return halves(y)[1] + halves(self.score(y, data, t))[1]

    def _wavenumber(self, t: Tensor, lattice: Lattice) -> Tensor:
        if not bool(((t >= 0) & (t <= 1)).all()):
            raise InputError(f"t runs from {float(t.min())} to {float(t.max())}; it must stay within [0, 1]")
        if self.schedule.rate is None:
            return torch.ones([1] * len(lattice), dtype=torch.float64, device=t.device)
        return self.basis.wavenumber(lattice).to(t.device)


def halves(y: Float[Tensor, "B D *L"]) -> tuple[Tensor, Tensor]:
    """Position and momentum, the two halves of the channels."""
    if y.shape[1] % 2:
        raise InputError(f"a state of {y.shape[1]} channels; as many momenta as positions make an even number")
    position, momentum = y.chunk(2, 1)
    return position, momentum


def propagator(tau: Tensor, damping: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The matrix ``[[zz, zp], [pz, pp]] = exp(tau F)``, ``F = [[0, 1], [-1, -2 damping]]``, damping in [0, 1].

    Without damping a rotation; at 1, critical, ``exp(-tau) [[1 + tau, tau], [-tau, 1 - tau]]``.
    """
    frequency = max(0.0, 1 - damping**2) ** 0.5
    decay, cosine = torch.exp(-damping * tau), torch.cos(frequency * tau)
    sine = tau * torch.sinc(frequency * tau / torch.pi)
    return (
        decay * (cosine + damping * sine),
        decay * sine,
        -decay * sine,
        decay * (cosine - damping * sine),
    )
