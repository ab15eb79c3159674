"""One noise temperature a level, fitted while the cascade runs freely."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade, Watch
from rgdm.model.cascade.levels import TOGETHER
from rgdm.process.noise import NoiseField

MOST_FIELDS = 4096
"""Most fields that are looked at: of small ones so many say enough, and each has noise of its own to be made."""


@torch.no_grad()
def calibrate(
    model: Cascade,
    x: Float[Tensor, "B C *L"],
    members: int = 4,
    sites: int = 1_000_000,
    rounds: int = 3,
    depth: int = 3,
    watch: Watch | None = None,
) -> list[float]:
    """Set each lift's temperature so that spread equals error on *training* fields, from the coarsest level down.

    A lift learns on true coarse fields; run freely it sees its own, and an ensemble can
    come out too narrow or too wide, which teacher forcing cannot see. At each level the spread/skill
    ratio of the field refined so far is brought to 1 by a few secant steps in the
    logarithm of the temperature. Free runs begin at most ``depth`` levels up, as those of ``refine``
    mostly do; the levels above, there to generate from nothing, are fitted on true coarse fields.
    At most about ``sites`` sites of each level are looked at, of at most ``MOST_FIELDS`` whole fields.
    Returns the temperatures, finest level first.
    """
    operator, periodic = model.operator, model.boundary == "periodic"
    unit, reach = (operator.factor**n for n in (model.levels, min(depth, model.levels)))
    texture = model.own_lift(0).texture
    least = max(12 * reach, unit * (1 if texture is None else texture.scattering.narrowest))
    chosen = _tiles(x, unit, least, sites * operator.factor**model.dimension, periodic)
    path = [model.normalise(chosen.to(model.mean.device))]
    for _ in range(model.levels):
        path.append(operator.coarsen(path[-1]))
    noise = NoiseField(2**31)
    ensemble = path[-1]
    for level in reversed(range(model.levels)):
        if level >= depth - 1 or level == model.levels - 1:
            ensemble = path[level + 1].repeat_interleave(members, 0)
        truth = path[level]
        if level == 0:
            ensemble, truth = _windows(ensemble, truth, members, operator.factor, sites, periodic)
        lattice, bands = tuple(ensemble.shape[2:]), model.channels * operator.bands(model.dimension)
        white = noise.members(range(len(ensemble)), level, 0, bands, lattice).to(ensemble)
        log_temperature, history = 0.0, []
        for _ in range(rounds):
            fine = _refined(model, level, ensemble, white, log_temperature)
            history.append((log_temperature, math.log(_spread_skill(fine, truth, members))))
            log_temperature = _secant(history)
        best = min(history, key=lambda h: abs(h[1]))[0]
        model.lift(level).temperature.fill_(math.exp(best))
        if 0 < level < depth:  # the next run goes on from here
            ensemble = _refined(model, level, ensemble, white, best)
        if watch:
            watch(model.levels - level, model.levels)
    return [float(model.lift(level).temperature) for level in range(model.levels)]


def _refined(model: Cascade, level: int, coarse: Tensor, white: Tensor, log_temperature: float) -> Tensor:
    """The fields one level finer, at a temperature that the lift keeps."""
    lift = model.lift(level)
    lift.temperature.fill_(math.exp(log_temperature))
    together = max(1, TOGETHER // (coarse[0, 0].numel() * model.operator.factor**model.dimension))
    pairs = zip(coarse.split(together), white.split(together), strict=True)
    return torch.cat([lift.sample(c, w, model.sampler) for c, w in pairs])


def _tiles(x: Float[Tensor, "B C *L"], unit: int, least: int, sites: int, periodic: bool) -> Float[Tensor, "T C *K"]:
    """At most about ``sites`` sites: whole fields if they are periodic, else a tile of every field.

    Few large tiles would leave the temperature to the chance of a few rough places, small ones have too much
    edge: their sides are some multiple of ``unit``, and about ``least`` or more.
    """
    lattice = x.shape[2:]
    size = math.prod(lattice)
    if periodic or len(x) * size <= sites:
        return x[torch.linspace(0, len(x) - 1, max(1, min(len(x), sites // size, MOST_FIELDS))).long()]
    side = max(least, int((sites / max(len(x), 16)) ** (1 / len(lattice))))
    side = max(1, side // unit) * unit
    generator = torch.Generator().manual_seed(0)
    tiles = []
    for i in range(max(16, sites // side ** len(lattice))):
        tile = x[i % len(x)]
        for axis, n in enumerate(lattice, start=1):
            width = min(n // unit * unit, side)
            start = unit * int(torch.randint((n - width) // unit + 1, (1,), generator=generator))
            tile = tile.narrow(axis, start, width)
        tiles.append(tile)
    return torch.stack(tiles)


def _windows(
    ensemble: Float[Tensor, "E C *K"],
    truth: Float[Tensor, "T C *F"],
    members: int,
    unit: int,
    sites: int,
    periodic: bool,
) -> tuple[Tensor, Tensor]:
    """Members and true fields cut to about ``sites`` sites: fewer fields if periodic, else one window of each."""
    lattice, fields = tuple(truth.shape[2:]), len(truth)
    if fields * math.prod(lattice) <= sites:
        return ensemble, truth
    coarse = ensemble.unflatten(0, (fields, members))
    if periodic:
        some = torch.linspace(0, fields - 1, max(1, sites // math.prod(lattice))).long().to(truth.device)
        return coarse[some].flatten(0, 1), truth[some]
    side = max(12 * unit, int((sites / fields) ** (1 / len(lattice)))) // unit
    generator = torch.Generator().manual_seed(0)
    cut = []
    for x, y in zip(coarse, truth, strict=True):
        for axis, n in enumerate(lattice, start=1):
            width = min(side, n // unit)
            start = int(torch.randint(n // unit - width + 1, (1,), generator=generator))
            x, y = x.narrow(axis + 1, start, width), y.narrow(axis, unit * start, unit * width)
        cut.append((x, y))
    return torch.cat([x for x, _ in cut]), torch.stack([y for _, y in cut])


def _spread_skill(fine: Tensor, truth: Tensor, members: int) -> float:
    """Root of ``(M + 1) / M`` times the mean variance over the mean squared error of the ensemble mean."""
    ensemble = fine.unflatten(0, (len(truth), members)).double()
    variance = ensemble.var(1).mean()
    error = (ensemble.mean(1) - truth).square().mean().clamp(min=1e-30)
    return float(((members + 1) / members * variance / error).sqrt().clamp(min=1e-6))


def _secant(history: list[tuple[float, float]]) -> float:
    """The next log temperature; the first guess takes spread to follow it one to one."""
    (x, y) = history[-1]
    slope = 1.0
    if len(history) > 1 and history[-2][0] != x:
        slope = (y - history[-2][1]) / (x - history[-2][0])
    slope = min(max(slope, 0.3), 3.0)
    return min(max(x - y / slope, -1.0), 1.0)
