"""Windows: a lift makes a piece of a field from that piece and its halo alone, and says honestly how wide that is."""

import pytest
import torch

from lift_examples import measured, red
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import Setting
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import UNBOUNDED, LocalStandardizer
from rgdm.model.lifts.texture import Texture
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.noise import GivenNoise, Window
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.wavelets import Wavelet
from simple_backbones import Zero
from small import diffusion_lift, lifted

pytestmark = pytest.mark.usefixtures("float64")

KINDS = ("conv", "flow", "gaussian")
MIXED = ("periodic", "reflect")
SAMPLER = AdamsBashforth(1)
CASES = [
    ("periodic", (72,), [((0,), (4,)), ((31,), (5,)), ((69,), (3,))]),
    ("periodic", (71,), [((0,), (4,)), ((33,), (4,)), ((68,), (3,))]),  # across the seam even sites become odd ones
    ("reflect", (71,), [((1,), (4,)), ((31,), (5,)), ((68,), (3,))]),
    (MIXED, (66, 5), [((3, 1), (2, 3)), ((63, 0), (3, 5))]),
    (MIXED, (4, 67), [((1, 0), (2, 3)), ((2, 33), (2, 2)), ((0, 65), (1, 2))]),
]


def example(kind, boundary, lattice):
    """A lift, a coarse field of this lattice, and the noise of its detail."""
    lift = measured(kind, boundary, red(16, {1: (64,), 2: (16, 16)}[len(lattice)]), size=0.2)
    lift.standardizer.amplitude.gamma.fill_(0.5)
    lift.standardizer.limit.fill_(torch.inf)
    lift.standardizer.largest.fill_(UNBOUNDED)
    coarse = 2 * red(1, lattice)
    return lift, coarse, torch.randn(1, lift.operator.bands(len(lattice)), *lattice)


def window_of(lift, coarse, noise, origin, lattice):
    """A window of coarse sites, made from its surroundings; on the coarse field of all sites, and all the noise."""
    source = GivenNoise({(0, 0): noise})
    return lift.sample_window(Context(coarse), source, Window(0, lattice, origin), SAMPLER)


def crop(fine, origin, lattice):
    return fine[(..., *(slice(2 * o, 2 * (o + n)) for o, n in zip(origin, lattice, strict=True)))]


@pytest.mark.integration
@pytest.mark.parametrize(("boundary", "lattice", "windows"), CASES)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_window_is_the_crop_of_the_whole_in_both_precisions(kind, boundary, lattice, windows):
    lift, coarse, noise = example(kind, boundary, lattice)
    for precision, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        lift, coarse, noise = lift.to(precision), coarse.to(precision), noise.to(precision)
        whole = lifted(lift, coarse, noise, SAMPLER)
        for origin, size in windows:
            piece = window_of(lift, coarse, noise, origin, size)
            assert piece.dtype == precision
            error = (piece - crop(whole, origin, size)).abs().max()
            assert error < bound * whole.std(), (origin, float(error))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_halo_that_is_too_small_shows(kind, monkeypatch):
    lift, coarse, noise = example(kind, "reflect", (71,))
    whole = crop(lifted(lift, coarse, noise, SAMPLER), (31,), (5,))
    monkeypatch.setattr(lift, "reach", lambda sampler: 2)
    assert (window_of(lift, coarse, noise, (31,), (5,)) - whole).abs().max() > 1e-6 * whole.std()


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_lies_outside_the_reach_changes_no_bit_and_what_lies_at_its_end_does(kind, boundary):
    lift, coarse, noise = example(kind, boundary, (73,))
    reach, site = lift.reach(SAMPLER), 36
    before = crop(lifted(lift, coarse, noise, SAMPLER), (site,), (1,))
    for away in (reach + 1, -reach - 1):
        far, far_noise = coarse.clone(), noise.clone()
        far[..., site + away] += 3
        far_noise[..., site + away] += 3
        assert torch.equal(crop(lifted(lift, far, far_noise, SAMPLER), (site,), (1,)), before)
    end = reach - (kind == "conv")  # features pass by the first convolution of the decoder: a site less
    for away in (end, -end):
        near = coarse.clone()
        near[..., site + away] += 3
        assert not torch.equal(crop(lifted(lift, near, noise, SAMPLER), (site,), (1,)), before)


@torch.no_grad()
def test_more_evaluations_reach_farther_into_the_noise_and_the_reach_says_so():
    lift, coarse, noise = example("conv", "reflect", (81,))
    lift.condition = None  # without features, which reach farther than the network
    assert [lift.reach(AdamsBashforth(count)) for count in (4, 8)] == [21, 37]
    for count in (1, 2):
        reach = lift.standardizer.spread + lift.law.reach(count)[0]
        fine = []
        for away in (None, reach, reach + 1):
            other = noise.clone()
            if away is not None:
                other[..., 40 + away] += 3
            fine.append(crop(lifted(lift, coarse, other, AdamsBashforth(count)), (40,), (1,)))
        assert not torch.equal(fine[1], fine[0]) and torch.equal(fine[2], fine[0])


@torch.no_grad()
def test_companions_are_cut_like_the_field():
    operator, fields = BlockSpin(2), red(16, (32,))
    condition = Condition(operator, 1, 1, companions=2)
    known = measured("conv", "periodic", fields).law.denoiser.backbone
    net = type(known)(1, condition.count, 1, "periodic", 6, 1, 1)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    lift = StandardizedLift(operator, LocalStandardizer(operator, 1, 1, "periodic"), Diffusion(net), condition)
    lift.fit(fields, Setting(companions=torch.randn(16, 2, 32)))
    context, noise = Context(2 * red(1, (80,)), Setting(companions=torch.randn(1, 2, 160))), torch.randn(1, 1, 80)
    source = GivenNoise({(0, 0): noise})
    whole = lift.sample(context, source, Window.whole(0, (80,)), SAMPLER)
    for origin in (0, 33, 76):
        piece = lift.sample_window(context, source, Window(0, (4,), (origin,)), SAMPLER)
        torch.testing.assert_close(piece, whole[..., 2 * origin : 2 * origin + 8], rtol=0, atol=1e-12)
    other = Context(context.coarse, context.setting.map(lambda part: part + torch.randn_like(part)))
    assert not torch.allclose(lift.sample(other, source, Window.whole(0, (80,)), SAMPLER), whole)


def nonlocal_lifts():
    """Lifts that look everywhere: by a network, by texture, by the coarse-graining."""
    operator, boundary = BlockSpin(2), "periodic"
    standardizer = LocalStandardizer(operator, 1, 2, boundary)
    textured = Condition(operator, 1, 2, texture=Texture(1, 2, boundary))
    return {
        "network": diffusion_lift(operator, 1, 2, boundary, Zero()),
        "texture": StandardizedLift(operator, standardizer, measured("conv", boundary, red(4, (16, 16))).law, textured),
        "wavelet": measured("gaussian", boundary, red(4, (16, 16)), Wavelet("db2")),
    }


@pytest.mark.parametrize("part", ["network", "texture", "wavelet"])
def test_a_lift_that_looks_everywhere_says_so_and_has_no_windows(part):
    lift = nonlocal_lifts()[part]
    assert lift.reach(SAMPLER) is None
    with pytest.raises(ValueError, match="looks everywhere, so it has no windows"):
        window_of(lift, torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8), (0, 0), (4, 4))


@pytest.mark.parametrize(("origin", "size"), [((-1,), (4,)), ((14,), (4,)), ((0,), (0,))])
def test_a_window_that_is_not_inside_the_lattice_is_refused(origin, size):
    lift = measured("gaussian", "periodic", red(4, (16,)))
    with pytest.raises(ValueError, match=r"is not inside the lattice \(16,\)"):
        window_of(lift, torch.zeros(1, 1, 16), torch.zeros(1, 1, 16), origin, size)
