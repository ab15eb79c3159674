"""What a step of the training sees: a function of seed, step and process, cut out of the fields."""

import math

import pytest
import torch
from training_runs import fields, tiny

from rgdm.model.lifts.context import Context
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import COLOUR_RADIUS
from rgdm.train import STILL, Batches, Turns
from rgdm.train.batches import HALO, MARGIN
from small import cascade


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_batch_is_a_function_of_seed_step_and_process(boundary):
    model = tiny(boundary=boundary)
    batches = Batches(model, fields(), seed=3)
    batches(0)
    for step, rank in [(0, 0), (7, 0), (7, 1)]:
        again = Batches(model, fields(), seed=3)(step, rank)
        pairs = zip(batches(step, rank)[:-1], again[:-1], strict=True)  # without weights, of fields without gaps
        assert again.setting.weights is None
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)
    noises = [batches(0)[3], batches(1)[3], batches(0, rank=1)[3], Batches(model, fields(), seed=4)(0)[3]]
    assert len({float(noise.flatten()[0]) for noise in noises}) == 4


@pytest.mark.integration
def test_batches_come_from_every_level_a_shared_network_sees_the_finest_most_often():
    shares = {}
    for shared in (True, False):
        batches = Batches(tiny(shared=shared), fields(), seed=0, sites=1)
        levels = [batches(step)[0] for step in range(400)]
        shares[shared] = levels.count(0) / len(levels)
    assert shares[True] == pytest.approx(1 / 1.5, abs=0.075) and shares[False] == pytest.approx(1 / 1.6, abs=0.075)


@pytest.mark.integration
def test_patches_are_parts_of_the_fields_in_their_orientation_unless_they_may_be_mirrored():
    ramp = torch.arange(64.0).repeat(64, 1)[None, None] + 100 * torch.arange(64.0)[:, None]
    for mirror in (False, True):
        batches = Batches(tiny(), ramp, seed=0, turns=Turns(mirror, mirror))
        fine = torch.cat([x for level, x, *_ in map(batches, range(6)) if level == 0])
        along = fine.diff(dim=3)[:, 0, 72, 72]
        assert set(along.tolist()) == ({1.0, -1.0, 100.0, -100.0} if mirror else {1.0})


@pytest.mark.integration
def test_a_patch_cut_out_of_a_periodic_field_teaches_what_the_whole_field_would():
    x = torch.randn(2, 1, 160, 160, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)
    model = cascade(levels=1, boundary="periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(x)
    fields = model.normalise(x)
    level, wide, _, _, halo, *_ = Batches(model, fields, seed=0, turns=STILL)(0)
    assert halo == (HALO, HALO) and wide.shape[2:] == (144, 144)
    lift = model.own_lift(level)
    inside = (..., slice(HALO, -HALO), slice(HALO, -HALO))
    for patch, values in zip(wide[:2], learned(lift, wide)[inside][:2], strict=True):
        b, y, z = place(patch, fields)
        whole = fields[b : b + 1].roll((-y, -z), (2, 3))
        expected = learned(lift, whole)[0][:, HALO:51, HALO:51]
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-3)


def test_a_patch_between_edges_teaches_what_the_whole_field_would_and_counts_up_to_a_real_edge_only():
    x = torch.randn(2, 1, 160, 160, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)
    model = cascade(levels=1, boundary="reflect", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(x)
    fields, sides, compared = model.normalise(x), set(), 0
    batches = Batches(model, fields, seed=0, turns=STILL)
    lift, inside, fine = model.own_lift(0), (..., *[slice(HALO, -HALO)] * 2), (..., *[slice(2 * HALO, -2 * HALO)] * 2)
    whole = learned(lift, fields)
    for step in range(6):
        batch = batches(step)
        assert batch.halo == (HALO, HALO)
        for wide, weights in zip(batch.fine, batch.importance[:, 0], strict=True):
            b, y, z = place(wide[fine], fields)
            edges = [y == 0, y == 100, z == 0, z == 100]
            middle = weights.shape[-1] // 2
            counts = [weights[0, middle], weights[-1, middle], weights[middle, 0], weights[middle, -1]]
            assert [bool(w > 0) for w in counts] == edges and bool(weights[middle, MARGIN] > 0)
            sides |= {i for i, edge in enumerate(edges) if edge}
            if y % 2 == z % 2 == 0 and compared < 12:  # its blocks are those of the field
                expected = whole[b, :, y // 2 : y // 2 + 30, z // 2 : z // 2 + 30]
                made = learned(lift, wide[None])[0][inside]
                torch.testing.assert_close(made[3:], expected[3:], rtol=0, atol=1e-3)
                far = (..., *[slice(COLOUR_RADIUS, -COLOUR_RADIUS)] * 2)  # near an edge the whitening differs a little
                torch.testing.assert_close(made[:3][far], expected[:3][far], rtol=0, atol=1e-3)
                compared += 1
    assert sides == {0, 1, 2, 3} and compared == 12


def inner(site: torch.Tensor, halo: tuple[int, ...]) -> torch.Tensor:
    """A patch ``(A, *K)`` of full resolution, factor 2, without its halo."""
    return site[(..., *(slice(2 * h, n - 2 * h) for h, n in zip(halo, site.shape[1:], strict=True)))]


def learned(lift: StandardizedLift, fine: torch.Tensor) -> torch.Tensor:
    """What a network learns from, and what it is told."""
    context, detail = Context.of(fine, lift.operator)
    features = lift.features(context)
    assert features is not None
    return torch.cat([lift.standardizer.standardize(context, detail), features], 1)


def place(patch: torch.Tensor, fields: torch.Tensor) -> tuple[int, int, int]:
    """Which field a patch was cut from, and where it begins."""
    corner = patch[0, 0, 0]
    for b, y, z in (fields[:, 0] == corner).nonzero().tolist():
        if torch.equal(fields[b].roll((-y, -z), (1, 2))[:, : patch.shape[1], : patch.shape[2]], patch):
            return b, y, z
    raise AssertionError("the patch is no part of the fields")


LATTICES = [(640,), (4, 512), (160, 160), (80, 256), (8, 8, 128), (64, 64, 64)]
MIXED = [("reflect", "periodic"), ("periodic", "reflect"), ("reflect", "periodic", "reflect")]


@pytest.mark.integration
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(
    ("lattice", "boundary"),
    [(lattice, (side,) * len(lattice)) for lattice in LATTICES for side in ("periodic", "reflect")]
    + [(lattice, sides) for lattice in LATTICES for sides in MIXED if len(sides) == len(lattice)],
)
def test_every_patch_is_a_window_of_one_field_with_its_axes_turned_or_exchanged(boundary, mirror, lattice):
    """Each site of the fields holds its own number, so that where a patch comes from can be read off it.

    A periodic axis is cut across its seam and a reflecting one is not; axes of other boundaries are not exchanged.
    """
    two, size = 2, math.prod(lattice)
    model = cascade(channels=2, dimension=len(lattice), levels=1, boundary=boundary, width=4)
    numbered = torch.arange(two * 2 * size, dtype=torch.float64).reshape(two, 2, *lattice)
    batches = Batches(model, numbered, seed=0, turns=Turns(mirror, mirror), sites=2_000)
    wrapped, orders = set(), set()
    for step in range(12):
        _, fine, _, _, halo, *_ = batches(step)
        alike = len(set(zip(fine.shape[2:], halo, strict=True))) == 1
        assert torch.equal(fine[:, 1] - fine[:, 0], torch.full_like(fine[:, 0], size))
        for patch in fine[:6, 0].long():
            assert len((patch // (2 * size)).unique()) == 1  # one field
            site = torch.stack(torch.unravel_index(patch % size, lattice))  # (axis of the field, *patch)
            order = []
            for axis in range(len(lattice)):
                moved = inner(site, halo).diff(dim=axis + 1)
                (own,) = (i for i in range(len(lattice)) if bool((moved[i] != 0).any()))
                others = [i for i in range(len(lattice)) if i != own]
                assert not bool(moved[others].any())
                n = lattice[own]
                turned = (moved[own] + 1) % n - 1 if bool(((moved[own] - 1) % n == 0).all()) else moved[own] % n - n
                assert set(turned.unique().tolist()) <= ({1, -1} if mirror else {1})
                assert len(turned.unique()) == 1
                wrapped |= {own} if bool((moved[own].abs() > 1).any()) else set()
                order.append(own)
            orders.add(tuple(order))
    assert wrapped == {axis for axis, side in enumerate(boundary) if side == "periodic"}
    exchanged = mirror and alike and len(set(boundary)) == 1
    assert len(orders) == (math.factorial(len(lattice)) if exchanged else 1)


def test_axes_are_not_exchanged_if_one_is_cut_and_one_is_whole_though_their_patches_are_as_long():
    model = cascade(levels=1, boundary="periodic", width=4)
    ramp = torch.sin(torch.arange(288.0) * 2 * torch.pi / 288).expand(1, 1, 144, 288)
    for step in range(8):
        _, fine, _, _, halo, *_ = Batches(model, ramp.contiguous(), seed=0)(step)
        assert halo == (0, HALO) and fine.shape[2:] == (144, 144)
        assert not fine.diff(dim=2).any()
