"""The part of the fields that training does not see: weights are chosen on it."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from rgdm.model.cascade.fields import Fields
from rgdm.scale.grid import Grid

SHARE = 10
"""One sample of so many is kept back."""
MANY = 8
"""So many samples are enough to keep back whole ones."""
PARTS = 8
"""Fewer samples lose the last of so many parts of their longest axis between edges."""


class Parts(NamedTuple):
    """Fields to train on, and others to choose by."""

    training: Fields
    held_out: Fields | None
    """None: there is nothing that could be spared."""
    every: Fields
    """Both."""
    what: str
    """What was kept back, in words."""


def hold_back(fields: Tensor | Fields, grid: Grid, levels: int, ordered: bool, narrowest: int = 2) -> Parts:
    """Keep back a tenth of the samples, of few samples a part of each.

    Args:
        fields: all there are.
        grid: whose axes are cut only between edges, so that what is left is still such a field.
        levels: how often the fields are coarse-grained.
        ordered: samples follow each other, as in time: the last ones are kept back, else ones evenly spread.
        narrowest: least width of a part, in coarsest sites.
    """
    fields = Fields.of(fields)
    parts = _parts(fields, grid, levels, ordered, narrowest)
    if parts.held_out is not None and not all(_seen(part, grid, levels) for part in (parts.training, parts.held_out)):
        return Parts(fields, None, fields, "nothing: too much of what would be kept back, or of the rest, is missing")
    return parts


def _seen(part: Fields, grid: Grid, levels: int) -> bool:
    """Whether each channel has, at the coarsest level, two blocks side by side that are not missing."""
    there = ~part.values.isnan()
    if bool(there.all()):
        return True
    for axis, b in enumerate(grid.factors, start=2):
        there = there.unflatten(axis, (-1, b ** max(0, levels - 1))).any(axis + 1)
    pairs = [there.unflatten(a, (-1, b)).sum(a + 1) > 1 for a, b in enumerate(grid.factors, start=2) if b > 1]
    return all(bool(pair.transpose(0, 1).flatten(1).any(1).all()) for pair in pairs)


def _parts(fields: Fields, grid: Grid, levels: int, ordered: bool, narrowest: int) -> Parts:
    samples = len(fields)
    if samples >= MANY:
        count = max(1, round(samples / SHARE))
        places = _last(samples, count) if ordered else _spread(samples, count)
        others = [i for i in range(samples) if i not in set(places)]
        words = "the last" if ordered else "evenly spread"
        kept = fields.of_samples(places)
        return Parts(fields.of_samples(others), kept, fields, f"{count} of {samples} samples, {words}")
    axis = _longest(fields.lattice, grid, levels)
    if axis is not None:
        n, unit = fields.lattice[axis], grid.factors[axis] ** levels
        width = unit * max(narrowest, round(n / unit / PARTS))
        if n // unit >= max(PARTS, 3 * narrowest):
            training = fields.map(lambda part: part.narrow(2 + axis, 0, n - width))
            held_out = fields.map(lambda part: part.narrow(2 + axis, n - width, width))
            return Parts(training, held_out, fields, f"the last {width} of {n} sites along {grid.names[axis]}")
    if samples >= 3:
        training, last = fields.of_samples(slice(0, -1)), fields.of_samples(slice(-1, None))
        return Parts(training, last, fields, f"the last of {samples} samples")
    return Parts(fields, None, fields, "nothing: the fields are too few and too small")


def _last(samples: int, count: int) -> list[int]:
    return list(range(samples - count, samples))


def _spread(samples: int, count: int) -> list[int]:
    return [(2 * i + 1) * samples // (2 * count) for i in range(count)]


def _longest(lattice: Sequence[int], grid: Grid, levels: int) -> int | None:
    """The axis between edges with the most coarsest sites."""
    units = [n // b**levels for n, b in zip(lattice, grid.factors, strict=True)]
    open_axes = [i for i, side in enumerate(grid.boundaries) if side == "reflect"]
    return max(open_axes, key=lambda i: units[i], default=None)
