"""Shares to Gaussian values and back: exact between the atoms, of the right chance at them, mirror images."""

import pytest
import torch

from rgdm.model.closed_form.shares import ShareLaw, looks_random

pytestmark = pytest.mark.usefixtures("float64")

COUNT = 40_000


def example(dry: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Parents, slopes, contrasts: the first half has more where the slope says so, small parents share unevenly."""
    parent, slope = torch.randn(COUNT).exp(), torch.randn(COUNT)
    logit = slope + torch.randn(COUNT) * (2 - parent.log().clamp(-1, 1))
    contrast = torch.tanh(logit / 2)
    one = torch.rand(COUNT) < dry * torch.sigmoid(-parent.log())
    return parent, slope, torch.where(one, torch.where(torch.rand(COUNT) < torch.sigmoid(slope), 1.0, -1.0), contrast)


@pytest.fixture(scope="module")
def law(float64) -> ShareLaw:
    torch.manual_seed(1)
    made = ShareLaw()
    made.fit(*example())
    return made


def test_shares_come_back(law):
    parent, slope, contrast = example()
    again = law.contrast(parent, slope, law.latent(parent, slope, contrast))
    off = (again - contrast).abs()
    assert float(off.quantile(0.99)) < 1e-5  # the others lie beyond all that was measured in their bin
    assert float(off.max()) < 0.4 and float(off.quantile(0.9999)) < 0.3
    end = contrast.abs() == 1
    assert bool((again[end] == contrast[end]).all())


def test_latents_are_gaussian_whatever_the_parent_and_the_slope(law):
    parent, slope, contrast = example()
    y = law.latent(parent, slope, contrast)
    for x in (parent, slope):
        for part in y[x.argsort()].chunk(4):
            assert float(part.mean()) == pytest.approx(0, abs=0.05)
            assert float(part.std()) == pytest.approx(1, abs=0.04)
            assert float(part.pow(4).mean() / part.square().mean() ** 2) == pytest.approx(3, abs=0.25)
    assert float(contrast.pow(4).mean() / contrast.square().mean() ** 2) < 2  # which shares themselves are not


def test_white_latents_make_shares_of_the_measured_law(law):
    parent, slope, contrast = example()
    made = law.contrast(parent, slope, torch.randn(COUNT))
    for chosen in (parent < 0.5, parent > 2, slope > 1, slope < -1):
        for what in (torch.square, lambda c: (c == 1).double(), lambda c: (c == -1).double(), lambda c: c):
            assert float(what(made[chosen]).mean()) == pytest.approx(float(what(contrast[chosen]).mean()), abs=0.03)


def test_mirror_images_have_mirrored_latents(law):
    parent, slope, contrast = example()
    y = law.latent(parent, slope, contrast)
    torch.testing.assert_close(law.latent(parent, -slope, -contrast), -y, rtol=0, atol=1e-9)
    torch.testing.assert_close(law.contrast(parent, -slope, -y), -law.contrast(parent, slope, y), rtol=0, atol=1e-9)


def test_where_there_is_nothing_latents_are_zero_and_shares_are_finite(law):
    nothing = torch.zeros(5)
    assert law.latent(nothing, torch.randn(5), nothing).tolist() == [0] * 5
    made = law.contrast(nothing, torch.randn(5), 40 * torch.randn(5))
    assert bool((made.abs() <= 1).all())


@pytest.mark.parametrize("spread", [0.005, 0.3, 0.99])
def test_data_that_are_never_dry_make_no_zeros_and_no_wilder_shares(spread):
    law = ShareLaw()
    parent, slope = torch.rand(COUNT) + 0.5, torch.randn(COUNT)
    contrast = torch.empty(COUNT).uniform_(-spread, spread)
    law.fit(parent, slope, contrast)
    made = law.contrast(parent.float(), slope.float(), 3 * torch.randn(COUNT).float())
    assert float(made.abs().max()) <= spread * 1.001 + 1e-5 and float(law.none.abs().max()) == 0
    white = law.contrast(parent, slope, torch.randn(COUNT))
    assert float(white.square().mean()) == pytest.approx(float(contrast.square().mean()), rel=0.02)


def test_shares_of_quantised_data_have_gaussian_latents(law):
    """Light rain in steps of a gauge: there are few parents, but each place has a slope of its own."""
    parent = torch.full((COUNT,), 0.1)
    slope, contrast = 1 + 1e-3 * torch.randn(COUNT), torch.randint(2, (COUNT,)).mul(2).sub(1).double()
    lower = law.latent(parent, slope, contrast)[contrast < 0]
    place = torch.special.ndtr(lower)
    counts = torch.histc(place / place.max(), 20, 0, 1)
    assert float(counts.std() / counts.mean()) < 0.1


@pytest.mark.parametrize("count", [1, 30, 500])
def test_few_shares_are_enough_to_fit(count):
    law = ShareLaw()
    parent, slope, contrast = (x[:count] for x in example())
    law.fit(parent, slope, contrast)
    again = law.contrast(parent, slope, law.latent(parent, slope, contrast))
    torch.testing.assert_close(again, contrast, rtol=0, atol=0.05)


def test_places_in_an_atom_look_random():
    x, y = torch.rand(2, 100_000).float()
    at = looks_random(x, y)
    assert bool((looks_random(x, y) == at).all())
    counts = torch.histc(at, 100, 0, 1)
    assert float((counts - 1000).square().sum() / 1000) < 160  # chi^2 of 99
    for near in (looks_random(x * (1 + 1e-6), y), looks_random(x, y * (1 + 1e-6)), looks_random(torch.ones_like(x), y)):
        assert abs(float(torch.corrcoef(torch.stack([at, near]))[0, 1])) < 0.02
