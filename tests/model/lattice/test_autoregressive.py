"""The autoregressive cascade: its order, its density, exact partition functions, patches that keep the action."""

import copy
import itertools
import json

import pytest
import torch

from rgdm.model.lattice.autoregressive import AutoregressiveField
from rgdm.model.lattice.maximum_likelihood import maximise
from rgdm.model.lattice.site_order import stages
from rgdm.physics.actions import Ising, Phi4, neighbours_ahead
from rgdm.physics.conditional import SiteConditional
from rgdm.physics.exact import ising
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.monte_carlo.patches import patch_metropolis
from rgdm.physics.reweighting.multilevel import multilevel
from rgdm.physics.reweighting.weights import Reweighting, log_weights


@pytest.mark.parametrize("lattice", [(2, 2), (4, 4), (6, 6), (8, 8), (4, 8), (12, 4), (5, 5)])
@pytest.mark.parametrize("reach", [1, 3])
def test_every_site_once_and_given_only_earlier_ones(lattice, reach):
    independent = all(n % 2 == 0 for n in lattice)
    known: set[int] = set()
    for stage in stages(lattice, reach, independent):
        sites = set(stage.sites.tolist())
        assert len(sites) == len(stage.sites) and not sites & known
        assert set(stage.given.flatten().tolist()) <= known
        if stage.given.shape[1] != 4 or min(lattice) > 2:  # an axis of two sites has two bonds between them
            assert all(len(set(row)) == len(row) for row in stage.given.tolist())
        known |= sites
    assert known == set(range(lattice[0] * lattice[1]))
    if independent:
        assert stage.given.shape == (lattice[0] * lattice[1] // 2, 4)


def test_what_is_given_stands_around_every_site_alike():
    for stage in stages((8, 8), 2, True):
        away = torch.stack(
            [(stage.given // 8 - stage.sites[:, None] // 8) % 8, (stage.given - stage.sites[:, None]) % 8]
        )
        assert bool((away == away[:, :1]).all())


@pytest.mark.integration
@pytest.mark.parametrize("action", [None, Ising(0.3)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_probabilities_of_all_spins_add_up_to_one(action, symmetric):
    torch.manual_seed(0)
    model = AutoregressiveField((2, 4), "spins", 2, 8, action, symmetric)
    spins = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=8))).reshape(-1, 1, 2, 4)
    with torch.no_grad():
        log_p = model.log_prob(spins)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-6)
    assert torch.allclose(log_p, model.log_prob(-spins), atol=1e-5) == symmetric
    drawn = model.sample(4000, seed=1)
    index = ((drawn.flatten(1) > 0) * 2 ** torch.arange(7, -1, -1)).sum(1)
    share = torch.bincount(index, minlength=256) / 4000
    chi2 = float(((share - log_p.exp()).square() / log_p.exp()).sum()) * 4000
    assert chi2 < 255 + 5 * (2 * 255) ** 0.5


@pytest.mark.integration
def test_log_z_of_spins_after_a_short_training():
    action, lattice = Ising(0.44), (4, 4)
    fields = sample_fields(action, 4, 500, 8000, seed=0)
    model = AutoregressiveField(lattice, "spins", width=24, action=action)
    with torch.no_grad():
        before = model.log_prob(fields[:500]).mean()
    model.fit(fields, steps=200, batch=128)
    with torch.no_grad():
        assert float(model.log_prob(fields[:500]).mean() - before) > 1
        drawn = model.sample(4000, seed=2)
        weights = log_weights(action.energy(drawn.double()), model.log_prob(drawn))
        target = log_weights(action.energy(fields[-2000:].double()), model.log_prob(fields[-2000:]))
    reweighted = Reweighting(weights, target)
    assert float(reweighted.ess.value) > 0.97 and not reweighted.doubts
    exact = float(ising.log_z(torch.tensor(action.coupling, dtype=torch.float64), lattice))
    assert abs(float(reweighted.log_z.value) - exact) < 4 * float(reweighted.log_z.error) + 1e-6


@pytest.mark.integration
@pytest.mark.parametrize("told", [True, False])
def test_log_z_of_phi4(told):
    action = Phi4.critical()
    model = AutoregressiveField((2, 2), width=16, action=action if told else None)
    model.fit(sample_fields(action, 2, 500, 10_000, seed=0), steps=250, batch=128)
    with torch.no_grad():
        drawn = model.sample(4000, seed=2)
        weights = log_weights(action.energy(drawn.double()), model.log_prob(drawn))
    reweighted = Reweighting(weights)
    assert float(reweighted.ess.value) > 0.9
    assert abs(float(reweighted.log_z.value) - 5.5766051323) < 4 * float(reweighted.log_z.error)


def test_one_seed_one_field():
    torch.manual_seed(0)
    model = AutoregressiveField((4, 4), action=Phi4.critical(), width=8)
    fields = model.sample(9, seed=3)
    torch.testing.assert_close(model.sample(5, seed=3, batch=2), fields[:5], atol=1e-5, rtol=0)
    assert not torch.allclose(model.sample(2, seed=4), fields[:2])


@pytest.mark.integration
def test_patches_keep_the_action_whatever_the_model():
    """From hot fields, with an untrained model, to the exact energy; sites outside of a patch stay."""
    torch.manual_seed(0)
    action, exact = Ising(0.3), ising.thermodynamics(0.3, (4, 4)).energy
    model = AutoregressiveField((4, 4), "spins", width=8, action=Ising(0.5))  # told a wrong action
    hot = torch.randint(0, 2, (3000, 1, 4, 4)) * 2.0 - 1
    once, _ = patch_metropolis(model, action, hot, 2, 1)
    assert int((once != hot).any(0).sum()) <= 4
    drawn, taken = patch_metropolis(model, action, hot, 2, 150, seed=1)
    energy = -(drawn * neighbours_ahead(drawn)).flatten(1).mean(1)
    assert abs(float(energy.mean()) - exact) < 4 * float(energy.std()) / 3000**0.5
    assert 0.2 < float(taken.mean()) < 1
    raw = model.sample(3000)
    raw_energy = -(raw * neighbours_ahead(raw)).flatten(1).mean(1)
    assert abs(float(raw_energy.mean()) - exact) > 10 * float(raw_energy.std()) / 3000**0.5


@pytest.mark.integration
@pytest.mark.parametrize("told", [pytest.param(True, marks=pytest.mark.slow), False])
def test_patches_keep_phi4_in_other_units(told):
    """Continuous values, a scale that is not 1, partial densities: fields of the target stay so; the control moves."""
    torch.manual_seed(0)
    action = Phi4.critical()
    model = AutoregressiveField((4, 4), width=16, action=Phi4.from_beta(0.5, 1.2) if told else None)
    model.scale.fill_(1.4)
    x = sample_fields(action, 4, 500, 1000, seed=5).double()

    def moved(kept: Phi4) -> tuple[float, float]:
        drawn, taken = patch_metropolis(model, kept, x, 2, 40, seed=1)
        assert float(taken.mean()) > 0.05
        change = (drawn.pow(4) - x.pow(4)).flatten(1).mean(1)
        return abs(float(change.mean())), float(change.std()) / len(x) ** 0.5

    for kept, keeps in ((action, True), (Phi4.from_beta(0.68, 2.0), False)):
        change, error = moved(kept)
        assert change < 4 * error if keeps else change > 6 * error
    once, _ = patch_metropolis(model, action, x, 1, 1)
    assert 0 < int((once != x).sum()) <= len(x)


@pytest.mark.integration
def test_saved_and_loaded(tmp_path):
    torch.manual_seed(0)
    model = AutoregressiveField((4, 4), action=Phi4.critical(), width=8)
    model.fit(torch.randn(20, 1, 4, 4), steps=10, batch=4)
    model.save_pretrained(tmp_path / "model")
    again = AutoregressiveField.from_pretrained(tmp_path / "model")
    x = torch.randn(3, 1, 4, 4)
    assert torch.equal(again.log_prob(x), model.log_prob(x)) and torch.equal(again.sample(2), model.sample(2))
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    content["configuration"]["action"]["name"] = "Potts"
    (tmp_path / "model" / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="unknown action 'Potts'; known"):
        AutoregressiveField.from_pretrained(tmp_path / "model")
    content["class"] = "Cascade"
    (tmp_path / "model" / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="holds a 'Cascade'; this rgdm loads 'AutoregressiveField'"):
        AutoregressiveField.from_pretrained(tmp_path / "model")


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    with pytest.raises(ValueError, match="coarsest sublattice"):
        AutoregressiveField((22, 22))
    with pytest.raises(ValueError, match="no checkerboard"):
        AutoregressiveField((5, 5), action=Phi4.critical())
    with pytest.raises(ValueError, match="not an action of spins"):
        AutoregressiveField((4, 4), "spins", action=Phi4.critical())
    for action in (Ising(0.4, h=0.1), Ising(0.4, anisotropy=(1.0, 0.5))):
        with pytest.raises(ValueError, match="has the symmetries of the lattice"):
            AutoregressiveField((4, 4), "spins", action=action)
    with pytest.raises(ValueError, match="unknown values 'potts'"):
        AutoregressiveField((4, 4), "potts")
    model = AutoregressiveField((4, 4), "spins", width=8)
    with pytest.raises(ValueError, match=r"other than \+1 and -1"):
        model.log_prob(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="shape"):
        model.log_prob(torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match="1 of 1 fields have values that are not finite"):
        AutoregressiveField((4, 4), width=8).log_prob(torch.full((1, 1, 4, 4), torch.nan))
    with pytest.raises(ValueError, match="2 fields"):
        model.fit(torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="patches of side 5"):
        patch_metropolis(model, Ising(0.4), torch.ones(1, 1, 4, 4), 5, 1)


@pytest.mark.integration
@pytest.mark.parametrize("action", [Ising(0.3), Ising(-0.4), Phi4.from_mass(-4, 6.975), Phi4(0.3, 1.0, 0.0)])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("shape", [(2, 4), (4, 4), (6, 4)])
def test_without_the_sites_that_are_integrated_out_the_weights_are_the_same(action, told, shape):
    """Up to a constant, field by field, also where an axis of two sites has two bonds."""
    torch.manual_seed(0)
    values = "spins" if isinstance(action, Ising) else "continuous"
    model = AutoregressiveField(shape, values, 2, 16, action if told else None)
    with torch.no_grad():
        x = model.sample(64, seed=5)
        whole = log_weights(action.energy(x.double()), model.log_prob(x))
        kept = torch.zeros(shape[0] * shape[1])
        for _, sites, _ in model._learned_visits():
            kept[sites] = 1
        y = x.flatten(1) * kept
        part = model._marginal(action)(y) - model._learned(y / model.scale).sum(1)
    assert torch.allclose(part - part.mean(), whole - whole.mean(), atol=2e-4)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("action", "told"),
    [(Ising(0.3), True), pytest.param(Phi4.from_mass(-4, 6.975), False, marks=pytest.mark.slow)],
)
def test_on_fields_of_its_own_the_weights_narrow(action, told):
    torch.manual_seed(0)
    values = "spins" if isinstance(action, Ising) else "continuous"
    model = AutoregressiveField((4, 4), values, 2, 16, action if told else None)

    def spread() -> float:
        with torch.no_grad():
            drawn = model.sample(4096, seed=5)
            return float(log_weights(action.energy(drawn.double()), model.log_prob(drawn)).var())

    before = spread()
    variances = model.fit_action(action, 150, 128, rate=3e-3)
    assert sum(variances[-20:]) / 20 == pytest.approx(spread(), rel=0.5)
    assert spread() < 0.3 * before


def test_what_an_action_cannot_be_fitted_to():
    free = AutoregressiveField((4, 4), "spins", 1, 4)
    with pytest.raises(ValueError, match="knows no action"):
        free.fit_action()
    with pytest.raises(ValueError, match="is not the action"):
        AutoregressiveField((4, 4), "spins", 1, 4, Ising(0.3)).fit_action(Ising(0.4))
    with pytest.raises(ValueError, match="2 fields"):
        free.fit_action(Ising(0.3), batch=1)
    with pytest.raises(ValueError, match="not an action of spins"):
        free.fit_action(Phi4.critical())
    spins = torch.ones(2, 1, 4, 4)
    with pytest.raises(ValueError, match="not an action of spins"):
        patch_metropolis(free, Phi4.critical(), spins, 2, 1)
    with pytest.raises(ValueError, match="not an action of spins"):
        multilevel(free, Phi4.critical(), lambda x: x.flatten(1).mean(1), [4, 4])
    with pytest.raises(ValueError, match="width = "):
        AutoregressiveField((4, 4), width=0)


@pytest.mark.integration
def test_the_table_of_the_integrated_sites_is_exact_where_fields_are_and_falls_beyond():
    action = Phi4.from_mass(-4, 0.02)  # wells at +-10
    model = AutoregressiveField((4, 4), "continuous", 1, 4, action)
    even = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 0
    reweighted = [float(model._marginal(action)((even * v).float().flatten()[None])) for v in (8, 12, 60, 90)]
    law = SiteConditional(action)
    exact = [8 * float(law.log_partition(torch.tensor(4.0 * v))) - 8 * 0.02 * v**4 for v in (8, 12)]
    assert reweighted[:2] == pytest.approx(exact, abs=1e-2)
    assert reweighted[0] > reweighted[2] > reweighted[3]


@pytest.mark.integration
def test_a_model_in_double_precision():
    torch.manual_seed(0)
    model = AutoregressiveField((4, 4), "continuous", 1, 4, Phi4.critical()).double()
    assert len(model.fit_action(steps=3, batch=8)) == 3


def test_a_likelihood_that_is_not_finite_leaves_the_network_as_it_was():
    network, states = torch.nn.Linear(1, 1), []

    def log_prob(x):
        states.append(copy.deepcopy(network.state_dict()))
        return network(x).sum() * (1.0 if len(states) < 3 else float("inf"))

    with pytest.raises(ValueError, match="not finite after 2 steps"):
        maximise(network, lambda: (torch.ones(1, 1),), log_prob, 9, 0.01)
    assert all(torch.equal(value, states[-1][key]) for key, value in network.state_dict().items())
    assert not torch.equal(states[0]["weight"], states[-1]["weight"])


def test_weights_need_one_number_of_each_field_of_both(unchecked):
    for energy, log_q in ((torch.zeros(3), torch.zeros(4)), (torch.zeros(3, 1), torch.zeros(3))):
        with pytest.raises(ValueError, match="one number of each field"):
            log_weights(energy, log_q)
