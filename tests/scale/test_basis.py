"""Bases: orthonormal, invertible, and made of the modes they promise."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.scale.basis import Cosine, Fourier, Harmonics, Pyramid, Site, pack, unpack
from rgdm.scale.boundary import boundary_of_each, extend
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet

pytestmark = pytest.mark.usefixtures("float64")

BASES = {
    "Site": Site(),
    "Fourier": Fourier(),
    "Cosine": Cosine(),
    "Harmonics(reflect, periodic)": Harmonics(("reflect", "periodic")),
    "Harmonics(periodic, reflect, periodic)": Harmonics(("periodic", "reflect", "periodic")),
    "Pyramid(BlockSpin(2), 1)": Pyramid(BlockSpin(2), 1),
    "Pyramid(BlockSpin(2), 2)": Pyramid(BlockSpin(2), 2),
    "Pyramid(BlockSpin(3), 1)": Pyramid(BlockSpin(3), 1),
    "Pyramid(Wavelet(db2), 2)": Pyramid(Wavelet("db2"), 2),
    "Pyramid(MomentumShell(2), 2)": Pyramid(MomentumShell(2), 2),
}
every_basis = pytest.mark.parametrize("basis", BASES.values(), ids=BASES)


@st.composite
def fields(draw, basis):
    """A field of 1 to 3 axes that the basis can analyse; odd lattices for those that take them."""
    unit = basis.operator.factor**basis.levels if isinstance(basis, Pyramid) else 1
    least, most = (len(basis.boundary),) * 2 if isinstance(getattr(basis, "boundary", None), tuple) else (1, 3)
    blocks = draw(st.lists(st.integers(1, 3 if unit > 1 else 7), min_size=least, max_size=most))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return torch.randn(2, draw(st.integers(1, 2)), *(unit * n for n in blocks), generator=generator)


@pytest.mark.integration
@every_basis
@given(st.data())
def test_synthesize_undoes_analyze(basis, data):
    x = data.draw(fields(basis))
    torch.testing.assert_close(basis.synthesize(basis.analyze(x)), x, rtol=0, atol=1e-12)


@pytest.mark.integration
@every_basis
@given(st.data())
def test_scalar_products_are_kept(basis, data):
    x = data.draw(fields(basis))
    y = torch.randn_like(x)
    kept = (basis.analyze(x) * basis.analyze(y)).sum()
    torch.testing.assert_close(kept, (x * y).sum(), rtol=0, atol=1e-11)


@every_basis
@pytest.mark.parametrize("lattice", [(12,), (12, 36), (12, 12, 24)])
def test_there_is_one_wavenumber_for_each_coefficient(basis, lattice):
    if isinstance(getattr(basis, "boundary", None), tuple) and len(basis.boundary) != len(lattice):
        return
    k = basis.wavenumber(lattice)
    assert k.shape == lattice
    assert k.dtype == torch.float64


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_fourier_coefficients_are_those_of_the_fft_in_real_form(n):
    x = torch.randn(1, 1, n)
    z = Fourier().analyze(x)[0, 0]
    modes = torch.fft.rfft(x[0, 0], norm="ortho")
    for i in range(n):
        frequency = (i + 1) // 2
        value = modes[frequency].imag if i and i % 2 == 0 else modes[frequency].real
        weight = 1 if frequency == 0 or 2 * frequency == n else math.sqrt(2)
        torch.testing.assert_close(z[i], weight * value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lattice", [(1,), (7,), (8,), (4, 6), (3, 5, 4)])
def test_cosine_coefficients_are_those_of_scipy(lattice):
    x = torch.randn(2, 2, *lattice)
    oracle = scipy.fft.dctn(x.numpy(), axes=range(2, x.dim()), norm="ortho")
    np.testing.assert_allclose(Cosine().analyze(x), oracle, rtol=0, atol=1e-12)


def laplacian(x, boundary):
    """Minus the second differences, with the field continued by ``boundary``."""
    wide = extend(x, 1, boundary)
    total = torch.zeros_like(x)
    for axis in range(2, x.dim()):
        line = wide
        for other in range(2, x.dim()):
            line = line if other == axis else line.narrow(other, 1, x.shape[other])
        total = total - line.diff(n=2, dim=axis)
    return total


@pytest.mark.parametrize(
    ("lattice", "boundary"),
    [(lattice, side) for lattice in ((7,), (8,), (6, 5), (4, 3, 4)) for side in ("periodic", "reflect")]
    + [
        ((6, 5), ("periodic", "reflect")),
        ((3, 4), ("reflect", "periodic")),
        ((3, 4, 2), ("reflect",) * 2 + ("periodic",)),
    ],
)
def test_the_laplacian_is_diagonal_with_eigenvalues_of_the_wavenumbers(lattice, boundary):
    n, basis = math.prod(lattice), Harmonics(boundary)
    modes = basis.synthesize(torch.eye(n).reshape(n, 1, *lattice))
    matrix = basis.analyze(laplacian(modes, boundary)).reshape(n, n)
    sides = boundary_of_each(boundary, len(lattice))
    waves = (Harmonics(side).wavenumber((m,)) for m, side in zip(lattice, sides, strict=True))
    axes = torch.meshgrid(*waves, indexing="ij")
    expected = sum(4 * torch.sin(k / 2) ** 2 for k in axes)
    torch.testing.assert_close(matrix, torch.diag(expected.flatten()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("side", "basis"), [("periodic", Fourier()), ("reflect", Cosine())])
def test_harmonics_are_fourier_or_cosine_modes_where_all_axes_are_alike(side, basis):
    x = torch.randn(2, 1, 6, 5)
    by_axis = Harmonics((side, side))
    assert torch.equal(by_axis.analyze(x), basis.analyze(x))
    assert torch.equal(by_axis.synthesize(x), basis.synthesize(x))
    assert torch.equal(by_axis.wavenumber((6, 5)), basis.wavenumber((6, 5)))


@pytest.mark.parametrize("basis", [Fourier(), Cosine()], ids=["Fourier", "Cosine"])
def test_the_wavenumber_is_the_length_of_the_wave_vector(basis):
    kx, ky = basis.wavenumber((6,)), basis.wavenumber((5,))
    torch.testing.assert_close(basis.wavenumber((6, 5)), torch.hypot(kx[:, None], ky[None, :]))


def test_site_holds_every_scale_at_the_wavenumber_of_the_pixel():
    assert torch.equal(Site().wavenumber((2, 3)), torch.full((2, 3), math.pi))


@pytest.mark.parametrize(("b", "levels"), [(2, 1), (2, 3), (3, 2)])
def test_the_wavenumbers_of_a_pyramid_are_the_middles_of_its_octaves(b, levels):
    n = 2 * b**levels
    k = Pyramid(BlockSpin(b), levels).wavenumber((n, n))
    for level in range(levels):
        detail = k[n // b ** (level + 1) : n // b**level, : n // b**level]
        assert torch.equal(detail, torch.full_like(detail, math.pi * b ** -(level + 0.5)))
    coarse = k[: n // b**levels, : n // b**levels]
    assert torch.equal(coarse, torch.full_like(coarse, math.pi * b ** -(levels + 0.5)))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_pyramid_of_block_means_starts_with_the_block_means(levels):
    x = torch.randn(1, 1, 16, 8)
    z = Pyramid(BlockSpin(2), levels).analyze(x)
    means = torch.nn.functional.avg_pool2d(x, 2**levels) * 2**levels
    torch.testing.assert_close(z[..., : 16 >> levels, : 8 >> levels], means)


def test_a_pyramid_of_four_sites_has_the_haar_coefficients():
    a, b, c, d = 3.0, 1.0, -2.0, 5.0
    z = Pyramid(BlockSpin(2), 2).analyze(torch.tensor([[[a, b, c, d]]]))
    half = math.sqrt(0.5)
    expected = [(a + b + c + d) / 2, (a + b - c - d) / 2, half * (a - b), half * (c - d)]
    torch.testing.assert_close(z[0, 0], torch.tensor(expected))


@given(st.integers(2, 3), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 2))
def test_unpack_undoes_pack(b, lattice, channels):
    coarse = torch.randn(2, channels, *lattice)
    detail = torch.randn(2, channels * (b ** len(lattice) - 1), *lattice)
    packed = pack(coarse, detail, b)
    assert packed.shape == (2, channels, *(b * n for n in lattice))
    assert torch.equal(packed[(..., *(slice(n) for n in lattice))], coarse)
    again = unpack(packed, b)
    assert torch.equal(again[0], coarse)
    assert torch.equal(again[1], detail)


def test_a_pyramid_without_levels_is_refused():
    with pytest.raises(ValueError, match="a pyramid of 0 levels"):
        Pyramid(BlockSpin(2), 0)
