"""Sites of unequal weight: as plain loops, as repeated sites, and as another package says."""

import operator

import numpy as np
import pytest
import torch
import xarray as xr
from scores.continuous import mae, rmse
from scores.probability import brier_score_for_ensemble, crps_for_ensemble, tail_tw_crps_for_ensemble

from rgdm.data.areas import areas_of
from rgdm.evaluate import bicubic, brier_score, energy_score, fair_crps, judge, rank_histogram, spread_skill, tail_crps
from rgdm.evaluate.detail import detail_moments, kurtosis
from rgdm.evaluate.glossary import ALIKE
from rgdm.evaluate.increments import structure_functions
from rgdm.evaluate.sequence import lag_correlation
from rgdm.evaluate.summary import summary
from rgdm.evaluate.variogram import pairs_of_sites, variogram_score
from rgdm.evaluate.weights import counting, means
from rgdm.scale.operators.block import BlockSpin

OPERATOR = BlockSpin(2)
TIMES = torch.tensor([1, 3, 1, 2, 2, 1, 4, 2, 3, 1, 1, 3, 2, 2, 1, 3])
"""How often each of 16 sites is repeated: 32 sites."""


def fields(lattice=(16,), samples=5, members=4):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(members + 1, samples, 1, *lattice, generator=generator, dtype=torch.float64)
    return x[1:] + x[:1] / 2, x[0]


def repeated(x):
    return x.repeat_interleave(TIMES, -1)


def globe(rows=8, columns=16):
    latitude = ("lat", np.linspace(-84, 84, rows), {"units": "degrees_north"})
    field = xr.DataArray(np.zeros((rows, columns)), dims=("lat", "lon"), coords={"lat": latitude})
    areas = areas_of(field, ("lat", "lon"))
    assert areas is not None
    return torch.from_numpy(areas)


def names(x):
    """As the package ``scores`` takes fields (..., sample, 1, y, x)."""
    return xr.DataArray(x.select(-3, 0).numpy(), dims=["member", "sample", "y", "x"][-x.dim() + 1 :])


def same(a, b):
    return torch.allclose(torch.as_tensor(a).double(), torch.as_tensor(b).double(), rtol=1e-12)


def test_a_site_of_weight_two_counts_as_two_sites():
    ensemble, truth = fields()
    many, true, w = repeated(ensemble), repeated(truth), TIMES.double().reshape(1, 1, -1)
    for score in (fair_crps, energy_score):
        assert same(score(ensemble, truth, w), score(many, true)), score
        assert not same(score(ensemble, truth), score(many, true)), score
    for value, wanted in zip(spread_skill(ensemble, truth, w), spread_skill(many, true), strict=True):
        assert same(value, wanted)
    assert same(rank_histogram(ensemble, truth, weights=w).counts, rank_histogram(many, true).counts)
    assert same(brier_score(ensemble, truth, 0.3, w), brier_score(many, true, 0.3))
    assert same(tail_crps(ensemble, truth, 0.3, w), tail_crps(many, true, 0.3))
    assert same(means(truth, w), true.flatten(1).mean(1))


def test_a_judgement_takes_weights_as_repeated_sites():
    """All figures of single sites, with their errors; one sample lacks half of its sites."""
    ensemble, truth = (x.clamp(min=-0.5) + 0.5 for x in fields())  # dry sites
    truth = torch.where(truth == 0, 0, truth + 1e-9)  # ranks without chance
    ensemble = torch.where(ensemble == 0, 1e-12, ensemble)
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[2, :, 8:] = False
    coarse, other = truth[..., :4].clone(), ensemble.flip(0)
    many = [repeated(x) for x in (truth, ensemble)], repeated(valid)
    w, options = TIMES.double().reshape(1, 1, -1) / 7, {"thresholds": (0.4, 0.9)}
    one = judge(truth, ensemble, coarse, OPERATOR, 2, "reflect", {"o": other}, weights=w, valid=valid, **options)
    coarse = repeated(truth)[..., :8].clone()
    two = judge(*many[0], coarse, OPERATOR, 2, "reflect", {"o": repeated(other)}, valid=many[1], **options)
    own, wanted = (scores["channels"]["channel0"] for scores in (one, two))
    for name in (
        *("crps", "rmse", "energy_score", "spread_skill", "rank_histogram", "rank_deviation", "outside", "crps_o"),
        *("crps_over_o", "energy_over_o", "quantiles", "range", "wet_share", "event_brier", "event_skill"),
        *("tail_crps_over_o", "event_reliability", "excursion_area"),
    ):
        for key, value in wanted[name].items():
            a, b = (np.array(each, dtype=float) for each in (own[name][key], value))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"{name} {key}")
    assert one["crps"]["value"] == pytest.approx(two["crps"]["value"])  # in the same unit
    assert one["about"]["std"] == pytest.approx(two["about"]["std"])
    assert one["about"]["areas"] == "given" and two["about"]["areas"] is None


@pytest.mark.parametrize("size", [1.0, 0.37, 1e-9])
def test_equal_weights_change_nothing(size):
    ensemble, truth = fields((16, 8))
    coarse, equal = truth[..., ::4, ::4], torch.full((1, 1, 16, 8), size, dtype=torch.float64)
    plain, found = (judge(truth, ensemble, coarse, OPERATOR, 2, "reflect", weights=w) for w in (None, equal))
    assert plain == found
    gone = torch.rand(5, 1, 16, 8, generator=torch.Generator().manual_seed(0)) < 0.8
    plain, found = (
        judge(truth, ensemble, coarse, OPERATOR, 2, "reflect", weights=w, valid=gone) for w in (None, equal)
    )
    assert plain == found


def test_scores_are_those_of_the_scores_package():
    ensemble, truth = fields((8, 16), samples=3)
    w = globe()
    forecast, observed, areas = names(ensemble), names(truth), names(w)[0]
    each = {"preserve_dims": "sample", "weights": areas}
    crps = crps_for_ensemble(forecast, observed, "member", method="fair", **each)
    np.testing.assert_allclose(fair_crps(ensemble, truth, w), np.asarray(crps), rtol=1e-12)
    tail = tail_tw_crps_for_ensemble(forecast, observed, "member", 0.5, method="fair", **each)
    np.testing.assert_allclose(tail_crps(ensemble, truth, 0.5, w), np.asarray(tail), rtol=1e-12)
    brier = brier_score_for_ensemble(forecast, observed, "member", 0.5, event_threshold_operator=operator.gt, **each)
    np.testing.assert_allclose(brier_score(ensemble, truth, 0.5, w), np.asarray(brier).squeeze(), rtol=1e-12)
    error = mae(forecast[0], observed, **each)
    np.testing.assert_allclose(means((ensemble[0] - truth).abs(), w), np.asarray(error), rtol=1e-12)
    one = judge(truth, ensemble, truth[..., ::4, ::4], OPERATOR, 2, "reflect", {"one": ensemble[0]}, weights=w)
    own = one["channels"]["channel0"]
    assert own["rmse"]["value"] == pytest.approx(float(rmse(forecast.mean("member"), observed, weights=areas)))
    assert own["crps_one"]["value"] == pytest.approx(float(mae(forecast[0], observed, weights=areas)))


def test_scores_of_pairs_are_those_of_a_loop():
    ensemble, truth = fields((6, 5), samples=2)
    w = torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w[0, 0, 2, 3] = 0
    first, second = pairs_of_sites((6, 5), "reflect", (1, 2))
    for b, found in enumerate(variogram_score(ensemble, truth, "reflect", w, lags=(1, 2))):
        total = size = 0.0
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            x, y, own = (part.flatten(-2) for part in (ensemble[:, b, 0], truth[b, 0], w[b, 0]))
            steps = (x[:, i] - x[:, j]).abs().sqrt()
            pair = float((own[i] * own[j]).sqrt())
            off = float((y[i] - y[j]).abs().sqrt() - steps.mean()) ** 2 - float(steps.var()) / len(steps)
            total, size = total + pair * off, size + pair
        assert float(found) == pytest.approx(total / size)
    square, fourth = structure_functions(truth, [1], "reflect", w)[1, 0, 0].tolist()
    x, own = truth[1, 0], w[1, 0]
    steps = torch.cat([(x[1:] - x[:-1]).flatten(), (x[:, 1:] - x[:, :-1]).flatten()])
    pair = torch.cat([(own[1:] * own[:-1]).sqrt().flatten(), (own[:, 1:] * own[:, :-1]).sqrt().flatten()])
    assert square == pytest.approx(float((steps**2 * pair).sum() / pair.sum()))
    assert fourth == pytest.approx(float((steps**4 * pair).sum() / pair.sum()))


def test_detail_has_the_mean_weight_of_its_block():
    _, truth = fields((8, 4), samples=3)
    w = globe(8, 4).expand(3, 1, 8, 4)
    second, _, size = detail_moments(truth, OPERATOR, 1, w)
    detail = OPERATOR.split(truth)[1]
    of_block = torch.nn.functional.avg_pool2d(w, 2)
    assert same(second[:, 0] / size[:, 0], (detail.square() * of_block).sum((1, 2, 3)) / of_block.sum((1, 2, 3)) / 3)
    alone = kurtosis(*(part.mean(0) for part in detail_moments(truth[..., :2, :], OPERATOR, 1)))
    w = torch.zeros_like(w)
    w[..., :2, :] = 2.5
    assert same(kurtosis(*(part.mean(0) for part in detail_moments(truth, OPERATOR, 1, w))), alone)
    frames, half = truth.roll(1, 0) + truth, lag_correlation(truth[..., :2, :], OPERATOR, 1).value
    assert same(lag_correlation(truth, OPERATOR, 1, weights=w).value, half)
    assert not same(lag_correlation(frames, OPERATOR, 1).value, half)


def test_what_is_wrong_at_the_pole_alone_counts_less():
    ensemble, truth = fields((8, 16))
    coarse, w = truth[..., ::4, ::4], globe()
    polar = torch.zeros(8, 16)
    polar[0] = polar[-1] = 1
    for place, less in ((polar, True), (1 - polar, False)):
        wrong = ensemble + 5 * place
        baseline = {"bicubic": bicubic(coarse, 4)}
        alike, by_area = (
            judge(truth, wrong, coarse, OPERATOR, 2, "reflect", baseline, weights=weights, thresholds=(0.0, 2.0))
            for weights in (None, w)
        )
        own, other = (scores["channels"]["channel0"] for scores in (by_area, alike))
        for name in ("crps", "rmse", "energy_score", "crps_over_bicubic"):
            assert (own[name]["value"] < other[name]["value"]) == less, name
        assert (own["rank_deviation"]["value"] < other["rank_deviation"]["value"]) == less
        assert (own["event_brier"]["value"][1] < other["event_brier"]["value"][1]) == less
        assert (own["quantiles"]["value"][-2] < other["quantiles"]["value"][-2]) == less or not less


def test_nothing_is_seen_where_the_weight_is_zero():
    ensemble, truth = fields((8, 8))
    w = globe(8, 8).expand(5, 1, 8, 8).clone()
    w[:, :, 1:3, 2] = 0
    spoilt, gone = torch.where(w > 0, ensemble, torch.nan), torch.where(w > 0, truth, torch.nan)
    scores = (fair_crps, energy_score, lambda e, t, w: spread_skill(e, t, w).pooled)
    others = (
        lambda e, t, w: rank_histogram(e, t, weights=w).relative,
        lambda e, t, w: brier_score(e, t, 0.2, w),
        lambda e, t, w: tail_crps(e[:1], t, 0.2, w),
        lambda e, t, w: variogram_score(e, t, "reflect", w),
        lambda e, t, w: structure_functions(t, [1, 2], "periodic", w),
        lambda e, t, w: lag_correlation(t, OPERATOR, 2, weights=w).value,
        lambda e, t, w: means((e[0] - t).abs(), w),
    )
    for i, score in enumerate((*scores, *others)):
        found = score(spoilt, gone, w)
        assert torch.equal(found, score(ensemble, truth, w)) and bool(found.isfinite().all()), i


def test_the_figures_that_count_sites_alike_are_those_that_say_so():
    ensemble, truth = fields((16, 16), samples=20)
    ensemble, truth = (x + x.roll(1, -2) for x in (ensemble, truth))
    coarse, w = truth[..., ::4, ::4], globe(16, 16)
    options = {"thresholds": (0.0, 0.7), "times": True}
    plain, found = (
        judge(truth, ensemble, coarse, OPERATOR, 2, "reflect", {"b": ensemble[0]}, weights=weights, **options)
        for weights in (None, w)
    )
    for name, entry in plain["channels"]["channel0"].items():
        if name in ("spectrum", "range") or name.startswith("consistency"):
            continue
        a, b = (np.array(each["value"], dtype=float) for each in (entry, found["channels"]["channel0"][name]))
        alike = name in ALIKE or name == "octave_ratio_b"
        assert np.allclose(a, b, rtol=1e-9, equal_nan=True) == alike, name
    assert "weighted by the areas of their cells (given)" in "\n".join(summary(found))
    assert "areas" not in "\n".join(summary(plain))


def test_block_means_are_judged_with_the_weights_that_they_have():
    ensemble, _ = fields((8, 16))
    w = globe()
    sums, sizes = (x.unfold(2, 4, 4).unfold(3, 4, 4).sum((-1, -2)) for x in (ensemble[0] * w, w))
    coarse = sums / sizes
    same_means = ensemble[:1].repeat(2, 1, 1, 1, 1)
    same_means[1] += torch.tensor([1.0, -1.0]).repeat(8).double() / 9  # along latitudes
    by_area, alike = (judge(ensemble[2], same_means, coarse, OPERATOR, 2, "reflect", weights=x) for x in (w, None))
    assert by_area["consistency_error"]["value"] < 1e-12 < 1e-3 < alike["consistency_error"]["value"]


@pytest.mark.usefixtures("unchecked")
def test_weights_that_are_none_are_refused():
    truth = torch.zeros(2, 1, 4)
    with pytest.raises(ValueError, match="weights of sites from -1 to 1; they are finite, and 0"):
        counting(truth, torch.tensor([[[1.0, -1, 1, 1]]]))
    with pytest.raises(ValueError, match="no valid site; leave it out"):
        counting(truth, torch.zeros(1, 1, 4))
    assert counting(truth, torch.full((1, 1, 4), 0.3)) is None
