"""Bits per degree of freedom: of known laws, on windows that the model can take."""

import math

import pytest
import torch

from rgdm.design import Design
from rgdm.evaluate import GLOSSARY, bits_per_dof
from rgdm.evaluate.likelihood import TOGETHER, WINDOW, windows
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.grid import Grid

WHITE = math.log2(2 * math.pi * math.e) / 2


def cascade(fields, boundary="periodic", lift="diffusion"):
    torch.manual_seed(0)
    design = Design(levels=2, width=(4,), encoder_blocks=1, decoder_blocks=1, lift=lift)
    model = Cascade(design, Grid.uniform(2, boundary), channels=1)
    model.fit(fields)
    return model.eval()


@pytest.mark.integration
@pytest.mark.parametrize("lift", ["diffusion", "flow"])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_white_noise_has_the_entropy_of_a_normal_law_and_untrained_networks_gain_nothing(lift, boundary):
    fields = 3 + 0.2 * torch.randn(408, 1, 32, 32)
    figures = bits_per_dof(cascade(fields[8:], boundary, lift), fields[:8], 2)
    assert figures["bits"]["value"] == pytest.approx([WHITE, WHITE], abs=0.05)
    assert figures["bits_gain"]["value"] == pytest.approx([0, 0], abs=1e-4 if lift == "diffusion" else 0.01)
    assert set(figures) <= set(GLOSSARY) and all(error > 0 for error in figures["bits"]["error"])


@pytest.mark.integration
def test_a_model_of_another_law_needs_more_bits():
    fields = torch.randn(24, 1, 32, 32)
    red = fields + fields.roll(1, 2) + fields.roll(1, 3)
    right, wrong = (bits_per_dof(cascade(x), red / red.std(), 1) for x in (red / red.std(), fields))
    assert right["bits"]["value"][0] < wrong["bits"]["value"][0] - 0.1


@pytest.mark.integration
def test_what_networks_have_learned_is_a_gain():
    fields = torch.randn(16, 1, 16, 16)
    model = cascade(fields, lift="flow")
    before = bits_per_dof(model, fields, 2)["bits_gain"]["value"]
    log_prob = model.lift(0).log_prob

    def with_a_bit_more(*arguments):  # for each degree of freedom, by the networks
        return log_prob(*arguments).plus_for_all(math.log(2) * 192 * arguments[3], 0.0)

    model.lift(0).log_prob = with_a_bit_more
    after = bits_per_dof(model, fields, 2)["bits_gain"]["value"]
    assert after == pytest.approx([before[0] + 1, before[1]], abs=1e-4)


@pytest.mark.parametrize("lattice", [(7, 200), (100, 100), (24, 16, 40), (20000,)])
def test_windows_are_middles_that_can_be_coarse_grained(lattice):
    fields = torch.arange(math.prod(lattice)).float().reshape(1, 1, *lattice).expand(9, 1, *lattice)
    cut = windows(fields, Grid.uniform(len(lattice)), 2).values
    sites = math.prod(cut.shape[2:])
    assert all(n % 4 == 0 for n in cut.shape[2:]) and 0 < sites <= WINDOW and len(cut) >= 2
    assert sites * len(cut) <= TOGETHER or len(cut) == 2
    middle = (..., *(n // 2 for n in lattice))
    assert bool((cut == fields[middle].flatten()[0]).flatten(1).any(1).all())


def test_periodic_fields_stay_whole_and_one_sample_has_no_error():
    fields = torch.randn(1, 1, 128, 128)
    torus = Grid.uniform(2, "periodic")
    assert windows(fields, torus, 3).values.shape == fields.shape
    with pytest.raises(ValueError, match="160 x 160 sites takes long"):
        windows(torch.randn(1, 1, 160, 160), torus, 3)
    small = torch.randn(1, 1, 16, 16)
    assert bits_per_dof(cascade(small, lift="flow"), small, 1)["bits"]["error"] == [None]
