"""Cascades on grids whose axes differ: in what lies beyond their ends, and in their factors."""

import math

import pytest
import torch

from lift_examples import randomise, red
from rgdm.model.cascade import generation
from rgdm.model.cascade.cascade import Cascade
from rgdm.process.noise import NoiseField
from small import cascade

pytestmark = pytest.mark.usefixtures("float64")

GRIDS = {
    "periodic x, reflecting y": {"boundary": ("reflect", "periodic")},
    "periodic x, reflecting y, db2": {"boundary": ("reflect", "periodic"), "operator": "db2"},
    "factors 1, 2": {"factor": (1, 2)},
    "levels of 2 and 3": {"factor": [(2, 3)], "boundary": ("reflect", "periodic")},
    "levels of 3 and 2 in time": {"dimension": 3, "factor": (1, (3, 2), 2)},
    "factors 3, 2": {"factor": (3, 2), "boundary": ("periodic", "reflect")},
    "a globe in time": {"dimension": 3, "factor": (1, 2, 2), "boundary": ("reflect", "reflect", "periodic")},
    "periodic x, flow": {"boundary": ("reflect", "periodic"), "lift": "flow"},
}
every_grid = pytest.mark.parametrize("options", GRIDS.values(), ids=GRIDS)
LATTICES = {2: (18, 16), 3: (2, 4, 8)}


def measured(options, channels=1):
    """A cascade of two levels, with weights as after some training, and fields."""
    settings = {"dimension": 2, "levels": 2, "width": 3, "evaluations": 2, **options}
    model = cascade(channels, **settings)
    units = model.grid.widths(2)
    lattice = tuple(max(1, n // unit) * unit for n, unit in zip(LATTICES[model.dimension], units, strict=True))
    fields = 4 + red(8, lattice, channels)
    model.fit(fields)
    randomise(model.lifts)
    return model.eval(), fields


def block_means(x, factors):
    """Plain block means."""
    for axis, b in enumerate(factors, start=2):
        x = x.unflatten(axis, (-1, b)).mean(axis + 1)
    return x


@pytest.mark.integration
@every_grid
def test_it_samples_refines_exactly_and_has_a_likelihood(options):
    model, fields = measured(options, channels=2)
    lattice = tuple(fields.shape[2:])
    samples = model.sample(lattice, 2, seed=1)
    assert samples.shape == (2, 2, *lattice) and bool(samples.isfinite().all())
    coarse = model.trajectory(fields[:2])[-1]
    fine = model.refine(coarse, members=2)
    assert fine.shape == (2, 2, 2, *lattice)
    torch.testing.assert_close(model.trajectory(fine[0])[-1], coarse, rtol=0, atol=1e-12)
    if options.get("operator") != "db2":
        torch.testing.assert_close(block_means(fine[1], model.grid.widths(2)), coarse, rtol=0, atol=1e-12)
    likelihood = model.log_prob(fields[:2], probes=1, tolerance=1e-1)
    assert bool(likelihood.total.value.isfinite().all())
    assert sum(likelihood.dofs) == 2 * math.prod(lattice)


@pytest.mark.integration
@every_grid
def test_it_comes_back_from_disk_with_its_grid(options, tmp_path):
    model, fields = measured(options)
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    assert again.grid == model.grid and again.configuration == model.configuration
    lattice = tuple(fields.shape[2:])
    assert torch.equal(again.double().sample(lattice, seed=3), model.sample(lattice, seed=3))


class Moved(NoiseField):
    """Noise that is moved along one axis of the torus, by so many sites of level 1."""

    axis, by = -1, 1

    def window(self, stream, draw, channels, window):
        return super().window(stream, draw, channels, window).roll(self.by * 2 ** (1 - window.level), self.axis)


@pytest.mark.parametrize(("axis", "commutes"), [(-1, True), (-2, False)])
def test_a_shift_along_the_periodic_axis_is_a_symmetry_and_one_along_the_other_is_not(axis, commutes, monkeypatch):
    model, fields = measured(GRIDS["periodic x, reflecting y"])
    coarse = model.trajectory(fields[:1])[-1]
    fine = model.refine(coarse)
    monkeypatch.setattr(Moved, "axis", axis)
    monkeypatch.setattr(generation, "NoiseField", Moved)
    moved = model.refine(coarse.roll(1, axis))
    error = (moved - fine.roll(4, axis)).abs().max() / fine.std()
    assert (error < 1e-6) == commutes


def test_an_axis_of_factor_one_keeps_its_sites():
    model, fields = measured(GRIDS["factors 1, 2"])
    assert [tuple(x.shape[2:]) for x in model.trajectory(fields)] == [(18, 16), (18, 8), (18, 4)]
    with pytest.raises(ValueError, match=r"not divisible by \(1, 4\), as this model asks; \(7, 16\) would be"):
        model.sample((7, 18))
