"""The exact law of a site: normalised, drawn by inversion, the law that heat-bath chains have."""

import math

import pytest
import torch
from scipy.integrate import quad

from rgdm.physics.actions import Ising, Phi4
from rgdm.physics.conditional import SiteConditional
from rgdm.physics.monte_carlo import sample_phi4

ACTIONS = [Phi4.critical(), Phi4(2.0, 0.5, 6.975), Phi4(1.0, 2.2, 0.0), Phi4(0.7, -3.0, 0.05)]
PULLS = [-6.0, -0.3, 0.0, 1.7, 9.0]


@pytest.mark.parametrize("action", ACTIONS)
def test_normalised_and_drawn_by_inversion(action):
    law = SiteConditional(action)
    pull = torch.tensor(PULLS, dtype=torch.float64)

    def density(x: float, h: float) -> float:
        return float(law.log_prob(torch.tensor([x], dtype=torch.float64), pull[pull == h][:1]).exp())

    for uniform in (1e-4, 0.2, 0.5, 0.97):
        drawn = law.draw(torch.full_like(pull, uniform), pull)
        for h, x in zip(PULLS, drawn.tolist(), strict=True):
            below = quad(density, -20, x, args=(h,), points=[x - 4, x - 1, x - 0.1], limit=200, epsabs=1e-11)[0]
            assert below == pytest.approx(uniform, abs=1e-8)
            assert quad(density, x, 20, args=(h,), points=[x + 4, x + 1], limit=200)[0] == pytest.approx(
                1 - uniform, abs=1e-7
            )


def test_of_a_gaussian_action():
    action, pull = ACTIONS[2], torch.tensor(PULLS, dtype=torch.float64)
    exact = torch.distributions.Normal(action.a * pull / (2 * action.b), (2 * action.b) ** -0.5)
    value = torch.linspace(-2, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(SiteConditional(action).log_prob(value, pull), exact.log_prob(value), atol=1e-12, rtol=0)


def test_redrawing_half_a_lattice_keeps_the_law():
    action = Phi4.critical()
    fields = sample_phi4(action, 8, 200, 1600, seed=0).double()
    odd = torch.arange(8)[:, None].add(torch.arange(8)) % 2 == 1
    pull = sum(fields.roll(shift, axis) for axis in (2, 3) for shift in (-1, 1))
    uniform = torch.rand(fields.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = torch.where(odd, SiteConditional(action).draw(uniform, pull), fields)
    moved = (action.energy(drawn) - action.energy(fields)) / 64
    assert abs(float(moved.mean())) < 4 * float(moved.std()) / math.sqrt(len(moved))
    wrong = torch.where(odd, SiteConditional(Phi4(0.6, -1.0, 1.0)).draw(uniform, pull), fields)
    moved = (action.energy(wrong) - action.energy(fields)) / 64
    assert abs(float(moved.mean())) > 6 * float(moved.std()) / math.sqrt(len(moved))


def test_spins():
    law, pull = SiteConditional(Ising(0.44)), torch.tensor([-4.0, 0.0, 2.0], dtype=torch.float64)
    up = law.log_prob(torch.ones_like(pull), pull).exp()
    torch.testing.assert_close(up, torch.sigmoid(0.88 * pull))
    assert law.draw(up - 1e-9, pull).tolist() == [1, 1, 1] and law.draw(up + 1e-9, pull).tolist() == [-1, -1, -1]
