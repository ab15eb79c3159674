"""Fields are differentiable functions of their noise; the public edge builds no graph; each purpose has its noise."""

import pytest
import torch

from lift_examples import randomise, red
from rgdm.model.cascade import generation
from rgdm.process.noise import GivenNoise, NoiseField
from small import cascade

pytestmark = pytest.mark.usefixtures("float64")


def measured(lift="diffusion", levels=1, **options):
    """A tiny cascade of a chain of sites, with weights as after some training."""
    model = cascade(1, 1, levels, "periodic", width=2, evaluations=2, lift=lift, **options)
    model.fit(red(32, (16,)))
    randomise(model.lifts, 0.2)
    return model.eval()


@pytest.mark.integration
@pytest.mark.parametrize("lift", ["diffusion", "flow"])
def test_a_field_is_a_differentiable_function_of_its_noise(lift):
    model = measured(lift, levels=2)
    noise = [torch.randn(1, 1, n, requires_grad=True) for n in (2, 2, 4)]

    def field(base, coarse, fine):
        return model.generate((8,), GivenNoise({(2, 0): base, (1, 0): coarse, (0, 0): fine}))

    assert field(*noise).requires_grad
    assert torch.autograd.gradcheck(field, noise)


@pytest.mark.integration
def test_a_field_is_a_differentiable_function_of_its_coarse_field():
    model, noise = measured(), GivenNoise({(0, 0): torch.randn(1, 1, 8)})
    coarse = torch.randn(1, 1, 8, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: model.descend(x, 1, noise), coarse)


def test_what_the_public_gets_carries_no_graph():
    model = measured()
    assert any(weight.requires_grad for weight in model.parameters())
    coarse = torch.randn(1, 1, 8, requires_grad=True)
    for field in (model.sample((16,)), model.refine(coarse), model.trajectory(model.sample((16,)))[-1]):
        assert not field.requires_grad and field.grad_fn is None


def test_given_noise_says_what_is_missing():
    model = measured()
    with pytest.raises(ValueError, match=r"no noise is given for level 0, draw 0; given are \[\(1, 0\)\]"):
        model.generate((8,), GivenNoise({(1, 0): torch.randn(1, 1, 4)}))


@pytest.mark.integration
def test_one_seed_has_other_noise_to_sample_and_to_refine(monkeypatch):
    """Refining the coarse field of a sample with its own seed must not give that sample back."""
    model = measured(levels=2)
    sample = model.sample((512,), seed=5)
    coarse = model.trajectory(sample)[-1]
    mean = model.refine(coarse, members=16, seed=7).mean(0)
    again = model.refine(coarse, seed=5)[0]
    correlation = torch.corrcoef(torch.stack([(sample - mean).flatten(), (again - mean).flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.25
    monkeypatch.setattr(generation, "NoiseField", lambda seed, purpose: NoiseField(seed, "sample"))
    torch.testing.assert_close(model.refine(coarse, seed=5)[0], sample, rtol=0, atol=1e-6)
