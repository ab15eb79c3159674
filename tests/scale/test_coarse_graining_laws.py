"""Laws that every orthonormal coarse-graining inherits; a new operator joins by one line in ``OPERATORS``."""

import math

import pytest
import torch

from rgdm.scale.coarse_graining import Orthonormal, Separable
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.per_axis import PerAxis
from rgdm.scale.operators.wavelets import Wavelet

pytestmark = pytest.mark.usefixtures("float64")

WAVELETS = ("haar", "db2", "db4", "sym5", "coif1")
BOUNDARIES = ("periodic", "reflect")


def turned(taps, boundary):
    """A learned wavelet of any angles, somewhere on the way."""
    operator = LearnedWavelet(taps, boundary)
    operator.angles.requires_grad_(False).add_(torch.linspace(-0.7, 0.9, len(operator.angles)))
    return operator


OPERATORS = {
    **{f"BlockSpin({b})": BlockSpin(b) for b in (2, 3, 4)},
    **{f"Decimation({b})": Decimation(b) for b in (2, 3)},
    **{f"MomentumShell({b}, {e})": MomentumShell(b, e) for b in (2, 3, 4) for e in BOUNDARIES},
    **{f"Wavelet({name}, {e})": Wavelet(name, e) for name in WAVELETS for e in BOUNDARIES},
    **{f"LearnedWavelet({taps}, {e})": turned(taps, e) for taps in (4, 10) for e in BOUNDARIES},
}
BY_AXIS = {
    "db2, reflect x periodic": PerAxis([Wavelet("db2", "reflect"), Wavelet("db2", "periodic")]),
    "db4, periodic x reflect x periodic": PerAxis(
        [Wavelet("db4", side) for side in ("periodic", "reflect", "periodic")]
    ),
    "shells, periodic x reflect": PerAxis([MomentumShell(2, "periodic"), MomentumShell(2, "reflect")]),
    "factors (1, 2)": PerAxis([None, BlockSpin(2)]),
    "factors (3, 2)": PerAxis([BlockSpin(3), BlockSpin(2)]),
    "factors (2, 1, 3)": PerAxis([BlockSpin(2), None, Decimation(3)]),
}
"""Another operator for each axis; each takes fields of its own dimension alone."""
EVERY = OPERATORS | BY_AXIS
COVARIANT = [name for name in EVERY if "reflect" not in name or "haar" in name]
TAPS = 1e-10  # PyWavelets tabulates its filters to about eleven digits
CONSTANT = [name for name in OPERATORS if "Wavelet" not in name or name in COVARIANT]
BLOCKS = [(2, 1, (1,)), (1, 3, (5,)), (1, 2, (1, 3)), (2, 1, (4, 2)), (1, 1, (1, 2, 3)), (1, 2, (3, 2, 1))]
"""Batch, channels and the blocks along each axis."""


class MatrixOnly(Orthonormal):
    """The oracle: the same operator with the inherited dense path instead of its fast one."""

    def __init__(self, operator: Orthonormal) -> None:
        super().__init__(2)
        self.operator, self.factor = operator, operator.factor

    def matrix(self, n: int) -> torch.Tensor:
        return self.operator.matrix(n)


def dense(operator: Separable) -> Separable:
    """The oracle of an operator, axis by axis."""
    if isinstance(operator, PerAxis):
        return PerAxis([MatrixOnly(operator.along(axis)) for axis in range(len(operator.axes))])
    return MatrixOnly(operator.along(0))


def dimensions(operator: Separable) -> list[int]:
    return [len(operator.axes)] if isinstance(operator, PerAxis) else [1, 2, 3]


def field(operator: Separable, batch: int, channels: int, blocks: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    lattice = operator.fine_lattice(blocks)
    return torch.randn(batch, channels, *lattice, generator=torch.Generator().manual_seed(seed))


def fields(operator: Separable) -> list[torch.Tensor]:
    """A few fields of every dimension that the operator takes, from a single block on."""
    return [field(operator, *shape) for shape in BLOCKS if len(shape[2]) in dimensions(operator)]


def square(operator: Separable, batch: int, channels: int, *blocks: int) -> torch.Tensor:
    """A field of two axes, or of those that the operator takes."""
    return field(operator, batch, channels, (*blocks, 2)[: 2 if 2 in dimensions(operator) else 3])


every_operator = pytest.mark.parametrize("operator", EVERY.values(), ids=EVERY)


@every_operator
def test_merge_undoes_split(operator):
    for x in fields(operator):
        torch.testing.assert_close(operator.merge(*operator.split(x)), x, rtol=0, atol=1e-12)


@every_operator
def test_split_undoes_merge(operator):
    for x in fields(operator):
        coarse, detail = (torch.randn_like(part) for part in operator.split(x))
        again = operator.split(operator.merge(coarse, detail))
        torch.testing.assert_close(again, (coarse, detail), rtol=0, atol=1e-12)


@every_operator
def test_split_keeps_the_norm(operator):
    for x in fields(operator):
        coarse, detail = operator.split(x)
        torch.testing.assert_close(coarse.square().sum() + detail.square().sum(), x.square().sum(), rtol=1e-12, atol=0)


@every_operator
def test_prolong_is_the_adjoint_of_coarsen(operator):
    for x in fields(operator):
        y = torch.randn_like(operator.coarsen(x))
        torch.testing.assert_close((operator.coarsen(x) * y).sum(), (x * operator.prolong(y)).sum(), rtol=0, atol=1e-11)


@every_operator
def test_white_noise_stays_white_because_coarsen_undoes_prolong(operator):
    for x in fields(operator):
        y = torch.randn_like(operator.coarsen(x))
        torch.testing.assert_close(operator.coarsen(operator.prolong(y)), y, rtol=0, atol=1e-12)


@every_operator
def test_the_fast_path_is_the_matrix_of_each_axis(operator):
    for x in fields(operator):
        fast, oracle = operator.split(x), dense(operator)
        torch.testing.assert_close(fast, oracle.split(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(oracle.merge(*fast), x, rtol=0, atol=1e-12)


@every_operator
def test_the_matrix_of_an_axis_is_orthonormal(operator):
    for axis in range(max(dimensions(operator))):
        for blocks in (1, 2, 3, 6):
            matrix = operator.along(axis).matrix(blocks * operator.along(axis).factor)
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-12)


@every_operator
def test_the_dense_matrix_acts_as_split_does(operator):
    x = square(operator, 1, 1, 2, 3)
    coarse, detail = operator.split(x)
    expected = torch.cat([coarse.flatten(), detail.flatten()])
    torch.testing.assert_close(operator.dense(tuple(x.shape[2:])) @ x.flatten(), expected, rtol=0, atol=1e-12)


@every_operator
def test_channels_do_not_mix_and_detail_is_channel_major(operator):
    x = square(operator, 2, 3, 2, 3)
    coarse, detail = operator.split(x)
    for channel in range(3):
        alone = operator.split(x[:, channel : channel + 1])
        bands = detail.unflatten(1, (3, -1))[:, channel]
        torch.testing.assert_close((coarse[:, channel : channel + 1], bands), alone, rtol=0, atol=0)


@pytest.mark.parametrize("name", COVARIANT)
@pytest.mark.parametrize("shift", [-3, 1])
def test_a_translation_by_b_translates_coarse_and_detail_by_one(name, shift):
    operator = EVERY[name]
    for x in fields(operator):
        axes = tuple(range(2, x.dim()))
        shifts = tuple(shift + i for i in range(len(axes)))
        moved = operator.split(x.roll(operator.fine_lattice(shifts), axes))
        expected = tuple(part.roll(shifts, axes) for part in operator.split(x))
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["BlockSpin(2)", "BlockSpin(3)", "MomentumShell(2, reflect)", "MomentumShell(3, reflect)"]
)
def test_a_mirrored_field_has_a_mirrored_coarse_field(name):
    x = field(OPERATORS[name], 1, 2, (4, 3))
    torch.testing.assert_close(OPERATORS[name].coarsen(x.flip(2, 3)), OPERATORS[name].coarsen(x).flip(2, 3))


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_constant_field_has_the_gain_as_coarse_field(name, dimension):
    operator = OPERATORS[name]
    coarse, _ = operator.split(torch.ones(1, 1, *(2 * operator.factor,) * dimension))
    torch.testing.assert_close(coarse, torch.full_like(coarse, operator.gain(dimension)), rtol=0, atol=TAPS)


@pytest.mark.parametrize("name", [name for name in CONSTANT if not name.startswith("Decimation")])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_constant_field_has_no_detail(name, dimension):
    _, detail = OPERATORS[name].split(torch.ones(1, 1, *(2 * OPERATORS[name].factor,) * dimension))
    torch.testing.assert_close(detail, torch.zeros_like(detail), rtol=0, atol=TAPS)


@every_operator
def test_float32_goes_in_and_comes_out(operator):
    x = square(operator, 1, 1, 4, 4).float()
    again = operator.merge(*operator.split(x))
    assert again.dtype == torch.float32
    assert float((again - x).abs().max()) < 1e-5


@every_operator
def test_there_is_one_detail_channel_for_every_lost_degree_of_freedom(operator):
    for dimension in dimensions(operator):
        x = field(operator, 1, 2, (2,) * dimension)
        coarse, detail = operator.split(x)
        assert detail.shape[1] == 2 * operator.bands(dimension)
        assert coarse.numel() + detail.numel() == x.numel()
        assert math.prod(coarse.shape[2:]) * math.prod(operator.factors(dimension)) == math.prod(x.shape[2:])
