"""A splitting in phase space whose few steps are fitted to the probability flow of Gaussian data."""

import functools
import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.samplers.fitted import LOG_VARIANCE
from rgdm.model.samplers.sampler import ConditionalMean, Draw
from rgdm.theory.phase_space import CriticalDamping, PhaseLaw, PhaseSpaceProcess, halves
from rgdm.theory.splitting import SymplecticSplitting, kick, rotate

PLANS = Path(__file__).with_name("fitted_splitting.json")
WITHIN = 3.0
"""Range of the log variances in the fit, in widths of their weight on either side."""
SMALLEST = 0.05
"""Smallest variance in whose units the error of a mean counts."""
STRONGEST = 12.0
"""Largest strength of a kick: without a bound late kicks would multiply rounding errors."""
TAME = 1e-3
"""Weight of how unlike its time a state is, relative to the error at the end."""


class SplittingPlan(NamedTuple):
    """A splitting, step by step: a kick of ``strength`` times the excess at tau, then a turn back by ``angle``.

    The excess is taken at the momentum that ``ahead`` times the kick before predicts.
    """

    tau: tuple[float, ...]
    strength: tuple[float, ...]
    angle: tuple[float, ...]
    ahead: tuple[float, ...]


class FittedSplitting(SymplecticSplitting):
    """A :class:`~rgdm.theory.splitting.SymplecticSplitting` without noise, of fitted times, kicks and turns.

    White data of unit variance stay exact, for turns of any angle keep equilibrium and kicks vanish; the numbers are
    free to serve other variances. :func:`fit_splitting` fits them to the deviations and means of Gaussian data, over
    the log variances that :class:`~rgdm.model.samplers.fitted.FittedMultistep` is fitted to. The package has those of
    1 to 6, 8, 10, 12 and 16 steps. They gain most where the steps are few: four evaluations bring the deviation of
    modes of variance 0.05 to 20 within 1 %, where the symmetric splitting is off by up to a factor of 2.

    For momenta of unit variance, without rates of modes.
    """

    def __init__(self, steps: int) -> None:
        plans = _plans()
        if steps not in plans:
            raise InputError(f"{steps!r} fitted steps; known are {', '.join(map(str, plans))}")
        super().__init__(steps)
        self.plan = plans[steps]

    def spending(self, evaluations: int) -> "FittedSplitting":
        return FittedSplitting(max((n for n in _plans() if n <= evaluations), default=evaluations))

    @torch.no_grad()
    def __call__(
        self,
        conditional_mean: ConditionalMean,
        process: PhaseSpaceProcess,
        z: Float[Tensor, "B D *L"],
        draw: Draw | None = None,
    ) -> Float[Tensor, "B D *L"]:
        """Carry ``z``, unit positions and momenta at t = 1, to those at t = 0; nothing is drawn."""
        schedule = process.schedule
        if schedule.rate is not None or schedule.momentum != 1:
            raise InputError(
                f"momentum = {schedule.momentum}{'' if schedule.rate is None else ' and rates of modes'}; fitted "
                "steps need momentum = 1 and no rates, SymplecticSplitting serves all"
            )
        y, before = z, torch.zeros_like(halves(z)[1])
        for tau, strength, angle, ahead in zip(*self.plan, strict=True):
            t = y.new_full(y.shape[:1], -math.expm1(-tau / schedule.pace), dtype=torch.float64)
            predicted = kick(y, ahead * before)
            before = strength * process.excess(predicted, conditional_mean(predicted, t.to(y)), t)
            y = rotate(kick(y, before), torch.tensor(-angle, dtype=torch.float64))
        return y


@functools.cache
def _plans() -> dict[int, SplittingPlan]:
    return {int(n): SplittingPlan(*map(tuple, plan)) for n, plan in json.loads(PLANS.read_text()).items()}


def fit_splitting(steps: int, iterations: int = 500) -> SplittingPlan:
    """The plan of so many steps, by L-BFGS from the symmetric splitting.

    It minimises, averaged over the variances v of Gaussian data with a Gaussian weight in log v, the squared error of
    the log deviation, plus that of the mean in units of the deviation, plus :data:`TAME` times how far the law of the
    filtered state is from that of its time at each evaluation.
    """
    if steps < 1:
        raise InputError(f"{steps} steps; at least 1 is needed")
    tau = -CriticalDamping().pace * torch.log((torch.arange(steps, dtype=torch.float64) + 0.5) / steps)
    angle = tau - torch.cat([tau[1:], tau.new_zeros(1)])
    between = torch.cat([tau[:-1] - tau[1:], tau[-1:]])
    strength = 4 / (steps * torch.exp(-tau / 2))
    free = [between.log(), (strength / STRONGEST).logit(), angle.log(), torch.zeros_like(tau)]
    for each in free:
        each.requires_grad_()

    def plan() -> tuple[Tensor, ...]:
        tau = free[0].exp().flip(0).cumsum(0).flip(0)
        return tau, STRONGEST * torch.sigmoid(free[1]), free[2].exp(), torch.sigmoid(free[3])

    descent = torch.optim.LBFGS(
        free, max_iter=iterations, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-14
    )

    def closure() -> Tensor:
        descent.zero_grad()
        value = misfit(*plan())
        value.backward()
        return value.detach()

    descent.step(closure)  # pyright: ignore[reportArgumentType]
    return SplittingPlan(*(tuple(x.tolist()) for x in plan()))


def misfit(
    tau: Float[Tensor, " n"], strength: Float[Tensor, " n"], angle: Float[Tensor, " n"], ahead: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """The error of a plan, which :func:`fit_splitting` minimises."""
    centre, width = LOG_VARIANCE
    log_v = torch.linspace(centre - WITHIN * width, centre + WITHIN * width, 25, dtype=torch.float64)
    weight = torch.exp(-0.5 * ((log_v - centre) / width) ** 2)
    v, weight = log_v.exp(), weight / weight.sum()
    datum = v.new_tensor([[0.0], [0.0], [1.0]])  # responses to the two noises, and to the mean of the data
    z, p = v.new_tensor([[1.0], [0.0], [0.0]]).repeat(1, 25), v.new_tensor([[0.0], [1.0], [0.0]]).repeat(1, 25)
    before, unlike = torch.zeros_like(p), v.new_zeros(())
    law = CriticalDamping().at(tau)
    for i in range(len(tau)):
        given = PhaseLaw(*(part[i] for part in law))
        predicted = p + ahead[i] * before
        weight_z, weight_p = given.filter
        size = (given.signal * (given.signal + given.determinant)).sqrt()
        filtered = (weight_z * z + weight_p * predicted) / size
        alpha2 = given.signal / (given.signal + given.determinant)
        wanted = alpha2 * v + 1 - alpha2
        off = (filtered[0].square() + filtered[1].square()).div(wanted).log() / 2
        unlike = unlike + (weight * (off.square() + (filtered[2] - alpha2.sqrt()).square() / wanted)).sum()
        marginal = given.of(v)
        off_z, off_p = given.mean_z * datum - z, given.mean_p * datum - predicted
        before = strength[i] * (predicted + (marginal.zz * off_p - marginal.zp * off_z) / marginal.determinant)
        p = p + before
        z, p = angle[i].cos() * z - angle[i].sin() * p, angle[i].cos() * p + angle[i].sin() * z
    deviation = ((z[0].square() + z[1].square()) / v).log() / 2
    mean = (z[2] - 1).square() / v.clamp(min=SMALLEST)
    return (weight * (deviation.square() + mean)).sum() + TAME * unlike / len(tau)
