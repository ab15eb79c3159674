"""Geometry of a cascade: trajectories of fields, lattices that fit, rounding errors taken out."""

from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.grid import Grid
from rgdm.scale.operators.shares import Shares
from rgdm.scale.operators.wavelets import RotationLattice


def trajectory(operator: CoarseGraining, x: Float[Tensor, "B C *L"], levels: int) -> list[Tensor]:
    """The renormalization trajectory of a field: its block means at level 0, 1, ..., ``levels``."""
    operator.check_depth(tuple(x.shape[2:]), levels)
    gain, fields = operator.gain(x.dim() - 2), [x]
    for _ in range(levels):
        fields.append(operator.coarsen(fields[-1]) / gain)
    return fields


def constant(operator: CoarseGraining, grid: Grid, coarse: Float[Tensor, "B C *K"], level: int) -> Tensor:
    """The constant field 1 at ``level``: still 1, but for long wavelets near an edge."""
    long = any(isinstance(module, RotationLattice) for module in operator.modules())
    if level == 0 or grid.periodic or not long:
        return coarse.new_ones(())
    return trajectory(operator, coarse.new_ones(1, 1, *operator.fine_lattice(coarse.shape[2:], level)), level)[-1]


def settle(
    operator: CoarseGraining, fine: Float[Tensor, "B C *F"], coarse: Float[Tensor, "B C *K"], levels: int
) -> Float[Tensor, "B C *F"]:
    """Take the rounding errors of each block out at its first site.

    Rounding is relative to the values, which may be large beside their variation (temperatures in kelvin); block means
    are then off by more than a small part of their spread.
    """
    if not operator.blockwise or isinstance(operator, Shares):  # shares are exact, and no site may become negative
        return fine
    dimension = fine.dim() - 2
    error = coarse.double() - trajectory(operator, fine.double(), levels)[-1]
    first = (..., *(slice(None, None, b**levels) for b in operator.factors(dimension)))
    fine[first] += (operator.gain(dimension) ** (2 * levels) * error).to(fine)
    return fine


def check_sample(grid: Grid, levels: int, lattice: Lattice | int, count: int = 1) -> None:
    """``ValueError`` if fields of this lattice cannot be made in so many levels."""
    if isinstance(lattice, int):
        raise InputError(f"the lattice is {lattice}; give one number for each axis, {(lattice,) * grid.dimension}")
    if len(lattice) != grid.dimension:
        raise InputError(f"the lattice {lattice} has {len(lattice)} axes; this model is {grid.dimension}-dimensional")
    if count < 1:
        raise InputError(f"count is {count}; at least one sample is needed")
    units = tuple(b**levels for b in grid.factors)
    if any(n % unit or n < unit for n, unit in zip(lattice, units, strict=True)):
        near = tuple(max(unit, n - n % unit) for n, unit in zip(lattice, units, strict=True))
        by = units[0] if len(set(units)) == 1 else units
        raise InputError(f"the lattice {lattice} is not divisible by {by}, as this model asks; {near} would be")
