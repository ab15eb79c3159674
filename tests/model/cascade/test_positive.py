"""Cascades of positive fields: mass is kept exactly, nothing is negative, zeros come with their measured chance."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

import small
from rgdm.evaluate import octave_power
from rgdm.model.cascade.calibrate import calibrate, calibrate_free
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.closed_form.amplitude import blur
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import Setting
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.noise import NoiseField, Window
from rgdm.scale.operators.shares import Shares
from rgdm.scale.operators.weighted_shares import WeightedShares

LATTICES = {1: (64,), 2: (16, 24), 3: (8, 8, 16)}


def rain(count: int, lattice: tuple[int, ...], channels: int = 1, levels: int = 4, dry: float = 0.3) -> torch.Tensor:
    """A random multiplicative cascade: at every halving one half gets nothing by chance, else shares are uneven."""
    x = torch.randn(count, channels, *(n >> levels for n in lattice), dtype=torch.float64).mul(0.5).exp()
    for _ in range(levels):
        for axis in reversed(range(2, x.dim())):  # as blocks are halved
            share = torch.rand_like(x).mul(0.6).add(0.2)
            nothing = torch.rand_like(x)
            share = torch.where(nothing < dry / 2, 0.0, torch.where(nothing > 1 - dry / 2, 1.0, share))
            x = torch.stack([2 * share * x, 2 * (1 - share) * x], axis + 1).flatten(axis, axis + 1)
    return x


fitted = partial(small.fitted, positive=True)


@pytest.mark.parametrize("dimension", LATTICES)
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_refined_fields_keep_their_mass_and_are_never_negative(boundary, dimension):
    x = rain(6, LATTICES[dimension], 2 if dimension < 3 else 1, levels=3)
    model = fitted(x, learned=True, boundary=boundary)
    coarse = model.trajectory(x[:3])[-1]
    fine = model.refine(coarse, members=3)
    assert float(fine.min()) == 0 and fine.dtype == torch.float64
    assert float(model.refine(-0.0 * coarse).abs().max()) == 0
    for member in fine:
        torch.testing.assert_close(model.trajectory(member)[-1], coarse, rtol=1e-13, atol=0)
    dry = coarse == 0
    for axis in range(2, coarse.dim()):
        dry = dry.repeat_interleave(4, axis)
    assert bool(dry.any()) and bool((fine[:, dry] == 0).all())


def test_a_measured_cascade_has_the_law_of_the_one_it_was_measured_on():
    """Shares are independent of everything else there, so that the closed form is the whole law."""
    torch.manual_seed(2)
    x, truth = rain(48, (64, 64)), rain(48, (64, 64))
    model = fitted(x, levels=3, boundary="reflect", evaluations=1)
    made = model.refine(model.trajectory(truth)[-1])[0]
    for field in (made, truth):
        assert float(field.min()) == 0
    assert float((made == 0).double().mean()) == pytest.approx(float((truth == 0).double().mean()), abs=0.01)
    ratios = octave_power(made, "reflect")[1].mean(0) / octave_power(truth, "reflect")[1].mean(0)
    assert ratios[:3].tolist() == pytest.approx([1, 1, 1], abs=0.15)
    for _ in range(3):
        both = []
        for field in (made, truth):
            coarse, detail = model.operator.split(field)
            shared = detail[Shares().parents(coarse, detail) > 0]
            both.append([float(shared.square().mean()), float(shared.abs().eq(1).double().mean())])
        assert both[0] == pytest.approx(both[1], abs=0.015)
        made, truth = model.operator.coarsen(made), model.operator.coarsen(truth)


def steps(x: torch.Tensor) -> torch.Tensor:
    """The mean absolute difference of neighbours in a row and in a column, at sides of blocks of 2 and inside."""
    found = []
    for axis in (-1, -2):
        step = x.diff(dim=axis).abs().movedim(axis, 0).flatten(1).mean(1)
        found += [step[::2].mean(), step[1::2].mean()]
    return torch.stack(found)


def test_shares_side_by_side_are_alike_and_leave_no_stripes():
    """Rain whose logarithm is a smooth Gaussian field: halves of a column know those of the next one."""
    torch.manual_seed(4)
    heights, showers = (blur(torch.randn(48, 1, 64, 64), 1.5, "reflect") for _ in range(2))
    heights = heights / heights.std() + 0.3 * torch.randn_like(heights)
    x = (0.7 * heights).exp() * (showers > -0.5 * showers.std())
    truth, model = x[32:], fitted(x[:32], levels=2, boundary="reflect", evaluations=1)
    coarse = model.trajectory(truth)[-1]
    made = steps(model.refine(coarse)[0]) / steps(truth)
    for level in range(2):
        kernel = model.lift(level).standardizer.colouring.colour.kernel
        assert kernel.flatten(1).norm(dim=1).tolist() == pytest.approx([1, 1, 1], rel=1e-5)
        kernel.zero_()
        kernel[(range(3), range(3), *(kernel.shape[-1] // 2,) * 2)] = 1.0
    striped = steps(model.refine(coarse)[0]) / steps(truth)
    assert float((made - 1).abs().max()) < 0.28 < 0.36 < float((striped - 1).abs().max())


def test_differences_make_what_is_never_negative_negative():
    """What shares are for: the same data, split into means and differences."""
    x = rain(24, (64, 64))
    model = small.cascade(levels=3, boundary="reflect")
    model.fit(x)
    made = model.refine(model.trajectory(x[:4])[-1])[0]
    assert float((made < 0).double().mean()) > 0.1


def test_fields_from_nothing_are_positive_and_as_dry_as_the_data():
    torch.manual_seed(3)
    x = rain(64, (64, 64), dry=0.5)
    made = fitted(x, levels=3, boundary="reflect", evaluations=1).sample((64, 64), 64)
    assert float(made.min()) == 0
    assert float((made == 0).double().mean()) == pytest.approx(float((x == 0).double().mean()), abs=0.03)
    assert float(made.mean()) == pytest.approx(float(x.mean()), rel=0.1)


def test_large_and_small_units_make_the_same_fields():
    x = rain(16, (32, 32))
    coarse = [
        fitted(size * x).refine(size * x[:2].unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))) for size in (1.0, 1e-8)
    ]
    torch.testing.assert_close(1e8 * coarse[1], coarse[0], rtol=1e-5, atol=1e-6)


def test_a_saved_model_is_positive_still(tmp_path):
    x = rain(8, (16, 16), levels=3)
    model = fitted(x, learned=True)
    model.save_pretrained(tmp_path / "model")
    coarse = model.trajectory(x)[-1]
    torch.testing.assert_close(Cascade.from_pretrained(tmp_path / "model").refine(coarse), model.refine(coarse))


def test_xarray_objects_come_back_positive():
    x = rain(4, (16, 16), levels=3)
    model = fitted(x)
    coarse = xr.DataArray(model.trajectory(x)[-1][:, 0].numpy(), dims=("time", "y", "x"), attrs={"units": "mm/h"})
    fine = model.refine(coarse, members=2)
    assert fine.dims == ("member", "time", "y", "x") and float(fine.min()) == 0
    np.testing.assert_allclose(fine.coarsen(y=4, x=4).mean()[0], coarse, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objective": "energy", "evaluations": 1}, "without energy"),
        ({"lift": "flow"}, "lift='diffusion'"),
        ({"operator": "haar"}, "operator='block-spin'"),
        ({"sweep": True}, "sweeps"),
        ({"factor": 3}, "block-spin of factor 2"),
    ],
)
def test_what_does_not_go_with_shares_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        small.cascade(positive=True, **settings)


def test_negative_fields_are_refused():
    x = rain(8, (16, 16), levels=3)
    model = fitted(x)
    coarse = model.trajectory(x)[-1]
    coarse[0, 0, 0, 0] = -0.25
    with pytest.raises(ValueError, match=r"1 values .* negative, down to -0.25"):
        model.refine(coarse)
    with pytest.raises(ValueError, match=r"negative, down to -1"):
        fitted(x - 1)


def test_values_below_zero_by_rounding_count_as_zero():
    x = rain(8, (16, 16), levels=3)
    coarse = fitted(x).trajectory(x)[-1]
    made = fitted(torch.where(x == 0, -1e-12, x)).refine(torch.where(coarse == 0, -1e-12, coarse))
    assert float(made.min()) == 0


def test_a_cascade_of_shares_is_not_enlarged():
    with pytest.raises(ValueError, match="cannot be enlarged"):
        fitted(rain(8, (16, 16), levels=3)).enlarged(1, 1.3, 1)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_lift_of_shares_looks_as_far_as_it_says(boundary):
    model = fitted(rain(8, (64,), levels=2), learned=True, levels=1, boundary=boundary)
    lift, coarse = model.lift(0), rain(1, (160,), levels=2)
    source, sampler = NoiseField(3, "sample").of(range(1)), AdamsBashforth(2)
    whole = lift.sample(Context(coarse), source, Window.whole(0, (160,)), sampler)
    for origin in (0, 70, 150):
        piece = lift.sample_window(Context(coarse), source, Window(0, (10,), (origin,)), sampler)
        torch.testing.assert_close(piece, whole[..., 2 * origin : 2 * origin + 20], rtol=1e-5, atol=1e-7)
    assert lift.reach(sampler) is not None and lift.reach(sampler) < 80


def test_a_field_is_the_same_alone_and_among_others():
    x = rain(8, (32, 32), levels=3)
    model = fitted(x, learned=True)
    coarse = model.trajectory(x)[-1]
    together = model.refine(coarse, members=3, seed=5)
    torch.testing.assert_close(model.refine(coarse[:1], members=2, seed=5)[:, 0], together[:2, 0], rtol=1e-5, atol=1e-7)


def test_zeros_are_as_frequent_after_calibration():
    torch.manual_seed(4)
    x = rain(48, (64, 64), dry=0.5)
    model = fitted(x, levels=3, boundary="reflect", evaluations=1)
    calibrate(model, x)
    calibrate_free(model, x)
    dry = float((x == 0).double().mean())
    refined, free = model.refine(model.trajectory(x)[-1]), model.sample((64, 64), 48)
    assert [float((made == 0).double().mean()) for made in (refined, free)] == pytest.approx([dry, dry], abs=0.03)


@pytest.mark.parametrize("wet", [1, 0])
def test_a_channel_of_next_to_no_rain_is_learned_or_refused(wet):
    x = rain(6, (16, 16), 2, levels=3)
    x[:, 1] = 0
    if not wet:
        with pytest.raises(ValueError, match="constant"):
            fitted(x)
        return
    x[0, 1, 3, 3] = 2.0
    model = fitted(x)
    made = model.refine(model.trajectory(x)[-1])
    assert bool(made.isfinite().all()) and float(made.min()) == 0 and float(made[0, 1:, 1].abs().max()) == 0


def test_data_that_are_never_dry_make_fields_that_are_not():
    x = torch.randn(24, 1, 32, 32).mul(2).exp()
    made = fitted(x.float(), boundary="reflect", evaluations=1).sample((32, 32), 24)
    assert float(made.min()) > 0


def test_a_likelihood_is_refused():
    x = rain(8, (16, 16), levels=3)
    with pytest.raises(ValueError, match="no likelihood"):
        fitted(x).log_prob(x, 1)


def cells(lattice: tuple[int, ...], missing: float = 0.0) -> torch.Tensor:
    """Areas that differ from place to place, some cells missing."""
    torch.manual_seed(4)
    areas = torch.rand(1, 1, *lattice, dtype=torch.float64) + 0.2
    return areas * (torch.rand_like(areas) >= missing)


@pytest.mark.parametrize("dimension", LATTICES)
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_shares_on_unequal_cells_keep_the_mass_of_every_block(dimension, missing):
    x, areas = rain(3, LATTICES[dimension], 2, levels=3), cells(LATTICES[dimension], missing)
    on = Shares().on(areas)
    coarse, detail = on.split(x)
    torch.testing.assert_close(on.merge(coarse, detail), x * (areas > 0), rtol=1e-12, atol=1e-14)
    any_detail = 2 * torch.rand_like(detail) - 1
    any_detail = torch.where(torch.rand_like(detail) < 0.2, any_detail.sign(), any_detail)
    made = on.merge(coarse, any_detail)
    assert float(made.min()) == 0
    torch.testing.assert_close(on.coarsen(made), coarse, rtol=1e-13, atol=0)
    mass = [areas * each for each in (made, x)]
    for axis in range(2, x.dim()):
        mass = [each.unflatten(axis, (-1, 2)).sum(axis + 1) for each in mass]
    torch.testing.assert_close(*mass, rtol=1e-13, atol=0)
    assert float((Shares().coarsen(made) - Shares().coarsen(x)).abs().max()) > 0.01  # means of equal cells are others
    present = on.present
    assert (present is None) == (missing == 0)
    if present is not None:
        gone = ~present.repeat(1, 1 if present.shape[1] == detail.shape[1] else 2, *[1] * dimension)
        assert bool((detail.masked_select(gone) == 0).all())


def test_the_logit_of_a_share_is_that_of_densities_less_that_of_areas():
    a, b, wa, wb = 3.0, 0.5, 2.0, 0.7
    x, areas = (torch.tensor(pair, dtype=torch.float64).reshape(1, 1, 2) for pair in ((a, b), (wa, wb)))
    contrast = float(Shares().on(areas).split(x)[1])
    share = wa * a / (wa * a + wb * b)
    logit = np.log(share / (1 - share)) - np.log(wa / wb)
    assert 2 * np.arctanh(contrast) == pytest.approx(logit)
    ones = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    y = rain(2, (8, 8), levels=2)
    for one, other in zip(WeightedShares(3 * ones).split(y), Shares().split(y), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-15)


def test_rain_with_gaps_on_unequal_cells_is_refined_with_its_mass_and_its_zeros(monkeypatch):
    torch.manual_seed(3)
    x, areas = rain(24, (32, 48), levels=4), cells((32, 48))
    gone = torch.rand(24, 1, 8, 12) < 0.15
    for axis in (2, 3):
        gone = gone.repeat_interleave(4, axis)
    x = x.masked_fill(gone | (torch.rand_like(x) < 0.1), np.nan)
    fields = Fields(x, Setting(areas))
    model = small.cascade(positive=True)
    model.fit(fields)
    ratios = small.check_learning(model, fields, monkeypatch)
    assert float(ratios[-1].abs()) < 0.1  # of the finest level, at last
    coarse, mask = model.trajectory(x, areas=areas)[-1], x.isfinite().double()
    fine = model.refine(coarse, members=4, areas=areas, mask=mask)
    there = torch.isfinite(x).expand_as(fine)
    assert torch.equal(fine.isfinite(), there) and float(fine[there].min()) == 0
    for member in fine:
        torch.testing.assert_close(
            model.trajectory(member, areas=areas)[-1], coarse, rtol=1e-12, atol=0, equal_nan=True
        )
    zeros = [float((field[there[0]] == 0).double().mean()) for field in (x, *fine)]
    assert np.mean(zeros[1:]) == pytest.approx(zeros[0], abs=0.1) and zeros[0] > 0.3
