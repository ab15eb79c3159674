"""The density of the base field is that of its map."""

import math

import pytest
import torch

from rgdm.model.closed_form.base import TranslationField

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")


@pytest.mark.parametrize("boundary", [*BOUNDARIES, BOUNDARIES])
def test_the_density_of_a_base_field_is_that_of_its_map(boundary):
    """A smooth table, so that F is nearly a straight line in each cell; the Gaussian part by its dense covariance."""
    base = TranslationField(1, boundary).double()
    base.marginal.copy_(torch.sinh(torch.linspace(-3.5, 3.5, 257) / 2)[None])
    base.spectrum.mul_(torch.rand_like(base.spectrum) + 0.5)
    lattice = (4, 6)
    n = math.prod(base.noise_lattice(lattice))
    linear = TranslationField(1, boundary).double()
    linear.spectrum.copy_(base.spectrum)
    linear.marginal.copy_(torch.linspace(-3.5, 3.5, 257)[None])
    unit = torch.eye(n).reshape(n, 1, *base.noise_lattice(lattice)) * 0.1
    matrix = linear(unit).flatten(1) * 10
    g = linear(torch.randn(3, 1, *base.noise_lattice(lattice)) * 0.5)
    law = torch.distributions.MultivariateNormal(torch.zeros(24), matrix.T @ matrix)
    x = base._map(g)
    slope = torch.autograd.functional.jacobian(lambda g: base._map(g).sum(), g).abs().log().flatten(1).sum(1)
    torch.testing.assert_close(base.log_prob(x), law.log_prob(g.flatten(1)) - slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_value_just_outside_the_table_is_unlikely_but_not_impossible(boundary):
    base = TranslationField(1, boundary).double()
    base.fit(torch.randn(9, 1, 4, 4).clamp(max=1.0))  # few data, the last cells are flat
    x = torch.zeros(2, 1, 4, 4)
    x[1, 0, 0, 0] = 1.01
    inside, outside = base.log_prob(x)
    assert float(inside) - 60 < float(outside) < float(inside)
