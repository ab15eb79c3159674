"""Laws of quantile mapping: monotone transforms are undone, distributions are met, changes stay; and what fails."""

import itertools

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm

from rgdm.bias.mapping import STEEPEST, QuantileMapping
from rgdm.bias.quantiles import quantiles


def normal(count: int, columns: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, columns))


def warped(x: np.ndarray) -> np.ndarray:
    """A monotone transform, not linear."""
    return 4 + 2 * x + np.sinh(x / 2)


@pytest.mark.parametrize("by", [QuantileMapping.by_delta, QuantileMapping.by_value])
def test_with_a_quantile_for_each_value_any_monotone_transform_is_undone_exactly(by):
    observed = normal(200)
    model = warped(observed)[np.random.default_rng(1).permutation(200)]  # no day belongs to a day
    made = by(QuantileMapping.fit(model, observed, 200), model)
    undone = np.array(
        [np.interp(model[:, i], np.sort(warped(observed[:, i])), np.sort(observed[:, i])) for i in range(3)]
    )
    np.testing.assert_allclose(made, undone.T, atol=1e-12)


@pytest.mark.parametrize("by", [QuantileMapping.by_delta, QuantileMapping.by_value])
def test_between_quantiles_the_error_falls_with_their_number_squared(by):
    observed = normal(4000, 1)
    inside = np.abs(observed) < norm.ppf(0.9)
    errors = []
    for count in (25, 50, 100):
        made = by(QuantileMapping.fit(warped(observed), observed, count), warped(observed))
        errors.append(np.abs(made - observed)[inside].max())
    assert errors[0] < 0.02
    assert all(1.7 < np.log2(coarse / fine) < 2.9 for coarse, fine in itertools.pairwise(errors))


def test_beyond_the_last_quantiles_the_correction_is_theirs():
    observed = normal(1000, 1)
    mapping = QuantileMapping.fit(observed + 3, observed, 20)
    np.testing.assert_allclose(mapping.by_value(np.array([[-50.0], [90.0]])), [[-53.0], [87.0]])


@pytest.mark.parametrize("by", [QuantileMapping.by_delta, QuantileMapping.by_value])
def test_another_sample_of_the_model_gets_the_distribution_of_the_truth_and_unmapped_it_has_not(by):
    truth, model, new = normal(4000), warped(normal(4000, seed=1)), warped(normal(4000, seed=2))
    made = by(QuantileMapping.fit(model, truth, 50), new)
    fresh = normal(4000, seed=3)
    for column in range(3):
        assert ks_2samp(made[:, column], fresh[:, column]).statistic < 0.07  # that of four samples by chance
        assert ks_2samp(new[:, column], fresh[:, column]).statistic > 0.7  # the control
    assert np.abs(made.mean(0)).max() < 0.12 and np.abs(made.std(0) - 1).max() < 0.12 < np.abs(new.std(0) - 1).min()


def test_by_delta_a_change_of_the_model_is_kept_at_each_quantile_and_by_value_it_is_not():
    truth, model = normal(4000), 2 + 3 * normal(4000, seed=1)
    warmer = model + 1.5
    mapping = QuantileMapping.fit(model, truth, 50)
    change = quantiles(mapping.by_delta(warmer), 50) - quantiles(mapping.by_delta(model), 50)
    np.testing.assert_allclose(change, 1.5, atol=1e-9)
    change = quantiles(mapping.by_value(warmer), 50) - quantiles(mapping.by_value(model), 50)
    assert (change[:-1] < 1.0).all()


def test_by_delta_a_wider_distribution_stays_wider_by_the_same_differences():
    truth, model = normal(4000, 1), normal(4000, 1, seed=1) + 5
    made = QuantileMapping.fit(model, truth, 50).by_delta(5 + 2 * (model - 5))
    change = quantiles(made, 50) - quantiles(truth, 50)
    np.testing.assert_allclose(change, quantiles(model - 5, 50), atol=0.02)


def test_by_factors_a_relative_change_is_kept_and_what_is_positive_stays_so():
    rng = np.random.default_rng(0)
    truth, model = rng.gamma(2, 3.0, (4000, 2)), rng.gamma(1, 2.0, (4000, 2))
    mapping = QuantileMapping.fit(model, truth, 50, "multiplicative")
    now, later = mapping.by_delta(model), mapping.by_delta(1.3 * model)
    assert (now > 0).all() and (later > 0).all()
    modest = mapping.observed < STEEPEST * mapping.model
    ratio = quantiles(later, 50) / quantiles(now, 50)
    np.testing.assert_allclose(ratio[modest], 1.3, rtol=2e-3)
    np.testing.assert_allclose(quantiles(now, 50), mapping.observed, rtol=0.02, atol=0.02)


def test_where_the_model_has_next_to_nothing_a_change_is_enlarged_by_ten_at_most():
    mapping = QuantileMapping.fit(np.full((4, 1), 1e-3), np.full((4, 1), 5.0), 3, "multiplicative")
    assert mapping.by_delta(np.full((9, 1), 2.001))[0, 0] == pytest.approx(5 + STEEPEST * 2)


def test_missing_values_stay_and_teach_nothing():
    truth, model = normal(500), warped(normal(500, seed=1))
    gaps = np.random.default_rng(2).random(model.shape) < 0.3
    holed = np.where(gaps, np.nan, model)
    made = QuantileMapping.fit(holed, truth, 20).by_delta(holed)
    assert (np.isnan(made) == gaps).all()
    for column in range(3):
        known = ~gaps[:, [column]].ravel()
        alone = QuantileMapping.fit(model[known][:, [column]], truth[:, [column]], 20).by_delta(
            model[known][:, [column]]
        )
        np.testing.assert_allclose(made[known][:, [column]], alone)
