"""Judgement: how good an ensemble of fine fields is, each figure with its error."""

from rgdm.evaluate.archive import Evaluation, load_evaluation, save_evaluation
from rgdm.evaluate.baselines import bicubic, block_constant
from rgdm.evaluate.detail import DetailKurtosis, detail_kurtosis, kurtosis_ratio
from rgdm.evaluate.events import brier_score, fractions_skill, reliability, tail_crps
from rgdm.evaluate.glossary import GLOSSARY, Term
from rgdm.evaluate.increments import structure_functions
from rgdm.evaluate.judgement import judge
from rgdm.evaluate.likelihood import bits_per_dof
from rgdm.evaluate.minkowski import FUNCTIONALS, minkowski
from rgdm.evaluate.scores import (
    RankHistogram,
    SpreadSkill,
    consistency_error,
    energy_score,
    fair_crps,
    flatness,
    rank_histogram,
    spread_skill,
)
from rgdm.evaluate.sequence import lag_correlation
from rgdm.evaluate.spectra import octave_power, octave_ratio, radial_spectrum
from rgdm.jackknife import Estimate, jackknife

__all__ = [
    "FUNCTIONALS",
    "GLOSSARY",
    "DetailKurtosis",
    "Estimate",
    "Evaluation",
    "RankHistogram",
    "SpreadSkill",
    "Term",
    "bicubic",
    "bits_per_dof",
    "block_constant",
    "brier_score",
    "consistency_error",
    "detail_kurtosis",
    "energy_score",
    "fair_crps",
    "flatness",
    "fractions_skill",
    "jackknife",
    "judge",
    "kurtosis_ratio",
    "lag_correlation",
    "load_evaluation",
    "minkowski",
    "octave_power",
    "octave_ratio",
    "radial_spectrum",
    "rank_histogram",
    "reliability",
    "save_evaluation",
    "spread_skill",
    "structure_functions",
    "tail_crps",
]
