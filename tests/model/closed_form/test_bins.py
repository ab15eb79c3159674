"""Nested bins: each has as many cases as the next; between them tables are linear, in every condition."""

import pytest
import torch

from rgdm.model.closed_form.bins import NestedBins

pytestmark = pytest.mark.usefixtures("float64")

COUNT = 12_000
THIRDS = (1 / 3, 2 / 3)


def together() -> tuple[torch.Tensor, torch.Tensor]:
    """Two conditions that go together: large values of both never meet."""
    first = torch.randn(COUNT)
    return first, torch.randn(COUNT) * (-first).exp() + 5 * first


def fitted() -> tuple[NestedBins, tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    torch.manual_seed(3)
    bins, values = NestedBins((0.25, 0.5, 0.75), THIRDS), together()
    return bins, values, bins.fit(*values)


def test_every_bin_has_as_many_cases():
    bins, _, at = fitted()
    assert bins.shape == (4, 3)
    counts = torch.bincount(3 * at[0] + at[1], minlength=12)
    assert int(counts.min()) >= COUNT // 12 - 2 and int(counts.max()) <= COUNT // 12 + 2


def test_conditions_apart_would_leave_bins_empty():
    first, second = together()
    at = [torch.bucketize(x, x.quantile(torch.tensor(THIRDS))) for x in (first, second)]
    assert int(torch.bincount(3 * at[0] + at[1], minlength=9).min()) == 0


def test_weights_add_up_and_tables_are_met_at_the_centres():
    bins, values, _ = fitted()
    corners = bins.corners(*values)
    assert corners.at.shape == (COUNT, 4)
    torch.testing.assert_close(corners.weight.sum(1), torch.ones(COUNT))
    assert float(corners.weight.min()) >= 0
    table = torch.randn(12)
    first, second = bins.centres(0)[0], bins.centres(1)
    for i in range(4):
        met = bins.corners(first[i].expand(3), second[i]).mix(table[:, None])[:, 0]
        torch.testing.assert_close(met, table[3 * i : 3 * i + 3])
    middle = bins.corners(first[:2].mean().expand(1), second[0, 1].expand(1)).mix(table[:, None])[:, 0]
    inside = bins.corners(first[1].expand(1), second[0, 1].expand(1)).mix(table[:, None])[:, 0]
    torch.testing.assert_close(middle, (table[1] + inside) / 2)


def test_beyond_the_outermost_centres_tables_are_constant():
    bins, _, _ = fitted()
    table = torch.randn(12)
    far, farther = (
        bins.corners(*(torch.tensor([-x, x]) for _ in range(2))).mix(table[:, None])[:, 0] for x in (1e3, 1e6)
    )
    assert far.tolist() == farther.tolist() == table[[0, 11]].tolist()


def test_a_table_of_what_is_linear_gives_it_back():
    bins = NestedBins(*(tuple(i / 20 for i in range(1, 20)),) * 2)
    values = torch.rand(2, 40_000)
    at = bins.fit(*values)
    number = 20 * at[0] + at[1]
    table = torch.zeros(400).index_add(0, number, values[0] - 2 * values[1]) / torch.bincount(number, minlength=400)
    inside = ((values > 0.05) & (values < 0.95)).all(0)
    made = bins.corners(*values).mix(table[:, None])[:, 0]
    torch.testing.assert_close(made[inside], (values[0] - 2 * values[1])[inside], rtol=0, atol=0.02)


def test_few_cases_are_joined_by_those_beside_them():
    bins, _, at = fitted()
    own = bins.around(at, 1, 2, fewest=40)
    assert bool((own == ((at[0] == 1) & (at[1] == 2))).all())
    more = bins.around(at, 1, 2, fewest=COUNT // 8, slower=(0,))
    assert bool((more == ((at[0] == 1) & (at[1] >= 1))).all())
    assert bool(bins.around(at, 0, fewest=10 * COUNT).all())


@pytest.mark.parametrize("value", [0.0, -7.0])
def test_cases_that_are_all_alike_lie_in_the_first_bin(value):
    bins = NestedBins(THIRDS, THIRDS)
    alike = torch.full((5,), value)
    assert bins.fit(alike, alike).tolist() == [[0] * 5] * 2
    assert bool(bins.corners(alike, alike).mix(torch.arange(9.0)[:, None]).isfinite().all())
