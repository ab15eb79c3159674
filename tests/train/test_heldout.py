"""What is kept back from a training: whole samples where there are enough, else the end of an axis between edges."""

import pytest
import torch

from rgdm.scale.grid import Grid
from rgdm.train import hold_back

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


@pytest.mark.parametrize(("samples", "spared"), [(1, 0), (2, 0), (3, 1), (7, 1)])
def test_of_few_periodic_fields_the_last_is_kept_back_if_it_can_be_spared(samples, spared):
    x = numbered(samples, 64, 64)
    parts = hold_back(x, PERIODIC, 3, ordered=False)
    assert torch.equal(parts.training.values, x[: samples - spared])
    assert (parts.held_out is None) == (spared == 0)


def test_fields_that_are_too_small_to_be_cut_are_all_trained_on():
    parts = hold_back(numbered(1, 16, 16), REFLECT, 3, ordered=False)
    assert parts.held_out is None and "too few and too small" in parts.what
