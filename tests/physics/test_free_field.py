"""The free field: its partition function, spectrum and block means; and quadrature of the interacting one."""

import math

import pytest
import torch

from rgdm.physics.actions import FreeField, Phi4
from rgdm.physics.exact import transfer
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")


def test_the_reference_figures():
    field = FreeField(0.25)
    assert field.log_z((64, 64)) == pytest.approx(1139.7818048969, rel=1e-12)
    assert float(field.spectrum((64, 64)).mean()) == pytest.approx(0.3768552718, abs=1e-10)


@pytest.mark.parametrize("lattice", [(6,), (4, 6), (4, 3, 5)])
def test_the_action_is_the_quadratic_form_of_the_inverse_spectrum(lattice):
    field, x = FreeField(0.3), torch.randn(2, 1, *lattice)
    axes = tuple(range(2, 2 + len(lattice)))
    modes = torch.fft.fftn(x, dim=axes).abs().square() / math.prod(lattice)
    torch.testing.assert_close(field.energy(x), (modes / field.spectrum(lattice)).flatten(1).sum(1) / 2)


@pytest.mark.parametrize(("lattice", "factor"), [((8,), 2), ((6, 9), 3), ((8, 4), 2), ((4, 4, 4), 2)])
def test_block_means_have_the_spectrum_of_their_covariance(lattice, factor):
    field, n = FreeField(0.4), math.prod(lattice)
    axes = tuple(range(1, 1 + len(lattice)))
    modes = torch.fft.fftn(torch.eye(n).reshape(n, *lattice), dim=axes)
    columns = torch.fft.ifftn(modes * field.spectrum(lattice), dim=axes).real
    step = BlockSpin(factor)

    def mean(x):
        return (step.coarsen(x.reshape(n, 1, *lattice)) / step.gain(len(lattice))).reshape(n, -1)

    covariance = mean(torch.eye(n)).T @ mean(columns)
    coarse = tuple(a // factor for a in lattice)
    first = covariance[0].reshape(coarse)
    torch.testing.assert_close(torch.fft.fftn(first).real, field.block_mean_spectrum(lattice, factor))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("action", "side", "known"),
    [
        (Phi4.critical(), 2, 5.5766051323),
        (Phi4.critical(), 3, 11.6126178490),
        (Phi4.critical(), 4, 20.10228607),
        (Phi4.from_mass(-4.0, 6.975), 4, 3.218328923),
    ],
)
def test_log_z_of_small_interacting_lattices(action, side, known):
    assert transfer.phi4_log_z(action, side, nodes=10) == pytest.approx(known, abs=2e-8)


@pytest.mark.integration
def test_quadrature_of_a_free_field_is_its_determinant():
    field = FreeField(3.0)
    assert transfer.phi4_log_z(field.action(2), 3, nodes=16) == pytest.approx(field.log_z((3, 3)), abs=1e-6)


def test_each_convention_is_the_action_it_is_named_after():
    x = torch.randn(3, 1, 4, 4)
    steps = sum((x.roll(-1, axis) - x).square() for axis in (2, 3))

    def total(density):
        return density.flatten(1).sum(1)

    for action, density in (
        (Phi4.from_mass(-1.0, 0.7), steps - x**2 + 0.7 * x**4),
        (Phi4.from_quartic(0.5, 2.4), steps / 2 + 0.25 * x**2 + 0.1 * x**4),
        (Phi4.from_wells(0.6), 0.3 * steps + x**4 - 2.2 * x**2),
        (FreeField(0.5).action(), steps / 2 + 0.25 * x**2),
    ):
        torch.testing.assert_close(action.energy(x), total(density))
    assert Phi4.from_hopping(0.34, 1.0) == Phi4.from_beta(0.68, 1.0)
    torch.testing.assert_close(Phi4.critical().rescaled(2.0).energy(x / 2), Phi4.critical().energy(x))


def test_impossible_fields_are_refused():
    with pytest.raises(ValueError, match=r"m\^2 = 0.0"):
        FreeField(0.0)
    with pytest.raises(ValueError, match="finite couplings"):
        Phi4(math.inf, 1.0, 1.0)
    with pytest.raises(ValueError, match="not divisible by 2"):
        FreeField(1.0).block_mean_spectrum((5,))
    with pytest.raises(ValueError, match="at most 6000 are held"):
        transfer.phi4_log_z(Phi4.critical(), 4, nodes=16)
