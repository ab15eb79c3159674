"""ETOPO5 in tiles, split by longitude: ``python -m benchmarks etopo OUT_DIR [--source etopo5.cdf]``.

Writes ``train.nc``, ``validation.nc`` and ``test.nc`` (sample, latitude_index, longitude_index; ``elevation`` in
metres), for instance for ``rgdm train OUT_DIR/train.nc --out model``. A tile is 240 x 240 sites of 1/12
degree; columns of tiles 0-11 (0-240 E) train, 12-13 validate, 14-17 test. Only tiles of measured resolution are
taken (``etopo5_good_tiles.json``). The data are public domain (NOAA, 1988), from the Debian package
``ferret-datasets``: ``apt-get install ferret-datasets``.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy.io import netcdf_file
from torch import Tensor

from benchmarks.study import Option, parser
from rgdm.errors import InputError

SOURCE = Path("/usr/share/ferret-vis/data/etopo5.cdf")
OPTIONS: dict[str, Option] = {"source": (SOURCE, "etopo5.cdf")}
BANDS = {"train": range(0, 12), "validation": range(12, 14), "test": range(14, 18)}
SIDE = 240


def elevation(source: Path = SOURCE) -> np.ndarray:
    """The globe, 2160 x 4320 in metres, from 90 S and 0 E; the last row of the file (a point, the pole) is dropped."""
    if not source.is_file():
        raise InputError(f"there is no {source}; run `apt-get install ferret-datasets`, or give --source")
    with netcdf_file(source, mmap=False) as file:
        return file.variables["ROSE"].data[:-1].astype(np.float32)


def tiles(band: str, source: Path = SOURCE) -> xr.DataArray:
    """The good tiles of a band: train, validation or test."""
    good = json.loads(Path(__file__).with_name("etopo5_good_tiles.json").read_text())["good"]
    globe, places = elevation(source), [(row, column) for row, column in good if column in BANDS[band]]
    cut = np.stack([globe[r * SIDE : (r + 1) * SIDE, c * SIDE : (c + 1) * SIDE] for r, c in places])
    rows, columns = np.array(places).T
    south = ("sample", -90 + 20 * rows, {"units": "degrees_north"})
    west = ("sample", 20 * columns, {"units": "degrees_east"})
    return xr.DataArray(
        cut,
        dims=("sample", "latitude_index", "longitude_index"),
        coords={"south": south, "west": west},
        name="elevation",
        attrs={"units": "m", "long_name": "elevation of the solid surface", "source": "ETOPO5, NOAA, 1988"},
    )


def tensor(band: xr.DataArray, count: int | None = None) -> Tensor:
    """Tiles ``(B, 1, 240, 240)``; with ``count`` so many of them, evenly spread over the band."""
    values = torch.from_numpy(band.values)[:, None]
    if count is None or count >= len(values):
        return values
    return values[torch.linspace(0, len(values) - 1, count).long()]


def main(arguments: Sequence[str]) -> None:
    asked = parser(__doc__, **OPTIONS)
    asked.add_argument("out", type=Path)
    options = asked.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for band in BANDS:
        field = tiles(band, options.source)
        field.to_netcdf(options.out / f"{band}.nc", engine="scipy")
        print(f"{options.out / band}.nc: {field.sizes['sample']} tiles")
