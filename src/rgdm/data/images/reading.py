"""An image or a folder of images as one array of numbers, whatever their depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgdm.data.images.deep import read_deep
from rgdm.data.images.tiff import is_measured, nodata_of, pages_of, read_page
from rgdm.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm")

_GREY = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class Images:
    """Images ``(sample, y, x, channel)`` in the units of the files, NaN where transparent, and what channels are.

    ``nodata`` is the value that stands for nothing, as GeoTIFF files state it.
    """

    values: np.ndarray
    channels: list[str]
    nodata: float | None = None


def read_images(path: Path) -> Images:
    """An image or the images of a folder, without hidden files, upright as their EXIF orientation says.

    Samples are in the order of the file names; the frames of one file follow each other. Grey images have the channel
    ``grey``, colours ``r, g, b``, other bands ``band_1, ...``. Transparency is left out; what is wholly transparent is
    NaN, as it has no colour.

    Raises:
        InputError: if images differ in size, channels, depth or nodata value, or one cannot be read.
    """
    paths = [path] if path.is_file() else sorted(p for p in path.iterdir() if _is_image(p))
    if not paths:
        raise InputError(f"the folder {path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    frames, nodata = [], _nodata(paths[0])
    kind, first = "", paths[0]
    for one in paths:
        if (other := _nodata(one)) != nodata:
            raise InputError(f"{one} states the nodata value {other}, {first} {nodata}; all images must agree")
        for frame, depth in _frames(one):
            kind = kind or _kind(frame, depth)
            if _kind(frame, depth) != kind:
                raise InputError(f"{one} has {_kind(frame, depth)}, the images before it {kind}; all images must agree")
            frames.append(frame)
    names = {1: ["grey"], 3: ["r", "g", "b"]}
    count = frames[0].shape[2]
    return Images(np.stack(frames), names.get(count, [f"band_{i + 1}" for i in range(count)]), nodata)


def _is_image(path: Path) -> bool:
    """By its name; what begins with a dot is the system's (``.DS_Store``, ``._a.png`` of a Mac)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _nodata(path: Path) -> float | None:
    return nodata_of(path) if path.suffix.lower() in (".tif", ".tiff") else None


def _frames(path: Path) -> Iterator[tuple[np.ndarray, str]]:
    """Each frame ``(y, x, channel)`` and the type of its numbers in the file."""
    try:
        from PIL import Image, ImageSequence
    except ImportError:
        raise InputError(f"reading {path} needs Pillow; install it with `pip install 'rgdm[images]'`") from None
    try:
        if (deep := read_deep(path)) is not None:
            yield deep
            return
        pages = pages_of(path) if path.suffix.lower() in (".tif", ".tiff") else []
        if any(is_measured(page) for page in pages):
            yield from (read_page(path, page) for page in pages)
            return
        with Image.open(path) as image:
            for i, frame in enumerate(ImageSequence.Iterator(image)):
                if not pages or any(page.place == i for page in pages):
                    yield _values(frame)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"cannot read the image {path}; it is too large ({error})") from error
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, OverflowError) as error:
        raise InputError(f"cannot read the image {path}; it is damaged or truncated ({error})") from error


def _values(frame: Any) -> tuple[np.ndarray, str]:
    """``(y, x, channel)``, upright: numbers of one band as they are, colours as RGB."""
    from PIL import ImageOps

    frame = ImageOps.exif_transpose(frame)
    if frame.mode == "F" or frame.mode.startswith("I"):
        values = np.asarray(frame)
        return values[..., None], values.dtype.newbyteorder("=").name
    grey = frame.mode in _GREY
    clear = frame.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in frame.info
    alpha = np.asarray(frame.convert("RGBA"))[..., 3] if clear else None
    values = np.asarray(frame.convert("L" if grey else "RGB"))
    values = values[..., None] if grey else values
    if alpha is not None and (alpha == 0).any():
        values = np.where(alpha[..., None] == 0, np.nan, values.astype(np.float32))
    return values, "uint8"


def _kind(frame: np.ndarray, depth: str) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]} pixels and {frame.shape[2]} channel(s) of {depth}"
