"""Methods that carry the whole field at once, each with the exact score."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.exact.field import Modes, distinct, made_variance, worst
from benchmarks.record import Figure, Row
from rgdm.model.samplers.fitted import FittedMultistep
from rgdm.model.samplers.reverse import AdamsBashforth, Ancestral, Ddim, Heun
from rgdm.model.samplers.sampler import Sampler
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule, SpectrumMatched, Staggered, Trigonometric, VariancePreserving

LIMIT = 0.05
"""Of the worst mode, for the count of evaluations."""
MOST = 4096
"""Evaluations that are tried."""
SCANNED = 64
"""So many steps are tried one by one, for the error may cross the limit more than once."""


def edm(variance: Tensor, steps: int, largest: float, smallest: float = 0.002, rho: float = 7.0) -> Tensor:
    """The variances that EDM's Heun sampler makes (Karras et al. 2022, arXiv:2206.00364, alg. 1 without churn)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    sigmas = (largest ** (1 / rho) + ramp * (smallest ** (1 / rho) - largest ** (1 / rho))) ** rho
    levels = [*sigmas.tolist(), 0.0]
    x = torch.full_like(variance, levels[0])

    def slope(x: Tensor, sigma: float) -> Tensor:
        return x * sigma / (variance + sigma**2)  # (x - D(x)) / sigma

    for sigma, after in itertools.pairwise(levels):
        first = slope(x, sigma)
        guess = x + (after - sigma) * first
        x = guess if after == 0 else x + (after - sigma) * (first + slope(guess, after)) / 2
    return x.square()


class Method(NamedTuple):
    """A method, the whole field at once."""

    error: Callable[[int, int], float]
    """(steps, side) -> the error of the worst mode."""
    evaluations: Callable[[int], int]


def thinned(side: int, most: int = 1000) -> tuple[Tensor, Tensor]:
    """(k, S) of modes that stand for all, at about equal steps of log S, the largest and the smallest among them."""
    k, s = distinct(side)
    s, order = s.sort()
    wanted = torch.linspace(math.log(s[0]), math.log(s[-1]), most, dtype=torch.float64)
    chosen = torch.searchsorted(s.log(), wanted).clamp(max=len(s) - 1).unique()
    return k[order][chosen], s[chosen]


def sampled(make: Callable[[int], Sampler], schedule: Callable[[int, Tensor], Schedule]) -> Method:
    """A sampler of so many steps, a schedule for each (side, spectrum)."""

    def error(steps: int, side: int) -> float:
        k, s = thinned(side)
        return worst(made_variance(make(steps), ForwardProcess(Modes(k), schedule(side, s)), s), s)

    return Method(error, lambda steps: make(steps).evaluations)


def edm_method(factor: float | None = None, largest: float = 80.0) -> Method:
    """From sigma_max = ``factor`` largest deviations, or ``largest``, which is that of the paper for unit variance."""

    def error(steps: int, side: int) -> float:
        _, s = thinned(side)
        return worst(edm(s, steps, largest if factor is None else factor * float(s.max().sqrt())), s)

    return Method(error, lambda steps: 2 * steps - 1)


def whitened_method() -> Method:
    """The field whitened with its true spectrum, then plain diffusion."""
    one = torch.ones(1, dtype=torch.float64)
    process = ForwardProcess(Modes(one), Trigonometric())
    return Method(lambda n, _: worst(made_variance(AdamsBashforth(n), process, one), one), lambda n: n)


def peers() -> dict[str, dict[str, Method]]:
    """Each with its variants, of which the best counts."""
    flow = AdamsBashforth
    return {
        "EDM, Heun": {f"sigma_max {f} x the largest deviation": edm_method(f) for f in (5, 7, 10, 20, 40)},
        "EDM, Heun, sigma_max = 80 as published": {"": edm_method()},
        "EDM, Heun, sigma_max = 40 x the largest deviation, far enough for any data": {"": edm_method(40)},
        "DDPM, linear beta, ancestral": {"": sampled(Ancestral, lambda *_: VariancePreserving())},
        "DDPM, linear beta, DDIM": {"": sampled(Ddim, lambda *_: VariancePreserving())},
        "trigonometric, Heun": {"": sampled(Heun, lambda *_: Trigonometric())},
        "trigonometric, AdamsBashforth": {"": sampled(flow, lambda *_: Trigonometric())},
        "trigonometric, FittedMultistep": {"": sampled(FittedMultistep, lambda *_: Trigonometric())},
        "spectrum-matched noise, DDIM": {"": sampled(Ddim, lambda _, s: SpectrumMatched(lambda _: s))},
        "spectrum-matched noise, AdamsBashforth": {"": sampled(flow, lambda _, s: SpectrumMatched(lambda _: s))},
        "staggered, AdamsBashforth": {
            f"width {w:g}": sampled(flow, lambda side, _, w=w: Staggered(w, math.log2(side))) for w in (2.0, 4.0, 8.0)
        },
        "whitened with the true spectrum, AdamsBashforth": {"": whitened_method()},
    }


def fewest(method: Method, side: int) -> int | None:
    """Evaluations of the fewest steps whose worst mode is within the limit; beyond ``SCANNED`` it is held to fall."""
    for steps in range(1, SCANNED + 1):
        if method.error(steps, side) <= LIMIT:
            return method.evaluations(steps)
    low, high = SCANNED, 2 * SCANNED
    while method.error(high, side) > LIMIT:
        low, high = high, 2 * high
        if method.evaluations(high) > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if method.error(middle, side) <= LIMIT else (middle, high)
    return method.evaluations(high)


def peer_rows(sides: list[int]) -> Iterator[Row]:
    for name, variants in peers().items():
        figures, chosen = {}, []
        for side in sides:
            tried = [(fewest(method, side) or math.inf, variant) for variant, method in variants.items()]
            count, variant = min(tried, key=lambda pair: pair[0])
            figures[f"L = {side}"] = Figure(min(count, MOST), beyond=count > MOST)
            chosen += [variant] if variant else []
        best = f"best of {len(variants)}: {'; '.join(dict.fromkeys(chosen))}" if chosen else ""
        yield Row("evaluations until the worst mode is within 5 %", name, figures, text=best)
