"""Ensembles that last in time: how detail is correlated from frame to frame, measured, and noise that is so."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.data.layout import Layout
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import Frames, frames_at, frames_of
from rgdm.model.cascade.memory import fields_together
from rgdm.model.lifts.context import Context
from rgdm.notes import option, say
from rgdm.process.correlation import fit_parts
from rgdm.process.noise import Noise, NoiseField, Window
from rgdm.process.persistence import Part, Persistence, PersistentNoise, correlation
from rgdm.scale.coarse_graining import Lattice
from rgdm.watch import Watch

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade

PERSISTENCE = "persistence"
"""Where the metadata of a model hold it."""
SITES = 1_000_000
"""Most sites that are looked at, in ``WINDOWS`` windows of the fields where these are larger."""
WINDOWS, NARROWEST = 4, 12
"""Windows, and least sites of their sides in the coarsest field."""
FEEBLE, CHANCE = 0.02, 4.0
"""A correlation of neighbours in time that is not worth noise that persists, and standard errors of one that chance may
explain, at every level."""
LEAST_SLOPE = 0.05
"""Detail of which the noise rules less is left as its latents were measured."""

Correlations = Float[np.ndarray, "P D"]


# --- use ---------------------------------------------------------------------------------------


def noise_in_time(
    model: "Cascade", field: NoiseField, layout: Layout, count: int, times: Any, levels: int
) -> Callable[[Sequence[int], Sequence[int]], Noise] | None:
    """The noise of (fields, members) that persists in time; None if the model or the fields know of no time.

    The ``count`` fields have the times of their layout, or those that are given. Frames whose times are in a unit that
    is not that of the training are independent, which is said.
    """
    if PERSISTENCE not in model.metadata:
        return None
    independent = f", or make independent frames ({option('--no-persistence', 'persistent=False')})"
    frames = frames_of(layout, count, independent) if times is None else frames_at(times, count)
    if frames is None:
        return None
    known = Persistence.from_json(model.metadata[PERSISTENCE])
    if frames.unit != known.unit:
        said = [f"{unit!r}" if unit else "no unit" for unit in (frames.unit, known.unit)]
        say([f"times have {said[0]}, those of the training {said[1]}: frames are independent of each other"])
        return None
    own, times = frames.streams(), known.steps(frames.times)
    parts = [known.levels[model.repetition.lift(level)] for level in range(levels)]

    def noise(fields: Sequence[int], members: Sequence[int]) -> Noise:
        at = [(own[i] + member, float(times[i])) for i, member in zip(fields, members, strict=True)]
        return PersistentNoise(field, parts, at)

    return noise


# --- measurement -------------------------------------------------------------------------------


@torch.no_grad()
def calibrate_persistence(
    model: "Cascade",
    x: Tensor | Fields,
    frames: Frames | None,
    rounds: int = 2,
    sites: int = SITES,
    networks: bool = True,
    watch: Watch | None = None,
) -> Persistence | None:
    """Measure how noise must be correlated in time for refined detail to be so as that of *training* fields.

    Pairs of frames say how white coordinates z of the detail are correlated at their distance in time, at each level
    and for each detail. Noise that is correlated so comes first. What a coarse field says of the detail persists by
    itself, and a network is not linear: a free run, in which each level is given the refined fields of the one above,
    shows how the detail that is made is correlated, at first with noise that is not, and ``rounds`` secant steps in the
    correlation of the noise bring that of the detail to that of the fields.

    Args:
        model: which keeps it in its metadata; fields of no time, or without correlations, leave it without.
        x: training fields, in the user's units.
        frames: when they are.
        rounds: secant steps.
        sites: most sites of them that are looked at.
        networks: whether laws take part, or z is white noise, as before a training.
        watch: told of the levels.
    """
    model.metadata.pop(PERSISTENCE, None)
    if frames is None or not (pairs := frames.pairs()):
        return None
    used = sorted({i for pair in pairs for i in pair})
    place = {number: i for i, number in enumerate(used)}
    run = _Run(model, Fields.of(x).of_samples(used), [frames.streams()[i] for i in used], networks, sites)
    now, later = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    gaps = frames.times[used][later] - frames.times[used][now]
    neighbours = gaps[gaps <= np.median(_steps(frames)) * (1 + 1e-9)]
    step = float(max(neighbours.min(), np.median(_steps(frames)) / 16))
    run.persistence = Persistence(step, float(frames.times.min()), frames.unit, ())
    run.times, run.pairs, run.lags = frames.times[used], (now, later), gaps / step
    found, worth = [], False
    for level in reversed(range(model.levels)):
        parts = run.fitted(level, rounds)
        chance = CHANCE / math.sqrt(run.seen(level) * len(neighbours))
        worth = worth or float(np.abs(correlation(parts, [1.0])).max()) > max(FEEBLE, chance)
        found.append(parts)
        if watch:
            watch(model.levels - level, model.levels)
    if not worth:
        return None
    persistence = Persistence(step, run.persistence.origin, frames.unit, tuple(reversed(found)))
    model.metadata[PERSISTENCE] = persistence.to_json()
    return persistence


def _steps(frames: Frames) -> np.ndarray:
    """From each frame to the next of its sequence."""
    return np.concatenate([np.diff(frames.times[own]) for own in frames.in_order() if len(own) > 1])


class _Run:
    """A free run down the levels: the true fields of each, and the refined ones of the level above."""

    persistence: Persistence
    times: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    lags: np.ndarray

    def __init__(self, model: "Cascade", x: Fields, sequences: Sequence[int], networks: bool, sites: int) -> None:
        self.model, self.networks, self.count = model, networks, len(x)
        pieces = windows(model, x, sites)
        self.sequences = [own + number for number in range(len(pieces) // len(x)) for own in sequences]
        fields = model.normalised(pieces.to(model.device))
        self.path, self.settings = [fields.values], fields.setting.path(model.operator, model.levels)
        if self.settings[0].weights is not None:
            self.path[0] = self.path[0].nan_to_num(0.0)
        for level, own in enumerate(self.settings[:-1]):
            self.path.append(own.on(model.operator.at(level)).coarsen(self.path[-1]))
        self.coarse = self.path[-1]

    def seen(self, level: int) -> int:
        """Sites at which a detail of a level is compared with that of another frame."""
        return self.path[level + 1][:: self.count, 0].numel()

    def fitted(self, level: int, rounds: int) -> tuple[Part, ...]:
        """The parts of the noise of a level; the run goes on from what they make."""
        z, true = self._measured(level, self.path[level])
        without = self._measured(level, self._made(level, NoiseField(0, "calibrate").of), latents=False)[1]
        tries = [self._try(level, fit_parts(self.lags, z))]
        for _ in range(rounds):
            parts, made, _ = tries[-1]
            of_noise = correlation(parts, self.lags)
            gained = np.where(np.isfinite(made - without), made - without, 0.0)
            slope = (of_noise * gained).sum(0) / np.maximum((of_noise**2).sum(0), 1e-12)
            step = np.where(slope > LEAST_SLOPE, (true - made) / np.maximum(slope, LEAST_SLOPE), 0.0)
            tries.append(self._try(level, fit_parts(self.lags, np.clip(of_noise + step, -1, 1))))
        misses = [float(np.nanmean((made - true) ** 2 / np.sqrt(self.lags)[:, None])) for _, made, _ in tries]
        parts, _, self.coarse = tries[int(np.argmin(misses))]
        return parts

    def _try(self, level: int, parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], np.ndarray, Tensor]:
        """Parts, the correlations of the detail that they make, and the fields."""
        steps = self.persistence.steps(self.times).tolist() * (len(self.coarse) // self.count)
        at = list(zip(self.sequences, steps, strict=True))

        def noise(some: range) -> Noise:
            levels = [parts] * (level + 1)
            return PersistentNoise(NoiseField(0, "calibrate"), levels, at[some.start : some.stop])

        fine = self._made(level, noise)
        return parts, self._measured(level, fine, latents=False)[1], fine

    def _made(self, level: int, noise: Callable[[range], Noise]) -> Tensor:
        """The fields of a level, refined from those above."""
        model, fine = self.model, []
        lift, operator = model.own_lift(level), model.operator.at(level)
        lattice, setting = tuple(self.coarse.shape[2:]), self.settings[level]
        size = fields_together(operator.fine_lattice(lattice))
        for first in range(0, len(self.coarse), size):
            some = range(first, min(first + size, len(self.coarse)))
            part = slice(some.start, some.stop)
            context = Context(self.coarse[part], setting.of(part))
            own, window = noise(some), Window.whole(level, lattice)
            if self.networks:
                fine.append(lift.sample(context, own, window, model.sampler))
                continue
            known = context.known(operator, model.grid.boundaries)
            details = self.coarse.shape[1] * operator.bands(len(lattice))
            z = own(0, details, window).to(known.coarse)
            detail = lift.standardizer.restore(known, z).to(context.coarse)
            fine.append(setting.of(part).on(operator).merge(context.coarse, detail))
        return torch.cat(fine)

    def _measured(self, level: int, fine: Tensor, latents: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The correlations of each pair of frames ``(P, D)``: those of the latents if asked for, and of the detail.

        Of the detail as it shows in the field: that heavy rain moves on tells more than how drizzle is shared.
        """
        model = self.model
        operator = model.operator.at(level)
        context, detail = Context.of(fine, operator, self.settings[level])
        known = context.known(operator, model.grid.boundaries)
        own = self._correlations(known.setting.on(operator).amounts(known.coarse, detail), known.present)
        if not latents:
            return own, own
        z = model.own_lift(level).standardizer.standardize(known, detail)
        return self._correlations(z, known.present), own

    def _correlations(self, x: Tensor, present: Tensor | None) -> np.ndarray:
        """Over windows and sites of both frames of a pair; NaN where there are none."""
        frames = x.double().unflatten(0, (-1, self.count)).transpose(0, 1).movedim(2, 1).flatten(2)  # (F, D, sites)
        there = None
        if present is not None:
            there = present.double().unflatten(0, (-1, self.count)).transpose(0, 1).movedim(2, 1).flatten(2)
            frames = frames * there
        found = []
        for i, j in zip(*self.pairs, strict=True):
            a, b = frames[i], frames[j]
            one, two = (a, b) if there is None else (a * there[j], b * there[i])
            found.append((a * b).sum(1) / (one.square().sum(1) * two.square().sum(1)).sqrt())
        return torch.stack(found).cpu().numpy()


def windows(model: "Cascade", x: Fields, sites: int) -> Fields:
    """About so many sites at most of all fields, at the same places in each: whole fields, else a few windows.

    Windows lie after each other: all frames of the first, of the second, ... Periodic axes are whole.
    """
    lattice, grid = x.lattice, model.grid
    if len(x) * math.prod(lattice) <= sites or grid.periodic:
        return x
    cut, generator = [], torch.Generator().manual_seed(0)
    sides = _sides(model, lattice, sites / len(x) / WINDOWS)
    for _ in range(WINDOWS if sides != lattice else 1):
        piece = x
        for axis, (n, side, unit) in enumerate(zip(lattice, sides, grid.widths(model.levels), strict=True), start=2):
            start = unit * int(torch.randint((n - side) // unit + 1, (1,), generator=generator))
            piece = piece.map(lambda part, at=(axis, start, side): part.narrow(*at))
        cut.append(piece)
    alike = [len(part) == 1 for part in x.place.parts if part is not None]
    if len(x) > 1 and any(alike):  # what holds for all frames of a window does not hold for the other windows
        cut = [piece.map(lambda part: part.expand(len(x), *part.shape[1:])) for piece in cut]
    return cut[0] if len(cut) == 1 else Fields.joined(cut)


def _sides(model: "Cascade", lattice: Lattice, wanted: float) -> Lattice:
    """Of a window of about so many sites."""
    grid = model.grid
    whole = math.prod(n for n, side in zip(lattice, grid.boundaries, strict=True) if side == "periodic")
    length = max(1.0, wanted / whole) ** (1 / max(1, grid.boundaries.count("reflect")))
    sides = []
    for n, unit, boundary in zip(lattice, grid.widths(model.levels), grid.boundaries, strict=True):
        side = max(int(length) // unit, NARROWEST) * unit
        sides.append(n if boundary == "periodic" else min(side, n // unit * unit))
    return tuple(sides)
