"""The Lagrangian form: the action of a path of fields, the transport cost of a schedule, and the schedules of least."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.process.continuous import START, ScaleFlow
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule

Metric = Literal["transport", "information"]
"""Of the deviation s of a mode: ``ds^2`` (Wasserstein) or ``2 (dlog s)^2`` (Fisher, twice the Kullback-Leibler)."""
PIECES = 1024
"""Into so many a path in t is cut where nothing else is asked for."""
STILL = 1e-6
"""Share of the mean speed that is added to all, so that a clock takes some time for what costs nothing."""
CANCELLED = 1e-12
"""Of the speeds of signal and noise, what is left is rounding: white data stand still."""
ROUNDING = 64
"""Differences of so many units in the last place are none."""


# --- paths -----------------------------------------------------------------------------------


def lagrangian(
    flow: ScaleFlow,
    y: Float[Tensor, "B C *L"],
    velocity: Float[Tensor, "B C *L"],
    lam: Float[Tensor, " B"],
    divergence: bool = False,
) -> Float[Tensor, "B C *L"]:
    """``(dy/dlambda - F)^2 / (4 D)`` of each mode, with ``divergence`` also ``dF/dy / 2 = -(gamma + Delta) / 2``.

    Onsager & Machlup 1953, Phys. Rev. 91, 1505, for the equation of ``flow``. A mode without noise (D = 0) can only
    follow the drift: it adds 0 where it does, to rounding, and infinity where it does not.
    """
    rate, heat = flow.rates(lam.to(y), tuple(y.shape[2:]))
    density = _quotient(velocity + rate * y, 2 * heat, velocity.abs() + (rate * y).abs())
    return density - rate / 2 if divergence else density


def step_actions(
    flow: ScaleFlow, path: Float[Tensor, "N C *L"], lam: Float[Tensor, " N"] | None = None
) -> Float[Tensor, "M C *L"]:
    """What each of the M = N - 1 steps of :func:`onsager_machlup` costs in each mode."""
    lam = _scale_times(flow, len(path) - 1 if lam is None else lam, path.device)
    if len(lam) != len(path):
        raise ValueError(f"{len(lam)} scale-times for a path of {len(path)} fields; give one for each")
    alpha, sigma = flow.marginal(lam, tuple(path.shape[2:]))
    kept, added = _transition(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])
    return _against(path[:-1], path[1:], kept, added)


def onsager_machlup(
    flow: ScaleFlow, path: Float[Tensor, "N C *L"], lam: Float[Tensor, " N"] | None = None, divergence: bool = False
) -> Float[Tensor, ""]:
    """``int sum_k (dy/dlambda - F)^2 / (4 D) dlambda`` of a path y_0, ..., y_n of coefficients (float64).

    ``lam`` are the rising scale-times of its fields, by default equal steps from 0 to the span of the flow. Between two
    of them the path is taken to be the cheapest there is, of action ``(y' - Phi y)^2 / (2 V)`` with the propagator
    ``Phi = alpha'/alpha`` and the noise ``V = sigma'^2 - (Phi sigma)^2`` of the step: no rate is ever
    integrated. So the sum is exact for minimal paths, is ``-log p(y_1, ..., y_n | y_0)`` without its
    ``log(2 pi V) / 2``, never falls when points are put in, and tends to the integral (:func:`lagrangian`) from below.
    ``divergence`` adds ``int div F / 2 dlambda = sum log(Phi) / 2``, which the most probable tube needs and the
    cheapest path does not. A mode without noise, as one whose signal is gone (or has underflown), adds 0 where it
    follows the drift and makes the action infinite where it does not.
    """
    total = step_actions(flow, path, lam).sum()
    if not divergence:
        return total
    lam = _scale_times(flow, len(path) - 1 if lam is None else lam, path.device)
    alpha, sigma = flow.marginal(lam[[0, -1]], tuple(path.shape[2:]))
    kept, _ = _transition(alpha[:1], sigma[:1], alpha[1:], sigma[1:])
    if not bool((kept > 0).all()):
        raise ValueError(
            f"{int((kept <= 0).sum())} modes lose their signal whole, where div F is infinite; stop earlier or leave "
            "the divergence out"
        )
    return total + path.shape[1] * kept.log().sum() / 2


def minimal_path(
    flow: ScaleFlow, start: Float[Tensor, "C *L"], end: Float[Tensor, "C *L"], steps: int | Float[Tensor, " N"]
) -> tuple[Float[Tensor, "M C *L"], Float[Tensor, ""]]:
    """The path of least action between two fields, in coefficients: ``(steps + 1, C, *lattice)``, and its action.

    ``steps`` equal ones from lambda = 0 to the span of the flow, or the scale-times themselves. The drift being linear
    and diagonal, it is the mean of the bridge, ``y = Phi_0 y_0 + V_0 Phi_1 / V (y_1 - Phi y_0)`` with the propagators
    and noise from the start (0), to the end (1) and of the whole, and its action is ``(y_1 - Phi y_0)^2 / (2 V)``.
    A mode whose signal is gone at the end (alpha = 0 in float64) follows the drift until the last step, where its noise
    has no bound.
    """
    if start.shape != end.shape:
        raise ValueError(f"a start of shape {tuple(start.shape)}, an end of {tuple(end.shape)}; they must be alike")
    lam = _scale_times(flow, steps, start.device)
    alpha, sigma = flow.marginal(lam, tuple(start.shape[1:]))
    kept, added = _transition(alpha[:1], sigma[:1], alpha, sigma)
    ahead, _ = _transition(alpha, sigma, alpha[-1:], sigma[-1:])
    action = _against(start[None], end[None], kept[-1:], added[-1:])
    if not bool(action.isfinite().all()):
        raise ValueError(
            f"{int((~action.isfinite()).sum())} modes have no noise and do not drift from the start to the end; no "
            "path of finite action joins the two"
        )
    away = end.double() - kept[-1] * start.double()
    share = torch.where(added[-1] > 0, added * ahead / torch.where(added[-1] > 0, added[-1], 1.0), 0.0)
    path = kept * start.double() + share * away
    path[0], path[-1] = start, end
    return path, action.sum()


def _scale_times(flow: ScaleFlow, given: int | Tensor, device: torch.device) -> Tensor:
    if isinstance(given, int):
        if given < 1:
            raise ValueError(f"a path of {given} steps; it needs at least 1")
        return torch.linspace(0, flow.span, given + 1, dtype=torch.float64, device=device)
    if len(given) < 2 or not bool((given.diff() > 0).all()):
        raise ValueError(f"scale-times {given.tolist()[:8]}; at least two are needed, each later than the one before")
    return given.to(device, torch.float64)


def _transition(alpha: Tensor, sigma: Tensor, later: Tensor, louder: Tensor) -> tuple[Tensor, Tensor]:
    """(Phi, V) of ``p(y' | y) = N(Phi y, V)``; a mode whose signal is gone keeps its noise."""
    gone = (alpha == 0) & (later == 0)
    kept = torch.where(gone, _ratio(louder, sigma), _ratio(later, alpha))
    added = louder.square() - (kept * sigma).square()
    return kept, torch.where(added > ROUNDING * torch.finfo(added.dtype).eps * louder.square(), added, 0.0)


def _against(y: Tensor, later: Tensor, kept: Tensor, added: Tensor) -> Tensor:
    """``(y' - Phi y)^2 / (2 V)``, in float64."""
    expected = kept * y.double()
    size = (later.abs() + expected.abs()) * (torch.finfo(y.dtype).eps / torch.finfo(torch.float64).eps)
    return _quotient(later.double() - expected, added, size)


def _quotient(difference: Tensor, variance: Tensor, size: Tensor) -> Tensor:
    """``difference^2 / (2 variance)``; where the variance is 0, 0 if the difference is (against size), or infinity."""
    noisy = variance > 0
    still = difference.abs() <= ROUNDING * torch.finfo(difference.dtype).eps * size
    cost = difference.square() / (2 * torch.where(noisy, variance, 1.0))
    return torch.where(noisy, cost, torch.where(still, 0.0, math.inf))


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))


# --- schedules -------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What it costs to carry Gaussian data to t = 1, by intervals of t and modes."""

    energy: Float[Tensor, "N *L"]
    """``int v^2 dt`` of each, v being the root mean square velocity of the mode in the metric."""
    length: Float[Tensor, "N *L"]
    """``int abs(v) dt``."""
    bound: Float[Tensor, "*L"]
    """The square of the distance between both ends of a mode: the least its energy can be."""

    @property
    def total(self) -> float:
        """The energy of all modes."""
        return float(self.energy.sum())

    @property
    def optimum(self) -> float:
        """The bound of all modes: for ``transport`` the squared Wasserstein distance of data and noise."""
        return float(self.bound.sum())

    @property
    def reclocked(self) -> float:
        """The energy of the same path at constant speed, the square of its length: the least of any common clock."""
        return float(self.length.flatten(1).square().sum(1).sqrt().sum().square())


def kinetic_cost(
    process: ForwardProcess,
    spectrum: Float[Tensor, "*L"],
    times: int | Float[Tensor, " N"] = PIECES,
    metric: Metric = "transport",
) -> Cost:
    """``int E|v|^2 dt`` of the probability flow of Gaussian data of this spectrum: Benamou & Brenier 2000.

    The flow of a Gaussian mode only rescales it, by its deviation ``s(t) = sqrt(alpha^2 S + sigma^2)``: it costs
    ``int (ds/dt)^2 dt >= (s(1) - s(0))^2``, with equality at constant speed. ``times`` are so many equal intervals or
    rising times; s is straight between them, and so the cost can only rise to that of the process as they get finer.
    ``metric="information"`` measures s by ``sqrt(2) log s``: n steps at constant speed then have the least sum of
    Kullback-Leibler divergences from one law to the next, about ``length^2 / 2n`` (Crooks 2007, arXiv:0706.0559).
    """
    if isinstance(times, int):
        if times < 1:
            raise ValueError(f"{times} intervals of time; at least 1 is needed")
        times = torch.linspace(0, 1, times + 1, dtype=torch.float64)
    if len(times) < 2 or not bool((times.diff() > 0).all()):
        raise ValueError(f"times {times.tolist()[:8]}; at least two are needed, each later than the one before")
    times, spectrum = times.to(spectrum.device, torch.float64), _checked(spectrum, metric)
    alpha, sigma = process.marginal(times, tuple(spectrum.shape))
    s = (alpha.square() * spectrum + sigma.square()).sqrt()[:, 0]
    x = s if metric == "transport" else math.sqrt(2) * s.log()
    moved = x.diff(dim=0)
    width = times.diff().reshape(-1, *[1] * spectrum.dim())
    return Cost(moved.square() / width, moved.abs(), (x[-1] - x[0]).square())


def speeds(
    process: ForwardProcess,
    spectrum: Float[Tensor, "*L"],
    metric: Metric = "transport",
    weight: Float[Tensor, "*L"] | None = None,
    pieces: int = 256,
) -> list[float]:
    """``sqrt(sum_k weight_k v_k^2)`` at ``pieces + 1`` equal times, of which a :class:`Reclocked` makes a constant.

    By Cauchy and Schwarz the cost of a path is least, for any clock common to its modes, at constant
    speed, and then n equal steps share its length equally, whatever n. A ``weight`` says which modes count.
    """
    if pieces < 1:
        raise ValueError(f"{pieces} pieces; a table of speeds needs at least 1")
    spectrum = _checked(spectrum, metric)
    t = torch.linspace(0, 1, pieces + 1, dtype=torch.float64, device=spectrum.device).clamp(START, 1 - START)
    alpha, sigma, slope, growth = (a[:, 0] for a in process.rates(t, tuple(spectrum.shape)))
    power = alpha.square() * spectrum + sigma.square()
    signal, noise = alpha * slope * spectrum / power.sqrt(), sigma * growth / power.sqrt()
    v = signal + noise  # ds/dt
    v = torch.where(v.abs() > CANCELLED * (signal.abs() + noise.abs()).amax(0), v, 0.0)
    v = v if metric == "transport" else math.sqrt(2) * v / power.sqrt()
    counted = v.square() if weight is None else weight.to(v) * v.square()
    return counted.flatten(1).sum(1).sqrt().tolist()


class Reclocked(Schedule):
    """Another schedule on a clock of its own, ``(alpha, sigma)(c(t), k)``, c from 0 to 1.

    ``speeds`` are those of that schedule at equal times from 0 to 1 and piecewise linear in between; the clock runs
    inversely to them, ``dc/dt ~ 1 / speed(c)``, so that the speed in t is constant. What they measure is free
    (:func:`speeds` gives the two metrics); only their ratios count. Where nothing moves at all the clock stays finite,
    a millionth of the mean being added.
    """

    def __init__(self, schedule: Schedule, speeds: Sequence[float]) -> None:
        if len(speeds) < 2 or not all(0 <= v < math.inf for v in speeds):
            raise ValueError(
                f"{len(speeds)} speeds, the smallest {min(speeds, default=math.nan)}; at least two are needed, each "
                "finite and not negative"
            )
        self.schedule, self.speeds = schedule, tuple(float(v) for v in speeds)

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        return self.schedule(self.clock(t), k)

    def clock(self, t: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """c(t): inverse of a piecewise quadratic, in closed form."""
        v = torch.tensor(self.speeds, dtype=torch.float64, device=t.device)
        mean = (v[:-1] + v[1:]).mean() / 2
        v = v + STILL * mean if float(mean) > 0 else torch.ones_like(v)
        spent = torch.cat([v[:1] * 0, ((v[:-1] + v[1:]) / 2).cumsum(0)])
        reached = t.double() * spent[-1]
        piece = (torch.searchsorted(spent, reached.detach(), right=True) - 1).clamp(0, len(v) - 2)
        first, last, rest = v[piece], v[piece + 1], reached - spent[piece]
        root = (first.square() + 2 * (last - first) * rest).clamp(min=torch.minimum(first, last).square())
        c = (piece + 2 * rest / (first + root.sqrt())) / (len(v) - 1)
        ends = torch.where(t >= 1, 1.0, torch.where(t <= 0, 0.0, c.clamp(0, 1)))
        return (c + (ends - c).detach()).to(t)  # the ends exactly, with the slope of the clock


class LeastAction(Schedule):
    """Every mode straight from data to white noise: at constant speed no schedule that ends there costs less.

    Given the spectrum S of Gaussian data, with ``alpha^2 + sigma^2 = 1`` and ``a = sqrt(S)``,

    - ``transport``: ``s = (1 - t) a + t``, McCann's displacement interpolation;
      ``alpha^2 = (1 - t) (2 + (1 - t) (a - 1)) / (a + 1)``, ``sigma^2 = t (t + (2 - t) a) / (a + 1)``;
    - ``information``: ``log s = (1 - t) log a``; ``alpha^2 = (S^(1-t) - 1) / (S - 1)``.

    At constant speed noise enters as ``sigma ~ sqrt(t)``, with a slope that no sampler in angles likes: ``eased``
    runs the same path by ``t -> sin^2(pi t / 2)``, for pi^2 / 8 of the least cost; it is ``Trigonometric`` for S = 1,
    and the one to sample with. S is a table, a power of k between its entries and constant beyond. Noise of the
    spectrum of the data (:class:`~rgdm.process.schedule.SpectrumMatched`) ends elsewhere, and costs nothing.
    """

    def __init__(
        self, wavenumbers: Sequence[float], spectrum: Sequence[float], metric: Metric = "transport", eased: bool = False
    ) -> None:
        if len(wavenumbers) != len(spectrum) or not wavenumbers:
            raise ValueError(f"{len(wavenumbers)} wavenumbers and {len(spectrum)} values of S; give one S for each k")
        if wavenumbers[0] <= 0 or any(b <= a for a, b in itertools.pairwise(wavenumbers)):
            raise ValueError(f"wavenumbers {list(wavenumbers)[:8]}; they must be positive and rise")
        self.wavenumbers, self.spectrum, self.metric = tuple(wavenumbers), tuple(spectrum), metric
        self.eased = eased
        _checked(torch.tensor(self.spectrum), metric)

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        level, t = self._log_spectrum(k), t.to(k).reshape(-1, 1, *[1] * k.dim())
        left, spent = 1 - t, t
        if self.eased:  # sin^2 of both, that each end is exact
            left, spent = (left * (math.pi / 2)).sin().square(), (t * (math.pi / 2)).sin().square()
        if self.metric == "transport":
            a = (level / 2).exp()
            signal, noise = left * (2 + left * (a - 1)) / (a + 1), spent * (spent + (2 - spent) * a) / (a + 1)
        else:
            level = torch.where(level.abs() < 1e-9, 1e-9, level)  # white: alpha^2 = 1 - t
            signal, noise = (
                torch.expm1(left * level) / torch.expm1(level),
                torch.expm1(-spent * level) / torch.expm1(-level),
            )
        return signal.sqrt(), noise.sqrt()

    def _log_spectrum(self, k: Tensor) -> Tensor:
        """log S, linear in log k."""
        x, y = (torch.tensor(a, dtype=torch.float64).log().to(k) for a in (self.wavenumbers, self.spectrum))
        if len(x) == 1:
            return y.expand_as(k)
        at = k.clamp(self.wavenumbers[0], self.wavenumbers[-1]).log()
        left = (torch.searchsorted(x, at) - 1).clamp(0, len(x) - 2)
        return torch.lerp(y[left], y[left + 1], ((at - x[left]) / (x[left + 1] - x[left])).clamp(0, 1))


def _checked(spectrum: Tensor, metric: str) -> Tensor:
    if metric not in get_args(Metric):
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(get_args(Metric))}")
    if not bool(((spectrum > 0) & spectrum.isfinite()).all()):
        raise ValueError(f"the spectrum has the value {float(spectrum.min())}; it must be positive and finite")
    return spectrum.double()
