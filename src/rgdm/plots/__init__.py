"""Figures for papers and reports, each a function that returns a matplotlib ``Figure`` (needs ``rgdm[report]``)."""

from rgdm.plots.curves import coupling_curves, kurtosis_levels, rank_bars, spectra, training_curve
from rgdm.plots.pictures import generated, refinement, trajectory_strip
from rgdm.plots.relief import Kind, Look, hillshade
from rgdm.plots.style import figure_to_png
from rgdm.plots.texture import excursions, increments
from rgdm.plots.verification import fss_curves, quantile_plot, reliability_diagram, scale_diagram

__all__ = [
    "Kind",
    "Look",
    "coupling_curves",
    "excursions",
    "figure_to_png",
    "fss_curves",
    "generated",
    "hillshade",
    "increments",
    "kurtosis_levels",
    "quantile_plot",
    "rank_bars",
    "refinement",
    "reliability_diagram",
    "scale_diagram",
    "spectra",
    "training_curve",
    "trajectory_strip",
]
