"""The lift of a known spectrum against dense conditioning, and against lifts fitted to samples."""

import math

import pytest
import torch

from rgdm.model.lifts.context import Context
from rgdm.model.lifts.known_spectrum import FourierLift, coarse_spectrum, fit_spectrum, on_grid
from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.quincunx import Quincunx
from rgdm.scale.operators.wavelets import Wavelet
from small import lifted

pytestmark = pytest.mark.usefixtures("float64")

CASES = [
    (BlockSpin(2), (16,)),
    (BlockSpin(2), (8, 12)),
    (BlockSpin(2), (4, 4, 8)),
    (BlockSpin(3), (15,)),
    (BlockSpin(3), (9, 12)),
    (Wavelet("db2"), (16,)),
    (Wavelet("db2"), (8, 12)),
    (Wavelet("db4"), (16,)),
    (Wavelet("db4"), (16, 8)),
    (MomentumShell(2), (16,)),
    (MomentumShell(2), (8, 12)),
    (MomentumShell(3), (15,)),
    (Decimation(2), (8, 12)),
    (Quincunx(), (8, 12)),
]
every_case = pytest.mark.parametrize(("step", "lattice"), CASES, ids=str)


def spectrum(k):
    return 1 / (0.05 + k.square()) ** 0.875


def matrix(apply, shape):
    """The dense matrix of a linear map of tensors of this shape."""
    n = math.prod(shape)
    return apply(torch.eye(n).reshape(n, *shape)).reshape(n, -1).T


def dense(step, lattice, given=spectrum):
    """Prediction and covariance of the rest by conditioning the covariance matrix of all sites."""
    power, n = on_grid(given, lattice), math.prod(lattice)
    axes = tuple(range(1, 1 + len(lattice)))
    field = torch.fft.ifftn(torch.fft.fftn(torch.eye(n).reshape(n, *lattice), dim=axes) * power, dim=axes).real
    split = step.dense(lattice)
    joint = split @ field.reshape(n, n) @ split.T
    m = n // step.factor ** len(lattice)
    gain = torch.linalg.solve(joint[:m, :m], joint[:m, m:]).T
    return gain, joint[m:, m:] - gain @ joint[:m, m:], joint[:m, :m]


def lift_of(step, lattice, radius, given=spectrum):
    made = gaussian_lift(step, 1, len(lattice), "periodic", prediction_radius=radius, colour_radius=radius).double()
    fit_spectrum(made, given, lattice)
    return made


def law(lift, step, lattice):
    """Prediction and covariance of the rest that a lift makes."""
    coarse = tuple(n // step.factor for n in lattice)
    bands = step.bands(len(lattice))
    zero = torch.zeros(math.prod(coarse) * bands, 1, *coarse)
    gain = matrix(lambda c: lift.detail(Context(c), c.new_zeros(len(c), bands, *coarse)), (1, *coarse))
    root = matrix(lambda noise: lift.detail(Context(zero), noise), (bands, *coarse))
    return gain, root @ root.T


@every_case
def test_stencils_that_reach_half_way_around_are_exact(step, lattice):
    half = max(-(-n // step.factor // 2) for n in lattice)
    gain, rest, _ = dense(step, lattice)
    for radius in (half, half + 1):
        found = law(lift_of(step, lattice, radius), step, lattice)
        torch.testing.assert_close(found[0], gain, rtol=0, atol=1e-10)
        torch.testing.assert_close(found[1], rest, rtol=0, atol=1e-10)


@every_case
def test_the_lift_by_fft_is_exact_and_keeps_the_coarse_field(step, lattice):
    made = FourierLift(step, spectrum, lattice)
    gain, rest, _ = dense(step, lattice)
    found = law(made, step, lattice)
    torch.testing.assert_close(found[0], gain, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[1], rest, rtol=0, atol=1e-10)
    coarse = torch.randn(2, 1, *(n // step.factor for n in lattice))
    noise = torch.randn(2, step.bands(len(lattice)), *coarse.shape[2:])
    torch.testing.assert_close(step.coarsen(lifted(made, coarse, noise)), coarse)


@every_case
def test_the_spectrum_of_the_coarse_field_is_that_of_its_covariance(step, lattice):
    coarse = tuple(n // step.factor for n in lattice)
    column = dense(step, lattice)[2][0].reshape(coarse)
    found = coarse_spectrum(step, on_grid(spectrum, lattice))
    torch.testing.assert_close(found, torch.fft.fftn(column).real, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [BlockSpin(2), Wavelet("db2"), Wavelet("db4"), Decimation(2)], ids=str)
def test_the_error_of_local_stencils_falls_with_their_radius(step):
    lattice = (64,)
    gain, rest, coarse = dense(step, lattice)
    errors = []
    for radius in (1, 2, 4, 8):
        made = law(lift_of(step, lattice, radius), step, lattice)
        missed = (made[0] - gain) @ coarse @ (made[0] - gain).T
        errors.append(float((missed.diagonal() + (made[1] - rest).diagonal().abs()).max() / rest.diagonal().min()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02 * errors[0]


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_a_prediction_is_the_best_of_its_radius(radius):
    """Any other kernel of the same taps that predicts nothing from a constant leaves more."""
    step, lattice = BlockSpin(2), (24,)
    made, (gain, _, coarse) = lift_of(step, lattice, radius), dense(BlockSpin(2), lattice)

    def left():
        missed = law(made, step, lattice)[0] - gain
        return float((missed @ coarse @ missed.T).trace())

    best, kernel = left(), made.standardizer.prediction.kernel.clone()
    assert abs(float(kernel.sum())) < 1e-12
    for _ in range(5):
        change = torch.randn_like(kernel)
        made.standardizer.prediction.kernel.copy_(kernel + 1e-3 * (change - change.mean()))
        assert left() > best


def test_the_prediction_of_a_decimated_field_knows_its_level():
    """A constant has detail where sites are dropped: their neighbours' mean, about."""
    made = lift_of(Decimation(2), (32,), 3)
    assert abs(float(made.standardizer.prediction.kernel.sum()) - 1) < 0.2


@pytest.mark.integration
def test_it_is_the_limit_of_a_fit_to_samples():
    lattice, step = (32, 32), Wavelet("db2")
    power = on_grid(spectrum, lattice)
    fields = torch.fft.ifftn(torch.fft.fftn(torch.randn(1600, 1, *lattice), dim=(2, 3)) * power.sqrt(), dim=(2, 3)).real
    fitted = gaussian_lift(step, 1, 2, "periodic").double()
    fitted.fit(fields)
    exact = gaussian_lift(step, 1, 2, "periodic").double()
    fit_spectrum(exact, power, lattice)
    for a, b in (
        (fitted.standardizer.prediction, exact.standardizer.prediction),
        (fitted.standardizer.colouring.colour, exact.standardizer.colouring.colour),
        (fitted.standardizer.colouring.whiten, exact.standardizer.colouring.whiten),
    ):
        assert float((a.kernel - b.kernel).norm() / b.kernel.norm()) < 0.07


def test_colour_and_whiten_are_inverse():
    made, noise = lift_of(BlockSpin(2), (8, 8), 2), torch.randn(3, 3, 4, 4)
    torch.testing.assert_close(made.standardizer.colouring.whiten(made.standardizer.colouring.colour(noise)), noise)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.ones(8), "for the lattice"),
        (torch.zeros(8, 8), "positive"),
        (torch.arange(1.0, 65.0).reshape(8, 8), "even"),
    ],
)
def test_an_impossible_spectrum_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        lift_of(BlockSpin(2), (8, 8), 1, given)


class Uneven(BlockSpin):
    """Its first pair of sites changes places: orthonormal, but another operator there than elsewhere."""

    def analyze_axis(self, x):
        return super().analyze_axis(torch.cat([x[..., :2] * torch.tensor([1.0, -1.0]), x[..., 2:]], -1))


def test_an_operator_that_mixes_modes_has_no_lift_of_a_spectrum():
    with pytest.raises(ValueError, match="Uneven does not commute with translations by 2 sites"):
        FourierLift(Uneven(2), spectrum, (8,))


def test_the_lift_by_fft_keeps_the_dtype_knows_its_lattice_and_moves_like_a_module():
    lift = FourierLift(BlockSpin(2), spectrum, (8,))
    assert lifted(lift, torch.randn(1, 1, 4).float(), torch.randn(1, 1, 4).float()).dtype == torch.float32
    assert set(lift.state_dict()) == {"transfer", "root", "temperature", "free_temperature"}
    with pytest.raises(ValueError, match=r"coarse field of \(8,\) sites; this lift is that of \(4,\)"):
        lifted(lift, torch.randn(1, 1, 8), torch.randn(1, 1, 8))


def test_a_lift_with_edges_or_a_local_amplitude_is_refused():
    for made in (
        gaussian_lift(BlockSpin(2), 1, 1, "reflect"),
        gaussian_lift(BlockSpin(2), 2, 1, "periodic"),
        gaussian_lift(BlockSpin(2), 1, 1, "periodic", local_amplitude=True),
    ):
        with pytest.raises(ValueError, match="one channel without local amplitude"):
            fit_spectrum(made, spectrum, (8,))
