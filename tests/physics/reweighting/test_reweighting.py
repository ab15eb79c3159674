"""Reweighting and the independence chain against exact answers, with a model that is good, poor, or misses a mode."""

import math

import pytest
import torch

from rgdm.physics.actions import FreeField
from rgdm.physics.reweighting.weights import (
    Reweighting,
    acceptance,
    chain_mean,
    independence_metropolis,
    log_weights,
)

TARGET = FreeField(0.5)
LATTICE = (4, 4)


def gaussian(field: FreeField, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields of a free field and their exact log-density."""
    noise = torch.randn(count, 1, *LATTICE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.fft.ifft2(torch.fft.fft2(noise) * field.spectrum(LATTICE).sqrt()).real
    return x, -field.energy(x) - field.log_z(LATTICE)


def phi2(x: torch.Tensor) -> torch.Tensor:
    return x.square().flatten(1).mean(1)


EXACT = float(TARGET.spectrum(LATTICE).mean())


def of_model(mass2: float, count: int = 20_000, seed: int = 0) -> tuple[Reweighting, torch.Tensor]:
    model = FreeField(mass2)
    x, log_q = gaussian(model, count, seed)
    y, _ = gaussian(TARGET, count, seed + 1)
    target = log_weights(TARGET.energy(y), -model.energy(y) - model.log_z(LATTICE))
    return Reweighting(log_weights(TARGET.energy(x), log_q), target), x


def test_the_exact_model_has_weights_of_one():
    reweighted, x = of_model(0.5, 500)
    assert reweighted.weights.sub(1).abs().max() < 1e-10
    assert float(reweighted.log_z.value) == pytest.approx(TARGET.log_z(LATTICE), abs=1e-10)
    assert float(reweighted.ess.value) == pytest.approx(1, abs=1e-10)
    torch.testing.assert_close(reweighted.mean(phi2(x)).value, phi2(x).mean())
    assert not reweighted.doubts and "errors can be trusted" in reweighted.verdict


def test_a_poor_model_gives_exact_answers_within_their_errors():
    reweighted, x = of_model(0.7)
    exact_ess = math.exp(2 * TARGET.log_z(LATTICE) - FreeField(0.7).log_z(LATTICE) - FreeField(0.3).log_z(LATTICE))
    known = {
        "log_z": TARGET.log_z(LATTICE),
        "target_log_z": TARGET.log_z(LATTICE),
        "ess": exact_ess,
        "target_ess": exact_ess,
    }
    for name, exact in known.items():
        value, error = getattr(reweighted, name)
        assert abs(value - exact) < 4 * error and error < 0.02, name
    value, error = reweighted.mean(phi2(x))
    assert abs(value - EXACT) < 4 * error
    assert abs(phi2(x).mean() - EXACT) > 8 * phi2(x).std() / math.sqrt(len(x))  # the control: without weights
    assert not reweighted.doubts


def test_the_independence_chain_is_exact_too_and_knows_its_memory():
    reweighted, x = of_model(0.7)
    chain = independence_metropolis(reweighted.log_weights)
    told = chain_mean(chain, phi2(x))
    assert abs(told.value - EXACT) < 4 * told.error and told.tau > 0.55
    assert 0.6 < acceptance(chain) < 1
    assert torch.equal(chain, independence_metropolis(reweighted.log_weights + 1000.0))
    assert acceptance(independence_metropolis(torch.zeros(100))) == 1


def test_a_dropped_mode_shows_in_fields_of_the_target_only():
    target = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([0.5, 0.5])),
        torch.distributions.Normal(torch.tensor([-6.0, 6.0]), torch.ones(2)),
    )
    model = torch.distributions.Normal(6.0, 1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x, y = model.sample((2000,)), target.sample((2000,))
    weights, from_target = (target.log_prob(v) - model.log_prob(v) for v in (x, y))
    alone, both = Reweighting(weights), Reweighting(weights, from_target)
    assert alone.ess.value > 0.99 and "only fields of the target can tell" in alone.verdict
    assert both.target_ess.value < 0.1 and both.doubts
    assert "misses something the target has" in both.verdict


@pytest.mark.parametrize("gap", [-800.0, 2000.0])
@pytest.mark.parametrize("count", [1, 5])
def test_a_gap_that_overflows_is_no_reason_for_trust(gap, count):
    target = torch.zeros(2000, dtype=torch.float64)
    target[:count] = gap
    reweighted = Reweighting(torch.zeros(2000, dtype=torch.float64), target)
    assert reweighted.doubts and not reweighted.target_log_z.error.isnan()


def test_few_equal_weights_are_not_doubted():
    assert not Reweighting(torch.zeros(4), torch.zeros(4)).doubts


def test_a_chain_that_never_moves_has_no_error():
    chain = independence_metropolis(torch.tensor([100.0] + 50 * [0.0]))
    with pytest.raises(ValueError, match="none of 51 proposals"):
        chain_mean(chain, torch.arange(51.0))


def test_weight_on_one_field_is_said():
    weights = torch.zeros(100, dtype=torch.float64)
    weights[3] = 4.0
    assert "one field of the model carries" in Reweighting(weights).verdict


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Reweighting(torch.tensor([0.0])), "1 log weights of fields of the model"),
        (
            lambda: Reweighting(torch.zeros(3), torch.tensor([0.0, math.nan])),
            "1 of 2 log weights of fields of the target are not finite",
        ),
        (lambda: Reweighting(torch.zeros(3)).target_ess, "no log weights of fields of the target"),
        (lambda: Reweighting(torch.zeros(3)).mean(torch.zeros(4)), "4 values of an observable for 3 weights"),
        (lambda: independence_metropolis(torch.tensor([0.0, math.inf])), "not finite"),
    ],
)
def test_impossible_weights_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
