"""What a network is shown of the texture of the coarse field: local scattering, by direction."""

import pytest
import torch

from rgdm.model.cascade.calibrate import calibrate
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.texture import Texture
from rgdm.train.batches import HALO, PATCH, Batches
from small import cascade


@pytest.fixture(scope="module")
def fields():
    torch.manual_seed(1)
    return torch.randn(6, 1, 64, 64).cumsum(2) + torch.randn(6, 1, 64, 64).cumsum(3)


def made(**settings):
    torch.manual_seed(0)
    return cascade(**{"levels": 2, "width": 8, "encoder_blocks": 1, "decoder_blocks": 1, "scattering": 2, **settings})


def test_it_says_in_which_direction_a_field_varies():
    texture = Texture(1, 2, "periodic")
    floor = torch.tensor([1e-3])
    stripes = (torch.arange(32) * (torch.pi * 3 / 4)).cos().expand(1, 1, 32, 32)
    across, along = texture(stripes, floor), texture(stripes.mT, floor)
    assert across.shape == (1, texture.count, 32, 32)
    assert torch.allclose(across[0, [0, 2]].mT, along[0, [2, 0]], atol=1e-4)  # wavelets of a quarter turn apart
    assert float((across[0, 2] - across[0, 0]).min()) > 3  # in e-folds


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize(("scales", "bound"), [(2, 1e-3), (3, 2e-2)])
def test_a_patch_shows_what_the_whole_field_does(boundary, scales, bound):
    model = made(boundary=boundary, scattering=scales, levels=1)
    x = torch.randn(2, 1, 192, 192).cumsum(2).cumsum(3)
    x = x - x.mean((2, 3), keepdim=True)
    model.fit(x)
    lift, size = model.own_lift(0), 2 * (PATCH[2] + 2 * HALO)
    whole = lift.features(Context(model.operator.coarsen(model.normalise(x))))
    patch = lift.example(model.normalise(x)[..., 16 : 16 + size, 16 : 16 + size], (HALO, HALO)).condition
    texture, inside = slice(-1 - lift.condition.texture.count, -1), slice(8 + HALO, 8 + HALO + PATCH[2])
    error = (patch - whole[..., inside, inside])[:, texture]
    assert error.square().mean().sqrt() < bound  # in units of its standard deviation
    cut = Batches(model, x, 0)(0)
    assert cut[4] == (HALO, HALO) and cut[3].shape[2:] == (PATCH[2], PATCH[2])


@pytest.mark.integration
def test_tiles_of_a_calibration_have_room_for_its_scales():
    model = made(levels=3, scattering=3, width=2)
    x = torch.randn(12, 1, 128, 128).cumsum(2)
    model.fit(x)
    calibrate(model.eval(), x, sites=20_000, rounds=1)


@pytest.mark.integration
def test_only_the_network_sees_it(fields):
    plain, shown = made(scattering=0), made()
    for model in (plain, shown):
        model.fit(fields)
    assert torch.equal(plain.sample((64, 64), 2, seed=3), shown.sample((64, 64), 2, seed=3))  # networks return 0 yet
    extra = shown.own_lift(0).condition.mean.numel() - plain.own_lift(0).condition.mean.numel()
    assert extra == 2 * 4 + 4 * 4
    condition = shown.own_lift(0).features(Context(shown.operator.coarsen(shown.normalise(fields))))
    assert torch.allclose(condition[:, :-1].mean((0, 2, 3)), torch.zeros(condition.shape[1] - 1), atol=1e-4)


@pytest.mark.integration
@pytest.mark.parametrize("lift", ["diffusion", "flow"])
def test_it_is_saved_and_loaded_as_it_was(tmp_path, fields, lift):
    model = made(lift=lift)
    model.fit(fields)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    model.eval().save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    assert torch.equal(again.sample((32, 32), 2, seed=1), model.sample((32, 32), 2, seed=1))
    assert not torch.equal(made(scattering=0, lift=lift).sample((32, 32), 2, seed=1), model.sample((32, 32), 2, seed=1))


@pytest.mark.integration
def test_scales_that_exceed_a_lattice_are_refused(fields):
    model = made(scattering=3)
    model.fit(fields)
    model.sample((32, 32))
    said = "3 scales need 8 sites along each axis; the lattice .* has room for 2"
    with pytest.raises(ValueError, match=said):
        model.sample((16, 32))
    with pytest.raises(ValueError, match=said):
        model.refine(fields[:1, :, :4, :8])
    with pytest.raises(ValueError, match=said):
        made(scattering=3).fit(fields[..., :16, :16])
    with pytest.raises(ValueError, match="dimension is 3"):
        made(dimension=3)
    with pytest.raises(ValueError, match="a whole number from 0 to 3"):
        made(scattering=4)
    with pytest.raises(ValueError, match="scattering = -1"):
        made(scattering=-1)
