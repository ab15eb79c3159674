"""What a path of fields costs (Onsager & Machlup), and the cheapest paths."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.theory.continuous import ContinuousChain

ROUNDING = 64
"""Largest difference that counts as zero, in units in the last place: what rounding errors add up to."""


def lagrangian(
    chain: ContinuousChain,
    y: Float[Tensor, "B C *L"],
    velocity: Float[Tensor, "B C *L"],
    lam: Float[Tensor, " B"],
    divergence: bool = False,
) -> Float[Tensor, "B C *L"]:
    """``(dy/dlambda - F)^2 / (4 D)`` of each mode, with ``divergence`` also ``dF/dy / 2 = -(gamma + Delta) / 2``.

    Onsager & Machlup 1953, Phys. Rev. 91, 1505, for the equation of ``chain``. A mode without noise (D = 0) must follow
    the drift: it adds 0 if it does, up to rounding, and infinity if it does not.
    """
    rate, heat = chain.rates(lam.to(y), tuple(y.shape[2:]))
    density = _quotient(velocity + rate * y, 2 * heat, velocity.abs() + (rate * y).abs())
    return density - rate / 2 if divergence else density


def step_costs(
    chain: ContinuousChain, path: Float[Tensor, "N C *L"], lam: Float[Tensor, " N"] | None = None
) -> Float[Tensor, "M C *L"]:
    """The terms of :func:`onsager_machlup`: the cost of each of the M = N - 1 steps in each mode."""
    lam = _scale_times(chain, len(path) - 1 if lam is None else lam, path.device)
    if len(lam) != len(path):
        raise InputError(f"{len(lam)} scale-times for a path of {len(path)} fields; give one for each")
    alpha, sigma = chain.marginal(lam, tuple(path.shape[2:]))
    kept, added = _transition(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])
    return _transition_cost(path[:-1], path[1:], kept, added)


def onsager_machlup(
    chain: ContinuousChain,
    path: Float[Tensor, "N C *L"],
    lam: Float[Tensor, " N"] | None = None,
    divergence: bool = False,
) -> Float[Tensor, ""]:
    """``int sum_k (dy/dlambda - F)^2 / (4 D) dlambda``, the cost of a path y_0, ..., y_n of coefficients (float64).

    Between two given fields y and y' the path is taken to be the cheapest one, which costs ``(y' - Phi y)^2 / (2 V)``
    with the propagator ``Phi = alpha'/alpha`` and the noise ``V = sigma'^2 - (Phi sigma)^2`` of the step, so that no
    rate is integrated. The sum is exact for minimal paths, equals ``-log p(y_1, ..., y_n | y_0)`` up to the terms
    ``log(2 pi V) / 2``, never falls when a field is inserted, and tends to the integral of :func:`lagrangian` from
    below.
    A mode without noise, such as one whose signal is gone (or has underflown), adds 0 where it follows the drift and
    infinity where it does not.

    Args:
        chain: the equation whose drift F and heat D count.
        path: the fields.
        lam: their scale-times, rising; by default equal steps from 0 to the span of the chain.
        divergence: adds ``int div F / 2 dlambda = sum log(Phi) / 2``, a term of the most probable tube, not of the
            cheapest path.
    """
    total = step_costs(chain, path, lam).sum()
    if not divergence:
        return total
    lam = _scale_times(chain, len(path) - 1 if lam is None else lam, path.device)
    alpha, sigma = chain.marginal(lam[[0, -1]], tuple(path.shape[2:]))
    kept, _ = _transition(alpha[:1], sigma[:1], alpha[1:], sigma[1:])
    if not bool((kept > 0).all()):
        raise InputError(
            f"{int((kept <= 0).sum())} modes lose their signal whole, where div F is infinite; stop earlier or leave "
            "the divergence out"
        )
    return total + path.shape[1] * kept.log().sum() / 2


def minimal_path(
    chain: ContinuousChain, start: Float[Tensor, "C *L"], end: Float[Tensor, "C *L"], steps: int | Float[Tensor, " N"]
) -> tuple[Float[Tensor, "M C *L"], Float[Tensor, ""]]:
    """The cheapest path between two fields, in coefficients: ``(steps + 1, C, *lattice)``, and its cost.

    The drift is linear and diagonal, so the path is the mean of the bridge,
    ``y = Phi_0 y_0 + V_0 Phi_1 / V (y_1 - Phi y_0)`` with the propagators and noises from the start (0), to the end (1)
    and of the whole; it costs ``(y_1 - Phi y_0)^2 / (2 V)``. A mode whose signal is gone at the end (alpha = 0 in
    float64) follows the drift until the last step, whose noise is unbounded.

    Args:
        chain: the equation whose drift and noise count.
        start: the field at the first scale-time, in coefficients.
        end: the field at the last one.
        steps: their number, equal ones from lambda = 0 to the span of the chain; or the scale-times themselves.
    """
    if start.shape != end.shape:
        raise InputError(f"a start of shape {tuple(start.shape)}, an end of {tuple(end.shape)}; they must be alike")
    lam = _scale_times(chain, steps, start.device)
    alpha, sigma = chain.marginal(lam, tuple(start.shape[1:]))
    kept, added = _transition(alpha[:1], sigma[:1], alpha, sigma)
    ahead, _ = _transition(alpha, sigma, alpha[-1:], sigma[-1:])
    cost = _transition_cost(start[None], end[None], kept[-1:], added[-1:])
    if not bool(cost.isfinite().all()):
        raise InputError(
            f"{int((~cost.isfinite()).sum())} modes have no noise and do not drift from the start to the end; no "
            "path of finite cost joins the two"
        )
    away = end.double() - kept[-1] * start.double()
    share = torch.where(added[-1] > 0, added * ahead / torch.where(added[-1] > 0, added[-1], 1.0), 0.0)
    path = kept * start.double() + share * away
    path[0], path[-1] = start, end
    return path, cost.sum()


def _scale_times(chain: ContinuousChain, given: int | Tensor, device: torch.device) -> Tensor:
    if isinstance(given, int):
        if given < 1:
            raise InputError(f"a path of {given} steps; it needs at least 1")
        return torch.linspace(0, chain.span, given + 1, dtype=torch.float64, device=device)
    if len(given) < 2 or not bool((given.diff() > 0).all()):
        raise InputError(f"scale-times {given.tolist()[:8]}; at least two are needed, each later than the one before")
    return given.to(device, torch.float64)


def _transition(alpha: Tensor, sigma: Tensor, later: Tensor, louder: Tensor) -> tuple[Tensor, Tensor]:
    """(Phi, V) of ``p(y' | y) = N(Phi y, V)``; a mode whose signal is gone keeps its noise."""
    gone = (alpha == 0) & (later == 0)
    kept = torch.where(gone, _ratio(louder, sigma), _ratio(later, alpha))
    added = louder.square() - (kept * sigma).square()
    return kept, torch.where(added > ROUNDING * torch.finfo(added.dtype).eps * louder.square(), added, 0.0)


def _transition_cost(y: Tensor, later: Tensor, kept: Tensor, added: Tensor) -> Tensor:
    """``(y' - Phi y)^2 / (2 V)``, in float64."""
    expected = kept * y.double()
    size = (later.abs() + expected.abs()) * (torch.finfo(y.dtype).eps / torch.finfo(torch.float64).eps)
    return _quotient(later.double() - expected, added, size)


def _quotient(difference: Tensor, variance: Tensor, size: Tensor) -> Tensor:
    """``difference^2 / (2 variance)``; without variance 0 if the difference is rounding of ``size``, else infinity."""
    noisy = variance > 0
    still = difference.abs() <= ROUNDING * torch.finfo(difference.dtype).eps * size
    cost = difference.square() / (2 * torch.where(noisy, variance, 1.0))
    return torch.where(noisy, cost, torch.where(still, 0.0, math.inf))


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))
