"""What makes each coarse-graining the one its name says: oracles, locality, refused input."""

import itertools

import numpy as np
import pytest
import pywt
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from rgdm.scale.basis import Cosine
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet, rotation_lattice

pytestmark = pytest.mark.usefixtures("float64")

POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ORTHOGONAL = ("haar", "db2", "db4", "db8", "sym5", "sym8", "coif1", "coif3")


@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3))
def test_the_coarse_field_of_block_spin_over_its_gain_is_the_block_mean(b, dimension, channels):
    x = torch.randn(2, channels, *(b * n for n in (2, 3, 1)[:dimension]))
    operator = BlockSpin(b)
    torch.testing.assert_close(operator.coarsen(x) / operator.gain(dimension), POOL[dimension](x, b))


def test_a_block_mean_refined_is_constant_on_each_block():
    coarse = torch.randn(1, 2, 3, 4)
    fine = BlockSpin(3).prolong(coarse * BlockSpin(3).gain(2))
    torch.testing.assert_close(fine, coarse.repeat_interleave(3, 2).repeat_interleave(3, 3))


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_haar_is_block_spin_of_two_sites_up_to_the_sign_of_the_detail(boundary):
    x = torch.randn(2, 2, 6, 8)
    haar, block = Wavelet("haar", boundary).split(x), BlockSpin(2).split(x)
    torch.testing.assert_close(haar[0], block[0])
    torch.testing.assert_close(haar[1].abs(), block[1].abs())


def test_decimation_keeps_every_bth_site():
    x = torch.randn(1, 2, 6, 9)
    assert torch.equal(Decimation(3).coarsen(x), x[:, :, ::3, ::3])


@pytest.mark.parametrize("blocks", [2, 3])
def test_a_momentum_shell_keeps_slow_waves_and_drops_fast_ones(blocks):
    n = 4 * blocks
    x = torch.arange(n)
    slow, fast = (torch.cos(2 * torch.pi * k * x / n + 0.3).reshape(1, 1, n) for k in (blocks // 2, blocks + 1))
    slow = slow if blocks % 2 else torch.cos(2 * torch.pi * (blocks // 2) * x / n).reshape(1, 1, n)
    operator = MomentumShell(4)
    torch.testing.assert_close(operator.prolong(operator.coarsen(slow)), slow)
    torch.testing.assert_close(operator.coarsen(fast), torch.zeros(1, 1, blocks))


@pytest.mark.parametrize("b", [2, 3, 4])
def test_the_first_wave_beyond_a_reflecting_shell_becomes_the_fastest_of_the_coarse_lattice(b):
    m = 6
    detail = MomentumShell(b, "reflect").split(Cosine().synthesize(torch.eye(b * m)[m].reshape(1, 1, -1)))[1]
    torch.testing.assert_close(Cosine().analyze(detail)[0, 0].abs(), torch.eye(m)[m - 1])


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("b", [2, 3, 4])
def test_what_a_momentum_shell_makes_of_a_site_stays_around_its_block(b, boundary):
    blocks = 9
    for site in range(2 * b, 7 * b):
        x = torch.zeros(1, 1, b * blocks)
        x[..., site] = 1
        coarse, detail = MomentumShell(b, boundary).split(x)
        energy = torch.cat([coarse, detail], 1).square().sum((0, 1))
        assert energy[site // b - 1 : site // b + 2].sum() > 0.75


@pytest.mark.parametrize("name", ORTHOGONAL)
@pytest.mark.parametrize("n", [8, 16, 30])
def test_one_axis_of_a_periodic_wavelet_is_that_of_pywavelets(name, n):
    x = torch.randn(1, 1, n)
    coarse, detail = Wavelet(name).split(x)
    low, high = pywt.dwt(x[0, 0].numpy(), name, mode="periodization")
    np.testing.assert_allclose(coarse[0, 0], low, rtol=0, atol=1e-9)
    high = np.roll(high, Wavelet(name).delay)  # which stands where its low-pass does
    sign = np.sign(np.dot(detail[0, 0].numpy(), high))
    np.testing.assert_allclose(sign * detail[0, 0].numpy(), high, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ORTHOGONAL)
@pytest.mark.parametrize("lattice", [(16, 20), (16, 16, 18)])
def test_all_bands_of_a_periodic_wavelet_are_those_of_pywavelets(name, lattice):
    x = torch.randn(1, 1, *lattice)
    bands = torch.cat(Wavelet(name).split(x), 1)[0].numpy()
    oracle = pywt.dwtn(x[0, 0].numpy(), name, mode="periodization")
    names = ["".join(letters) for letters in itertools.product("ad", repeat=len(lattice))]
    for ours, key in zip(bands, names, strict=True):
        theirs = np.roll(oracle[key], [Wavelet(name).delay * (letter == "d") for letter in key], range(len(key)))
        sign = np.sign(np.sum(ours * theirs))
        np.testing.assert_allclose(sign * ours, theirs, rtol=0, atol=1e-9)


def test_away_from_the_edges_a_reflecting_wavelet_is_the_periodic_one_but_for_the_place_of_its_detail():
    x = torch.randn(1, 1, 64)
    (coarse, detail), (other, moved) = Wavelet("db4", "reflect").split(x), Wavelet("db4").split(x)
    torch.testing.assert_close(coarse[..., 4:-4], other[..., 4:-4], rtol=0, atol=1e-12)
    detail = detail.roll(Wavelet("db4").delay, -1)
    torch.testing.assert_close(detail[..., 6:-6], moved[..., 6:-6], rtol=0, atol=1e-12)


def apart(operator):
    """The distances, in sites, between coarse sites and detail of one number."""
    n = 64
    rows = operator.matrix(n).square()
    angle = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    place = torch.atan2(rows @ angle.sin(), rows @ angle.cos()) * n / (2 * torch.pi)
    return ((place[n // 2 :] - place[: n // 2] + n / 2).remainder(n) - n / 2).abs()


@pytest.mark.parametrize("operator", [*(Wavelet(name) for name in ORTHOGONAL), LearnedWavelet(4), LearnedWavelet(8)])
def test_a_coarse_site_of_a_torus_and_its_detail_are_of_the_same_place(operator):
    assert float(apart(operator).max()) <= 1  # half a coarse site


@pytest.mark.integration
def test_what_a_learned_wavelet_learns_stays_in_its_place():
    step, walks = LearnedWavelet(8), torch.randn(64, 1, 64, generator=torch.Generator().manual_seed(0)).cumsum(2)
    step.learn((walks - walks.flip(2)).float(), 2, steps=100)
    assert float(apart(step).max()) <= 1


def test_a_reflecting_wavelet_does_not_tie_the_two_edges():
    x = torch.zeros(1, 1, 32)
    x[..., 0] = 1
    coarse, detail = Wavelet("db4", "reflect").split(x)
    assert not coarse[..., 8:].any()
    assert not detail[..., 8:].any()


@pytest.mark.parametrize(
    ("operator", "reach"),
    [(BlockSpin(2), 0), (BlockSpin(4), 0), (Decimation(3), 0), (Wavelet("haar"), 0)]
    + [(Wavelet(name, e), 4) for name in ("db4", "sym5") for e in ("periodic", "reflect")],
    ids=str,
)
def test_a_site_changes_only_the_coefficients_near_it(operator, reach):
    n = 24 * operator.factor
    for site in range(n // 2, n // 2 + operator.factor):
        x = torch.zeros(1, 1, n, n)
        x[..., site, site] = 1
        for part in operator.split(x):
            touched = part.abs().amax((0, 1)).nonzero()
            if len(touched):
                assert int((touched - site // operator.factor).abs().max()) <= reach


@pytest.mark.parametrize("operator", [BlockSpin(2), Decimation(2), Wavelet("db4"), MomentumShell(2)], ids=str)
def test_no_matrix_of_the_lattice_is_built_on_the_fast_path(operator, monkeypatch):
    def refuse(self, n):
        raise AssertionError("the fast path multiplied by the dense matrix")

    monkeypatch.setattr(type(operator), "matrix", refuse)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(operator.merge(*operator.split(x)), x)


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_a_filter_of_2p_taps_factors_into_p_rotations(name):
    taps = pywt.Wavelet(name).rec_lo
    layers = rotation_lattice(taps)
    assert len(layers) == len(taps) // 2
    for layer in torch.tensor(layers):
        torch.testing.assert_close(layer @ layer.T, torch.eye(2), rtol=0, atol=1e-12)


def test_a_filter_that_is_not_orthonormal_has_no_rotations():
    with pytest.raises(ValueError, match="not orthonormal"):
        rotation_lattice([0.5, 0.9, 0.3, -0.2])


@pytest.mark.parametrize("operator", [BlockSpin(4), MomentumShell(4), Decimation(4)], ids=str)
def test_a_lattice_that_does_not_divide_is_refused_with_one_that_does(operator):
    with pytest.raises(ValueError, match=r"\(8, 10\) is not divisible by the factor 4; \(8, 8\) would be"):
        operator.split(torch.zeros(1, 1, 8, 10))


def test_four_axes_are_refused():
    with pytest.raises(ValueError, match="4 axes; 1, 2 or 3"):
        BlockSpin(2).split(torch.zeros(1, 1, 2, 2, 2, 2))


def test_a_detail_with_the_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="expected 6 channels"):
        BlockSpin(2).merge(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("kind", [BlockSpin, Decimation, MomentumShell])
@pytest.mark.parametrize("factor", [1, 0, -2])
def test_a_factor_below_two_is_refused(kind, factor):
    with pytest.raises(ValueError, match=f"the factor is {factor}; it must be at least 2"):
        kind(factor)


@pytest.mark.parametrize("name", ["no such", "gaus1", ""])
def test_an_unknown_wavelet_is_refused(name):
    with pytest.raises(ValueError, match="unknown wavelet"):
        Wavelet(name)


@pytest.mark.parametrize("name", ["bior2.2", "rbio3.1"])
def test_a_biorthogonal_wavelet_is_refused(name):
    with pytest.raises(ValueError, match="is not orthogonal; haar, db"):
        Wavelet(name)


def test_a_wavelet_that_is_orthogonal_only_in_name_is_refused():
    with pytest.raises(ValueError, match="cannot be factored into rotations"):
        Wavelet("dmey")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "kind", [lambda e: MomentumShell(2, e), lambda e: Wavelet("haar", e)], ids=["shell", "wavelet"]
)
def test_an_unknown_boundary_is_refused(kind):
    with pytest.raises(ValueError, match="'periodic' or 'reflect'"):
        kind("open")


def test_the_depth_of_a_lattice_is_checked_with_the_largest_that_fits():
    BlockSpin(2).check_depth((24, 16), 3)
    with pytest.raises(
        ValueError, match=r"fits 2 levels of factor 2, not 3; use 2 levels, or a lattice such as \(8, 16\)"
    ):
        BlockSpin(2).check_depth((12, 16), 3)


def test_a_subclass_needs_only_its_matrix():
    class Hadamard(Orthonormal):
        def matrix(self, n):
            pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
            return torch.kron(pair, torch.eye(n // 2, dtype=torch.float64))

    x = torch.randn(1, 1, 4, 6)
    torch.testing.assert_close(Hadamard().merge(*Hadamard().split(x)), x)


@pytest.mark.parametrize(
    ("operator", "boundary"),
    [
        (Wavelet("haar"), "periodic"),
        (Wavelet("db2"), "periodic"),
        (Wavelet("db4"), "periodic"),
        (Wavelet("sym4"), "periodic"),
        (BlockSpin(2), "reflect"),
        (BlockSpin(3), "reflect"),
        (Decimation(2), "periodic"),
        (MomentumShell(2), "periodic"),
        (MomentumShell(2, "reflect"), "reflect"),
    ],
)
def test_a_coarse_site_lies_where_the_operator_says(operator, boundary):
    """A wave sampled at the places of the fine sites becomes the same wave at those of the coarse ones."""
    b, n = operator.factor, 48 * operator.factor
    place = torch.arange(n, dtype=torch.float64) + (0.5 if boundary == "reflect" else 0.0)
    coarse = operator.coarsen(torch.cos(torch.pi * 4 * place / n)[None, None])[0, 0] / operator.gain(1)
    wave = torch.cos(torch.pi * 4 * (place[::b] + operator.place) / n)
    error = coarse / coarse.norm() - wave / wave.norm()  # a mean lowers its height alone
    assert float(error.norm()) < (2e-3 if isinstance(operator, Wavelet) else 1e-9)
