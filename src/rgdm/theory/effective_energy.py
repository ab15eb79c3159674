"""The effective energy H_t = -log p_t of few degrees of freedom, by the recursion of the chain."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.theory.chain import Chain, NoisyMap

Energy = Callable[[Tensor], Tensor]
"""``(B, C, *L) -> (B,)``: H with ``p ~ exp(-H)``."""
POINTS = 2**22
"""Points of the integrand that are held in memory at a time."""
MOST = 10**9
"""Most evaluations of the first energy in one call; some millions are made in a second."""


class EffectiveEnergy:
    """``exp(-H_{t+1}(y)) = E_eps integral delta(y - R(x + sqrt(beta) eps)) exp(-H_t(x)) dx`` by quadrature.

    With ``x = merge(c, d)`` of an orthonormal R this is ``E_eta integral exp(-H_t(merge(y - sqrt(beta) eta, d))) dd``:
    Gauss-Hermite in the noise eta of each coarse site, equal steps from ``-reach`` to ``reach`` in each
    detail d, which converge faster than any power for smooth decaying integrands.

    The cost of one value is ``nodes`` to the power of the number of noises and details, both counted, of this step and
    of all steps below it (:meth:`evaluations`): a reference for a few sites and steps.
    """

    def __init__(self, energy: Energy, step: NoisyMap, nodes: int = 48, reach: float = 6.0) -> None:
        if step.band is not None or not (step.operator is None or isinstance(step.operator, Orthonormal)):
            raise InputError("the recursion is written for white noise and an orthonormal operator (or none)")
        if nodes < 2 or not 0 < reach < math.inf:
            raise InputError(f"nodes = {nodes}, reach = {reach}; at least 2 and more than 0 are needed")
        self.energy, self.step, self.nodes, self.reach = energy, step, nodes, reach
        self.operator = step.operator if isinstance(step.operator, Orthonormal) else None

    def __call__(self, y: Float[Tensor, "B C *K"]) -> Float[Tensor, " B"]:
        """H of each field, up to a constant.

        Raises:
            InputError: more than ``MOST`` evaluations of the first energy, or more points than can be held.
        """
        operator, sites = self.operator, y[0].numel()
        if operator:
            operator.check_orthonormal(y.dim() - 2)
        noises, details = self._degrees(y[0].shape)
        if self.nodes ** (noises + details) > POINTS:
            raise InputError(
                f"{self.nodes} nodes for each of {noises + details} degrees of freedom are too many; "
                "take fewer nodes or a smaller lattice"
            )
        cost = len(y) * self.evaluations(y[0].shape)
        if cost > MOST:
            raise InputError(
                f"{cost:.1e} evaluations of the energy for {len(y)} field(s), {self.nodes} nodes for each noise and "
                f"detail of every step; at most {MOST:.1e} are made: take fewer nodes, steps or sites"
            )
        together = max(1, POINTS // (self.nodes ** (noises + details) * (sites + details)))
        if len(y) > together:
            return torch.cat([self(part) for part in y.split(together)])
        eta, weight_eta = _product(*_hermite(self.nodes), noises, y)
        d, weight_d = _product(*_equal(self.nodes, self.reach), details, y)
        shifted = y[:, None] - self.step.beta**0.5 * eta.reshape(1, -1, *y.shape[1:]) if noises else y[:, None]
        coarse = shifted[:, :, None].expand(-1, -1, len(weight_d), *y.shape[1:]).flatten(0, 2)
        fine = coarse
        if operator:
            detail = d.reshape(1, -1, y.shape[1] * operator.bands(y.dim() - 2), *y.shape[2:])
            fine = operator.merge(coarse, detail.expand(len(coarse) // len(weight_d), *detail.shape[1:]).flatten(0, 1))
        energy = self.energy(fine)
        log_weight = (weight_eta.log()[:, None] + weight_d.log()).flatten()
        return -(log_weight - energy.reshape(len(y), -1)).logsumexp(1)

    def evaluations(self, shape: Sequence[int]) -> int:
        """How often the first energy of the chain is evaluated for one field of ``shape``, (C, *K).

        ``nodes^(noises + details)``, times that of the step below for its finer fields: ``nodes`` to the number of
        fine sites for each step that changes the scale with noise, and to the number of sites for noise alone.
        """
        noises, details = self._degrees(shape)
        finer = tuple(shape)
        if self.operator:
            finer = (shape[0], *(n * b for n, b in zip(shape[1:], self.operator.factors(len(shape) - 1), strict=True)))
        below = self.energy.evaluations(finer) if isinstance(self.energy, EffectiveEnergy) else 1
        return self.nodes ** (noises + details) * below

    def _degrees(self, shape: Sequence[int]) -> tuple[int, int]:
        """Noises and details that are integrated over for a field of this shape."""
        sites = math.prod(shape)
        details = sites * self.operator.bands(len(shape) - 1) if self.operator else 0
        return (sites if self.step.beta > 0 else 0), details


def effective_energies(energy: Energy, chain: Chain, nodes: int = 48, reach: float = 6.0) -> list[Energy]:
    """``[H_0, H_1, ..., H_T]`` of a chain, each by the recursion from the one before.

    No table is kept in between, so that costs multiply: with changes of scale and noise at two steps, four sites and
    six nodes one value of H_2 takes ``6^2`` values of H_1, each ``6^4`` of H_0, 46 656 in all. See
    :meth:`EffectiveEnergy.evaluations`; more than ``MOST`` are refused.
    """
    energies = [energy]
    for t in range(len(chain)):
        energies.append(EffectiveEnergy(energies[-1], chain.step(t), nodes, reach))
    return energies


def _hermite(nodes: int) -> tuple[Tensor, Tensor]:
    x, weight = hermegauss(nodes)
    return torch.from_numpy(x), torch.from_numpy(weight / math.sqrt(2 * math.pi))


def _equal(nodes: int, reach: float) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-reach, reach, nodes, dtype=torch.float64)
    return x, torch.full_like(x, 2 * reach / (nodes - 1))


def _product(x: Tensor, weight: Tensor, count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The nodes of ``count`` coordinates, ``(points, count)``, and the weight of each."""
    if count == 0:
        return like.new_zeros(1, 0), like.new_ones(1)
    points = torch.cartesian_prod(*[x] * count).reshape(-1, count)
    weights = torch.cartesian_prod(*[weight] * count).reshape(-1, count).prod(1)
    return points.to(like), weights.to(like)
