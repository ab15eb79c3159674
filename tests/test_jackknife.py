import math

import numpy as np
import pytest
import torch

from rgdm.jackknife import delete_one_quantiles, jackknife


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


def test_the_error_of_one_sample_is_unknown():
    assert math.isnan(jackknife(lambda mean: mean, torch.ones(1)).error)


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
