"""Another operator for each level: a field that is coarsened by 2 and then by 3."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import CoarseGraining


class PerLevel(CoarseGraining):
    """The operators of the levels of a cascade, the finest first, of which :meth:`at` gives one.

    Lattices, places and gains are those of so many levels from level 0 on. There is no split, no factor and no number
    of bands but of one level.
    """

    def __init__(self, operators: Sequence[CoarseGraining]) -> None:
        super().__init__()
        if not operators:
            raise InputError("no operator of any level; give one for each")
        self.levels = nn.ModuleList(operators)

    def at(self, level: int) -> CoarseGraining:
        if not 0 <= level < len(self.levels):
            raise InputError(f"level {level} has no coarse-graining; there are {len(self.levels)} levels")
        operator = self.levels[level]
        assert isinstance(operator, CoarseGraining)
        return operator

    @property
    def factor(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise InputError("the factors differ by level; this needs one for all of them")

    @property
    def blockwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return all(self.at(level).blockwise for level in range(len(self.levels)))

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        raise InputError("the coarse-graining differs by level; say of which a field is: at(level)")

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        raise InputError("the coarse-graining differs by level; say of which a field is: at(level)")

    def on(self, weights: Float[Tensor, "B C *F"] | None) -> CoarseGraining:
        raise InputError("the coarse-graining differs by level; say of which a field is: at(level)")

    def gain_to(self, dimension: int, level: int, power: int = 1) -> float:
        return math.prod(self.at(finer).gain(dimension) ** power for finer in range(level))

    def widths(self, dimension: int, levels: int) -> tuple[int, ...]:
        factors = [self.at(level).factors(dimension) for level in range(levels)]
        return tuple(math.prod(own[axis] for own in factors) for axis in range(dimension))

    def places(self, dimension: int, levels: int = 1) -> tuple[float, ...]:
        found = [0.0] * dimension
        for level in range(levels):
            steps = zip(self.at(level).places(dimension), self.widths(dimension, level), strict=True)
            found = [place + step * width for place, (step, width) in zip(found, steps, strict=True)]
        return tuple(found)

    def check_orthonormal(self, dimension: int) -> None:
        for level in range(len(self.levels)):
            self.at(level).check_orthonormal(dimension)

    def check_volume(self, dimension: int) -> None:
        for level in range(len(self.levels)):
            self.at(level).check_volume(dimension)
