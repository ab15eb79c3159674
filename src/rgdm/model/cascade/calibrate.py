"""Noise temperatures of each level and channel, fitted while the cascade runs freely."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.generation import batches
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.positive import logarithm
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.process.noise import NoiseField, Window
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.grid import Grid
from rgdm.watch import Watch

DEPTH = 3
"""Free runs begin at most so many levels up, as those of ``refine`` mostly do."""
FEWEST, LARGEST = 16, 2**20
"""Fields from nothing that are looked at at least, and most sites of one."""
MEASURED = 16
"""So many times more sites of the data are measured: that is quick, and rough places are rare."""
PLACES = 4
"""Parts of the lattice along each axis, between which spread and skill may differ."""
MOST_FIELDS = 4096
"""Most fields that temperatures are fitted on: so many small ones say enough, and the noise of each takes time."""


@torch.no_grad()
def calibrate(
    model: Cascade,
    x: Tensor | Fields,
    members: int = 4,
    sites: int = 1_000_000,
    rounds: int = 3,
    depth: int = DEPTH,
    watch: Watch | None = None,
) -> Float[Tensor, "levels C"]:
    """Set each lift's temperature so that spread equals error on *training* fields, from the coarsest level down.

    A lift learns on true coarse fields. In a free run it is given refined ones, and an ensemble can come out too narrow
    or too wide, which training cannot show. At each level a few secant steps in the logarithm of the temperature bring
    the spread/skill ratio of the detail to 1. (That of the field says little of the finest detail, which is a small
    part of its variance; where an orthonormal coarse-graining has details of the ratio 1, the field has it too. Of
    others it is that of the field, of positive fields that of their logarithm.) What chance in the fields explains is
    left, as in :func:`calibrate_free`: its error is that over samples or over parts of the lattice, whichever is
    larger, for samples of one place may be alike. Free runs begin at most ``depth`` levels up; the levels above are
    fitted on true coarse fields. Of each level about ``sites`` sites are used at most, of at most ``MOST_FIELDS`` whole
    fields.
    Returns the temperatures, finest level first.
    """
    cut = tiles(model, Fields.of(x), sites * math.prod(model.grid.factors_at(0)), depth).to(model.device)
    fields = model.normalised(cut)
    path, settings = [fields.values.nan_to_num(0.0)], fields.setting.path(model.operator, model.levels)
    for level, own in enumerate(settings[:-1]):
        path.append(own.on(model.operator.at(level)).coarsen(path[-1]))
    ensemble, seen = path[-1], _seen_by_calibration(model)
    for level in reversed(range(model.levels)):
        if level >= depth - 1 or level == model.levels - 1:
            ensemble = path[level + 1].repeat_interleave(members, 0)
        truth, setting = path[level], settings[level]
        if level == 0:
            ensemble, truth, setting = _windows(ensemble, truth, setting, members, model.grid, sites)
        of_members = setting.map(lambda part: part.repeat_interleave(members, 0) if len(part) > 1 else part)
        known, present = seen(truth, level, setting)
        log_temperature, history = torch.zeros(model.channels, dtype=torch.float64), []
        chance = torch.zeros_like(log_temperature)
        for attempt in range(rounds):
            fine = _refined(model, level, ensemble, log_temperature, setting=of_members)
            excess, error = _spread_skill(seen(fine, level, of_members)[0], known, members, model.channels, present)
            chance = _chance(excess, error) if attempt == 0 else chance
            history.append((log_temperature, excess - chance))
            log_temperature = _secants(history)
        best = min(history, key=lambda h: float(h[1].abs().max()))[0]
        model.lift(level).temperature.copy_(best.exp())
        if 0 < level < depth:  # the next run goes on from here
            ensemble = _refined(model, level, ensemble, best, setting=of_members)
        if watch:
            watch(model.levels - level, model.levels)
    return torch.stack([model.lift(level).temperature for level in range(model.levels)]).clone()


@torch.no_grad()
def calibrate_free(
    model: Cascade,
    x: Tensor | Fields,
    sites: int = 1_000_000,
    rounds: int = 3,
    watch: Watch | None = None,
) -> Float[Tensor, "levels C"]:
    """Set each lift's free temperature so that fields from nothing have as much detail as *training* fields.

    A base field, and what is refined from it, is not as intermittent as a true coarse field, and detail that is read
    off its roughness comes out too strong or too weak, the more the more levels follow. From the coarsest level down, a
    few secant steps in the logarithm of the temperature bring the mean square of what the coarse field does not predict
    of the detail to that of the data. What chance in the fields that were made explains is left: an excess r with the
    standard error s is corrected by ``max(0, 1 - s^2 / r^2)`` of it (the garrote, Breiman 1995, Technometrics 37, 373).
    Of fields that are too large to be made in numbers (periodic ones cannot be cut) the temperatures are left alone,
    and those of positive fields, whose shares know no roughness, and of models with companions or a clock, which make
    no fields from nothing, stay 1.
    Returns the temperatures, finest level first.
    """
    if model.repetition.times:
        raise InputError("an enlarged cascade is not calibrated; calibrate the one that it was enlarged from")
    if model.design.positive or model.told:
        return torch.ones(model.levels, model.channels)
    x = Fields.of(x)
    lattice = _made_on(model, x.lattice, tiles(model, x, sites, model.levels).lattice)
    if math.prod(lattice) <= LARGEST:
        truth = tiles(model, x, MEASURED * sites, model.levels)
        _fit_free(model, truth, lattice, max(FEWEST, min(MOST_FIELDS, sites // math.prod(lattice))), rounds, watch)
    return torch.stack([model.lift(level).free_temperature for level in range(model.levels)]).clone()


def _fit_free(
    model: Cascade, truth: Fields, lattice: Lattice, count: int, rounds: int, watch: Watch | None = None
) -> None:
    measured: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(model.levels)]
    for batch in batches(len(truth), truth.lattice):
        some = model.normalised(truth.of_samples(slice(batch.start, batch.stop)).to(model.device))
        fine, setting = some.values, some.setting
        for level, found in enumerate(measured):
            found.append(_unpredicted(model, level, fine, setting))
            operator = model.operator.at(level)
            fine, setting = setting.on(operator).coarsen(fine), setting.coarsen(operator)
    true = [torch.stack([torch.cat(part) for part in zip(*found, strict=True)]).sum(1) for found in measured]
    fields = model.begin(lattice, NoiseField(0, "calibrate").of(range(count)))
    for level in reversed(range(model.levels)):
        log_temperature, history = torch.zeros(model.channels, dtype=torch.float64), []
        chance, best = torch.zeros_like(log_temperature), (math.inf, log_temperature, fields)
        for attempt in range(rounds):
            fine = _refined(model, level, fields, log_temperature, free=True)
            squares, details = _unpredicted(model, level, fine)
            excess, error = _excess(squares / details, true[level][0] / true[level][1])
            if not bool(excess.isfinite().all()):
                model.lift(level).free_temperature.fill_(1.0)
                return
            if attempt == 0:
                chance = _chance(excess, error)
            history.append((log_temperature, excess - chance))
            if (far := float((excess - chance).abs().max())) < best[0]:
                best = far, log_temperature, fine
            log_temperature = _secants(history)
        _, log_temperature, fields = best
        model.lift(level).free_temperature.copy_(log_temperature.exp())
        if watch:
            watch(model.levels - level, model.levels)


def _made_on(model: Cascade, lattice: Lattice, pieces: Lattice) -> Lattice:
    """The lattice on which fields from nothing are looked at, where the data are fields of one and pieces of another.

    Local networks see no more of a field than of a large piece of it; others are for the lattice that they learned on.
    """
    if model.reach() is None:
        return lattice
    return tuple(min(n // piece, 2) * piece for n, piece in zip(lattice, pieces, strict=True))


def _unpredicted(
    model: Cascade, level: int, fine: Float[Tensor, "B C *F"], setting: Setting = NOWHERE
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Sum of squares of what the coarse field does not predict of the details, and how many there are, of each field
    and channel."""
    operator = model.operator.at(level)
    context, detail = Context.of(fine, operator, setting)
    context = context.known(operator, model.grid.boundaries)
    rest = model.own_lift(level).standardizer.residual(context, detail)
    there = torch.ones_like(rest) if context.present is None else context.present
    squares, count = (x.double().unflatten(1, (model.channels, -1)).flatten(2).sum(2) for x in (rest.square(), there))
    return squares, count


def _seen_by_calibration(model: Cascade) -> Callable[[Tensor, int, Setting], tuple[Tensor, Tensor | None]]:
    """The detail of fields and its weight, or where its errors do not add up to those of the fields, these.

    Of positive fields the logarithm: a few extremes would rule spread and error. Weights are those of the sites (areas
    of cells, 0 where they are missing), of a detail that of its block; None: all count alike.
    """
    if model.design.positive:
        return lambda fine, level, at: (logarithm(fine, level), at.weights)
    try:
        model.operator.check_orthonormal(model.dimension)
    except InputError:
        return lambda fine, level, _: (fine, None)

    def detail(fine: Tensor, level: int, setting: Setting) -> tuple[Tensor, Tensor | None]:
        on = setting.on(model.operator.at(level))
        found = on.split(fine)[1]
        if setting.weights is None:
            return found, None
        of_blocks = setting.coarsen(model.operator.at(level)).weights
        assert of_blocks is not None
        sizes = of_blocks.repeat_interleave(found.shape[1] // of_blocks.shape[1], 1)
        return found, sizes if on.present is None else sizes * on.present

    return detail


def _excess(made: Float[Tensor, "B C"], true: Float[Tensor, " C"]) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Half the log of the mean of what was made over that of the data, of each channel, and the error of it."""
    mean = made.mean(0).clamp(min=1e-30)
    excess = (mean / true.clamp(min=1e-30)).log() / 2
    error = (made / mean).std(0) / math.sqrt(len(made)) / 2
    return excess.cpu(), error.cpu()


def _refined(
    model: Cascade,
    level: int,
    coarse: Tensor,
    log_temperature: Tensor,
    free: bool = False,
    setting: Setting = NOWHERE,
) -> Tensor:
    """The fields one level finer, at temperatures that the lift keeps."""
    lift, noise = model.lift(level), NoiseField(0, "calibrate")
    (lift.free_temperature if free else lift.temperature).copy_(log_temperature.exp())
    window = Window.whole(level, coarse.shape[2:])
    fine = []
    for batch in batches(len(coarse), lift.operator.fine_lattice(coarse.shape[2:])):
        own = noise.of(batch)
        some = slice(batch.start, batch.stop)
        given = Context(coarse[some], setting.of(some))
        fine.append(lift.sample(given, lift.free_noise(own) if free else own, window, model.sampler))
    return torch.cat(fine)


def tiles(model: Cascade, fields: Fields, sites: int, depth: int = DEPTH) -> Fields:
    """At most about ``sites`` sites: whole fields of a torus, else a tile of every field, periodic axes whole.

    Few large tiles would leave the temperature to the chance of a few rough places, small ones have too much edge:
    their sides can be coarse-grained by all levels, and are at least 12 sites of the field ``depth`` levels up.
    """
    grid, condition = model.grid, model.own_lift(0).condition
    units, reached = (grid.widths(n) for n in (model.levels, min(depth, model.levels)))
    narrowest = 1 if condition is None or condition.texture is None else condition.texture.scattering.narrowest
    least = [max(12 * r, unit * narrowest) for r, unit in zip(reached, units, strict=True)]
    lattice, count = fields.lattice, len(fields)
    size = math.prod(lattice)
    if grid.periodic or count * size <= sites:
        return fields.of_samples(torch.linspace(0, count - 1, max(1, min(count, sites // size, MOST_FIELDS))).long())
    wanted = _side(sites / max(count, 16), lattice, grid)
    sides = [max(1, max(low, wanted) // unit) * unit for low, unit in zip(least, units, strict=True)]
    sides = [n if b == "periodic" else side for n, side, b in zip(lattice, sides, grid.boundaries, strict=True)]
    generator = torch.Generator().manual_seed(0)
    cut = []
    for i in range(max(16, sites // math.prod(sides))):
        tile = fields.of_samples([i % count])
        for axis, (n, side, unit) in enumerate(zip(lattice, sides, units, strict=True), start=2):
            if grid.boundaries[axis - 2] == "periodic":
                continue
            width = min(n // unit * unit, side)
            start = unit * int(torch.randint((n - width) // unit + 1, (1,), generator=generator))
            tile = tile.map(lambda part, axis=axis, start=start, width=width: part.narrow(axis, start, width))
        cut.append(tile)
    return Fields.joined(cut)


def _windows(
    ensemble: Float[Tensor, "E C *K"],
    truth: Float[Tensor, "T C *F"],
    setting: Setting,
    members: int,
    grid: Grid,
    sites: int,
) -> tuple[Tensor, Tensor, Setting]:
    """Members and true fields cut to about ``sites`` sites: fewer fields of a torus, else one window of each."""
    lattice, fields = tuple(truth.shape[2:]), len(truth)
    if fields * math.prod(lattice) <= sites:
        return ensemble, truth, setting
    coarse = ensemble.unflatten(0, (fields, members))
    if grid.periodic:
        kept = torch.linspace(0, fields - 1, max(1, sites // math.prod(lattice))).long().to(truth.device)
        return coarse[kept].flatten(0, 1), truth[kept], setting.of(kept)
    wanted = _side(sites / fields, lattice, grid)
    generator = torch.Generator().manual_seed(0)
    triples = []
    for i, (x, y) in enumerate(zip(coarse, truth, strict=True)):
        own = setting.of([i])
        for axis, (n, b, side) in enumerate(zip(lattice, grid.factors_at(0), grid.boundaries, strict=True), start=1):
            if side == "periodic":
                continue
            width = min(max(12 * b, wanted) // b, n // b)
            start = int(torch.randint(n // b - width + 1, (1,), generator=generator))
            x, y = x.narrow(axis + 1, start, width), y.narrow(axis, b * start, b * width)
            own = own.map(lambda part, a=axis, b=b, s=start, w=width: part.narrow(a + 1, b * s, b * w))
        triples.append((x, y, own))
    xs, ys, settings = zip(*triples, strict=True)
    return torch.cat(xs), torch.stack(ys), Setting.joined(settings)


def _side(sites: float, lattice: Lattice, grid: Grid) -> int:
    """The side along every reflecting axis that makes so many sites, where periodic axes are whole."""
    whole = math.prod(n for n, side in zip(lattice, grid.boundaries, strict=True) if side == "periodic")
    return int(max(1.0, sites / whole) ** (1 / grid.boundaries.count("reflect")))


def _spread_skill(
    fine: Tensor, truth: Tensor, members: int, channels: int, weights: Tensor | None = None
) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """The logarithm of spread over skill of each channel, by the weights of values, and its error.

    Spread over skill is the root of ``(M + 1) / M`` times the mean variance over the mean squared error of the mean.
    0 where no value has a weight.
    """
    ensemble = fine.unflatten(0, (len(truth), members)).double()
    variance, squares = ensemble.var(1) * (members + 1) / members, (ensemble.mean(1) - truth).square()
    if weights is not None:
        variance, squares = variance * weights, squares * weights
    parts = [x.unflatten(1, (channels, -1)).sum(2) for x in (variance, squares)]

    def logarithm(variance: Tensor, squares: Tensor) -> Tensor:
        ratio = ((variance / squares.clamp(min=1e-30)).sqrt()).clamp(min=1e-6)
        return torch.where(squares > 0, ratio, 1.0).log()

    samples = jackknife(logarithm, *(x.flatten(2).sum(2) for x in parts), blocks=BLOCKS)
    places = jackknife(logarithm, *(_of_places(x.sum(0)) for x in parts))
    return samples.value.cpu(), torch.maximum(samples.error.nan_to_num(0.0), places.error.nan_to_num(0.0)).cpu()


def _of_places(x: Float[Tensor, "C *K"]) -> Float[Tensor, "P C"]:
    """The sums over parts of the lattice, a few along each axis."""
    x = x.unsqueeze(0)
    for axis in range(2, x.dim()):
        x = torch.cat([part.sum(axis, keepdim=True) for part in x.tensor_split(min(PLACES, x.shape[axis]), axis)])
    return x.flatten(1)


def _chance(excess: Float[Tensor, " C"], error: Float[Tensor, " C"]) -> Float[Tensor, " C"]:
    """What chance explains of an excess with this error, by the garrote."""
    return excess * (error / excess.abs().clamp(min=1e-15)).square().clamp(max=1)


def _secants(history: list[tuple[Tensor, Tensor]]) -> Float[Tensor, " C"]:
    """The next log temperature of each channel."""
    channels = range(len(history[0][0]))
    next_ = [_secant([(float(x[c]), float(y[c])) for x, y in history]) for c in channels]
    return torch.tensor(next_, dtype=torch.float64)


def _secant(history: list[tuple[float, float]]) -> float:
    """The next log temperature; the first guess takes spread to follow it one to one."""
    (x, y) = history[-1]
    slope = 1.0
    if len(history) > 1 and history[-2][0] != x:
        slope = (y - history[-2][1]) / (x - history[-2][0])
    slope = min(max(slope, 0.3), 3.0)
    return min(max(x - y / slope, -1.0), 1.0)
