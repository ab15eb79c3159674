"""The untrained lift fitted to Gaussian fields of a known spectrum, against the exact law of every operator."""

import math
from typing import get_args

import pytest
import torch

from rgdm.design import FixedOperator
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.known_spectrum import on_grid
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import LocalStandardizer
from rgdm.scale.grid import Grid
from rgdm.scale.operators.registry import LEARNED, make_operator

pytestmark = pytest.mark.usefixtures("float64")

SPECTRA = {
    "smooth": lambda k: (k.square() + 0.01) ** -1.5,
    "near criticality": lambda k: 1 / (k.square() + 1e-3),
    "rough": lambda k: (k.square() + 0.05) ** -0.5,
}
OPERATORS = (*get_args(FixedOperator), *LEARNED)
TRAINING = 64


def covariance(spectrum, lattice, boundary):
    """Of unit variance, on a torus or in a window of one four times as large."""
    torus = tuple(n if boundary == "periodic" else 4 * n for n in lattice)
    column = torch.fft.ifftn(on_grid(SPECTRA[spectrum], torus)).real
    sites = torch.cartesian_prod(*[torch.arange(n) for n in lattice]).reshape(-1, len(lattice))
    apart = (sites[:, None] - sites) % torch.tensor(torus)
    return column[tuple(apart.unbind(-1))] / column.flatten()[0]


@torch.no_grad()
def compare(operator, boundary, lattice, spectrum):
    """What the fitted law has in bits a detail above the exact one, and the ratio of the errors of the means."""
    covered = covariance(spectrum, lattice, boundary)
    n = len(covered)
    fields = (torch.randn(TRAINING + 8, n) @ torch.linalg.cholesky(covered).T).reshape(-1, 1, *lattice)
    test, training = fields.split([8, TRAINING])
    split = torch.cat([part.flatten(1) for part in operator.split(torch.eye(n).reshape(n, 1, *lattice))], 1).T
    joint = split @ covered @ split.T
    m = n // math.prod(operator.factors(len(lattice)))
    gain = torch.linalg.solve(joint[:m, :m], joint[:m, m:]).T
    context, detail = Context.of(test, operator)
    left = detail.flatten(1) - context.coarse.flatten(1) @ gain.T
    root = torch.linalg.cholesky(joint[m:, m:] - gain @ joint[:m, m:])
    white = torch.linalg.solve_triangular(root, left.T, upper=False)
    exact = white.square().sum(0).mean() / 2 + root.diagonal().log().sum() + (n - m) * math.log(2 * math.pi) / 2
    lift = StandardizedLift(operator, LocalStandardizer(operator, 1, len(lattice), boundary))
    lift.fit(training)
    excess = float(-lift.log_prob(test, networks=False).value.mean() - exact) / (n - m) / math.log(2)
    missed = lift.detail(context, torch.zeros_like(detail)) - detail
    return excess, float(missed.norm() / left.norm())


@pytest.mark.integration
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(
    ("name", "lattice", "factors"),
    [(name, (24, 24), 2) for name in OPERATORS]
    + [(name, (96,), 2) for name in OPERATORS if name != "quincunx"]
    + [(name, (24, 24), factors) for name in ("block-spin", "decimation") for factors in ([1, 2], [2, 3])],
)
def test_on_a_torus_a_fit_is_nearly_exact_whatever_the_operator(name, lattice, factors, spectrum):
    operator = make_operator(name, Grid.uniform(len(lattice), "periodic", factors))
    excess, ratio = compare(operator, "periodic", lattice, spectrum)
    assert abs(excess) < 0.03 and ratio < 1.03


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("name", ["block-spin", "momentum-shell", "decimation", "quincunx"])
def test_between_edges_a_fit_is_nearly_exact_but_for_what_lies_beyond_them(name, spectrum):
    """A wavelet's filters at an edge are others than inside, which no stencil knows."""
    operator = make_operator(name, Grid.uniform(2, "reflect", 2))
    excess, ratio = compare(operator, "reflect", (24, 24), spectrum)
    assert abs(excess) < 0.08 and ratio < 1.03


@pytest.mark.parametrize("name", ["decimation", "quincunx"])
def test_a_prediction_that_takes_constants_to_have_no_detail_is_found_out(name, monkeypatch):
    monkeypatch.setattr("rgdm.model.lifts.standardizer.detail_of_constant", lambda operator, d: (0.0,) * 3)
    operator = make_operator(name, Grid.uniform(2, "periodic", 2))
    excess, ratio = compare(operator, "periodic", (24, 24), "smooth")
    assert excess > 0.5 and ratio > 1.5
