"""How many evaluations of its networks a model needs: the fewest whose fields are as good as those of many."""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rgdm.evaluate.scores import fair_crps, spread_skill
from rgdm.evaluate.spectra import octave_ratio
from rgdm.evaluate.weights import sizes, weighted
from rgdm.model.cascade.calibrate import DEPTH, calibrate, tiles
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.generation import batches
from rgdm.model.closed_form.gaps import smoothly_filled
from rgdm.process.noise import NoiseField
from rgdm.watch import Watch

MANY = 16
"""Evaluations a level that are taken for the limit of many."""
CANDIDATES = (2, 3, 4, 5, 6, 8, 12)
MEMBERS = 4
SITES = 60_000
"""About so many sites are refined to compare."""
LARGEST = 2**20
"""Most values of the fields that are tried; where one of them has more, none is."""
CRPS, OCTAVE, SPREAD = 0.005, 0.05, 0.05
"""By how much few evaluations may be worse than many: of the CRPS, of the power in an octave, of spread/skill."""


class Trial(NamedTuple):
    """What so many evaluations a level make of fields that are known, once calibrated."""

    evaluations: int
    crps: float
    """In standard deviations of the field."""
    spread_skill: float
    octaves: tuple[float, ...]
    """Power over that of the truth, in the octaves that are refined, the finest first."""

    def as_good_as(self, other: "Trial") -> bool:
        """Whether this is no worse than the other by more than the tolerances."""
        pairs = zip(self.octaves, other.octaves, strict=True)
        return (
            self.crps <= (1 + CRPS) * other.crps
            and _off(self.spread_skill) <= _off(other.spread_skill) + SPREAD
            and all(_off(mine) <= _off(its) + OCTAVE for mine, its in pairs)
        )


def choose_evaluations(
    model: Cascade, fields: Tensor | Fields, watch: Watch | None = None, sites: int = SITES
) -> list[Trial]:
    """Give a model the fewest evaluations a level that are as good as ``MANY``; its temperatures are fitted anew then.

    Each number is tried as it would be used: with temperatures of its own, refining up to three levels at a time. Noise
    is the same for all, so that small differences are seen. Returns what was tried, the chosen one last; nothing, and
    leaves the model alone, if a field is too large (periodic ones cannot be cut).

    Args:
        model: a trained one, of a law that is sampled in steps and not trained for a number of them.
        fields: as the user has them.
        watch: called with the evaluations done, and those of the longest search.
        sites: about how many are refined.
    """
    depth = min(DEPTH, model.levels)
    while depth > 1 and 4 * math.prod(12 * width for width in model.grid.widths(depth)) > sites:
        depth -= 1  # many small pieces rather than few large ones
    truth = tiles(model, Fields.of(fields), sites, depth)
    few = max(LARGEST, sites) // truth.values[0].numel()
    if few < 1:
        return []
    truth = truth.of_samples(torch.linspace(0, len(truth) - 1, min(few, len(truth))).long())
    total, done = MANY + sum(CANDIDATES), 0
    trials = []
    for number in (MANY, *CANDIDATES):
        trials.append(_trial(model, truth, number, depth, sites))
        done += number
        if watch:
            watch(done, total)
        if len(trials) > 1 and trials[-1].as_good_as(trials[0]):
            break
    else:
        trials.append(trials.pop(0))
    _give(model, trials[-1].evaluations)
    if watch:
        watch(total, total)
    return trials


def _give(model: Cascade, evaluations: int) -> None:
    model.design = replace(model.design, evaluations=evaluations)
    model.sampler = model.sampler.spending(evaluations)


@torch.no_grad()
def _trial(model: Cascade, fields: Fields, evaluations: int, depth: int, sites: int) -> Trial:
    _give(model, evaluations)
    calibrate(model, fields, sites=sites, depth=depth)
    fields = model.normalised(fields.to(model.device))
    truth, setting = fields.values, fields.setting
    coarse, weights = truth, setting.weights
    for level, own in enumerate(setting.path(model.operator, depth)[:-1]):
        coarse = own.on(model.operator.at(level)).coarsen(coarse)
    times = (MEMBERS, *[1] * (1 + model.dimension))
    coarse, noise = coarse.repeat(times), NoiseField(0, "calibrate")
    of_members = setting.map(lambda part: part.repeat(times) if len(part) > 1 else part)
    fine = []
    for part in batches(len(coarse), tuple(truth.shape[2:])):
        some = slice(part.start, part.stop)
        fine.append(model.descend(coarse[some], depth, noise.of(part), setting=of_members.of(some)))
    ensemble = torch.cat(fine).unflatten(0, (MEMBERS, len(truth)))
    if weights is not None and not bool(truth.isfinite().all()):
        truth = smoothly_filled(truth, weights, model.grid.boundaries)
        ensemble = torch.where(weights > 0, ensemble, truth)
    ensemble, truth = ensemble.cpu(), truth.cpu()
    weights = None if weights is None else weights.cpu()
    finest = round(math.log2(max(model.grid.widths(depth))))
    octaves = octave_ratio(ensemble, truth, model.grid.boundaries)[1].value[:finest]
    crps, spread = fair_crps(ensemble, truth, weights), spread_skill(ensemble, truth, weights).pooled
    size = sizes(truth, weights)
    crps = weighted(crps, size).sum() / size.sum()
    return Trial(evaluations, float(crps), float(spread), tuple(octaves.tolist()))


def _off(ratio: float) -> float:
    return abs(math.log(max(ratio, 1e-9)))
