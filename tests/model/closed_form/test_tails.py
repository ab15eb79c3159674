"""Bent tails: the bend and its inverse, a density that integrates to one, and how far samples can reach."""

import math

import pytest
import torch

from rgdm.model.closed_form.tails import compress, expand, fit_tail
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import UNBOUNDED, LocalStandardizer
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")

STEP = BlockSpin(2)
LEVELS = 3


def test_expanding_undoes_compressing():
    ratio, tail = 30 * torch.randn(2, 3, 5, 5), torch.tensor([0.0, 0.1, 0.35])
    torch.testing.assert_close(expand(compress(ratio, tail), tail), ratio)


def test_a_bend_takes_the_kurtosis_to_that_of_a_gaussian():
    values = torch.sinh(0.3 * torch.randn(100_000)) / 0.3
    assert float(fit_tail(values, 1.0)) == pytest.approx(0.3, abs=0.02)
    assert float(fit_tail(torch.randn(100_000).clamp(-2, 2), 1.0)) == 0


def gaussian(count, n, power, seed):
    axes = [2 * math.pi * torch.fft.fftfreq(n)] * 2
    k2 = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0)
    white = torch.randn(count, 1, n, n, generator=torch.Generator().manual_seed(seed))
    x = torch.fft.ifft2(torch.fft.fft2(white) * power(k2).sqrt()).real
    return x / x.std()


def intermittent(count, n, seed):
    """A smooth field with detail whose size varies by large factors from place to place, unseen by the smooth one."""
    smooth = gaussian(count, n, lambda k2: (k2 + 0.003) ** -1.6, seed)
    size = (1.2 * gaussian(count, n, lambda k2: (k2 + 0.01) ** -1.2, seed + 100)).exp()
    return smooth + 0.5 * size * gaussian(count, n, lambda k2: 1 / (k2 + 0.1), seed + 200)


def fitted(fields):
    """A lift for each level, the finest first."""
    lifts = []
    for _ in range(LEVELS):
        lifts.append(StandardizedLift(STEP, LocalStandardizer(STEP, 1, 2, "periodic")))
        lifts[-1].fit(fields)
        fields = STEP.coarsen(fields)
    return lifts


@torch.no_grad()
def reach_of_a_faulty_law(lifts, truth, members=8):
    """The largest range of a member over that of the truth, where z has values that no network should draw."""
    coarse = truth
    for _ in lifts:
        coarse = STEP.coarsen(coarse)
    x = coarse.repeat(members, 1, 1, 1)
    for lift in reversed(lifts):
        noise = torch.randn(len(x), 3, *x.shape[2:], generator=torch.Generator().manual_seed(5))
        x = STEP.merge(x, lift.detail(Context(x), noise + noise**3 * noise.abs()))
    each = x.reshape(members, -1)
    return float((each.amax(1) - each.amin(1)).max() / (truth.max() - truth.min()))


def test_samples_reach_little_farther_than_held_out_fields_whatever_the_law_draws():
    training, truth = intermittent(4, 128, 0), intermittent(8, 128, 1)
    mean, scale = training.mean(), training.std()
    training, truth = (training - mean) / scale, (truth - mean) / scale
    lifts = fitted(training)
    assert reach_of_a_faulty_law(lifts, truth) < 1.5
    for lift in lifts:
        lift.standardizer.largest.fill_(UNBOUNDED)
    assert reach_of_a_faulty_law(lifts, truth) > 1.5  # bounded in units of the local amplitude alone
    for lift in lifts:
        lift.standardizer.limit.fill_(torch.inf)
    assert reach_of_a_faulty_law(lifts, truth) > 1e6


def test_the_ends_leave_alone_what_was_measured():
    fields = intermittent(4, 64, 0)
    lift = fitted(fields)[0]
    context, detail = Context.of(fields, STEP)
    z, _ = lift.standardizer.invert(context, detail)
    torch.testing.assert_close(lift.standardizer.restore(context, z), detail)


@pytest.mark.parametrize("roughness", [0.01, 1.0])
def test_the_density_of_a_detail_with_bent_tails_integrates_to_one(roughness):
    fields = torch.randn(64, 1, 64).cumsum(2)
    fields = roughness * (fields + torch.randn(64, 1, 64) ** 3)
    lift = StandardizedLift(STEP, LocalStandardizer(STEP, 1, 1, "periodic"))
    lift.fit(fields)
    assert float(lift.standardizer.tail) > 0.1
    coarse = STEP.coarsen(fields[:1, :, :2])  # one site, one detail
    size = float(lift.standardizer.size(Context(coarse)))
    u = torch.linspace(-20, 20, 20_001)  # detail = size * sinh(u), for the tails
    detail = size * u.sinh()[:, None, None]
    density = lift.log_prob(STEP.merge(coarse.expand(len(u), -1, -1), detail), networks=False).value.exp()
    assert float(torch.trapezoid(density * size * u.cosh(), u)) == pytest.approx(1, abs=1e-6)
