"""The linear-Gaussian part: planted stencils, known spectra, and the exact law of the Gaussian lift."""

import pytest
import torch

from rgdm.model.closed_form.colouring import Colouring
from rgdm.model.closed_form.prediction import LinearPrediction, detail_of_constant
from rgdm.model.closed_form.stencil import Stencil
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet

pytestmark = pytest.mark.usefixtures("float64")

LATTICE = (16, 16)
SITES = 256


def free_field_spectrum(lattice, mass2=0.3):
    """``1 / (khat^2 + m^2)`` with ``khat^2 = 4 sum sin^2(k / 2)``, in the order of the FFT."""
    axes = torch.meshgrid(*(2 * torch.pi * torch.arange(n) / n for n in lattice), indexing="ij")
    return 1 / (sum(4 * torch.sin(k / 2) ** 2 for k in axes) + mass2)


def stationary(spectrum, count, channels=1):
    """Exact samples of the periodic Gaussian field with this spectrum."""
    axes = tuple(range(2, 2 + spectrum.dim()))
    white = torch.randn(count, channels, *spectrum.shape)
    return torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * spectrum.sqrt(), dim=axes).real


def covariance_of(spectrum):
    """The dense covariance of the flattened field."""
    n = spectrum.numel()
    unit = torch.eye(n).reshape(n, *spectrum.shape)
    axes = tuple(range(1, unit.dim()))
    return torch.fft.ifftn(torch.fft.fftn(unit, dim=axes) * spectrum, dim=axes).real.reshape(n, n)


def matrix_of(linear, channels, lattice):
    """The dense matrix of a linear map of fields."""
    n = channels * torch.Size(lattice).numel()
    return linear(torch.eye(n).reshape(n, channels, *lattice)).reshape(n, -1).T


def relative_error(measured, truth):
    """The largest error of any covariance, over the variance of one site."""
    return float((measured - truth).abs().max() / truth.diagonal().mean())


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize(("lattice", "radius"), [((64,), 3), ((16, 24), 2), ((8, 8, 8), 1)])
@pytest.mark.parametrize("constant", [(0.0, 0.0), (1.0, 0.0)])
def test_a_fit_recovers_the_stencil_that_made_the_detail(boundary, lattice, radius, constant):
    truth = LinearPrediction(2, constant, len(lattice), radius, boundary)
    kernel = torch.randn_like(truth.kernel)
    axes = tuple(range(2, kernel.dim()))
    held = torch.tensor([value == 0 for value in constant] * 2).reshape(-1, *[1] * (kernel.dim() - 1))
    truth.kernel.copy_(kernel - held * kernel.mean(axes, keepdim=True))  # those bands see differences only
    fitted = LinearPrediction(2, constant, len(lattice), radius, boundary)
    coarse = torch.randn(6, 2, *lattice)
    fitted.fit(coarse, truth(coarse))
    torch.testing.assert_close(fitted.kernel, truth.kernel, rtol=0, atol=1e-6)


def test_a_fit_is_the_least_squares_solution_where_detail_is_noisy(monkeypatch):
    monkeypatch.setattr("rgdm.model.closed_form.prediction.RIDGE", 0.0)
    coarse = torch.randn(4, 1, 40)
    detail = torch.randn(4, 1, 40)
    fitted = LinearPrediction(1, (0.0,), 1, 1, "periodic")
    fitted.fit(coarse, detail)
    residual = detail - fitted(coarse)
    for shift in (-1, 1):
        difference = coarse.roll(shift, -1) - coarse
        assert abs(float((residual * difference).mean())) < 1e-12


def test_a_fit_counts_each_detail_by_its_weight_also_where_none_is_zero(monkeypatch):
    monkeypatch.setattr("rgdm.model.closed_form.prediction.RIDGE", 0.0)
    coarse, detail, weight = torch.randn(4, 1, 40), torch.randn(4, 1, 40), torch.rand(4, 1, 40) + 0.1
    fitted, alike = (LinearPrediction(1, (0.0,), 1, 1, "periodic") for _ in range(2))
    fitted.fit(coarse, detail, weight)
    alike.fit(coarse, detail)
    residual = weight * (detail - fitted(coarse))
    for shift in (-1, 1):
        assert abs(float((residual * (coarse.roll(shift, -1) - coarse)).mean())) < 1e-12
    assert float((fitted.kernel - alike.kernel).abs().max()) > 1e-3


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_prediction_of_a_constant_field_is_zero(boundary):
    fitted = LinearPrediction(1, (0.0,) * 3, 2, 2, boundary)
    fitted.fit(*BlockSpin(2).split(torch.randn(4, 1, 16, 16) + 5))
    assert float(fitted(torch.full((1, 1, 8, 8), 1e3)).abs().max()) < 1e-9


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (BlockSpin(3), (0.0,) * 8),
        (Wavelet("db4", "reflect"), (0.0,) * 3),
        (MomentumShell(2), (0.0,) * 3),
        (Decimation(2), (1.0,) * 3),
    ],
    ids=str,
)
def test_the_detail_of_a_constant_is_none_or_the_constant_itself(step, expected):
    assert detail_of_constant(step, 2) == pytest.approx(expected, abs=1e-9)


def test_an_offset_of_decimated_fields_is_an_offset_of_the_prediction():
    fields = stationary(free_field_spectrum(LATTICE, mass2=0.01), 20, channels=2)
    fitted = LinearPrediction(2, detail_of_constant(Decimation(2), 2), 2, 2, "periodic")
    coarse, detail = Decimation(2).split(fields + 1e6)
    fitted.fit(coarse, detail)
    plain = LinearPrediction(2, (1.0,) * 3, 2, 2, "periodic")
    plain.fit(coarse - 1e6, detail - 1e6)
    missed = float((fitted(coarse) - detail).square().mean())
    assert missed == pytest.approx(float((plain(coarse - 1e6) - detail + 1e6).square().mean()), rel=0.01)
    torch.testing.assert_close(fitted.kernel.sum((1, 2, 3)), torch.ones(6), rtol=0, atol=1e-4)


def test_a_prediction_of_radius_zero_is_zero():
    fitted = LinearPrediction(1, (0.0,) * 3, 2, 0, "periodic")
    fitted.fit(*BlockSpin(2).split(torch.randn(2, 1, 8, 8)))
    assert not fitted(torch.randn(1, 1, 4, 4)).any()


def test_a_fit_serves_lattices_of_every_size():
    fitted = LinearPrediction(1, (0.0,) * 3, 2, 1, "periodic")
    fitted.fit(*BlockSpin(2).split(torch.randn(4, 1, 16, 16)))
    small, large = torch.randn(1, 1, 8, 8), torch.zeros(1, 1, 32, 32)
    large[..., 10:18, 10:18] = small
    inside = fitted(large)[..., 11:17, 11:17]
    torch.testing.assert_close(inside, fitted(small)[..., 1:7, 1:7])


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_an_unfitted_colouring_leaves_noise_alone(boundary):
    x = torch.randn(2, 3, 8, 8)
    colouring = Colouring(3, 2, 2, boundary)
    assert torch.equal(colouring.colour(x), x)
    assert torch.equal(colouring.whiten(x), x)


def fitted_colouring(radius, samples, boundary="periodic"):
    colouring = Colouring(samples.shape[1], samples.dim() - 2, radius, boundary)
    colouring.fit(samples)
    return colouring


@pytest.mark.integration
def test_coloured_noise_has_the_covariance_of_the_field_and_the_better_the_wider_the_stencil():
    spectrum = free_field_spectrum(LATTICE)
    truth, samples = covariance_of(spectrum), stationary(spectrum, 1000)
    errors = []
    for radius in (0, 1, 2, 4, 7):
        colour = matrix_of(fitted_colouring(radius, samples).colour, 1, LATTICE)
        errors.append(relative_error(colour @ colour.T, truth))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.2
    assert errors[-1] < 0.02


def test_whitening_a_field_leaves_white_noise_and_the_better_the_wider_the_stencil():
    spectrum = free_field_spectrum(LATTICE)
    truth, samples = covariance_of(spectrum), stationary(spectrum, 1000)
    errors = []
    for radius in (0, 1, 2):
        whiten = matrix_of(fitted_colouring(radius, samples).whiten, 1, LATTICE)
        errors.append(relative_error(whiten @ truth @ whiten.T, torch.eye(SITES)))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_correlated_channels_are_whitened_and_coloured_together(boundary):
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    planted = Stencil(2, 2, 1, 1, "periodic")
    planted.kernel[:, :, 1] = mixing
    planted.kernel[0, 0, 2] = 0.5
    samples = planted(torch.randn(400, 2, 128))
    colouring = fitted_colouring(8, samples, boundary)
    dense = matrix_of(planted, 2, (32,))
    truth = dense @ dense.T
    colour, whiten = (matrix_of(part, 2, (32,)) for part in (colouring.colour, colouring.whiten))
    inside = [channel * 32 + site for channel in range(2) for site in range(10, 22)]  # away from a reflecting edge
    assert relative_error((colour @ colour.T)[inside][:, inside], truth[inside][:, inside]) < 0.03
    unit = torch.eye(len(inside))
    assert relative_error((whiten @ truth @ whiten.T)[inside][:, inside], unit) < 0.1


@pytest.mark.parametrize("n", [4, 5, 8])
def test_a_periodic_lattice_smaller_than_the_stencil_keeps_its_covariance(n):
    spectrum = free_field_spectrum((n, n), mass2=1.0)
    truth, samples = covariance_of(spectrum), stationary(spectrum, 8000)
    colour = matrix_of(fitted_colouring(5, samples).colour, 1, (n, n))
    assert relative_error(colour @ colour.T, truth) < 0.04


def left_by_whitening_white_noise():
    """How far from the identity a whitening filter measured on little white noise is."""
    whiten = fitted_colouring(3, torch.randn(2, 3, 8, 8, 8)).whiten.kernel
    whiten[:, :, 3, 3, 3] -= torch.eye(3)
    return float(whiten.square().sum())


def test_correlations_that_are_chance_are_left_out(monkeypatch):
    left = left_by_whitening_white_noise()
    monkeypatch.setattr("rgdm.model.closed_form.colouring.CHANCE", 0.0)
    assert left < left_by_whitening_white_noise() / 3


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="the stencil radius is -1; it must not be negative"):
        Stencil(1, 1, 2, -1, "periodic")


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_boundary_is_refused():
    with pytest.raises(ValueError, match="boundary is 'open'"):
        Stencil(1, 1, 2, 1, "open")


def law_of_the_lift(step, radius, samples, truth):
    """The exact covariance of a fine field lifted from exact coarse ones: the lift is linear in (coarse, noise)."""
    lift = gaussian_lift(step, 1, 2, "periodic", prediction_radius=radius, colour_radius=radius)
    lift.fit(samples)
    half = tuple(n // 2 for n in LATTICE)
    coarsen = matrix_of(step.coarsen, 1, LATTICE)

    def lifted(coarse, noise):
        return step.merge(coarse, lift.detail(Context(coarse), noise))

    from_coarse = matrix_of(lambda c: lifted(c, torch.zeros(len(c), 3, *half)), 1, half)
    from_noise = matrix_of(lambda e: lifted(torch.zeros(len(e), 1, *half), e), 3, half)
    return from_coarse @ coarsen @ truth @ coarsen.T @ from_coarse.T + from_noise @ from_noise.T


@pytest.mark.integration
@pytest.mark.parametrize("step", [BlockSpin(2), Wavelet("db2"), MomentumShell(2)], ids=str)
def test_a_gaussian_lift_of_a_gaussian_field_has_its_two_point_function(step):
    spectrum = free_field_spectrum(LATTICE)
    truth, samples = covariance_of(spectrum), stationary(spectrum, 2000)
    errors = [relative_error(law_of_the_lift(step, radius, samples, truth), truth) for radius in (0, 1, 3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.integration
def test_a_gaussian_lift_fitted_on_another_spectrum_is_found_out():
    truth = covariance_of(free_field_spectrum(LATTICE))
    samples = stationary(free_field_spectrum(LATTICE, mass2=1.5), 2000)
    assert relative_error(law_of_the_lift(BlockSpin(2), 3, samples, truth), truth) > 0.04


def test_a_gaussian_lift_never_contradicts_the_coarse_field():
    lift = gaussian_lift(BlockSpin(2), 1, 2, "periodic")
    lift.fit(stationary(free_field_spectrum(LATTICE), 20))
    coarse, noise = torch.randn(2, 1, 8, 8), torch.randn(2, 3, 8, 8)
    fine = BlockSpin(2).merge(coarse, lift.detail(Context(coarse), noise))
    torch.testing.assert_close(BlockSpin(2).coarsen(fine), coarse, rtol=0, atol=1e-12)


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_large_fields_are_measured_piece_by_piece_with_the_same_result(boundary, monkeypatch):
    x = torch.randn(32, 1, 128, 128).cumsum(2) / 4
    whole, pieces = (gaussian_lift(BlockSpin(2), 1, 2, boundary) for _ in range(2))
    whole.fit(x)
    monkeypatch.setattr("rgdm.model.closed_form.prediction.PATCH_VALUES", 1)
    monkeypatch.setattr("rgdm.model.closed_form.colouring.COVARIANCE_SITES", 2100)
    pieces.fit(x)
    torch.testing.assert_close(
        pieces.standardizer.prediction.kernel, whole.standardizer.prediction.kernel, rtol=1e-4, atol=1e-5
    )
    change = (pieces.standardizer.colouring.whiten.kernel - whole.standardizer.colouring.whiten.kernel).abs().max()
    assert 0 < change < 0.1 * whole.standardizer.colouring.whiten.kernel.abs().max()


def test_little_data_have_no_say_in_the_spectrum():
    """Few sites and many shifts: an inverse root of chance would blow other fields up."""
    lift = gaussian_lift(BlockSpin(2), 1, 2, "reflect")
    lift.fit(torch.randn(2, 1, 30, 30))
    coarse, detail = lift.operator.split(torch.randn(64, 1, 30, 30))
    assert lift.standardizer.colouring.whiten(detail - lift.standardizer.prediction(coarse)).var() < 3
