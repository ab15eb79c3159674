"""Cascades with a repeated lift: a scale-free Gaussian field goes on as it is, and bookkeeping by hand."""

import itertools
import math

import pytest
import torch

from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.repetition import Repetition
from rgdm.model.lifts.context import Context
from small import cascade, lifted

LEVELS = 4


def scale_free(count, side, eta=0.25, seed=0):
    """A Gaussian field of spectrum ``|k|^(-2 + eta)`` with a zero mode as of the largest scale."""
    generator = torch.Generator().manual_seed(seed)
    k = 2 * math.pi * torch.fft.fftfreq(side)
    size = (4 * torch.sin(k[:, None] / 2) ** 2 + 4 * torch.sin(k / 2) ** 2).sqrt()
    size[0, 0] = math.pi / side
    noise = torch.randn(count, 1, side, side, generator=generator)
    return torch.fft.ifft2(size ** ((eta - 2) / 2) * torch.fft.fft2(noise)).real


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    model = cascade(1, 2, LEVELS, "periodic", width=2, encoder_blocks=1, decoder_blocks=1, shared=False)
    model.fit(scale_free(600, 16))
    return model.eval()


def test_which_lift_serves_which_level():
    repetition = Repetition(2, 3, (1.5,))
    assert [repetition.lift(level) for level in range(8)] == [0, 1, 2, 2, 2, 2, 3, 4]
    assert [repetition.scale(level) for level in (0, 2, 3, 5, 6, 9)] == [1, 1, 1.5, 1.5**3, 1.5**3, 1.5**3]


def test_a_growth_that_changes_from_level_to_level():
    repetition = Repetition(1, 2, (3.0, 5.0, 7.0))  # from level 1 to 2, from 2 to 3, and farther on
    assert [repetition.lift(level) for level in range(7)] == [0, 1, 1, 1, 2, 3, 4]
    assert [repetition.scale(level) for level in range(7)] == [1, 1, 3, 15, 35, 49, 49]
    assert [repetition.scale(level + 1, repetition.lift(level) + 1) for level in (1, 2, 3)] == [1, 5, 35]


def test_detail_and_coarse_field_grow_each_by_its_own_factor(small):
    plain, larger = small.own_lift(1), small.enlarged(2, [1.6, 1.7, 1.8], level=1).lift(2)
    coarse, noise = torch.randn(3, 1, 4, 4), torch.randn(3, 3, 4, 4)
    x = lifted(larger, coarse, noise, small.sampler)
    kept, detail = small.operator.split(x)
    torch.testing.assert_close(kept, coarse)
    torch.testing.assert_close(detail, 1.6 * plain.detail(Context(coarse / 1.7), noise, small.sampler))


@pytest.mark.integration
def test_an_enlarged_cascade_makes_the_larger_field(small):
    larger = small.enlarged(1, 2 ** (7 / 8), level=1)
    assert larger.levels == LEVELS + 1
    made, true = larger.sample((32, 32), 400, seed=2, evaluations=1), scale_free(400, 32, seed=3)

    def power(x):
        spectrum = torch.fft.fft2(x).abs().square().mean((0, 1)) / 1024
        k = torch.fft.fftfreq(32)
        octave = torch.log2((k[:, None] ** 2 + k**2).sqrt().clamp(min=1 / 64) * 64).round().long()
        return torch.stack([spectrum[octave == i].mean() for i in range(6)])

    ratio = power(made) / power(true)
    assert float((ratio - 1).abs().max()) < 0.15, ratio
    wrong = small.enlarged(1, 1.0, level=1).sample((32, 32), 400, seed=2, evaluations=1)
    assert float((power(wrong) / power(true) - 1).abs().max()) > 0.4


@pytest.mark.integration
def test_an_enlarged_cascade_refines_exactly_shares_its_weights_and_is_saved(small, tmp_path):
    larger = small.enlarged(2, 1.8, level=1)
    pairs = itertools.product(small.parameters(), larger.parameters())
    assert sum(a.data_ptr() == b.data_ptr() for a, b in pairs) == len(list(small.parameters()))
    coarse = torch.randn(1, 1, 2, 2)
    fine = larger.refine(coarse, 4, members=2, evaluations=1)
    torch.testing.assert_close(larger.trajectory(fine[0], 4)[-1], coarse, atol=1e-4, rtol=0)
    larger.save_pretrained(tmp_path)
    again = Cascade.from_pretrained(tmp_path)
    torch.testing.assert_close(again.sample((64, 64), 1, evaluations=1), larger.sample((64, 64), 1, evaluations=1))


def test_the_likelihood_of_an_enlarged_cascade_is_that_of_the_map_it_samples_by(small):
    """Scaled fields at a repeated level have the density of the unscaled ones, less the logarithm of the scale."""
    larger = small.enlarged(1, 1.7, level=1)
    x = scale_free(2, 8, seed=5).double()
    lift, own = larger.lift(2), small.lift(1)
    found = lift.log_prob(1.7 * x, networks=False).value
    torch.testing.assert_close(found, own.log_prob(x, networks=False).value - 48 * math.log(1.7))
    lift = small.enlarged(2, [1.6, 1.7, 1.8], level=1).lift(2)
    coarse, detail = small.operator.split(x)
    found = lift.log_prob(small.operator.merge(1.7 * coarse, 1.6 * detail), networks=False).value
    torch.testing.assert_close(found, own.log_prob(x, networks=False).value - 48 * math.log(1.6))
    total = larger.log_prob(scale_free(2, 32, seed=6), networks=False)
    assert bool(total.total.value.isfinite().all()) and len(total.levels) == LEVELS + 1


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: m.enlarged(1, 1.8, level=4), "a level of 0 to 3"),
        (lambda m: m.enlarged(0, 1.8), "once or more"),
        (lambda m: m.enlarged(33, 1.8), "times = 33; a whole number from 0 to 32"),
        (lambda m: m.enlarged(1, 0.0), "growth = 0.0; a number above 0"),
        (lambda m: m.enlarged(1, []), "0 values of growth"),
        (lambda m: m.enlarged(1, 1.8).enlarged(1, 1.8), "enlarged already"),
        (lambda m: m.enlarged(1, 1.8).fit(torch.randn(2, 1, 32, 32)), "is not measured"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(small, ask, words):
    with pytest.raises(ValueError, match=words):
        ask(small)
