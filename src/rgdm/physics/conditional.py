"""The exact law of a site given its nearest neighbours, with its normalisation."""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import Ising, Phi4

NODES = 10
"""Gauss-Legendre nodes of a cell; a cell is at most two standard deviations of the narrowest peak: exact to 1e-12."""
DEPTH = 45.0
"""Logarithm of the ratio of the maximum of a density of phi^4 to values that count as 0."""
FEWEST, MOST = 16, 4096
"""Least and largest number of cells in the range of a law."""
TOGETHER = 2**18
"""Cells that are held in memory at a time."""
TABLE = 8192
"""Intervals of a table of log z."""


class SiteConditional:
    """``p(phi_x | neighbours)`` of an action with nearest-neighbour bonds, ``pull`` the sum of the neighbours.

    Each neighbour counts with the strength of its bond. Spins: ``P(s = 1) = 1 / (1 + exp(-2 (K pull + h)))``. phi^4:
    ``exp((a pull + h) phi - b phi^2 - c phi^4) / z(pull)`` with z by quadrature; values are drawn by inverting the
    distribution function. Sites of one half of a checkerboard are independent given the other half, so a model that
    draws that half last can draw it exactly.
    """

    def __init__(self, action: Phi4 | Ising) -> None:
        if not isinstance(action, Phi4 | Ising):
            raise InputError(
                f"{action} is no Phi4 and no Ising, whose law of a site is known; a free field is one as "
                "FreeField(mass2).action()"
            )
        if isinstance(action, Phi4) and action.c == 0 and action.b <= 0:
            raise InputError(f"{action} has no law of a site; c > 0 or b > 0 is needed")
        self.action = action

    def log_prob(self, value: Float[Tensor, "*N"], pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """log p of values, float64."""
        x, force = value.double(), self._force(pull)
        if isinstance(self.action, Ising):
            return torch.nn.functional.logsigmoid(2 * x * force)
        return self._exponent(x, force) - self._log_partition(force)

    def log_partition(self, pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """log z, z the integral or the sum over the site of ``exp`` of minus the terms of S with this site; float64."""
        return self._log_partition(self._force(pull))

    def _log_partition(self, force: Tensor) -> Tensor:
        if isinstance(self.action, Ising):
            force = force.abs()
            return force + torch.log1p(torch.exp(-2 * force))
        parts = [mass.sum(1).log() + top for _, _, mass, top, _ in self._cells(force.flatten())]
        return torch.cat([force.new_zeros(0), *parts]).reshape(force.shape)

    def tabulated(self, farthest: float, device: torch.device) -> Callable[[Float[Tensor, "*N"]], Float[Tensor, "*N"]]:
        """:meth:`log_partition` as a function that interpolates in a table of pulls, for many evaluations.

        Interpolation is linear, so the result is too large by at most ``(a farthest + h)^2 / 8192^2 / 8`` times the
        variance of the site; beyond ``farthest`` the last interval is continued. A pull of NaN gives NaN.
        """
        if not 0 < farthest < math.inf:
            raise InputError(f"a table of log z up to the pull {farthest}; a positive number is needed")
        coupling, h = self._couplings()
        most = abs(coupling) * farthest + abs(h)  # log z is an even function of the force
        table = self._log_partition(torch.linspace(0, most, TABLE + 1, dtype=torch.float64)).to(device)

        def log_z(pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
            place = (coupling * pull.double() + h).abs() * (TABLE / most if most else 0.0)
            left = place.nan_to_num().clamp(max=TABLE - 1).long()
            return torch.lerp(table[left], table[left + 1], place - left)

        return log_z

    def draw(self, uniform: Float[Tensor, "*N"], pull: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
        """The value at which the distribution function equals ``uniform``, in (0, 1); float64."""
        u, force = uniform.double(), self._force(pull)
        if isinstance(self.action, Ising):
            return torch.where(u < torch.sigmoid(2 * force), 1.0, -1.0).double()
        drawn, done = [u.new_zeros(0)], 0
        for left, width, mass, top, forces in self._cells(force.flatten()):
            part = u.flatten()[done : done + len(forces)]
            drawn.append(self._inverse(part, left, width, mass, top, forces))
            done += len(forces)
        return torch.cat(drawn).reshape(force.shape)

    def _couplings(self) -> tuple[float, float]:
        """That of neighbours, and the external field."""
        return (self.action.coupling if isinstance(self.action, Ising) else self.action.a), self.action.h

    def _force(self, pull: Tensor) -> Tensor:
        """The coefficient of the value in -S."""
        coupling, h = self._couplings()
        return coupling * _finite(pull) + h

    def _exponent(self, x: Tensor, force: Tensor) -> Tensor:
        assert isinstance(self.action, Phi4)
        square = x.square()
        return force * x - self.action.b * square - self.action.c * square.square()

    def _bounds(self, pulled: Tensor) -> tuple[Tensor, Tensor]:
        """An interval that contains all values whose density is more than ``exp(-DEPTH)`` of its maximum."""
        assert isinstance(self.action, Phi4)
        b, c, force = self.action.b, self.action.c, pulled.abs()

        def exponent(x: Tensor) -> Tensor:
            return (force - b * x - c * x**3) * x

        far = torch.full_like(force, 1e-9)  # beyond the peak of the stronger side, and below exp(-DEPTH)
        for _ in range(2000):
            short = (exponent(far) > -DEPTH) | (4 * c * far**3 + 2 * b * far < force)
            if not bool(short.any()):
                break
            far = torch.where(short, 1.5 * far, far)
        peak = self._stationary(far, force)
        lowest = exponent(peak) - DEPTH
        high = _crossing(far, peak, lambda x: exponent(x) >= lowest)
        other = self._stationary(-far, force)
        counts = exponent(other) >= lowest  # the weaker peak
        start, end = torch.where(counts, -far, other), torch.where(counts, other, peak)
        low = _crossing(start, end, lambda x: exponent(x) >= lowest)
        mirrored = pulled < 0
        return torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)

    def _stationary(self, x: Tensor, force: Tensor) -> Tensor:
        """The outermost stationary point of the exponent on the side of ``x``, by Newton's method from beyond it."""
        assert isinstance(self.action, Phi4)
        b, c, enough = self.action.b, self.action.c, 1e-9 * x.abs()
        for _ in range(200):
            slope, curvature = 4 * c * x**3 + 2 * b * x - force, 12 * c * x**2 + 2 * b
            step = torch.where(curvature > 0, slope / curvature.clamp(min=1e-300), torch.zeros_like(x))
            x = x - step
            if bool((step.abs() <= enough).all()):
                break
        return x

    def _cells(self, forces: Float[Tensor, " N"]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """Left edges ``(N, K)`` and width of cells, integrals in units of ``exp(top)``, top, and forces."""
        assert isinstance(self.action, Phi4)
        if not len(forces):
            return
        low, high = self._bounds(forces)
        curvature = 2 * abs(self.action.b) + 12 * self.action.c * torch.maximum(low.abs(), high.abs()).square()
        count = max(FEWEST, math.ceil(float(((high - low) * curvature.sqrt() / 2).max())))
        if count > MOST:
            raise InputError(
                f"the law of a site of {self.action} is too narrow: {count} cells, more than {MOST}; take Ising "
                "for wells as stiff as that"
            )
        nodes, weights = (each.to(forces) for each in _legendre())
        for h, lo, hi in zip(*(x.split(max(1, TOGETHER // count)) for x in (forces, low, high)), strict=True):
            width = (hi - lo) / count
            left = lo[:, None] + width[:, None] * torch.arange(count).to(forces)
            values = self._exponent(left[..., None] + width[:, None, None] * nodes, h[:, None, None])
            top = values.flatten(1).max(1).values
            mass = ((values - top[:, None, None]).exp() * weights).sum(-1) * width[:, None]
            yield left, width, mass, top, h

    def _inverse(self, u: Tensor, left: Tensor, width: Tensor, mass: Tensor, top: Tensor, h: Tensor) -> Tensor:
        below = mass.cumsum(1)
        wanted = u * below[:, -1]
        cell = (below < wanted[:, None]).sum(1, keepdim=True).clamp(max=mass.shape[1] - 1)
        start, before = left.gather(1, cell)[:, 0], (below - mass).gather(1, cell)[:, 0]
        nodes, weights = (each.to(h) for each in _legendre())
        low, high = torch.zeros_like(u), torch.ones_like(u)
        x = (low + high) / 2
        for _ in range(60):  # Newton's method, kept inside the bracket
            inside = self._exponent(start[:, None] + (width * x)[:, None] * nodes, h[:, None]) - top[:, None]
            off = (inside.exp() * weights).sum(1) * x * width - (wanted - before)
            low, high = torch.where(off < 0, x, low), torch.where(off < 0, high, x)
            step = x - off / ((self._exponent(start + width * x, h) - top).exp() * width)
            x, last = torch.where((step > low) & (step < high), step, (low + high) / 2), x
            if bool(((x - last).abs() < 1e-13).all()):
                break
        return start + width * x


def _finite(pull: Tensor) -> Tensor:
    if not bool(pull.isfinite().all()):
        bad = int((~pull.isfinite()).sum())
        raise InputError(f"{bad} of {pull.numel()} sites have neighbours that are not finite; leave those fields out")
    return pull.double()


def _crossing(outside: Tensor, inside: Tensor, holds: Callable[[Tensor], Tensor]) -> Tensor:
    """The boundary, by bisection from outside, of a condition that holds at ``inside`` and not at ``outside``."""
    for _ in range(20):
        middle = (outside + inside) / 2
        outside, inside = torch.where(holds(middle), outside, middle), torch.where(holds(middle), middle, inside)
    return outside


@functools.cache
def _legendre() -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
