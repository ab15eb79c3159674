"""A network of its own kind and width at each level: built, trained, saved, loaded; and what is refused."""

import pytest
import torch

from rgdm.model.cascade.cascade import Cascade
from rgdm.train.batches import HALO, PATCH, Batches
from small import cascade


def mixed(**settings):
    torch.manual_seed(0)
    made = {"levels": 3, "boundary": "periodic", "shared": False, "encoder_blocks": 2, "decoder_blocks": 1}
    return cascade(backbone=["conv", "unet", "fno"], width=[4, 8, 6], **{**made, **settings})


@pytest.mark.integration
def test_each_level_has_its_own_and_a_step_reaches_it():
    pytest.importorskip("diffusers")
    pytest.importorskip("neuralop")
    model = mixed()
    kinds = [type(model.own_lift(level).law.denoiser.backbone).__name__ for level in range(3)]
    assert kinds == ["LocalConvNet", "UNet", "FourierOperator"]
    assert model.own_lift(0).law.denoiser.backbone.width == 4 and [model.own_lift(i).law.halo for i in range(3)] == [
        5,
        None,
        None,
    ]
    fields = torch.randn(6, 1, 16, 16).cumsum(3)
    model.fit(fields)
    for level in range(3):
        fine = model.normalise(fields)
        for _ in range(level):
            fine = model.operator.coarsen(fine)
        noise = torch.randn(6, 3, *(n // 2 for n in fine.shape[2:]))
        model.zero_grad()
        model(fine, level, torch.rand(6), noise).mean().backward()
        moved = [any(p.grad is not None for p in model.own_lift(i).parameters()) for i in range(3)]
        assert moved == [i == level for i in range(3)]


@pytest.mark.integration
def test_it_is_saved_and_loaded_as_it_was(tmp_path):
    pytest.importorskip("diffusers")
    pytest.importorskip("neuralop")
    model = mixed()
    model.fit(torch.randn(6, 1, 16, 16).cumsum(3))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    model.eval().save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    assert again.configuration == model.configuration
    assert torch.equal(again.sample((16, 16), 2, seed=1), model.sample((16, 16), 2, seed=1))
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"unet"', '"resnet"'))
    with pytest.raises(ValueError, match="resnet"):
        Cascade.from_pretrained(tmp_path / "model")


@pytest.mark.integration
def test_networks_that_look_everywhere_train_on_whole_fields():
    pytest.importorskip("neuralop")
    side = 4 * (PATCH[2] + 2 * HALO + 8)
    fields = torch.randn(2, 1, side, side)
    for backbone, whole in (("conv", False), ("fno", True)):
        model = cascade(levels=1, boundary="periodic", backbone=backbone, width=4)
        _, fine, _, noise, halo, *_ = Batches(model, fields, 0)(0)
        assert (fine.shape[2:] == fields.shape[2:]) == whole and any(halo) != whole
        assert whole == (noise.shape[-1] == side // 2)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 values of width for 3 levels"):
        cascade(levels=3, width=[8, 16], shared=False)
    with pytest.raises(ValueError, match="widths 8, 16, 32; a shared network has one"):
        cascade(levels=3, width=[8, 16, 32])
    with pytest.raises(ValueError, match="width = 0"):
        cascade(width=0)
    with pytest.raises(ValueError, match="in a flow"):
        cascade(lift="flow", backbone="fno")
    with pytest.raises(ValueError, match="'mlp'"):
        cascade(backbone="mlp")
    with pytest.raises(ValueError, match="dimensions, not 3"):
        cascade(backbone="unet", dimension=3)
