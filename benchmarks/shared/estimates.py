"""Figures of estimates: means, ratios and differences with their errors."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import Figure
from rgdm.evaluate.scores import energy_score, fair_crps
from rgdm.jackknife import jackknife

Pair = Sequence[Any]
"""A value and its error, numbers or tensors of one element."""


def figure(pair: Pair, **bounds: Any) -> Figure:
    """A value and its error, with the bounds of its target; without an error (of a single field) nothing is judged."""
    value, error = map(float, pair)
    return Figure(value, error, **bounds) if math.isfinite(error) else Figure(value)


def mean(values: Tensor, **bounds: Any) -> Figure:
    """The mean over fields, with its jackknife error."""
    return figure(jackknife(lambda m: m, values), **bounds)


def ratio(values: Tensor, reference: Tensor, **bounds: Any) -> Figure:
    """The ratio of the means over the same fields, with its jackknife error."""
    return figure(jackknife(torch.div, values, reference), **bounds)


def ratios(values: Tensor, reference: Tensor, name: str) -> dict[str, Figure]:
    """The same for each column."""
    both = jackknife(torch.div, values, reference)
    return {f"{name} {i}": figure(pair) for i, pair in enumerate(zip(*both, strict=True))}


def difference(a: Pair, b: Pair, **bounds: Any) -> Figure:
    """Of two independent estimates."""
    return figure((float(a[0]) - float(b[0]), math.hypot(float(a[1]), float(b[1]))), **bounds)


def quotient(a: Pair, b: Pair, **bounds: Any) -> Figure:
    """Of two independent estimates."""
    value = float(a[0]) / float(b[0])
    return figure((value, abs(value) * math.hypot(float(a[1]) / float(a[0]), float(b[1]) / float(b[0]))), **bounds)


def sigmas(a: Pair, b: Pair, most: float) -> Figure:
    """By how many of their joint errors two estimates differ, to be within ``most``; the error is in it already."""
    off = difference(a, b)
    if off.error is None:
        return Figure(math.nan)
    return Figure((off.value or 0) / (off.error or math.inf), low=-most, high=most)


def scores(ensemble: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """CRPS and energy score of an ensemble, one value a field."""
    return {"CRPS": fair_crps(ensemble, truth).double(), "energy": energy_score(ensemble, truth).double()}


def seconds(works: Iterable[Callable[[], Any]], runs: int = 5) -> list[list[float]]:
    """Times of each work, turn by turn so that all meet the same load, after a first turn that is not counted."""
    works = list(works)
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(runs + 1):
        for work, times in zip(works, taken, strict=True):
            began = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    return [times[1:] for times in taken]


def median(work: Callable[[], Any], runs: int = 5) -> float:
    """Median seconds."""
    return statistics.median(seconds([work], runs)[0])
