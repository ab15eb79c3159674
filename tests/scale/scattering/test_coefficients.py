"""Scattering coefficients: direct sums as the oracle, translations, turns, and a contraction."""

import itertools
import math

import pytest
import torch

from rgdm.scale.scattering.coefficients import Path, Scattering

pytestmark = pytest.mark.usefixtures("float64")


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


@pytest.mark.integration
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
