"""Operators against automatic differentiation, couplings against the actions that samples have."""

import math

import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.blocking import block_spins
from rgdm.physics.exact import ising
from rgdm.physics.hamiltonian import EffectiveHamiltonian, couplings_by_scale
from rgdm.physics.interactions import Bond, Plaquette, Power, local_interactions
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.per_axis import PerAxis

INTERACTIONS = [Power(1), Power(2), Power(6), Bond((0, 1)), Bond((1, 1)), Bond((1, 2)), Bond((0, 1), 1, 3), Plaquette()]
INTERACTIONS += [Bond((0, 1), 2, 2), Bond((1, 0), isotropic=False), Bond((2, 1), 1, 3, isotropic=False)]


@pytest.mark.parametrize("interaction", INTERACTIONS, ids=str)
def test_gradient_and_laplacian_are_the_derivatives(interaction):
    x = torch.randn(2, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(interaction(x).sum(), x)
    torch.testing.assert_close(interaction.gradient(x), slope)
    one = x[:1].detach()
    bend = torch.func.hessian(lambda y: interaction(y)[0])(one).reshape(24, 24).diagonal()
    torch.testing.assert_close(interaction.laplacian(one).flatten(), bend)


def test_a_hamiltonian_of_the_terms_of_an_action_is_its_energy():
    action, x = Phi4.critical(), torch.randn(3, 1, 4, 6, dtype=torch.float64)
    hamiltonian = EffectiveHamiltonian(
        local_interactions(2), torch.tensor([-action.a, action.b, action.c]), torch.zeros(3)
    )
    torch.testing.assert_close(hamiltonian(x), action.energy(x), rtol=1e-6, atol=1e-6)


def deviations(fitted, exact):
    return ((fitted.couplings - torch.tensor(exact)) / fitted.errors).abs().max()


@pytest.mark.integration
def test_samples_of_phi4_have_their_bare_couplings():
    action = Phi4.critical()
    fields = sample_fields(action, 16, 200, 4000, seed=5, thermalization=60, interval=4)
    fitted = EffectiveHamiltonian.fit(fields, local_interactions(2))
    exact = [-action.a, action.b, action.c]
    assert float(deviations(fitted, exact)) < 4
    assert float((fitted.errors / fitted.couplings.abs()).max()) < 0.01
    assert float(deviations(fitted, [-action.a * 1.03, action.b, action.c])) > 6  # a control
    wider = EffectiveHamiltonian.fit(fields, [*local_interactions(2, 2, 6), Plaquette()])
    absent = [1, 2, 3, 4, 7, 8]  # longer bonds, phi^6 and plaquettes
    assert float((wider.couplings / wider.errors)[absent].abs().max()) < 4.5


@pytest.mark.integration
def test_rectangular_samples_in_a_field_with_bonds_of_two_strengths_have_their_couplings():
    action = Phi4(0.5, -0.6, 0.8, h=0.15, anisotropy=(1.0, 0.6))
    fields = sample_fields(action, (8, 24), 200, 4000, seed=5, thermalization=60, interval=4)
    interactions = local_interactions(2, odd=True, power=4, isotropic=False)
    assert [str(o) for o in interactions] == ["bond[0, 1]", "bond[1, 0]", "phi", "phi^2", "phi^3", "phi^4"]
    fitted = EffectiveHamiltonian.fit(fields, interactions)
    exact = [-0.3, -0.5, -action.h, action.b, 0.0, action.c]
    assert float(deviations(fitted, exact)) < 4
    assert float(deviations(fitted, [-0.5, -0.3, *exact[2:]])) > 20  # a control: axes exchanged
    assert float(deviations(fitted, [*exact[:2], action.h, *exact[3:]])) > 6  # and the sign of the field
    one = EffectiveHamiltonian.fit(fields, local_interactions(2, odd=True))
    assert -0.5 < float(one.couplings[0]) < -0.3


@pytest.mark.integration
def test_spins_in_a_field_with_bonds_of_two_strengths_have_their_couplings():
    action = Ising(0.3, h=0.05, anisotropy=(0.5, 1.0))
    spins = sample_fields(action, (8, 12), 200, 4000, seed=5, thermalization=40, interval=3)
    interactions = [Bond((1, 0), isotropic=False), Bond((0, 1), isotropic=False), Power(1)]
    fitted = EffectiveHamiltonian.fit_spins(spins, interactions)
    assert float(deviations(fitted, [-0.15, -0.3, -0.05])) < 4
    assert float(deviations(fitted, [-0.3, -0.15, -0.05])) > 10


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_bonds_of_all_directions_add_up_to_the_isotropic_one(dimension):
    x = torch.randn(2, 1, *(4, 5, 6)[:dimension], dtype=torch.float64)
    for reach in (1, 2):
        parts = [o for o in local_interactions(dimension, reach, isotropic=False) if isinstance(o, Bond)]
        whole = [o for o in local_interactions(dimension, reach) if isinstance(o, Bond)]
        torch.testing.assert_close(sum(o(x) for o in parts), sum(o(x) for o in whole))
        assert len({o.name for o in parts}) == len(parts) == (reach + 1) ** dimension - 1 or reach == 1


@pytest.mark.integration
@pytest.mark.parametrize("factor", [2, 3])
def test_couplings_of_a_gaussian_field_are_those_of_its_spectrum(factor):
    """Score matching of a quadratic H is a projection of 1/S(k), at every level, with the exact spectrum."""
    field, lattice = FreeField(0.5), (12, 12)
    noise = torch.randn(6000, 1, *lattice, dtype=torch.float64)
    x = torch.fft.ifft2(field.spectrum(lattice).sqrt() * torch.fft.fft2(noise)).real
    interactions = [Bond((0, 1)), Bond((1, 1)), Power(2)]
    step = BlockSpin(factor)
    couplings = couplings_by_scale(x, step, 1, interactions, eta=0.0)
    coarse = field.block_mean_spectrum(lattice, factor)
    for level, spectrum in ((0, field.spectrum(lattice)), (1, coarse)):
        n = spectrum.shape[0]
        k = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
        c = torch.cos(k)
        symbols = torch.stack([2 * (c[:, None] + c), 4 * c[:, None] * c, 2 * torch.ones(n, n).double()]).flatten(1)
        s = spectrum.flatten()
        exact = torch.linalg.solve((symbols * s) @ symbols.T, symbols.sum(1))
        fitted, error = (torch.from_numpy(couplings[name][level].values) for name in ("coupling", "error"))
        assert float(((fitted - exact) / error).abs().max()) < 4.5
    assert couplings["coupling"].dims == ("level", "interaction") and float(couplings["scale"][1]) == 1.0


def test_spins_have_the_couplings_of_their_action_and_of_its_decimation():
    spins = sample_fields(Ising(0.3), 8, 200, 2000, seed=1, thermalization=50, interval=3)
    fitted = EffectiveHamiltonian.fit_spins(spins, [Bond((0, 1)), Bond((1, 1)), Plaquette()])
    assert float(deviations(fitted, [-0.3, 0.0, 0.0])) < 4
    assert float(deviations(fitted, [-0.33, 0.0, 0.0])) > 4
    line = sample_fields(Ising(1.0), 32, 200, 2000, seed=2, thermalization=50, interval=3, dimension=1)
    kept = block_spins(line, "decimation")
    for x, coupling in ((line, 1.0), (kept, ising.decimated_coupling(1.0))):
        fitted = EffectiveHamiltonian.fit_spins(x, [Bond((1,)), Bond((2,))])
        assert float(deviations(fitted, [-coupling, 0.0])) < 4


def test_a_flow_in_units_of_each_level_says_its_scale():
    x = torch.randn(50, 1, 8, 8, dtype=torch.float64) * 3
    couplings = couplings_by_scale(x, BlockSpin(2), 2, local_interactions(2))
    assert couplings["scale"].values == pytest.approx([3, 1.5, 0.75], rel=0.1)
    assert couplings["coupling"].sel(interaction="phi^2").values == pytest.approx([0.5] * 3, abs=0.3)


@pytest.mark.slow
def test_critical_fields_come_to_a_fixed_point_if_the_coarse_graining_is_noisy():
    x = sample_fields(Phi4.critical(), 32, 250, 1500, seed=3)
    interactions = local_interactions(2)
    noisy = couplings_by_scale(x, BlockSpin(2), 3, interactions, eta=0.25, noise=0.3)
    bare = couplings_by_scale(x, BlockSpin(2), 3, interactions, eta=0.25)

    def moved(couplings) -> float:
        """How far the bond and phi^4 go from level 2 to 3, in units of themselves."""
        k = couplings["coupling"].sel(interaction=["bond", "phi^4"]).values
        return float(abs(k[3] / k[2] - 1).max())

    assert moved(noisy) < 0.12 < 0.3 < moved(bare)
    bond = noisy.sel(interaction="bond")
    apart = abs(float(bond["coupling"][3] - bond["coupling"][2]))
    assert apart < 4 * float((bond["error"][2] ** 2 + bond["error"][3] ** 2) ** 0.5)
    again = couplings_by_scale(x, BlockSpin(2), 1, interactions, eta=0.25, noise=0.3)
    assert again["coupling"].equals(noisy["coupling"][:2])


@pytest.mark.integration
def test_a_mean_by_chance_is_left_in_and_a_real_one_is_taken_out():
    fields = sample_fields(Phi4.critical(), 16, 200, 200, seed=0, thermalization=40)
    m = fields.flatten(1).mean(1)
    sign = torch.where(torch.arange(200) % 20 < 11, 1.0, -1.0) * m.sign()  # 110 up and 90 down
    x = fields * sign.reshape(-1, 1, 1, 1)

    def bond_is_off(couplings) -> float:
        size = float(couplings["scale"][0]) ** 2
        row = couplings.sel(interaction="bond", level=0)
        return abs(float(row["coupling"]) / size + Phi4.critical().a) / (float(row["error"]) / size)

    chance = couplings_by_scale(x, BlockSpin(2), 0, local_interactions(2))
    assert x.mean() > 0.05 and float(chance["mean"]) == 0
    assert bond_is_off(chance) < 4
    moved = couplings_by_scale(x - x.mean(), BlockSpin(2), 0, local_interactions(2))  # the control
    assert abs(float(moved["coupling"][0, 0] - chance["coupling"][0, 0])) > 2 * float(chance["error"][0, 0])
    real = couplings_by_scale(x + 5, BlockSpin(2), 0, local_interactions(2))
    assert float(real["mean"]) == pytest.approx(5 + float(x.double().mean()))
    torch.testing.assert_close(*(torch.as_tensor(f["coupling"].values) for f in (real, moved)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda x: EffectiveHamiltonian.fit(x, []), "no interactions"),
        (lambda x: EffectiveHamiltonian.fit(x * math.nan, local_interactions(2)), "finite values"),
        (lambda x: EffectiveHamiltonian.fit(x, [Power(2), Power(2)]), "cannot be told apart"),
        (lambda x: EffectiveHamiltonian.fit(x[:1], local_interactions(2)), "at least 2"),
        (lambda x: EffectiveHamiltonian.fit_spins(x, [Bond((0, 1))]), "spins are"),
        (lambda x: couplings_by_scale(x, BlockSpin(2), -1, local_interactions(2)), "levels is -1"),
        (lambda x: couplings_by_scale(x, BlockSpin(2), 1, local_interactions(2), noise=-1.0), "noise is -1"),
        (lambda x: couplings_by_scale(x.sign(), BlockSpin(2), 9, local_interactions(2)), "lattice"),
        (lambda x: Bond((0, 1))(x[..., 0]), "one of 2 dimensions, not of 1"),
        (lambda x: Plaquette()(x[..., 0]), "no plaquettes"),
        (lambda x: Bond((0, 0)), "not zero"),
        (lambda x: Power(0), "exponent must be at least 1"),
        (lambda x: local_interactions(2, 0), "reach = 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(ask, words):
    with pytest.raises(ValueError, match=words):
        ask(torch.randn(8, 1, 8, 8, dtype=torch.float64))


def test_an_anomalous_dimension_needs_one_factor_for_all_axes():
    x = torch.randn(20, 1, 8, 8, dtype=torch.float64)
    along, same = PerAxis([BlockSpin(2), None]), PerAxis([BlockSpin(2), BlockSpin(2)])
    with pytest.raises(ValueError, match=r"eta is 0.25 for the factors \(2, 1\)"):
        couplings_by_scale(x, along, 1, local_interactions(2), eta=0.25)
    assert couplings_by_scale(x, along, 1, local_interactions(2))["coupling"].notnull().all()
    scales = couplings_by_scale(x, same, 1, local_interactions(2), eta=0.25)["scale"]
    assert scales.values == pytest.approx([1, 2**-0.125])


def test_arrays_and_integers_are_taken_as_the_same_numbers():
    spins = torch.randn(8, 1, 6, 6).sign()
    interactions = [Bond((0, 1))]
    expected = EffectiveHamiltonian.fit_spins(spins.double(), interactions).couplings
    for given in (spins.numpy(), spins.to(torch.int8), spins.int().numpy()):
        torch.testing.assert_close(EffectiveHamiltonian.fit_spins(given, interactions).couplings, expected)
    x = (10 * torch.randn(8, 1, 8, 8)).round()
    flows = [couplings_by_scale(given, BlockSpin(2), 1, [Power(2)]) for given in (x, x.int(), x.numpy())]
    for flow in flows[1:]:
        assert flow.equals(flows[0])
