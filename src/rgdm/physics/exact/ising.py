"""The Ising model: Kaufman's partition function of any torus, its derivatives, one dimension, block spins."""

import math
from typing import NamedTuple

import torch
from scipy.integrate import quad
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import IsingDual

BULK_ENERGY = -math.sqrt(2)
"""Energy a site, E/N, of the infinite square lattice at K_c, in units of J: Onsager 1944."""


class Thermodynamics(NamedTuple):
    """Thermodynamics of a torus at coupling K."""

    log_z: float
    energy: float
    """``E/N = -(d log Z / dK) / N``, in units of J."""
    specific_heat: float
    """``C/N = K^2 (d^2 log Z / dK^2) / N``, in units of k_B."""


def log_z(coupling: Tensor, lattice: tuple[int, int], anisotropy: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """``log Z`` of ``Z = sum_s exp(K sum_<xy> r_mu s_x s_y)`` on a torus, differentiable in K (a float64 scalar).

    Kaufman 1949, Phys. Rev. 76, 1232: with ``K_mu = K r_mu > 0`` half the sum of four products over ``g_l``,
    ``cosh g_l = cosh 2K_1 coth 2K_2 - cos(pi l / n) sinh 2K_1 / sinh 2K_2``, where ``g_0 = 2K_1 + log tanh K_2`` keeps
    its sign. An axis of two sites has two bonds between the same neighbours.
    """
    value = float(coupling.detach())
    if not value * min(anisotropy) > 0 or min(lattice) < 2:
        raise InputError(
            f"K = {value} times {anisotropy} on {lattice}; K > 0 and at least 2 sites along each axis are needed"
        )
    n, m = lattice
    one, two = coupling * anisotropy[0], coupling * anisotropy[1]
    base, ratio = torch.cosh(2 * one) / torch.tanh(2 * two), torch.sinh(2 * one) / torch.sinh(2 * two)
    k = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    odd = torch.acosh(base - ratio * torch.cos(k + math.pi / n))
    even = torch.acosh(base - ratio * torch.cos(k[1:]))
    zero = m * (2 * one + torch.tanh(two).log()) / 2

    def cosh(g: Tensor) -> Tensor:  # log prod 2 cosh(m g / 2)
        return (m * g / 2 + torch.log1p(torch.exp(-m * g))).sum()

    def sinh(g: Tensor) -> Tensor:
        return (m * g / 2 + torch.log1p(-torch.exp(-m * g))).sum()

    logs = torch.stack([cosh(odd), sinh(odd), cosh(even), sinh(even)])
    largest = logs.detach().max()
    factors = torch.stack([torch.ones_like(zero), torch.ones_like(zero), 2 * torch.cosh(zero), 2 * torch.sinh(zero)])
    total = (factors * torch.exp(logs - largest)).sum()
    return math.prod(lattice) / 2 * torch.log(2 * torch.sinh(2 * two)) - math.log(2) + largest + torch.log(total)


def thermodynamics(
    coupling: float, lattice: tuple[int, int], anisotropy: tuple[float, float] = (1.0, 1.0)
) -> Thermodynamics:
    """log Z, energy and specific heat of a torus, with bonds ``K r_mu`` along its axes."""
    k = torch.tensor(coupling, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        value = log_z(k, lattice, anisotropy)
        (slope,) = torch.autograd.grad(value, k, create_graph=True)
        (bend,) = torch.autograd.grad(slope, k)
    sites = math.prod(lattice)
    return Thermodynamics(float(value.detach()), -float(slope.detach()) / sites, coupling**2 * float(bend) / sites)


def bulk_free_energy(coupling: float) -> float:
    """``log Z / N`` of the infinite square lattice: Onsager 1944, Phys. Rev. 65, 117."""
    c, s = math.cosh(2 * coupling), math.sinh(2 * coupling)
    kappa = 2 * s / c**2

    def density(k: float) -> float:
        return math.log((1 + math.sqrt(max(0.0, 1 - (kappa * math.sin(k)) ** 2))) / 2)

    half, _ = quad(density, 0, math.pi / 2, epsabs=1e-13, epsrel=1e-13)  # at K_c there is a cusp at pi / 2
    return math.log(2 * c) + half / math.pi


def dual_log_z(action: IsingDual, lattice: tuple[int, int]) -> float:
    """``log Z = log Z_Ising + log det A / 2 + N/2 (alpha + log(pi / 2))`` of the continuous dual."""
    spins = float(log_z(torch.tensor(action.coupling, dtype=torch.float64), lattice))
    values = action.eigenvalues(lattice)
    return spins + float(values.log().sum()) / 2 + values.numel() / 2 * (action.alpha(2) + math.log(math.pi / 2))


def decimated_coupling(coupling: float) -> float:
    """Coupling of every second spin of a chain: ``K' = log(cosh 2K) / 2``."""
    return (abs(2 * coupling) + math.log1p(math.exp(-4 * abs(coupling))) - math.log(2)) / 2


def migdal_kadanoff(coupling: float) -> float:
    """Coupling after moving bonds and decimating a square lattice by 2: ``K' = log(cosh 4K) / 2``.

    Migdal 1975; Kadanoff 1976, Ann. Phys. 100, 359.
    """
    return decimated_coupling(2 * coupling)
