"""The free field: its partition function, spectrum and block means; and quadrature of the interacting one."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, Phi4, described, description
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
    assert transfer.phi4_log_z(action, side) == pytest.approx(known, abs=2e-8)


@pytest.mark.integration
def test_quadrature_of_a_free_field_is_its_determinant():
    field = FreeField(3.0)
    assert transfer.phi4_log_z(field.action(2), 3, nodes=16) == pytest.approx(field.log_z((3, 3)), abs=1e-6)


def ring(action: Phi4) -> float:
    """log Z of 2 x 2 sites, which are a ring of four with doubled bonds, on a fine grid of values."""
    x = np.linspace(-9, 9, 1501)
    site = action.b * x**2 + action.c * x**4
    transferred = 2 * action.a * np.outer(x, x) - (site[:, None] + site) / 2
    top = transferred.max()
    power = np.linalg.matrix_power(np.exp(transferred - top) * (x[1] - x[0]), 4)
    return float(np.log(np.trace(power)) + 4 * top)


@pytest.mark.parametrize(
    "action",
    [
        Phi4.critical(),
        Phi4.from_mass(-4.0, 6.975),
        Phi4(2.0, 0.0, 1.0),
        Phi4(0.9, 0.8, 0.1),
        Phi4(3.0, -1.0, 1.0),
        Phi4(5.0, 1.0, 1.0),
        Phi4(20.0, 1.0, 1.0),
        Phi4(-2.0, 1.0, 1.0),
        Phi4(2.0, -30.0, 1.0),
        Phi4(0.5, -100.0, 2.0),
        Phi4(0.0, 1.0, 1.0),
    ],
)
def test_log_z_is_that_of_a_ring_at_every_coupling(action):
    assert transfer.phi4_log_z(action, 2) == pytest.approx(ring(action), abs=1e-6)


@pytest.mark.parametrize(
    ("action", "side"),
    [(Phi4(2.0, 0.0, 1.0), 2), (Phi4(0.9, 0.8, 0.1), 2), (Phi4.from_beta(3.0, 1.0), 2), (Phi4.from_beta(2.0, 1.0), 3)],
)
def test_log_z_at_strong_coupling_takes_as_many_nodes_as_it_needs(action, side):
    exact = transfer._phi4_log_z(action, side, 40 if side == 2 else 18, 0.5)
    for share in transfer.SHARES:
        assert abs(transfer._phi4_log_z(action, side, 6, share) - exact) > 1e-3  # the control: with these alone
    assert transfer.phi4_log_z(action, side, 6) == pytest.approx(exact, abs=1e-6)


def test_log_z_of_an_action_without_lower_bound_is_refused():
    with pytest.raises(ValueError, match="no lower bound"):
        transfer.phi4_log_z(Phi4(1.0, 1.5, 0.0), 2)


@pytest.mark.parametrize(("side", "nodes"), [(2, 5), (2, 6), (3, 4), (3, 5), (4, 4), (4, 3)])
def test_states_are_counted_up_to_translations_and_the_sign(side, nodes):
    places = np.array(list(itertools.product(range(nodes), repeat=side)))
    orbits = [np.roll(s, shift, 1) for s in (places, nodes - 1 - places) for shift in range(side)]
    assert transfer._states(side, nodes) == len({min(map(tuple, images)) for images in np.stack(orbits, 1).tolist()})


def test_log_z_that_needs_more_nodes_than_can_be_held_is_said(monkeypatch):
    monkeypatch.setattr(transfer, "LARGEST", 60)
    with pytest.warns(RuntimeWarning, match="14 and 12 nodes differ by 1.4e-05"):
        assert transfer.phi4_log_z(Phi4(5.0, 1.0, 1.0), 2) == pytest.approx(77.4016718, abs=2e-5)


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
    more = Phi4(0.4, -0.3, 0.7, h=0.2, anisotropy=(1.0, -0.5))
    for action in (Phi4.critical(), more):
        torch.testing.assert_close(action.rescaled(2.0).energy(x / 2), action.energy(x))
    along = [(x * x.roll(-1, axis)).flatten(1).sum(1) for axis in (2, 3)]
    sites = total(-0.3 * x**2 + 0.7 * x**4 - 0.2 * x)
    torch.testing.assert_close(more.energy(x), sites - 0.4 * along[0] + 0.2 * along[1])
    torch.testing.assert_close(
        Ising(0.4, h=0.1, anisotropy=(2.0, 1.0)).energy(x), -0.8 * along[0] - 0.4 * along[1] - 0.1 * total(x)
    )


def test_an_action_comes_back_from_its_description():
    for action in (Phi4.critical(), Phi4(0.4, -0.3, 0.7, 0.2, (1.0, 0.5)), Ising(0.4), Ising(0.4, 0.1, (1.0, 2.0))):
        assert described(json.loads(json.dumps(description(action)))) == action
    assert description(Ising(0.4)) == {"name": "Ising", "coupling": 0.4}


def test_impossible_fields_are_refused():
    with pytest.raises(ValueError, match=r"m\^2 = 0.0"):
        FreeField(0.0)
    with pytest.raises(ValueError, match="finite couplings"):
        Phi4(math.inf, 1.0, 1.0)
    with pytest.raises(ValueError, match="not divisible by 2"):
        FreeField(1.0).block_mean_spectrum((5,))
    for make in (lambda: Ising(0.4, h=math.nan), lambda: Phi4(1.0, 1.0, 1.0, math.inf)):
        with pytest.raises(ValueError, match="the external field h is"):
            make()
    with pytest.raises(ValueError, match="one for each axis"):
        Ising(0.4, anisotropy=(1.0, 0.5, 1.0)).energy(torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="finite ones are needed"):
        Ising(0.4, anisotropy=(1.0, math.inf))
    for action in (Phi4(0.5, 0.0, 1.0, h=0.1), Phi4(0.5, 0.0, 1.0, anisotropy=(1.0, 0.5))):
        with pytest.raises(ValueError, match="without external field"):
            transfer.phi4_log_z(action, 2)
    with pytest.raises(ValueError, match="at most 6000 are held"):
        transfer.phi4_log_z(Phi4.critical(), 4, nodes=16)
