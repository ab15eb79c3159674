"""Quantiles and ranks of columns with gaps, against numpy and against each other."""

import numpy as np
import pytest

from rgdm.bias.quantiles import at_probability, probabilities, probability_of, quantiles, ranks


@pytest.fixture
def samples() -> np.ndarray:
    """Columns with no gap, with some, with one value, and with none."""
    x = np.random.default_rng(0).gamma(2.0, 3.0, (37, 4))
    x[5:9, 1] = np.nan
    x[1:, 2] = np.nan
    x[:, 3] = np.nan
    return x


@pytest.mark.parametrize("count", [2, 10, 36, 37, 80])
def test_quantiles_are_those_of_numpy_of_what_is_not_missing(samples, count):
    ours = quantiles(samples, count)
    for column in range(3):
        known = samples[~np.isnan(samples[:, column]), column]
        np.testing.assert_allclose(ours[:, column], np.quantile(known, probabilities(count)))
    assert np.isnan(ours[:, 3]).all()


def test_as_many_quantiles_as_values_are_the_ordered_values(samples):
    np.testing.assert_allclose(quantiles(samples[:, :1], 37)[:, 0], np.sort(samples[:, 0]))


def test_a_value_has_the_probability_of_its_rank_and_equal_ones_share_it(samples):
    x = np.array([[3.0], [1.0], [np.nan], [1.0], [7.0]])
    np.testing.assert_allclose(ranks(x)[:, 0], [2 / 3, 0.5 / 3, np.nan, 0.5 / 3, 1])
    assert ranks(np.array([[5.0], [np.nan]]))[0, 0] == 0.5
    np.testing.assert_allclose(at_probability(quantiles(samples[:, :1], 37), ranks(samples[:, :1])), samples[:, :1])


def test_probability_and_quantile_undo_each_other_and_stop_at_the_extremes(samples):
    table, p = quantiles(samples[:, :2], 20), np.linspace(0.03, 0.97, 50)[:, None].repeat(2, 1)
    np.testing.assert_allclose(probability_of(table, at_probability(table, p)), p)
    beyond = np.array([[-1.0, np.nan], [1e3, 1e3]])
    np.testing.assert_allclose(probability_of(table, beyond), [[0, np.nan], [1, 1]])


def test_a_value_that_is_several_quantiles_has_the_mean_of_their_probabilities():
    table = np.array([[0.0], [0.0], [0.0], [5.0]])
    assert probability_of(table, np.array([[0.0]]))[0, 0] == pytest.approx(1 / 3)
