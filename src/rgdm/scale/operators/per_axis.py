"""Another operator for each axis: other boundaries, other factors, or an axis that is left alone."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import Lattice, Orthonormal, Separable


class Identity(Orthonormal):
    """An axis that is not coarse-grained: factor 1, no detail."""

    def __init__(self) -> None:
        super().__init__(2)
        self.factor = 1

    blockwise = True

    @property
    def place(self) -> float:
        return 0.0

    def places(self, dimension: int, levels: int = 1) -> tuple[float, ...]:
        return (0.0,) * dimension

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        return torch.eye(n, dtype=torch.float64)

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        return x.unsqueeze(-2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        return z.squeeze(-2)


class PerAxis(Separable):
    """The product of one operator for each axis, the first axis first; None leaves an axis as it is.

    Orthonormal as its factors are. Wavelets of a globe are periodic in longitude and reflecting in latitude; a film
    is coarse-grained in space alone.
    """

    def __init__(self, operators: Sequence[Orthonormal | None]) -> None:
        super().__init__()
        if all(operator is None for operator in operators):
            raise InputError("no axis is coarse-grained; give an operator for one axis at least")
        self.axes = nn.ModuleList(Identity() if operator is None else operator for operator in operators)

    @property
    def factor(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise InputError(f"the factors {self.factors(len(self.axes))} differ by axis; this needs one for all axes")

    @property
    def blockwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return all(self.along(axis).blockwise for axis in range(len(self.axes)))

    def along(self, axis: int) -> Orthonormal:
        operator = self.axes[axis]
        assert isinstance(operator, Orthonormal)
        return operator

    def factors(self, dimension: int) -> tuple[int, ...]:
        self._check_dimension(dimension)
        return tuple(self.along(axis).factor for axis in range(dimension))

    def gain(self, dimension: int) -> float:
        self._check_dimension(dimension)
        return math.prod(self.along(axis).gain(1) for axis in range(dimension))

    @property
    def place(self) -> float:
        raise InputError("the place of the first coarse site differs by axis; ask for places(dimension)")

    def places(self, dimension: int, levels: int = 1) -> tuple[float, ...]:
        self._check_dimension(dimension)
        return tuple(self.along(axis).places(1, levels)[0] for axis in range(dimension))

    def check(self, lattice: Lattice) -> None:
        self._check_dimension(len(lattice))
        super().check(lattice)

    def _check_dimension(self, dimension: int) -> None:
        if dimension != len(self.axes):
            raise InputError(f"a field of {dimension} axes; this operator has one rule for each of {len(self.axes)}")
