"""Noise that is given as tensors, which may stand in for a noise field."""

import pytest
import torch

from rgdm.process.noise import GivenNoise, Window


def test_a_window_of_given_noise_is_cut_out_of_the_tensor():
    given = torch.randn(2, 3, 6, 8)
    noise = GivenNoise({(1, 0): given, (0, 2): torch.zeros(2, 3, 12, 16)})
    assert torch.equal(noise(0, 3, Window(1, (2, 5), (3, 1))), given[:, :, 3:5, 1:6])
    assert torch.equal(noise(0, 3, Window.whole(1, (6, 8))), given)


def test_what_is_made_of_given_noise_can_be_differentiated_by_it():
    given = torch.randn(1, 1, 4, 4, requires_grad=True)
    GivenNoise({(0, 0): given})(0, 1, Window(0, (2, 2), (1, 1))).sum().backward()
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = 1
    assert given.grad is not None and torch.equal(given.grad[0, 0], expected)


def test_noise_of_a_level_or_draw_that_is_not_given_is_refused_with_those_that_are():
    noise = GivenNoise({(0, 0): torch.zeros(1, 1, 4)})
    for draw, level in ((1, 0), (0, 1)):
        with pytest.raises(ValueError, match=rf"level {level}, draw {draw}; given are \[\(0, 0\)\]"):
            noise(draw, 1, Window.whole(level, (4,)))


@pytest.mark.parametrize(
    ("channels", "lattice", "origin"),
    [(2, (4, 4), (0, 0)), (1, (4, 4), (0, 1)), (1, (2, 2), (-1, 0)), (1, (5, 4), (0, 0))],
)
def test_a_window_that_given_noise_does_not_hold_is_refused(channels, lattice, origin):
    with pytest.raises(ValueError, match=r"the noise given for level 0 has the shape \(1, 1, 4, 4\); asked for are"):
        GivenNoise({(0, 0): torch.zeros(1, 1, 4, 4)})(0, channels, Window(0, lattice, origin))
