"""Figures in the style of the library, written as PNG."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rgdm.plots import figure_to_png
from rgdm.plots.style import BASELINES, GREY, INK, LEVELS, MODEL, paper

CYCLE = (*BASELINES, INK, GREY, *LEVELS)


@contextmanager
def drawn(path: Path, width: float, height: float, dpi: int = 250, **how: Any) -> Iterator[Figure]:
    """A figure of so many inches to draw in, written at the end."""
    with paper():
        figure = Figure(figsize=(width, height), **how)
        yield figure
    path.write_bytes(figure_to_png(figure, dpi))


def curves(
    axes: Axes, x: Sequence[float], lines: Mapping[str, Sequence[Any]], colours: Sequence[str], **how: Any
) -> None:
    """Values with error bars, each a pair, one line a name."""
    for (name, pairs), colour in zip(lines.items(), colours, strict=False):
        values, errors = zip(*((float(v), float(e)) for v, e in pairs), strict=True)
        style = {"fmt": "o-", "ms": 3, "lw": 1, "color": colour, "label": name} | how
        axes.errorbar(x, values, errors, **style)


def convergence(
    path: Path,
    size: tuple[float, float],
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    labels: tuple[str, str],
    levels: Sequence[float] = (),
    **how: Any,
) -> None:
    """Errors against numbers, both logarithmic: lines by name, one colour each in all panels, a cascade's in blue.

    ``levels``: what is dashed in each panel.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = {name: MODEL if "cascade" in name else CYCLE[i % len(CYCLE)] for i, name in enumerate(names)}
    with drawn(path, *size) as figure:
        handles: dict[str, Any] = {}
        every = zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True)
        for i, (axes, (title, lines)) in enumerate(every):
            for name, (x, y) in lines.items():
                form, size_of = ("*-", 7) if "cascade" in name else ("o-", 2.5)
                (handles[name],) = axes.loglog(x, y, form, ms=size_of, lw=1, color=colours[name], clip_on=False)
            for level in levels[i : i + 1]:
                axes.axhline(level, color=GREY, lw=0.8, ls=(0, (2, 2)))
            axes.set(xlabel=labels[0], ylabel="" if i else labels[1], title=title, **how)
            ticks = max((x for x, _ in lines.values()), key=len)
            axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            axes.minorticks_off()
        figure.subplots_adjust(wspace=0.4)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06), "ncols": 5}
        beside = {"loc": "center left", "bbox_to_anchor": (0.92, 0.5)}
        figure.legend(handles.values(), handles.keys(), **below if len(panels) > 1 else beside)
