"""Figures for papers and reports, each a function that returns a matplotlib ``Figure`` (needs ``rgdm[report]``)."""

from rgdm.plots.curves import couplings, kurtosis_levels, rank_histogram, spectra, training_curve
from rgdm.plots.pictures import generated, refinement, trajectory
from rgdm.plots.relief import Kind, Look, hillshade
from rgdm.plots.style import figure_to_png

__all__ = [
    "Kind",
    "Look",
    "couplings",
    "figure_to_png",
    "generated",
    "hillshade",
    "kurtosis_levels",
    "rank_histogram",
    "refinement",
    "spectra",
    "training_curve",
    "trajectory",
]
