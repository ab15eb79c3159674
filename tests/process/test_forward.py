"""The forward process: sampled moments, and the exact algebra of its bridges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import NoisyStep, Staggered, Trigonometric, VariancePreserving
from rgdm.scale.basis import Cosine, Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (4, 8)
PROCESSES = {
    "VariancePreserving": ForwardProcess(Site(), VariancePreserving()),
    "Trigonometric": ForwardProcess(Cosine(), Trigonometric()),
    "Staggered(0.2)": ForwardProcess(Pyramid(BlockSpin(2), 2), Staggered(0.2, 3)),
    "Staggered(1)": ForwardProcess(Fourier(), Staggered(1.0, 4)),
    "NoisyStep": ForwardProcess(Pyramid(BlockSpin(2), 2), NoisyStep(0.3, 2)),
}
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
times = st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0])


def at(t):
    return torch.tensor([t])


def bridge(process, t, s):
    """The bridge is linear: ``mean = weight z_t + toward z_0``. Returns (weight, toward, deviation)."""
    one, zero = torch.ones(1, 1, *LATTICE), torch.zeros(1, 1, *LATTICE)
    weight, deviation = process.bridge(one, zero, at(t), at(s))
    toward, _ = process.bridge(zero, one, at(t), at(s))
    return weight, toward, deviation


def assert_same(one, two):
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@every_process
@pytest.mark.parametrize("t", [0.3, 0.5, 0.9])
def test_perturbed_samples_have_the_moments_of_the_marginal(process, t):
    count = 20_000
    z = torch.randn(1, 1, *LATTICE).expand(count, -1, -1, -1)
    samples = process.perturb(z, torch.full((count,), t), torch.randn(count, 1, *LATTICE))
    alpha, sigma = process.marginal(at(t), LATTICE)
    frozen = sigma[0] == 0
    assert_same(samples[:, frozen], (alpha * z)[:, frozen])
    mean_error = (samples.mean(0) - (alpha * z)[0])[~frozen] / sigma[0][~frozen] * count**0.5
    variance_error = (samples.var(0)[~frozen] / sigma[0][~frozen] ** 2 - 1) * (count / 2) ** 0.5
    assert float(mean_error.abs().amax()) < 4
    assert float(variance_error.abs().amax()) < 4


@pytest.mark.integration
@every_process
@given(times, times)
def test_a_bridge_from_the_marginal_at_t_arrives_at_the_marginal_at_s(process, one, two):
    s, t = sorted((one, two))
    weight, toward, deviation = bridge(process, t, s)
    alpha_t, sigma_t = process.marginal(at(t), LATTICE)
    alpha_s, sigma_s = process.marginal(at(s), LATTICE)
    assert_same(weight * alpha_t + toward, alpha_s)
    assert_same(weight**2 * sigma_t**2 + deviation**2, sigma_s**2)


@every_process
@given(times, times)
def test_a_bridge_is_that_of_a_chain_without_memory(process, one, two):
    s, t = sorted((one, two))
    weight, _, _ = bridge(process, t, s)
    alpha_t, sigma_t = process.marginal(at(t), LATTICE)
    alpha_s, sigma_s = process.marginal(at(s), LATTICE)
    assert_same(weight * sigma_t**2 * alpha_s, alpha_t * sigma_s**2)


@pytest.mark.integration
@every_process
@given(times, times, times)
def test_two_bridges_in_a_row_are_one(process, one, two, three):
    r, s, t = sorted((one, two, three))
    first, toward_first, spread_first = bridge(process, t, s)
    second, toward_second, spread_second = bridge(process, s, r)
    weight, toward, spread = bridge(process, t, r)
    assert_same(second * first, weight)
    assert_same(second * toward_first + toward_second, toward)
    assert_same(second**2 * spread_first**2 + spread_second**2, spread**2)


@every_process
def test_a_bridge_that_goes_nowhere_stays(process):
    for t in (0.0, 0.3, 0.5, 1.0):
        weight, toward, deviation = bridge(process, t, t)
        assert_same(weight + toward * (weight == 0), torch.ones_like(weight))
        assert_same(deviation, torch.zeros_like(deviation))


@every_process
def test_a_bridge_to_time_zero_ends_at_the_data(process):
    z_t, z_0 = torch.randn(2, 1, 1, *LATTICE)
    mean, deviation = process.bridge(z_t, z_0, at(1.0), at(0.0))
    assert_same(mean, z_0)
    assert not deviation.any()


@every_process
@given(times, times)
def test_frozen_and_noiseless_modes_make_no_nan(process, one, two):
    s, t = sorted((one, two))
    for part in bridge(process, t, s):
        assert bool(part.isfinite().all())


def test_a_mode_whose_signal_is_gone_stands_still():
    process = PROCESSES["Staggered(0.2)"]
    alpha, _ = process.marginal(at(0.5), LATTICE)
    gone = alpha == 0
    assert bool(gone.any())
    weight, toward, deviation = bridge(process, 0.8, 0.5)
    assert torch.equal(weight[gone], torch.ones_like(weight[gone]))
    assert not toward[gone].any()
    assert not deviation[gone].any()


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_a_time_outside_the_unit_interval_is_refused(t):
    with pytest.raises(ValueError, match=r"it must stay within \[0, 1\]"):
        PROCESSES["Trigonometric"].marginal(at(t), LATTICE)


def test_the_amplitudes_follow_the_dtype_of_the_time():
    for amplitude in PROCESSES["Staggered(1)"].marginal(torch.tensor([0.5], dtype=torch.float32), LATTICE):
        assert amplitude.dtype == torch.float32


def test_a_bridge_that_leads_forward_is_refused():
    process, x = ForwardProcess(Site(), Trigonometric()), torch.zeros(1, 1, 4)
    with pytest.raises(ValueError, match=r"it leads back, to s <= t"):
        process.bridge(x, x, torch.tensor([0.2]), torch.tensor([0.8]))


@pytest.mark.parametrize("basis", [Site(), Fourier()])
def test_amplitudes_are_those_of_the_marginal_and_one_where_sites_are_alike(basis):
    process, t, lattice = ForwardProcess(basis, VariancePreserving()), torch.tensor([0.2, 0.7]), (4, 6)
    for one, all_of_them in zip(process.amplitudes(t, lattice), process.marginal(t, lattice), strict=True):
        assert torch.equal(one.expand_as(all_of_them), all_of_them)
        assert (one.shape == (2, 1, 1, 1)) == isinstance(basis, Site)
