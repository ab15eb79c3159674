"""Noise that is given, and noise that persists along an axis: what may stand in for a noise field."""

import pytest
import torch

from rgdm.process.noise import GivenNoise, NoiseField, PersistentNoise, Window

WHOLE = Window.whole(0, (128, 128))
MEMORY = (1.0, 0.7, -0.4)


# --- given noise -------------------------------------------------------------------------------


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


# --- noise that persists -----------------------------------------------------------------------


def frames(*numbers: int, memory: tuple[float, ...] = MEMORY, seed: int = 1) -> torch.Tensor:
    return PersistentNoise(NoiseField(seed), numbers, memory)(0, 1, WHOLE)


def expected_correlation(memory: tuple[float, ...], apart: int) -> float:
    """``sum_j h_j h_{j+s} / |h|^2``."""
    products = [a * b for a, b in zip(memory, memory[apart:], strict=False)]
    return sum(products) / sum(h * h for h in memory)


def correlation(x: torch.Tensor, apart: int) -> float:
    """Of frames so far apart, at one site."""
    return float((x[:-apart] * x[apart:]).double().mean())


def test_every_frame_is_white_and_of_unit_variance():
    x = frames(*range(8)).double()
    n = x[0].numel()
    for frame in x[:, 0]:
        assert abs(float(frame.mean())) < 4 / n**0.5
        assert abs(float(frame.square().mean()) - 1) < 4 * (2 / n) ** 0.5
        for axis in (0, 1):
            assert abs(float((frame * frame.roll(1, axis)).mean())) < 4 / n**0.5


def test_frames_are_correlated_as_their_memory_says():
    """An average of so many sites, and of few independent frames; a memory that is a little different is found out."""
    x = frames(*range(12))
    error = (12 / x.numel()) ** 0.5  # at most: frames count a quarter, products have a variance below 3
    for apart in (1, 2, 3, 5):
        assert abs(correlation(x, apart) - expected_correlation(MEMORY, apart)) < 4 * error
    for apart in (1, 2):
        assert abs(correlation(x, apart) - expected_correlation((1.0, 0.5, -0.2), apart)) > 4 * error


def test_frames_beyond_the_memory_have_no_noise_in_common():
    """Not nearly independent, but to the last bit: new noise under one leaves the other as it is."""
    field = NoiseField(1)
    replaced = PersistentNoise(field, [0, 2, 3], MEMORY)
    true = field.window
    zero = -1 - 2**31  # the stream of frame 0; those of later frames lie below
    field.window = lambda stream, *rest: true(stream, *rest) if stream < zero else true(stream - 1000, *rest)
    changed = replaced(0, 1, WHOLE)
    before = frames(0, 2, 3)
    assert torch.equal(changed[2], before[2])  # it remembers 3, 2 and 1
    assert not torch.equal(changed[1], before[1]) and not torch.equal(changed[0], before[0])


def test_a_frame_made_alone_is_that_of_a_batch_to_the_bit():
    batch = frames(3, 4, 9)
    for i, number in enumerate((3, 4, 9)):
        assert torch.equal(frames(number)[0], batch[i])


def test_without_memory_every_frame_is_the_noise_of_a_stream_that_no_sample_has():
    streams = [-1 - 2**31 - 5, -1 - 2**31 + 2]
    assert torch.equal(frames(5, -2, memory=(2.0,)), NoiseField(1).of(streams)(0, 1, WHOLE))


def test_a_memory_of_zeros_is_refused():
    with pytest.raises(ValueError, match=r"the memory of the noise is \[0.0, 0.0\]; one weight at least"):
        PersistentNoise(NoiseField(0), [0], [0.0, 0.0])
