"""Beyond the edge: numpy.pad as the oracle."""

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rgdm.scale.boundary import boundary_of_each, check_boundary, continued_index, extend, extend_silu

pytestmark = pytest.mark.usefixtures("float64")

MODES = {"periodic": "wrap", "reflect": "symmetric"}


@pytest.mark.parametrize("boundary", MODES)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 13))
def test_a_field_continues_as_numpy_pads_it_at_any_width(boundary, lattice, width):
    x = torch.randn(2, 1, *lattice)
    expected = np.pad(x.numpy(), [(0, 0), (0, 0)] + [(width, width)] * len(lattice), mode=MODES[boundary])
    assert np.array_equal(extend(x, width, boundary).numpy(), expected)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(sorted(MODES))), min_size=1, max_size=3), st.integers(0, 13)
)
def test_each_axis_continues_by_its_own_boundary(axes, width):
    lattice, boundaries = zip(*axes, strict=True)
    x = torch.randn(2, 1, *lattice)
    expected = x.numpy()
    for axis, boundary in enumerate(boundaries, start=2):
        widths = [(width, width) if i == axis else (0, 0) for i in range(x.dim())]
        expected = np.pad(expected, widths, mode=MODES[boundary])
    assert np.array_equal(extend(x, width, boundaries).numpy(), expected)


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_site_of_the_continued_line_is_the_site_of_the_lattice_that_padding_repeats_there(boundary, n):
    expected = np.pad(np.arange(n), (3 * n + 1, 2 * n), mode=MODES[boundary])
    assert continued_index(-3 * n - 1, 3 * n, n, boundary, torch.device("cpu")).tolist() == expected.tolist()


def test_boundaries_of_another_number_than_the_axes_are_refused():
    with pytest.raises(
        ValueError, match=r"2 boundaries \(periodic, reflect\) for 3 axes; give one for all, or one each"
    ):
        boundary_of_each(("periodic", "reflect"), 3)


def test_the_two_boundaries_differ():
    x = torch.arange(3.0).reshape(1, 1, 3)
    assert extend(x, 1, "periodic").tolist() == [[[2, 0, 1, 2, 0]]]
    assert extend(x, 1, "reflect").tolist() == [[[0, 0, 1, 2, 2]]]


def test_an_unknown_boundary_is_refused():
    with pytest.raises(ValueError, match="boundary is 'open'; it must be 'periodic' or 'reflect'"):
        check_boundary("open")


def test_the_suite_checks_annotations_at_every_call():
    with pytest.raises(jaxtyping.TypeCheckError):
        extend(torch.zeros(1, 1, 3, dtype=torch.int64), 1, "periodic")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("lattice", "boundary"),
    [((5,), "periodic"), ((3, 4), "periodic"), ((2, 3, 2), "periodic"), ((3, 4), ("reflect", "periodic"))],
)
def test_the_gradient_of_periodic_continuation_is_its_transpose_to_every_order(lattice, boundary):
    x = torch.randn(1, 1, *lattice, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: extend(x, 2, boundary), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: extend(x, 2, boundary), x)


def test_periodic_continuation_can_be_mapped_and_differentiated_forward():
    x, v = torch.randn(3, 1, 2, 4, 4), torch.randn(3, 1, 2, 4, 4)
    one = torch.stack([extend(each, 1, "periodic") for each in x])
    assert torch.equal(torch.func.vmap(lambda each: extend(each, 1, "periodic"))(x), one)
    _, tangent = torch.func.jvp(lambda y: extend(y, 1, "periodic"), (x[0],), (v[0],))
    assert torch.equal(tangent, extend(v[0], 1, "periodic"))


def test_periodic_continuation_keeps_the_channels_last_in_memory():
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    assert extend(x, 1, "periodic").is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("boundary", ["periodic", "reflect", "mixed"])
@pytest.mark.parametrize("lattice", [(5,), (1, 4), (6, 5), (3, 4, 5)])
@pytest.mark.parametrize(("last", "leak"), [(False, 0.0), (True, 0.0), (True, 0.1)])
def test_silu_beyond_the_edges_is_the_same_in_one_pass(boundary, lattice, last, leak):
    x = torch.randn(2, 3, *lattice)
    if last and x.dim() > 3:
        x = x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
    sides = ("periodic", "reflect", "periodic")[: len(lattice)] if boundary == "mixed" else boundary
    expected = extend(torch.nn.functional.silu(x) + leak * x, 1, sides)
    with torch.no_grad():
        made = extend_silu(x, sides, leak)
    torch.testing.assert_close(made, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(extend_silu(x, sides, leak), expected)
    assert made.stride() == expected.stride() or not last
