"""Shares to Gaussian values and back: exact between the atoms, of the right chance at them, mirror images."""

import pytest
import torch

from rgdm.model.closed_form.shares import LARGEST, ShareLaw, looks_random

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
    inner = contrast.abs() < 0.9999
    torch.testing.assert_close(again[inner], contrast[inner], rtol=0, atol=1e-5)
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


def test_data_that_are_never_dry_make_no_zeros():
    law = ShareLaw()
    parent, slope, contrast = example(dry=0.0)
    law.fit(parent, slope, contrast)
    assert float(law.contrast(parent, slope, 5 * torch.randn(COUNT)).abs().max()) < 1
    assert float(law.none.abs().max()) == 0 and float(law.table.abs().max()) == pytest.approx(LARGEST + 1)


@pytest.mark.parametrize("count", [1, 30, 500])
def test_few_shares_are_enough_to_fit(count):
    law = ShareLaw()
    parent, slope, contrast = (x[:count] for x in example())
    law.fit(parent, slope, contrast)
    again = law.contrast(parent, slope, law.latent(parent, slope, contrast))
    torch.testing.assert_close(again, contrast, rtol=0, atol=1e-3)


def test_places_in_an_atom_look_random():
    x = torch.rand(100_000).float()
    at = looks_random(x)
    assert bool((looks_random(x) == at).all())
    counts = torch.histc(at, 100, 0, 1)
    assert float((counts - 1000).square().sum() / 1000) < 160  # chi^2 of 99
    near = looks_random(x * (1 + 1e-6))
    assert abs(float(torch.corrcoef(torch.stack([at, near]))[0, 1])) < 0.02
