"""Samples at one coupling say what holds at others nearby: histogram reweighting, and where Binder cumulants cross."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, Estimate, jackknife
from rgdm.physics.actions import Ising, Phi4, neighbours_ahead

ENOUGH = 0.1
"""Smallest effective share of the samples with which another coupling is answered."""
FARTHEST = 20.0
"""Largest distance of another coupling, in units of 1 over the standard deviation of the bonds."""


@dataclass(frozen=True)
class Histogram:
    """Samples of an action, with what they say at other couplings of neighbours (K of spins, a of phi^4).

    ``<O>_K' = <O exp((K' - K) B)>_K / <exp((K' - K) B)>_K`` with the sum B of the bonds (Ferrenberg & Swendsen 1988,
    Phys. Rev. Lett. 61, 2635): a histogram of B at one coupling is that at any other, as long as the samples overlap.
    Errors are those of a jackknife over blocks of consecutive samples: keep the samples of one chain together.

    Args:
        action: that the samples are of.
        bonds: ``B = sum_<xy> r_mu phi_x phi_y`` of each sample.
        magnetization: m a site of each sample.
        sites: of the lattice.
        blocks: of the jackknife.
    """

    action: Phi4 | Ising
    bonds: Float[Tensor, " N"]
    magnetization: Float[Tensor, " N"]
    sites: int
    blocks: int = BLOCKS

    def __post_init__(self) -> None:
        if len(self.bonds) < 2 or len(self.bonds) != len(self.magnetization):
            raise InputError(
                f"{len(self.bonds)} values of the bonds and {len(self.magnetization)} of m; at least 2 of both"
            )

    @classmethod
    def of(cls, fields: Float[Tensor, "N 1 *L"], action: Phi4 | Ising, blocks: int = BLOCKS) -> "Histogram":
        """Of samples of the action."""
        x = fields.double()
        bonds = (x * neighbours_ahead(x, action.anisotropy)).flatten(1).sum(1)
        return cls(action, bonds, x.flatten(1).mean(1), x[0].numel(), blocks)

    @property
    def coupling(self) -> float:
        """Of neighbours, at which the samples were made."""
        return self.action.coupling if isinstance(self.action, Ising) else self.action.a

    def at(self, coupling: float) -> Phi4 | Ising:
        """The action with another coupling of neighbours."""
        return replace(self.action, **{"coupling" if isinstance(self.action, Ising) else "a": coupling})

    def share(self, coupling: float) -> float:
        """Effective share of the samples at another coupling, ``<w>^2 / <w^2>``; 1 at their own."""
        w = self._weights(coupling)
        return float(w.mean().square() / w.square().mean())

    @property
    def reach(self) -> tuple[float, float]:
        """The couplings between which the effective share of the samples is at least ``ENOUGH``.

        Of small lattices, which are often in their ground state, no farther than ``FARTHEST``.
        """
        spread = float(self.bonds.std())
        if not spread > 0:
            raise InputError("the bonds of all samples are equal; they say nothing of another coupling")

        def excess(distance: float) -> float:
            return self.share(self.coupling + distance) - ENOUGH

        ends = []
        for sign in (-1.0, 1.0):
            far = sign / spread
            while excess(far) > 0 and abs(far) < FARTHEST / spread:
                far *= 1.5
            far = far if excess(far) > 0 else float(brentq(excess, 0.0, far, xtol=1e-3 / spread))  # pyright: ignore[reportArgumentType]
            ends.append(self.coupling + far)
        return ends[0], ends[1]

    def mean(self, coupling: float, values: Float[Tensor, "N *S"]) -> Estimate:
        """``<O>`` at another coupling from the values of O on the samples, and its error."""
        return self.statistic(coupling, lambda mean: mean, values)

    def statistic(self, coupling: float, function: Callable[..., Tensor], *values: Float[Tensor, "N *S"]) -> Estimate:
        """A function of means at another coupling, and its error.

        Raises:
            InputError: the samples do not reach so far; the sentence names the couplings that they reach.
        """
        if any(len(value) != len(self.bonds) for value in values):
            raise InputError(f"{[len(each) for each in values]} values of an observable for {len(self.bonds)} samples")
        if self.share(coupling) < ENOUGH * 0.99:
            low, high = self.reach
            raise InputError(
                f"the coupling {coupling:.6g} is too far from {self.coupling:.6g}, of which {len(self.bonds)} samples "
                f"are: they reach from {low:.6g} to {high:.6g}; make samples nearer to it"
            )
        w = self._weights(coupling)
        weighted = [w.reshape(-1, *[1] * (value.dim() - 1)) * value.double() for value in values]

        def of_means(total: Tensor, *parts: Tensor) -> Tensor:
            return function(*(part / total for part in parts))

        return jackknife(of_means, w, *weighted, blocks=self.blocks)

    def energy(self, coupling: float) -> Estimate:
        """``-<B> / N``: the energy a site in units of the coupling, E / N of spins."""
        return self.mean(coupling, -self.bonds / self.sites)

    def specific_heat(self, coupling: float) -> Estimate:
        """``K^2 (<B^2> - <B>^2) / N`` at the coupling K."""
        bonds = self.bonds - self.bonds.mean()
        scale = coupling**2 / self.sites
        return self.statistic(coupling, lambda a, b: scale * (b - a.square()), bonds, bonds.square())

    def susceptibility(self, coupling: float) -> Estimate:
        """``N <m^2>``."""
        return self.mean(coupling, self.sites * self.magnetization.square())

    def binder(self, coupling: float) -> Estimate:
        """``U4 = 1 - <m^4> / (3 <m^2>^2)``."""
        m2 = self.magnetization.square()
        return self.statistic(coupling, lambda a, b: 1 - b / (3 * a.square()), m2, m2.square())

    def coupling_at_binder(self, value: float) -> Estimate:
        """The coupling at which U4 has this value, and its error: that of U4 over the slope.

        With the value at criticality, 0.61069 on a square torus of the 2-D Ising class, this approaches the critical
        coupling faster than crossings do, like ``L^(-1 / nu - omega)``.
        """
        low, high = self.reach
        root = _root(lambda k: float(self.binder(k).value) - value, low, high, f"U4 = {value:g}")
        return Estimate(torch.tensor(root, dtype=torch.float64), self.binder(root).error / abs(self._slope(root)))

    def _slope(self, coupling: float) -> float:
        """``dU4 / dK``."""
        step = 0.01 / float(self.bonds.std())
        ahead, behind = (float(self.binder(coupling + sign * step).value) for sign in (1, -1))
        return (ahead - behind) / (2 * step)

    def _weights(self, coupling: float) -> Tensor:
        """Of mean 1."""
        if not math.isfinite(coupling):
            raise InputError(f"the coupling {coupling}; a finite one is needed")
        logs = (coupling - self.coupling) * (self.bonds.double() - self.bonds.double().mean())
        return (logs - logs.logsumexp(0) + math.log(len(logs))).exp()


def binder_crossing(small: Histogram, large: Histogram) -> Estimate:
    """The coupling at which U4 of two lattices of one action is equal, and its error.

    It approaches the critical coupling like ``L^(-1 / nu - omega)`` (Binder 1981, Z. Phys. B 43, 119). The error is
    that of the difference of the two U4, which are independent, over the difference of their slopes.

    Raises:
        InputError: the samples do not reach a crossing; histograms of different actions, or of lattices of one size.
    """
    if small.at(0.0) != large.at(0.0) or small.sites >= large.sites:
        raise InputError(
            f"{small.action} on {small.sites} sites and {large.action} on {large.sites}; one action on two lattices, "
            "the smaller first, is needed"
        )
    ranges = (small.reach, large.reach)
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    if low >= high:
        raise InputError(
            f"samples at {small.coupling:.6g} and at {large.coupling:.6g} have no coupling that both reach; make them "
            "nearer to each other"
        )

    def apart(k: float) -> float:
        return float(large.binder(k).value - small.binder(k).value)

    root = _root(apart, low, high, "a crossing")
    error = torch.stack([each.binder(root).error.square() for each in (small, large)]).sum().sqrt()
    slope = large._slope(root) - small._slope(root)
    if not slope > 0 or float(error) > slope * (high - low) / 4:
        raise InputError(
            f"U4 of {small.sites} and of {large.sites} sites do not cross clearly between the couplings {low:.6g} and "
            f"{high:.6g} that the samples reach; make more samples, nearer to the critical coupling"
        )
    return Estimate(torch.tensor(root, dtype=torch.float64), error / slope)


def _root(function: Callable[[float], float], low: float, high: float, what: str) -> float:
    if function(low) * function(high) > 0:
        raise InputError(f"{what} is not between the couplings {low:.6g} and {high:.6g} that the samples reach")
    return float(brentq(function, low, high, xtol=1e-12))  # pyright: ignore[reportArgumentType]
