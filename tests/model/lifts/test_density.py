"""The density of a lift is that of the map that it samples by."""

import itertools
import math

import pytest
import torch

from lift_examples import example_lift
from rgdm.model.laws.likelihood import Tracing
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.known_spectrum import FourierLift
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.rescaled import RescaledLift
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.process.noise import NoiseField, Window
from rgdm.process.schedule import SpectrumMatched
from rgdm.scale.basis import Site
from rgdm.scale.operators.block import BlockSpin
from small import lifted, log_volume

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")
CASES = [*itertools.product(BOUNDARIES, (1, 2)), (("periodic", "reflect"), 2)]


@pytest.mark.integration
@pytest.mark.parametrize(("boundary", "dimension"), CASES)
@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_the_density_of_a_lift_is_that_of_the_map_it_samples_by(kind, boundary, dimension):
    lift, fields = example_lift(kind, boundary, dimension)
    coarse, detail = lift.operator.split(fields[:1])
    noise = torch.randn_like(detail)
    fine = lifted(lift, coarse, noise, AdamsBashforth(1))
    white = -(noise.square() + math.log(2 * math.pi)).sum() / 2
    expected = float(white) - log_volume(lambda n: lift.detail(Context(coarse), n, AdamsBashforth(1)), noise)
    assert float(lift.log_prob(fine).value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.integration
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_density_of_a_diffusion_lift_is_that_of_its_exact_flow(boundary):
    """The flow of data of variance v from noise T only rescales, by ``T sqrt(v)``."""
    lift, fields = example_lift("shrink", boundary, 1)
    coarse, detail = lift.operator.split(fields[:1])
    size, noise = 0.9 * 0.5**0.5, torch.randn_like(detail)
    made = lift.operator.merge(coarse, lift.standardizer.restore(Context(coarse), size * noise))
    white = -(noise.square() + math.log(2 * math.pi)).sum() / 2
    expected = float(white) - log_volume(lambda n: lift.standardizer.restore(Context(coarse), size * n), noise)
    assert float(lift.log_prob(made, Tracing(tolerance=1e-7)).value) == pytest.approx(expected, rel=1e-6)


def every_kind_of_lift() -> dict[str, Lift]:
    known = FourierLift(BlockSpin(2), lambda k: 1 / (0.05 + k.square()), (8,))
    flow = example_lift("flow", "periodic", 1)[0]
    return {"flow": flow, "rescaled": RescaledLift(flow, 1.5, 0.7), "known": known}


@pytest.mark.parametrize("kind", ["flow", "rescaled", "known"])
@pytest.mark.parametrize("networks", [True, False])
def test_the_density_of_fields_from_nothing_is_that_of_their_temperature(kind, networks):
    lift, fine = every_kind_of_lift()[kind], torch.randn(3, 1, 8)
    lift.temperature.fill_(0.8)
    lift.free_temperature.fill_(1.3)
    refined, free = (lift.log_prob(fine, free=each, networks=networks).value for each in (False, True))
    assert not torch.allclose(free, refined, rtol=1e-3)
    lift.temperature.fill_(1.3)
    torch.testing.assert_close(lift.log_prob(fine, networks=networks).value, free)


@pytest.mark.parametrize("kind", ["flow", "rescaled", "known"])
def test_fields_from_nothing_start_from_noise_of_their_temperature(kind):
    lift, coarse = every_kind_of_lift()[kind], Context(torch.randn(3, 1, 4))
    noise, window = NoiseField(0, "sample").of(range(3)), Window.whole(0, (4,))
    lift.temperature.fill_(0.8)
    lift.free_temperature.fill_(1.3)
    free = lift.sample(coarse, lift.free_noise(noise), window)
    assert not torch.allclose(free, lift.sample(coarse, noise, window), rtol=1e-3)
    lift.temperature.fill_(1.3)
    torch.testing.assert_close(lift.sample(coarse, noise, window), free)


def test_a_field_that_is_predicted_exactly_has_a_likelihood_too():
    lift, _ = example_lift("gaussian", "reflect", 1)
    assert bool(lift.log_prob(torch.zeros(2, 1, 8)).value.isfinite().all())


class Start(AdamsBashforth):
    """Keeps what it starts from."""

    def __call__(self, estimate, process, z, draw=None):
        self.seen = z
        return super().__call__(estimate, process, z, draw)


def test_a_lift_starts_from_noise_of_the_size_that_its_process_ends_with():
    lift, fields = example_lift("shrink", "periodic", 1)
    lift.law.denoiser.process = ForwardProcess(Site(), SpectrumMatched(lambda k: 4 + 0 * k))
    coarse, detail = lift.operator.split(fields[:1])
    noise = torch.randn_like(detail)
    sampler = Start(1)
    lift.detail(Context(coarse), noise, sampler)
    torch.testing.assert_close(sampler.seen, 2 * lift.temperature * noise)
