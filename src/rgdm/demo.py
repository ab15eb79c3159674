"""The whole idea on an embedded real field: train, generate, refine, judge, report."""

from dataclasses import replace
from pathlib import Path

import xarray as xr

from rgdm import commands, config
from rgdm.data import reference
from rgdm.data.layout import from_samples
from rgdm.data.writing import write_field
from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.progress import bar, quiet
from rgdm.ranges import check_options
from rgdm.scale.grid import scale_widths
from rgdm.train import Budget, choose_device

REFINED = 3
"""Topography is refined this many levels, by 8."""


def demo(options: config.Demo) -> Path:
    """Run everything into a new folder and return the path of the report."""
    check_options(options)
    folder = options.out or Path(f"rgdm-demo-{options.data}")
    if folder.exists() and not options.overwrite:
        raise InputError(f"{folder} exists; pass --overwrite or choose another folder with --out")
    choose_device(options.device)
    budget = Budget(options.steps, options.minutes if options.steps is None else None)
    settings = training(options, folder / "model")
    side, unit = size(options), scale_widths(settings.factor, settings.design.levels)[0]
    if options.members < 2:
        raise InputError(f"members is {options.members}; an ensemble needs at least 2 to be judged")
    if side < 1 or side % unit:
        raise InputError(f"the size is {side}; it must be a multiple of {unit}, such as {max(1, side // unit) * unit}")
    try:
        return _run(options, folder, settings, budget)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the run in {folder} is unfinished" if folder.exists() else "") from None


def _run(options: config.Demo, folder: Path, settings: config.Train, budget: Budget) -> Path:
    """Train, generate, refine, judge and report into a folder."""
    train, held_out = _terrain() if options.data == "terrain" else _phi4(options.seed)
    model, path = commands.fit(train, settings, budget), folder / "report.html"
    if quiet():  # of several processes the first goes on
        return path
    lattice = (size(options),) * model.dimension
    commands.check_size(model, lattice, 1)
    with bar("sampling", 1) as show:
        values = model.sample(lattice, 1, options.seed, watch=show)
    generated = from_samples(values, list(model.grid.names), commands.channel_names(model), train.attrs)
    write_field(folder / "samples.zarr", generated, overwrite=True, attrs=commands.provenance(options))

    depth = REFINED if options.data == "terrain" else model.levels
    scores = commands.verify(model, held_out, depth, options, folder / "evaluation")
    commands.report(config.Report((folder,), path, overwrite=True))
    for line in commands.summary(scores):
        print(line)
    print(f"The report is at {path}")
    return path


def size(options: config.Demo) -> int:
    """Sites along each axis of the generated field."""
    usual = 1024 if options.data == "terrain" else 256
    return usual if options.size is None else options.size


def training(options: config.Demo, out: Path) -> config.Train:
    """The options of ``rgdm train`` that suit the data."""
    common = config.Train(fields=(), out=out, seed=options.seed, device=options.device, overwrite=True)
    if options.data == "terrain":
        return replace(common, design=Design(levels=REFINED + 1))  # one more to generate with: less is left to the base
    return replace(common, boundary=("periodic",), design=Design(levels=5, shared=False, evaluations=8))


def _terrain() -> tuple[xr.DataArray, xr.DataArray]:
    """Topography: training tiles, and tiles of a longitude band that training never sees."""
    return reference.terrain("train"), reference.terrain("held-out")


def _phi4(seed: int, count: int = 2048) -> tuple[xr.DataArray, xr.DataArray]:
    """Critical lattice phi^4, simulated: training configurations, and 64 others."""
    with bar("simulating", count + 64) as show:
        fields = reference.phi4(count + 64, 32, seed, show)
    return fields[:count], fields[count:]
