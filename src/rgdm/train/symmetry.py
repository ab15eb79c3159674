"""Whether fields are alike when they are mirrored, or their axes exchanged: only then training may show them so."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.jackknife import jackknife
from rgdm.scale.grid import Grid

BLOCKS, FEWEST = 12, 8
"""Blocks of samples, or of few samples strips, that errors are from; with fewer nothing is found unlike."""
LOOKED_AT = 64
"""Most samples that are looked at."""
LAGS = (1, 2, 4)
"""Sites between which differences are taken."""
SURE = 5.0
"""Standard errors beyond which two axes count as unlike, or a field as unlike its mirror image..."""
POWER, ODD = 0.05, 0.1
"""...if besides their powers differ by so much (the logarithm), or an odd moment is so large."""


@dataclass(frozen=True)
class Turns:
    """How fields of a training are turned: what was measured on them must hold for turned ones too.

    Args:
        mirror: along every axis of space.
        exchange: axes that are alike.
    """

    mirror: bool = True
    exchange: bool = True


TURNED, STILL = Turns(), Turns(False, False)


def turns_of(fields: Float[Tensor, "B C *L"], grid: Grid) -> tuple[Turns, list[str]]:
    """How fields may be turned, and sentences that say why they may not.

    Axes are unlike if squared differences of neighbours are larger along one than along the other, and a mirror image
    is if those have a skewness, or if those along one diagonal are larger (a tilt), each by more than five standard
    errors over samples and by more than can matter. Values may be missing (NaN). A network that sees turned fields of
    such data learns a law between that of the fields and that of their images: rain that varies more along meridians
    than along parallels came out with a fifth too much variance along these.
    """
    some = fields[torch.linspace(0, len(fields) - 1, min(len(fields), LOOKED_AT)).long()].double()
    space = [i for i, axis in enumerate(grid.axes) if axis.kind == "space"]
    parts, said = _blocks(some), []
    names = [axis.name for axis in grid.axes]
    exchange = True
    for a, b in itertools.combinations(space, 2):
        if grid.alike and (found := _worst(parts, lambda x, a=a, b=b: _powers(x, a, b), _log_ratio, POWER)):
            exchange = False
            larger, smaller = (names[a], names[b]) if found > 0 else (names[b], names[a])
            said.append(
                f"squared differences of neighbours are {math.exp(abs(found)):.2g} times as large along {larger} as "
                f"along {smaller}, so that fields are not transposed in the training"
            )
    mirror = True
    for a in space:
        if found := _worst(parts, lambda x, a=a: _skewed(x, a), _skewness, ODD):
            mirror = False
            said.append(f"differences along {names[a]} have a skewness of {found:.2g}, so that fields are not mirrored")
    for a, b in itertools.combinations(space, 2):
        if found := _worst(parts, lambda x, a=a, b=b: _tilted(x, a, b), _asymmetry, ODD):
            mirror = False
            said.append(
                f"fields are tilted against {names[a]} and {names[b]} (squared differences along both diagonals differ "
                f"by {abs(found):.2g} of their sum), so that they are not mirrored"
            )
    return Turns(mirror, exchange and mirror), said


def _blocks(x: Tensor) -> list[Tensor]:
    """Blocks of samples, or strips along the longest axis where there are few samples."""
    if len(x) >= FEWEST:
        return list(x.tensor_split(min(len(x), BLOCKS)))
    axis = 2 + int(torch.tensor(x.shape[2:]).argmax())
    count = min(BLOCKS, max(1, x.shape[axis] // (4 * max(LAGS))))
    return list(x.tensor_split(count, axis))


def _worst(
    parts: Sequence[Tensor],
    terms: Callable[[Tensor], list[Tensor]],
    statistic: Callable[..., Tensor],
    least: float,
) -> float:
    """The largest of the statistics ``(lags, channels)`` that is sure and at least so large; 0 if there is none."""
    if len(parts) < FEWEST:
        return 0.0
    each = [torch.stack(block) for block in zip(*(terms(part) for part in parts), strict=True)]
    value, error = jackknife(statistic, *each)
    sure = (value.abs() > SURE * error) & (value.abs() > least) & value.isfinite() & error.isfinite()
    found = torch.where(sure, value, 0.0).flatten()
    return float(found[found.abs().argmax()])


def _steps(x: Tensor, axis: int, lag: int) -> Tensor:
    """Differences along an axis of the lattice; none where the axis is not longer."""
    n = x.shape[axis + 2]
    return x.narrow(axis + 2, min(lag, n), max(0, n - lag)) - x.narrow(axis + 2, 0, max(0, n - lag))


def _mean(x: Tensor) -> Float[Tensor, " C"]:
    """Over all that is there, of each channel, with weight in proportion to it."""
    return x.movedim(1, 0).flatten(1).nanmean(1).nan_to_num(0.0)


def _powers(x: Tensor, a: int, b: int) -> list[Tensor]:
    return [torch.stack([_mean(_steps(x, axis, lag).square()) for lag in LAGS]) for axis in (a, b)]


def _skewed(x: Tensor, a: int) -> list[Tensor]:
    steps = [_steps(x, a, lag) for lag in LAGS]
    return [torch.stack([_mean(step.pow(power)) for step in steps]) for power in (2, 3)]


def _tilted(x: Tensor, a: int, b: int) -> list[Tensor]:
    """Squared differences along both diagonals of two axes."""
    found = []
    for lag in LAGS:
        if min(x.shape[a + 2], x.shape[b + 2]) <= lag:
            continue
        ends = [(x.narrow(a + 2, 0, x.shape[a + 2] - lag)), x.narrow(a + 2, lag, x.shape[a + 2] - lag)]
        near, far = [[y.narrow(b + 2, at, x.shape[b + 2] - lag) for y in ends] for at in (0, lag)]
        found.append([_mean((far[1] - near[0]).square()), _mean((far[0] - near[1]).square())])
    return [torch.stack(part) for part in zip(*found, strict=True)] if found else [x.new_zeros(1, x.shape[1])] * 2


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    return a.log() - b.log()


def _skewness(square: Tensor, cube: Tensor) -> Tensor:
    return cube / square.pow(1.5)


def _asymmetry(a: Tensor, b: Tensor) -> Tensor:
    return (a - b) / (a + b)
