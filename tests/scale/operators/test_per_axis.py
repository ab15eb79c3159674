"""Another operator for each axis: what each axis of it is, and what the registry makes of a grid."""

import pytest
import torch

from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.learned import LearnedWavelet, Lifting
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.per_axis import Identity, PerAxis
from rgdm.scale.operators.registry import make_operator
from rgdm.scale.operators.wavelets import Wavelet

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    "operator", [BlockSpin(3), Decimation(2), MomentumShell(2), Wavelet("db2", "reflect")], ids=str
)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_axes_that_are_alike_are_the_operator_itself(operator, dimension):
    x = torch.randn(2, 2, *(2 * operator.factor * n for n in (2, 1, 1)[:dimension]))
    for part, expected in zip(PerAxis([operator] * dimension).split(x), operator.split(x), strict=True):
        assert torch.equal(part, expected)


def test_one_axis_after_the_other_each_by_its_own_operator():
    rows, columns = Wavelet("db2", "reflect"), BlockSpin(3)
    x = torch.randn(1, 1, 8, 6)
    coarse, detail = PerAxis([rows, columns]).split(x)
    first = rows.analyze_axis(x[0, 0].T)  # (column, band, row)
    both = columns.analyze_axis(first.movedim(0, -1)).movedim(-2, 1)  # (band of rows, band of columns, row, column)
    torch.testing.assert_close(torch.cat([coarse, detail], 1)[0], both.flatten(0, 1))


def test_an_axis_that_is_left_alone_is_a_batch_of_fields_of_the_other():
    x = torch.randn(1, 2, 5, 8)
    coarse, detail = PerAxis([None, BlockSpin(2)]).split(x)
    lines = BlockSpin(2).split(x[0].transpose(0, 1))
    assert torch.equal(coarse[0].transpose(0, 1), lines[0]) and torch.equal(detail[0].transpose(0, 1), lines[1])


def test_it_says_its_factors_gain_places_and_lattices_axis_by_axis():
    operator = PerAxis([None, BlockSpin(3), Decimation(2)])
    assert operator.factors(3) == (1, 3, 2) and operator.bands(3) == 5
    assert operator.gain(3) == pytest.approx(3**0.5)
    assert operator.places(3, levels=2) == (0, 4, 0)
    assert operator.coarse_lattice((5, 9, 8), 2) == (5, 1, 2) and operator.fine_lattice((5, 1, 2), 2) == (5, 9, 8)
    assert operator.blockwise and not PerAxis([BlockSpin(2), Wavelet("db2")]).blockwise
    operator.check_orthonormal(3)


def test_what_it_cannot_do_is_refused():
    operator = PerAxis([None, BlockSpin(3)])
    with pytest.raises(ValueError, match="a field of 3 axes; this operator has one rule for each of 2"):
        operator.split(torch.zeros(1, 1, 3, 3, 3))
    with pytest.raises(ValueError, match=r"\(4, 7\) is not divisible by the factors \(1, 3\); \(4, 6\) would be"):
        operator.split(torch.zeros(1, 1, 4, 7))
    with pytest.raises(
        ValueError, match=r"fits 1 level of factors \(1, 3\), not 2; use 1 level, or a lattice such as \(4, 9\)"
    ):
        operator.check_depth((4, 12), 2)
    with pytest.raises(ValueError, match=r"the factors \(1, 3\) differ by axis; this needs one for all axes"):
        operator.factor  # noqa: B018
    with pytest.raises(ValueError, match="differs by axis; ask for places"):
        operator.place  # noqa: B018
    with pytest.raises(ValueError, match="no axis is coarse-grained"):
        PerAxis([None, None])


# --- the registry ------------------------------------------------------------------------------


def test_axes_that_are_alike_get_one_operator():
    assert type(make_operator("block-spin", Grid.uniform(2, ["periodic", "reflect"], 3))) is BlockSpin
    assert type(make_operator("db4", Grid.uniform(3, "periodic"))) is Wavelet
    assert type(make_operator("learned-4", Grid.uniform(2, "reflect"))) is LearnedWavelet


def test_axes_that_differ_in_boundary_or_factor_get_an_operator_each():
    globe = make_operator("db2", Grid.uniform(2, ["reflect", "periodic"]))
    assert isinstance(globe, PerAxis)
    assert [axis.boundary for axis in globe.axes] == ["reflect", "periodic"]
    film = make_operator("momentum-shell", Grid.uniform(3, "periodic", [1, 3, 2]))
    assert isinstance(film, PerAxis)
    assert [type(axis) for axis in film.axes] == [Identity, MomentumShell, MomentumShell]
    assert film.factors(3) == (1, 3, 2)


def test_lifting_takes_boundaries_that_differ_by_axis():
    lifting = make_operator("lifting", Grid.uniform(2, ["reflect", "periodic"]))
    assert isinstance(lifting, Lifting)
    x = torch.randn(1, 1, 8, 8)
    lifting = lifting.double()
    torch.testing.assert_close(lifting.merge(*lifting.split(x)), x)


@pytest.mark.parametrize(
    ("name", "grid", "words"),
    [
        ("haar", Grid.uniform(2, factor=[2, 4]), "the factor is 4; haar has 2"),
        (
            "quincunx",
            Grid.uniform(2, "periodic", [1, 2]),
            r"the factors of the axes are \(1, 2\); quincunx has 2 along each",
        ),
        (
            "learned-8",
            Grid.uniform(2, ["periodic", "reflect"]),
            "the boundaries are periodic, reflect; learned-8 has one",
        ),
        ("sinc", Grid.uniform(), "unknown operator 'sinc'; known are block-spin, haar"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_grid_that_an_operator_does_not_take_is_refused(name, grid, words):
    with pytest.raises(ValueError, match=words):
        make_operator(name, grid)
