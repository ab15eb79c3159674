"""The inverse and the determinant of a colouring, against dense matrices."""

import math

import pytest
import torch

from rgdm.model.closed_form.colouring import Colouring
from small import log_volume

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("lattice", [(6,), (5, 6)])
def test_the_inverse_of_a_colouring_is_its_inverse_with_its_determinant(boundary, lattice):
    colouring = Colouring(2, len(lattice), 2, boundary)
    colouring.colour.kernel += 0.02 * torch.randn_like(colouring.colour.kernel)
    z = torch.randn(3, 2, *lattice)
    found, volume, error = colouring.invert(colouring.colour(z))
    torch.testing.assert_close(found, z)
    assert volume == pytest.approx(log_volume(colouring.colour, z[:1]), rel=1e-8, abs=1e-8) and error == 0


@pytest.mark.parametrize(("lattice", "bands", "radius"), [((7,), 2, 2), ((3, 9), 1, 2), ((4, 5, 2), 2, 1)])
def test_the_matrix_of_a_colouring_is_its_answer_to_each_impulse(lattice, bands, radius):
    colouring = Colouring(bands, len(lattice), radius, "reflect")
    colouring.colour.kernel.normal_()
    size = bands * math.prod(lattice)
    expected = colouring.colour(torch.eye(size).reshape(size, bands, *lattice)).reshape(size, size).T
    torch.testing.assert_close(colouring._matrix(lattice), expected)


@pytest.mark.integration
def test_a_large_determinant_between_edges_is_estimated_within_its_error(monkeypatch):
    monkeypatch.setattr("rgdm.model.closed_form.colouring.DENSE", 1000)
    colouring = Colouring(2, 2, 2, "reflect")
    colouring.colour.kernel += 0.02 * torch.randn_like(colouring.colour.kernel)
    z = torch.randn(1, 2, 24, 24)
    found, volume, error = colouring.invert(colouring.colour(z))
    eye = torch.eye(z.numel()).reshape(-1, *z.shape[1:])
    exact = float(torch.linalg.slogdet(colouring.colour(eye).flatten(1)).logabsdet)
    torch.testing.assert_close(found, z)
    assert error > 0 and abs(volume - exact) < 4 * error


def test_a_colouring_that_cannot_be_inverted_says_so(monkeypatch):
    colouring = Colouring(1, 1, 1, "reflect")
    colouring.colour.kernel.copy_(torch.tensor([[[0.5, 1.0, 0.5]]]))
    colouring.colour.kernel[0, 0, 1] = 0.98  # a mode between edges, cos(pi n / 2N), has 0.98 + cos of it
    monkeypatch.setattr("rgdm.model.closed_form.colouring.DENSE", 10)
    with pytest.raises(ValueError, match=r"could not be inverted.*at most 10 details"):
        colouring.invert(torch.randn(1, 1, 64))
    monkeypatch.undo()
    colouring.colour.kernel.copy_(torch.tensor([[[1.0, 0.0, -1.0]]]))
    with pytest.raises(ValueError, match="so it has no inverse"):
        colouring.invert(torch.randn(1, 1, 64))


@pytest.mark.parametrize("lattice", [(64,), (24, 24)])
def test_a_normalised_colouring_makes_unit_variances_and_its_inverse_follows(lattice):
    torch.manual_seed(0)
    white = torch.randn(200, 2, *lattice)
    mixed = torch.stack([2 * white[:, 0] + white[:, 1].roll(1, -1), 0.5 * white[:, 1] + 0.4 * white[:, 0]], 1)
    colouring = Colouring(2, len(lattice), 3, "periodic")
    colouring.fit(mixed)
    before = colouring.whiten(colouring.colour(white))
    colouring.normalise()
    torch.testing.assert_close(colouring.whiten(colouring.colour(white)), before)
    assert colouring.colour(white).var(unbiased=True, dim=(0, *range(2, white.dim()))).tolist() == pytest.approx(
        [1, 1], rel=0.05
    )
