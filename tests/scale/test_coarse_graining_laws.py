"""Laws that every orthonormal coarse-graining inherits; a new operator joins by one line in ``OPERATORS``."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet
from rgdm.scale.operators.momentum_shell import MomentumShell
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
COVARIANT = [name for name in OPERATORS if "reflect" not in name or "haar" in name]
TAPS = 1e-10  # PyWavelets tabulates its filters to about eleven digits
CONSTANT = [name for name in OPERATORS if "Wavelet" not in name or name in COVARIANT]


class MatrixOnly(Orthonormal):
    """The oracle: the same operator with the inherited dense path instead of its fast one."""

    def __init__(self, operator: Orthonormal) -> None:
        super().__init__(operator.factor)
        self.operator = operator

    def matrix(self, n: int) -> torch.Tensor:
        return self.operator.matrix(n)


@st.composite
def shapes(draw):
    """Batch, channels, and 1 to 3 axes of one to five blocks each; the factor comes later."""
    dimension = draw(st.integers(1, 3))
    blocks = tuple(draw(st.integers(1, 5 if dimension < 3 else 3)) for _ in range(dimension))
    return draw(st.integers(1, 2)), draw(st.integers(1, 3)), blocks


def field(operator: Orthonormal, shape, seed: int = 0) -> torch.Tensor:
    batch, channels, blocks = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *(operator.factor * n for n in blocks), generator=generator)


every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
some = settings(max_examples=10)  # for each of the many operators


@every_operator
@some
@given(shapes())
def test_merge_undoes_split(operator, shape):
    x = field(operator, shape)
    torch.testing.assert_close(operator.merge(*operator.split(x)), x, rtol=0, atol=1e-12)


@every_operator
@some
@given(shapes())
def test_split_undoes_merge(operator, shape):
    coarse, detail = (torch.randn_like(part) for part in operator.split(field(operator, shape)))
    again = operator.split(operator.merge(coarse, detail))
    torch.testing.assert_close(again, (coarse, detail), rtol=0, atol=1e-12)


@every_operator
@some
@given(shapes())
def test_split_keeps_the_norm(operator, shape):
    x = field(operator, shape)
    coarse, detail = operator.split(x)
    torch.testing.assert_close(coarse.square().sum() + detail.square().sum(), x.square().sum(), rtol=1e-12, atol=0)


@every_operator
@some
@given(shapes())
def test_refine_is_the_adjoint_of_coarsen(operator, shape):
    x = field(operator, shape)
    y = torch.randn_like(operator.coarsen(x))
    torch.testing.assert_close((operator.coarsen(x) * y).sum(), (x * operator.prolong(y)).sum(), rtol=0, atol=1e-11)


@every_operator
@some
@given(shapes())
def test_white_noise_stays_white_because_coarsen_undoes_refine(operator, shape):
    y = torch.randn_like(operator.coarsen(field(operator, shape)))
    torch.testing.assert_close(operator.coarsen(operator.prolong(y)), y, rtol=0, atol=1e-12)


@every_operator
@some
@given(shapes())
def test_the_fast_path_is_the_matrix_of_each_axis(operator, shape):
    x = field(operator, shape)
    fast, oracle = operator.split(x), MatrixOnly(operator).split(x)
    torch.testing.assert_close(fast, oracle, rtol=0, atol=1e-12)
    torch.testing.assert_close(MatrixOnly(operator).merge(*fast), x, rtol=0, atol=1e-12)


@every_operator
def test_the_matrix_of_an_axis_is_orthonormal(operator):
    for blocks in (1, 2, 3, 6):
        matrix = operator.matrix(blocks * operator.factor)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-12)


@every_operator
def test_the_dense_matrix_acts_as_split_does(operator):
    x = field(operator, (1, 1, (2, 3)))
    coarse, detail = operator.split(x)
    expected = torch.cat([coarse.flatten(), detail.flatten()])
    torch.testing.assert_close(operator.dense(tuple(x.shape[2:])) @ x.flatten(), expected, rtol=0, atol=1e-12)


@every_operator
def test_channels_do_not_mix_and_detail_is_channel_major(operator):
    x = field(operator, (2, 3, (2, 3)))
    coarse, detail = operator.split(x)
    for channel in range(3):
        alone = operator.split(x[:, channel : channel + 1])
        bands = detail.unflatten(1, (3, -1))[:, channel]
        torch.testing.assert_close((coarse[:, channel : channel + 1], bands), alone, rtol=0, atol=0)


@pytest.mark.parametrize("name", COVARIANT)
@some
@given(shapes(), st.integers(-3, 3))
def test_a_translation_by_b_translates_coarse_and_detail_by_one(name, shape, shift):
    operator, axes = OPERATORS[name], tuple(range(2, 2 + len(shape[2])))
    shifts = tuple(shift + i for i in range(len(axes)))
    x = field(operator, shape)
    moved = operator.split(x.roll([operator.factor * s for s in shifts], axes))
    expected = tuple(part.roll(shifts, axes) for part in operator.split(x))
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["BlockSpin(2)", "BlockSpin(3)", "MomentumShell(2, reflect)", "MomentumShell(3, reflect)"]
)
def test_a_mirrored_field_has_a_mirrored_coarse_field(name):
    x = field(OPERATORS[name], (1, 2, (4, 3)))
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
    x = field(operator, (1, 1, (4, 4))).float()
    again = operator.merge(*operator.split(x))
    assert again.dtype == torch.float32
    assert float((again - x).abs().max()) < 1e-5


@every_operator
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_there_is_one_detail_channel_for_every_lost_degree_of_freedom(operator, dimension):
    x = field(operator, (1, 2, (2,) * dimension))
    coarse, detail = operator.split(x)
    assert detail.shape[1] == 2 * operator.bands(dimension)
    assert coarse.numel() + detail.numel() == x.numel()
    assert math.prod(coarse.shape[2:]) * operator.factor**dimension == math.prod(x.shape[2:])
