"""What the noise of a field is keyed by: what the field is, not where it stands in a file."""

import hashlib
from collections import Counter
from collections.abc import Collection, Hashable, Sequence

import xarray as xr

from rgdm.data.layout import DataArrayLayout, DatasetLayout, Layout
from rgdm.data.moments import text_of

MEMBERS = 2**32
"""More members than any ensemble has."""
_MAPPING = ("grid_mapping_name", "crs_wkt", "spatial_ref")


def streams(layout: Layout, count: int) -> list[int]:
    """The stream of noise of member 0 of each of ``count`` fields; member m takes the m-th after it.

    A field with coordinates beside those of the lattice (its time, level, realization; one on an axis of samples, or
    the scalar that is left of such an axis) is keyed by their names and values, so that a day has the same noise alone
    and in a longer file; one without by its place. Of fields that have all these in common the second, third ... are
    told apart by their order.
    """
    if isinstance(layout, DatasetLayout):
        layout = next(iter(layout.variables.values()))
    if not isinstance(layout, DataArrayLayout):
        return [MEMBERS * place for place in range(count)]
    seen, found = Counter[str](), []
    for name in names(layout.source, layout.batch, count):
        found.append(MEMBERS * (hashed(f"{name}#{seen[name]}") if name else seen[name]))
        seen[name] += 1
    return found


def names(array: xr.DataArray, batch: Sequence[Hashable], count: int, without: Collection[Hashable] = ()) -> list[str]:
    """The coordinates of each field as text, ``without`` some of them; empty where there are none."""
    sizes, columns = {axis: array.sizes[axis] for axis in batch}, []
    for name, coordinate in sorted(array.coords.items(), key=lambda item: str(item[0])):
        if (
            name == "channel"
            or name in without
            or not set(coordinate.dims) <= set(batch)
            or set(_MAPPING) & set(coordinate.attrs)
        ):
            continue
        values = coordinate.variable.set_dims(sizes).transpose(*batch).values.reshape(count)
        columns.append([f"{name}={text_of(value)}" for value in values])
    return [";".join(parts) for parts in zip(*columns, strict=True)] or [""] * count


def hashed(name: str) -> int:
    """Of 128 bits, and beyond all places."""
    return 2**128 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
