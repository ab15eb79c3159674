"""Backbones by name: nothing before training, any lattice, the symmetry of each, and they learn."""

import importlib.util
import math
import subprocess
import sys

import pytest
import torch

from rgdm.model.networks import everywhere, fourier_operator
from rgdm.model.networks.backbone import Backbone
from rgdm.model.networks.fourier_operator import SpectralConvolution
from rgdm.model.networks.registry import make_backbone, multiply_adds
from rgdm.model.networks.transformer import PATCH
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.derivative import along
from rgdm.scale.operators.block import BlockSpin
from small import conditions, diffusion_lift, lifted

pytestmark = pytest.mark.usefixtures("float64")

PACKAGES = {"conv": "torch", "unet": "diffusers", "dit": "diffusers", "fno": "neuralop"}
UNITS = {"conv": 1, "unet": 4, "dit": PATCH, "fno": 1}
CASES = [("conv", 1), ("conv", 2), ("conv", 3), ("unet", 2), ("dit", 2), ("fno", 1), ("fno", 2), ("fno", 3)]
KINDS = list(UNITS)
LATTICES = {1: [(16,), (7,)], 2: [(8, 8), (12, 20), (4, 4), (5, 6), (1, 3)], 3: [(4, 4, 4), (5, 2, 6)]}
TIMES = [0.2, 0.9]


def untrained(kind: str, dimension: int = 2, boundary: str = "periodic", width: int = 8) -> Backbone:
    if importlib.util.find_spec(PACKAGES[kind]) is None:
        pytest.skip(f"{PACKAGES[kind]} is not installed")
    torch.manual_seed(0)
    return make_backbone(kind, 3, 2, dimension, boundary, width, (3, 2))


def random(kind: str, dimension: int = 2, boundary: str = "periodic") -> Backbone:
    net = untrained(kind, dimension, boundary)
    for weight in net.parameters():
        weight.data.add_(torch.randn_like(weight), alpha=0.3)
    return net


def inputs(lattice: tuple[int, ...], count: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x, condition = torch.randn(count, 3, *lattice), torch.randn(count, 2, *lattice)
    return x, torch.linspace(*TIMES, count), condition


def seen(net: Backbone, lattice: tuple[int, ...]) -> torch.Tensor:
    x, t, condition = inputs(lattice)
    return net(x, t, net.encode(condition))


def shifted(net: Backbone, lattice: tuple[int, ...], by: int) -> float:
    """How far shifting and the network are from commuting, over the size of what the network makes."""
    x, t, condition = inputs(lattice)
    axes, shifts = tuple(range(2, x.dim())), [by * (1 + axis) for axis in range(len(lattice))]
    with torch.no_grad():
        first = net(x.roll(shifts, axes), t, net.encode(condition.roll(shifts, axes)))
        later = net(x, t, net.encode(condition)).roll(shifts, axes)
    return float((first - later).abs().max() / later.std())


# --- before training ---------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize(("kind", "dimension"), CASES)
def test_an_untrained_one_leaves_every_lattice_alone(kind, dimension, boundary):
    net = untrained(kind, dimension, boundary)
    for lattice in LATTICES[dimension]:
        out = seen(net, lattice)
        assert out.shape == (2, 3, *lattice) and out.dtype == torch.float64
        assert bool((out == 0).all())


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_a_lift_with_any_of_them_begins_as_the_gaussian_one(kind):
    torch.manual_seed(2)
    fine = torch.randn(2, 1, 16, 16)
    fields = []
    for each in ("conv", kind):
        untrained(each)
        net = make_backbone(each, 3, conditions(1, 3), 2, "periodic", 8, (3, 2))
        lift = diffusion_lift(BlockSpin(2), 1, 2, "periodic", net)
        lift.fit(fine)
        with torch.no_grad():
            fields.append(lifted(lift, fine, torch.ones(2, 3, 16, 16), AdamsBashforth(3)))
    torch.testing.assert_close(fields[0], fields[1], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_one_network_and_its_state_gives_it_back(kind):
    net, again = random(kind), random(kind)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    other = untrained(kind)
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(seen(other, (8, 8)), seen(net, (8, 8)), rtol=0, atol=0)
    stored = {*dict(net.named_parameters()), *dict(net.named_buffers())}
    assert stored == set(net.state_dict())
    assert all(p.dtype == torch.float64 for p in net.parameters())  # real: fused optimizers know no other


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_the_same_to_its_rounding_and_half_of_it_is_finite(kind):
    net = random(kind)
    x, t, condition = inputs((8, 12))
    with torch.no_grad():
        expected = net(x, t, net.encode(condition))
        net, x, condition = net.float(), x.float(), condition.float()
        made = net(x, t, net.encode(condition))
        assert made.dtype == torch.float32
        assert (made - expected).abs().max() < 1e-4 * expected.abs().max()
        with torch.autocast("cpu", torch.bfloat16):
            assert bool(net(x, t, net.encode(condition)).isfinite().all())


# --- symmetry ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dimension"), CASES)
def test_a_shift_of_a_periodic_lattice_shifts_what_is_made_of_it(kind, dimension):
    lattices = {1: [(16,), (9,)], 2: [(16, 12), (9, 7)], 3: [(4, 6, 8), (3, 5, 7)]}[dimension]
    for lattice in lattices:
        if all(n % UNITS[kind] == 0 for n in lattice):
            assert shifted(random(kind, dimension), lattice, UNITS[kind]) < 1e-8


@pytest.mark.parametrize(("kind", "dimension"), CASES)
def test_with_edges_it_does_not(kind, dimension):
    lattice = {1: (16,), 2: (16, 12), 3: (4, 6, 8)}[dimension]
    assert shifted(random(kind, dimension, "reflect"), lattice, UNITS[kind]) > 1e-3


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_shift_by_less_than_the_unit_is_no_symmetry(kind):
    assert shifted(random(kind), (16, 12), 1) > 1e-3


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_tokens_know_where_they_are(boundary):
    """Without positions a transformer would commute with every permutation of its patches."""
    net, (x, t, condition) = random("dit", boundary=boundary), inputs((8, 8))
    order = torch.arange(8).reshape(-1, PATCH)[[0, 2, 1, 3]].flatten()
    with torch.no_grad():
        first, later = net(x[..., order], t, condition[..., order]), net(x, t, condition)[..., order]
    assert (first - later).abs().max() > 1e-3 * later.std()


@pytest.mark.parametrize("lattice", [(8,), (9,), (8, 6), (7, 5), (1, 2), (4, 3, 6)])
def test_a_spectral_convolution_with_unit_matrices_is_the_identity_up_to_its_largest_wavenumber(lattice):
    layer = SpectralConvolution(2, len(lattice))
    eye = torch.eye(2).reshape(2, 2, *[1] * len(lattice)).expand_as(layer.weight[0])
    layer.weight.data = torch.stack([eye, torch.zeros_like(eye)])
    x = torch.randn(3, 2, *lattice)
    torch.testing.assert_close(layer(x), x)
    layer.most = 1
    layer.weight.data = layer.weight.data[(..., *(slice(0, 3),) * (len(lattice) - 1), slice(0, 2))]
    wave = torch.arange(lattice[0]).mul(2 * math.pi / lattice[0]).cos().reshape(-1, *[1] * (len(lattice) - 1))
    wave = wave.expand(lattice) + 0.7
    torch.testing.assert_close(layer(wave.expand(1, 2, *lattice)), wave.expand(1, 2, *lattice))
    if lattice[0] > 4:
        twice = wave[torch.arange(lattice[0]) * 2 % lattice[0]]
        torch.testing.assert_close(layer(twice.expand(1, 2, *lattice)), torch.full((1, 2, *lattice), 0.7))


# --- learning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dimension"), [case for case in CASES if case[1] < 3])
def test_gradients_reach_every_weight(kind, dimension):
    net = random(kind, dimension)
    seen(net, {1: (70,), 2: (20, 20)}[dimension]).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not idle


@pytest.mark.parametrize("kind", KINDS)
def test_time_and_condition_count(kind):
    net, (x, t, condition) = random(kind), inputs((8, 8))
    with torch.no_grad():
        features = net.encode(condition)
        plain = net(x, t, features)
        for other in (net(x, t + 0.05, features), net(x, t, net.encode(condition + 0.1)), net(x, t)):
            assert (other - plain).abs().max() > 1e-3 * plain.std()


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_in_forward_mode_are_those_of_differences(kind):
    net, (x, t, condition) = random(kind), inputs((4, 6))
    features, direction, h = net.encode(condition).detach(), torch.randn_like(x), 1e-5
    with torch.no_grad():
        value, slope = along(lambda x: net(x, t, features), x, direction)
        differences = (net(x + h * direction, t, features) - net(x - h * direction, t, features)) / (2 * h)
        torch.testing.assert_close(value, net(x, t, features))
    assert slope.abs().max() > 1e-3 * value.std()
    assert (slope - differences).abs().max() < 1e-6 * slope.abs().max()


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_thirty_steps_bring_the_error_down(kind):
    net, (x, t, condition) = untrained(kind, width=16), inputs((8, 8), count=8)
    target = t.cos()[:, None, None, None] * x.roll(1, 2) + torch.tanh(2 * condition[:, :1])
    rate = {"conv": 1e-3, "unet": 3e-3, "dit": 1e-2, "fno": 1e-2}[kind]
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, fused=True)
    losses = []
    for _ in range(31):
        loss = (net(x, t, net.encode(condition)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


# --- figures -----------------------------------------------------------------------------------


def test_multiplications_of_convolutions_are_those_counted_by_hand():
    net = make_backbone("conv", 3, 2, 2, "reflect", 8, (3, 2))
    site = 3 * 8 + 4 * 8 * 8 + 8 * 3
    encode, forward = multiply_adds(net, (6, 10), 2)
    assert encode == 9 * 60 * (2 * 8 + 6 * 8 * 8)
    assert forward == 9 * 60 * site + (4 * 32 + 32 * 32 + 2 * 32 * 16)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["unet", "dit", "fno"])
def test_the_work_grows_with_the_sites_and_of_attention_with_their_square(kind):
    net = untrained(kind)
    small, large = (multiply_adds(net, (n, n), 2) for n in (64, 128))
    assert small[0] == large[0] == 0
    growth = large[1] / small[1]
    assert 10 < growth < 16 if kind == "dit" else 3.9 < growth < 4.5


def test_only_the_local_network_has_a_reach():
    assert [untrained(kind).reach() for kind in KINDS] == [(7, 6), None, None, None]
    assert make_backbone("conv", 3, 2, 2, "reflect", 8, (1, 4)).reach() == (3, 10)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "mamba"}, "unknown backbone 'mamba'; known are conv, unet, dit, fno"),
        ({"kind": "unet", "dimension": 3}, "'unet' is for 2 dimensions, not 3; conv and fno would fit"),
        ({"kind": "dit", "dimension": 1}, "'dit' is for 2 dimensions, not 1; conv and fno would fit"),
        ({"kind": "fno", "dimension": 4}, "'fno' is for 1 or 2 or 3 dimensions, not 4"),
        ({"kind": "fno", "blocks": (0, 0)}, "needs a channel, a width of one and a block"),
        ({"kind": "unet", "blocks": (5, 2)}, "'unet' has 2 or 3 resolutions"),
        ({"kind": "dit", "width": 30}, "'dit' needs a multiple of 4, such as 28 or 32"),
        ({"kind": "fno", "boundary": "open"}, "boundary is 'open'"),
    ],
)
def test_what_does_not_fit_is_refused(changed, words, unchecked):
    given = {"kind": "conv", "dimension": 2, "boundary": "periodic", "width": 8, "blocks": (3, 2), **changed}
    with pytest.raises(ValueError, match=words):
        make_backbone(channels=1, condition_channels=2, **given)


@pytest.mark.parametrize(("kind", "package"), [("unet", "diffusers"), ("dit", "diffusers"), ("fno", "neuraloperator")])
def test_a_missing_package_is_named_with_the_extra_that_has_it(kind, package, monkeypatch):
    def absent(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module.split(".")[0])

    monkeypatch.setattr(everywhere.importlib, "import_module", absent)
    words = rf"the backbone '{kind}' needs {package}, which is not installed; pip install 'rgdm\[backbones\]'"
    with pytest.raises(ValueError, match=words):
        make_backbone(kind, 1, 2, 2, "periodic", 8, (3, 2))

    def broken(module):
        raise ImportError("torch is too old")

    monkeypatch.setattr(everywhere.importlib, "import_module", broken)
    with pytest.raises(ValueError, match=rf"{package}, which cannot be imported \(torch is too old\)"):
        make_backbone(kind, 1, 2, 2, "periodic", 8, (3, 2))


@pytest.mark.integration
def test_their_packages_are_imported_when_one_is_made_and_not_before():
    packages = {"diffusers", "neuralop", "triton"}
    code = f"import sys, rgdm.model.networks.registry; sys.exit(bool({packages} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_operator_whose_last_units_are_all_silent_still_learns(monkeypatch):
    net = random("fno")

    def steepest() -> float:
        net.zero_grad()
        seen(net, (8, 8)).square().sum().backward()
        return max(float(w.grad.abs().max()) for w in net.entry.parameters() if w.grad is not None)

    with torch.no_grad():
        net.exit.fcs[0].bias.fill_(-1e4)  # gelu and its slope are 0 there
    assert steepest() > 1e-3
    monkeypatch.setattr(fourier_operator, "LEAK", 0.0)
    assert steepest() < 1e-15
