"""Shares to Gaussian values and back: exact between the atoms, of the right chance at them, mirror images."""

import pytest
import torch

from rgdm.model.checks.numbers import check_numbers
from rgdm.model.closed_form.shares import Given, ShareLaw, looks_random

pytestmark = pytest.mark.usefixtures("float64")

COUNT = 40_000


def example(dry: float = 0.3) -> tuple[Given, torch.Tensor]:
    """The first half has more where the slope says so; small parents, and rough places, share unevenly."""
    parent, slope, rough = torch.randn(COUNT).exp(), torch.randn(COUNT), torch.randn(COUNT)
    logit = slope + torch.randn(COUNT) * (2 - parent.log().clamp(-1, 1)) * (0.4 * rough.clamp(-1, 1)).exp()
    contrast = torch.tanh(logit / 2)
    one = torch.rand(COUNT) < dry * torch.sigmoid(-parent.log())
    ends = torch.where(torch.rand(COUNT) < torch.sigmoid(slope), 1.0, -1.0)
    return Given(parent, rough, slope), torch.where(one, ends, contrast)


@pytest.fixture(scope="module")
def law(float64) -> ShareLaw:
    torch.manual_seed(1)
    made = ShareLaw()
    made.fit(*example())
    return made


def test_shares_come_back(law):
    given, contrast = example()
    again = law.contrast(given, law.latent(given, contrast))
    off = (again - contrast).abs()
    assert float(off.quantile(0.99)) < 1e-5  # the others lie beyond all that was measured in their bin
    assert float(off.max()) < 0.4 and float(off.quantile(0.9999)) < 0.3
    end = contrast.abs() == 1
    assert bool((again[end] == contrast[end]).all())


def test_latents_are_gaussian_whatever_the_parent_and_the_slope(law):
    given, contrast = example()
    y = law.latent(given, contrast)
    for x in given:
        for part in y[x.argsort()].chunk(4):
            assert float(part.mean()) == pytest.approx(0, abs=0.05)
            assert float(part.std()) == pytest.approx(1, abs=0.04)
            assert float(part.pow(4).mean() / part.square().mean() ** 2) == pytest.approx(3, abs=0.25)
    assert float(contrast.pow(4).mean() / contrast.square().mean() ** 2) < 2  # which shares themselves are not


def test_white_latents_make_shares_of_the_measured_law(law):
    given, contrast = example()
    made = law.contrast(given, torch.randn(COUNT))
    parent, rough, slope = given
    for chosen in (parent < 0.5, parent > 2, rough < -1, rough > 1, slope > 1, slope < -1):
        for what in (torch.square, lambda c: (c == 1).double(), lambda c: (c == -1).double(), lambda c: c):
            assert float(what(made[chosen]).mean()) == pytest.approx(float(what(contrast[chosen]).mean()), abs=0.03)


def test_mirror_images_have_mirrored_latents(law):
    given, contrast = example()
    y = law.latent(given, contrast)
    mirrored = given._replace(slope=-given.slope)
    torch.testing.assert_close(law.latent(mirrored, -contrast), -y, rtol=0, atol=1e-9)
    torch.testing.assert_close(law.contrast(mirrored, -y), -law.contrast(given, y), rtol=0, atol=1e-9)


def test_where_there_is_nothing_latents_are_zero_and_shares_are_finite(law):
    nothing = Given(torch.zeros(5), torch.randn(5), torch.randn(5))
    assert law.latent(nothing, torch.zeros(5)).tolist() == [0] * 5
    made = law.contrast(nothing, 40 * torch.randn(5))
    assert bool((made.abs() <= 1).all())


@pytest.mark.parametrize("spread", [0.005, 0.3, 0.99])
def test_data_that_are_never_dry_make_no_zeros_and_no_wilder_shares(spread):
    law = ShareLaw()
    given = Given(torch.rand(COUNT) + 0.5, torch.randn(COUNT), torch.randn(COUNT))
    contrast = torch.empty(COUNT).uniform_(-spread, spread)
    law.fit(given, contrast)
    made = law.contrast(Given(*(x.float() for x in given)), 3 * torch.randn(COUNT).float())
    assert float(made.abs().max()) <= min(1.1 * spread, 1) and float(law.none.abs().max()) == 0
    assert float((made.abs() > 1.001 * spread).double().mean()) < 0.01  # slopes shift what is drawn, by next to nothing
    white = law.contrast(given, torch.randn(COUNT))
    assert float(white.square().mean()) == pytest.approx(float(contrast.square().mean()), rel=0.02)


def test_shares_of_quantised_data_have_gaussian_latents(law):
    """Light rain in steps of a gauge: there are few parents, but each place has a slope of its own."""
    parent = torch.full((COUNT,), 0.1)
    slope, contrast = 1 + 1e-3 * torch.randn(COUNT), torch.randint(2, (COUNT,)).mul(2).sub(1).double()
    lower = law.latent(Given(parent, torch.zeros(COUNT), slope), contrast)[contrast < 0]
    place = torch.special.ndtr(lower)
    counts = torch.histc(place / place.max(), 20, 0, 1)
    assert float(counts.std() / counts.mean()) < 0.1


@pytest.mark.parametrize("count", [1, 30, 500])
def test_few_shares_are_enough_to_fit(count):
    law = ShareLaw()
    given, contrast = example()
    given, contrast = Given(*(x[:count] for x in given)), contrast[:count]
    law.fit(given, contrast)
    again = law.contrast(given, law.latent(given, contrast))
    torch.testing.assert_close(again, contrast, rtol=0, atol=0.05)


def test_heavy_blocks_keep_their_power_whatever_their_slopes_are_worth():
    """Where it rains heavily shares are even, slopes small, and worth half of what they are elsewhere."""
    torch.manual_seed(4)
    heavy = torch.rand(COUNT)
    slope = torch.exp(-3 * heavy) * torch.randn(COUNT)
    logit = (1 - heavy / 2) * slope + 0.5 * torch.exp(-3 * heavy) * torch.randn(COUNT)
    given, contrast = Given(heavy.exp(), torch.zeros(COUNT), slope), torch.tanh(logit / 2)
    believed, blind = ShareLaw(), ShareLaw()
    believed.fit(given, contrast)
    blind.fit(given._replace(slope=torch.zeros(COUNT)), contrast)
    for chosen in ((heavy >= i / 10) & (heavy < (i + 1) / 10) for i in range(10)):
        size, errors = contrast[chosen].square().mean(), []
        for law, told in ((believed, given), (blind, given._replace(slope=torch.zeros(COUNT)))):
            made = law.contrast(told, torch.randn(COUNT))[chosen]
            assert float(made.square().mean() / size) == pytest.approx(1, abs=0.12)
            errors.append(float((made - contrast[chosen]).square().mean() / size))
        assert errors[0] < 1.1 and errors[1] > 1.8


def test_all_or_nothing_on_one_side_says_nothing_about_slopes_on_the_other():
    """Where slopes are steep one half has everything; where they are not, shares do not ask for them."""
    torch.manual_seed(5)
    slope = 2 * torch.rand(COUNT)
    contrast = torch.where(slope > 1.5, 1.0, torch.tanh(torch.randn(COUNT) / 4))
    given, law = Given(torch.ones(COUNT), torch.zeros(COUNT), slope), ShareLaw()
    law.fit(given, contrast)
    flat = (slope > 0.9) & (slope < 1.1)
    assert float(law.contrast(given, torch.randn(COUNT))[flat].mean()) == pytest.approx(0, abs=0.02)
    assert float(law.gain.max()) < 0.1


def test_shares_are_a_differentiable_function_of_all_that_they_depend_on(law):
    torch.manual_seed(6)
    parts = [torch.randn(40).exp(), *torch.randn(3, 40)]
    asked = [part.clone().requires_grad_() for part in parts]
    slopes = torch.autograd.grad(law.contrast(Given(*asked[:3]), asked[3]).sum(), asked)
    for i, slope in enumerate(slopes):
        near = [[part + (side * 1e-6 if i == j else 0) for j, part in enumerate(parts)] for side in (1, -1)]
        up, down = (law.contrast(Given(*each[:3]), each[3]) for each in near)
        torch.testing.assert_close(slope, (up - down) / 2e-6, rtol=0, atol=1e-6)


def test_places_in_an_atom_look_random():
    x, y = torch.rand(2, 100_000).float()
    at = looks_random(x, y)
    assert bool((looks_random(x, y) == at).all())
    counts = torch.histc(at, 100, 0, 1)
    assert float((counts - 1000).square().sum() / 1000) < 160  # chi^2 of 99
    for near in (looks_random(x * (1 + 1e-6), y), looks_random(x, y * (1 + 1e-6)), looks_random(torch.ones_like(x), y)):
        assert abs(float(torch.corrcoef(torch.stack([at, near]))[0, 1])) < 0.02


@pytest.mark.parametrize("sides", ["all", "some", "none"])
def test_laws_that_saw_only_atoms_or_nothing_hold_possible_numbers(sides):
    law, (given, _) = ShareLaw(), example()
    ends = torch.where(torch.rand(COUNT) < 0.5, 1.0, -1.0)
    if sides != "none":
        law.fit(given, torch.where(given.parent > 1, 0.5 * ends, ends) if sides == "some" else ends)
    for name, value in law.state_dict().items():
        check_numbers("the file", f"laws.0.{name}", value, value)
    made = law.contrast(given, torch.randn(COUNT))
    assert bool(made.isfinite().all()) and (sides != "all" or bool((made.abs() == 1).all()))
