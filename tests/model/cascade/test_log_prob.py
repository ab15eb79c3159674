"""The likelihood of whole cascades: exact where they are Gaussian, in the user's units, of every operator."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
import torch
import xarray as xr

from lift_examples import randomise, red
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.closed_form.base import TranslationField
from rgdm.model.lifts.standardizer import UNBOUNDED
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.scale.operators.registry import Operator
from small import cascade, lifted

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")


def gaussian_cascade(step_name):
    """A cascade whose law is Gaussian and known: the dense covariance of what it makes of noise."""
    model = cascade(1, 2, 2, "periodic", step_name, width=2, encoder_blocks=1, decoder_blocks=1).double()
    fields = torch.randn(64, 1, 8, 8)
    model.fit(fields + fields.roll(1, 2) + 0.5 * fields.roll(1, 3))
    for level in range(2):
        lift = model.lift(level)
        lift.standardizer.amplitude.gamma.fill_(0)
        lift.standardizer.amplitude.rise.fill_(0)
        lift.standardizer.tail.fill_(0)
        lift.standardizer.limit.fill_(torch.inf)
        lift.standardizer.largest.fill_(UNBOUNDED)
        lift.temperature.fill_(0.9)
        lift.free_temperature.fill_(1.1)
    model.base.marginal.copy_(torch.linspace(-3.5, 3.5, 257)[None])
    return model


@pytest.mark.integration
@pytest.mark.parametrize("name", ["haar", "db2"])
def test_the_log_prob_of_a_gaussian_cascade_is_the_exact_density(name):
    model = gaussian_cascade(name)

    def make(white):
        parts = white.split([4, 12, 48], 1)
        x = model.base(parts[0].reshape(-1, 1, 2, 2))
        for level, part in ((1, parts[1]), (0, parts[2])):
            free = model.lift(level).free_temperature / model.lift(level).temperature
            x = lifted(model.lift(level), x, free * part.reshape(len(white), 3, *x.shape[2:]), AdamsBashforth(1))
        return model.denormalise(x).flatten(1)

    mean = make(torch.zeros(1, 64))
    response = 100 * (make(0.01 * torch.eye(64)) - mean)
    law = torch.distributions.MultivariateNormal(mean[0], response.T @ response)
    x = make(0.5 * torch.randn(4, 64))
    found = model.log_prob(x.reshape(4, 1, 8, 8), tolerance=1e-8)
    torch.testing.assert_close(found.total.value, law.log_prob(x), rtol=1e-6, atol=0)
    assert found.dofs == [48, 12, 4] and len(found.bits) == 3


@pytest.mark.integration
def test_white_noise_has_the_bits_of_a_standard_normal():
    model = cascade(1, 1, 1, "periodic", width=2, encoder_blocks=1, decoder_blocks=1).double()
    lift = model.lift(0)
    lift.standardizer.limit.fill_(torch.inf)
    lift.standardizer.largest.fill_(UNBOUNDED)
    x = torch.randn(4000, 1, 8)
    bits = model.log_prob(x).bits[0]
    assert float(bits.mean()) == pytest.approx(math.log2(2 * math.pi * math.e) / 2, abs=0.03)


@pytest.mark.integration
def test_a_cascade_of_flow_lifts_samples_refines_and_comes_back_from_disk(tmp_path):
    fields = torch.randn(8, 1, 16, 16).float()
    torch.manual_seed(1)
    model = cascade(1, 2, 2, "periodic", width=4, encoder_blocks=1, decoder_blocks=1, lift="flow").float()
    model.fit(fields)
    randomise(model.lifts)
    coarse = model.trajectory(fields)[-1]
    fine = model.refine(coarse, members=2, seed=3)
    torch.testing.assert_close(model.trajectory(fine[0])[-1], coarse, rtol=0, atol=1e-4)
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model").float()
    assert torch.equal(again.sample((16, 16), 2), model.eval().sample((16, 16), 2))
    assert bool(again.log_prob(fields).total.value.isfinite().all())


LONG = {("learned-8", "periodic"), ("learned-8", "reflect"), ("learned-4", "reflect"), ("lifting", "periodic")}
OPERATORS = [
    pytest.param(operator, boundary, marks=[pytest.mark.slow] * ((operator, boundary) in LONG))
    for operator in get_args(Operator)
    for boundary in BOUNDARIES
]


@pytest.mark.integration
@pytest.mark.parametrize(("operator", "boundary"), OPERATORS)
def test_fields_of_every_operator_have_a_likelihood_of_their_own_law(operator, boundary):
    fields = smooth(128, 16)
    model = cascade(1, 2, 1, boundary, operator, width=2, encoder_blocks=1, decoder_blocks=1)
    model.fit(fields[:120])
    own, white = (model.log_prob(x, networks=False).bits[0].mean() for x in (fields[120:], torch.randn(8, 1, 16, 16)))
    assert float(own) < float(white) - 1  # of noise as large as the field the detail is far too rough
    volume = model.lift(0).standardizer.colouring.invert(torch.zeros(1, 3, 8, 8))[2]
    assert volume == 0.0


def smooth(count, side):
    k = torch.fft.fftfreq(side)
    power = 1 / (k[:, None].square() + k.square() + 1e-3) ** 1.2
    x = torch.fft.ifft2(power.sqrt() * torch.fft.fft2(torch.randn(count, 1, side, side))).real
    return x / x.std()


@pytest.mark.integration
def test_the_density_of_a_whole_field_is_at_the_temperatures_that_fields_from_nothing_have():
    model = cascade(1, 2, 1, width=2, encoder_blocks=1, decoder_blocks=1)
    fields = smooth(64, 8)
    model.fit(fields)
    fields = fields[:4]
    cold = [model.log_prob(fields, levels, probes=2, tolerance=1e-3).levels[0].value for levels in (None, 1)]
    torch.testing.assert_close(*cold)
    model.lift(0).temperature.fill_(1.5)
    hot = [model.log_prob(fields, levels, probes=2, tolerance=1e-3).levels[0].value for levels in (None, 1)]
    torch.testing.assert_close(hot[0], cold[0])
    assert float((hot[1] - cold[1]).abs().min()) > 1
    model.lift(0).free_temperature.fill_(1.5)
    free = [model.log_prob(fields, levels, probes=2, tolerance=1e-3).levels[0].value for levels in (None, 1)]
    torch.testing.assert_close(free, [hot[1], hot[1]])


@pytest.mark.integration
def test_arrays_and_xarray_objects_have_the_likelihood_of_their_tensor():
    model = cascade(1, 1, 1, "periodic", width=2, encoder_blocks=1, decoder_blocks=1)
    x, told = torch.randn(3, 1, 8), []
    expected = model.log_prob(x, watch=lambda *done: told.append(done)).total.value
    assert told == [(1, 1)] and expected.shape == (3,)
    field = xr.DataArray(x[:, 0].numpy(), dims=("time", "x"))
    for given in (x.numpy(), x[:, 0], field):
        torch.testing.assert_close(model.log_prob(given).total.value, expected)


@pytest.mark.usefixtures("unchecked")
def test_what_has_no_likelihood_is_refused_with_the_remedy():
    model = cascade(1, 2, 1, width=2)
    with pytest.raises(ValueError, match="does not fit a model of 1 channel"):
        model.log_prob(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"level 0: .*above 1024 .*; pass probes=2 or more, or networks=False"):
        model.log_prob(torch.zeros(1, 1, 128, 64))
    with pytest.raises(ValueError, match="64 of 64 values are not finite"):
        model.log_prob(torch.full((1, 1, 8, 8), math.nan))
    with pytest.raises(ValueError, match="probes is 0; at least 1"):
        model.log_prob(torch.zeros(1, 1, 8, 8), probes=0)
    with pytest.raises(ValueError, match="cut the field into pieces with at most 4096"):
        TranslationField(1, "reflect").log_prob(torch.zeros(1, 1, 100, 100))
    with pytest.raises(ValueError, match="unknown lift 'spline'; known are diffusion, flow"):
        cascade(lift="spline")


@pytest.mark.parametrize(("lift", "probes"), [("diffusion", None), ("diffusion", 2), ("flow", None)])
def test_threads_get_the_same_numbers_as_one_alone(lift, probes):
    model = cascade(1, 1, 1, "periodic", width=2, lift=lift)
    model.fit(red(32, (16,)))
    randomise(model.lifts, 0.2)
    model.eval()
    fields = [red(2, (16,)) for _ in range(4)]

    def of(x):
        return model.log_prob(x, probes=probes, tolerance=1e-3).total.value

    alone = [of(x) for x in fields]
    with ThreadPoolExecutor(4) as threads:
        for value, expected in zip(threads.map(of, fields), alone, strict=True):
            assert torch.equal(value, expected)
