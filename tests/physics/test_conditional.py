"""The exact law of a site: normalised, drawn by inversion, the law that heat-bath chains have."""

import math

import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, IsingDual, Phi4
from rgdm.physics.conditional import SiteConditional
from rgdm.physics.monte_carlo.chains import sample_fields

ACTIONS = [Phi4.critical(), Phi4(2.0, 0.5, 6.975), Phi4(1.0, 2.2, 0.0), Phi4(-0.7, -3.0, 0.05)]
ACTIONS += [Phi4(0.6, -1.0, 1.0, h=0.4)]
HARD = [
    (Phi4.from_beta(0.5, 1e4), [0.0, 2.0]),
    (Phi4(1.0, -10.0, 0.01), [0.0, 2.0]),
    (Phi4.critical().rescaled(100.0), [0.0, 0.03]),
    (Phi4.critical().rescaled(0.01), [0.0, -100.0]),
    (Phi4(1.0, 2.2, 0.0), [0.5, 400.0]),
    (Phi4.critical(), [0.5, -1e5]),
]
PULLS = [-6.0, -0.3, 0.0, 1.7, 9.0]


def test_of_a_gaussian_action():
    action, pull = ACTIONS[2], torch.tensor(PULLS, dtype=torch.float64)
    exact = torch.distributions.Normal(action.a * pull / (2 * action.b), (2 * action.b) ** -0.5)
    value = torch.linspace(-2, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(SiteConditional(action).log_prob(value, pull), exact.log_prob(value), atol=1e-12, rtol=0)


@pytest.mark.integration
def test_redrawing_half_a_lattice_keeps_the_law():
    action = Phi4.critical()
    fields = sample_fields(action, 8, 200, 800, seed=0).double()
    odd = torch.arange(8)[:, None].add(torch.arange(8)) % 2 == 1
    pull = sum(fields.roll(shift, axis) for axis in (2, 3) for shift in (-1, 1))
    uniform = torch.rand(800, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def moved(law: SiteConditional) -> float:
        """Change of the mean energy, in standard errors."""
        drawn = fields.clone()
        drawn[:, 0, odd] = law.draw(uniform, pull[:, 0, odd])
        change = action.energy(drawn) - action.energy(fields)
        return abs(float(change.mean() / change.std())) * math.sqrt(len(change))

    assert moved(SiteConditional(action)) < 4
    assert moved(SiteConditional(Phi4(0.6, -1.0, 1.0))) > 6


def test_spins():
    law, pull = SiteConditional(Ising(0.44)), torch.tensor([-4.0, 0.0, 2.0], dtype=torch.float64)
    up = law.log_prob(torch.ones_like(pull), pull).exp()
    torch.testing.assert_close(up, torch.sigmoid(0.88 * pull))
    assert law.draw(up - 1e-9, pull).tolist() == [1, 1, 1] and law.draw(up + 1e-9, pull).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("action", "pulls"), [*((action, PULLS) for action in ACTIONS), *HARD])
def test_normalised_and_drawn_by_inversion(action, pulls):
    """Against a dense grid; the second list: narrow, far and double wells."""
    law = SiteConditional(action)
    uniform = torch.tensor([1e-12, 1e-3, 0.2, 0.5, 0.97, 1 - 1e-12], dtype=torch.float64)
    for pull in torch.tensor(pulls, dtype=torch.float64):
        drawn = law.draw(uniform, pull.expand(len(uniform)))
        reach = float(drawn[-1] - drawn[0])
        x = torch.linspace(float(drawn[0]) - 0.2 * reach, float(drawn[-1]) + 0.2 * reach, 100_001, dtype=torch.float64)
        log_z = law._exponent(drawn, law._force(pull)) - law.log_prob(drawn, pull.expand(len(drawn)))
        density = (law._exponent(x, law._force(pull)) - log_z[3]).exp()
        spacing = float(x[1] - x[0])
        assert float(density.sum()) * spacing == pytest.approx(1, abs=1e-9)
        assert float(log_z.std()) < 1e-9
        below = density.cumsum(0) * spacing
        for u, value in zip(uniform[1:-1].tolist(), drawn[1:-1], strict=True):
            at = int((x <= value).sum()) - 1
            part = float((value - x[at]) / spacing - 0.5) * spacing * float(density[at])
            assert float(below[at]) + part == pytest.approx(u, abs=2e-6)


def test_log_p_does_not_depend_on_the_company():
    law, pull = SiteConditional(Phi4.critical()), torch.tensor([0.5, 4.0, 1e4], dtype=torch.float64)
    value = torch.tensor([0.1, 1.2, 13.6], dtype=torch.float64)
    alone = torch.cat([law.log_prob(v[None], h[None]) for v, h in zip(value, pull, strict=True)])
    torch.testing.assert_close(law.log_prob(value, pull), alone, atol=1e-9, rtol=0)


@pytest.mark.usefixtures("unchecked")
def test_what_has_no_law_of_a_site_is_refused():
    for action in (FreeField(0.5), IsingDual(0.4)):
        with pytest.raises(ValueError, match=r"law of a site"):
            SiteConditional(action)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="1 of 2 sites"):
            SiteConditional(Phi4.critical()).log_prob(torch.zeros(2), torch.tensor([0.0, bad]))
    with pytest.raises(ValueError, match="too narrow"):
        SiteConditional(Phi4.from_beta(0.5, 1e8)).log_prob(torch.zeros(1), torch.zeros(1))


@pytest.mark.integration
@pytest.mark.parametrize("action", [*ACTIONS, Ising(0.44)], ids=str)
def test_a_table_of_log_z_is_log_z(action: Phi4 | Ising) -> None:
    exact, pull = SiteConditional(action), torch.linspace(-9.7, 9.9, 50, dtype=torch.float64)
    table = exact.tabulated(10.0, torch.device("cpu"))
    torch.testing.assert_close(table(pull), exact.log_partition(pull), atol=1e-5, rtol=1e-6)
    end = torch.tensor([9.0, 10.0, 11.0], dtype=torch.float64)  # beyond its end the last piece goes on
    last = table(torch.tensor(10.0, dtype=torch.float64)) - table(torch.tensor(10.0 - 1e-3, dtype=torch.float64))
    assert float(table(end)[2]) == pytest.approx(float(table(end)[1] + last / 1e-3), rel=1e-6)
    assert table(torch.tensor([math.nan, 1.0], dtype=torch.float64)).isnan().tolist() == [True, False]
    far = table(torch.tensor([1e30], dtype=torch.float64))
    assert float(far) == pytest.approx(1e30 * float(last / 1e-3), rel=1e-6)


@pytest.mark.parametrize("farthest", [0.0, -1.0, math.inf, math.nan])
def test_a_table_of_no_length_is_refused(farthest: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        SiteConditional(Phi4.critical()).tabulated(farthest, torch.device("cpu"))
