"""The gradient of a batch is that of its parts, and no matter of how many threads compute it."""

from contextlib import nullcontext

import pytest
import torch

from rgdm.design import Design
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.grid import Grid
from rgdm.train.batches import Batches
from rgdm.train.gradient import loss_and_gradient

pytestmark = pytest.mark.usefixtures("float64")


def example(**settings):
    torch.manual_seed(0)
    fields = torch.randn(3, 1, 32, 32).cumsum(2)
    fields = (fields - fields.mean()) / fields.std()
    design = Design(levels=2, width=(4,), encoder_blocks=1, decoder_blocks=1, **settings)
    model = Cascade(design, Grid.uniform(2, "reflect"), 1)
    model.fit(fields)
    weights = list(model.parameters())
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.1 * torch.randn_like(weight))
    return model, weights, Batches(model, model.normalise(fields), 0)


@pytest.mark.parametrize("settings", [{}, {"objective": "energy", "evaluations": 1}, {"lift": "flow"}])
def test_parts_have_the_gradient_of_the_whole_batch(settings):
    model, weights, batches = example(**settings)
    batch = batches(0)
    level, fine, t, noise, halo, importance, _ = batch
    assert len(fine) > 8  # more patches than parts
    whole = model(fine, level, t.to(fine), noise.to(fine), halo, importance.to(fine)).mean()
    expected = torch.autograd.grad(whole, weights, allow_unused=True)
    loss, gradient = loss_and_gradient(model, batch, weights, nullcontext)
    assert loss == pytest.approx(whole.item(), rel=1e-12)
    for made, right in zip(gradient, expected, strict=True):
        assert (made is None) == (right is None)
        if right is not None:
            torch.testing.assert_close(made, right, rtol=1e-9, atol=1e-12)
    assert all(made is None or made.stride() == w.stride() for made, w in zip(gradient, weights, strict=True))


def test_the_bits_do_not_depend_on_the_number_of_threads():
    model, weights, batches = example()
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(loss_and_gradient(model, batches(1), weights, nullcontext))
    finally:
        torch.set_num_threads(threads)
    for loss, gradient in found[1:]:
        assert loss == found[0][0]
        assert all(torch.equal(a, b) for a, b in zip(gradient, found[0][1], strict=True) if a is not None)


def test_weights_of_other_levels_have_no_gradient():
    model, weights, batches = example(shared=False)
    batch = batches.of_level(1, torch.Generator().manual_seed(0))
    _, gradient = loss_and_gradient(model, batch, weights, nullcontext)
    mine = {id(p) for p in model.own_lift(1).law.parameters()}
    assert [g is not None for g in gradient] == [id(w) in mine for w in weights]
