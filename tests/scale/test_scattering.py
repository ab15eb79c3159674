"""Morlet scattering: the bank against Morlets summed site by site, the laws of the transform, its covariances."""

import itertools
import math

import pytest
import torch

from rgdm.scale.scattering.coefficients import Moment, Path, Scattering
from rgdm.scale.scattering.morlet import CENTRE, LOW_PASS_WIDTH, WIDTH

pytestmark = pytest.mark.usefixtures("float64")

BANKS = [(1, 1, (16,)), (5, 1, (45,)), (2, 3, (17, 24)), (3, 4, (32, 32)), (4, 8, (64, 40)), (2, 1, (12, 8))]


def power(psi: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """The Littlewood-Paley sum for real fields."""
    axes = tuple(range(2, psi.dim()))
    mirrored = psi.flip(axes).roll((1,) * len(axes), axes)
    return phi.square() + (psi.square() + mirrored.square()).sum((0, 1)) / 2


def morlet(lattice: tuple[int, ...], j: int, angle: float, across: float) -> torch.Tensor:
    """The oracle of one wavelet: a Gaussian times a wave less a constant, in space, summed over images of the torus."""
    axes = [torch.arange(-8 * n, 9 * n) for n in lattice]
    u = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) / 2**j
    e = torch.tensor([math.cos(angle), math.sin(angle)][: len(lattice)])
    along = u @ e
    rest = (u.square().sum(-1) - along.square()).clamp_min(0)
    envelope = torch.exp(-(along.square() + (across * rest.sqrt()).square()) / (2 * WIDTH**2))
    envelope = envelope * (across if len(lattice) == 2 else 1) / (math.sqrt(2 * math.pi) * WIDTH * 2**j) ** len(lattice)
    wave = torch.polar(envelope, CENTRE * along)
    wave = wave - wave.sum() / envelope.sum() * envelope
    for axis, n in enumerate(lattice):
        wave = wave.unflatten(axis, (17, n)).sum(axis)
    return wave


def convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The oracle of ``x * psi`` on a torus: a sum over all pairs of sites."""
    out = torch.zeros(x.shape, dtype=kernel.dtype)
    for shift in itertools.product(*(range(n) for n in kernel.shape)):
        out += kernel[shift] * x.roll(shift, tuple(range(-kernel.dim(), 0)))
    return out


def wave(lattice: tuple[int, ...], k: tuple[int, ...]) -> torch.Tensor:
    axes = torch.meshgrid(
        *(torch.arange(n) * 2 * math.pi * m / n for n, m in zip(lattice, k, strict=True)), indexing="ij"
    )
    return torch.stack(axes).sum(0).cos()[None, None]


def smooth_noise(*shape: int) -> torch.Tensor:
    """A field with power at all scales, and large next to its mean."""
    axes = tuple(range(2, len(shape)))
    k = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(shape[a]) for a in axes), indexing="ij")).square().sum(0)
    x = torch.fft.ifftn(torch.fft.fftn(torch.randn(shape), dim=axes) / (k + 1e-3) ** 0.5, dim=axes).real
    return x / x.std()


# --- the bank ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scales, angles, lattice", BANKS)
def test_wavelets_have_no_mean_and_the_low_pass_mean_one(scales, angles, lattice):
    psi, phi = Scattering(scales, angles).filters(lattice)
    origin = (0,) * len(lattice)
    assert psi[(..., *origin)].abs().max() < 1e-15
    assert phi[origin] == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("scales, angles, lattice", BANKS)
def test_the_littlewood_paley_sum_is_at_most_one_and_the_bank_could_not_be_louder(scales, angles, lattice):
    for size in (lattice, tuple(4 * n + 3 for n in lattice)):
        psi, phi = Scattering(scales, angles).filters(size)
        assert power(psi, phi).max() <= 1 + 1e-12
    assert power(1.03 * psi, phi).max() > 1 + 1e-3


@pytest.mark.parametrize(
    "scales, angles, lattice, bound",
    [(1, 1, (64,), 0.67), (6, 1, (256,), 0.76), (3, 4, (48, 64), 0.64), (3, 2, (64, 64), 0.65)],
)
def test_the_bank_leaves_no_hole_in_the_plane(scales, angles, lattice, bound):
    assert power(*Scattering(scales, angles).filters(lattice)).min() > bound


@pytest.mark.parametrize("angles, lattice", [(1, (12,)), (4, (8, 6)), (6, (7, 8))])
def test_the_bank_is_that_of_morlets_summed_site_by_site(angles, lattice):
    psi, phi = Scattering(2, angles).filters(lattice)
    directions = psi.shape[1]
    gains = []
    for j, direction in itertools.product(range(2), range(directions)):
        kernel = torch.fft.fftn(morlet(lattice, j, math.pi * direction / directions, min(1.5, 6 / directions)))
        gains.append(psi[j, direction].flatten()[kernel.abs().argmax()] / kernel.abs().max())
        assert torch.allclose(psi[j, direction] / gains[-1], kernel.real, atol=1e-9) and kernel.imag.abs().max() < 1e-9
    assert torch.allclose(torch.stack(gains), gains[0].expand(len(gains)))
    k = torch.stack(torch.meshgrid(*(2 * math.pi * torch.fft.fftfreq(n) for n in lattice), indexing="ij"))
    assert (phi - torch.exp(-((4 * LOW_PASS_WIDTH) ** 2) / 2 * k.square().sum(0))).abs().max() < 1e-3


def test_the_bank_is_the_same_function_of_the_wavenumber_on_every_lattice():
    small, large = Scattering(2, 4).filters((8, 12)), Scattering(2, 4).filters((24, 36))
    assert torch.allclose(small[0][..., :4, :6], large[0][..., :12:3, :18:3], atol=1e-14)
    assert torch.allclose(small[1][:4, :6], large[1][:12:3, :18:3], atol=1e-14)


# --- the coefficients --------------------------------------------------------------------------


@pytest.mark.parametrize("angles, lattice", [(1, (9,)), (3, (5, 6))])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_coefficients_are_those_of_direct_sums(angles, lattice, boundary):
    x, scattering = torch.randn(2, 2, *lattice), Scattering(2, angles, boundary)
    extended = x
    if boundary == "reflect":
        for axis in range(2, x.dim()):
            extended = torch.cat([extended, extended.flip(axis)], axis)
    psi, _ = scattering.filters(tuple(extended.shape[2:]))
    axes = tuple(range(-len(lattice), 0))
    kernel = torch.fft.ifftn(psi.to(torch.complex128), dim=axes)
    expected = []
    for path in scattering.names(len(lattice)):
        u = extended
        for band in ((path.j1, path.l1), (path.j2, path.l2))[: path.order]:
            u = convolve(u, kernel[band]).abs()
        expected.append(u[(..., *(slice(n) for n in lattice))].mean(axes))
    assert torch.allclose(scattering(x), torch.stack(expected, 2), atol=1e-12)


def test_paths_are_named_from_order_zero_up_and_only_go_coarser():
    names = Scattering(3, 2).names(2)
    assert names[0] == Path(0) and names[1] == Path(1, 0, 0) and names[7] == Path(2, 0, 0, 1, 0)
    assert len(names) == len(set(names)) == 1 + 6 + 3 * 4
    assert all(p.j2 > p.j1 for p in names if p.j1 is not None and p.j2 is not None)
    assert len(Scattering(3, 7).names(1)) == 1 + 3 + 3
    assert Scattering(3, 2)(torch.randn(2, 3, 8, 9)).shape == (2, 3, 19)


@pytest.mark.parametrize("j", range(3))
@pytest.mark.parametrize("direction", range(4))
def test_a_plane_wave_is_loudest_in_the_band_of_its_length_and_direction(j, direction):
    k = 12 * 2.0 ** (2 - j)
    turn = math.pi * direction / 4
    x = wave((128, 128), (round(k * math.cos(turn)), round(k * math.sin(turn))))
    first = Scattering(3, 4)(x)[0, 0, 1:13]
    assert int(first.argmax()) == 4 * j + direction


@pytest.mark.parametrize("lattice, shift", [((37,), (5,)), ((16, 21), (3, -8))])
def test_no_translation_changes_the_coefficients(lattice, shift):
    x, scattering = torch.randn(2, 1, *lattice), Scattering(3, 4)
    moved = x.roll(shift, tuple(range(2, x.dim())))
    assert torch.allclose(scattering(moved), scattering(x), atol=1e-13)
    assert torch.allclose(scattering.covariances(moved), scattering.covariances(x), atol=1e-12)


@pytest.mark.parametrize("lattice", [(256,), (64, 64)])
def test_a_small_translation_hardly_changes_local_coefficients_but_the_field(lattice):
    x, scattering = torch.randn(1, 1, *lattice), Scattering(5, 2)
    moved = x.roll(1, 2)
    change = (scattering.local(moved) - scattering.local(x)).norm() / x.norm()
    assert change < 0.05
    assert (moved.abs() - x.abs()).norm() / x.norm() > 0.5
    far = (scattering.local(x.roll(32, 2)) - scattering.local(x)).norm() / x.norm()
    assert far > 4 * change


@pytest.mark.parametrize("lattice", [(64,), (24, 32)])
def test_local_coefficients_have_the_coefficients_as_their_means(lattice):
    x, scattering = torch.randn(2, 2, *lattice), Scattering(3, 3)
    assert torch.allclose(scattering.local(x).flatten(3).mean(3), scattering(x), atol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", [(33,), (16, 20)])
@pytest.mark.parametrize("nearness", [1e-3, 0.1, 10.0])
def test_scattering_is_a_contraction(lattice, boundary, nearness):
    x, scattering = smooth_noise(3, 1, *lattice), Scattering(3, 4, boundary)
    y = x + nearness * torch.randn_like(x)
    apart = (scattering.local(x) - scattering.local(y)).flatten(1).norm(dim=1)
    assert (apart <= (x - y).flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice, captured", [((256,), 0.85), ((64, 64), 0.7)])
def test_coefficients_hold_most_of_the_energy_and_with_the_rest_never_more_than_the_field(lattice, captured, boundary):
    """The energy of each modulus is split by the next wavelets: what they have not yet smoothed is the rest."""
    x, scattering = smooth_noise(1, 1, *lattice), Scattering(4, 4, boundary)
    order = torch.tensor([path.order for path in scattering.names(len(lattice))])
    local = scattering.local(x)[0, 0].square().flatten(1).sum(1)
    second = torch.cat([u[..., : lattice[0]] if len(lattice) == 1 else u[..., : lattice[0], : lattice[1]]
                        for u in list(scattering._propagate(x))[2:]], 2).square().sum()  # fmt: skip
    total = x.square().sum()
    assert local[order < 2].sum() + second <= total
    assert captured * total < local.sum() < local[order < 2].sum() + second


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_quarter_turn_moves_every_direction_by_a_right_angle(boundary):
    scattering, x = Scattering(3, 4, boundary), torch.randn(1, 1, 16, 16)
    names = scattering.names(2)

    def turned(path: Path) -> Path:
        l1, l2 = (None if i is None else (i + 2) % 4 for i in (path.l1, path.l2))
        return path._replace(l1=l1, l2=l2)

    order = [names.index(turned(path)) for path in names]
    plain, rotated = scattering(x), scattering(torch.rot90(x, 1, (2, 3)))
    assert torch.allclose(rotated, plain[..., order], atol=1e-13)
    assert not torch.allclose(rotated, plain, rtol=0.01)


def test_a_mirror_image_has_its_directions_mirrored():
    scattering, x = Scattering(2, 4), torch.randn(1, 1, 12, 20)
    plain, mirrored = scattering(x), scattering(x.flip(3))
    first = torch.arange(1, 9).unflatten(0, (2, 4))
    assert torch.allclose(mirrored[..., first], plain[..., first[:, [0, 3, 2, 1]]], atol=1e-13)


def test_order_one_grows_with_the_field_and_a_constant_shows_in_order_zero_alone():
    x, scattering = torch.randn(1, 1, 16, 16), Scattering(3, 4)
    plain, louder = scattering(x), scattering(5 - 3 * x)
    assert torch.allclose(louder[..., 1:], 3 * plain[..., 1:])
    assert torch.allclose(louder[..., 0], 5 - 3 * plain[..., 0])


def test_a_line_in_a_plane_has_all_its_power_across():
    """A field that varies along one axis only is seen by the wavelets of that direction."""
    x = torch.randn(1, 1, 64, 1).expand(1, 1, 64, 64)
    first = Scattering(3, 4)(x)[0, 0, 1:].view(-1)[:12].unflatten(0, (3, 4))
    assert (first.argmax(1) == 0).all() and (first[:, 2] < 1e-12).all()


# --- the covariances ---------------------------------------------------------------------------


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
