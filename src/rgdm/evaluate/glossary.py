"""The names of the figures of :func:`rgdm.evaluate.judge`, and what each one means."""

from typing import NamedTuple


class Term(NamedTuple):
    """One figure in plain words: its title, what it means, what a good value is."""

    title: str
    meaning: str
    good: str


GLOSSARY: dict[str, Term] = {
    "consistency_error": Term(
        "Coarse-consistency error",
        "Largest difference between the block means of a member and the coarse field, over the spread of that field; "
        "of several channels that of the worst.",
        "rounding only: below 5e-6 in float32, 1e-12 in float64",
    ),
    "consistency_ulps": Term(
        "Coarse-consistency error in units in the last place",
        "The same difference in steps between neighbouring numbers of the type that is stored, at the largest value of "
        "the block: storing rounded values costs half of one, a rounded coarse value half of one more.",
        "about 1; a few after several levels in float32",
    ),
    "crps": Term(
        "Fair CRPS",
        "Mean error of the predicted distribution at a site, in the unit of the channel; for a single field it is the "
        "mean absolute error.",
        "smaller than every baseline",
    ),
    "crps_over_*": Term(
        "CRPS over that of {0}",
        "The score relative to {0} on the same samples.",
        "below 1; the smaller the better",
    ),
    "crps_*": Term("CRPS of {0}", "The same score for {0}.", "a reference"),
    "energy_score": Term(
        "Energy score",
        "The CRPS of whole fields: it also judges how sites (and, of all channels together, channels) vary together.",
        "smaller than every baseline",
    ),
    "energy_over_*": Term("Energy score over that of {0}", "The score relative to {0} on the same samples.", "below 1"),
    "variogram_score": Term(
        "Variogram score of order 1/2",
        "Do members say how much sites 1, 2 and 4 steps apart differ? Mean squared error of the root of the absolute "
        "difference, for which the members give a mean; corrected for the finite ensemble.",
        "smaller than every baseline",
    ),
    "variogram_over_*": Term(
        "Variogram score over that of {0}", "The score relative to {0} on the same samples.", "below 1"
    ),
    "rmse": Term("RMSE of the ensemble mean", "Root mean square error of the mean of the members.", "small"),
    "spread_skill": Term(
        "Spread / skill",
        "Spread of the members over the error of their mean, corrected for the finite ensemble.",
        "1; below 1 the ensemble is too sure of itself",
    ),
    "outside": Term(
        "Truth outside the ensemble",
        "How often the truth lies beyond all members, over how often it should.",
        "1; above 1 the ensemble is too narrow",
    ),
    "rank_histogram": Term(
        "Rank histogram",
        "How often the truth takes each rank among the members, relative to a flat histogram.",
        "1 in every bin, within the errors",
    ),
    "rank_deviation": Term(
        "Rank histogram, furthest from flat",
        "The largest deviation of a bin of the rank histogram from 1 (ranks over the number of members are the PIT; "
        "ties, as of dry sites, are broken at random), with the error of that bin. Beside it is what a flat histogram "
        "with these errors has by chance.",
        "as large as by chance",
    ),
    "octave_ratio": Term(
        "Power per octave, model / truth",
        "Variance of the members over that of the truth in each octave of scale; between edges the longest waves are "
        "twice as long as the field.",
        "1 in every octave",
    ),
    "octave_ratio_*": Term("Power per octave, {0} / truth", "The same for {0}.", "1 in every octave"),
    "scattering_distance": Term(
        "Scattering distance, order 1 and 2",
        "Root mean square difference of the wavelet scattering coefficients of one member and the truth, in units of "
        "their spread over samples: order 1 sees amplitudes, order 2 what is not Gaussian. For fields of one law it is "
        "the noise that is kept beside it.",
        "as small as the noise",
    ),
    "detail_kurtosis": Term(
        "Kurtosis of detail",
        "How heavy the tails of the detail are at each level, the finest first; 3 for white Gaussian detail, a little "
        "more where its bands (along, across, diagonal) differ in size.",
        "as in the truth",
    ),
    "detail_kurtosis_ratio": Term(
        "Kurtosis of detail, model / truth", "The tails of the model over those of the truth.", "1 at every level"
    ),
    "detail_variance_ratio": Term(
        "Variance of detail, model / truth", "The strength of the detail at each level, the finest first.", "1"
    ),
    "flatness_ratio": Term(
        "Flatness, model / truth",
        "Median absolute difference of neighbouring sites: do quiet places stay quiet?",
        "1; above 1 quiet places are too rough",
    ),
    "channel_correlation": Term(
        "Correlation of the detail of two channels, model minus truth",
        "Do variables vary together at each level as they should? For every pair of channels.",
        "0 within the errors, or within 0.03",
    ),
    "lag_correlation": Term(
        "Correlation of detail from frame to frame, model minus truth",
        "Of consecutive frames: how much of the detail of each level lasts to the next frame, at the same place. "
        "Frames that are refined one by one flicker: the difference is minus what lasts in the truth.",
        "0 within the errors",
    ),
    "change_ratio": Term(
        "Power of changes in time, model / truth",
        "Of consecutive frames: variance of the difference of two frames in each octave of scale.",
        "1 in every octave; above 1 the film flickers",
    ),
    "bits": Term(
        "Bits per degree of freedom",
        "How unlikely the true detail is to the model given the coarse field, -log2 of its density in units of the "
        "standard deviation of the field, at each level, the finest first; white noise of that size has 2.05.",
        "small; it may be negative",
    ),
    "bits_gain": Term(
        "Bits saved by the networks",
        "What the networks take off the bits of the closed-form part (linear prediction, amplitude, tails, "
        "correlations); like the bits, of all channels together.",
        "above 0",
    ),
    "quantiles": Term(
        "Quantiles, model minus truth",
        "Difference of the quantiles of all values, in the unit of the channel.",
        "0 within the errors",
    ),
    "range": Term(
        "Beyond the range of the truth",
        "How far the smallest and largest values of the members lie outside those of the truth, over the width of "
        "their range. Many members see rarer values than one truth.",
        "near 0; above 0.5 the tails are too long",
    ),
    "wet_share": Term(
        "Share of sites above 0, model minus truth",
        "Of channels that are never negative in the truth, such as rain: the wet sites; all others are dry.",
        "0 within the errors",
    ),
    "slopes": Term(
        "Quantiles of slopes, model / truth",
        "Quantiles of the absolute differences of neighbouring sites: low ones are those of flat places, high ones "
        "those of cliffs and fronts.",
        "1 at every quantile",
    ),
    "structure_2": Term(
        "Structure function of order 2, model / truth",
        "Mean square of the difference of two sites at a distance.",
        "1 at every distance",
    ),
    "structure_4": Term(
        "Structure function of order 4, model / truth",
        "Mean fourth power of that difference: rare steep places count most.",
        "1 at every distance",
    ),
    "event_brier": Term(
        "Brier score above a threshold",
        "Mean squared error of the probability, which the share of the members gives, that a site is above the "
        "threshold; corrected for the finite ensemble.",
        "small",
    ),
    "event_skill": Term(
        "Brier skill above a threshold",
        "What the probabilities of sites take off the Brier score of one that is the same everywhere, the frequency in "
        "the truth.",
        "near 1; 0 is no skill",
    ),
    "event_fss": Term(
        "Fractions skill score",
        "Do members and truth have as much above the threshold in windows as wide as a coarse site? Of windows that do "
        "not lie on coarse sites; 1 is full agreement.",
        "as that of two members, which is said beside it",
    ),
    "event_reliability": Term(
        "Reliability above a threshold",
        "Of the sites to which the members give about this probability of being above the threshold, the share that "
        "is. A row for each threshold, a column for each tenth of probability. Beside it is what a member has instead "
        "of the truth, which of few members is not the probability itself.",
        "as that of a member, near the probability itself",
    ),
    "event_fss_widths": Term(
        "Fractions skill score over width",
        "The fractions skill score for windows of 1, 2, 4, ... sites. A row for each threshold. Beside it that of two "
        "members, and the score from which on a forecast is usually called useful.",
        "as that of two members",
    ),
    "event_scale_skill": Term(
        "Intensity-scale skill",
        "What is right, at each scale, about where the values are above the threshold: 1 without any error, 0 for "
        "events that are scattered at random. A row for each threshold, the finest scale first.",
        "as that of two members, which is said beside it",
    ),
    "tail_crps_over_*": Term(
        "CRPS above a threshold over that of {0}",
        "The score of the values above the threshold (the rest counts as the threshold), relative to {0}.",
        "below 1; the smaller the better",
    ),
    "excursion_area": Term(
        "Area above a threshold, model / truth",
        "Share of the sites above a threshold. Without thresholds of the user these are quantiles of the truth.",
        "1 within the errors",
    ),
    "excursion_perimeter": Term(
        "Boundary of what lies above, model / truth",
        "How many pairs of neighbours have one site above the threshold and one below: the length of the coast in "
        "edges of sites, in three dimensions the surface in faces. Edges of slanting coasts count in full: "
        "without a preferred direction 4/π of the length (in three dimensions 3/2 of the surface).",
        "1 within the errors",
    ),
    "excursion_euler": Term(
        "Euler characteristic, model minus truth",
        "Islands minus holes, of a field on average (in three dimensions parts minus tunnels plus cavities); the mean "
        "of joining sites that meet at a corner only, and of not joining them.",
        "0 within the errors",
    ),
    "excursion_islands": Term(
        "Islands above a threshold, model / truth",
        "Connected parts of what lies above a threshold, joined across edges (faces) of sites.",
        "1 within the errors",
    ),
    "excursion_lakes": Term(
        "Lakes below a threshold, model / truth",
        "Connected parts of what does not lie above a threshold, the ocean around included.",
        "1 within the errors",
    ),
}

ALIKE = (
    "octave_ratio",
    "octave_ratio_*",
    "scattering_distance",
    "change_ratio",
    "bits",
    "bits_gain",
    "event_fss",
    "event_fss_widths",
    "event_scale_skill",
    "excursion_perimeter",
    "excursion_euler",
    "excursion_islands",
    "excursion_lakes",
)
"""Figures in which all sites count alike whatever the areas of their cells: waves, windows of sites, and counts."""
GLOSSARY |= {name: GLOSSARY[name]._replace(meaning=f"{GLOSSARY[name].meaning} Sites count alike.") for name in ALIKE}


def explain(name: str) -> Term | None:
    """The entry of a figure; names that end in a baseline fill in its name."""
    if name in GLOSSARY:
        return GLOSSARY[name]
    for pattern in sorted((p for p in GLOSSARY if p.endswith("*")), key=len, reverse=True):
        stem = pattern[:-1]
        if name.startswith(stem):
            baseline = name[len(stem) :].replace("_", " ")
            return Term(*(part.format(baseline) for part in GLOSSARY[pattern]))
    return None


def glossary_table() -> str:
    """All entries as a Markdown table, as the page on judging has it."""
    rows = [f"| `{name}` | {term.meaning.format('the baseline')} | {term.good} |" for name, term in GLOSSARY.items()]
    return "\n".join(["| figure | what it means | good is |", "|---|---|---|", *rows])
