"""Lattice actions: ``p(field) ~ exp(-S)`` on periodic lattices of 1 to 3 dimensions."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.critical import critical_point


@runtime_checkable
class Action(Protocol):
    """S[phi] of a lattice field, ``p ~ exp(-S)``."""

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """S of each configuration."""
        ...


@dataclass(frozen=True)
class Phi4:
    """The phi^4 action.

    ``S = sum_x [ -a sum_mu r_mu phi_x phi_{x+mu} + b phi_x^2 + c phi_x^4 - h phi_x ]``, each bond once. An axis of two
    sites has two bonds between the same neighbours.

    Args:
        a: coupling of neighbours.
        b: of the square.
        c: of the fourth power.
        h: external field.
        anisotropy: strength r of the bonds along each axis, relative to a; none: 1 along every axis.
    """

    a: float
    b: float
    c: float
    h: float = 0.0
    anisotropy: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.a, self.b, self.c))):
            raise InputError(f"a = {self.a}, b = {self.b}, c = {self.c}; finite couplings are needed")
        _check_more(self.h, self.anisotropy)
        if self.c < 0 or (self.c == 0 and self.b <= 0):
            raise InputError(f"b = {self.b}, c = {self.c}: the action has no lower bound; c > 0 is needed")

    @classmethod
    def from_beta(cls, beta: float, lambda_: float) -> "Phi4":
        """From ``S = sum_x [ -beta sum_mu phi_x phi_{x+mu} + phi_x^2 + lambda (phi_x^2 - 1)^2 ]`` (up to a constant).

        The convention of Kaupuzs, Melnik & Rimsans, arXiv:1406.7491, and of Bosetti et al., arXiv:1506.08587.
        """
        return cls(beta, 1 - 2 * lambda_, lambda_)

    @classmethod
    def from_hopping(cls, kappa: float, lambda_: float) -> "Phi4":
        """From the hopping parameter: ``S = sum_x [ -2 kappa sum_mu phi_x phi_{x+mu} + phi_x^2 + lambda (...)^2 ]``.

        The convention of Nicoli et al., arXiv:2007.07115, and Hasenbusch, cond-mat/9806093 (with beta = 2 kappa).
        """
        return cls(2 * kappa, 1 - 2 * lambda_, lambda_)

    @classmethod
    def from_mass(cls, mass2: float, lambda_: float, dimension: int = 2) -> "Phi4":
        """From ``S = sum_x [ sum_mu (phi_{x+mu} - phi_x)^2 + m^2 phi_x^2 + lambda phi_x^4 ]``, without a 1/2.

        The convention of Albergo, Kanwar & Shanahan, arXiv:1904.12072, and of Gerdes et al., arXiv:2207.00283.
        """
        return cls(2.0, 2 * dimension + mass2, lambda_)

    @classmethod
    def from_quartic(cls, mass2: float, g: float, dimension: int = 2) -> "Phi4":
        """From ``S = sum_x [ sum_mu (phi_{x+mu} - phi_x)^2 / 2 + m^2 phi_x^2 / 2 + g phi_x^4 / 4! ]``."""
        return cls(1.0, dimension + mass2 / 2, g / 24)

    @classmethod
    def from_wells(cls, beta: float, dimension: int = 2) -> "Phi4":
        """From ``S = sum_x [ beta/2 sum_mu (phi_{x+mu} - phi_x)^2 + phi_x^4 - (1 + 2 beta) phi_x^2 ]``.

        The convention of Marchand et al., arXiv:2207.04941, in two dimensions.
        """
        return cls(beta, dimension * beta - 1 - 2 * beta, 1.0)

    @classmethod
    def critical(cls, lambda_: float = 1.0) -> "Phi4":
        """The critical point in two dimensions, beta_c = 0.680605(4) at lambda = 1: see ``rgdm.physics.critical``."""
        return cls.from_beta(critical_point("phi4", 2, lambda_).coupling, lambda_)

    def check_bounded(self, dimension: int) -> None:
        """Refuse couplings whose action may have no lower bound on a lattice of this dimension."""
        bonds = abs(self.a) * sum(map(abs, strengths(self.anisotropy, dimension)))
        if self.c == 0 and self.b <= bonds:
            raise InputError(f"{self} may have no lower bound; c > 0 or b > {bonds:g} is needed")

    def rescaled(self, factor: float) -> "Phi4":
        """The action of phi / factor: couplings ``(a s^2, b s^2, c s^4, h s)``, s = ``factor``."""
        square = factor**2
        return Phi4(self.a * square, self.b * square, self.c * square**2, self.h * factor, self.anisotropy)

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """The action S of each configuration."""
        square = field.square()
        bonds = field * neighbours_ahead(field, self.anisotropy)
        density = -self.a * bonds + self.b * square + self.c * square.square() - self.h * field
        return density.flatten(1).sum(1)


@dataclass(frozen=True)
class Ising:
    """Spins +-1 with ``S = -K sum_<xy> r_mu s_x s_y - h sum_x s_x``, K = beta J, each bond once.

    Args:
        coupling: K.
        h: external field, in units of the temperature.
        anisotropy: strength r of the bonds along each axis, relative to K; none: 1 along every axis.
    """

    coupling: float
    h: float = 0.0
    anisotropy: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.coupling):
            raise InputError(f"the coupling K is {self.coupling}; it must be finite")
        _check_more(self.h, self.anisotropy)

    @classmethod
    def critical(cls, dimension: int = 2, anisotropy: tuple[float, ...] = ()) -> "Ising":
        """K_c = log(1 + sqrt 2) / 2 of the square lattice; others: see ``rgdm.physics.critical``."""
        point = critical_point("ising", dimension, anisotropy=anisotropy)
        return cls(point.coupling, anisotropy=anisotropy)

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """S of each configuration of spins."""
        bonds = field * neighbours_ahead(field, self.anisotropy)
        return -(self.coupling * bonds + self.h * field).flatten(1).sum(1)


@dataclass(frozen=True)
class IsingDual:
    """The continuous dual of Ising spins: ``S = x^T A^-1 x / 2 - sum log cosh x``.

    ``A = K Adj + alpha 1`` with ``alpha = 2 d K + delta``, positive for delta > 0. Given the field the spins
    are independent, ``P(s_i = +1 | x) = 1 / (1 + exp(-2 x_i))``; given the spins ``x ~ N(A s, A)`` (Hubbard 1959,
    Phys. Rev. Lett. 3, 77; as a sampler: Zhang et al. 2012, NeurIPS 25). The partition function follows from that of
    the spins (:func:`rgdm.physics.exact.ising.dual_log_z`).
    """

    coupling: float
    delta: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.coupling) and 0 < self.delta < math.inf):
            raise InputError(f"K = {self.coupling}, delta = {self.delta}; a finite K and delta > 0 are needed")

    @classmethod
    def critical(cls, delta: float = 0.1) -> "IsingDual":
        """The dual of the critical square-lattice Ising model."""
        return cls(Ising.critical().coupling, delta)

    def alpha(self, dimension: int) -> float:
        """The diagonal of A."""
        return 2 * dimension * abs(self.coupling) + self.delta

    def eigenvalues(self, lattice: tuple[int, ...]) -> Float[Tensor, "*L"]:
        """Eigenvalues of A on the grid of the FFT, float64."""
        return self.alpha(len(lattice)) + 2 * self.coupling * _cosines(lattice)

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """S of each configuration."""
        solved = diagonal(1 / self.eigenvalues(tuple(field.shape[2:])), field)
        log_cosh = field.abs() + torch.log1p(torch.exp(-2 * field.abs())) - math.log(2)
        return (field * solved / 2 - log_cosh).flatten(1).sum(1)

    def spins(self, field: Float[Tensor, "B 1 *L"], uniform: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """Spins given the field, from uniform numbers in [0, 1)."""
        return torch.where(uniform < torch.sigmoid(2 * field), 1.0, -1.0).to(field)

    def field(self, spins: Float[Tensor, "B 1 *L"], noise: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """A field given the spins, from unit noise: ``A s + A^(1/2) noise``."""
        values = self.eigenvalues(tuple(spins.shape[2:]))
        return diagonal(values, spins.to(noise)) + diagonal(values.sqrt(), noise)


@dataclass(frozen=True)
class FreeField:
    """The Gaussian field of mass m: ``S = sum_x [ sum_mu (phi_{x+mu} - phi_x)^2 + m^2 phi_x^2 ] / 2``."""

    mass2: float

    def __post_init__(self) -> None:
        if not 0 < self.mass2 < math.inf:
            raise InputError(f"m^2 = {self.mass2}; the zero mode is bounded for m^2 > 0 only")

    def action(self, dimension: int = 2) -> Phi4:
        """The same as a :class:`Phi4` without quartic term."""
        return Phi4(1.0, dimension + self.mass2 / 2, 0.0)

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """S of each configuration."""
        return self.action(field.dim() - 2).energy(field)

    def spectrum(self, lattice: tuple[int, ...]) -> Float[Tensor, "*L"]:
        """``G(k) = 1 / (khat^2 + m^2)`` on the grid of the FFT, ``khat^2 = 4 sum sin^2(k/2)``, float64."""
        return 1 / (2 * (len(lattice) - _cosines(lattice)) + self.mass2)

    def field(self, noise: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """Fields of this action from unit noise."""
        return diagonal(self.spectrum(tuple(noise.shape[2:])).sqrt(), noise)

    def log_z(self, lattice: tuple[int, ...]) -> float:
        """``log Z = N/2 log 2 pi + sum_k log G(k) / 2``."""
        spectrum = self.spectrum(lattice)
        return float(spectrum.log().sum() + spectrum.numel() * math.log(2 * math.pi)) / 2

    def block_mean_spectrum(self, lattice: tuple[int, ...], factor: int = 2) -> Float[Tensor, "*K"]:
        """The spectrum of the means of blocks of ``factor`` sites along each axis.

        ``G'(k') = b^-d sum_l prod_mu [ sin(b q_mu / 2) / (b sin(q_mu / 2)) ]^2 G(q)``, ``q = (k' + 2 pi l) / b``.
        """
        if any(n % factor for n in lattice):
            raise InputError(f"the lattice {lattice} is not divisible by {factor}")
        weighted = self.spectrum(lattice)
        for axis, n in enumerate(lattice):
            q = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
            kernel = torch.where(q == 0, 1.0, torch.sin(factor * q / 2) / (factor * torch.sin(q / 2)))
            weighted = weighted * kernel.square().reshape(-1, *[1] * (len(lattice) - 1 - axis))
        for axis, n in enumerate(lattice):  # q = (k' + 2 pi l) / b stands at k' + l n / b
            weighted = weighted.unflatten(axis, (factor, n // factor)).mean(axis)
        return weighted


def diagonal(values: Float[Tensor, "*L"], field: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The matrix with these eigenvalues, on the grid of the FFT, times a field."""
    axes = tuple(range(2, field.dim()))
    return torch.fft.ifftn(values.to(field) * torch.fft.fftn(field, dim=axes), dim=axes).real


def neighbours_ahead(field: Float[Tensor, "B C *L"], anisotropy: tuple[float, ...] = ()) -> Float[Tensor, "B C *L"]:
    """``sum_mu r_mu phi_{x+mu}``."""
    bonds = enumerate(strengths(anisotropy, field.dim() - 2), start=2)
    return torch.stack([strength * field.roll(-1, axis) for axis, strength in bonds]).sum(0)


def strengths(anisotropy: tuple[float, ...], dimension: int) -> tuple[float, ...]:
    """Relative strength of the bonds along each axis: those given, or 1 each."""
    if anisotropy and len(anisotropy) != dimension:
        raise InputError(f"bonds of strengths {anisotropy} on {dimension} axes; one for each axis is needed")
    return anisotropy or (1.0,) * dimension


def description(action: Phi4 | Ising) -> dict[str, Any]:
    """The name and the couplings of an action, plain JSON; :func:`described` is the inverse."""
    couplings = asdict(action) | {"anisotropy": list(action.anisotropy)}
    return {"name": type(action).__name__} | {
        name: value for name, value in couplings.items() if value or name not in ("h", "anisotropy")
    }


def described(words: Mapping[str, Any]) -> Phi4 | Ising:
    """The action of a :func:`description`."""
    known, couplings = {"Phi4": Phi4, "Ising": Ising}, dict(words)
    name = couplings.pop("name", None)
    if name not in known:
        raise InputError(f"unknown action {name!r}; known are {', '.join(known)}")
    return known[name](**couplings | {"anisotropy": tuple(couplings.get("anisotropy", ()))})


def check_values(action: Action, values: str | None) -> None:
    """Refuse an action of spins for ``continuous`` values, and any other action for ``spins``; None is not checked."""
    if values is not None and isinstance(action, Ising) != (values == "spins"):
        raise InputError(f"{action} is not an action of {values} values")


def check_no_gaps(fields: Float[Tensor, "B C *L"]) -> None:
    """Refuse fields with values that are not finite."""
    bad = int((~fields.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise InputError(f"{bad} of {len(fields)} fields have values that are not finite; leave them out")


def _check_more(h: float, anisotropy: tuple[float, ...]) -> None:
    if not math.isfinite(h):
        raise InputError(f"the external field h is {h}; it must be finite")
    if not all(map(math.isfinite, anisotropy)):
        raise InputError(f"bonds of strengths {anisotropy}; finite ones are needed")


def _cosines(lattice: tuple[int, ...]) -> Float[Tensor, "*L"]:
    """``sum_mu cos k_mu`` on the grid of the FFT, float64."""
    axes = [torch.cos(2 * math.pi * torch.arange(n, dtype=torch.float64) / n) for n in lattice]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).sum(0)
