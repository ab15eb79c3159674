"""Coupling layers: their inverse, their determinant, their start, and the loss that is their density."""

import math

import pytest
import torch

from lift_examples import example_lift, randomise
from rgdm.model.laws.flow import coupling_layers
from rgdm.model.lifts.context import Context
from rgdm.scale import tiles
from small import log_volume

pytestmark = pytest.mark.usefixtures("float64")

BOUNDARIES = ("periodic", "reflect")


@pytest.mark.integration
@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_layers_of_a_flow_are_undone_by_their_inverse_and_start_as_the_identity(dimension, boundary):
    lift, fields = example_lift("flow", boundary, dimension)
    coarse, detail = lift.operator.split(fields)
    condition, y = lift.features(Context(coarse)), torch.randn_like(detail) * 2
    z, slopes = lift.law.whiten(y, condition)
    back = z
    for layer in reversed(lift.law.layers):
        back = layer.inverse(back, condition)
    torch.testing.assert_close(back, y, rtol=0, atol=1e-8)
    alone = log_volume(lambda y: lift.law.whiten(y, condition[:1])[0], y[:1])
    assert float(slopes[0].sum().detach()) == pytest.approx(alone, rel=1e-8)
    fresh = coupling_layers(y.shape[1], condition.shape[1], dimension, boundary, 6, 1)
    for layer in fresh:
        same, slope = layer(y, condition)
        torch.testing.assert_close(same, y)
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_the_loss_of_a_flow_lift_is_its_log_density_less_what_the_networks_do_not_change():
    lift, fields = example_lift("flow", "periodic", 2)
    lift.temperature.fill_(1.0)
    coarse, detail = lift.operator.split(fields)
    _, measured = lift.standardizer.invert(Context(coarse), detail)
    dofs = detail[0].numel()
    constant = measured.value - dofs * (1 + math.log(2 * math.pi)) / 2
    expected = (constant - lift.log_prob(fields).value) / dofs
    loss = lift.loss(fields, torch.rand(len(fields)), torch.randn_like(detail))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_flow_in_tiles_is_the_flow_of_the_whole(boundary, monkeypatch):
    layers = randomise(coupling_layers(1, 2, 2, boundary, 6, 1))
    y, condition = torch.randn(1, 1, 50, 6), torch.randn(1, 2, 50, 6)

    def both():
        with torch.no_grad():
            there, slope = layers[1](y, condition)
            return there, slope, layers[1].inverse(there, condition)

    whole = both()
    monkeypatch.setattr(tiles, "SITES", {1: 60, 2: 60, 3: 60})
    monkeypatch.setattr(tiles, "PIECES", 2**20)
    for a, b in zip(both(), whole, strict=True):
        torch.testing.assert_close(a, b)
