"""One noise temperature a level, fitted while the cascade runs freely."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.cascade import Cascade, Watch
from rgdm.process.noise import NoiseField


@torch.no_grad()
def calibrate(
    model: Cascade,
    x: Float[Tensor, "B C *L"],
    members: int = 4,
    sites: int = 400_000,
    rounds: int = 4,
    watch: Watch | None = None,
) -> list[float]:
    """Set each lift's temperature so that spread equals error on *training* fields, from the coarsest level down.

    A lift learns on true coarse fields; run freely it sees its own, and an ensemble can
    come out too narrow or too wide, which teacher forcing cannot see. At each level the spread/skill
    ratio of the field refined so far is brought to 1 by a few secant steps in the
    logarithm of the temperature. Returns the temperatures, finest level first.
    """
    chosen = _tiles(x, model.step.factor**model.levels, sites)
    path = [model.normalise(chosen.to(model.mean.device))]
    for _ in range(model.levels):
        path.append(model.step.coarsen(path[-1]))
    noise = NoiseField(2**31)
    ensemble = path[-1].repeat_interleave(members, 0)
    for level in reversed(range(model.levels)):
        lattice, bands = tuple(ensemble.shape[2:]), model.channels * model.step.bands(model.dimension)
        white = noise.members(range(len(ensemble)), level, 0, bands, lattice).to(ensemble)
        log_temperature, history = 0.0, []
        for _ in range(rounds):
            fine = _refined(model, level, ensemble, white, log_temperature)
            history.append((log_temperature, math.log(_spread_skill(fine, path[level], members))))
            log_temperature = _secant(history)
        best = min(history, key=lambda h: abs(h[1]))[0]
        ensemble = _refined(model, level, ensemble, white, best)
        if watch:
            watch(model.levels - level, model.levels)
    return [float(model.lift(level).temperature) for level in range(model.levels)]


def _refined(model: Cascade, level: int, coarse: Tensor, white: Tensor, log_temperature: float) -> Tensor:
    """The fields one level finer, at a temperature that the lift keeps."""
    lift = model.lift(level)
    lift.temperature.fill_(math.exp(log_temperature))
    pairs = zip(coarse.split(16), white.split(16), strict=True)
    return torch.cat([lift.sample(c, w, model.sampler) for c, w in pairs])


def _tiles(x: Float[Tensor, "B C *L"], unit: int, sites: int) -> Float[Tensor, "T C *K"]:
    """At most ``sites`` sites: some of the fields, or four tiles of fields that are larger."""
    lattice = x.shape[2:]
    if (size := math.prod(lattice)) <= sites:
        return x[torch.linspace(0, len(x) - 1, min(len(x), sites // size)).long()]
    side = max(unit, int((sites / 4) ** (1 / len(lattice))) // unit * unit)
    tiles = []
    for i in range(4):
        tile = x[i * (len(x) - 1) // 3]
        for axis, n in enumerate(lattice, start=1):
            tile = tile.narrow(axis, i * (n - min(n, side)) // 3, min(n, side))
        tiles.append(tile)
    return torch.stack(tiles)


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
