"""Figures of pictures: a refinement, a trajectory, a generated field."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from rgdm.errors import InputError
from rgdm.plots.profiles import profile_strip, profiles
from rgdm.plots.relief import MISSING, Look, check_channels, plane
from rgdm.plots.style import GREY, PAGE, bare, paper, times

Array = NDArray[np.float64]
SHOWN_MEMBERS = 3


def refinement(
    truth: ArrayLike,
    coarse: ArrayLike,
    bicubic: ArrayLike,
    members: ArrayLike,
    spread: ArrayLike | None = None,
    *,
    look: str | None = None,
    units: str = "",
    samples: int = 3,
) -> Figure:
    """Rows of samples: truth, coarse, bicubic, three members, spread of all members.

    Fields (B, C, *L), members (M, B, C, *L); of one-dimensional fields a row is a profile.
    """
    truth, coarse, bicubic, members = (np.asarray(x, dtype=np.float64) for x in (truth, coarse, bicubic, members))
    deviation = members.std(0, ddof=1) if spread is None else np.asarray(spread, dtype=np.float64)
    rows = min(samples, len(truth))
    if truth.ndim == 3:
        check_channels(truth.shape[1])
        return profiles(truth[:rows], coarse[:rows], bicubic[:rows], members[:, :rows], units)
    paint = Look.of(truth[:rows], look)
    spreads = [plane(each).mean(0) if paint.kind == "rgb" else plane(each)[0] for each in deviation[:rows]]
    every = np.stack(spreads)
    top = float(np.quantile(every[np.isfinite(every)], 0.995)) if np.isfinite(every).any() else 0.0
    top = top or 1.0
    spread_scale = ScalarMappable(PowerNorm(0.6, 0, top, clip=True), "magma")
    factors = _spacing(truth[0], coarse[0])
    shown = range(min(SHOWN_MEMBERS, len(members)))
    titles = ["truth", f"coarse (1/{times(factors)})", "bicubic", *(f"member {m + 1}" for m in shown), "spread"]
    height, width = plane(truth[0]).shape[1:]
    with paper():
        figure, grid = _grid(rows, len(titles), height / width)
        for row, axes in enumerate(grid):
            fields = [(truth[row], [1.0]), (coarse[row], factors), (bicubic[row], [1.0])]
            fields += [(members[m, row], [1.0]) for m in shown]
            for panel, (field, spacing) in zip(axes, fields, strict=False):
                _show(panel, paint.picture(field, spacing))
            _show(axes[-1], _spread(spreads[row], spread_scale))
        for panel, title in zip(grid[0], titles, strict=True):
            panel.set_title(title, pad=3)
        if paint.kind != "rgb":
            _bar(figure, grid[-1][0], grid[-1][2], paint.scale, units)
        _bar(figure, grid[-1][-2], grid[-1][-1], spread_scale, f"spread {f'({units})' if units else ''}".strip())
    return figure


def trajectory_strip(fields: Sequence[ArrayLike], *, look: str | None = None) -> Figure:
    """The renormalization group trajectory of one sample as a strip, fields (C, *L) from coarse to fine."""
    states = [np.asarray(x, dtype=np.float64) for x in fields]
    if not states:
        raise InputError("a trajectory without fields cannot be drawn; pass at least one")
    if states[-1].ndim == 2:
        check_channels(states[-1].shape[0])
        return profile_strip(states)
    paint = Look.of(states[-1][None], look)
    height, width = plane(states[-1]).shape[1:]
    with paper():
        figure, grid = _grid(1, len(states), height / width, gap=0.05)
        for panel, state in zip(grid[0], states, strict=True):
            _show(panel, paint.picture(state, _spacing(states[-1], state)))
            panel.set_title(_size(state), pad=3)
        _arrow(figure, grid[0][0], grid[0][-1])
    return figure


def generated(field: ArrayLike, crop: Sequence[int] | None = None, *, look: str | None = None) -> Figure:
    """A large field (C, *L); framed in it the size of a training crop, which is shown enlarged beside it."""
    x = np.asarray(field, dtype=np.float64)
    if x.ndim == 2:
        check_channels(x.shape[0])
        return profile_strip([x])
    paint = Look.of(x[None], look)
    picture = paint.picture(x)
    height, width = picture.shape[:2]
    inside = crop is not None and len(crop) >= 2 and crop[-2] < height and crop[-1] < width
    with paper():
        if not inside:
            figure, grid = _grid(1, 1, height / width, page=min(PAGE, PAGE * width / height))
            _show(grid[0][0], picture)
            grid[0][0].set_title(_size(x), pad=3)
            return figure
        h, w = int(crop[-2]), int(crop[-1])  # pyright: ignore[reportOptionalSubscript]
        figure, (whole, part) = _side_by_side(height / width, h / w)
        top, left = _typical_place(plane(x)[0], h, w)
        _show(whole, picture)
        _show(part, picture[top : top + h, left : left + w])
        frame = {"fill": False, "edgecolor": "white"}
        whole.add_patch(Rectangle((left - 0.5, top - 0.5), w, h, linewidth=2.2, fill=False, edgecolor="#1d2430aa"))
        whole.add_patch(Rectangle((left - 0.5, top - 0.5), w, h, linewidth=1.0, **frame))
        whole.set_title(f"generated, {_size(x)}", pad=3)
        part.set_title(f"the framed part, as large as a training crop: {h} × {w}", pad=3)
    return figure


def _spacing(fine: Array, coarse: Array) -> list[float]:
    """How many sites of the fine field (C, *L) one of the coarse field spans along each axis."""
    return [n / m for n, m in zip(fine.shape[1:], coarse.shape[1:], strict=True)]


def _spread(values: Array, scale: ScalarMappable) -> Array:
    picture = scale.to_rgba(values)[..., :3]
    picture[~np.isfinite(values)] = MISSING
    return picture


def _show(axes: Axes, picture: Array) -> None:
    coarse = picture.shape[0] < 160
    axes.imshow(picture, interpolation="nearest" if coarse else "antialiased", aspect="auto")
    bare(axes)


def _grid(
    rows: int, columns: int, aspect: float, gap: float = 0.04, page: float = PAGE
) -> tuple[Figure, list[list[Axes]]]:
    """Panels of one size that fill the width of a page, in inches so that pictures keep their aspect."""
    width = (page - gap * (columns - 1)) / columns
    height = width * aspect
    total = rows * height + (rows - 1) * gap
    figure = Figure(figsize=(page, total))
    grid = []
    for row in range(rows):
        bottom = total - (row + 1) * height - row * gap
        boxes = [(c * (width + gap) / page, bottom / total, width / page, height / total) for c in range(columns)]
        grid.append([figure.add_axes(box) for box in boxes])
    return figure, grid


def _side_by_side(left: float, right: float, gap: float = 0.12) -> tuple[Figure, tuple[Axes, Axes]]:
    """Two pictures of equal height with the given ratios of height to width."""
    height = (PAGE - gap) / (1 / left + 1 / right)
    figure = Figure(figsize=(PAGE, height))
    wide = height / left / PAGE
    return figure, (figure.add_axes((0, 0, wide, 1)), figure.add_axes((wide + gap / PAGE, 0, height / right / PAGE, 1)))


def _bar(figure: Figure, first: Axes, last: Axes, scale: ScalarMappable, label: str) -> None:
    """A thin colour bar below the panels from ``first`` to ``last``."""
    left, right = first.get_position(), last.get_position()
    inch = 1 / figure.get_size_inches()[1]
    box = (left.x0, left.y0 - 0.13 * inch, right.x1 - left.x0, 0.06 * inch)
    bar = figure.colorbar(scale, cax=figure.add_axes(box), orientation="horizontal")
    bar.outline.set_linewidth(0)  # pyright: ignore[reportCallIssue]
    bar.set_ticks(_ticks(scale))
    bar.minorticks_off()
    bar.ax.tick_params(length=2, pad=1.5, labelsize=6.5)
    bar.set_label(label, fontsize=6.5, labelpad=1)


def _ticks(scale: ScalarMappable, apart: float = 0.14) -> list[float]:
    """Round values that do not crowd each other on an uneven bar; zero goes first, the finer ones of its sides last."""
    low, high = (float(np.asarray(bound)) for bound in scale.get_clim())
    parts = [(low, high)] + ([(0.0, high), (low, 0.0)] if low < 0 < high else [])
    locator = MaxNLocator(9, steps=[1, 2, 2.5, 5, 10])
    values = [v for part in parts for v in sorted(locator.tick_values(*part), key=abs) if low <= v <= high]
    kept: dict[float, float] = {}
    for value, place in zip(values, np.asarray(scale.norm(np.array(values))).tolist(), strict=True):
        if all(abs(place - other) > apart for other in kept.values()):
            kept[float(value)] = place
    return sorted(kept)


def _arrow(figure: Figure, first: Axes, last: Axes) -> None:
    """Coarse to fine, below the strip."""
    left, right = first.get_position(), last.get_position()
    inch = 1 / figure.get_size_inches()[1]
    y = left.y0 - 0.1 * inch
    canvas = figure.add_axes((0, 0, 1, 1), frameon=False)
    canvas.set_axis_off()
    style = {"arrowstyle": "-|>", "color": GREY, "linewidth": 0.7, "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}
    canvas.annotate("", (right.x1, y), (left.x0, y), xycoords="axes fraction", arrowprops=style, annotation_clip=False)
    middle = (left.x0 + right.x1) / 2
    note = canvas.text(middle, y, "each step adds the detail of one scale", ha="center", va="center", fontsize=6.5)
    note.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 2})


def _typical_place(x: Array, h: int, w: int) -> tuple[int, int]:
    """Where a crop holds the upper quartile of roughness among those on a grid: neither the best nor the emptiest."""
    down, right = np.gradient(x)
    rough = np.hypot(down, right)
    corners = [
        (top, left)
        for top in range(0, x.shape[0] - h + 1, max(1, h // 4))
        for left in range(0, x.shape[1] - w + 1, max(1, w // 4))
    ]
    ranked = sorted(corners, key=lambda at: rough[at[0] : at[0] + h, at[1] : at[1] + w].mean())
    return ranked[3 * len(ranked) // 4]


def _size(state: Array) -> str:
    return " × ".join(str(n) for n in state.shape[1:])
