"""Whether what a model makes out of nothing looks like the data: a handful of statistics."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.increments import structure_functions
from rgdm.jackknife import Estimate, jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.hamiltonian import EffectiveHamiltonian, centre
from rgdm.physics.interactions import local_interactions
from rgdm.scale.boundary import Boundaries
from rgdm.watch import Watch

SITES, MOST = 2**18, 64
"""About so many sites are made, in at most so many fields."""
FEWEST, SIDE = 4, 256
"""Fields that are made at least, and sites of theirs along axes between edges at most."""
PIECES = 16
"""Fewer fields are cut between edges into about so many pieces, for errors."""
FAR, ERRORS = 0.2, 3.0
"""A statistic of samples is in doubt if it is off by this share and by so many standard errors."""


class Comparison(NamedTuple):
    """One statistic of the data and of samples: values and standard errors (NaN: not known)."""

    name: str
    channel: int
    has_unit: bool
    """That of the channel."""
    data: float
    data_error: float
    samples: float
    samples_error: float

    @property
    def doubtful(self) -> bool:
        """Whether the samples are off by more than chance and by much."""
        apart, error = abs(self.samples - self.data), math.hypot(self.data_error, self.samples_error)
        return apart > FAR * abs(self.data) and apart > ERRORS * error


def compare(
    model: Cascade, fields: Float[Tensor, "B C *L"], seed: int = 0, watch: Watch | None = None
) -> list[Comparison]:
    """Statistics of fields, evenly spread over those given, and of samples of a model, in the units of each channel.

    Standard deviations, root mean square differences of sites 1 and 8 apart, and the kurtosis of the former; of
    periodic fields of one channel also the couplings ``K`` of the effective Hamiltonian of nearest neighbours, squares
    and fourth powers (:meth:`EffectiveHamiltonian.fit`). Errors are those of a jackknife over fields, or over pieces of
    few large ones. The Hamiltonian is that of fields less the mean of the data, over the size of these;
    it is left out where the fields do not tell its terms apart, as spins do not.
    """
    units = model.grid.widths(model.levels)
    sides = zip(fields.shape[2:], units, model.grid.boundaries, strict=True)
    lattice = [n if side == "periodic" else max(1, min(n, max(SIDE, unit)) // unit) * unit for n, unit, side in sides]
    count = max(FEWEST, min(len(fields), MOST, SITES // math.prod(lattice)))
    made = model.sample(tuple(lattice), count, seed, watch=watch).cpu()
    some = torch.linspace(0, len(fields) - 1, min(len(fields), MOST)).long()
    fields, comparisons = fields[some].to(made), []
    pieces = [_pieces(x, model.grid.boundaries) for x in (fields, made)]
    for channel in range(model.channels):
        known, found = (_statistics(x[:, channel : channel + 1], model.grid.boundaries) for x in pieces)
        comparisons += [_comparison(name, channel, known[name], found[name]) for name in known]
    if model.channels == 1 and model.grid.periodic and len(fields) > 1:
        comparisons += _couplings(fields, made)
    return comparisons


def _pieces(x: Float[Tensor, "B C *L"], boundaries: tuple[Boundaries, ...]) -> Float[Tensor, "P C *K"]:
    """Cut between edges until there are ``PIECES``, or they are small."""
    while len(x) < PIECES:
        open_axes = [i for i, side in enumerate(boundaries, start=2) if side == "reflect" and x.shape[i] >= 32]
        if not open_axes:
            break
        axis = max(open_axes, key=lambda i: x.shape[i])
        x = torch.cat(x.narrow(axis, 0, x.shape[axis] // 2 * 2).chunk(2, axis))
    return x


def _statistics(x: Float[Tensor, "P 1 *K"], boundary: Boundaries) -> dict[str, Estimate]:
    x = x.double()
    first, second = x.flatten(1).mean(1), x.square().flatten(1).mean(1)
    found = {"standard deviation": jackknife(lambda a, b: (b - a.square()).clamp(min=0).sqrt(), first, second)}
    near, *far = (structure_functions(x, [r], boundary)[:, 0, 0] for r in (1, 8) if r == 1 or max(x.shape[2:]) >= 2 * r)
    found["difference of neighbours"] = jackknife(torch.sqrt, near[:, 0])
    if far:
        found["difference of sites 8 apart"] = jackknife(torch.sqrt, far[0][:, 0])
    found["kurtosis of differences"] = jackknife(lambda a, b: b / a.square(), near[:, 0], near[:, 1])
    return found


def _couplings(fields: Tensor, made: Tensor) -> list[Comparison]:
    interactions, mean, size = local_interactions(fields.dim() - 2), centre(fields.double()), fields.double().std()
    try:
        known, found = (EffectiveHamiltonian.fit((x.double() - mean) / size, interactions) for x in (fields, made))
    except InputError:
        return []
    return [
        Comparison(f"coupling of {o.name}", 0, False, *map(float, row))
        for o, *row in zip(interactions, known.couplings, known.errors, found.couplings, found.errors, strict=True)
    ]


def _comparison(name: str, channel: int, data: Estimate, samples: Estimate) -> Comparison:
    figures = (data.value, data.error, samples.value, samples.error)
    return Comparison(name, channel, not name.startswith("kurtosis"), *(float(figure) for figure in figures))
