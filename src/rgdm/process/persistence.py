"""Noise that persists: white in every frame, correlated in time as is asked for, at any times."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.process.noise import NoiseField, Window
from rgdm.ranges import shown

DEPTH = 6
"""How often a span is halved at most: times are told apart to 1/64 of it."""
FINE = 3
"""How often a step is halved: what times within a step have in common is not measured."""
TOLERANCE = 1e-6
"""By how much the shares of a detail may miss 1."""

Place = tuple[int, int, int]
"""Of fresh noise in time: which span, how often it is halved (-1: the whole of it), and which of its pieces."""


@dataclass(frozen=True)
class Part:
    """A part of noise with the correlation ``max(0, 1 - |s| / span) cos(rate s)`` between times that are s apart.

    Args:
        span: beyond it there is no correlation, in units of a step.
        rate: of oscillation, in radians a step.
        shares: what share of the variance of each detail this part has.
    """

    span: float
    rate: float
    shares: tuple[float, ...]


def correlation(parts: Sequence[Part], lags: Sequence[float] | np.ndarray) -> np.ndarray:
    """The correlation ``(lag, detail)`` of the sum of the parts, at lags in steps.

    Mixtures of the triangles are all convex ones that vanish far away (Polya 1949), those of cosines are all there are
    (Bochner): positive definite, whatever the shares, for any times.
    """
    s = np.abs(np.asarray(lags, dtype=np.float64))[:, None]
    return sum(
        (shape(s, part.span, part.rate) * np.asarray(part.shares) for part in parts),
        np.zeros((len(s), len(parts[0].shares))),
    )


def shape(lags: np.ndarray, span: float | np.ndarray, rate: float | np.ndarray) -> np.ndarray:
    """The correlation of one part."""
    return np.clip(1 - np.abs(lags) / span, 0, None) * np.cos(rate * lags)


@dataclass(frozen=True)
class Persistence:
    """How detail is correlated in time, for each level.

    Args:
        step: of time, in ``unit``.
        origin: where steps are counted from, in ``unit``: of dates since 1970-01-01 of their calendar.
        unit: ``s``, or what else the times are in.
        levels: the parts of the noise of each level, the finest first.
    """

    step: float
    origin: float
    unit: str
    levels: tuple[tuple[Part, ...], ...]

    def steps(self, times: np.ndarray) -> np.ndarray:
        """Times in ``unit`` as steps."""
        return (np.asarray(times, dtype=np.float64) - self.origin) / self.step

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> "Persistence":
        """What :meth:`to_json` describes; ``InputError`` if it does not describe a correlation."""
        try:
            levels = tuple(
                tuple(Part(float(p["span"]), float(p["rate"]), tuple(map(float, p["shares"]))) for p in level)
                for level in content["levels"]
            )
            found = cls(float(content["step"]), float(content["origin"]), str(content["unit"]), levels)
            parts = [part for level in levels for part in level]
            numbers = [found.origin, *(part.rate for part in parts)]
            sizes = [found.step, *(part.span for part in parts)]
            right = all(map(math.isfinite, numbers)) and all(0 < x < math.inf for x in sizes)
            for level in levels:
                shares = np.array([part.shares for part in level])
                right = right and shares.ndim == 2 and shares.size > 0 and bool((shares >= 0).all())
                right = right and bool((np.abs(shares.sum(0) - 1) < TOLERANCE).all())
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the persistence of the model is {shown(content)}, no correlation in time") from error
        if not right or not levels:
            raise InputError(f"the persistence of the model is {shown(content)}, no correlation in time")
        return found


def pieces(time: float, span: float) -> dict[Place, float]:
    """``(W(time) - W(time - span)) / sqrt(span)`` as fresh unit normals, each with its weight, of unit variance.

    W is Brownian motion by midpoint displacement (Levy 1948): in every span a straight line to the next fresh value,
    then tents of half the width again and again. Its increments over a span are correlated by the triangle
    ``1 - |s| / span``. One time takes two numbers from each halving, so that it can be made without those before it.
    """
    block = math.floor(time / span)
    here = time / span - block
    found: dict[Place, float] = {(block, -1, 0): here, (block - 1, -1, 0): 1 - here}
    for depth in range(min(DEPTH, FINE + max(1, math.ceil(math.log2(span))))):
        place = here * 2**depth
        tent = 1 - abs(2 * (place - math.floor(place)) - 1)
        height = tent * 2 ** (-depth / 2) / 2
        found[block, depth, math.floor(place)] = height
        found[block - 1, depth, math.floor(place)] = -height
    size = math.sqrt(sum(weight**2 for weight in found.values()))
    return {place: weight / size for place, weight in found.items() if weight != 0}


class PersistentNoise:
    """Noise of frames of sequences: white unit noise in every frame, correlated with others of its sequence.

    Frames of one sequence are correlated as :func:`correlation` of their level says, exactly at times that halve spans
    up to ``DEPTH`` times, else to ``2^-DEPTH``; sequences are independent. Draws of a stochastic sampler persist too,
    each by itself. A frame has the same bits alone and among others.

    Args:
        field: where fresh noise comes from.
        levels: the parts of each level, the finest first.
        frames: of which sequence each frame is, a number of any size, and when, in steps.
    """

    def __init__(
        self, field: NoiseField, levels: Sequence[Sequence[Part]], frames: Sequence[tuple[int, float]]
    ) -> None:
        if any(not math.isfinite(time) for _, time in frames):
            raise InputError("a frame has no time; noise that persists needs that of each")
        self.field, self.levels, self.frames = field, [tuple(parts) for parts in levels], list(frames)

    def __call__(self, draw: int, channels: int, window: Window) -> Float[Tensor, "B D *L"]:
        parts = self.levels[window.level]
        wrong = [len(part.shares) for part in parts if len(part.shares) != channels]
        if wrong:
            raise InputError(f"the persistence is that of {wrong[0]} details at level {window.level}, not {channels}")
        uses: dict[tuple[Any, ...], list[tuple[int, Tensor]]] = defaultdict(list)
        for number, (sequence, time) in enumerate(self.frames):
            for part in parts:
                shares = torch.tensor(part.shares, dtype=torch.float64).sqrt()
                for phase, factor in enumerate((math.cos(part.rate * time), math.sin(part.rate * time))):
                    if factor == 0:
                        continue
                    for place, weight in pieces(time, part.span).items():
                        amplitude = (factor * weight * shares).float().reshape(-1, *[1] * len(window.lattice))
                        uses[sequence, part.span, part.rate, phase, *place].append((number, amplitude))
        noise = torch.zeros(len(self.frames), channels, *window.lattice)
        for key in sorted(uses):  # the sums of a frame have one order, whatever else is asked for
            fresh = self.field.window(_stream(key), draw, channels, window)
            for number, amplitude in uses[key]:
                noise[number] += amplitude * fresh
        return noise


def _stream(key: tuple[Any, ...]) -> int:
    """A stream of 128 bits that no sample, whose number is not negative, has."""
    return -1 - int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=16).digest(), "little")
