import math

import numpy as np
import pytest
import torch

from rgdm.jackknife import FEWEST, delete_one_error, delete_one_quantiles, jackknife


def test_the_error_of_a_mean_is_the_standard_error():
    x = torch.randn(12, dtype=torch.float64)
    estimate = jackknife(lambda mean: mean, x)
    assert torch.allclose(estimate.error, x.std() / 12**0.5)


@pytest.mark.integration
def test_the_error_of_a_ratio_covers_its_scatter():
    generator = torch.Generator().manual_seed(2)
    ratios, errors = [], []
    for _ in range(300):
        a = 2 + torch.rand(20, generator=generator, dtype=torch.float64)
        b = 1 + a + torch.randn(20, generator=generator, dtype=torch.float64) / 4
        estimate = jackknife(torch.div, a, b)
        ratios.append(estimate.value)
        errors.append(estimate.error)
    scatter = torch.stack(ratios).std()
    assert abs(torch.stack(errors).mean() / scatter - 1) < 0.15


def test_the_error_of_few_samples_or_blocks_is_unknown():
    for count in (1, 2, 3, 4):
        x = torch.arange(float(count))
        assert math.isnan(jackknife(lambda mean: mean, x).error) == (count < FEWEST)
        assert bool(delete_one_error(x).isnan()) == (count < FEWEST)
        assert math.isnan(jackknife(lambda mean: mean, torch.randn(40), blocks=count).error) == (count < FEWEST)


def test_an_error_of_few_samples_is_as_uncertain_as_it_is_said():
    for count in (4, 10):
        errors = jackknife(lambda mean: mean, torch.randn(count, 20000, dtype=torch.float64)).error
        assert abs(float(errors.std() / errors.mean()) * math.sqrt(2 * (count - 1)) - 1) < 0.06


def test_weighted_quantiles_are_those_of_repeated_values():
    values = [torch.randn(n).double() for n in (17, 5, 9, 30)]
    weights = [torch.randint(1, 5, (len(each),)).double() for each in values]
    q = torch.tensor([0.0, 0.01, 0.3, 0.5, 0.9, 1.0]).double()
    found = delete_one_quantiles(values, q, weights)
    many = [x.repeat_interleave(w.long()) for x, w in zip(values, weights, strict=True)]
    wanted = delete_one_quantiles(many, q)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert not torch.equal(found[0], delete_one_quantiles(values, q)[0])
    ones = [torch.ones_like(each) for each in values]
    assert torch.equal(delete_one_quantiles(values, q, ones)[1], delete_one_quantiles(values, q)[1])


def test_quantiles_without_each_sample_are_those_of_the_rest():
    values = [torch.randn(37).double(), torch.zeros(11).double(), 9 * torch.randn(5).double(), torch.zeros(0).double()]
    q = torch.tensor([0.0, 0.01, 0.5, 0.9, 1.0]).double()
    pooled, without = delete_one_quantiles(values, q)
    assert np.array_equal(pooled, np.quantile(torch.cat(values), q, method="inverted_cdf"))
    for b in range(4):
        others = torch.cat(values[:b] + values[b + 1 :])
        assert np.array_equal(without[b], np.quantile(others, q, method="inverted_cdf"))


def test_quantiles_of_nothing_do_not_exist():
    pooled, _ = delete_one_quantiles([torch.zeros(0)], torch.tensor([0.5]))
    assert math.isnan(pooled[0])
