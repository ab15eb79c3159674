"""GeoTIFF by rioxarray: an image whose pixels have a place on a map."""

import struct
import sys
from importlib.util import find_spec
from pathlib import Path

import xarray as xr

_PLACED = {33550, 34264}
"""TIFF tags of a georeference: the size of pixels, or a whole transform (GeoTIFF 1.1, section 7)."""
_BAND = "band"


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
        print(f"rgdm: note: {path} says where its pixels lie; {hint}", file=sys.stderr)
        return False
    return True


def open_geotiff(path: Path) -> xr.Dataset:
    """The bands of a GeoTIFF as variables on (y, x), as they are stored, with coordinates and reference system.

    One band is ``band_data``, several are ``band_1, band_2, ...``, or called by their descriptions.
    """
    data = xr.open_dataset(path, engine="rasterio", mask_and_scale=False)
    band = data["band_data"]
    band.attrs.setdefault("grid_mapping", "spatial_ref")
    if band.sizes.get(_BAND, 1) == 1:
        return data.isel({_BAND: 0}, drop=True)
    told = band.attrs.get("long_name", ())
    named = [str(name) for name in told] if isinstance(told, tuple | list) else []
    names = named if len(set(named)) == band.sizes[_BAND] else [f"band_{i}" for i in band[_BAND].values]
    parts = {name: band.isel({_BAND: i}, drop=True) for i, name in enumerate(names)}
    for name, part in parts.items():
        part.attrs = {key: v for key, v in part.attrs.items() if key != "long_name"} | {"long_name": name}
    rest = data.drop_vars(["band_data", _BAND])
    return rest.assign(parts).assign_attrs(data.attrs)
