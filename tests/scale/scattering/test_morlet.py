"""The bank of Morlet wavelets against Morlets summed site by site, and how much of a field it holds."""

import itertools
import math

import pytest
import torch

from rgdm.scale.scattering.coefficients import Scattering
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


@pytest.mark.integration
@pytest.mark.parametrize("scales, angles, lattice", BANKS)
def test_wavelets_have_no_mean_and_the_low_pass_mean_one(scales, angles, lattice):
    psi, phi = Scattering(scales, angles).filters(lattice)
    origin = (0,) * len(lattice)
    assert psi[(..., *origin)].abs().max() < 1e-15
    assert phi[origin] == pytest.approx(1, abs=1e-15)


@pytest.mark.integration
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
