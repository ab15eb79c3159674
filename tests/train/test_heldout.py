"""What is kept back from a training: whole samples where there are enough, else strips of an axis between edges."""

import pytest
import torch

from rgdm.errors import InputError
from rgdm.model.cascade.fields import Fields
from rgdm.model.lifts.setting import Setting
from rgdm.scale.grid import Grid
from rgdm.train import hold_back
from rgdm.train.heldout import ALIKE, likeness

REFLECT, PERIODIC = Grid.uniform(2, "reflect"), Grid.uniform(2, "periodic")


def numbered(samples: int, *lattice: int) -> torch.Tensor:
    return torch.arange(samples * lattice[0] * lattice[1], dtype=torch.float32).reshape(samples, 1, *lattice)


def test_of_many_samples_a_tenth_is_kept_back_evenly_spread_and_of_a_time_series_its_end():
    x = numbered(40, 8, 8)
    for ordered, expected in ((False, [5, 15, 25, 35]), (True, [36, 37, 38, 39])):
        parts = hold_back(x, PERIODIC, 2, ordered)
        assert parts.held_out is not None and torch.equal(parts.held_out.values, x[expected])
        assert len(parts.training) == 36 and parts.what.startswith("4 of 40 samples")
        together = torch.cat([parts.training.values, parts.held_out.values]).flatten().sort().values
        assert torch.equal(together, x.flatten())  # nothing twice, nothing lost


def test_few_large_fields_lose_the_end_of_their_longest_axis_between_edges_in_whole_coarsest_sites():
    x = numbered(2, 64, 128)
    parts = hold_back(x, REFLECT, 3, ordered=False)
    assert parts.held_out is not None and parts.what == "the last 16 of 128 sites along x"
    assert torch.equal(parts.training.values, x[..., :112]) and torch.equal(parts.held_out.values, x[..., 112:])
    mixed = hold_back(x, Grid.uniform(2, ["reflect", "periodic"]), 3, ordered=False)
    assert mixed.held_out is not None and torch.equal(mixed.training.values, x[:, :, :48])  # a torus is not cut


def test_of_a_large_field_strips_all_along_it_are_kept_back_each_with_its_place():
    x = numbered(2, 16, 520)
    fields = Fields(x, Setting(weights=1 + x[:1] % 520))
    parts = hold_back(fields, REFLECT, 3, ordered=False)
    assert parts.held_out is not None and parts.what == "3 strips of 16 of 520 sites along x (the last 16 are left out)"
    kept, rest = parts.held_out, parts.training
    assert kept.values.shape == (6, 1, 16, 16) and rest.values.shape == (6, 1, 16, 152)
    columns = [part.values[:3, 0, 0].flatten().tolist() for part in (rest, kept)]
    assert sorted(columns[0] + columns[1]) == list(range(504))  # nothing twice; what does not divide is lost
    assert [row[0] % 520 for row in kept.values[:3, 0, 0].tolist()] == [152, 320, 488]
    assert bool((kept.values[3:] >= 16 * 520).all())  # in order of samples, as in time
    for part in parts.training, parts.held_out:
        assert part.place.weights is not None
        torch.testing.assert_close(part.place.weights, 1 + part.values % 520)


@pytest.mark.parametrize(("samples", "spared"), [(1, 0), (2, 0), (3, 1), (7, 1)])
def test_of_few_periodic_fields_the_last_is_kept_back_if_it_can_be_spared(samples, spared):
    x = numbered(samples, 64, 64)
    parts = hold_back(x, PERIODIC, 3, ordered=False)
    assert torch.equal(parts.training.values, x[: samples - spared])
    assert (parts.held_out is None) == (spared == 0)


def test_fields_that_are_too_small_to_be_cut_are_all_trained_on():
    parts = hold_back(numbered(1, 16, 16), REFLECT, 3, ordered=False)
    assert parts.held_out is None and "too few and too small" in parts.what


def test_space_is_kept_back_of_samples_that_are_many_if_that_is_asked_for():
    x = numbered(20, 64, 128)
    parts = hold_back(x, REFLECT, 3, ordered=True, where="space")
    assert parts.what == "the last 16 of 128 sites along x" and len(parts.training) == 20
    few = hold_back(x[:4], REFLECT, 3, ordered=True, where="samples")
    assert few.what.startswith("1 of 4 samples")
    with pytest.raises(InputError, match=r"where='space': 20 fields .* leave nothing to keep back"):
        hold_back(x, PERIODIC, 3, ordered=True, where="space")
    with pytest.raises(InputError, match="where='samples': 2 fields"):
        hold_back(x[:2], REFLECT, 3, ordered=True, where="samples")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_samples_of_one_place_are_known_by_the_correlation_of_their_detail(share):
    """Each has a share of its variance in common with all others, whatever its large scales and its gaps."""
    torch.manual_seed(0)
    own, common = torch.randn(12, 1, 64, 64, dtype=torch.float64), torch.randn(1, 1, 64, 64, dtype=torch.float64)
    x = (1 - share) ** 0.5 * own + share**0.5 * common + 100 * torch.randn(12, 1, 1, 1)
    x = x.masked_fill(torch.rand_like(x) < 0.1, torch.nan)
    parts = hold_back(x, REFLECT, 2, ordered=True)
    assert parts.alike == pytest.approx(share, abs=0.06) and (parts.alike > ALIKE) == (share > 0.5)
    both = torch.cat([x, 1e6 * x], 1)  # a second variable, in another unit
    assert likeness(both[-1:], both[:-1], (2, 2)) == pytest.approx(parts.alike, abs=1e-6)
