"""One quiet style for all figures: colours that colour-blind readers can tell apart, thin lines, no boxes."""

import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rgdm.scale.grid import scale_widths

INK, GREY, FAINT = "#1d2430", "#79818c", "#dfe3e8"
MODEL = "#0072b2"
BASELINES = ("#d55e00", "#cc79a7", "#e69f00", "#009e73")  # after Okabe & Ito (2008)
LEVELS = ("#0b3c5d", "#3282b8", "#7fb77e", "#d9a441", "#a9553f")

COLUMN, PAGE = 3.6, 7.4
"""Width in inches of a figure in one column of a paper, and across the page."""

RC: dict[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.6,
    "ytick.minor.size": 1.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def paper() -> AbstractContextManager[None]:
    """The style, for the time of a ``with`` block; nothing global changes."""
    return mpl.rc_context(RC)  # pyright: ignore[reportArgumentType]


def times(numbers: Iterable[float]) -> str:
    """One number for all axes, or the number of each: ``2``, ``2×1``."""
    each = [f"{number:.12g}" for number in numbers]
    return each[0] if len(set(each)) == 1 else "×".join(each)


def detail_scale(factors: Sequence[int | Sequence[int]], level: int) -> str:
    """Between which blocks the detail of a level is, for the factor b of each axis: ``1 to 2×1 sites``."""
    fine, coarse = (times(scale_widths(factors, depth)) for depth in (level, level + 1))
    return f"{fine} to {coarse} sites"


def figure_to_png(figure: Figure, dpi: int = 250) -> bytes:
    """The figure as the bytes of a PNG file, cut to what is drawn."""
    buffer = io.BytesIO()
    with paper():
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    return buffer.getvalue()


def bare(axes: Axes) -> None:
    """No ticks and a hairline frame: for pictures."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=GREY)
