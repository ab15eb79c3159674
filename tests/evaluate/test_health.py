"""Samples against data at the end of a training: what is right is not in doubt, what is wrong is."""

import pytest
import torch

from rgdm.evaluate.health import Comparison, compare
from small import cascade


def gaussian(count: int, boundary: str) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.randn(count, 1, 64, 64)
    for axis in (2, 3):
        x = x + 0.5 * (x.roll(1, axis) + x.roll(-1, axis))
    return 3 * x + 100


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_gaussian_field_is_not_in_doubt_and_a_louder_one_is(boundary):
    fields = gaussian(24, boundary)
    model = cascade(boundary=boundary)
    model.fit(fields)
    found = {c.name: c for c in compare(model, fields)}
    assert not [name for name, c in found.items() if c.doubtful]
    assert found["standard deviation"].data == pytest.approx(float(fields.std()), rel=0.02)
    assert found["kurtosis of differences"].data == pytest.approx(3, rel=0.03)
    assert any("coupling" in name for name in found) == (boundary == "periodic")
    louder = {c.name for c in compare(model, 1.5 * fields) if c.doubtful}
    assert {"standard deviation", "difference of neighbours", "difference of sites 8 apart"} <= louder
    assert "kurtosis of differences" not in louder


def test_one_large_field_is_cut_for_errors():
    fields = gaussian(1, "reflect").repeat(1, 1, 3, 4)
    model = cascade()
    model.fit(fields)
    assert all(c.data_error > 0 and c.samples_error > 0 for c in compare(model, fields))


def test_doubt_needs_both_much_and_more_than_chance():
    assert Comparison("x", 0, True, 1.0, 0.02, 1.3, 0.02).doubtful
    assert not Comparison("x", 0, True, 1.0, 0.02, 1.15, 0.02).doubtful  # not much
    assert not Comparison("x", 0, True, 1.0, 0.2, 1.3, 0.02).doubtful  # may be chance
    assert not Comparison("x", 0, True, 1.0, float("nan"), 1.3, 0.02).doubtful  # nobody knows


def test_spins_have_no_couplings_that_can_be_told_apart_and_are_compared_all_the_same():
    torch.manual_seed(0)
    spins = torch.randn(24, 1, 16, 16).sign()
    model = cascade(boundary="periodic")
    model.fit(spins)
    assert not [c.name for c in compare(model, spins) if "coupling" in c.name]


@pytest.mark.parametrize(("channels", "dimension"), [(2, 2), (1, 1), (1, 3)])
def test_every_channel_is_compared_in_every_dimension(channels, dimension):
    torch.manual_seed(0)
    fields = torch.randn(6, channels, *[16] * dimension).cumsum(-1)
    model = cascade(channels=channels, dimension=dimension)
    model.fit(fields)
    found = compare(model, fields)
    assert {c.channel for c in found} == set(range(channels)) and len({(c.name, c.channel) for c in found}) == len(
        found
    )
