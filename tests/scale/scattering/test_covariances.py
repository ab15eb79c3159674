"""Scattering covariances site by site; gradients, precisions and bad input of the whole transform."""

import pytest
import torch

from rgdm.scale.scattering.coefficients import Moment, Scattering

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("lattice", [(19,), (8, 11)])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_covariances_are_those_of_the_bands_site_by_site(lattice, boundary):
    x, scattering = torch.randn(2, 2, *lattice), Scattering(3, 2, boundary)
    torus = lattice if boundary == "periodic" else tuple(2 * n for n in lattice)
    psi, phi = scattering.filters(torus)
    axes = tuple(range(-len(lattice), 0))

    def band(u: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return torch.fft.ifftn(torch.fft.fftn(u, dim=axes) * kernel, dim=axes)

    def mean(u: torch.Tensor) -> torch.Tensor:
        return u[(..., *(slice(n) for n in lattice))].mean(axes)

    y = x - x.mean(axes, keepdim=True)
    if boundary == "reflect":
        for axis in range(2, x.dim()):
            y = torch.cat([y, y.flip(axis)], axis)

    def expected(moment: Moment) -> torch.Tensor:
        w = [band(y, psi[a]) for a in moment.bands]
        c = [mean(each.abs().square()).sqrt() for each in w]
        match moment.kind:
            case "mean":
                value = x.mean(axes)
            case "low":
                value = mean(band(y, phi).abs().square())
            case "C00":
                value = mean(w[0].abs().square())
            case "S1":
                value = mean(w[0].abs()) / c[0]
            case "C01":
                value = mean(w[1].conj() * band(w[0].abs(), psi[moment.bands[1]])) / (c[0] * c[1])
            case "C11":
                first, second = (band(each.abs(), psi[moment.bands[2]]) for each in w[:2])
                value = mean(first * second.conj()) / (c[0] * c[1])
        return value.imag if moment.part == "imaginary" else value.real

    names = scattering.covariance_names(len(lattice))
    assert len(names) == len(set(names))
    assert torch.allclose(scattering.covariances(x), torch.stack([expected(m) for m in names], 2), atol=1e-12)


def test_the_covariances_form_a_compact_set():
    kinds = [moment.kind for moment in Scattering(3, 2).covariance_names(2)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "mean": 1, "low": 1, "C00": 6, "S1": 6, "C01": 2 * 6 * 4, "C11": (2 + 4) * 2 + 2 * 1 * 4,
    }  # fmt: skip


def test_normalised_covariances_do_not_change_with_the_scale_of_the_field_and_powers_do():
    x, scattering = torch.randn(1, 1, 16, 16), Scattering(3, 2)
    kinds = [moment.kind for moment in scattering.covariance_names(2)]
    plain, louder = scattering.covariances(x)[0, 0], scattering.covariances(2 + 3 * x)[0, 0]
    gain = torch.tensor([9.0 if kind in ("low", "C00") else 1.0 for kind in kinds])
    assert torch.allclose(louder[1:], (gain * plain)[1:])


def test_time_reversed_signals_differ_in_the_imaginary_parts_alone():
    """C01 and C11 of a signal and its mirror image are complex conjugates; a signal that rises slowly is no mirror."""
    x, scattering = (torch.arange(64.0) % 16)[None, None] + 0.1 * torch.randn(1, 1, 64), Scattering(3)
    parts = torch.tensor([moment.part == "imaginary" for moment in scattering.covariance_names(1)])
    plain, mirrored = scattering.covariances(x)[0, 0], scattering.covariances(x.flip(2))[0, 0]
    assert torch.allclose(mirrored, torch.where(parts, -plain, plain), atol=1e-12)
    assert plain[parts].abs().max() > 0.1


# --- tensors -----------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("lattice", [(6,), (4, 5)])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_gradients_are_exact(lattice, boundary):
    x, scattering = torch.randn(1, 1, *lattice, requires_grad=True), Scattering(2, 2, boundary)
    assert torch.autograd.gradcheck(scattering, x)
    assert torch.autograd.gradcheck(scattering.local, x)
    assert torch.autograd.gradcheck(scattering.covariances, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_a_constant_field_are_finite(dtype):
    x = torch.full((1, 1, 8, 8), 0.5, dtype=dtype, requires_grad=True)
    for measure in (Scattering(2, 2), Scattering(2, 2).covariances):
        value = measure(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert value.isfinite().all() and gradient.isfinite().all()


def test_single_precision_is_near_and_half_is_computed_in_single():
    x, scattering = torch.randn(1, 1, 16, 16), Scattering(3, 2)
    for measure in (scattering, scattering.covariances):
        assert torch.allclose(measure(x.float()).double(), measure(x), atol=1e-5)
        assert measure(x.float()).dtype == torch.float32
        assert torch.equal(measure(x.half()), measure(x.half().float()))


def test_a_bank_built_in_inference_mode_serves_training():
    x = torch.randn(1, 1, 13, 11, requires_grad=True)
    with torch.inference_mode():
        Scattering(2, 3)(x)
    Scattering(2, 3)(x).sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0


def test_filters_are_the_callers_own():
    scattering = Scattering(2, 2)
    before = scattering.filters((8, 8))[0].clone()
    scattering.filters((8, 8))[0].zero_()
    assert torch.equal(scattering.filters((8, 8))[0], before)


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="0 scales"):
        Scattering(0)
    with pytest.raises(ValueError, match="-1 angles"):
        Scattering(2, -1)
    with pytest.raises(ValueError, match="'mirror'"):
        Scattering(2, 4, "mirror")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice, room", [((15,), 3), ((64, 7), 2), ((1, 1), 0)])
def test_scales_beyond_the_lattice_are_refused_with_the_number_that_fits(lattice, room, boundary):
    scattering, x = Scattering(4, 2, boundary), torch.randn(1, 1, *lattice)
    for measure in (scattering, scattering.local, scattering.covariances):
        with pytest.raises(ValueError, match=rf"4 scales need 16 sites .* room for {room}$"):
            measure(x)
    if room:
        assert Scattering(room, 2, boundary)(x).isfinite().all()


def test_three_dimensions_are_refused():
    scattering = Scattering(2)
    with pytest.raises(ValueError, match="the dimension is 3"):
        scattering(torch.randn(1, 1, 8, 8, 8))
    with pytest.raises(ValueError, match="the dimension is 3"):
        scattering.names(3)
    with pytest.raises(ValueError, match="the dimension is 0"):
        scattering.filters(())
