"""The local amplitude: Gaussian windows, exponents within their bounds, and what is said of a part of a field."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from rgdm.model.closed_form.amplitude import BLOCK, CUT, LocalAmplitude, blur, laplace_slopes
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


def slope_data(gamma: list[float], n: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    e = torch.randn(n, len(gamma))
    e[:, 1] = 0.9 * e[:, 0] + 0.3 * e[:, 1] + 2
    return e, torch.exp(e @ torch.tensor(gamma) + 0.7) * torch.empty(n).exponential_()


def test_exponents_within_the_bounds_are_found():
    offset, gamma = laplace_slopes(*slope_data([0.2, 0.1, 0.05]), 0.6)
    assert gamma.tolist() == pytest.approx([0.2, 0.1, 0.05], abs=0.03)
    assert offset == pytest.approx(0.7, abs=0.06)


@settings(max_examples=20)
@given(st.lists(st.floats(-0.5, 1), min_size=3, max_size=3), st.floats(0.05, 0.9), st.integers(0, 99))
def test_no_other_exponents_within_the_bounds_are_better(true, limit, seed):
    e, size = slope_data(true, 2_000)
    offset, gamma = laplace_slopes(e, size, limit)
    assert bool((gamma >= 0).all()) and float(gamma.sum()) <= limit + 1e-9

    def loss(offset, gamma):
        eta = offset + e @ gamma
        return float((size * torch.exp(-eta) + eta).mean())

    best = loss(offset, gamma)
    others = torch.rand(20, 3, generator=torch.Generator().manual_seed(seed))
    others = limit * others / others.sum(1, keepdim=True) * torch.linspace(0, 1, 20)[:, None]
    for other in others:
        for share in (1.0, 0.1):
            mixed = gamma + share * (other - gamma)
            assert best <= loss(float((size * torch.exp(-(e @ mixed))).mean().log()), mixed) + 1e-7


def test_a_size_of_nothing_but_zeros_has_an_amplitude():
    rule = LocalAmplitude(1, 3, 2, "reflect")
    rule.fit(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))
    assert bool(rule(torch.zeros(1, 1, 8, 8)).isfinite().all())


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_plain_beside_a_cliff_is_as_flat_as_one_far_from_it(boundary):
    """Where neighbours are equal the measures at the site itself say so, whatever is near."""
    field = torch.zeros(1, 1, 32, 32)
    field[..., 16:] = 1000.0
    rule = LocalAmplitude(1, 3, 2, boundary)
    first, second, *windows = rule.roughness(field)[0, :, 0, 8].unbind(0)
    assert first[10] == first[14] and second[10] == second[14]
    assert all(float(window[14] - window[5]) > 0.5 for window in windows[:2])


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
    part, whole = standardizer.read(coarse, keep), standardizer.read(coarse)
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
