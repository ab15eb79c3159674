"""TIFF files of measured numbers: 16, 32 and 64 bits, signed, floating point, any count of bands, GDAL's nodata.

TIFF revision 6.0 (Adobe, 1992), and Supplement 3 for predictors of floating-point numbers. Pillow reads the tags, and
undoes what compression it can.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgdm.data.images.deep import upright
from rgdm.errors import InputError

_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_OFFSETS, _ORIENTATION, _BANDS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR = 273, 274, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA, _FORMAT = 322, 323, 324, 325, 338, 339
_NODATA = 42113
_FORMATS = {1: "u", 2: "i", 3: "f"}
_ALPHA = (1, 2)
_REDUCED, _MASK = 1, 4
_CONVERT = "convert it, as with `gdal_translate -ot Float32 -co COMPRESS=DEFLATE`"


@dataclass(frozen=True)
class Page:
    """The tags of one image of a file, and its place among the images."""

    tags: Mapping[int, Any]
    place: int
    order: str

    def number(self, tag: int, otherwise: int) -> int:
        """The only or first value of a tag."""
        value = self.tags.get(tag, otherwise)
        return int(value[0] if isinstance(value, tuple) else value)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """All values of a tag."""
        value = self.tags.get(tag, ())
        return tuple(value) if isinstance(value, tuple) else (value,)


def pages_of(path: Path) -> list[Page]:
    """The images of a file, without thumbnails (overviews) and masks of others."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with path.open("rb") as file:
        header = file.read(8)
        if header[2:4] in (b"\x2b\x00", b"\x00\x2b"):  # more than 4 GiB
            header += file.read(8)
        if header[:2] not in (b"II", b"MM"):
            return []
        pages: list[Page] = []
        directory = ImageFileDirectory_v2(header)
        at, seen = directory.next, set()
        while at and at not in seen:
            seen.add(at)
            file.seek(at)
            directory = ImageFileDirectory_v2(header)
            directory.load(file)
            pages.append(Page(dict(directory), len(pages), "<" if header[:2] == b"II" else ">"))
            at = directory.next
    return [page for page in pages if not page.number(_KIND, 0) & (_REDUCED | _MASK)]


def nodata_of(path: Path) -> float | None:
    """The number that stands for nothing, as the tag GDAL_NODATA says; None if there is none."""
    try:
        pages = pages_of(path)
        return float(str(pages[0].tags[_NODATA]).strip("\0 ")) if pages and _NODATA in pages[0].tags else None
    except (ImportError, OSError, ValueError, SyntaxError, KeyError, struct.error):  # said when the image is read
        return None


def is_measured(page: Page) -> bool:
    """Whether numbers would be cut or taken wrongly if they were read as a picture."""
    bits, form = page.numbers(_BITS), page.number(_FORMAT, 1)
    return max(bits, default=1) >= 16 or form not in (1, 4)


def read_page(path: Path, page: Page) -> tuple[np.ndarray, str]:
    """Numbers ``(y, x, band)`` as they are, without alpha, NaN where that is 0, and the name of their type."""
    bits, form, bands = set(page.numbers(_BITS)), page.number(_FORMAT, 1), page.number(_BANDS, 1)
    if (
        len(bits) != 1
        or form not in _FORMATS
        or (size := bits.pop()) not in (8, 16, 32, 64)
        or (form == 3 and size == 8)
    ):
        kind = f"{'/'.join(str(n) for n in page.numbers(_BITS))} bits of sample format {form}"
        raise InputError(f"cannot read the image {path}; its numbers are {kind}: {_CONVERT}")
    dtype = np.dtype(f"{page.order}{_FORMATS[form]}{size // 8}")
    width, height, separate = page.number(_WIDTH, 0), page.number(_HEIGHT, 0), page.number(_PLANAR, 1) == 2
    tiled = _TILE_OFFSETS in page.tags
    across = page.number(_TILE_WIDTH, width) if tiled else width
    down = page.number(_TILE_HEIGHT, height) if tiled else min(page.number(_ROWS, height), height)
    if min(across, down, bands) < 1:
        raise ValueError("no pixels")
    together = 1 if separate else bands
    columns, rows = -(-width // across), -(-height // down)
    parts = list(
        zip(
            page.numbers(_TILE_OFFSETS if tiled else _OFFSETS),
            page.numbers(_TILE_COUNTS if tiled else _COUNTS),
            strict=True,
        )
    )
    if len(parts) < columns * rows * (bands if separate else 1):
        raise ValueError("too few strips")
    values = np.zeros((rows * down, columns * across, bands), dtype)
    with path.open("rb") as file:
        for i, (offset, count) in enumerate(parts[: columns * rows * (bands if separate else 1)]):
            band, cell = divmod(i, columns * rows)
            row, column = divmod(cell, columns)
            high = down if tiled else min(down, height - row * down)
            if count == 0:  # GDAL leaves out blocks that hold nothing
                block = np.full((high, across, together), _empty(page, dtype))
            else:
                file.seek(offset)
                block = _block(path, page, file.read(count), (high, across, together), dtype)
            to = slice(band, band + 1) if separate else slice(None)
            values[row * down : row * down + high, column * across : (column + 1) * across, to] = block
    values = upright(values[:height, :width], page.number(_ORIENTATION, 1)).astype(dtype.newbyteorder("="))
    extra = page.numbers(_EXTRA)
    clear = [bands - len(extra) + i for i, kind in enumerate(extra) if kind in _ALPHA]
    if clear:
        alpha = values[..., clear[0]]
        values = np.delete(values, clear, 2)
        if (alpha == 0).any():
            values = np.where(alpha[..., None] == 0, np.nan, values)
    return values, dtype.name


def _empty(page: Page, dtype: np.dtype) -> Any:
    try:
        return np.asarray(float(str(page.tags.get(_NODATA, "0")).strip("\0 "))).astype(dtype)
    except ValueError:
        return 0


def _block(path: Path, page: Page, data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """One strip or tile ``(y, x, band)``."""
    high, across, together = shape
    plain = _decompressed(path, page, data, across * together * dtype.itemsize, high)
    flat = np.frombuffer(plain, np.uint8, high * across * together * dtype.itemsize)
    predictor = page.number(_PREDICTOR, 1)
    if predictor == 3:  # bytes of one weight beside each other, and their differences
        lines = flat.reshape(high, -1, together)
        lines = lines.cumsum(1, dtype=np.uint8).reshape(high, dtype.itemsize, -1)
        return lines.transpose(0, 2, 1).copy().view(f">f{dtype.itemsize}").reshape(shape)
    values = flat.view(dtype).reshape(shape)
    if predictor == 2:
        whole = values.view(f"{page.order}u{dtype.itemsize}").astype(f"u{dtype.itemsize}")
        return whole.cumsum(1, dtype=whole.dtype).view(dtype.newbyteorder("="))
    return values


def _decompressed(path: Path, page: Page, data: bytes, width: int, height: int) -> bytes:
    compression = page.number(_COMPRESSION, 1)
    if compression == 1:
        return data
    if compression in (8, 32946):
        return zlib.decompressobj().decompress(data)
    from PIL import Image

    # Any other one is undone by libtiff: the bytes of a strip as a grey picture of one byte a pixel.
    tags = [(_WIDTH, width), (_HEIGHT, height), (_BITS, 8), (_COMPRESSION, compression), (_PHOTOMETRIC, 1)]
    tags += [(_OFFSETS, 8), (_BANDS, 1), (_ROWS, height), (_COUNTS, len(data))]
    entries = b"".join(struct.pack(f"{page.order}HHII", tag, 4, 1, value) for tag, value in tags)
    start = (b"II*\0" if page.order == "<" else b"MM\0*") + struct.pack(f"{page.order}I", 8 + len(data))
    strip = start + data + struct.pack(f"{page.order}H", len(tags)) + entries + bytes(4)
    try:
        with Image.open(io.BytesIO(strip)) as image:
            return np.asarray(image).tobytes()
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise InputError(
            f"cannot read the image {path}; its compression is {compression} ({error}): {_CONVERT}"
        ) from error
