"""What is known of the axes of a field: their names, boundaries and factors, and which of them is time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

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
        factor: b, how many sites become one at a level; 1: the axis is not coarse-grained.
        kind: ``space`` or ``time``.
    """

    name: str
    boundary: Boundary = "reflect"
    factor: int = 2
    kind: AxisKind = "space"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= LONGEST_NAME:
            raise InputError(f"an axis is named {shown(self.name)}; a short text is needed")
        check_boundary(self.boundary)
        check_range("factor", self.factor, f"the factor of axis {self.name}")
        if self.kind not in get_args(AxisKind):
            raise InputError(f"axis {self.name} is of kind {shown(self.kind)}; known are space and time")


@dataclass(frozen=True)
class Grid:
    """The axes of a field, in the order of its tensor ``(batch, channel, *lattice)``: one, two or three."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 3:
            raise InputError(f"a grid of {len(self.axes)} axes; 1, 2 or 3 are needed")
        if all(axis.factor == 1 for axis in self.axes):
            raise InputError("every axis has factor 1, so that nothing is coarse-grained; one factor must be 2 or more")
        if len(set(self.names)) < len(self.axes):
            raise InputError(f"the axes are named {', '.join(self.names)}; every axis needs a name of its own")

    @classmethod
    def uniform(
        cls,
        dimension: int = 2,
        boundary: Boundaries | Sequence[str] = "reflect",
        factor: int | Sequence[int] = 2,
        names: Sequence[str] = (),
    ) -> "Grid":
        """A grid of ``dimension`` axes; boundary and factor are one for all axes, or one for each."""
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
        return cls(tuple(Axis(**axis) for axis in axes))

    def to_json(self) -> list[dict[str, Any]]:
        """One dictionary for each axis."""
        return [asdict(axis) for axis in self.axes]

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
    def factors(self) -> tuple[int, ...]:
        """The factor b of each axis."""
        return tuple(axis.factor for axis in self.axes)

    @property
    def alike(self) -> bool:
        """Whether the axes differ in nothing but their names."""
        return len({(axis.boundary, axis.factor, axis.kind) for axis in self.axes}) == 1

    def site_sizes(self, levels: int) -> tuple[float, ...]:
        """The length of a site after so many levels along each axis, over the smallest of them."""
        sizes = [b**levels for b in self.factors]
        return tuple(size / min(sizes) for size in sizes)

    @property
    def periodic(self) -> bool:
        """Whether the field is a torus: every axis is periodic."""
        return all(side == "periodic" for side in self.boundaries)
