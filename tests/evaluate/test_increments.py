"""Structure functions and slopes of fields whose differences are known."""

import math

import numpy as np
import pytest
import torch

from rgdm.evaluate import structure_functions
from rgdm.evaluate.increments import lags, slopes


def test_white_noise_has_twice_its_variance_and_twelve_times_its_square_at_every_distance():
    field = 3 * torch.randn(200, 1, 32, 32, dtype=torch.float64)
    found = structure_functions(field, lags((32, 32)), "periodic")[:, 0]
    value, error = found.mean(0), found.std(0) / len(found) ** 0.5
    wanted = torch.tensor([2 * 9.0, 12 * 81.0], dtype=torch.float64)
    assert ((value - wanted).abs() < 4 * error).all() and (error / wanted).max() < 0.02
    rough = structure_functions(field + field.roll(1, 2), [1], "periodic")[:, 0, 0, 0]
    assert rough.mean() > 2 * 9 + 10 * rough.std() / len(rough) ** 0.5  # negative control


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_structure_functions_are_those_of_all_pairs(boundary):
    x = torch.randn(1, 2, 6, 9, dtype=torch.float64)
    for lag in (1, 2):
        for channel in range(2):
            a = x[0, channel].numpy()
            if boundary == "periodic":
                pairs = [np.roll(a, -lag, axis) - a for axis in (0, 1)]
            else:
                pairs = [a[lag:] - a[:-lag], a[:, lag:] - a[:, :-lag]]
            d = np.concatenate([p.ravel() for p in pairs])
            found = structure_functions(x, [lag], boundary)[0, channel, 0]
            assert found.tolist() == pytest.approx([(d**2).mean(), (d**4).mean()])


def test_a_wave_and_axes_that_are_too_short():
    x = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * x / 8).expand(1, 1, 4, 32)
    found = structure_functions(wave, [4, 8], "periodic")[0, 0, :, 0]
    assert found.tolist() == pytest.approx([2, 0])  # along the long axis alone
    assert lags((4, 32)) == [1, 2, 4, 8] and lags((3,)) == [1]


def test_slopes_leave_out_what_is_not_valid_and_close_periodic_axes():
    x = torch.tensor([[0.0, 1, 3, 6]])
    assert slopes(x)[0].tolist() == [1, 2, 3]
    assert slopes(x, boundary="periodic")[0].tolist() == [1, 2, 3, 6]
    assert slopes(x, below=3.5)[0].tolist() == [1, 2]
    steps, sizes = slopes(x, weights=torch.tensor([[1.0, 0, 2, 8]]))
    assert steps.tolist() == [3] and sizes is not None and sizes.tolist() == [4]
