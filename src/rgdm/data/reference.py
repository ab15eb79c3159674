"""Reference fields that need no download: embedded terrain and simulated critical phi^4."""

from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import Phi4
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.watch import Watch

_TILES = Path(__file__).parent / "terrain" / "tiles.npz"
_ATTRIBUTES = {
    "units": "m",
    "long_name": "elevation of the solid surface",
    "spacing_degrees": 1 / 12,
    "source": "ETOPO5, NOAA National Geophysical Data Center, 1988; Edwards, M. O., Data Announcement 88-MGG-02",
    "licence": "public domain",
}


def terrain(part: Literal["train", "held-out"]) -> xr.DataArray:
    """Tiles of the Earth's surface in metres, float32 ``(sample, channel, latitude, longitude)``, 240 x 240 each.

    ``south`` and ``west`` give the first site of each tile in degrees; sites are 1/12 degree
    apart. The two parts lie in different bands of longitude. See ``terrain/README.md``.
    """
    if part not in ("train", "held-out"):
        raise InputError(f"the part of the terrain is {part!r}; it must be 'train' or 'held-out'")
    with np.load(_TILES) as stored:
        boundary = int(stored["train"])
        chosen = slice(None, boundary) if part == "train" else slice(boundary, None)
        tiles = _decode(stored["high"][chosen], stored["low"][chosen])
        place = stored["place"][chosen]
    degrees = tiles.shape[-1] / 12
    return xr.DataArray(
        tiles.astype(np.float32)[:, None],
        dims=("sample", "channel", "latitude", "longitude"),
        coords={
            "channel": ["elevation"],
            "south": ("sample", -90 + degrees * place[:, 0], {"units": "degrees_north"}),
            "west": ("sample", degrees * place[:, 1], {"units": "degrees_east"}),
        },
        name="elevation",
        attrs=dict(_ATTRIBUTES),
    )


def _decode(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    folded = high.astype(np.uint16) << 8 | low
    difference = (folded >> 1) ^ -(folded & 1)
    return difference.cumsum(1, dtype=np.uint16).cumsum(2, dtype=np.uint16).view(np.int16)


def phi4(count: int, size: int = 32, seed: int = 0, watch: Watch | None = None) -> xr.DataArray:
    """Configurations of the critical two-dimensional phi^4 lattice, float32 ``(sample, channel, y, x)``.

    Another ``seed`` gives an independent set: train on one, judge on another.
    ``watch`` is called with the number of updates done and to do.
    """
    action = Phi4.critical()
    return lattice_fields(sample_fields(action, size, chains=250, count=count, seed=seed, watch=watch), action, seed)


def lattice_fields(fields: Tensor, action: Phi4, seed: int) -> xr.DataArray:
    """Configurations of two-dimensional phi^4 lattices, ``(sample, 1, y, x)``, with what they are."""
    return xr.DataArray(
        fields.numpy(),
        dims=("sample", "channel", "y", "x"),
        coords={"channel": ["phi"]},
        name="phi",
        attrs={"long_name": "phi^4 field", "a": action.a, "b": action.b, "c": action.c, "seed": seed},
    )
