import math

import pytest
import torch

from rgdm.evaluate import detail_kurtosis, kurtosis_ratio, octave_power, octave_ratio, radial_spectrum
from rgdm.scale.operators.block import BlockSpin


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", [(17,), (12, 32), (4, 6, 8)])
def test_octave_powers_sum_to_the_variance(lattice, boundary):
    field = 5 + torch.randn(3, 2, *lattice, dtype=torch.float64)
    _, power = octave_power(field, boundary)
    assert torch.allclose(power.sum(1), field.flatten(2).var(2, correction=0).mean(1))


@pytest.mark.parametrize("wavelength, octave", [(2, 0), (3, 0), (4, 1), (6, 1), (8, 2), (16, 3)])
def test_a_plane_wave_lies_in_the_octave_of_its_wavelength(wavelength, octave):
    x = torch.arange(48, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * x / wavelength).expand(1, 1, 4, 48)
    edges, power = octave_power(wave, "periodic")
    assert power[0, octave] / power.sum() == pytest.approx(1)
    assert edges[octave + 1] < 1 / wavelength <= edges[octave]


def test_corners_beyond_pi_count_to_the_first_octave():
    x = (-1.0) ** torch.arange(8, dtype=torch.float64)
    _, power = octave_power((x[:, None] * x)[None, None], "periodic")
    assert power[0, 0] == pytest.approx(1)


def test_octave_ratio_is_the_ratio_of_amplitudes_squared():
    truth = torch.randn(5, 1, 16, 16, dtype=torch.float64)
    edges, ratio = octave_ratio(torch.stack([2 * truth, truth]), truth, "reflect")
    assert torch.allclose(ratio.value, torch.full_like(ratio.value, 2.5))
    assert ratio.error.max() < 1e-12
    assert len(edges) == len(ratio.value) + 1


def test_octave_ratio_of_independent_noise_is_one_within_its_errors_and_of_blurred_noise_is_not():
    truth, ensemble = torch.randn(40, 1, 32, 32), torch.randn(3, 40, 1, 32, 32)
    _, ratio = octave_ratio(ensemble, truth, "periodic")
    assert ((ratio.value - 1).abs() < 4 * ratio.error).all()
    _, blurred = octave_ratio((ensemble + ensemble.roll(1, -1)) / 2**0.5, truth, "periodic")
    assert blurred.value[0] + 10 * blurred.error[0] < 1


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_spectrum_of_white_noise_is_its_variance(boundary):
    k, spectrum = radial_spectrum(3 * torch.randn(200, 1, 16, 16), boundary)
    error = spectrum.std(0) / 200**0.5
    assert ((spectrum.mean(0) - 9).abs() < 4.5 * error).all()
    assert (k.diff() > 0).all() and 0 < k[0] < 0.1 and 0.5 < k[-1] < 0.75


def test_kurtosis_of_gaussian_noise_is_three_and_of_sparse_noise_is_not():
    operator = BlockSpin(2)
    gaussian = detail_kurtosis(torch.randn(40, 1, 32, 32), operator, 3)
    assert ((gaussian.value - 3).abs() < 4 * gaussian.error).all()
    sparse = torch.randn(40, 1, 32, 32) * (torch.rand(40, 1, 32, 32) < 0.1)
    heavy = detail_kurtosis(sparse, operator, 3)
    assert heavy.value[0] - 10 * heavy.error[0] > 3
    assert heavy.value[0] > heavy.value[1] > heavy.value[2]


def test_kurtosis_is_pooled_over_bands_and_sites():
    field, operator = torch.randn(4, 2, 8, 8, dtype=torch.float64), BlockSpin(2)
    coarse, finest = operator.split(field)
    _, second = operator.split(coarse)
    expected = [float((d**4).mean() / (d**2).mean() ** 2) for d in (finest, second)]
    assert detail_kurtosis(field, operator, 2).value.tolist() == pytest.approx(expected)


def test_the_kurtosis_of_the_truth_against_itself_has_ratio_one_and_no_error():
    truth = torch.randn(6, 1, 16, dtype=torch.float64) ** 3
    compared = kurtosis_ratio(torch.stack([truth, 7 * truth]), truth, BlockSpin(2), 2)
    assert compared.truth.error.min() > 0.01
    same = kurtosis_ratio(truth[None], truth, BlockSpin(2), 2).ratio
    assert torch.allclose(same.value, torch.ones(2).double()) and same.error.max() < 1e-12
