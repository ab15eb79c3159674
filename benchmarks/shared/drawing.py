"""Figures in the style of the library, written as PNG."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rgdm.plots import figure_to_png
from rgdm.plots.style import paper


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
