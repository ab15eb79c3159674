"""A way back from noise to data whose few steps are fitted to the exact flow."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.samplers.sampler import NOISELESS, ConditionalMean, Draw, Sampler
from rgdm.process.forward import ForwardProcess
from rgdm.scale.coarse_graining import Lattice

LOG_VARIANCE = (-0.5, 1.3)
"""Mean and width of the Gaussian weight over log variances: 0.05 to 8 lie within two widths."""
MEMORY = 3
"""Number of conditional means that a step combines."""
RIDGE = 1e-6
MODES = 2**14
"""Modes that are fitted at a time."""


class FittedMultistep(Sampler):
    """Combines the state and the last three estimates as comes nearest to the exact flow of Gaussian data.

    For Gaussian modes of variance v the probability flow only rescales, by
    ``sqrt(alpha^2 v + sigma^2)``, and so does every step ``z_s = c_0 z_t + c_1 z_0_hat(t) + c_2 z_0_hat(t') + ...``.
    The c are the least squares of the relative error over v, weighted by a Gaussian in log v (:data:`LOG_VARIANCE`),
    and exact for the mean of the data and for v = 1. Being the same for every v, they serve data of any covariance
    with eigenvalues about between 0.03 and 5. The times ``t = (1 + cos(pi k / n)) / 2`` crowd at both ends.

    Three evaluations bring every deviation between 0.2 and 2 within 3 %, where three of
    :class:`~rgdm.model.samplers.reverse.AdamsBashforth` are up to three quarters short; at v = 0.001 and v = 100 they
    are off by factors of 3 and 0.4. One evaluation adds white noise to the mean.
    """

    @property
    def times(self) -> list[float]:
        """Where the estimates are made, and 0."""
        return [(1 + math.cos(math.pi * k / self.steps)) / 2 for k in range(self.steps + 1)]

    def __call__(
        self,
        conditional_mean: ConditionalMean,
        process: ForwardProcess,
        z: Float[Tensor, "B C *L"],
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *L"]:
        known: list[Tensor] = []
        for t, (state, *weights) in zip(self.times, self._plan(process, tuple(z.shape[2:]), z.device), strict=False):
            known = [conditional_mean(z, torch.full(z.shape[:1], t, dtype=z.dtype, device=z.device)), *known][:MEMORY]
            z = state.to(z) * z
            for weight, data in zip(weights, known, strict=True):
                z = z + weight.to(z) * data
        return z

    def _plan(self, process: ForwardProcess, lattice: Lattice, device: torch.device) -> list[Tensor]:
        """For each step the weights of the state and of the estimates, the latest first, ``(k, 1, 1, *modes)``.

        One mode stands for all where all have the same amplitudes.
        """
        alpha, sigma = process.marginal(torch.tensor(self.times, dtype=torch.float64, device=device), lattice)
        angles, sizes = torch.atan2(sigma, alpha), torch.hypot(alpha, sigma)
        first = (slice(None), slice(None), *[slice(1)] * len(lattice))
        if bool((angles == angles[first]).all() & (sizes == sizes[first]).all()):
            angles, sizes = angles[first], sizes[first]
        plan = [c.unflatten(1, angles.shape[1:]).unsqueeze(1) for c in coefficients(angles.flatten(1))]
        for i, c in enumerate(plan):  # they are those of states on the unit circle
            c *= sizes[i + 1]
            c[0] /= torch.where(sizes[i] > 0, sizes[i], torch.ones_like(sizes[i]))
        return plan


def coefficients(angles: Float[Tensor, "n1 M"]) -> list[Float[Tensor, "k M"]]:
    """For each step the weights of the state and of the estimates, the latest first, of every mode.

    ``angles`` are ``atan2(sigma, alpha)`` at the n + 1 times, falling; modes that stand still keep their state.
    """
    kinds, kind = torch.unique(angles.cpu(), dim=1, return_inverse=True)
    chunks = [_fit(part) for part in kinds.split(MODES, 1)]
    return [torch.cat(parts, 1)[:, kind].to(angles.device) for parts in zip(*chunks, strict=True)]


def _fit(angles: Tensor) -> list[Tensor]:
    centre, width = LOG_VARIANCE
    log_v = torch.linspace(centre - 4 * width, centre + 4 * width, 41, dtype=torch.float64)
    v = log_v.exp()[:, None]
    weight = torch.exp(-0.5 * ((log_v - centre) / width) ** 2)
    weight = (weight / weight.sum()).sqrt()[:, None, None]
    alpha, sigma = angles.cos(), angles.sin()
    size = (alpha[0].square() * v + sigma[0].square()).sqrt()  # (v, mode): deviation of the state
    deviations: list[Tensor] = []
    plan = []
    for i in range(len(angles) - 1):
        a, s = alpha[i], sigma[i]
        deviations = [a * v / (a.square() * v + s.square()) * size, *deviations][:MEMORY]
        parts = torch.stack([size, *deviations], 2)
        exact = (alpha[i + 1].square() * v + sigma[i + 1].square()).sqrt()
        moving = (angles[i] - angles[i + 1] > 1e-9) & (s > NOISELESS)
        kept = torch.where(s > 0, sigma[i + 1] / s.clamp(min=1e-300), 1.0)
        c = torch.zeros(len(a), parts.shape[2], dtype=torch.float64)
        c[:, 0], c[:, 1] = kept, alpha[i + 1] - a * kept  # DDIM; a mode that stands still keeps its state
        if bool(moving.any()):
            behind = [alpha[j][moving] for j in range(i, i - len(deviations), -1)]
            rows = (weight * parts[:, moving] / exact[:, moving, None]).movedim(0, 1)
            c[moving] = _constrained(rows, weight.flatten(), a[moving], s[moving], alpha[i + 1][moving], behind)
        size = (parts * c).sum(2)
        plan.append(c.T)
    return plan


def _constrained(rows: Tensor, target: Tensor, a: Tensor, s: Tensor, ahead: Tensor, behind: list[Tensor]) -> Tensor:
    """Least squares of ``rows c = target``, near DDIM's step where that leaves it open.

    Two constraints, by Lagrange multipliers: the mean of the data goes from ``a`` to ``ahead``, and what has
    unit variance keeps it (an estimate of such data has the gain ``alpha`` of its own time).
    """
    modes, count = len(a), rows.shape[2]
    one = torch.ones_like(a)
    system = torch.zeros(modes, count + 2, count + 2, dtype=torch.float64)
    system[:, :count, :count] = rows.mT @ rows + RIDGE * torch.eye(count, dtype=torch.float64)
    system[:, count, :count] = torch.stack([a, *[one] * len(behind)], 1)
    system[:, count + 1, :count] = torch.stack([one, *behind], 1)
    system[:, :count, count:] = system[:, count:, :count].mT
    kept = (1 - ahead.square()).clamp(min=0).sqrt() / s
    ddim = torch.stack([kept, ahead - a * kept, *[0 * one] * (count - 2)], 1)
    right = torch.cat([rows.mT @ target + RIDGE * ddim, torch.stack([ahead, one], 1)], 1)
    return torch.linalg.solve(system, right)[:, :count]
