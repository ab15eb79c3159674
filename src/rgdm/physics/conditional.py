"""The exact law of a site given its nearest neighbours, with its normalisation."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.physics.actions import Ising, Phi4

CELLS, NODES = 48, 10
"""Cells of a law's range, and Gauss-Legendre nodes in each: integrals are exact to 1e-13."""
TOGETHER = 2**14
"""Sites whose law is held at a time."""
DEPTH = 45.0
"""How far below its maximum, in logarithm, a density of phi^4 is taken for 0."""


class SiteConditional:
    """``p(phi_x | neighbours)`` of an action with nearest-neighbour bonds, ``pull`` the sum of the neighbours.

    Spins: ``P(s = 1) = 1 / (1 + exp(-2 K pull))``. phi^4: ``exp(a pull phi - b phi^2 - c phi^4) / z(pull)`` with z by
    quadrature, drawn by inverting its distribution function. Sites of one half of a checkerboard are independent given
    the other half, so this is the exact last step of any model that ends there.
    """

    def __init__(self, action: Phi4 | Ising) -> None:
        self.action = action

    def log_prob(self, value: Float[Tensor, "*N"], pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """log p of values, float64."""
        x, h = value.double(), pull.double()
        if isinstance(self.action, Ising):
            return torch.nn.functional.logsigmoid(2 * self.action.coupling * x * h)
        parts = [self._log_z(some) for some in h.flatten().split(TOGETHER)]
        return self._exponent(x, h) - torch.cat(parts).reshape(h.shape)

    def draw(self, uniform: Float[Tensor, "*N"], pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """The value at which the distribution function is ``uniform``, a number in (0, 1); float64."""
        u, h = uniform.double(), pull.double()
        if isinstance(self.action, Ising):
            return torch.where(u < torch.sigmoid(2 * self.action.coupling * h), 1.0, -1.0).double()
        pairs = zip(u.flatten().split(TOGETHER), h.flatten().split(TOGETHER), strict=True)
        return torch.cat([self._inverse(*pair) for pair in pairs]).reshape(h.shape)

    def _exponent(self, x: Tensor, h: Tensor) -> Tensor:
        assert isinstance(self.action, Phi4)
        square = x.square()
        return self.action.a * h * x - self.action.b * square - self.action.c * square.square()

    def _range(self, h: Tensor) -> float:
        """Half of the interval outside of which the densities vanish: that of the strongest pull."""
        assert isinstance(self.action, Phi4)
        a, b, c = abs(self.action.a) * float(h.abs().max()), self.action.b, self.action.c

        high = 1.0  # the density at 0 is 1, so it is small beyond where its logarithm falls and is below -DEPTH
        while c * high**4 + b * high**2 - a * high < DEPTH or 4 * c * high**3 + 2 * b * high < a:
            high *= 1.1
        return high

    def _cells(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Left edges and width of the cells, the integral over each relative to ``exp(top)``, and top."""
        reach = self._range(h)
        width = torch.tensor(2 * reach / CELLS, dtype=torch.float64)
        left = -reach + width * torch.arange(CELLS, dtype=torch.float64)
        nodes, weights = _legendre()
        x = left[:, None] + width * nodes
        values = self._exponent(x, h[:, None, None])
        top = values.flatten(1).max(1).values
        mass = ((values - top[:, None, None]).exp() * weights).sum(-1) * width
        return left, width, mass, top

    def _log_z(self, h: Tensor) -> Tensor:
        _, _, mass, top = self._cells(h)
        return mass.sum(1).log() + top

    def _inverse(self, u: Tensor, h: Tensor) -> Tensor:
        left, width, mass, top = self._cells(h)
        below = mass.cumsum(1)
        wanted = u * below[:, -1]
        cell = (below < wanted[:, None]).sum(1).clamp(max=CELLS - 1)
        start = left[cell]
        rest = wanted - (below - mass).gather(1, cell[:, None])[:, 0]
        nodes, weights = _legendre()
        low, high = torch.zeros_like(u), torch.ones_like(u)
        x = (low + high) / 2
        for _ in range(60):  # Newton's method, kept inside the bracket
            inside = self._exponent(start[:, None] + width * x[:, None] * nodes, h[:, None]) - top[:, None]
            off = (inside.exp() * weights).sum(1) * x * width - rest
            low, high = torch.where(off < 0, x, low), torch.where(off < 0, high, x)
            slope = (self._exponent(start + width * x, h) - top).exp() * width
            step = x - off / slope
            x, before = torch.where((step > low) & (step < high), step, (low + high) / 2), x
            if bool(((x - before).abs() < 1e-13).all()):
                break
        return start + width * x


@functools.cache
def _legendre() -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
