"""How a lattice is drawn: which axis goes up, and from which end."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.axes import axis_roles
from rgdm.data.conventions import Role, angle_of
from rgdm.data.identity import identity_of


@dataclass(frozen=True)
class Orientation:
    """What is done to the last two axes so that north is up and east is right; by default they are a matrix.

    Args:
        transposed: the rows lie along x, the columns along y.
        upward: after that, the first row belongs at the bottom.
        leftward: the first column belongs at the right.
    """

    transposed: bool = False
    upward: bool = False
    leftward: bool = False

    def apply(self, field: np.ndarray) -> np.ndarray:
        """Fields (..., rows, columns) as they are drawn."""
        field = field.swapaxes(-1, -2) if self.transposed else field
        rows, columns = (slice(None, None, -1 if turned else None) for turned in (self.upward, self.leftward))
        return field[..., rows, columns]

    def to_json(self) -> dict[str, bool]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> "Orientation":
        """What :meth:`to_json` describes; a matrix if it describes nothing."""
        known = content if isinstance(content, Mapping) else {}
        return cls(*(known.get(name) is True for name in ("transposed", "upward", "leftward")))


def orientation_of(array: xr.DataArray, axes: Sequence[Hashable], rising: Sequence[bool | None] = ()) -> Orientation:
    """How a field with these lattice axes is drawn, by their coordinates.

    A coordinate of the y axis (a latitude, a northing, what says ``axis: Y``) rises upward, one of the x axis to the
    right, a vertical one as its attribute ``positive`` says. Without a coordinate an axis is as that of a matrix; a
    latitude then is taken to rise, as ``rising`` says or by default.

    Args:
        array: with names, coordinates and attributes.
        axes: the names of the lattice axes, in order.
        rising: for each of them whether its coordinate rises with the index, where the array itself has none.
    """
    if len(axes) < 2:
        return Orientation()
    order, known = list(axes), axis_roles(array)
    roles: list[Role] = [known.get(name, "") for name in order[-2:]]
    first = array.isel({name: 0 for name in array.dims if name not in order})
    found = [axis.rising for axis in identity_of(first, len(order), order).axes]
    spare = list(rising) if len(rising) == len(order) else [None] * len(order)
    turned = [own if own is not None else other for own, other in zip(found, spare, strict=True)][-2:]
    if roles == ["x", "y"]:
        return Orientation(True, _upward(array, order[-1], "y", turned[1]), turned[0] is False)
    return Orientation(False, _upward(array, order[-2], roles[0], turned[0]), roles[1] == "x" and turned[1] is False)


def _upward(array: xr.DataArray, name: Hashable, role: Role, rising: bool | None) -> bool:
    attrs = array.coords[name].attrs if name in array.coords else {}
    if role == "z":
        positive = str(attrs.get("positive", "")).lower()
        return rising is not None and (positive == "up") == rising and positive in ("up", "down")
    latitude = angle_of(name, attrs)[0] == "latitude" or str(name).lower().startswith("lat")
    if role == "y" or latitude:
        return latitude if rising is None else rising
    return False
