"""Detail in time: against sequences whose correlation is known at every scale."""

import pytest
import torch

from rgdm.evaluate import lag_correlation
from rgdm.evaluate.sequence import blocks_of_time, correlation_of, difference_power, lag_terms, sequence_figures
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.registry import make_operator

pytestmark = pytest.mark.usefixtures("float64")


def autoregressive(frames: int, shape: tuple[int, ...], memory: float) -> torch.Tensor:
    """``d(t + 1) = memory d(t) + sqrt(1 - memory^2) noise`` of unit variance: correlations ``memory^lag``."""
    state, states = torch.randn(shape), []
    for _ in range(frames):
        states.append(state)
        state = memory * state + (1 - memory**2) ** 0.5 * torch.randn(shape)
    return torch.stack(states)


def by_level(frames: int, memories: tuple[float, ...], side: int = 16) -> torch.Tensor:
    """A sequence whose detail of each level, the finest first, has its own memory; no large scales."""
    x = torch.zeros(frames, 1, side >> len(memories), side >> len(memories))
    for memory in reversed(memories):
        x = BlockSpin(2).merge(x, autoregressive(frames, (3, *x.shape[2:]), memory))
    return x


def test_the_correlation_of_an_autoregressive_sequence_is_the_power_of_its_memory():
    fields = autoregressive(400, (2, 16, 16), 0.8)
    found = lag_correlation(fields, BlockSpin(2), 2, (0, 1, 2, 5))
    assert found.value.shape == found.error.shape == (2, 2, 4)
    assert torch.equal(found.value[..., 0], torch.ones(2, 2))
    wanted = torch.tensor([0.8, 0.8**2, 0.8**5]).expand(2, 2, 3)
    assert bool(((found.value[..., 1:] - wanted).abs() < 4 * found.error[..., 1:]).all())
    assert float(found.error[..., 1:].max()) < 0.02


@pytest.mark.parametrize("name", ["block-spin", "momentum-shell", "db4", "quincunx"])
def test_what_has_one_memory_has_it_at_every_level_of_every_operator(name):
    fields = autoregressive(200, (1, 16, 16), 0.6)
    found = lag_correlation(fields, make_operator(name, Grid.uniform(2, "periodic")), 2, (1,))
    assert bool(((found.value - 0.6).abs() < 4 * found.error).all())


def test_each_level_has_its_own_memory():
    memories = (0.1, 0.9)
    found = lag_correlation(by_level(300, memories), BlockSpin(2), 2, (1,))
    assert bool(((found.value[0, :, 0] - torch.tensor(memories)).abs() < 4 * found.error[0, :, 0]).all())


def test_errors_over_blocks_of_time_are_those_of_repetitions_and_errors_over_frames_are_not():
    """A few slow modes: frames are not independent, so that errors over single ones are too small."""
    runs = [autoregressive(200, (1, 4), 0.95) for _ in range(60)]
    found = [lag_correlation(run, BlockSpin(2), 1, (1,)) for run in runs]
    scatter = torch.stack([each.value for each in found]).std(0)
    error = torch.stack([each.error for each in found]).square().mean(0).sqrt()
    assert float(error / scatter) == pytest.approx(1, abs=0.35)
    power = [lag_terms(run, BlockSpin(2), 1)[1].flatten() for run in runs]
    spread = torch.stack([each.mean() for each in power]).std()
    naive = torch.stack([each.var() / len(each) for each in power]).mean().sqrt()
    assert float(naive / spread) < 0.5


def test_only_blocks_of_valid_sites_count():
    fields = autoregressive(60, (1, 16, 16), 0.7)
    valid = torch.rand(60, 1, 16, 16) < 0.95
    spoilt = torch.where(valid, fields, 1e3 * torch.randn_like(fields))
    found = lag_correlation(spoilt, BlockSpin(2), 2, (1,), valid)
    assert bool(((found.value - 0.7).abs() < 4 * found.error).all())
    never = lag_correlation(fields, BlockSpin(2), 2, (1,), torch.zeros_like(valid))
    assert bool(never.value.isnan().all())


def test_fixed_patterns_last_and_detail_that_is_not_there_says_nothing():
    still = torch.randn(1, 1, 8, 8).expand(6, 1, 8, 8)
    assert torch.allclose(lag_correlation(still, BlockSpin(2), 2, (1, 4)).value, torch.ones(()))
    assert bool(lag_correlation(torch.zeros(6, 1, 8, 8), BlockSpin(2), 2).value.isnan().all())
    assert bool(lag_correlation(torch.randn(2, 1, 8), BlockSpin(2), 1).error.isnan().all())


@pytest.mark.parametrize("lattice", [(16,), (8, 4), (4, 4, 4)])
def test_fields_of_every_dimension_have_correlations(lattice):
    found = lag_correlation(autoregressive(200, (1, *lattice), 0.5), BlockSpin(2), 2, (1,))
    assert bool(((found.value - 0.5).abs() < 4 * found.error).all())


def test_the_power_of_changes_is_twice_that_of_the_field_less_what_lasts():
    fields = autoregressive(200, (1, 16, 16), 0.6)
    edges, power = difference_power(fields, "periodic")
    assert len(edges) == power.shape[1] + 1 and bool((power[-1] == 0).all())
    assert float(power.sum(1)[:-1].mean()) == pytest.approx(2 * (1 - 0.6), rel=0.02)


def test_members_with_the_memory_of_the_truth_have_its_figures_and_others_have_not():
    truth = by_level(200, (0.3, 0.8))
    alike = torch.stack([by_level(200, (0.3, 0.8)) for _ in range(3)])
    figures = sequence_figures(truth, alike, BlockSpin(2), 2, "periodic")
    lag, change = figures["lag_correlation"], figures["change_ratio"]
    assert bool((lag["value"].abs() < 4 * lag["error"]).all())
    assert torch.allclose(lag["value"], lag["ensemble"] - lag["truth"])
    small = slice(0, 2)
    assert bool(((change["value"] - 1).abs() < 4 * change["error"])[small].all())
    flickering = torch.stack([by_level(200, (0.0, 0.0)) for _ in range(3)])
    figures = sequence_figures(truth, flickering, BlockSpin(2), 2, "periodic")
    lag, change = figures["lag_correlation"], figures["change_ratio"]
    assert torch.allclose(lag["value"], torch.tensor([-0.3, -0.8]), atol=0.05)
    assert bool((change["value"][small] > 1.3).all())


def test_terms_of_members_may_be_added():
    members = torch.stack([autoregressive(50, (1, 8, 8), 0.5) for _ in range(3)])
    each = [lag_terms(member, BlockSpin(2), 1) for member in members]
    pooled = correlation_of(*(torch.stack(part).sum(0) for part in zip(*each, strict=True)))
    beside = torch.cat(list(members), 1)  # as channels
    cross, now, later = (term.sum(1) for term in lag_terms(beside, BlockSpin(2), 1))
    assert torch.allclose(pooled.value[0], correlation_of(cross, now, later).value)


def test_lags_that_do_not_fit_are_refused_and_blocks_are_long_enough():
    fields = torch.randn(5, 1, 8, 8)
    for lag in (-1, 5):
        with pytest.raises(ValueError, match=f"a lag of {lag} frames does not fit 5 frames; take 0 to 4"):
            lag_correlation(fields, BlockSpin(2), 1, (lag,))
    assert [blocks_of_time(n) for n in (2, 12, 50, 1000)] == [1, 2, 10, 20]
