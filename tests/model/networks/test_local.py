"""Backbones: seen in tiles they are what they are as a whole."""

import pytest
import torch

from rgdm.model.networks import local
from rgdm.model.networks.local import LocalConvNet
from rgdm.scale import tiles

pytestmark = pytest.mark.usefixtures("float64")


def network(dimension: int, boundary: str) -> LocalConvNet:
    net = LocalConvNet(2, 3, dimension, boundary, width=5, encoder_blocks=2, decoder_blocks=1)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net


def few(monkeypatch, sites: int) -> None:
    monkeypatch.setattr(tiles, "SITES", dict.fromkeys(tiles.SITES, sites))
    monkeypatch.setattr(tiles, "PIECES", 2**20)


def seen(net: LocalConvNet, lattice: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    condition, x = torch.randn(2, 3, *lattice), torch.randn(2, 2, *lattice)
    with torch.no_grad():
        features = net.encode(condition)
        return features, net(x, torch.tensor([0.3, 0.9]), features)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", [(101,), (37, 6), (6, 37), (3, 40, 4)])
@pytest.mark.parametrize("sites", [1, 60])
def test_tiles_make_the_whole_but_for_the_order_of_sums(monkeypatch, boundary, lattice, sites):
    net = network(len(lattice), boundary)
    whole = seen(net, lattice)
    calls = []
    plain = net.entry.forward
    few(monkeypatch, sites)
    monkeypatch.setattr(net.entry, "forward", lambda x: calls.append(x.shape) or plain(x))
    for pieces, expected in zip(seen(net, lattice), whole, strict=True):
        torch.testing.assert_close(pieces, expected, rtol=0, atol=1e-12 * float(expected.std()))
    assert len(calls) > 1


def test_a_halo_that_is_too_small_shows_at_the_seams(monkeypatch):
    net = network(2, "periodic")
    whole, _ = seen(net, (37, 6))
    few(monkeypatch, 1)
    real = local.in_tiles
    monkeypatch.setattr(local, "in_tiles", lambda net, fields, halo, *more: real(net, fields, 2, *more))
    assert (seen(net, (37, 6))[0] - whole).abs().max() > 1e-3 * whole.std()


def test_training_sees_the_whole(monkeypatch):
    net = network(2, "reflect")
    few(monkeypatch, 1)
    monkeypatch.setattr(tiles, "tiling", None)
    net.encode(torch.randn(1, 3, 37, 6)).sum().backward()
    assert net.stem.weight.grad is not None


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_network_whose_last_units_are_all_silent_still_learns(monkeypatch, boundary):
    net = network(2, boundary)

    def steepest() -> float:
        net.zero_grad()
        net.encode(torch.randn(1, 3, 8, 8)).sum().backward()
        out = net(torch.randn(1, 2, 8, 8), torch.tensor([0.5]), net.encode(torch.randn(1, 3, 8, 8)))
        out.square().sum().backward()
        return max(float(w.grad.abs().max()) for w in net.decoder.parameters() if w.grad is not None)

    with torch.no_grad():
        net.decoder[-1].second.bias.fill_(-1e4)  # silu and its slope are 0 there
    assert steepest() > 1e-3
    monkeypatch.setattr(local, "LEAK", 0.0)
    assert steepest() < 1e-15
