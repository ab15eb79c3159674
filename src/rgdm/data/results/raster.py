"""Fields as the bands of a GeoTIFF: one affine transform, one reference system, and a description of each band."""

import json
from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.conventions import encode_cf_variable

from rgdm.data.cells.order import numbers_of
from rgdm.data.conventions import affine_of, angle_of, named_variables, role_of
from rgdm.data.engines.geotiff import ALONG
from rgdm.data.identity import fields_of
from rgdm.data.results.encodings import is_date
from rgdm.errors import InputError
from rgdm.notes import say

TIFF = (".tif", ".tiff")
INSTEAD = "write .nc or .zarr"
_EVEN = 0.05
"""By how much of a step sites may lie elsewhere than an affine transform says."""
_MOST = 2**16 - 1
"""Bands of a TIFF file."""
_GLOBE = "EPSG:4326"

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f at the corners of sites."""


def check_installed(path: Path) -> None:
    """``InputError`` if the library that writes GeoTIFF is not there."""
    if find_spec("rioxarray") is None:
        raise InputError(f"{path} is to be a GeoTIFF, which rioxarray writes: pip install 'rgdm[formats]'")


def check_raster(data: xr.Dataset, finer: int = 1) -> None:
    """``InputError`` if the fields of ``data``, or such on a lattice that is so much ``finer``, are no GeoTIFF."""
    y, x = _plane(data)
    _along(data, (y, x))
    _transform(data, y, x, _EVEN if finer == 1 else _EVEN / (2 * finer))
    _reference(data, y, x)


def write_raster(path: Path, data: xr.Dataset) -> None:
    """Write fields, each a variable or an entry of one further axis, as the bands of a GeoTIFF.

    Attributes of the Dataset are tags of the file, those of a variable tags of its bands. NaN is missing.
    """
    import rasterio

    y, x = _plane(data)
    axis = _along(data, (y, x))
    crs, said = _reference(data, y, x)
    if said:
        say([said])
    fields = [data[each] for each in fields_of(data)]
    bands = [band for field in fields for band in _bands(field, axis, (y, x))]
    dtype = np.result_type(*fields, np.float32) if any(f.dtype.kind == "f" for f in fields) else np.result_type(*fields)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):  # or it writes a second file beside the first
        profile = {
            "width": data.sizes[x],
            "height": data.sizes[y],
            "count": len(bands),
            "dtype": dtype.name,
            "crs": crs,
            "transform": rasterio.Affine(*_transform(data, y, x)),
            "nodata": np.nan if dtype.kind == "f" else None,
            "compress": "deflate",
            "bigtiff": "if_safer",
        }
        with rasterio.open(path, "w", driver="GTiff", **profile) as file:
            file.update_tags(**{key: _text(value) for key, value in data.attrs.items()})
            if axis is not None and len(fields) == 1:
                file.update_tags(**{ALONG: _told(fields[0], axis)})
            for i, (label, band) in enumerate(bands, 1):
                file.write(band.to_numpy().astype(dtype, copy=False), i)
                own = {k: _text(v) for k, v in band.attrs.items() if k not in ("units", "grid_mapping")}
                file.update_tags(i, **own)
                file.set_band_description(i, label)
                if band.attrs.get("units"):
                    file.set_band_unit(i, str(band.attrs["units"]))


def _plane(data: xr.Dataset) -> tuple[Hashable, Hashable]:
    """The axes of rows and of columns."""
    first = data[fields_of(data)[0]]
    roles = [(role_of(name, first.coords.get(name)), name) for name in first.dims]
    ys, xs = ([name for role, name in roles if role == wanted] for wanted in ("y", "x"))
    if len(ys) != 1 or len(xs) != 1:
        raise InputError(
            f"a GeoTIFF has rows and columns; which of the axes {first.dims} are these is not known: {INSTEAD}"
        )
    return ys[0], xs[0]


def _along(data: xr.Dataset, plane: tuple[Hashable, Hashable]) -> Hashable | None:
    """The axis along which the bands lie; None where they are variables, or one alone."""
    fields = fields_of(data)
    sizes = {name: size for name, size in data[fields[0]].sizes.items() if name not in plane}
    several = {"variables": len(fields)} if len(fields) > 1 else {}
    several |= {f"of {name}": size for name, size in sizes.items() if size > 1}
    if len(several) > 1:
        found = " x ".join(f"{size} {name}" for name, size in several.items())
        raise InputError(f"the bands of a GeoTIFF are of one kind, and these are {found}: {INSTEAD}")
    if any(size > _MOST for size in several.values()):
        raise InputError(f"a GeoTIFF has at most {_MOST} bands, and these are {max(several.values())}: {INSTEAD}")
    return next((name for name, size in sizes.items() if size > 1), None)


def _bands(
    field: xr.DataArray, axis: Hashable | None, plane: tuple[Hashable, Hashable]
) -> list[tuple[str, xr.DataArray]]:
    """The bands of a field, each with its words."""
    alone = field.squeeze([name for name in field.dims if name not in (axis, *plane)], drop=True)
    name = str(field.name)
    if axis is None:
        return [(name, alone.transpose(*plane))]
    words = (
        [_word(value) for value in alone[axis].values] if axis in alone.coords else map(str, range(alone.sizes[axis]))
    )
    ordered = alone.transpose(axis, *plane)
    return [(f"{name} {axis} {word}", ordered[i]) for i, word in enumerate(words)]


def _told(field: xr.DataArray, axis: Hashable) -> str:
    """What :func:`rgdm.data.engines.geotiff.open_geotiff` needs to know of the axis of the bands."""
    coordinate = field[axis].variable  # numbered where it has none
    encoded = encode_cf_variable(coordinate) if is_date(coordinate) else coordinate
    attrs = {key: value for key, value in encoded.attrs.items() if key != "bounds"}
    values = {"variable": str(field.name), "axis": str(axis), "values": encoded.values.tolist(), "attrs": attrs}
    return json.dumps(values, default=str)


def _transform(data: xr.Dataset, y: Hashable, x: Hashable, even: float = _EVEN) -> Transform:
    """The affine transform: that which the file states, if its coordinates do not say otherwise, else theirs."""
    mapping = _mapping(data)
    stated = affine_of(mapping.get("GeoTransform"))
    rows, columns = (_positions(data, axis) for axis in (y, x))
    if stated is not None and _agrees(stated, rows, columns):
        return stated
    lines = []
    for axis, positions in ((x, columns), (y, rows)):
        if positions is None or len(positions) < 2:
            raise InputError(f"a GeoTIFF says where its cells lie, and the coordinate {axis} does not: {INSTEAD}")
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
        off = np.abs(positions - (positions[0] + step * np.arange(len(positions)))).max()
        if not off <= even * abs(step):
            raise InputError(
                f"a GeoTIFF has cells of one size, and sites of {axis} lie up to {off / abs(step):.2g} cells from "
                f"where even steps of {abs(step):g} would put them: {INSTEAD}"
            )
        lines.append((step, positions[0] - step / 2))
    (a, c), (e, f) = lines
    return float(a), 0.0, float(c), 0.0, float(e), float(f)


def _positions(data: xr.Dataset, axis: Hashable) -> np.ndarray | None:
    """Where the middles of the cells lie along an axis, if a coordinate says so."""
    return numbers_of(data.coords[axis]) if axis in data.coords else None


def _agrees(stated: Transform, rows: np.ndarray | None, columns: np.ndarray | None) -> bool:
    """Whether a stated transform puts the cells where the coordinates do."""
    a, b, c, d, e, f = stated
    if rows is None and columns is None:
        return True
    if rows is None or columns is None or b or d or not a or not e:
        return False
    across, down = (a * (np.arange(len(columns)) + 0.5) + c, e * (np.arange(len(rows)) + 0.5) + f)
    return bool(np.abs(across - columns).max() <= _EVEN * abs(a) and np.abs(down - rows).max() <= _EVEN * abs(e))


def _mapping(data: xr.Dataset) -> Mapping[Any, Any]:
    """The attributes of the grid mapping of the fields, empty where they have none."""
    first = data[fields_of(data)[0]]
    for source in (first.attrs, first.encoding):
        for name in named_variables(source, "grid_mapping")[:1]:
            if name in data.variables:
                return data.variables[name].attrs
    return {}


def _reference(data: xr.Dataset, y: Hashable, x: Hashable) -> tuple[str | None, str]:
    """The reference system as WKT, and what is to be said of it where the file named none."""
    mapping = _mapping(data)
    text = next((str(mapping[key]) for key in ("crs_wkt", "spatial_ref") if mapping.get(key)), None)
    if text is None and mapping.get("grid_mapping_name"):
        from pyproj import CRS

        try:
            text = CRS.from_cf(dict(mapping)).to_wkt()
        except Exception as error:  # pyproj has many, some of them bare
            raise InputError(
                f"the grid mapping {_title(mapping, '')} is not understood ({error}): {INSTEAD}"
            ) from error
    if text is not None:
        if not _is_kept(text):
            raise InputError(f"a GeoTIFF cannot hold the reference system {_title(mapping, text)}: {INSTEAD}")
        return text, ""
    degrees = [
        angle_of(name, data[name].attrs)[0]
        if str(data[name].attrs.get("units", "")).lower().startswith("degrees_")
        else ""
        for name in (y, x)
        if name in data.coords
    ]
    if degrees == ["latitude", "longitude"]:
        return _GLOBE, f"{y} and {x} name no reference system; the GeoTIFF says {_GLOBE}, as of GPS"
    return None, "the GeoTIFF has no reference system, for the fields name none"


def _is_kept(wkt: str) -> bool:
    """Whether a GeoTIFF can hold a reference system."""
    import rasterio

    with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.MemoryFile() as memory:
        shape = {"width": 1, "height": 1, "count": 1, "dtype": "uint8", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
        try:
            with memory.open(driver="GTiff", crs=wkt, **shape):
                pass
        except ValueError:  # of rasterio: words that are no reference system
            return False
        with memory.open() as file:
            return file.crs is not None


def _title(mapping: Mapping[Any, Any], text: str) -> str:
    return str(mapping.get("grid_mapping_name") or text[:60])


def _text(value: Any) -> str:
    """An attribute as a tag, which is text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).removesuffix(".000000000")
