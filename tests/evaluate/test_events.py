"""Scores of events: against another implementation, and on ensembles that are right, wrong, or know nothing."""

import operator

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.evaluate.diagrams import event_diagrams
from rgdm.evaluate.events import (
    brier_score,
    event_figures,
    fractions,
    fractions_skill,
    reliability,
    tail_crps,
)

pytestmark = pytest.mark.usefixtures("float64")


def fields(members: int = 6, samples: int = 8, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Members and truth that are exchangeable for a spread of 1, about a mean that is known."""
    mean = torch.randn(samples, 1, 12, 16)
    return mean + spread * torch.randn(members, samples, 1, 12, 16), mean + torch.randn(samples, 1, 12, 16)


def arrays(ensemble: torch.Tensor, truth: torch.Tensor) -> tuple[xr.DataArray, xr.DataArray]:
    dims = ("sample", "channel", "y", "x")
    return xr.DataArray(ensemble.numpy(), dims=("member", *dims)), xr.DataArray(truth.numpy(), dims=dims)


@pytest.mark.parametrize("threshold", [-1.0, 0.3, 1.7])
def test_scores_are_those_of_another_package(threshold):
    scores = pytest.importorskip("scores")
    spatial = pytest.importorskip("scores.spatial")
    ensemble, truth = fields()
    a, b = arrays(ensemble, truth)
    theirs = scores.probability.brier_score_for_ensemble(
        a, b, "member", threshold, preserve_dims="sample", fair_correction=True, event_threshold_operator=operator.gt
    )
    np.testing.assert_allclose(brier_score(ensemble, truth, threshold), theirs.values.squeeze(), atol=1e-12)
    tails = scores.probability.tail_tw_crps_for_ensemble(
        a, b, "member", threshold, tail="upper", method="fair", preserve_dims="sample"
    )
    np.testing.assert_allclose(tail_crps(ensemble, truth, threshold), tails.values, atol=1e-12)
    for width in (1, 3, 5):
        error, reference = fractions_skill(ensemble[0], truth, threshold, width)
        fss = spatial.fss_2d(
            a[0, :, 0],
            b[:, 0],
            event_threshold=threshold,
            window_size=(width, width),
            spatial_dims=("y", "x"),
            threshold_operator=np.greater,
        )
        assert float(1 - error.sum() / reference.sum()) == pytest.approx(float(fss), abs=1e-12)


def test_valid_sites_alone_count():
    ensemble, truth = fields()
    valid = torch.rand_like(truth) < 0.6
    spoilt, other = torch.where(valid, ensemble, 1e6), torch.where(valid, truth, -1e6)
    for score in (brier_score, tail_crps):
        torch.testing.assert_close(score(spoilt, other, 0.5, valid), score(ensemble, truth, 0.5, valid))
    for mine, theirs in zip(
        fractions_skill(spoilt[0], other, 0.5, 3, valid),
        fractions_skill(ensemble[0], truth, 0.5, 3, valid),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    assert bool(fractions(truth, 0.0, 3, torch.zeros_like(valid)).isnan().all())


def test_windows_go_round_periodic_axes_and_no_others():
    x, width, sides = fields()[1], (3, 4), ("reflect", "periodic")
    found = fractions(x, 0.3, width, boundary=sides)
    assert found.shape == (8, 1, 10, 16)
    twice = torch.cat((x, x), -1)
    torch.testing.assert_close(found, fractions(twice, 0.3, width)[..., :16])
    torch.testing.assert_close(fractions(x.roll(5, -1), 0.3, width, boundary=sides), found.roll(5, -1))
    torch.testing.assert_close(found[..., :13], fractions(x, 0.3, width))
    valid = torch.rand_like(x) < 0.6
    torch.testing.assert_close(
        fractions(x.roll(5, -1), 0.3, width, valid.roll(5, -1), sides),
        fractions(x, 0.3, width, valid, sides).roll(5, -1),
    )


def test_the_figures_of_a_periodic_field_do_not_depend_on_where_it_is_cut():
    ensemble, truth = fields()
    smooth = [(x + x.roll(1, -1) + x.roll(1, -2)) for x in (ensemble, truth)]
    turned = [x.roll((5, 7), (-2, -1)) for x in smooth]
    for boundary, same in (("periodic", True), ("reflect", False)):
        one, other = (
            event_figures(b, a, {}, torch.tensor([0.5]), (3, 4), None, boundary=boundary)["event_fss"]["value"]
            for a, b in (smooth, turned)
        )
        assert bool(torch.isclose(one, other, rtol=1e-12)) == same
        tables = [
            event_diagrams(b, a, torch.tensor([0.5]), (2, 2), boundary=boundary)["event_fss_widths"]["value"]
            for a, b in (smooth, turned)
        ]
        assert bool(torch.allclose(*tables, rtol=1e-12)) == same


def test_the_scores_are_best_for_the_law_of_the_truth():
    """Proper scores: narrower and wider ensembles, and one that is shifted, are worse."""
    torch.manual_seed(4)
    right, truth = fields(8, 60)
    narrow = right.mean(0) + 0.2 * (right - right.mean(0))
    for score in (brier_score, tail_crps):
        best = float(score(right, truth, 0.8).mean())
        for wrong in (narrow, right + 0.7, right - 0.7):
            assert float(score(wrong, truth, 0.8).mean()) > best


def test_a_fair_score_does_not_depend_on_how_many_members_there_are():
    torch.manual_seed(5)
    ensemble, truth = fields(64, 200)
    for score in (brier_score, tail_crps):
        few, many = (float(score(ensemble[:n], truth, 0.5).mean()) for n in (2, 64))
        assert few == pytest.approx(many, abs=0.003)


def test_probabilities_of_exchangeable_members_are_reliable_and_those_of_narrow_ones_are_not():
    torch.manual_seed(6)
    ensemble, truth = fields(40, 60)
    curve = reliability(ensemble, truth, 0.5)
    assert float((curve["value"] - curve["forecast"]).abs().max()) < 0.05
    assert float(curve["share"].sum()) == pytest.approx(1)
    narrow = ensemble.mean(0) + 0.3 * (ensemble - ensemble.mean(0))
    wrong = reliability(narrow, truth, 0.5)
    assert float((wrong["value"] - wrong["forecast"]).abs().max()) > 0.15


def test_figures_say_what_members_alike_would_have():
    torch.manual_seed(7)
    ensemble, truth = fields(6, 40)
    thresholds = torch.tensor([0.0, 1.0])
    baseline = {"bicubic": ensemble.mean(0, keepdim=True)}
    figures = event_figures(truth, ensemble, baseline, thresholds, (3, 3), None)
    assert set(figures) == {"event_brier", "event_skill", "event_fss", "tail_crps_over_bicubic"}
    fss = figures["event_fss"]
    apart = (fss["value"] - fss["members"]).abs() / fss["error"]
    assert float(apart.max()) < 4 and float(fss["value"].min()) > 0.3
    assert bool((figures["event_skill"]["value"] > 0.2).all())
    assert bool((figures["tail_crps_over_bicubic"]["value"] < 1).all())
    knows_nothing = ensemble.roll(1, 1)
    none = event_figures(truth, knows_nothing, baseline, thresholds, (3, 3), None)
    assert bool((none["event_skill"]["value"] < 0).all())
    assert bool((none["event_fss"]["value"] < fss["value"]).all())


def test_windows_that_are_larger_than_the_field_and_single_members_are_refused():
    ensemble, truth = fields(1)
    with pytest.raises(ValueError, match=r"windows of \(13, 13\) sites"):
        fractions(truth, 0.0, 13)
    with pytest.raises(ValueError, match="1 members"):
        brier_score(ensemble, truth, 0.0)
