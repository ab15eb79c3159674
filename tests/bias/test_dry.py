"""Rain: never negative, as often dry as observed, whether the model is dry too often or too seldom."""

import numpy as np
import pytest

from rgdm.bias.correction import Sample, Settings, correct
from rgdm.bias.dry import is_positive
from rgdm.errors import InputError

WET = 0.1


def rain(dry: float, scale: float, seed: int, count: int = 4000) -> Sample:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((count, 3)) < dry, 0.0, WET + rng.gamma(0.7, scale, (count, 3)))
    return Sample(values, np.zeros(count, int), f"rain {seed}")


def settings(**more) -> Settings:
    return Settings(**({"quantiles": 50, "kind": "multiplicative", "wet": WET} | more))


@pytest.mark.parametrize("method", ["delta", "value"])
@pytest.mark.parametrize("dry", [0.1, 0.6, 0.9])
def test_days_are_dry_as_often_as_observed_and_none_is_negative(dry, method):
    observed, model = rain(0.6, 8.0, 1), rain(dry, 5.0, 2)
    made, _ = correct(model, observed, None, settings(method=method))
    assert np.isfinite(made).all() and (made >= 0).all()
    assert ((made == 0) | (made >= WET)).all()
    np.testing.assert_allclose(
        (made == 0).mean(0), (observed.values == 0).mean(0), atol=2e-3
    )  # much less than a quantile
    np.testing.assert_allclose(made.mean(0), observed.values.mean(0), rtol=0.05)
    assert np.abs((model.values == 0).mean(0) - (observed.values == 0).mean(0)).max() > 0.25 or dry == 0.6  # control


def test_a_model_that_drizzles_every_day_becomes_dry_as_often_as_observed():
    observed, model = rain(0.6, 8.0, 1), rain(0.0, 5.0, 2)
    made, _ = correct(model, observed, None, settings())
    np.testing.assert_allclose((made == 0).mean(0), (observed.values == 0).mean(0), atol=2e-3)
    wettest = model.values > np.quantile(model.values, 0.7)
    assert (made[wettest] > 0).all()  # the driest days are those that become dry


def test_the_same_seed_wets_the_same_days_and_another_seed_others():
    observed, model = rain(0.3, 8.0, 1), rain(0.6, 5.0, 2)
    first, again, other = (correct(model, observed, None, settings(seed=seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    wetted = (first > 0) & (model.values == 0)
    assert wetted.any() and (wetted != ((other > 0) & (model.values == 0))).any()
    np.testing.assert_array_equal(first[model.values > 1], other[model.values > 1])


def test_a_relative_change_of_rain_is_kept():
    observed, model = rain(0.6, 8.0, 1), rain(0.5, 5.0, 2)
    later = Sample(1.2 * model.values, model.groups, "later")
    now, then = correct(model, observed, None, settings())[0], correct(model, observed, later, settings())[0]
    np.testing.assert_allclose(then.mean(0) / now.mean(0), 1.2, rtol=0.02)


def test_a_scenario_with_more_rainy_days_than_the_dry_model_does_not_explode():
    observed, model, later = rain(0.3, 8.0, 1), rain(0.98, 5.0, 2), rain(0.3, 5.0, 3)
    made, _ = correct(model, observed, later, settings())
    assert np.isfinite(made).all() and made.max() < 12 * max(later.values.max(), observed.values.max())


def test_negative_rain_is_refused_with_its_number():
    observed, model = rain(0.6, 8.0, 1), rain(0.6, 8.0, 2)
    model.values[3, 1] = -1e-3
    with pytest.raises(InputError, match=r"1 values of rain 2 are negative, down to -0\.001: set them to 0"):
        correct(model, observed, None, settings())


def test_rain_is_told_from_what_may_be_negative_and_from_fractions():
    x = rain(0.3, 8.0, 1).values
    assert is_positive(x) and is_positive(np.where(np.arange(len(x))[:, None] < 9, np.nan, x))
    assert not is_positive(x - 1) and not is_positive(x + 1)
    assert not is_positive(np.clip(x / 10, 0, 1))
