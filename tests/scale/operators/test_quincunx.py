"""Decimation by checkerboards: an exact permutation in two stages, made for nearest-neighbour actions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.basis import Pyramid
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import Decimation
from rgdm.scale.operators.quincunx import Quincunx
from rgdm.scale.operators.registry import make_operator
from small import cascade

pytestmark = pytest.mark.usefixtures("float64")

Q = Quincunx()
COSETS = {"coarse": (0, 0), "centres": (1, 1), "even_odd": (0, 1), "odd_even": (1, 0)}


@st.composite
def fields(draw):
    """Batch, channels, and two axes of one to five blocks each."""
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 3)), 2 * draw(st.integers(1, 5)), 2 * draw(st.integers(1, 5))
    return torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))


def sites(x: torch.Tensor, coset: str) -> torch.Tensor:
    """The oracle: the sites of one coset of the lattice of even coordinates, picked one by one."""
    dx, dy = COSETS[coset]
    rows = [[x[:, :, 2 * i + dx, 2 * j + dy] for j in range(x.shape[3] // 2)] for i in range(x.shape[2] // 2)]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@given(fields())
def test_merge_undoes_split_to_the_bit(x):
    assert torch.equal(Q.merge(*Q.split(x)), x)


@given(fields())
def test_split_undoes_merge_to_the_bit(x):
    coarse, detail = (torch.randn_like(part) for part in Q.split(x))
    again = Q.split(Q.merge(coarse, detail))
    assert torch.equal(again[0], coarse)
    assert torch.equal(again[1], detail)


@given(fields())
def test_the_values_of_the_field_are_those_of_coarse_and_detail(x):
    coarse, detail = Q.split(x)
    assert torch.equal(torch.cat([coarse.flatten(), detail.flatten()]).sort()[0], x.flatten().sort()[0])


@given(fields())
def test_refine_is_the_adjoint_and_the_right_inverse_of_coarsen(x):
    y = torch.randn_like(Q.coarsen(x))
    torch.testing.assert_close((Q.coarsen(x) * y).sum(), (x * Q.prolong(y)).sum(), rtol=0, atol=1e-12)
    assert torch.equal(Q.coarsen(Q.prolong(y)), y)


@pytest.mark.parametrize("lattice", [(2, 2), (4, 6), (6, 4)])
def test_the_dense_matrix_is_a_permutation_and_acts_as_split_does(lattice):
    dense = Q.dense(lattice)
    assert set(dense.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(dense @ dense.T, torch.eye(math.prod(lattice)))
    x = torch.randn(1, 1, *lattice)
    coarse, detail = Q.split(x)
    assert torch.equal(dense @ x.flatten(), torch.cat([coarse.flatten(), detail.flatten()]))


def test_channels_do_not_mix_and_detail_is_channel_major():
    x = torch.randn(2, 3, 4, 6)
    coarse, detail = Q.split(x)
    for channel in range(3):
        alone = Q.split(x[:, channel : channel + 1])
        assert torch.equal(coarse[:, channel : channel + 1], alone[0])
        assert torch.equal(detail[:, 3 * channel : 3 * channel + 3], alone[1])


@given(fields(), st.integers(-3, 3), st.integers(-3, 3))
def test_a_translation_by_2_translates_coarse_and_detail_by_one(x, i, j):
    moved = Q.split(x.roll((2 * i, 2 * j), (2, 3)))
    for part, expected in zip(moved, Q.split(x), strict=True):
        assert torch.equal(part, expected.roll((i, j), (2, 3)))


def test_float32_goes_in_and_comes_out():
    x = torch.randn(1, 2, 4, 4, dtype=torch.float32)
    again = Q.merge(*Q.split(x))
    assert again.dtype == torch.float32
    assert torch.equal(again, x)


def test_the_constant_field_has_the_gain_as_coarse_field_and_as_detail():
    for part in Q.split(torch.ones(1, 1, 4, 6)):
        assert torch.equal(part, torch.full_like(part, Q.gain(2)))
    assert Q.gain(2) == 1


def test_a_coarse_site_lies_on_the_first_site_of_its_block():
    ramp = torch.arange(8.0)[:, None] + torch.zeros(6)
    assert torch.equal(Q.coarsen(ramp[None, None])[0, 0], ramp[::2, ::2] + Q.place)


def test_a_pyramid_of_quincunx_is_that_of_decimation_with_its_bands_in_another_order():
    x = torch.randn(2, 2, 8, 12)
    ours, theirs = Pyramid(Q, 2), Pyramid(Decimation(2), 2)
    assert torch.equal(ours.synthesize(ours.analyze(x)), x)
    a, b = ours.analyze(x), theirs.analyze(x)
    assert torch.equal(a[..., :2, :3], b[..., :2, :3])
    assert torch.equal(a[..., :4, 6:], b[..., 4:, 6:])
    assert torch.equal(a[..., 4:, :6], b[..., :4, 6:])
    assert torch.equal(a[..., 4:, 6:], b[..., 4:, :6])


# --- in the registry and in a cascade ----------------------------------------------------------


def test_the_registry_makes_it_with_factor_2_alone():
    assert isinstance(make_operator("quincunx", Grid.uniform(2, "periodic", 2)), Quincunx)
    with pytest.raises(ValueError, match="the factor is 3; quincunx has 2"):
        make_operator("quincunx", Grid.uniform(2, "periodic", 3))


@pytest.mark.integration
def test_a_cascade_keeps_the_coarse_sites_to_the_bit_and_can_be_saved(tmp_path):
    model = cascade(1, 2, 2, "periodic", "quincunx", width=4, encoder_blocks=1, decoder_blocks=1)
    x = torch.randn(8, 1, 16, 16)
    model.fit(300 + x)
    coarse = model.trajectory(300 + x[:2])[-1]
    assert torch.equal(coarse, 300 + x[:2, :, ::4, ::4])
    fine = model.refine(coarse, members=2, seed=1)
    assert torch.equal(fine[..., ::4, ::4], coarse.expand(2, -1, -1, -1, -1))
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    assert isinstance(again.operator, Quincunx)
    assert torch.equal(again.refine(coarse, members=2, seed=1), fine)


@pytest.mark.parametrize("dimension", [1, 3])
def test_a_cascade_of_another_dimension_is_refused_when_it_is_made(dimension):
    with pytest.raises(ValueError, match=rf"the dimension is {dimension}; a quincunx has 2 \(decimation takes"):
        cascade(1, dimension, operator="quincunx")


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lattice", [(4,), (4, 4, 4)])
def test_a_lattice_that_is_not_two_dimensional_is_refused(lattice):
    x = torch.zeros(1, 1, *lattice)
    for take in (Q.split, Q.coarsen, Q.split_checkerboard, lambda x: Q.dense(tuple(x.shape[2:]))):
        with pytest.raises(ValueError, match=rf"has {len(lattice)} axes; a quincunx has 2 \(Decimation takes"):
            take(x)
    with pytest.raises(ValueError, match=f"the dimension is {len(lattice)}; a quincunx has 2"):
        Q.prolong(x)


@pytest.mark.parametrize("take", [Q.split, Q.split_checkerboard])
def test_a_lattice_of_odd_length_is_refused_with_one_that_fits(take):
    with pytest.raises(ValueError, match=r"\(4, 7\) is not divisible by the factor 2; \(4, 6\) would be"):
        take(torch.zeros(1, 1, 4, 7))
    with pytest.raises(ValueError, match=r"fits 1 level of factor 2, not 2"):
        Q.check_depth((4, 6), 2)


@pytest.mark.parametrize("channels", [3, 4, 9])
def test_a_detail_with_the_wrong_number_of_channels_is_refused(channels):
    with pytest.raises(ValueError, match="expected 6 channels"):
        Q.merge(torch.zeros(1, 2, 4, 4), torch.zeros(1, channels, 4, 4))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("take", [Q.merge_checkerboard, Q.merge_even])
def test_halves_of_different_shapes_are_refused(take):
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\) and \(1, 4, 4, 4\) differ"):
        take(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, 4))


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 2, 4), (1, 2, 4, 4, 4)])
def test_what_is_no_sublattice_is_refused(shape):
    for take in (Q.split_even, Q.surroundings):
        with pytest.raises(ValueError, match="is needed"):
            take(torch.zeros(shape))


def test_a_coarse_field_of_another_dimension_has_no_diagonal_surroundings():
    with pytest.raises(ValueError, match=r"shape \(1, 2, 4\); \(batch, channels"):
        Q.diagonal_surroundings(torch.zeros(1, 2, 4))
