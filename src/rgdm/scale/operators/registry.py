"""The coarse-grainings that a saved model or a command may name: a closed list."""

from typing import get_args

from rgdm.design import Operator
from rgdm.errors import InputError
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining, Orthonormal
from rgdm.scale.grid import Grid, in_words
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet, Lifting
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.per_axis import PerAxis
from rgdm.scale.operators.per_level import PerLevel
from rgdm.scale.operators.quincunx import Quincunx
from rgdm.scale.operators.shares import Shares
from rgdm.scale.operators.wavelets import Wavelet

LEARNED = ("learned-4", "learned-8", "lifting")
"""Operators that are learned from the fields before anything is measured."""


def make_operator(name: Operator, grid: Grid, positive: bool = False) -> CoarseGraining:
    """A coarse-graining from the closed registry of saved configurations, for fields on this grid.

    Axes that differ in boundary or factor get an operator each (:class:`PerAxis`), one of factor 1 is left alone;
    ``quincunx``, ``lifting`` and learned wavelets treat all axes alike, and so do :class:`Shares`, the block means of
    ``positive`` fields. Levels that differ in factor get an operator each (:class:`PerLevel`).
    """
    if name not in get_args(Operator):
        raise InputError(f"unknown operator {name!r}; known are {', '.join(get_args(Operator))}")
    steps = [grid.factors_at(level) for level in range(grid.depth or 1)]
    factors, sides = set().union(*steps), set(grid.boundaries)
    wrong = factors - {1, 2} if name not in ("block-spin", "decimation", "momentum-shell") else set()
    if wrong:
        raise InputError(
            f"the factor is {max(wrong)}; {name} has 2 (block-spin, decimation and momentum-shell take any)"
        )
    if positive:
        if name != "block-spin" or factors != {2}:
            raise InputError(f"{name} of factor {in_words(grid.factors)}; positive fields have block-spin of factor 2")
        return Shares()
    if name in ("quincunx", *LEARNED):
        if factors != {2}:
            raise InputError(f"the factors of the axes are {in_words(grid.factors)}; {name} has 2 along each")
        if name == "quincunx":
            return Quincunx()
        if name == "lifting":
            return Lifting(grid.dimension, grid.boundaries)
        if len(sides) > 1:
            raise InputError(f"the boundaries are {', '.join(grid.boundaries)}; {name} has one for all axes, db4 any")
        return LearnedWavelet(int(name.removeprefix("learned-")), grid.boundaries[0])
    each = [_of_level(name, step, grid.boundaries) for step in steps]
    return each[0] if len(set(steps)) == 1 else PerLevel(each)


def _of_level(name: Operator, factors: tuple[int, ...], sides: tuple[Boundary, ...]) -> CoarseGraining:
    """The operator of one level, whose axes have these factors and boundaries."""
    each = [None if b == 1 else _along(name, b, side) for b, side in zip(factors, sides, strict=True)]
    alike = len(set(factors)) == 1 and (len(set(sides)) == 1 or name in ("block-spin", "decimation"))
    return each[0] if alike and each[0] is not None else PerAxis(each)


def _along(name: Operator, factor: int, boundary: Boundary) -> Orthonormal:
    """The operator of one axis, or of several that are alike."""
    if name == "block-spin":
        return BlockSpin(factor)
    if name == "decimation":
        return Decimation(factor)
    if name == "momentum-shell":
        return MomentumShell(factor, boundary)
    return Wavelet(name, boundary)
