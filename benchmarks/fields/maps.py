"""Maps of a refinement beside the truth: ``python -m benchmarks maps FINE COARSE TRUTH OUT.png --variable t2m u10``.

A row for each variable: the block means that were given, two members, the truth, and what the members leave open (their
spread; of rain the share of them above 1 mm/h). ``FINE`` is what ``rgdm refine`` wrote, of one time; ``COARSE`` what it
was given; ``TRUTH`` holds the same time. ``--region`` are west, east, south and north; ``--coast`` is a file with the
share of land of each cell, ``land``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.shared.drawing import drawn
from benchmarks.study import Option, parser
from rgdm.plots.style import INK, PAGE

OPTIONS: dict[str, Option] = {
    "variable": (("t2m",), ""),
    "region": ((60.0, 120.0, 6.0, 54.0), ""),
    "coast": (Path("orography.nc"), ""),
}
WET, HEAVY, TOP = 0.1, 1.0, 20.0
"""Rates of rain in mm/h: what is drawn at all, what is asked for, and the end of the scale."""
COLUMNS = 5
LEFT, GAP, TITLE, BAR, BELOW = 0.36, 0.07, 0.2, 0.26, 0.66
"""Inches: beside and between maps, above the first row, from a map to its scale, and below each row."""


class Scale(NamedTuple):
    """What a variable is called, the factor and offset to its unit, and its colours; rain has shares for a spread."""

    words: str
    factor: float
    offset: float
    colours: str
    symmetric: bool = False
    rain: bool = False


SCALES = {
    "t2m": Scale("temperature at 2 m, °C", 1.0, -273.15, "RdYlBu_r"),
    "u10": Scale("eastward wind at 10 m, m/s", 1.0, 0.0, "PuOr_r", symmetric=True),
    "v10": Scale("northward wind at 10 m, m/s", 1.0, 0.0, "PuOr_r", symmetric=True),
    "tp": Scale("rain, mm/h", 1.0, 0.0, "YlGnBu", rain=True),
}


def centred(field: xr.DataArray, region: Sequence[float]) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The part of a field ``(lat, lon)`` that covers a region, north up, and the edges of its cells."""
    west, east, south, north = region
    lat, lon = field["lat"].to_numpy(), field["lon"].to_numpy()
    half = (abs(lat[1] - lat[0]) / 2, abs(lon[1] - lon[0]) / 2)
    rows = (lat + half[0] > south) & (lat - half[0] < north)
    columns = (lon + half[1] > west) & (lon - half[1] < east)
    part = field.transpose("lat", "lon")[rows, columns].sortby("lat", ascending=False)
    y, x = part["lat"].to_numpy(), part["lon"].to_numpy()
    return part.to_numpy(), (x[0] - half[1], x[-1] + half[1], y[-1] - half[0], y[0] + half[0])


def colours_of(scale: Scale, truth: np.ndarray) -> ScalarMappable:
    """One scale for all fields of a variable, of what the truth has in the region."""
    if scale.rain:
        painted = ScalarMappable(LogNorm(WET, TOP), scale.colours)
        painted.get_cmap().set_under("white")
        return painted
    low, high = (float(np.quantile(truth, q)) for q in (0.002, 0.998))
    if scale.symmetric:
        low, high = -max(-low, high), max(-low, high)
    return ScalarMappable(Normalize(low, high), scale.colours)


def shares(count: int) -> ScalarMappable:
    """White where no member is, then a step for each member."""
    steps = np.linspace(0, 1, 9)
    table = ScalarMappable(cmap="Purples").get_cmap()(steps)
    table[0] = 1.0
    smooth = LinearSegmentedColormap.from_list("shares", table)
    return ScalarMappable(BoundaryNorm((np.arange(count + 2) - 0.5) / count, 256), smooth)


def row_of(
    name: str, files: tuple[xr.Dataset, xr.Dataset, xr.Dataset], region: Sequence[float]
) -> tuple[dict[str, xr.DataArray], xr.DataArray, Scale]:
    """Fields by their titles, and what the members leave open."""
    scale = SCALES[name]
    fine, coarse, truth = (file[name] * scale.factor + scale.offset for file in files)
    fine = fine.isel(time=0)
    coarse, truth = (field.sel(time=fine["time"]) for field in (coarse, truth))
    step = abs(float(coarse["lat"][1] - coarse["lat"][0]))
    fields = {f"given: means of {step:g}°": coarse, "member 0": fine[0], "member 1": fine[1], "truth": truth}
    left = (fine > HEAVY).mean("member") if scale.rain else fine.std("member", ddof=1)
    return fields, left, scale


def draw(
    path: Path,
    files: tuple[xr.Dataset, xr.Dataset, xr.Dataset],
    names: Sequence[str],
    region: Sequence[float],
    land: xr.DataArray | None,
) -> None:
    west, east, south, north = region
    wide = (PAGE - LEFT - GAP * (COLUMNS - 1)) / COLUMNS
    deep = wide * (north - south) / (east - west)
    height = TITLE + len(names) * (deep + BELOW)
    with drawn(path, PAGE, height) as figure:
        for row, name in enumerate(names):
            bottom = height - TITLE - row * (deep + BELOW) - deep
            places = [LEFT + column * (wide + GAP) for column in range(COLUMNS)]
            boxes = [(x / PAGE, bottom / height, wide / PAGE, deep / height) for x in places]
            axes = [figure.add_axes(box) for box in boxes]
            fields, left, scale = row_of(name, files, region)
            paint = colours_of(scale, centred(fields["truth"], region)[0])
            for panel, field in zip(axes, fields.values(), strict=False):
                shown(panel, field, paint, region, land)
            members = files[0].sizes["member"]
            open_ = shares(members) if scale.rain else spreads(centred(left, region)[0])
            shown(axes[-1], left, open_, region, land)
            words = f"share of members above {HEAVY:g} mm/h" if scale.rain else f"spread, {scale.words.split(', ')[-1]}"
            for panel, title in zip(axes, [*fields, f"all {members} members"], strict=True):
                panel.set_title(title if row == 0 else "", pad=3)
                panel.tick_params(labelleft=panel is axes[0], pad=2)
            axes[0].set_ylabel("latitude, °N", labelpad=2)
            axes[0].set_xlabel("longitude, °E", labelpad=1)
            under = (bottom - BAR) / height
            bar(
                figure, (boxes[1][0], under, boxes[3][0] + boxes[3][2] - boxes[1][0], 0.06 / height), paint, scale.words
            )
            bar(figure, (boxes[4][0], under, boxes[4][2], 0.06 / height), open_, words)


def spreads(values: np.ndarray) -> ScalarMappable:
    return ScalarMappable(Normalize(0, float(np.quantile(values, 0.995))), "magma")


def shown(
    axes: Axes, field: xr.DataArray, paint: ScalarMappable, region: Sequence[float], land: xr.DataArray | None
) -> None:
    values, extent = centred(field, region)
    axes.imshow(values, extent=extent, norm=paint.norm, cmap=paint.get_cmap(), interpolation="nearest", aspect="auto")
    if land is not None:
        part, (x0, x1, y0, y1) = centred(land, region)
        x, y = np.linspace(x0 + 0.5, x1 - 0.5, part.shape[1]), np.linspace(y1 - 0.5, y0 + 0.5, part.shape[0])
        axes.contour(x, y, part, levels=[0.5], colors=INK, linewidths=0.4)
    axes.set(xlim=region[:2], ylim=region[2:])
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4)


def bar(figure: Figure, place: tuple[float, float, float, float], paint: ScalarMappable, words: str) -> None:
    """A scale below the maps that it belongs to."""
    ends = "neither" if isinstance(paint.norm, BoundaryNorm) else "max" if paint.norm.vmin in (0, WET) else "both"
    made = figure.colorbar(paint, cax=figure.add_axes(place), orientation="horizontal", extend=ends)
    made.set_label(words, labelpad=1)
    if isinstance(paint.norm, BoundaryNorm):
        made.set_ticks([0, 0.5, 1])
    elif isinstance(paint.norm, LogNorm):
        made.set_ticks([0.1, 0.3, 1, 3, 10], labels=["0.1", "0.3", "1", "3", "10"])
        made.minorticks_off()
    made.ax.tick_params(length=2, pad=1.5)
    made.outline.set_linewidth(0.4)


def main(arguments: Sequence[str]) -> None:
    asked = parser(__doc__, **OPTIONS)
    for name in ("fine", "coarse", "truth", "out"):
        asked.add_argument(name, type=Path)
    options = asked.parse_args(arguments)
    fine, coarse, truth = (xr.open_dataset(path) for path in (options.fine, options.coarse, options.truth))
    land = xr.open_dataset(options.coast)["land"] if options.coast.is_file() else None
    draw(options.out, (fine, coarse, truth), options.variable, options.region, land)
