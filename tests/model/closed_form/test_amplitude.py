"""The local amplitude: Gaussian windows, exponents within their bounds, and what is said of a part of a field."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from rgdm.model.closed_form.amplitude import BLOCK, CUT, LocalAmplitude, blur, laplace_slope
from rgdm.model.lifts.context import Context
from rgdm.scale.operators.block import BlockSpin
from small import cascade

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(("boundary", "mode"), [("periodic", "wrap"), ("reflect", "reflect")])
@pytest.mark.parametrize("lattice", [(1,), (7,), (2 * BLOCK + 5,), (BLOCK + 1, 3), (5, 4, 6)])
@pytest.mark.parametrize("width", [1.5, 6.0])
def test_a_blur_is_a_gaussian_filter_at_any_size(boundary, mode, lattice, width):
    x = torch.randn(2, 3, *lattice)
    axes = tuple(range(2, x.dim()))
    radius = int(np.ceil(CUT * width))
    expected = gaussian_filter(x.numpy(), width, mode=mode, radius=radius, axes=axes)
    np.testing.assert_allclose(blur(x, width, boundary).numpy(), expected, atol=1e-12)


@given(st.floats(-0.5, 1.5), st.floats(0.05, 0.9))
def test_no_other_exponent_within_the_bounds_is_better(true, limit):
    torch.manual_seed(0)
    e = torch.randn(2_000)
    size = torch.exp(0.7 + true * e) * torch.empty(2_000).exponential_()
    offset, gamma = laplace_slope(e, size, limit)
    assert 0 <= gamma <= limit

    def loss(gamma: float) -> float:
        return float((size * torch.exp(-gamma * e)).mean().log() + gamma * e.mean())

    assert loss(gamma) <= min(loss(float(other)) for other in torch.linspace(0, limit, 50)) + 1e-6
    assert offset == pytest.approx(float((size * torch.exp(-gamma * e)).mean().log()), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_size_of_nothing_but_zeros_has_an_amplitude(dtype):
    coarse = torch.randn(1, 2, 8, 8, dtype=dtype)
    rule = LocalAmplitude(2, 3, 2, "reflect").to(dtype)
    detail = torch.randn(1, 6, 8, 8, dtype=dtype)
    detail[:, 3:] = 0
    rule.fit(coarse, detail)
    assert bool(rule(coarse).isfinite().all()) and bool((rule.offset > -100).all())
    one = LocalAmplitude(1, 3, 2, "reflect").to(dtype)
    one.fit(coarse[:, :1, :1, :1], detail[:, :3, :1, :1])  # the coarsest field may be one site
    assert bool(one(coarse[:, :1]).isfinite().all())


def test_a_field_that_was_enlarged_is_named_and_one_such_channel_is_not_minded():
    torch.set_default_dtype(torch.float32)
    enlarged = torch.randn(4, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    with pytest.raises(ValueError, match="looks enlarged"):
        cascade().fit(enlarged)
    both = torch.cat([enlarged, torch.randn(4, 1, 32, 32)], 1)
    model = cascade(channels=2)
    model.fit(both)
    assert bool(model.sample((32, 32)).isfinite().all())


def test_flat_places_are_known_by_their_value_where_it_says_so():
    """Half of the field lies near 0 and has a tenth of the detail, though its surroundings are no flatter."""
    torch.manual_seed(0)
    coarse = torch.where(torch.rand(4, 1, 64, 64) < 0.5, 0.01 * torch.randn(4, 1, 64, 64), torch.randn(4, 1, 64, 64))
    flat = coarse.abs() < 0.05
    detail = torch.where(flat, 0.1, 1.0) * torch.randn(4, 3, 64, 64)
    rule = LocalAmplitude(1, 3, 2, "periodic")
    rule.fit(coarse, detail)
    f = rule.of_value(coarse)
    assert float(f[~flat].median() - f[flat].median()) == pytest.approx(np.log(10), abs=0.2)  # few values are neither
    size = rule(coarse)
    wide = flat.expand_as(size)
    for part in (wide, ~wide):
        assert float((detail[part] / size[part]).std()) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("values", [torch.zeros(2, 1, 16, 16), torch.randint(2, (2, 1, 16, 16)).double()])
def test_values_that_are_equal_have_one_amplitude(values):
    rule = LocalAmplitude(1, 3, 2, "reflect")
    rule.fit(values, torch.randn(2, 3, 16, 16))
    assert bool(rule(values).isfinite().all() and (rule(values) > 0).all())
    assert len(rule.of_value(values).unique()) <= 2


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_part_of_a_field_is_read_as_the_whole_is(boundary):
    model = cascade(boundary=boundary)
    x = torch.randn(2, 1, 64, 64).cumsum(-1)
    model.fit(x)
    standardizer = model.own_lift(0).standardizer
    coarse = Context.of(x, BlockSpin(2))[0].coarse
    keep = (slice(3, 20), slice(9, 32))
    part, whole = standardizer.read(Context(coarse), keep), standardizer.read(Context(coarse))
    for name in ("coarse", "roughness", "of_value", "size", "predicted", "above"):
        torch.testing.assert_close(getattr(part, name), getattr(whole, name)[(..., *keep)], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("halo", [(0, 0), (4, 7), (16, 0)])
def test_an_example_with_a_halo_is_that_of_the_whole_without_it(halo):
    model = cascade()
    x = torch.randn(2, 1, 64, 64).cumsum(-1)
    model.fit(x)
    lift = model.own_lift(0)
    context, detail = Context.of(x, model.operator)
    z, condition = lift.standardizer.standardize(context, detail), lift.features(context)
    example = lift.example(x, halo)
    at = (..., *(slice(h, 32 - h) for h in halo))
    torch.testing.assert_close(example.z, z[at], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(example.condition, condition[at], rtol=1e-12, atol=1e-12)
