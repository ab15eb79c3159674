"""Colours of 16 bits in PNG and PPM files, which Pillow cuts to 8."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rgdm.errors import InputError

_BANDS = {2: 3, 4: 2, 6: 4}
"""Of the colour types of PNG: RGB, grey with alpha, RGB with alpha."""


def read_deep(path: Path) -> tuple[np.ndarray, str] | None:
    """A PNG or PPM of more than 8 bits a colour as ``(y, x, channel)``, and "uint16"; None if it is anything else."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:8] == b"\x89PNG\r\n\x1a\n" and len(start) > 26 and start[24] == 16 and start[25] in _BANDS:
        return _read_png(path), "uint16"
    header = re.match(rb"P6\s+(?:#.*\n\s*)*(\d+)\s+(?:#.*\n\s*)*(\d+)\s+(?:#.*\n\s*)*(\d+)\s", start)
    if header and int(header[3]) > 255:
        width, height, most = (int(number) for number in header.groups())
        values = np.frombuffer(path.read_bytes()[header.end() :][: width * height * 6], ">u2").reshape(height, width, 3)
        return np.round(values * (65535 / most)).astype(np.uint16), "uint16"  # as Pillow does with fewer bits
    return None


def _read_png(path: Path) -> np.ndarray:
    """Portable Network Graphics (third edition), sections 7 and 9: chunks, filters; without interlacing."""
    chunks = list(_chunks(path.read_bytes()))
    width, height, _, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if interlaced:
        raise InputError(f"{path} has interlaced colours of 16 bits; save it without interlacing")
    bands = _BANDS[colour]
    data = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
    lines = np.frombuffer(data, np.uint8)[: height * (1 + width * bands * 2)].reshape(height, -1)
    samples = _unfiltered(lines[:, 1:].reshape(height, width, bands * 2), lines[:, 0])
    values = samples.view(">u2").astype(np.uint16)
    key = next((content for kind, content in chunks if kind == b"tRNS"), b"")
    clear = np.zeros((height, width), bool)
    if colour == 2 and len(key) == 6:
        clear = (values == np.frombuffer(key, ">u2")).all(-1)
    elif colour != 2:
        clear, values = values[..., -1] == 0, values[..., :-1]
    return upright(np.where(clear[..., None], np.nan, values) if clear.any() else values, _orientation(path))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(lines: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Pixels ``(y, x, bytes)`` from their differences; one anti-diagonal of the image after the other."""
    if filters.max(initial=0) > 4:
        raise ValueError("unknown filter")
    height, width, size = lines.shape
    out = np.zeros((height + 1, width + 1, size), np.int16)  # with a row above and a column to the left
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, up, corner, kind = out[y + 1, x], out[y, x + 1], out[y, x], filters[y, None]
        guess = left + up - corner
        a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
        predicted = np.choose(kind, [np.zeros_like(left), left, up, (left + up) // 2, paeth])
        out[y + 1, x + 1] = (lines[y, x] + predicted) & 255
    return np.ascontiguousarray(out[1:, 1:].astype(np.uint8))


def _orientation(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as image:
        return int(image.getexif().get(0x0112, 1))


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Rows and columns ``(y, x, ...)`` as the orientation of EXIF and TIFF says, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]
