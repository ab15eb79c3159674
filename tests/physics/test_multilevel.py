"""The telescope over sublattices: unbiased with exact weights, cheaper where levels agree, and it says where not."""

import pytest
import torch

from rgdm.jackknife import Estimate
from rgdm.model.autoregressive import AutoregressiveCascade
from rgdm.physics.actions import Ising, neighbours_ahead
from rgdm.physics.exact import transfer
from rgdm.physics.monte_carlo import sample_ising
from rgdm.physics.multilevel import Multilevel, multilevel


def m2(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).mean(1).square()


def energy(x: torch.Tensor) -> torch.Tensor:
    return -(x * neighbours_ahead(x)).flatten(1).mean(1)


@pytest.fixture(scope="module")
def model():
    action = Ising(0.4)
    torch.manual_seed(0)
    made = AutoregressiveCascade((8, 8), "spins", width=16, action=action)
    made.fit(sample_ising(action, 8, 400, 8000, seed=0), steps=150, batch=128)
    return action, made


def test_the_sum_is_the_mean_of_the_action(model):
    action, made = model
    found = multilevel(made, action, m2, [8000, 8000, 8000], seed=1)
    exact = transfer.ising_moments(action, 8).m2
    value, error = found.total
    assert abs(float(value) - exact) < 4 * float(error)
    wrong = multilevel(made, Ising(0.37), m2, [8000, 8000, 8000], seed=1)
    assert abs(float(wrong.total.value) - exact) > 6 * float(wrong.total.error)
    assert found.variances[0] > max(found.variances[1:]) > 0


def test_allocation_spends_the_time_and_minimises_the_error(model):
    action, made = model
    found = multilevel(made, action, energy, [500, 500, 500])
    counts = found.allocation(10.0)
    spent = sum(n * c for n, c in zip(counts, found.costs, strict=True))
    assert spent == pytest.approx(10, rel=0.1)

    def error2(counts: list[float]) -> float:
        return sum(v / n for v, n in zip(found.variances, counts, strict=True))

    moved = [counts[0] * 1.3, counts[1], counts[2] - 0.3 * counts[0] * found.costs[0] / found.costs[2]]
    assert error2(counts) < error2(moved)


def test_verdicts():
    def of(variances: list[float]) -> Multilevel:
        one = torch.tensor(1.0, dtype=torch.float64)
        return Multilevel([Estimate(one, one)] * 2, variances, [0.1, 1.0], [2, 2], 1.0)

    assert of([1.0, 0.01]).gain == pytest.approx(1 / (0.1**0.5 + 0.1) ** 2)
    assert "no gain" in of([1.0, 1.0]).verdict


@pytest.mark.parametrize("counts", [[10], [10, 1], [10, 10, 10, 10, 10]])
def test_bad_counts(model, counts):
    with pytest.raises(ValueError, match="counts"):
        multilevel(model[1], model[0], m2, counts)
