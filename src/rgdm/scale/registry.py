"""The coarse-grainings that a saved model or a command may name: a closed list."""

from typing import Literal, get_args

from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.operators import BlockSpin, Decimation, MomentumShell, Wavelet
from rgdm.scale.quincunx import Quincunx

Operator = Literal["block-spin", "haar", "db2", "db4", "sym4", "momentum-shell", "decimation", "quincunx"]


def make_operator(name: Operator, factor: int, boundary: Boundary) -> Orthonormal:
    """A coarse-graining from the closed registry of saved configurations."""
    if name == "block-spin":
        return BlockSpin(factor)
    if name == "decimation":
        return Decimation(factor)
    if name == "momentum-shell":
        return MomentumShell(factor, boundary)
    if name == "quincunx":
        if factor != 2:
            raise ValueError(f"the factor is {factor}; quincunx has 2, sqrt(2) at a stage (decimation takes any)")
        return Quincunx()
    if name in get_args(Operator):
        if factor != 2:
            raise ValueError(f"the factor is {factor}; the wavelet {name} has 2 (block-spin takes any)")
        return Wavelet(name, boundary)
    raise ValueError(f"unknown operator {name!r}; known are {', '.join(get_args(Operator))}")
