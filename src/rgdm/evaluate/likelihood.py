"""How likely the truth is to a model, in bits per degree of freedom."""

import math

import torch
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.judgement import plain
from rgdm.evaluate.pieces import Figures, estimate
from rgdm.jackknife import FEWEST, jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.scale.grid import Grid
from rgdm.watch import Watch

WINDOW = 2**12
"""Most sites of a window, as the probability flow takes long."""
TOGETHER = 2**14
"""Most sites of all windows together."""
PROBES = 1
"""Random signs that estimate a divergence of the probability flow; the error over samples contains theirs."""
TOLERANCE = 1e-3
"""Tolerance of the integration of the probability flow."""


def bits_per_dof(model: Cascade, truth: Tensor | Fields, levels: int, watch: Watch | None = None) -> Figures:
    """``-log2 p(detail | coarse)`` per degree of freedom at each level, and how much of it the networks save.

    Measured on one window of each of some evenly chosen samples; errors are jackknife errors over these samples.

    Raises:
        InputError: if periodic fields are too large; they cannot be cut, as a window of a torus is not a torus.
    """
    some = windows(truth, model.grid, levels).to(model.device)
    x, at = some.values, some.place
    known = model.log_prob(x, levels, probes=PROBES, tolerance=TOLERANCE, watch=watch, place=at)
    bits = torch.stack(known.bits, 1)
    closed = torch.stack(model.log_prob(x, levels, networks=False, place=at).bits, 1)
    return plain(
        {
            "bits": estimate(jackknife(lambda mean: mean, bits)) | {"samples": len(x), "lattice": list(x.shape[2:])},
            "bits_gain": estimate(jackknife(lambda mean: mean, closed - bits)),
        }
    )


def windows(fields: Tensor | Fields, grid: Grid, levels: int) -> Fields:
    """The middle of evenly chosen fields, of sides that can be coarse-grained; periodic axes, without ends, whole."""
    fields = Fields.of(fields)
    lattice, channels = fields.lattice, fields.values.shape[1]
    whole = math.prod(n for n, axis in zip(lattice, grid.axes, strict=True) if axis.boundary == "periodic")
    units = grid.widths(levels)
    thin = math.prod(unit for unit, side in zip(units, grid.boundaries, strict=True) if side == "reflect")
    if whole * thin > TOGETHER:
        raise InputError(
            f"the likelihood of a periodic field of {' x '.join(map(str, lattice))} sites takes long; it is left out "
            f"above {TOGETHER} sites (model.log_prob computes it)"
        )
    cut = sum(axis.boundary != "periodic" for axis in grid.axes)
    side = max(1.0, WINDOW / channels / whole) ** (1 / max(cut, 1)) + 1e-9
    sizes = []
    for n, unit, axis in zip(lattice, units, grid.axes, strict=True):
        sizes.append(n if axis.boundary == "periodic" else min(max(1, int(side) // unit) * unit, n // unit * unit))
    first = [(n - s) // 2 for n, s in zip(lattice, sizes, strict=True)]
    middle = (..., *(slice(a, a + s) for a, s in zip(first, sizes, strict=True)))
    fields = fields.map(lambda part: part[middle])
    count = min(len(fields), max(FEWEST, TOGETHER // fields.values[0].numel()))
    return fields.of_samples(torch.linspace(0, len(fields) - 1, count).round().long().to(fields.values.device))
