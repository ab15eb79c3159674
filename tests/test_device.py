"""The same on a GPU as on the CPU, fields and trainings, to rounding."""

import copy

import pytest
import torch

from rgdm.model.lattice.autoregressive import AutoregressiveField
from rgdm.model.lattice.majority_inverse import MajorityInverse
from rgdm.model.lattice.sweep import LearnedSweep
from rgdm.physics.actions import Ising, Phi4
from rgdm.physics.blocking import block_spins
from rgdm.physics.reweighting.weights import log_weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def spins(count: int, side: int) -> torch.Tensor:
    return torch.where(torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(0)) > 0, 1.0, -1.0)


@pytest.mark.parametrize("action", [Phi4.critical(), Ising(0.44)])
def test_a_recorded_training_is_the_same_training(action):
    """The steps that replay a graph do what the steps that run one operation after the other do."""
    values = "spins" if isinstance(action, Ising) else "continuous"
    fields = spins(256, 8) if values == "spins" else torch.randn(256, 1, 8, 8)
    torch.manual_seed(0)
    here = AutoregressiveField((8, 8), values, 2, 16, action)
    there = copy.deepcopy(here).cuda()
    losses = here.fit(fields, 60, 64), there.fit(fields, 60, 64)
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
    assert len(set(losses[1])) == 60
    held = fields[:32]
    with torch.no_grad():
        assert torch.allclose(here.log_prob(held), there.log_prob(held.cuda()).cpu(), atol=0.2)
        again = copy.deepcopy(here).cuda()
        assert torch.allclose(here.log_prob(held), again.log_prob(held.cuda()).cpu(), atol=1e-3)
        made, same = here.sample(64, seed=3), again.sample(64, seed=3).cpu()
    assert float((made - same).abs().gt(1e-3).float().mean()) < 0.02


def test_on_its_own_fields_the_weights_narrow():
    torch.manual_seed(0)
    model = AutoregressiveField((4, 4), "spins", 2, 16, Ising(0.3)).cuda()
    variances = model.fit_action(None, 300, 256)
    assert sum(variances[-20:]) < 0.05 * sum(variances[:20])
    with torch.no_grad():
        made = model.sample(4096, seed=5)
        fresh = log_weights(Ising(0.3).energy(made.double()), model.log_prob(made)).var()
    assert float(fresh) < 0.1 * sum(variances[:20]) / 20


def test_a_majority_inverse_and_a_sweep_train_there():
    fine = spins(256, 8)
    inverse = MajorityInverse(1, width=8).cuda()
    losses = inverse.fit(fine.cuda(), block_spins(fine, ties=torch.randn(256, 1, 4, 4)).cuda(), 40, 64)
    assert len(losses) == 40 and losses[-1] < 1.0
    torch.manual_seed(0)
    x = torch.randn(64, 1, 16, 16)
    sweep = LearnedSweep(1, 2, "periodic").cuda()
    assert sweep.fit(x.cuda(), steps=60) == pytest.approx(-1.419, abs=0.15)
