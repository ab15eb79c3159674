"""The density of the base field is that of its map."""

import math

import pytest
import torch

from rgdm.model.closed_form import quantiles
from rgdm.model.closed_form.base import TranslationField

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")


def mapped(base: TranslationField, g: torch.Tensor) -> torch.Tensor:
    return quantiles.to_values(quantiles.knots(base.marginal), g)


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
    x = mapped(base, g)
    slope = (
        torch.autograd.functional.jacobian(lambda g: quantiles.to_values(quantiles.knots(base.marginal), g).sum(), g)
        .abs()
        .log()
        .flatten(1)
        .sum(1)
    )
    torch.testing.assert_close(base.log_prob(x), law.log_prob(g.flatten(1)) - slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_value_just_outside_the_table_is_unlikely_but_not_impossible(boundary):
    base = TranslationField(1, boundary).double()
    base.fit(torch.randn(9, 1, 4, 4).clamp(max=1.0))  # few data, the last cells are flat
    x = torch.zeros(2, 1, 4, 4)
    x[1, 0, 0, 0] = 1.01
    inside, outside = base.log_prob(x)
    assert float(inside) - 60 < float(outside) < float(inside)


def joint(lattice: tuple[int, ...], count: int = 64) -> torch.Tensor:
    """Two correlated channels that are not Gaussian."""
    a, b = torch.randn(2, count, 1, *lattice)
    a = a + 0.5 * a.roll(1, 3)
    return torch.cat([a + 0.2 * a.pow(3), (a + b).exp()], 1)


@pytest.mark.parametrize("boundary", [*BOUNDARIES, BOUNDARIES])
def test_the_density_of_two_channels_is_that_of_their_map(boundary):
    """The Gaussian part by the dense covariance of what the map makes of noise, both channels at once."""
    lattice = (2, 3)
    base = TranslationField(2, boundary).double()
    base.fit(joint(lattice))
    linear = TranslationField(2, boundary).double()
    linear.spectrum.copy_(base.spectrum)
    linear.marginal.copy_(torch.linspace(-3.5, 3.5, 257).repeat(2, 1))
    wide = base.noise_lattice(lattice)
    n = 2 * math.prod(wide)
    matrix = linear(torch.eye(n).reshape(n, 2, *wide) * 0.1).flatten(1) * 10
    covariance = matrix.T @ matrix
    assert float(covariance[:6, 6:].diagonal().min()) > 0.3  # the channels are correlated
    g = linear(torch.randn(4, 2, *wide))
    law = torch.distributions.MultivariateNormal(torch.zeros(12), scale_tril=torch.linalg.cholesky(covariance))
    x, slope = mapped(base, g), quantiles.to_normal(quantiles.knots(base.marginal), mapped(base, g))[1]
    expected = law.log_prob(g.flatten(1)) - slope.log().flatten(1).sum(1)
    torch.testing.assert_close(base.log_prob(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_channels_that_belong_together_are_likelier_than_shuffled_ones(boundary):
    x = joint((4, 4), 128)
    base = TranslationField(2, boundary).double()
    base.fit(x[:96])
    held = x[96:]
    together, shuffled = (
        float(base.log_prob(y).mean()) for y in (held, torch.cat([held[:, :1], held[:, 1:].roll(1, 0)], 1))
    )
    assert together > shuffled + 5


FEW = {"few": torch.randn(9).clamp(max=1.0), "ties": torch.randn(500).clamp(min=0), "heavy": torch.randn(5000).pow(3)}


@pytest.mark.parametrize("kind", FEW)
def test_map_and_density_agree_also_where_no_data_are(kind):
    base = TranslationField(1, "periodic").double()
    base.fit(FEW[kind].double().reshape(-1, 1, 1))
    g = torch.linspace(-8, 8, 4001).reshape(-1, 1, 1)
    x = mapped(base, g)
    assert bool((x.diff(dim=0) > 0).all())
    back, _ = quantiles.to_normal(quantiles.knots(base.marginal), x)
    torch.testing.assert_close(back, g, rtol=0, atol=1e-4)
    # over each step in g, of which the map is made, the density times the step in x is that of g
    mass = (base.log_prob(x[:-1] / 2 + x[1:] / 2).exp() * x.flatten().diff()).sum()
    assert float(mass) == pytest.approx(1, abs=0.02)
    beyond = float((x[-1] - mapped(base, torch.full((1, 1, 1), 3.5))).flatten()[0])
    width = float(base.marginal[0, -1] - base.marginal[0, 0])
    assert 0 < beyond < (4.5 if kind == "heavy" else 0.7) * width


def test_the_density_of_a_large_field_with_edges_counts_its_channels():
    base = TranslationField(2, "reflect").double()
    with pytest.raises(ValueError, match="matrix of 8192 x 8192; cut the field into pieces with at most 2048"):
        base.log_prob(torch.zeros(1, 2, 64, 64))
