"""Likelihoods against exact densities: of the flow, of lifts, of the base field, of whole cascades."""

import math
from typing import get_args

import pytest
import torch
import xarray as xr

from rgdm.model.cascade.cascade import Cascade
from rgdm.model.closed_form.base import TranslationField
from rgdm.model.closed_form.colouring import Colouring
from rgdm.model.lifts.diffusion import DiffusionLift
from rgdm.model.lifts.flow import FlowLift, couplings
from rgdm.model.lifts.lift import GaussianLift, Lift
from rgdm.model.lifts.likelihood import probability_flow_log_prob, signs
from rgdm.model.lifts.standardized import condition_channels
from rgdm.model.networks import strips
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    NoisyStep,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Fourier, Pyramid, Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.registry import Operator
from rgdm.theory.mixtures import GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")
PLAIN = ForwardProcess(Site(), Trigonometric())


def randomise(module, size=0.1):
    """Weights as after some training."""
    for p in module.parameters():
        p.data += size * torch.randn_like(p)
    return module


def jacobian(function, x):
    """log |det| of a map of fields, by automatic differentiation."""
    matrix = torch.autograd.functional.jacobian(lambda v: function(v.reshape(x.shape)).flatten(), x.flatten())
    return float(torch.linalg.slogdet(matrix).logabsdet)


PROCESSES = {
    "trigonometric": PLAIN,
    "variance preserving": ForwardProcess(Site(), VariancePreserving(beta_max=40.0)),
    "staggered": ForwardProcess(Fourier(), Staggered(2.0, 3)),
    "heat dissipation": ForwardProcess(Fourier(), HeatDissipation(1.0)),
    "exact RG": ForwardProcess(Fourier(), ExactRG(0.2, 0.9)),
    "spectrum matched": ForwardProcess(Fourier(), SpectrumMatched(lambda k: 4 / (1 + k.square()))),
}


SLOW = ("heat dissipation", "exact RG")  # the longest


@pytest.mark.parametrize(
    "process", [pytest.param(p, id=n, marks=[pytest.mark.slow] * (n in SLOW)) for n, p in PROCESSES.items()]
)
def test_the_flow_of_a_gaussian_field_has_its_exact_density(process):
    law = GaussianMixture.field(torch.rand(2, 2) * 2 + 0.2)
    z = torch.randn(3, 1, 2, 2)
    made = probability_flow_log_prob(law.conditional_mean(process), process, z, tolerance=1e-8)
    torch.testing.assert_close(made.value, law.log_prob(z), rtol=1e-6, atol=0)
    assert not made.error.any()


def test_the_flow_of_a_mixture_has_its_exact_density():
    law = GaussianMixture(torch.tensor([0.4, 0.6]), torch.randn(2, 1, 3), torch.rand(2, 1, 3) / 2 + 0.1)
    z = torch.randn(4, 1, 3)
    made = probability_flow_log_prob(law.conditional_mean(PLAIN), PLAIN, z, tolerance=1e-6)
    torch.testing.assert_close(made.value, law.log_prob(z), rtol=1e-5, atol=1e-5)


def test_random_signs_estimate_the_divergence_within_their_error_and_a_wrong_density_is_found_out():
    root = torch.randn(12, 12)
    covariance = root @ root.T / 12 + 0.3 * torch.eye(12)
    law = torch.distributions.MultivariateNormal(torch.zeros(12), covariance)

    def estimate(z, t):
        alpha, sigma = t.mul(math.pi / 2).cos()[0], t.mul(math.pi / 2).sin()[0]
        return z @ torch.linalg.solve(alpha**2 * covariance + sigma**2 * torch.eye(12), alpha * covariance)

    z = law.sample((5,)).unsqueeze(1)
    made = probability_flow_log_prob(estimate, PLAIN, z, probes=signs(z, 32), tolerance=1e-4)
    exact = law.log_prob(z[:, 0])
    assert bool((made.error > 0).all())
    assert float(((made.value - exact) / made.error).abs().max()) < 4
    assert float(((made.value - exact - 2) / made.error).abs().min()) > 2


def test_a_temperature_widens_the_density_of_white_data():
    z = torch.randn(3, 1, 4)
    made = probability_flow_log_prob(lambda z, t: z * t.mul(math.pi / 2).cos().reshape(-1, 1, 1), PLAIN, z, 1.3)
    torch.testing.assert_close(
        made.value, torch.distributions.Normal(0.0, 1.3).log_prob(z).sum((1, 2)), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("lattice", [(6,), (5, 6)])
def test_the_inverse_of_a_colouring_is_its_inverse_with_its_determinant(boundary, lattice):
    colouring = Colouring(2, len(lattice), 2, boundary)
    colouring.colour.kernel += 0.02 * torch.randn_like(colouring.colour.kernel)
    z = torch.randn(3, 2, *lattice)
    found, volume, error = colouring.invert(colouring.colour(z))
    torch.testing.assert_close(found, z)
    assert volume == pytest.approx(jacobian(colouring.colour, z[:1]), rel=1e-8, abs=1e-8) and error == 0


@pytest.mark.parametrize(("lattice", "bands", "radius"), [((7,), 2, 2), ((3, 9), 1, 2), ((4, 5, 2), 2, 1)])
def test_the_matrix_of_a_colouring_is_its_answer_to_each_impulse(lattice, bands, radius):
    colouring = Colouring(bands, len(lattice), radius, "reflect")
    colouring.colour.kernel.normal_()
    size = bands * math.prod(lattice)
    expected = colouring.colour(torch.eye(size).reshape(size, bands, *lattice)).reshape(size, size).T
    torch.testing.assert_close(colouring._matrix(lattice), expected)


def test_a_large_determinant_between_edges_is_estimated_within_its_error(monkeypatch):
    monkeypatch.setattr("rgdm.model.closed_form.colouring.DENSE", 1000)
    colouring = Colouring(2, 2, 2, "reflect")
    colouring.colour.kernel += 0.02 * torch.randn_like(colouring.colour.kernel)
    z = torch.randn(1, 2, 24, 24)
    found, volume, error = colouring.invert(colouring.colour(z))
    eye = torch.eye(z.numel()).reshape(-1, *z.shape[1:])
    exact = float(torch.linalg.slogdet(colouring.colour(eye).flatten(1)).logabsdet)
    torch.testing.assert_close(found, z)
    assert error > 0 and abs(volume - exact) < 4 * error


def test_a_colouring_that_cannot_be_inverted_says_so(monkeypatch):
    colouring = Colouring(1, 1, 1, "reflect")
    colouring.colour.kernel.copy_(torch.tensor([[[0.5, 1.0, 0.5]]]))
    colouring.colour.kernel[0, 0, 1] = 0.98  # a mode between edges, cos(pi n / 2N), has 0.98 + cos of it
    monkeypatch.setattr("rgdm.model.closed_form.colouring.DENSE", 10)
    with pytest.raises(ValueError, match=r"could not be inverted.*at most 10 details"):
        colouring.invert(torch.randn(1, 1, 64))
    monkeypatch.undo()
    colouring.colour.kernel.copy_(torch.tensor([[[1.0, 0.0, -1.0]]]))
    with pytest.raises(ValueError, match="so it has no inverse"):
        colouring.invert(torch.randn(1, 1, 64))


def lifted(kind, boundary, dimension):
    """A lift of the kind, measured on red noise, with weights as after training; and fine fields."""
    lattice = (8,) * dimension
    fields = torch.randn(16, 1, *lattice)
    fields = fields + sum(fields.roll(1, axis) for axis in range(2, fields.dim()))
    step, bands = BlockSpin(2), 2**dimension - 1
    conditions = condition_channels(1, bands)
    if kind == "gaussian":
        lift = GaussianLift(step, 1, dimension, boundary, True, prediction_radius=1, colour_radius=1)
    elif kind == "flow":
        layers = randomise(couplings(bands, conditions, dimension, boundary, 6, 1))
        lift = FlowLift(step, 1, dimension, boundary, layers)
    else:
        lift = DiffusionLift(step, 1, dimension, boundary, Shrink())
    lift.fit(fields)
    if kind != "gaussian":
        lift.temperature.fill_(0.9)
        lift.limit.fill_(torch.inf)
    return lift, fields


class Shrink(Backbone):
    """The exact rest of white data of variance 1/2, so that the flow has something to do, and is known."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, t, features=None):
        c, s = (f(t * math.pi / 2).reshape(-1, *[1] * (x.dim() - 1)) for f in (torch.cos, torch.sin))
        return c * s * (1 - 0.5) / (c**2 * 0.5 + s**2) * x


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_the_density_of_a_lift_is_that_of_the_map_it_samples_by(kind, boundary, dimension):
    lift, fields = lifted(kind, boundary, dimension)
    coarse, detail = lift.operator.split(fields[:1])
    noise = torch.randn_like(detail)
    fine = lift.sample(coarse, noise, AdamsBashforth(1))
    white = -(noise.square() + math.log(2 * math.pi)).sum() / 2
    expected = float(white) - jacobian(lambda n: lift.detail(coarse, n, AdamsBashforth(1)), noise)
    assert float(lift.log_prob(fine).value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_density_of_a_diffusion_lift_is_that_of_its_exact_flow(boundary):
    """The flow of data of variance v from noise T only rescales, by ``T sqrt(v)``."""
    lift, fields = lifted("diffusion", boundary, 1)
    coarse, detail = lift.operator.split(fields[:1])
    size, noise = 0.9 * 0.5**0.5, torch.randn_like(detail)
    made = lift.operator.merge(coarse, lift.restore(coarse, size * noise))
    white = -(noise.square() + math.log(2 * math.pi)).sum() / 2
    expected = float(white) - jacobian(lambda n: lift.restore(coarse, size * n), noise)
    assert float(lift.log_prob(made, tolerance=1e-9).value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_layers_of_a_flow_are_undone_by_their_inverse_and_start_as_the_identity(dimension, boundary):
    lift, fields = lifted("flow", boundary, dimension)
    coarse, detail = lift.operator.split(fields)
    condition, y = lift.condition(coarse), torch.randn_like(detail) * 2
    z, slopes = lift.whiten(y, condition)
    back = z
    for layer in reversed(lift.layers):
        back = layer.inverse(back, condition)
    torch.testing.assert_close(back, y, rtol=0, atol=1e-8)
    alone = jacobian(lambda y: lift.whiten(y, condition[:1])[0], y[:1])
    assert float(slopes[0].sum().detach()) == pytest.approx(alone, rel=1e-8)
    fresh = couplings(y.shape[1], condition.shape[1], dimension, boundary, 6, 1)
    for layer in fresh:
        same, slope = layer(y, condition)
        torch.testing.assert_close(same, y)
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_the_loss_of_a_flow_lift_is_its_log_density_less_what_the_networks_do_not_change():
    lift, fields = lifted("flow", "periodic", 2)
    lift.temperature.fill_(1.0)
    coarse, detail = lift.operator.split(fields)
    _, measured = lift.compress(coarse, detail)
    dofs = detail[0].numel()
    constant = measured.flatten(1).sum(1) - dofs * (1 + math.log(2 * math.pi)) / 2
    expected = (constant - lift.log_prob(fields).value) / dofs
    loss = lift.loss(fields, torch.rand(len(fields)), torch.randn_like(detail))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_density_of_a_base_field_is_that_of_its_map(boundary):
    """A smooth table, so that F is nearly a straight line in each cell; the Gaussian part by its dense covariance."""
    base = TranslationField(1, boundary).double()
    base.marginal.copy_(torch.sinh(torch.linspace(-3.5, 3.5, 257) / 2)[None])
    base.spectrum.mul_(torch.rand_like(base.spectrum) + 0.5)
    lattice = (4, 6)
    n = math.prod(base.noise_lattice(lattice))
    linear = TranslationField(1, boundary).double()
    linear.spectrum.copy_(base.spectrum)
    linear.marginal.copy_(torch.linspace(-3.5, 3.5, 257)[None])
    unit = torch.eye(n).reshape(n, 1, *base.noise_lattice(lattice)) * 0.1
    matrix = linear(unit).flatten(1) * 10
    g = linear(torch.randn(3, 1, *base.noise_lattice(lattice)) * 0.5)
    law = torch.distributions.MultivariateNormal(torch.zeros(24), matrix.T @ matrix)
    x = base._map(g)
    slope = torch.autograd.functional.jacobian(lambda g: base._map(g).sum(), g).abs().log().flatten(1).sum(1)
    torch.testing.assert_close(base.log_prob(x), law.log_prob(g.flatten(1)) - slope, rtol=1e-5, atol=1e-5)


def gaussian_cascade(step_name):
    """A cascade whose law is Gaussian and known: the dense covariance of what it makes of noise."""
    model = Cascade(1, 2, 2, "periodic", step_name, width=2, encoder_blocks=1, decoder_blocks=1).double()
    fields = torch.randn(64, 1, 8, 8)
    model.fit(fields + fields.roll(1, 2) + 0.5 * fields.roll(1, 3))
    for level in range(2):
        lift = model.lift(level)
        lift.amplitude.gamma.fill_(0)
        lift.tail.fill_(0)
        lift.limit.fill_(torch.inf)
        lift.temperature.fill_(0.9)
    model.base.marginal.copy_(torch.linspace(-3.5, 3.5, 257)[None])
    return model


@pytest.mark.parametrize("name", ["haar", "db2"])
def test_the_log_prob_of_a_gaussian_cascade_is_the_exact_density(name):
    model = gaussian_cascade(name)

    def make(white):
        parts = white.split([4, 12, 48], 1)
        x = model.base(parts[0].reshape(-1, 1, 2, 2))
        for level, part in ((1, parts[1]), (0, parts[2])):
            x = model.lift(level).sample(x, part.reshape(len(white), 3, *x.shape[2:]), AdamsBashforth(1))
        return model.denormalise(x).flatten(1)

    mean = make(torch.zeros(1, 64))
    response = 100 * (make(0.01 * torch.eye(64)) - mean)
    law = torch.distributions.MultivariateNormal(mean[0], response.T @ response)
    x = make(0.5 * torch.randn(4, 64))
    found = model.log_prob(x.reshape(4, 1, 8, 8), tolerance=1e-8)
    torch.testing.assert_close(found.total.value, law.log_prob(x), rtol=1e-6, atol=0)
    assert found.dofs == [48, 12, 4] and len(found.bits) == 3


def test_white_noise_has_the_bits_of_a_standard_normal():
    model = Cascade(1, 1, 1, "periodic", width=2, encoder_blocks=1, decoder_blocks=1).double()
    lift = model.lift(0)
    lift.limit.fill_(torch.inf)
    x = torch.randn(4000, 1, 8)
    bits = model.log_prob(x).bits[0]
    assert float(bits.mean()) == pytest.approx(math.log2(2 * math.pi * math.e) / 2, abs=0.03)


def test_a_cascade_of_flow_lifts_samples_refines_and_comes_back_from_disk(tmp_path):
    fields = torch.randn(8, 1, 16, 16).float()
    torch.manual_seed(1)
    model = Cascade(1, 2, 2, "periodic", width=4, encoder_blocks=1, decoder_blocks=1, lift="flow").float()
    model.fit(fields)
    randomise(model.lifts)
    coarse = model.flow(fields)[-1]
    fine = model.refine(coarse, members=2, seed=3)
    torch.testing.assert_close(model.flow(fine[0])[-1], coarse, rtol=0, atol=1e-4)
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model").float()
    assert torch.equal(again.sample((16, 16), 2), model.eval().sample((16, 16), 2))
    assert bool(again.log_prob(fields).total.value.isfinite().all())


@pytest.mark.usefixtures("unchecked")
def test_what_has_no_likelihood_is_refused_with_the_remedy():
    class Nothing(Lift):
        def fit(self, fine):
            """Measures nothing."""

        def detail(self, coarse, noise, sampler, draw):
            return noise

    with pytest.raises(ValueError, match="Nothing has no likelihood; GaussianLift, DiffusionLift and FlowLift have"):
        Nothing().log_prob(torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match="exact divergence of 5000 degrees of freedom"):
        probability_flow_log_prob(lambda z, t: z, PLAIN, torch.zeros(1, 1, 5000))
    for process in (
        ForwardProcess(Fourier(), ExactRG(1.0)),
        ForwardProcess(Pyramid(BlockSpin(2), 1), NoisyStep(0.7, 1)),
    ):
        with pytest.raises(ValueError, match="signal is left at t = 1"):
            probability_flow_log_prob(lambda z, t: z, process, torch.zeros(1, 1, 8))
    model = Cascade(1, 2, 1, width=2, encoder_blocks=1, decoder_blocks=1)
    with pytest.raises(ValueError, match="does not fit a model of 1 channel"):
        model.log_prob(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"level 0: .*above 1024 .*; pass probes=2 or more, or networks=False"):
        model.log_prob(torch.zeros(1, 1, 128, 64))
    with pytest.raises(ValueError, match="64 of 64 values are not finite"):
        model.log_prob(torch.full((1, 1, 8, 8), math.nan))
    with pytest.raises(ValueError, match="probes is 0; at least 1"):
        model.log_prob(torch.zeros(1, 1, 8, 8), probes=0)
    for tolerance in (0.0, 1e-8, math.nan):
        with pytest.raises(ValueError, match=r"the tolerance is .*at least 1e-06.*double"):
            probability_flow_log_prob(lambda z, t: z, PLAIN, torch.zeros(1, 1, 5).float(), tolerance=tolerance)
    with pytest.raises(ValueError, match="cut the field into pieces with at most 4096"):
        TranslationField(1, "reflect").log_prob(torch.zeros(1, 1, 100, 100))
    with pytest.raises(ValueError, match="unknown lift 'spline'; known are diffusion, flow"):
        Cascade(lift="spline")


OPERATORS = get_args(Operator)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_fields_of_every_operator_have_a_likelihood_of_their_own_law(operator, boundary):
    fields = smooth(128, 16)
    model = Cascade(1, 2, 1, boundary, operator, width=2, encoder_blocks=1, decoder_blocks=1)
    model.fit(fields[:120])
    own, white = (model.log_prob(x, networks=False).bits[0].mean() for x in (fields[120:], torch.randn(8, 1, 16, 16)))
    assert float(own) < float(white) - 1  # of noise as large as the field the detail is far too rough
    volume = model.lift(0).gaussian.colouring.invert(torch.zeros(1, 3, 8, 8))[2]
    assert volume == 0.0


def smooth(count, side):
    k = torch.fft.fftfreq(side)
    power = 1 / (k[:, None].square() + k.square() + 1e-3) ** 1.2
    x = torch.fft.ifft2(power.sqrt() * torch.fft.fft2(torch.randn(count, 1, side, side))).real
    return x / x.std()


def test_the_density_of_a_whole_field_is_at_the_temperatures_that_fields_from_nothing_have():
    model = Cascade(1, 2, 1, width=2, encoder_blocks=1, decoder_blocks=1)
    fields = smooth(64, 8)
    model.fit(fields)
    fields = fields[:4]
    cold = [model.log_prob(fields, levels, probes=2, tolerance=1e-3).levels[0].value for levels in (None, 1)]
    torch.testing.assert_close(*cold)
    model.lift(0).temperature.fill_(1.5)
    hot = [model.log_prob(fields, levels, probes=2, tolerance=1e-3).levels[0].value for levels in (None, 1)]
    torch.testing.assert_close(hot[0], cold[0])
    assert float((hot[1] - cold[1]).abs().min()) > 1


def test_arrays_and_xarray_objects_have_the_likelihood_of_their_tensor():
    model = Cascade(1, 1, 1, "periodic", width=2, encoder_blocks=1, decoder_blocks=1)
    x, told = torch.randn(3, 1, 8), []
    expected = model.log_prob(x, watch=lambda *done: told.append(done)).total.value
    assert told == [(1, 1)] and expected.shape == (3,)
    field = xr.DataArray(x[:, 0].numpy(), dims=("time", "x"))
    for given in (x.numpy(), x[:, 0], field):
        torch.testing.assert_close(model.log_prob(given).total.value, expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_flow_in_strips_is_the_flow_of_the_whole(boundary, monkeypatch):
    layers = randomise(couplings(1, 2, 2, boundary, 6, 1))
    y, condition = torch.randn(1, 1, 50, 6), torch.randn(1, 2, 50, 6)

    def both():
        with torch.no_grad():
            there, slope = layers[1](y, condition)
            return there, slope, layers[1].inverse(there, condition)

    whole = both()
    monkeypatch.setattr(strips, "STRIP", 60)
    for a, b in zip(both(), whole, strict=True):
        torch.testing.assert_close(a, b)


def test_a_field_that_is_predicted_exactly_has_a_likelihood_too():
    lift, _ = lifted("gaussian", "reflect", 1)
    assert bool(lift.log_prob(torch.zeros(2, 1, 8)).value.isfinite().all())


def test_a_lift_starts_from_noise_of_the_size_that_its_process_ends_with():
    lift, fields = lifted("diffusion", "periodic", 1)
    lift.denoiser.process = ForwardProcess(Site(), SpectrumMatched(lambda k: 4 + 0 * k))
    coarse, detail = lift.operator.split(fields[:1])
    noise = torch.randn_like(detail)
    sampler = Start(1)
    lift.detail(coarse, noise, sampler)
    torch.testing.assert_close(sampler.seen, 2 * lift.temperature * noise)


class Start(AdamsBashforth):
    """Keeps what it starts from."""

    def __call__(self, estimate, process, z, draw=None):
        self.seen = z
        return super().__call__(estimate, process, z, draw)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_value_just_outside_the_table_is_unlikely_but_not_impossible(boundary):
    base = TranslationField(1, boundary).double()
    base.fit(torch.randn(9, 1, 4, 4).clamp(max=1.0))  # few data, the last cells are flat
    x = torch.zeros(2, 1, 4, 4)
    x[1, 0, 0, 0] = 1.01
    inside, outside = base.log_prob(x)
    assert float(inside) - 60 < float(outside) < float(inside)
