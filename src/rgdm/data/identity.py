"""What a field is, as far as names, attributes and coordinates tell: kept by a model, compared with what it gets."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.axes import BOUNDARY, PERIODIC, lattice_axes
from rgdm.data.cells.edges import unwrap_angle
from rgdm.data.cells.order import REGULAR
from rgdm.data.conventions import angle_of, auxiliary_variables
from rgdm.data.origin import ORIGIN, origin_of
from rgdm.errors import InputError
from rgdm.scale.grid import Grid

IDENTITY = "identity"
"""Where the metadata of a model keep it."""
_NAMELESS = re.compile(r"((field|arr|channel|band|band_data)(_?\d+)?|grey|__xarray_dataarray_variable__|)")
"""Names of arrays and images, and those that are given where there is none."""
_DIFFERENCE = re.compile(r"anomal|difference|deviation|departure|tendency|increment|_change", re.IGNORECASE)


@dataclass(frozen=True)
class Channel:
    """One variable; what is not known is None.

    Args:
        name: in the file.
        units: as its attribute spells them.
        standard_name: of the CF conventions.
        difference: of two values, such as an anomaly, so that 0 degC is 0 K.
    """

    name: str | None = None
    units: str | None = None
    standard_name: str | None = None
    difference: bool = False


@dataclass(frozen=True)
class AxisIdentity:
    """One axis of the lattice; what is not known is None.

    Args:
        name: of the axis.
        rising: whether its coordinate rises with the index.
        spacing: between two sites, of an axis that is regular.
        units: of the spacing; None if the coordinate states none.
    """

    name: str
    rising: bool | None = None
    spacing: float | None = None
    units: str | None = None


@dataclass(frozen=True)
class Identity:
    """The channels in their order, the axes of the lattice in theirs, and the boundaries that are right for them.

    Args:
        channels: one each.
        axes: one each; none if nothing is known of them.
        boundaries: for each axis those that may be stated of it: that of a model, and what its data stated; none if
            nothing is known.
    """

    channels: tuple[Channel, ...]
    axes: tuple[AxisIdentity, ...] = ()
    boundaries: tuple[tuple[str, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> "Identity":
        """What :meth:`to_json` describes; raises ``InputError`` if it does not describe anything."""
        try:
            channels = tuple(Channel(**channel) for channel in content["channels"])
            axes = tuple(AxisIdentity(**axis) for axis in content["axes"])
            boundaries = tuple(tuple(map(str, sides)) for sides in content["boundaries"])
            words = [word for c in channels for word in (c.name, c.units, c.standard_name)]
            words += [word for axis in axes for word in (axis.name, axis.units)]
            wrong = [word for word in words if not isinstance(word, str | None)]
            wrong += [axis.rising for axis in axes if axis.rising not in (True, False, None)]
            wrong += [axis.spacing for axis in axes if axis.spacing is not None and not 0 < axis.spacing < np.inf]
            if wrong or len(boundaries) not in (0, len(axes)):
                raise ValueError(str(wrong[0] if wrong else f"{len(boundaries)} boundaries of {len(axes)} axes"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the metadata of the model do not describe its data: {error}") from None
        return cls(channels, axes, boundaries)

    def completed(self, other: "Identity") -> "Identity":
        """What is known of a field that is aligned with another, where this one says nothing."""
        channels = tuple(_filled(a, b) for a, b in zip(self.channels, other.channels, strict=True))
        axes = tuple(_filled(a, b) for a, b in zip(self.axes, other.axes, strict=True)) if self.axes else other.axes
        return Identity(channels, axes, self.boundaries or other.boundaries)


def _filled(known: Any, other: Any) -> Any:
    return replace(known, **{key: getattr(other, key) for key, value in asdict(known).items() if value is None})


def identity_of(field: xr.DataArray | xr.Dataset, dimension: int, order: Sequence[Hashable] = ()) -> Identity:
    """What is known of a field with ``dimension`` lattice axes, which are taken in the order of a model's."""
    lattice = lattice_of(field, dimension, order)
    first = field if isinstance(field, xr.DataArray) else field[fields_of(field)[0]]
    stated = stated_boundaries(first, lattice)
    axes = tuple(_axis(first, name) for name in lattice)
    return Identity(tuple(channels_of(field)), axes, tuple((side,) for side in stated))


def known_of(metadata: Mapping[str, Any], grid: Grid, channels: int) -> Identity:
    """What a model knows of its data; of one that was saved without, names and units, boundaries and axes by name."""
    names = tuple(AxisIdentity(name) for name in grid.names)
    sides = tuple((side,) for side in grid.boundaries)
    if IDENTITY in metadata:
        known = Identity.from_json(metadata[IDENTITY])
        if len(known.channels) != channels or len(known.axes or names) != grid.dimension:
            raise InputError(
                f"the metadata of the model describe {len(known.channels)} channels and {len(known.axes)} axes; it has "
                f"{channels} and {grid.dimension}"
            )
        # What the training data stated is right too, where the user knew better.
        if known.boundaries:
            sides = tuple((*own, *told) for own, told in zip(sides, known.boundaries, strict=True))
        return replace(known, axes=known.axes or names, boundaries=sides)
    stored, attrs = metadata.get("channels"), metadata.get("attrs")
    named = [str(name) for name in stored] if isinstance(stored, list) and len(stored) == channels else [""] * channels
    attrs = attrs if channels == 1 and isinstance(attrs, dict) else {}
    return Identity(tuple(channel_of(name, attrs) for name in named), names, sides)


def channels_of(field: xr.DataArray | xr.Dataset) -> list[Channel]:
    """What is known of each channel: of each variable of a Dataset, of each entry of an axis ``channel``."""
    if isinstance(field, xr.Dataset):
        return [channel_of(str(name), field[name].attrs) for name in fields_of(field)]
    if "channel" not in field.dims:
        return [channel_of(str(field.name or ""), field.attrs)]
    if "channel" not in field.coords:
        return [channel_of("", field.attrs)] * field.sizes["channel"]
    own = origin_of(field).channels if ORIGIN in field.encoding else {}
    return [channel_of(str(name), own.get(str(name), field.attrs)) for name in field["channel"].values]


def fields_of(data: xr.Dataset) -> list[Hashable]:
    """The variables of a Dataset that are no bounds, grid mappings or measures of others."""
    auxiliary = auxiliary_variables(data)
    return [name for name in data.data_vars if name not in auxiliary]


def channel_of(name: str, attrs: Mapping[Any, Any]) -> Channel:
    """What a name and attributes tell of a variable; names that stand for none are no names."""
    known = {key: str(attrs[key]) for key in ("units", "standard_name") if attrs.get(key) is not None}
    words = [
        name,
        *(str(attrs.get(key, "")) for key in ("standard_name", "long_name", "units_metadata", "cell_methods")),
    ]
    difference = any(_DIFFERENCE.search(word) for word in words)
    return Channel(None if _NAMELESS.fullmatch(name) else name, **known, difference=difference)


def lattice_of(field: xr.DataArray | xr.Dataset, dimension: int, order: Sequence[Hashable] = ()) -> list[Hashable]:
    """The names of the lattice axes, in the order of a model's where names or roles tell."""
    first = field if isinstance(field, xr.DataArray) else field[fields_of(field)[0]]
    return lattice_axes(first, dimension, order=order)[1]


def stated_boundaries(array: xr.DataArray, lattice: Sequence[Hashable]) -> tuple[str, ...]:
    """What the attributes of an array state of the boundary of each axis; empty if nothing."""
    if BOUNDARY in array.attrs:
        stated = [side.strip() for side in str(array.attrs[BOUNDARY]).split(",")]
        stored = origin_of(array).dims if ORIGIN in array.encoding else array.dims
        own = [name for name in stored if name in lattice]
        if len(stated) == 1:
            return tuple(stated * len(lattice))
        if len(stated) != len(own):
            return ()
        return tuple(dict(zip(own, stated, strict=True))[name] for name in lattice)
    if PERIODIC in array.attrs:
        side = "periodic" if str(array.attrs[PERIODIC]) in ("True", "1") else "reflect"
        return (side,) * len(lattice)
    return ()


def _axis(array: xr.DataArray, name: Hashable) -> AxisIdentity:
    """Orientation and spacing of an axis by its coordinate, or by two-dimensional latitudes or longitudes."""
    coordinate = _places(array, name)
    if coordinate is None or coordinate.sizes[name] < 2 or coordinate.dtype.kind not in "fiuM":
        return AxisIdentity(str(name))
    units, (angle, circle) = coordinate.attrs.get("units"), angle_of(coordinate.name, coordinate.attrs)
    if coordinate.dtype.kind == "M":
        values, units = (coordinate.values - coordinate.values.flat[0]) / np.timedelta64(1, "s"), "s"
    else:
        values, units = coordinate.values.astype(np.float64), "degree" if units is None and angle else units
    values = unwrap_angle(values, circle) if angle == "longitude" else values
    steps = np.diff(values, axis=coordinate.dims.index(name))
    if not ((np.all(steps >= 0) or np.all(steps <= 0)) and np.any(steps)):
        return AxisIdentity(str(name))
    rising, sizes = bool(np.any(steps > 0)), abs(steps)
    counted = units is None and np.all(sizes == 1)  # sites by number have no size
    if counted or sizes.max() > REGULAR * sizes.min():
        return AxisIdentity(str(name), rising)
    spacing = float(f"{sizes.mean():.6g}")
    return AxisIdentity(str(name), rising, spacing, None if units is None else str(units))


def _places(array: xr.DataArray, name: Hashable) -> xr.DataArray | None:
    """The coordinate that says where the sites along an axis lie."""
    if name in array.coords:  # `get` would give the numbers of sites
        return array.coords[name]
    for key, coordinate in array.coords.items():
        angle = angle_of(key, coordinate.attrs)[0]
        if coordinate.ndim == 2 and angle and name == coordinate.dims[0 if angle == "latitude" else 1]:
            return coordinate
    return None
