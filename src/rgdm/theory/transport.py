"""The kinetic cost of a schedule that carries Gaussian data along (Benamou & Brenier), and schedules of least cost."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule
from rgdm.theory.continuous import START

Metric = Literal["transport", "information"]
"""Squared length of a change of the deviation s of a mode: ``ds^2`` (``transport``: Wasserstein) or ``2 (dlog s)^2``
(``information``: Fisher, twice the Kullback-Leibler divergence)."""
PIECES = 1024
"""Default number of intervals of t."""
STILL = 1e-6
"""Share of the mean speed that a clock adds to every speed, so that it passes where nothing moves in some time."""
CANCELLED = 1e-12
"""Largest ratio of the speed of a mode to those of its signal and noise that counts as rounding: white data stand
still."""


class Cost(NamedTuple):
    """The cost of carrying Gaussian data to t = 1, by intervals of t and modes."""

    energy: Float[Tensor, "N *L"]
    """``int v^2 dt``, v the root mean square velocity of the mode in the metric."""
    length: Float[Tensor, "N *L"]
    """``int abs(v) dt``."""
    bound: Float[Tensor, "*L"]
    """The squared distance between both ends of a mode, the least possible energy."""

    @property
    def total(self) -> float:
        """The energy summed over modes."""
        return float(self.energy.sum())

    @property
    def optimum(self) -> float:
        """The bound summed over modes; for ``transport`` the squared Wasserstein distance of data and noise."""
        return float(self.bound.sum())

    @property
    def reclocked(self) -> float:
        """The energy of the same path at constant speed, its squared length: the least of a common clock."""
        return float(self.length.flatten(1).square().sum(1).sqrt().sum().square())


def kinetic_cost(
    process: ForwardProcess,
    spectrum: Float[Tensor, "*L"],
    times: int | Float[Tensor, " N"] = PIECES,
    metric: Metric = "transport",
) -> Cost:
    """``int E|v|^2 dt`` of the probability flow of Gaussian data of this spectrum: Benamou & Brenier 2000.

    The probability flow only rescales a Gaussian mode, to the deviation ``s(t) = sqrt(alpha^2 S + sigma^2)``: it costs
    ``int (ds/dt)^2 dt >= (s(1) - s(0))^2``, with equality at constant speed.

    Args:
        process: whose flow it is.
        spectrum: S, the variance of each mode of the data.
        times: number of equal intervals, or rising times; s is linear between them, so the cost rises to that of the
            process as they get finer.
        metric: ``information`` measures s by ``sqrt(2) log s``; n steps at constant speed then have the least sum of
            Kullback-Leibler divergences from one law to the next, about ``length^2 / 2n`` (Crooks 2007,
            arXiv:0706.0559).
    """
    if isinstance(times, int):
        if times < 1:
            raise InputError(f"{times} intervals of time; at least 1 is needed")
        times = torch.linspace(0, 1, times + 1, dtype=torch.float64)
    if len(times) < 2 or not bool((times.diff() > 0).all()):
        raise InputError(f"times {times.tolist()[:8]}; at least two are needed, each later than the one before")
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
    """``sqrt(sum_k weight_k v_k^2)`` at ``pieces + 1`` equal times: what a :class:`Reclocked` makes constant.

    By Cauchy and Schwarz, of all clocks common to the modes of a path the one of constant speed costs least; n equal
    steps then share the length equally, for any n. ``weight`` says how much each mode counts, 1 by default.
    """
    if pieces < 1:
        raise InputError(f"{pieces} pieces; a table of speeds needs at least 1")
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

    ``speeds`` are those of that schedule at equal times from 0 to 1, piecewise linear in between, in any metric
    (:func:`speeds` gives two); only their ratios count. The clock runs inversely to them, ``dc/dt ~ 1 / speed(c)``, so
    that the speed in t is constant. A millionth of their mean (:data:`STILL`) is added, so that the clock stays finite
    where nothing moves.
    """

    def __init__(self, schedule: Schedule, speeds: Sequence[float]) -> None:
        if len(speeds) < 2 or not all(0 <= v < math.inf for v in speeds):
            raise InputError(
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
        first, last, beyond = v[piece], v[piece + 1], reached - spent[piece]
        root = (first.square() + 2 * (last - first) * beyond).clamp(min=torch.minimum(first, last).square())
        c = (piece + 2 * beyond / (first + root.sqrt())) / (len(v) - 1)
        ends = torch.where(t >= 1, 1.0, torch.where(t <= 0, 0.0, c.clamp(0, 1)))
        return (c + (ends - c).detach()).to(t)  # the ends exactly, with the slope of the clock


class LeastKineticCost(Schedule):
    """Every mode at constant speed from data to white noise: no schedule with these ends has less kinetic cost.

    Given the spectrum S of Gaussian data, with ``alpha^2 + sigma^2 = 1`` and ``a = sqrt(S)``,

    - ``transport``: ``s = (1 - t) a + t``, McCann's displacement interpolation;
      ``alpha^2 = (1 - t) (2 + (1 - t) (a - 1)) / (a + 1)``, ``sigma^2 = t (t + (2 - t) a) / (a + 1)``;
    - ``information``: ``log s = (1 - t) log a``; ``alpha^2 = (S^(1-t) - 1) / (S - 1)``.

    At constant speed noise enters as ``sigma ~ sqrt(t)``, whose slope at 0 spoils samplers that step in angles;
    ``eased`` follows the same path by ``t -> sin^2(pi t / 2)``, at pi^2 / 8 of the least cost. It is the one to sample
    with, and equals ``Trigonometric`` for S = 1. S is a table, a power of k between its entries and constant beyond.
    Noise of the spectrum of the data (:class:`~rgdm.process.schedule.SpectrumMatched`) has another end, and costs
    nothing.
    """

    def __init__(
        self, wavenumbers: Sequence[float], spectrum: Sequence[float], metric: Metric = "transport", eased: bool = False
    ) -> None:
        if len(wavenumbers) != len(spectrum) or not wavenumbers:
            raise InputError(f"{len(wavenumbers)} wavenumbers and {len(spectrum)} values of S; give one S for each k")
        if wavenumbers[0] <= 0 or any(b <= a for a, b in itertools.pairwise(wavenumbers)):
            raise InputError(f"wavenumbers {list(wavenumbers)[:8]}; they must be positive and rise")
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
        raise InputError(f"unknown metric {metric!r}; known are {', '.join(get_args(Metric))}")
    if not bool(((spectrum > 0) & spectrum.isfinite()).all()):
        raise InputError(f"the spectrum has the value {float(spectrum.min())}; it must be positive and finite")
    return spectrum.double()
