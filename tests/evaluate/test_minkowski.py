"""Minkowski functionals: exact shapes, and the expectation of Gaussian random fields."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from rgdm.evaluate import FUNCTIONALS, minkowski
from rgdm.evaluate.texture import excursion_figures, thresholds_of

HALF = torch.tensor([0.5], dtype=torch.float64)


def functionals(inside, boundary):
    found = minkowski(torch.as_tensor(np.asarray(inside), dtype=torch.float64)[None, None], HALF, boundary)[0, 0, 0]
    return dict(zip(FUNCTIONALS, found.tolist(), strict=True))


def distance(n, centre=None):
    y, x = np.mgrid[:n, :n] - ((n - 1) / 2 if centre is None else centre)
    return np.hypot(y, x)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_disc(boundary):
    disc = distance(32) < 9.6
    found = functionals(disc, boundary)
    width = 2 * int(disc.any(0).sum())  # of a convex set the boundary is that of its bounding box
    assert found["area"] == disc.mean()
    assert found["perimeter"] == 2 * width / disc.size
    assert (found["euler"], found["islands"], found["lakes"]) == (1, 1, 1)


def test_edges_of_a_large_disc_are_four_over_pi_of_its_circumference():
    found = functionals(distance(400) < 150, "reflect")
    assert found["perimeter"] * 400**2 == pytest.approx(2 * math.pi * 150 * 4 / math.pi, rel=0.01)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_an_annulus_has_a_hole_and_its_complement_an_island(boundary):
    ring = (distance(32) < 12) & (distance(32) > 5)
    found, other = functionals(ring, boundary), functionals(~ring, boundary)
    assert (found["euler"], found["islands"], found["lakes"]) == (0, 1, 2)
    assert (other["islands"], other["lakes"]) == (2, 1)
    # the complement is a disc and a sheet with a hole; on a torus that sheet has the characteristic -1
    assert other["euler"] == (0 if boundary == "periodic" else 1)


def test_a_checkerboard_is_the_mean_of_sites_apart_and_sites_joined():
    board = np.indices((8, 8)).sum(0) % 2 == 1
    torus, plane = functionals(board, "periodic"), functionals(board, "reflect")
    assert (torus["area"], torus["perimeter"], torus["euler"]) == (0.5, 2, 0)  # (32 - 32) / 2
    assert (torus["islands"], torus["lakes"]) == (32, 32)
    assert plane["perimeter"] == 2 * 7 * 8 / 64
    joined = 1 - 18  # one part, 36 inner white sites of which half are holes
    assert plane["euler"] == (32 + joined) / 2


def test_a_disc_across_the_edges_of_a_torus_is_one_island_and_in_a_plane_four():
    disc = np.roll(distance(32) < 9.6, (16, 16), (0, 1))
    torus, plane = functionals(disc, "periodic"), functionals(disc, "reflect")
    assert (torus["islands"], torus["euler"], torus["lakes"]) == (1, 1, 1)
    assert (plane["islands"], plane["euler"]) == (4, 4)
    assert plane["perimeter"] == torus["perimeter"]  # the rim is no boundary
    strip = np.zeros((8, 8), bool)
    strip[0] = strip[-1] = True
    both = functionals(strip, ("periodic", "reflect"))
    assert (both["islands"], functionals(strip, "reflect")["islands"]) == (1, 2)


def test_intervals_and_shells():
    line = np.array([1, 1, 0, 0, 1, 0, 1, 1], bool)
    assert functionals(line, "reflect") == {"area": 5 / 8, "perimeter": 4 / 8, "euler": 3, "islands": 3, "lakes": 2}
    assert functionals(line, "periodic") == {"area": 5 / 8, "perimeter": 4 / 8, "euler": 2, "islands": 2, "lakes": 2}
    r = np.sqrt((np.indices((16, 16, 16)) - 7.5).__pow__(2).sum(0))
    ball, shell = functionals(r < 6, "reflect"), functionals((r < 7) & (r > 3), "periodic")
    assert (ball["euler"], ball["islands"], ball["lakes"]) == (1, 1, 1)
    assert (shell["euler"], shell["islands"], shell["lakes"]) == (2, 1, 2)  # a cavity
    y, x = np.indices((16, 16)) - 7.5
    tube = np.zeros((16, 16, 16), bool)
    tube[5:9] = (np.hypot(y, x) < 6) & (np.hypot(y, x) > 2)
    assert functionals(tube, "reflect")["euler"] == 0  # a tunnel
    cube = np.zeros((6, 6, 6), bool)
    cube[1:4, 1:4, 1:4] = True
    assert functionals(cube, "reflect")["perimeter"] == 54 / 216


def gaussian_field(count=24, n=128, scale=0.03):
    """Smooth periodic Gaussian fields of unit variance; their correlation of neighbours and second spectral moment."""
    k = torch.fft.fftfreq(n, dtype=torch.float64)
    k2 = k[:, None] ** 2 + k[None] ** 2
    spectrum = torch.exp(-k2 / scale**2 / 2)
    spectrum[0, 0] = 0
    spectrum = spectrum / spectrum.sum()
    generator = torch.Generator().manual_seed(5)
    white = torch.randn(count, 1, n, n, generator=generator, dtype=torch.float64)
    field = torch.fft.ifft2(torch.fft.fft2(white) * (spectrum * n * n).sqrt()).real
    moment = float((spectrum * (2 * math.pi * k[:, None]) ** 2).sum())
    neighbour = float((spectrum * torch.cos(2 * math.pi * k)[:, None]).sum())
    return field, neighbour, moment


def test_gaussian_fields_have_the_expected_area_boundary_and_euler_characteristic():
    """Adler 1981, The Geometry of Random Fields; Tomita 1986, Prog. Theor. Phys. 76, 952; the boundary exactly.

    Per site ``E chi = lambda (2 pi)^(-3/2) u exp(-u^2 / 2)``, lambda the second spectral moment of an axis.
    """
    field, neighbour, moment = gaussian_field()
    thresholds = torch.tensor([-1.0, 0, 1, 2], dtype=torch.float64)
    each = minkowski(field, thresholds, "periodic")[:, 0]
    value, error = each.mean(0), each.std(0) / len(each) ** 0.5
    pair = multivariate_normal([0, 0], [[1, neighbour], [neighbour, 1]])
    for i, u in enumerate(thresholds.tolist()):
        edges = 2 * 2 * (norm.cdf(u) - pair.cdf([u, u]))
        euler = euler_at(u, moment)
        wanted = torch.tensor([norm.sf(u), edges, euler], dtype=torch.float64)
        assert ((value[i, :3] - wanted).abs() < 4 * error[i, :3]).all(), u
        assert edges == pytest.approx(2 * math.sqrt(moment) / math.pi * math.exp(-u * u / 2), rel=0.03)  # Rice 1944
    # negative control: the moment of a field that is a quarter finer is seen at once
    assert (value[2, 2] - 1.25**2 * euler_at(1.0, moment)).abs() > 5 * error[2, 2]


def euler_at(u, moment):
    return moment * (2 * math.pi) ** -1.5 * u * math.exp(-u * u / 2) * 128**2


def test_the_euler_characteristic_changes_sign_with_the_field_on_a_torus():
    field = torch.randn(2, 1, 12, 10, dtype=torch.float64)
    found = minkowski(torch.cat([field, -field], 1), torch.zeros(1, dtype=torch.float64), "periodic")[:, :, 0]
    assert torch.equal(found[:, 0, 2], -found[:, 1, 2])
    assert torch.equal(found[:, 0, 3:], found[:, 1, [4, 3]])


def test_exchangeable_members_agree_with_the_truth_within_errors_and_rougher_ones_do_not():
    field = gaussian_field(count=60, n=64, scale=0.08)[0].reshape(6, 10, 1, 64, 64)
    truth, ensemble = field[0], field[1:]
    levels = thresholds_of(truth, None, ())
    alike = excursion_figures(truth, ensemble, levels, "periodic")
    rough = excursion_figures(truth, ensemble + 0.5 * torch.randn(ensemble.shape), levels, "periodic")
    for name, goal in (("area", 1), ("perimeter", 1), ("islands", 1), ("euler", 0)):
        entry = alike[f"excursion_{name}"]
        for kind in ("error", "scatter"):
            assert ((entry["value"] - goal).abs() < 4 * entry[kind])[1:4].all(), name
    for name in ("perimeter", "islands", "lakes"):
        entry = rough[f"excursion_{name}"]
        assert ((entry["value"] - 1) > 5 * entry["error"])[2].all(), name
    single = excursion_figures(truth[:1], ensemble[:, :1], levels, "periodic")["excursion_perimeter"]
    assert single["error"].isnan().all() and (single["scatter"][1:4] > 0).all()


def test_thresholds_are_those_named_or_quantiles_of_valid_values():
    truth = torch.arange(100.0)[None, None]
    assert thresholds_of(truth, None, ()).tolist() == [4, 24, 49, 74, 94]
    assert thresholds_of(truth, truth < 50, ()).tolist() == [2, 12, 24, 37, 47]
    assert thresholds_of(truth, None, (3.0, -1.0, 3.0)).tolist() == [-1, 3]
    assert thresholds_of(torch.zeros(1, 1, 4), None, ()).tolist() == [0]
