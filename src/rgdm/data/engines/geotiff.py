"""GeoTIFF by rioxarray: an image whose pixels have a place on a map."""

import json
import struct
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from rgdm.notes import say

_PLACED = {33550, 34264}
"""TIFF tags of a georeference: the size of pixels, or a whole transform (GeoTIFF 1.1, section 7)."""
ALONG = "bands_along"
"""The tag of a file that says along which axis its bands lie."""
DESCRIPTION = "description"
"""Of a band, its words in every program."""
_BAND = "band"
_OF_BANDS = ("_FillValue", "scale_factor", "add_offset", "scales", "offsets", "units", "long_name")


def is_placed(path: Path) -> bool:
    """Whether the first page of a TIFF file says where its pixels lie."""
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            return False
        big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        file.seek(struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0])
        width, entry = (8, 20) if big else (2, 12)
        count = file.read(width)
        if len(count) < width:
            return False
        entries = file.read(entry * min(struct.unpack(f"{order}{'Q' if big else 'H'}", count)[0], 4096))
    return any(
        struct.unpack(f"{order}H", entries[i : i + 2])[0] in _PLACED for i in range(0, len(entries) - entry + 1, entry)
    )


def opens(path: Path) -> bool:
    """Whether a file is a GeoTIFF that can be opened; that it would be with rioxarray is said."""
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file() or not is_placed(path):
        return False
    if find_spec("rioxarray") is None:
        hint = "it is read as an image; its place is kept with pip install 'rgdm[formats]'"
        say([f"{path} says where its pixels lie; {hint}"])
        return False
    return True


def open_geotiff(path: Path) -> xr.Dataset:
    """The bands of a GeoTIFF as variables on (y, x), as they are stored, with coordinates and reference system.

    One band is ``band_data``, several are ``band_1, band_2, ...``, or called by their descriptions. The bands of a file
    that says (:data:`ALONG`) that they lie along an axis, such as members, are one variable with this axis in front.
    """
    with warnings.catch_warnings():  # of bands with scales of their own, which are told apart here
        warnings.filterwarnings("ignore", ".* differ across bands")
        data = xr.open_dataset(path, engine="rasterio", mask_and_scale=False)
    band = data["band_data"]
    band.attrs.setdefault("grid_mapping", "spatial_ref")
    count, (tags, told) = band.sizes[_BAND], _told(path)
    own = [{**_shared_by_bands(band.attrs, tags), **each} for each in told]
    rest = data.drop_vars(["band_data", _BAND]).assign_attrs(tags)
    if (along := _along(tags.get(ALONG), count)) is not None:
        name, axis = along
        del rest.attrs[ALONG]
        part = band.drop_vars(_BAND).rename({_BAND: axis.dims[0]})
        part.attrs = {key: value for key, value in own[0].items() if key != DESCRIPTION}
        return rest.assign({name: part}).assign_coords({axis.dims[0]: axis})
    described = [each.pop(DESCRIPTION, None) for each in own]
    names = ["band_data"] if count == 1 else [f"band_{i}" for i in range(1, count + 1)]
    if count > 1 and None not in described and len(set(described)) == count:
        names = [str(each) for each in described]
    parts = {name: band.isel({_BAND: i}, drop=True) for i, name in enumerate(names)}
    for (name, part), attrs, description in zip(parts.items(), own, described, strict=True):
        part.attrs = {"long_name": description or name, **attrs} if description or count > 1 else attrs
    return rest.assign(parts)


def _shared_by_bands(attrs: Mapping[Any, Any], tags: Mapping[str, Any]) -> dict[Any, Any]:
    """What the engine says of all bands together, less what is said of each or of the file."""
    return {key: attrs[key] for key in attrs if key not in (*tags, *_OF_BANDS)}


def _told(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a file says of itself, and of each band: unit, packing, the value of what is missing, description."""
    import rasterio

    with rasterio.open(path) as file:
        bands = []
        for i in range(file.count):
            attrs: dict[str, Any] = {key: _number(text) for key, text in file.tags(i + 1).items()}
            if file.nodatavals[i] is not None:
                attrs["_FillValue"] = file.nodatavals[i]
            attrs |= {"scale_factor": file.scales[i], "add_offset": file.offsets[i]}
            attrs |= {"units": file.units[i]} if file.units[i] else {}
            attrs |= {DESCRIPTION: file.descriptions[i]} if file.descriptions[i] else {}
            bands.append(attrs)
        return {key: _number(text) for key, text in file.tags().items()}, bands


def _number(text: str) -> Any:
    """The number that a tag holds, which is always text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _along(told: Any, count: int) -> tuple[str, xr.Variable] | None:
    """The name of the variable whose parts the bands are, and the axis along which they lie, if that is told."""
    try:
        said = json.loads(str(told))
        coords = {said["axis"]: xr.Variable([said["axis"]], said["values"], said["attrs"])}
        axis = xr.decode_cf(xr.Dataset(coords=coords), decode_timedelta=False)[said["axis"]].variable
        return (str(said["variable"]), axis) if axis.size == count else None
    except (ValueError, KeyError, TypeError):  # another program's word
        return None
