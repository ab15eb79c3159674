"""One-dimensional fields: the same figures as lines."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rgdm.plots.style import BASELINES, GREY, INK, MODEL, PAGE, paper

Array = NDArray[np.float64]


def profiles(truth: Array, coarse: Array, bicubic: Array, members: Array, units: str) -> Figure:
    """A row per sample: truth, coarse and bicubic, three members and the range of all of them."""
    with paper():
        figure = Figure(figsize=(PAGE, 1.3 * len(truth) + 0.3), layout="constrained")
        panels = figure.subplots(len(truth), 1, sharex=True, squeeze=False)[:, 0]
        for b, axes in enumerate(panels):
            ensemble = members[:, b, 0]
            site = np.arange(truth.shape[-1])
            axes.fill_between(site, ensemble.min(0), ensemble.max(0), color=MODEL, alpha=0.18, lw=0, label="members")
            for member in ensemble[:3]:
                axes.plot(site, member, color=MODEL, lw=0.5)
            axes.plot(site, bicubic[b, 0], color=BASELINES[0], lw=0.9, label="bicubic")
            _steps(axes, coarse[b, 0], truth.shape[-1], color=GREY, lw=0.8, label="coarse")
            axes.plot(site, truth[b, 0], color=INK, lw=1.0, label="truth")
            axes.set_ylabel(units)
        panels[0].legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        panels[-1].set_xlabel("site")
    return figure


def profile_strip(states: list[Array]) -> Figure:
    """A row per level, from coarse to fine."""
    with paper():
        figure = Figure(figsize=(PAGE, 0.8 * len(states) + 0.4), layout="constrained")
        panels = figure.subplots(len(states), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        sites = states[-1].shape[-1]
        for axes, state in zip(panels, states, strict=True):
            _steps(axes, state[0], sites, color=MODEL, lw=0.9)
            axes.set_title(f"{state.shape[-1]} sites", loc="left", pad=2)
        panels[-1].set_xlabel("site")
    return figure


def _steps(axes: Axes, values: Array, sites: int, **line: object) -> None:
    edges = np.linspace(-0.5, sites - 0.5, len(values) + 1)
    axes.stairs(values, edges, baseline=None, **line)  # pyright: ignore[reportArgumentType]
