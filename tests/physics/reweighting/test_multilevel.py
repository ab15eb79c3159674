"""The telescope over sublattices: unbiased with exact weights, cheaper where levels agree, and it says where not."""

import pytest
import torch

from rgdm.jackknife import Estimate
from rgdm.model.lattice.autoregressive import AutoregressiveField
from rgdm.physics.actions import Ising
from rgdm.physics.exact import transfer
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.reweighting.multilevel import Multilevel, multilevel


def m2(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).mean(1).square()


@pytest.fixture(scope="module")
def model():
    action = Ising(0.4)
    torch.manual_seed(0)
    field = AutoregressiveField((8, 8), "spins", width=16, action=action)
    field.fit(sample_fields(action, 8, 400, 8000, seed=0), steps=150, batch=128)
    return action, field


@pytest.mark.integration
def test_the_sum_is_the_mean_of_the_action(model):
    action, field = model
    telescope = multilevel(field, action, m2, [8000, 8000, 8000], seed=1)
    exact = transfer.ising_moments(action, 8).m2
    value, error = telescope.total
    assert abs(float(value) - exact) < 4 * float(error)
    wrong = multilevel(field, Ising(0.37), m2, [8000, 8000, 8000], seed=1)
    assert abs(float(wrong.total.value) - exact) > 6 * float(wrong.total.error)
    assert telescope.variances[0] > max(telescope.variances[1:]) > 0


def of(variances: list[float], costs: list[float], doubts: tuple[str, ...] = ()) -> Multilevel:
    one = Estimate(torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    return Multilevel([one] * len(costs), variances, costs, [2] * len(costs), 1.0, 1.0, doubts)


def test_allocation_spends_the_time_and_minimises_the_error():
    telescope = of([1.0, 0.2, 0.1], [1e-4, 1e-3, 1e-2])
    counts = telescope.allocation(100.0)
    spent = sum(n * c for n, c in zip(counts, telescope.costs, strict=True))
    assert spent == pytest.approx(100, rel=0.01)

    def error2(counts: list[float]) -> float:
        return sum(v / n for v, n in zip(telescope.variances, counts, strict=True))

    for share in (0.7, 1.3):
        moved = [
            counts[0] * share,
            counts[1],
            counts[2] + (1 - share) * counts[0] * telescope.costs[0] / telescope.costs[2],
        ]
        assert error2(counts) < error2(moved)
    with pytest.raises(ValueError, match="must be positive"):
        telescope.allocation(-1.0)
    with pytest.raises(ValueError, match="must be positive"):
        of([1.0, 0.0], [0.1, 1.0]).allocation(1.0)


def test_collapsed_weights_are_said():
    torch.manual_seed(0)
    untrained = AutoregressiveField((8, 8), "spins", width=8, action=Ising(0.6))
    telescope = multilevel(untrained, Ising(0.6), m2, [300, 300])
    assert telescope.ess < 0.1 and "can be trusted" in telescope.verdict and telescope.doubts


def test_an_observable_has_one_value_a_field(model):
    with pytest.raises(ValueError, match="one value each"):
        multilevel(model[1], model[0], lambda x: x.mean((2, 3)), [10, 10])


def test_verdicts():
    cheap = of([1.0, 0.01], [0.1, 1.0])
    assert cheap.gain == pytest.approx(1 / (0.1**0.5 + 0.1) ** 2) and "times cheaper" in cheap.verdict
    assert "no gain" in of([1.0, 1.0], [0.1, 1.0]).verdict
    assert of([1.0, 0.01], [0.1, 1.0], ("one field carries 90 %",)).verdict.startswith("one field carries")


@pytest.mark.parametrize("counts", [[10], [10, 1], [10, 10, 10, 10, 10]])
def test_bad_counts(model, counts):
    with pytest.raises(ValueError, match="counts"):
        multilevel(model[1], model[0], m2, counts)
