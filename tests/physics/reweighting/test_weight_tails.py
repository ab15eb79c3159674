"""The Pareto index of weights, and what it says of an effective sample size that is too good to be true."""

import math

import pytest
import torch

from rgdm.physics.reweighting.tails import pareto_index
from rgdm.physics.reweighting.weights import Reweighting


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("index", [0.2, 0.7, 1.2])
def test_the_index_of_pareto_weights_is_found(index):
    """Weights ``u^-k`` of uniform u have a Pareto tail of index k."""
    found = [
        pareto_index(-index * torch.rand(20_000, generator=random(i), dtype=torch.float64).log()) for i in range(20)
    ]
    assert float(torch.tensor(found).mean()) == pytest.approx(index, abs=0.06)  # the prior draws towards 1/2
    assert float(torch.tensor(found).std()) < 0.12


def test_the_index_knows_no_unit_and_bounded_weights_have_a_negative_one():
    values = torch.randn(2000, generator=random(), dtype=torch.float64)
    assert pareto_index(values) == pytest.approx(pareto_index(values + 5000.0))
    assert pareto_index(torch.rand(20_000, generator=random(), dtype=torch.float64).log()) < -0.5


def test_weights_without_a_tail_or_too_few_have_no_index():
    assert pareto_index(torch.zeros(100)) == -math.inf
    assert pareto_index(1e-6 * torch.randn(1000, generator=random())) == -math.inf
    assert math.isnan(pareto_index(torch.randn(20, generator=random())))
    assert pareto_index(torch.zeros(4)) == -math.inf
    with pytest.raises(ValueError, match="one finite number"):
        pareto_index(torch.tensor([0.0, math.inf]))


def lognormal(spread: float, count: int, runs: int) -> list[Reweighting]:
    """Weights of a model whose true effective sample size is ``exp(-spread^2)``."""
    generator = random()
    return [Reweighting(spread * torch.randn(count, generator=generator, dtype=torch.float64)) for _ in range(runs)]


@pytest.mark.parametrize("count", [1000, 4000])
def test_an_effective_sample_size_that_is_ten_times_too_good_is_doubted(count):
    runs = lognormal(2.5, count, 100)
    true, naive = math.exp(-(2.5**2)), torch.stack([run.ess.value for run in runs]).median()
    assert true == pytest.approx(0.0019, abs=1e-4) and float(naive) > 5 * true
    assert sum(bool(run.doubts) for run in runs) >= 98
    assert sum(run.pareto_index > 0.5 for run in runs) >= 97


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_a_good_effective_sample_size_is_not_doubted(spread):
    runs = lognormal(spread, 1000, 100)
    assert sum(bool(run.doubts) for run in runs) <= 3
    assert all(float(run.ess.value) == pytest.approx(math.exp(-(spread**2)), rel=0.3) for run in runs)


def test_an_error_of_more_than_a_quarter_is_said():
    few = torch.zeros(30, dtype=torch.float64)
    few[:3] = torch.tensor([2.0, 2.5, 3.0])
    run = Reweighting(few)
    assert float(run.ess.error) > 0.25 * float(run.ess.value)
    assert any("has an error of" in doubt for doubt in run.doubts)
