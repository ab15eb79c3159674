import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from rgdm import plots
from rgdm.plots.curves import _level_losses, _running_median
from rgdm.plots.relief import guess_kind
from rgdm.plots.verification import _rows


def rough(*shape):
    return np.random.default_rng(0).standard_normal(shape).cumsum(-1)


def opened(figure):
    assert isinstance(figure, Figure)
    return Image.open(io.BytesIO(plots.figure_to_png(figure, dpi=60)))


@pytest.mark.integration
@pytest.mark.parametrize(
    "lattice, channels", [((32,), 1), ((16, 24), 1), ((16, 24), 3), ((8, 16, 16), 1), ((8, 16, 16), 3)]
)
def test_fields_of_every_dimension_can_be_drawn(lattice, channels):
    truth = rough(2, channels, *lattice)
    coarse = rough(2, channels, *(n // 4 for n in lattice))
    assert opened(plots.refinement(truth, coarse, truth, rough(4, 2, channels, *lattice), units="m")).width > 300
    assert opened(plots.trajectory_strip([coarse[0], truth[0]])).width > 300
    assert opened(plots.generated(truth[0], [n // 2 for n in lattice])).width > 100


def test_flat_terrain_is_half_bright_and_the_slope_that_faces_north_west_is_brighter():
    flat = plots.hillshade(np.zeros((5, 5)), 1.0)
    assert np.allclose(flat, 0.5)
    y, x = np.mgrid[:9, :9]
    south_east_rise, north_west_rise = plots.hillshade(x + y, 1.0), plots.hillshade(-x - y, 1.0)
    assert south_east_rise.min() > 0.55 and north_west_rise.max() < 0.45


def test_a_look_colours_equal_values_alike_in_every_panel():
    fields = rough(2, 1, 16, 16)
    look = plots.Look.of(fields, "diverging")
    a, b = look.picture(fields[0]), look.picture(fields[0] * 0 + fields[0, 0, 3, 4])
    assert np.allclose(a[3, 4], b[0, 0])


def test_the_diverging_look_is_symmetric_about_zero():
    look = plots.Look.of(np.array([-1.0, 0, 0, 3]).reshape(1, 1, 2, 2), "diverging")
    assert look.values[0] == -look.values[-1]
    assert np.ptp(look.picture(np.zeros((1, 2, 2)))[0, 0]) < 0.05


def test_sea_and_land_meet_at_zero():
    field = np.linspace(-4000, 900, 400).reshape(1, 1, 20, 20)
    shore = plots.Look.of(field, "terrain").scale.to_rgba(np.array([-2.0, 2.0]))
    assert shore[0, 2] > 0.8 and shore[1, 1] > shore[1, 2]


@pytest.mark.parametrize("kind", ["terrain", "relief", "diverging"])
def test_constant_and_one_sided_fields_can_be_drawn(kind):
    for field in (np.zeros((1, 1, 4, 4)), np.full((1, 1, 4, 4), -7.0), -1 - rough(1, 1, 8, 8) ** 2):
        picture = plots.Look.of(field, kind).picture(field[0])
        assert np.isfinite(picture).all() and 0 <= picture.min() <= picture.max() <= 1


def test_the_kind_of_look_is_guessed():
    noise = np.random.default_rng(0).standard_normal((2, 1, 32, 32))
    assert guess_kind(noise) == "diverging"
    assert guess_kind(noise + 5) == "relief"
    assert guess_kind(rough(1, 3, 4, 4)) == "rgb"


def test_bad_input_is_one_sentence():
    field = rough(1, 2, 4, 4)
    with pytest.raises(ValueError, match="terrain, relief, diverging, rgb"):
        plots.Look.of(field, "pretty")
    with pytest.raises(ValueError, match="2 channels"):
        plots.Look.of(field, "rgb")
    for draw in (plots.Look.of, lambda x: plots.generated(x[0]), lambda x: plots.trajectory_strip([x[0, :, 0]])):
        with pytest.raises(ValueError, match="2 channels is not one picture"):
            draw(field)
    with pytest.raises(ValueError, match="without fields"):
        plots.trajectory_strip([])
    with pytest.raises(ValueError, match="holds no loss"):
        plots.training_curve([])


@pytest.mark.integration
def test_curves_bear_missing_errors_and_gaps():
    levels = [{"1": 0.5} if i % 2 else {} for i in range(9)]
    records = [{"step": i, "seconds": i, "loss": 1 / (i + 1), "level_losses": each} for i, each in enumerate(levels)]
    assert set(_level_losses(records)) == {1}
    assert np.isfinite(_running_median(_level_losses(records)[1])[1:]).all()
    assert opened(plots.training_curve(records)).width > 100
    scores = {
        "about": {"factor": [2, 2]},
        "rank_histogram": {"value": [1.2, 0.8, 1.0], "error": [None] * 3},
        "detail_kurtosis": {"value": [9.0, 4], "error": [None] * 2, "truth": [8.0, 5], "truth_error": [None] * 2},
        "octave_ratio": {"value": [1.0, 40], "error": [None] * 2, "edges": [0.5, 0.25, 0.125]},
        "spectrum": {"wavenumber": [0.15, 0.3, 0.5]}
        | {name: {"value": [3.0, 2, 1], "low": [2.0, 1, 0.5], "high": [4.0, 3, 2]} for name in ("truth", "ensemble")},
    }
    for draw in (plots.rank_bars, plots.kurtosis_levels, plots.spectra):
        assert opened(draw(scores)).width > 100


def events(thresholds, frequency, skill, fss):
    """Figures of events as a judgement of one member and one sample leaves them, without errors."""
    rows = len(thresholds)
    nothing = [[None] * 10] * rows
    return {
        "about": {"factor": [2, 1], "levels": 1},
        "event_reliability": {"frequency": frequency, "threshold": thresholds, "error": nothing, "members": nothing}
        | {
            "members_forecast": nothing,
            "members_share": nothing,
            "value": [[0.1] * 10] * rows,
            "share": [[0.1] * 9 + [0.0]] * rows,
        }
        | {"forecast": [[0.1 * i for i in range(9)] + [None]] * rows},
        "event_fss_widths": {"value": fss, "error": [[None] * 2] * rows, "members": [[None] * 2] * rows}
        | {"useful": [0.5] * rows, "width": [1, 2], "threshold": thresholds},
        "event_scale_skill": {"value": skill, "error": skill, "members": skill, "threshold": thresholds},
    }


@pytest.mark.parametrize(
    "scores",
    [
        events([1.0, 5], [0.4, 0.1], [[0.5, -3.0], [-1e5, 1.0]], [[0.2, 0.4]] * 2),
        events([0.0], [1.0], [[None, None]], [[None, None]]),
    ],
    ids=["of two thresholds", "that always happen"],
)
def test_diagrams_of_events_are_drawn_with_whatever_is_known(scores):
    for draw in (plots.reliability_diagram, plots.fss_curves, plots.scale_diagram):
        assert opened(draw(scores, "mm")).width > 100


@pytest.mark.parametrize(
    "truth, heavy", [([0.0, 0.0, 2, 100], True), ([-1.0, 0, 1, 100], False), ([7.0] * 4, False), ([0.0] * 4, False)]
)
def test_quantiles_of_rain_have_logarithmic_axes_and_others_have_not(truth, heavy):
    entry = {"truth": truth, "ensemble": truth, "error": [0.1, None, 1, 9], "probability": [0.01, 0.5, 0.9, 0.999]}
    figure = plots.quantile_plot({"quantiles": entry}, "mm")
    assert (figure.axes[0].get_xscale() == "log") == heavy
    assert opened(figure).width > 100


def test_few_thresholds_are_drawn_the_highest_that_is_crossed_among_them():
    rows = [row for row, _ in _rows({"frequency": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.0]})]
    assert rows[0] == 1 and rows[-1] == 6 and len(rows) == 4


@pytest.mark.integration
def test_drawing_changes_no_global_style():
    before = dict(mpl.rcParams)
    opened(plots.trajectory_strip([rough(1, 8, 8)]))
    assert dict(mpl.rcParams) == before
