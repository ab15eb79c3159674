"""Images as fields, by Pillow, which is an optional dependency."""

from pathlib import Path
from typing import Any

import numpy as np

from rgdm.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm")

_GREY = ("1", "L", "LA", "La")


def read_images(path: Path) -> tuple[np.ndarray, list[str]]:
    """An image or a folder of images as ``(sample, y, x, channel)`` in the units of the files, and the channel names.

    Samples are in the order of the file names; the frames of one file follow each other.
    Transparency is left out. Grey images have the channel ``grey``, the others ``r, g, b``.
    """
    paths = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"the folder {path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    frames: list[np.ndarray] = []
    for one in paths:
        for frame in _frames(one):
            if frames and frame.shape != frames[0].shape:
                raise InputError(
                    f"{one} has {_size(frame)}, the images before it {_size(frames[0])}; all images must agree"
                )
            frames.append(frame)
    return np.stack(frames), ["grey"] if frames[0].shape[2] == 1 else ["r", "g", "b"]


def _frames(path: Path) -> list[np.ndarray]:
    try:
        from PIL import Image, ImageSequence
    except ImportError:
        raise InputError(f"reading {path} needs Pillow; install it with `pip install 'rgdm[images]'`") from None
    try:
        with Image.open(path) as image:
            return [_values(frame) for frame in ImageSequence.Iterator(image)]
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the image {path}; it is damaged or truncated ({error})") from error


def _values(frame: Any) -> np.ndarray:
    """``(y, x, channel)``: numbers of one band as they are, colours as RGB."""
    if frame.mode in _GREY:
        frame = frame.convert("L")
    elif frame.mode != "F" and not frame.mode.startswith("I"):
        frame = frame.convert("RGB")
    values = np.asarray(frame)
    return values if values.ndim == 3 else values[..., None]


def _size(frame: np.ndarray) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]} pixels and {frame.shape[2]} channel(s)"
