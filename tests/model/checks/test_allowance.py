"""The allowance: a model that would be too large is refused before it is made."""

import pytest
import torch
from torch import nn

from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.checks.allowance import Allowance
from rgdm.scale.grid import Grid


def test_what_fits_is_made_and_what_does_not_is_refused():
    with Allowance(4000, "too large"):
        assert torch.zeros(10, 100).shape == (10, 100)
    with pytest.raises(InputError, match="too large"), Allowance(4000, "too large"):
        torch.zeros((10, 101))
    assert torch.zeros(10, 101).shape == (10, 101)  # as before


def test_it_counts_all_that_is_made():
    with pytest.raises(InputError, match="too large"), Allowance(4 * 4 * 100, "too large"):
        for _ in range(5):
            nn.Linear(10, 10, bias=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.empty(n, n),
        lambda n: torch.full((n, n), 0.5),
        lambda n: torch.randn(size=(n, n)),
        lambda n: torch.eye(n),
        lambda n: torch.arange(n * n),
        lambda n: nn.Conv2d(n, n, 3),
    ],
)
def test_every_way_to_make_a_tensor_is_seen(make):
    with pytest.raises(InputError, match="too large"), Allowance(2**20, "too large"):
        make(10**6)


@pytest.mark.parametrize(
    ("design", "grid", "channels"),
    [
        (Design(levels=32, width=(4096,), encoder_blocks=64, decoder_blocks=64, shared=False), Grid.uniform(2), 1),
        (Design(width=(4096,), lift="flow"), Grid.uniform(3), 1),
        (Design(), Grid.uniform(3, factor=16), 1),
        (Design(), Grid.uniform(2), 1024),
    ],
)
def test_a_huge_cascade_is_refused_at_once(design, grid, channels):
    with pytest.raises(InputError, match="too large"), Allowance(2**24, "too large"):
        Cascade(design, grid, channels)
