"""The two stages of the quincunx: the checkerboards, and what nearest-neighbour actions are on them."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.physics.actions import Phi4
from rgdm.scale.operators.block import Decimation
from rgdm.scale.operators.quincunx import Quincunx

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
def test_the_coarse_field_is_that_of_decimation_by_2(x):
    assert torch.equal(Q.coarsen(x), Decimation(2).coarsen(x))
    assert torch.equal(Q.coarsen(x), sites(x, "coarse"))


@given(fields())
def test_the_detail_bands_come_in_the_order_of_a_lift_coarse_to_fine(x):
    bands = Q.split(x)[1].unflatten(1, (x.shape[1], 3)).unbind(2)
    for band, coset in zip(bands, ("centres", "even_odd", "odd_even"), strict=True):
        assert torch.equal(band, sites(x, coset))


@given(fields())
def test_the_stages_one_after_the_other_are_the_split(x):
    even, odd = Q.split_checkerboard(x)
    coarse, centres = Q.split_even(even)
    parts = [centres.unsqueeze(2), odd.unflatten(1, (-1, 2))]
    assert torch.equal(coarse, Q.split(x)[0])
    assert torch.equal(torch.cat(parts, 2).flatten(1, 2), Q.split(x)[1])


@given(fields())
def test_each_stage_is_undone_to_the_bit(x):
    even, odd = Q.split_checkerboard(x)
    assert torch.equal(Q.merge_checkerboard(even, odd), x)
    assert torch.equal(Q.merge_even(*Q.split_even(even)), even)
    one, two = torch.randn_like(even), torch.randn_like(odd)
    for part, given_ in zip(Q.split_checkerboard(Q.merge_checkerboard(one, two)), (one, two), strict=True):
        assert torch.equal(part, given_)


def test_the_even_sublattice_holds_the_sites_whose_coordinates_have_an_even_sum():
    lattice = (6, 4)
    x, y = torch.meshgrid(*(torch.arange(float(n)) for n in lattice), indexing="ij")
    even, odd = Q.split_checkerboard(torch.stack([x + y, 10 * x + y])[None])
    assert not (even[:, :2] % 2).any()
    assert (odd[:, :2] % 2 == 1).all()
    assert [int(v) for v in even[0, 2:, 1, 0]] == [20, 31]  # channel-major: the second channel's two cosets
    assert [int(v) for v in odd[0, 2:, 1, 0]] == [21, 30]


@given(fields())
def test_a_translation_along_the_diagonal_maps_each_sublattice_to_itself(x):
    for kept, moved in zip(Q.split_checkerboard(x), Q.split_checkerboard(x.roll((1, 1), (2, 3))), strict=True):
        assert torch.equal(kept.flatten(1).sort()[0], moved.flatten(1).sort()[0])
    coarse, centres = Q.split_even(Q.split_checkerboard(x)[0])
    moved = Q.split_checkerboard(x.roll((1, 1), (2, 3)))[0]
    assert torch.equal(moved, Q.merge_even(centres.roll((1, 1), (2, 3)), coarse))


@pytest.mark.parametrize("shift", [(1, 0), (0, 1)])
def test_a_translation_along_an_axis_exchanges_the_sublattices(shift):
    x = torch.randn(2, 2, 6, 8)
    even, odd = Q.split_checkerboard(x)
    moved = Q.split_checkerboard(x.roll(shift, (2, 3)))
    for part, expected in zip(moved, (odd, even), strict=True):
        assert torch.equal(part.flatten(1).sort()[0], expected.flatten(1).sort()[0])
    assert not torch.equal(moved[0].flatten(1).sort()[0], even.flatten(1).sort()[0])


# --- the surroundings --------------------------------------------------------------------------


@given(fields())
def test_the_surroundings_are_the_sums_of_the_four_nearest_neighbours(x):
    total = torch.zeros_like(x)
    for i, j in itertools.product(range(x.shape[2]), range(x.shape[3])):
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            total[:, :, i, j] += x[:, :, (i + di) % x.shape[2], (j + dj) % x.shape[3]]
    even, _ = Q.split_checkerboard(x)
    torch.testing.assert_close(Q.surroundings(even), Q.split_checkerboard(total)[1], rtol=0, atol=1e-12)


@given(fields())
def test_the_diagonal_surroundings_are_the_sums_of_the_four_diagonal_neighbours(x):
    total = torch.zeros_like(x)
    for i, j in itertools.product(range(x.shape[2]), range(x.shape[3])):
        for di, dj in itertools.product((1, -1), repeat=2):
            total[:, :, i, j] += x[:, :, (i + di) % x.shape[2], (j + dj) % x.shape[3]]
    torch.testing.assert_close(Q.diagonal_surroundings(Q.coarsen(x)), sites(total, "centres"), rtol=0, atol=1e-12)


@given(fields())
def test_phi4_given_the_even_sites_is_a_sum_over_single_odd_sites(x):
    x, action = x[:, :1], Phi4(0.68, -1.0, 1.0)
    even, odd = Q.split_checkerboard(x)
    other = torch.randn_like(odd)

    def single(phi: torch.Tensor) -> torch.Tensor:
        s = Q.surroundings(even)
        return (-action.a * phi * s + action.b * phi**2 + action.c * phi**4).flatten(1).sum(1)

    change = action.energy(Q.merge_checkerboard(even, other)) - action.energy(x)
    torch.testing.assert_close(change, single(other) - single(odd), rtol=1e-12, atol=1e-12)


def couplings(x: torch.Tensor, action: Phi4) -> tuple[torch.Tensor, torch.Tensor]:
    """The second derivatives of the action at x, one channel, and which sites of the flat field are odd."""
    force = torch.func.grad(lambda field: action.energy(field).sum())
    even, _ = Q.split_checkerboard(x)
    odd = Q.merge_checkerboard(torch.zeros_like(even), torch.ones_like(even)).flatten().bool()
    return torch.func.jacrev(force)(x).reshape(x.numel(), x.numel()), odd


def test_the_force_of_phi4_on_an_odd_site_depends_on_four_even_sites_and_no_other_odd_one():
    hessian, odd = couplings(torch.randn(1, 1, 6, 6), Phi4.critical())
    assert torch.equal(hessian[odd][:, odd], torch.diag(hessian.diagonal()[odd]))
    assert ((hessian[odd][:, ~odd] != 0).sum(1) == 4).all()


def test_without_the_odd_sites_the_centres_are_coupled_to_each_other():
    """Integrated out of a Gaussian action, exactly: stage two has no law of single sites."""
    hessian, odd = couplings(torch.zeros(1, 1, 8, 8), Phi4(0.5, 1.5, 0.0))
    even_odd = hessian[~odd][:, odd]
    left = hessian[~odd][:, ~odd] - even_odd @ torch.linalg.inv(hessian[odd][:, odd]) @ even_odd.T
    centre = Q.merge_even(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    centre = Q.merge_checkerboard(centre, torch.zeros_like(centre)).flatten().bool()[~odd]
    among = left[centre][:, centre]
    assert ((among - torch.diag(among.diagonal())).abs().sum(1) > 0.1).all()


def test_the_even_spins_of_an_ising_model_have_the_weight_of_their_surroundings():
    """Summing over the odd spins leaves ``prod 2 cosh(K s)`` (Wilson 1975), here by the sum itself."""
    coupling, lattice = 0.4, (4, 4)
    even = torch.randint(0, 2, (1, 2, 2, 2)).double() * 2 - 1
    odds = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=8))).reshape(-1, 2, 2, 2)
    spins = Q.merge_checkerboard(even.expand_as(odds), odds)
    assert spins.shape[2:] == lattice
    bonds = spins * (spins.roll(-1, 2) + spins.roll(-1, 3))
    weight = torch.exp(coupling * bonds.flatten(1).sum(1)).sum()
    expected = (2 * torch.cosh(coupling * Q.surroundings(even))).prod()
    torch.testing.assert_close(weight, expected, rtol=1e-12, atol=0)
