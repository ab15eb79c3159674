"""The coarse-grainings that a saved model or a command may name: a closed list."""

from typing import Literal, get_args

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet, Lifting
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.quincunx import Quincunx
from rgdm.scale.operators.wavelets import Wavelet

FixedOperator = Literal["block-spin", "haar", "db2", "db4", "sym4", "momentum-shell", "decimation", "quincunx"]
Operator = Literal[FixedOperator, "learned-4", "learned-8", "lifting"]


def make_operator(name: Operator, factor: int, boundary: Boundary, dimension: int) -> CoarseGraining:
    """A coarse-graining from the closed registry of saved configurations."""
    if name == "block-spin":
        return BlockSpin(factor)
    if name == "decimation":
        return Decimation(factor)
    if name == "momentum-shell":
        return MomentumShell(factor, boundary)
    if name not in get_args(Operator):
        raise InputError(f"unknown operator {name!r}; known are {', '.join(get_args(Operator))}")
    if factor != 2:
        raise InputError(f"the factor is {factor}; {name} has 2 (block-spin and decimation take any)")
    if name == "quincunx":
        return Quincunx()
    if name == "lifting":
        return Lifting(dimension, boundary)
    if name == "learned-4" or name == "learned-8":
        return LearnedWavelet(int(name.removeprefix("learned-")), boundary)
    return Wavelet(name, boundary)
