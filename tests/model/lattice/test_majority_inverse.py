"""Majority rule backwards: a normalised law, for fields of any size, that learns what block spins mean."""

import itertools

import pytest
import torch

from rgdm.model.lattice.majority_inverse import MajorityInverse
from rgdm.physics.actions import Ising, neighbours_ahead
from rgdm.physics.blocking import block_spins
from rgdm.physics.monte_carlo.chains import sample_fields


@pytest.mark.integration
@pytest.mark.parametrize("reach", [1, 3])
def test_probabilities_add_up_to_one_whatever_the_blocks(reach):
    torch.manual_seed(0)
    inverse = MajorityInverse(reach, width=4)
    spins = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=16))).reshape(-1, 1, 4, 4)
    for coarse in (torch.ones(1, 1, 2, 2), torch.tensor([1.0, -1, -1, -1]).reshape(1, 1, 2, 2)):
        with torch.no_grad():
            log_p = inverse.log_prob(spins, coarse.expand(len(spins), 1, 2, 2))
            mirrored = inverse.log_prob(-spins, -coarse.expand(len(spins), 1, 2, 2))
        assert float(log_p.double().exp().sum()) == pytest.approx(1, abs=1e-5)
        assert torch.allclose(log_p, mirrored, atol=1e-4)


def test_one_seed_one_field_and_the_law_moves_with_the_lattice():
    torch.manual_seed(0)
    inverse = MajorityInverse(2, width=8)
    coarse = torch.randint(0, 2, (6, 1, 8, 8)) * 2.0 - 1
    drawn = inverse.sample(coarse, seed=1)
    assert drawn.shape == (6, 1, 16, 16) and torch.equal(inverse.sample(coarse[:2], seed=1), drawn[:2])
    assert not torch.equal(inverse.sample(coarse, seed=2), drawn) and not torch.equal(
        inverse.sample(coarse, 1, 1), drawn
    )
    with torch.no_grad():
        log_p, moved = inverse.log_prob(drawn, coarse), inverse.log_prob(drawn.roll(4, 2), coarse.roll(2, 2))
    torch.testing.assert_close(log_p, moved, atol=1e-3, rtol=0)


@pytest.mark.integration
def test_it_learns_the_majority_and_the_energy():
    action = Ising.critical()
    fine = sample_fields(action, 16, 200, 1000, seed=0)
    ties = torch.randn(1000, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    coarse = block_spins(fine, ties=ties)
    torch.manual_seed(0)
    inverse = MajorityInverse(2, width=16)
    before = block_spins(inverse.sample(coarse, seed=1), ties=coarse)
    history = inverse.fit(fine, coarse, steps=150, batch=32)
    assert sum(history[-20:]) < 0.6 * sum(history[:20])
    drawn = inverse.sample(coarse, seed=1)
    agree = (block_spins(drawn, ties=coarse) == coarse).float().mean()
    nearest = [float((x * neighbours_ahead(x)).mean()) for x in (drawn, fine)]
    assert float(agree) > 0.9 > 0.7 > float((before == coarse).float().mean())
    assert abs(nearest[0] - nearest[1]) < 0.06


def test_a_saved_lift_draws_the_same_spins(tmp_path):
    torch.manual_seed(0)
    inverse = MajorityInverse(2, width=8)
    inverse.save_pretrained(tmp_path / "lift")
    coarse = torch.randint(0, 2, (2, 1, 4, 8)) * 2.0 - 1
    assert torch.equal(
        MajorityInverse.from_pretrained(tmp_path / "lift").sample(coarse, seed=3), inverse.sample(coarse, seed=3)
    )
    config = tmp_path / "lift" / "config.json"
    config.write_text(config.read_text().replace("reach", "range"))
    with pytest.raises(ValueError, match="describes no MajorityInverse"):
        MajorityInverse.from_pretrained(tmp_path / "lift")


def test_bad_input():
    inverse = MajorityInverse(1, width=4)
    with pytest.raises(ValueError, match="even length"):
        inverse.sample(torch.ones(1, 1, 3, 4))
    with pytest.raises(ValueError, match="do not belong"):
        inverse.fit(torch.ones(2, 1, 8, 8), torch.ones(2, 1, 8, 8))
    with pytest.raises(ValueError, match="reach is 0"):
        MajorityInverse(0)
