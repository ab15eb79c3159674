"""What is known of the axes of a field: their names, boundaries and factors, and which of them is time."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from rgdm.design import Factor
from rgdm.errors import InputError
from rgdm.ranges import LONGEST_NAME, check_keys, check_range, shown
from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each, check_boundary

AxisKind = Literal["space", "time"]


@dataclass(frozen=True)
class Axis:
    """One axis of the lattice.

    Args:
        name: as the data call it.
        boundary: what lies beyond its ends, ``periodic`` or ``reflect``.
        factor: b, how many sites become one at a level; 1: the axis is not coarse-grained. One number for all levels,
            or one for each, the finest first.
        kind: ``space`` or ``time``.
    """

    name: str
    boundary: Boundary = "reflect"
    factor: Factor = 2
    kind: AxisKind = "space"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= LONGEST_NAME:
            raise InputError(f"an axis is named {shown(self.name)}; a short text is needed")
        check_boundary(self.boundary)
        for factor in self.factor if isinstance(self.factor, tuple) else (self.factor,):
            check_range("factor", factor, f"the factor of axis {self.name}")
        if self.factor == ():
            raise InputError(f"no factor of axis {self.name}; give one for all levels, or one for each")
        if self.kind not in get_args(AxisKind):
            raise InputError(f"axis {self.name} is of kind {shown(self.kind)}; known are space and time")


@dataclass(frozen=True)
class Grid:
    """The axes of a field, in the order of its tensor ``(batch, channel, *lattice)``: one, two or three."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 3:
            raise InputError(f"a grid of {len(self.axes)} axes; 1, 2 or 3 are needed")
        if len({len(b) for b in self.factors if isinstance(b, tuple)}) > 1:
            raise InputError(f"the factors {in_words(self.factors)} of the axes are for different numbers of levels")
        for level in range(self.depth or 1):
            if math.prod(self.factors_at(level)) == 1:
                at = f" at level {level}" if self.depth else ""
                raise InputError(
                    f"every axis has factor 1{at}, so that nothing is coarse-grained; one factor must be 2 or more"
                )
        if len(set(self.names)) < len(self.axes):
            raise InputError(f"the axes are named {', '.join(self.names)}; every axis needs a name of its own")

    @classmethod
    def uniform(
        cls,
        dimension: int = 2,
        boundary: Boundaries | Sequence[str] = "reflect",
        factor: int | Sequence[Factor] = 2,
        names: Sequence[str] = (),
    ) -> "Grid":
        """A grid of ``dimension`` axes; boundary and factor are one for all axes, or one for each.

        A factor may be one for each level: ``factor=[(2, 3)]``.
        """
        if not 1 <= dimension <= 3:
            raise InputError(f"dimension = {dimension}; 1, 2 or 3 are supported")
        sides = boundary_of_each(boundary if isinstance(boundary, str) else list(boundary), dimension)
        factors = (factor,) * dimension if isinstance(factor, int) else tuple(factor)
        factors = factors * dimension if len(factors) == 1 else factors
        if len(factors) != dimension:
            raise InputError(f"{len(factors)} factors for {dimension} axes; give one for all axes, or one for each")
        names = tuple(names) or ("z", "y", "x")[3 - dimension :]
        if len(names) != dimension:
            raise InputError(f"{len(names)} names ({', '.join(names)}) for {dimension} axes; give one for each")
        return cls(tuple(Axis(*axis) for axis in zip(names, sides, factors, strict=True)))

    @classmethod
    def from_json(cls, axes: Any) -> "Grid":
        """The grid that :meth:`to_json` describes; everything about an axis must be there, and nothing besides."""
        if not isinstance(axes, list | tuple):
            raise InputError(f"grid = {shown(axes)}; a list of axes is needed")
        for axis in axes:
            check_keys("an axis of the grid", axis, [field.name for field in fields(Axis)])
        plain: list[dict[str, Any]] = [
            {key: tuple(v) if isinstance(v, list) else v for key, v in axis.items()} for axis in axes
        ]
        return cls(tuple(Axis(**axis) for axis in plain))

    def to_json(self) -> list[dict[str, Any]]:
        """One dictionary for each axis."""
        each = [asdict(axis) for axis in self.axes]
        return [{key: list(v) if isinstance(v, tuple) else v for key, v in axis.items()} for axis in each]

    def of_levels(self, levels: int) -> "Grid":
        """The grid of a model of so many levels; an axis of equal factors has one for all of them.

        ``InputError`` if the factors are for another number of levels.
        """
        if self.depth not in (None, levels):
            raise InputError(
                f"the factors {in_words(self.factors)} are for {self.depth} level{'s' * (self.depth != 1)} and there "
                f"{'is' if levels == 1 else 'are'} {levels}; give one for all levels, or one for each, the finest first"
            )
        return Grid(tuple(replace(axis, factor=one_if_equal(axis.factor)) for axis in self.axes))

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """The boundary of each axis."""
        return tuple(axis.boundary for axis in self.axes)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factor b of each axis, of those that differ by level one for each."""
        return tuple(axis.factor for axis in self.axes)

    @property
    def depth(self) -> int | None:
        """For how many levels there are factors; None: for any number."""
        return next((len(b) for b in self.factors if isinstance(b, tuple)), None)

    @property
    def one_factor(self) -> bool:
        """Whether at each level all axes have the same factor."""
        return all(len(set(self.factors_at(level))) == 1 for level in range(self.depth or 1))

    def factors_at(self, level: int) -> tuple[int, ...]:
        """The factor b of each axis, from ``level`` to the next one."""
        return tuple(b[level] if isinstance(b, tuple) else b for b in self.factors)

    def widths(self, levels: int) -> tuple[int, ...]:
        """How many sites of level 0 one of level ``levels`` is wide along each axis: the product of its factors."""
        steps = [self.factors_at(level) for level in range(levels)]
        return tuple(math.prod(step[axis] for step in steps) for axis in range(len(self.axes)))

    @property
    def alike(self) -> bool:
        """Whether the axes differ in nothing but their names."""
        return len({(axis.boundary, axis.factor, axis.kind) for axis in self.axes}) == 1

    def site_sizes(self, levels: int) -> tuple[float, ...]:
        """The length of a site after so many levels along each axis, over the smallest of them."""
        sizes = self.widths(levels)
        return tuple(size / min(sizes) for size in sizes)

    @property
    def periodic(self) -> bool:
        """Whether the field is a torus: every axis is periodic."""
        return all(side == "periodic" for side in self.boundaries)


def one_if_equal(factor: Factor) -> Factor:
    """One number for factors of levels that are all equal."""
    return factor[0] if isinstance(factor, tuple) and len(set(factor)) == 1 else factor


def factors_at_scale(factors: Sequence[int | Sequence[int]], scale: int) -> tuple[int, ...]:
    """Those of the axes from one scale to the next; where there are more scales than levels, the last one goes on."""
    return tuple(b if isinstance(b, int) else b[min(scale, len(b) - 1)] for b in factors)


def scale_widths(factors: Sequence[int | Sequence[int]], scale: int) -> tuple[int, ...]:
    """How many sites blocks of a scale are wide along each axis, those of scale 0 being single sites."""
    steps = [factors_at_scale(factors, finer) for finer in range(scale)]
    return tuple(math.prod(step[axis] for step in steps) for axis in range(len(factors)))


def in_words(factors: Sequence[Factor]) -> str:
    """The factors of axes: ``2`` if all are alike, ``(1, 2)``; of levels as they are typed, ``2,3`` and ``2,3 1``."""
    if all(isinstance(b, int) for b in factors):
        return str(factors[0]) if len(set(factors)) == 1 else str(tuple(factors))
    words = [str(b) if isinstance(b, int) else ",".join(map(str, b)) for b in factors]
    return words[0] if len(set(words)) == 1 else " ".join(words)
