"""The part of the fields that training does not see: weights are chosen on it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.cascade.fields import Fields
from rgdm.notes import option
from rgdm.scale.grid import Grid

SHARE = 10
"""One sample of so many is kept back."""
MANY = 8
"""So many samples are enough to keep back whole ones."""
PARTS = 8
"""Fewer samples lose one of so many parts of their longest axis between edges."""
STRIPS = 3
"""Into so many strips that part is divided at most, for one place may be unlike the others."""
ALIKE = 0.5
"""Correlation of the finest detail of samples from which on they show the same place."""
LOOKED_AT = 16
"""Most samples on either side that are compared."""
Where = Literal["auto", "samples", "space"]
"""What is kept back: whole samples, or a part of each; by default samples if there are enough."""


class Parts(NamedTuple):
    """Fields to train on, and others to choose by."""

    training: Fields
    held_out: Fields | None
    """None: there is nothing that could be spared."""
    every: Fields
    """Both, and what strips leave out."""
    what: str
    """What was kept back, in words."""
    alike: float = 0.0
    """The correlation of the finest detail of samples that were kept back with the likest of the others."""


def hold_back(
    fields: Tensor | Fields, grid: Grid, levels: int, ordered: bool, narrowest: int = 2, where: Where = "auto"
) -> Parts:
    """Keep back a tenth of the samples, of few samples a part of each.

    Samples of one place, such as the months of a climatology, may be so alike that what is learned by heart of some is
    right for the others too. Then they tell how a model does at this place, and a part of space how it does elsewhere.

    Args:
        fields: all there are.
        grid: whose axes are cut only between edges, so that what is left is still such a field.
        levels: how often the fields are coarse-grained.
        ordered: samples follow each other, as in time: the last ones are kept back, else ones evenly spread.
        narrowest: least width of a part, in coarsest sites.
        where: samples or space, whatever there is more of.

    Raises:
        InputError: if what is asked for cannot be kept back.
    """
    fields = Fields.of(fields)
    parts = _parts(fields, grid, levels, ordered, narrowest, where)
    if parts.held_out is None and where != "auto":
        raise InputError(
            f"{option(f'--hold-back {where}', f'where={where!r}')}: "
            f"{len(fields)} fields of {fields.lattice} sites leave nothing to keep back; three "
            f"samples do, or an axis with edges of {max(PARTS, 3 * narrowest)} blocks of the coarsest level"
        )
    if parts.held_out is not None and not all(_seen(part, grid, levels) for part in (parts.training, parts.held_out)):
        return Parts(fields, None, fields, "nothing: too much of what would be kept back, or of the rest, is missing")
    return parts


def _seen(part: Fields, grid: Grid, levels: int) -> bool:
    """Whether each channel has, at the coarsest level, two blocks side by side that are not missing."""
    there = ~part.values.isnan()
    if bool(there.all()):
        return True
    coarsest = max(0, levels - 1)
    for axis, width in enumerate(grid.widths(coarsest), start=2):
        there = there.unflatten(axis, (-1, width)).any(axis + 1)
    last = enumerate(grid.factors_at(coarsest), start=2)
    pairs = [there.unflatten(a, (-1, b)).sum(a + 1) > 1 for a, b in last if b > 1]
    return all(bool(pair.transpose(0, 1).flatten(1).any(1).all()) for pair in pairs)


def _parts(fields: Fields, grid: Grid, levels: int, ordered: bool, narrowest: int, where: Where) -> Parts:
    samples = len(fields)
    if samples >= (3 if where == "samples" else MANY) and where != "space":
        count = max(1, round(samples / SHARE))
        places = _last(samples, count) if ordered else _spread(samples, count)
        others = [i for i in range(samples) if i not in set(places)]
        training, kept = fields.of_samples(others), fields.of_samples(places)
        words = "the last" if ordered else "evenly spread"
        alike = likeness(kept.values, training.values, grid.factors_at(0))
        return Parts(training, kept, fields, f"{count} of {samples} samples, {words}", alike)
    axis = _longest(fields.lattice, grid, levels)
    if axis is not None and where != "samples":
        n, unit = fields.lattice[axis], grid.widths(levels)[axis]
        if n // unit >= max(PARTS, 3 * narrowest):
            kept = max(narrowest, round(n / unit / PARTS))
            strips = min(STRIPS, kept // narrowest)
            period, width = n // unit // strips * unit if strips > 1 else n, kept // strips * unit
            starts = range(0, strips * period, period)
            training = _strips(fields, axis, starts, period - width)
            held_out = _strips(fields, axis, [start + period - width for start in starts], width)
            words = f"{strips} strips of {width} of" if strips > 1 else f"the last {width} of"
            left = n - strips * period if strips > 1 else 0
            rest = f" (the last {left} are left out)" if left else ""
            return Parts(training, held_out, fields, f"{words} {n} sites along {grid.names[axis]}{rest}")
    if samples >= 3 and where != "space":
        training, last = fields.of_samples(slice(0, -1)), fields.of_samples(slice(-1, None))
        return Parts(training, last, fields, f"the last of {samples} samples")
    return Parts(fields, None, fields, "nothing: the fields are too few and too small")


def _strips(fields: Fields, axis: int, starts: Sequence[int], width: int) -> Fields:
    """Equally wide parts along an axis, as samples: all of one sample, then all of the next."""
    if len(starts) == 1:
        return fields.map(lambda part: part.narrow(2 + axis, starts[0], width))

    def cut(part: Tensor) -> Tensor:
        part = part.expand(len(fields), *part.shape[1:])  # each strip has a place of its own
        return torch.stack([part.narrow(2 + axis, at, width) for at in starts], 1).flatten(0, 1)

    return Fields(cut(fields.values), fields.place.map(cut))


def likeness(some: Float[Tensor, "H C *L"], others: Float[Tensor, "B C *L"], factors: Sequence[int]) -> float:
    """How alike samples are to the likest of others: the mean correlation of their finest detail, over what is there.

    Detail is what blocks of ``factors`` sites have beside their mean.
    """
    one, other = (_detail(x[_spread(len(x), min(len(x), LOOKED_AT))], factors) for x in (some, others))
    found = []
    for x in one:
        both = x.isfinite() & other.isfinite()
        a, b = torch.where(both, x, 0.0), torch.where(both, other, 0.0)
        size = (a.square().flatten(1).sum(1) * b.square().flatten(1).sum(1)).sqrt().clamp(min=1e-30)
        found.append(float(((a * b).flatten(1).sum(1) / size).max()))
    return sum(found) / len(found)


def _detail(x: Tensor, factors: Sequence[int]) -> Tensor:
    """What is left of whole blocks when their means are taken out, each channel in units of its size."""
    mean = x[(..., *(slice(n // b * b) for n, b in zip(x.shape[2:], factors, strict=True)))].double()
    x = mean
    for axis, b in enumerate(factors, start=2):
        mean = mean.unflatten(axis, (-1, b)).mean(axis + 1).repeat_interleave(b, axis)
    detail = x - mean
    size = detail.transpose(0, 1).flatten(1).square().nanmean(1).sqrt().clamp(min=1e-30)
    return detail / size.reshape(1, -1, *[1] * (x.dim() - 2))


def _last(samples: int, count: int) -> list[int]:
    return list(range(samples - count, samples))


def _spread(samples: int, count: int) -> list[int]:
    return [(2 * i + 1) * samples // (2 * count) for i in range(count)]


def _longest(lattice: Sequence[int], grid: Grid, levels: int) -> int | None:
    """The axis between edges with the most coarsest sites."""
    units = [n // width for n, width in zip(lattice, grid.widths(levels), strict=True)]
    open_axes = [i for i, side in enumerate(grid.boundaries) if side == "reflect"]
    return max(open_axes, key=lambda i: units[i], default=None)
