"""The learned single-site conditional: exact laws it must find, sweeps that keep and restore them."""

import math

import pytest
import torch

from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lattice.sweep import LearnedSweep
from rgdm.physics.actions import FreeField, Phi4
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.process.noise import NoiseField
from small import cascade


@pytest.fixture(scope="module")
def gaussian():
    """A free field, its sweep and its spectrum; the conditional is N(sum of neighbours, 1) / (2 d + m^2)."""
    field, lattice = FreeField(0.5), (16, 16)
    torch.manual_seed(0)
    noise = torch.randn(300, 1, *lattice)
    x = torch.fft.ifft2(field.spectrum(lattice).sqrt() * torch.fft.fft2(noise)).real.float()
    sweep = LearnedSweep(1, 2, "periodic")
    sweep.fit(x, steps=250)
    return field, x, sweep


def test_the_conditional_of_a_free_field_is_its_own(gaussian):
    field, x, sweep = gaussian
    y = (x - sweep.mean) / sweep.scale
    given = sweep.neighbours(y).reshape(-1, 4)
    precision = 4 + field.mass2
    exact = torch.distributions.Normal(given.sum(1) / precision, 1 / (precision**0.5 * float(sweep.scale)))
    value = y.movedim(1, -1).reshape(-1, 1)
    with torch.no_grad():
        gap = exact.log_prob(value[:, 0]).mean() - sweep.law.log_prob(value, given).mean()
    assert abs(float(gap)) < 0.01
    wrong = torch.distributions.Normal(0.6 * exact.mean, exact.stddev).log_prob(value[:, 0]).mean()
    assert float(exact.log_prob(value[:, 0]).mean() - wrong) > 0.015


@pytest.mark.integration
def test_sweeps_keep_the_law_and_restore_it_at_small_scales(gaussian):
    field, x, sweep = gaussian
    spectrum = field.spectrum((16, 16))

    def power(y):
        return (torch.fft.fft2(y).abs().square() / 256).mean((0, 1)) / spectrum

    kept = power(sweep.run(x, 4, NoiseField(1).of(range(300))))
    assert float((kept - 1).abs().mean()) < 0.08
    spoiled = x + 0.3 * torch.randn(x.shape)
    before, after = power(spoiled), power(sweep.run(spoiled, 2, NoiseField(2).of(range(300))))
    fine = spectrum < spectrum.median()
    assert float(before[fine].mean()) > 1.3 and abs(float(after[fine].mean()) - 1) < 0.05


def test_a_half_sweep_leaves_the_other_half(gaussian):
    _, x, sweep = gaussian
    swept = sweep.half_sweep(x[:2], True, torch.randn(2, 2, 16, 16))
    even = torch.arange(16)[:, None].add(torch.arange(16)) % 2 == 0
    assert torch.equal(swept[..., even], x[:2][..., even])
    assert bool((swept[..., ~even] != x[:2][..., ~even]).all())


@pytest.mark.integration
def test_two_wells_are_found():
    """phi^4 without neighbours that matter: the density has two peaks, which no Gaussian has."""
    fields = sample_fields(Phi4(0.1, -3.0, 1.0), 8, 100, 400, seed=1, thermalization=30, interval=3)
    torch.manual_seed(0)
    sweep = LearnedSweep(1, 2, "periodic")
    sweep.fit(fields, steps=250)
    swept = sweep.run(fields, 1, NoiseField(0).of(range(400)))
    peaks = [torch.histc(v.flatten(), 60, -3, 3) / v.numel() for v in (fields, swept)]
    assert float((peaks[0] - peaks[1]).abs().sum() / 2) < 0.03
    assert float(peaks[1][28:32].sum()) < 0.03 < float(peaks[1][42:44].sum())


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("channels", [1, 2])
def test_fields_of_several_channels_and_with_edges_are_swept(boundary, channels):
    sweep, x = LearnedSweep(channels, 1, boundary), torch.randn(3, channels, 6)
    assert sweep.neighbours(x).shape == (3, 6, 2 * channels)
    one = sweep.run(x, 2, NoiseField(0).of([4, 5, 6]))
    torch.testing.assert_close(one[1:2], sweep.run(x[1:2], 2, NoiseField(0).of([5])), rtol=0, atol=1e-5)


@pytest.mark.integration
def test_a_model_with_a_sweep_is_saved_and_samples_with_it(tmp_path):
    torch.manual_seed(0)
    model = cascade(1, 2, 2, "periodic", width=4, encoder_blocks=1, decoder_blocks=1, sweep=True)
    fields = torch.randn(20, 1, 16, 16) * 2 + 5
    model.fit(fields)
    assert model.sweep is not None
    model.sweep.fit(model.normalise(fields), steps=20)
    model.save_pretrained(tmp_path)
    again = Cascade.from_pretrained(tmp_path)
    swept = again.sample((16, 16), 2, seed=1, sweeps=2)
    torch.testing.assert_close(swept, model.eval().sample((16, 16), 2, seed=1, sweeps=2))
    assert not torch.equal(swept, again.sample((16, 16), 2, seed=1))
    plain = cascade(1, 2, 2, "periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    with pytest.raises(ValueError, match="trained with sweep=True"):
        plain.sample((16, 16), 1, sweeps=1)


def test_an_odd_torus_and_values_that_are_not_finite_are_refused():
    sweep = LearnedSweep(1, 1, "periodic")
    with pytest.raises(ValueError, match="no checkerboard"):
        sweep.half_sweep(torch.zeros(1, 1, 5), True, torch.zeros(1, 2, 5))
    with pytest.raises(ValueError, match="not finite"):
        sweep.fit(torch.full((1, 1, 4), math.nan), steps=1)
