"""Geometry of a cascade: trajectories of fields, lattices that fit, rounding errors taken out."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.grid import Grid
from rgdm.scale.operators.shares import Shares
from rgdm.scale.operators.wavelets import RotationLattice


def trajectory(
    operator: CoarseGraining, x: Float[Tensor, "B C *L"], levels: int, weights: Tensor | None = None
) -> list[Tensor]:
    """The renormalization trajectory of a field: its block means at level 0, 1, ..., ``levels``.

    On a measure they are means with these ``weights``, ``(B or 1, C or 1, *L)``, and 0 where there is none.
    """
    operator.check_depth(tuple(x.shape[2:]), levels)
    fields = [x]
    for level, own in enumerate(measures(operator, weights, levels)[:-1]):
        step = operator.at(level)
        fields.append(step.on(own).coarsen(fields[-1]) / step.gain(x.dim() - 2))
    return fields


def weights_of(x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"] | None:
    """1 where a field has a value, 0 where it is NaN; None if it is whole."""
    there = ~x.isnan()
    return None if bool(there.all()) else there.to(x)


def measures(operator: CoarseGraining, weights: Tensor | None, levels: int) -> list[Tensor | None]:
    """Weights of the sites at level 0, 1, ..., ``levels``, of those at level 0."""
    found = [weights]
    for level in range(levels):
        found.append(operator.at(level).on(found[-1]).coarse_weights)
    return found


def constant(operator: CoarseGraining, grid: Grid, coarse: Float[Tensor, "B C *K"], level: int) -> Tensor:
    """The constant field 1 at ``level``: still 1, but for long wavelets near an edge."""
    long = any(isinstance(module, RotationLattice) for module in operator.modules())
    if level == 0 or grid.periodic or not long:
        return coarse.new_ones(())
    return trajectory(operator, coarse.new_ones(1, 1, *operator.fine_lattice(coarse.shape[2:], level)), level)[-1]


def settle(
    operator: CoarseGraining,
    fine: Float[Tensor, "B C *F"],
    coarse: Float[Tensor, "B C *K"],
    levels: int,
    weights: Tensor | None = None,
) -> Float[Tensor, "B C *F"]:
    """Take the rounding errors of each block out at its first site, on a measure at the site of the largest weight.

    Rounding is relative to the values, which may be large beside their variation (temperatures in kelvin); block means
    are then off by more than a small part of their spread.
    """
    if not operator.blockwise or isinstance(operator, Shares):  # shares are exact, and no site may become negative
        return fine
    dimension = fine.dim() - 2
    error = coarse.double() - trajectory(operator, fine.double(), levels, weights)[-1]
    if weights is not None:
        return _settle_on(fine, weights.expand_as(fine), error, operator.widths(dimension, levels))
    first = (..., *(slice(None, None, width) for width in operator.widths(dimension, levels)))
    fine[first] += (operator.gain_to(dimension, levels, power=2) * error).to(fine)
    return fine


def _settle_on(fine: Tensor, weights: Tensor, error: Tensor, block: Lattice) -> Tensor:
    """Take the errors of weighted block means out, each at one site."""

    def blocks(x: Tensor) -> Tensor:
        for axis, b in reversed(list(enumerate(block, start=2))):
            x = x.unflatten(axis, (-1, b))
        d = len(block)
        return x.permute(0, 1, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2)).flatten(2 + d)

    own = blocks(weights.double())
    largest, first = own.max(-1, keepdim=True)
    step = torch.where(largest > 0, own.sum(-1, keepdim=True) / largest.clamp(min=1e-300) * error.unsqueeze(-1), 0.0)
    moved = torch.zeros_like(own).scatter_(-1, first, step).unflatten(-1, block)
    d = len(block)
    moved = moved.permute(0, 1, *(axis for i in range(d) for axis in (2 + i, 2 + d + i))).reshape(fine.shape)
    return fine + moved.to(fine)


def check_sample(grid: Grid, levels: int, lattice: Lattice | int, count: int = 1) -> None:
    """``ValueError`` if fields of this lattice cannot be made in so many levels."""
    if isinstance(lattice, int):
        raise InputError(f"the lattice is {lattice}; give one number for each axis, {(lattice,) * grid.dimension}")
    if len(lattice) != grid.dimension:
        raise InputError(f"the lattice {lattice} has {len(lattice)} axes; this model is {grid.dimension}-dimensional")
    if count < 1:
        raise InputError(f"count is {count}; at least one sample is needed")
    units = grid.widths(levels)
    if any(n % unit or n < unit for n, unit in zip(lattice, units, strict=True)):
        near = tuple(max(unit, n - n % unit) for n, unit in zip(lattice, units, strict=True))
        by = units[0] if len(set(units)) == 1 else units
        raise InputError(f"the lattice {lattice} is not divisible by {by}, as this model asks; {near} would be")
