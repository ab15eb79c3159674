"""Fields with missing values: block means of what is there are kept exactly, and gaps change nothing beside them."""

import math
import warnings

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.errors import InputError, RangeWarning
from rgdm.model.cascade.calibrate import calibrate, calibrate_free
from rgdm.model.cascade.geometry import measures, trajectory, weights_of
from rgdm.model.closed_form.gaps import smoothly_filled
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import Setting
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.noise import GivenNoise, NoiseField, Window
from rgdm.scale.basis import Harmonics
from rgdm.train import hold_back
from rgdm.train.batches import Batches
from small import cascade, fitted

LATTICES = {1: (64,), 2: (16, 24), 3: (8, 8, 16)}


def smooth(count: int, lattice: tuple[int, ...], channels: int = 1, boundary="reflect") -> torch.Tensor:
    """Gaussian fields with the spectrum k^-2, in degrees."""
    basis = Harmonics(boundary)
    k = basis.wavenumber(lattice)
    white = torch.randn(count, channels, *lattice, dtype=torch.float64)
    field = basis.synthesize(basis.analyze(white) / (k.square() + 0.1))
    return 15 + field / field.std()


def with_gaps(x: torch.Tensor, missing: float = 0.3) -> torch.Tensor:
    """Without a share of their sites: whole blocks, and single ones."""
    coarse = torch.rand(x.shape[0], 1, *(n // 4 for n in x.shape[2:])) < missing / 2
    for axis in range(2, x.dim()):
        coarse = coarse.repeat_interleave(4, axis)
    return x.masked_fill(coarse | (torch.rand_like(x) < missing / 2), math.nan)


@pytest.mark.parametrize("dimension", LATTICES)
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_means_of_the_sites_that_are_there_are_kept_and_the_others_are_missing(boundary, dimension):
    x = with_gaps(smooth(6, LATTICES[dimension], 2 if dimension < 3 else 1))
    model = fitted(x, learned=True, boundary=boundary)
    weights = weights_of(x)
    coarse = trajectory(model.operator, x, 2, weights)[-1].where(measures(model.operator, weights, 2)[-1] > 0, math.nan)
    assert bool(coarse.isnan().any())
    fine = model.refine(coarse, members=3, mask=weights)
    assert fine.dtype == torch.float64
    for member in fine:
        assert bool((member.isnan() == x.isnan()).all())
        again = trajectory(model.operator, member, 2, weights)[-1]
        torch.testing.assert_close(again[~coarse.isnan()], coarse[~coarse.isnan()], rtol=1e-14, atol=0)


def test_without_a_mask_all_sites_of_a_block_are_there_that_has_a_value():
    model = fitted(with_gaps(smooth(6, (16, 24))), learned=True)
    coarse = torch.full((1, 1, 4, 6), 15.0, dtype=torch.float64)
    coarse[..., 2, 3] = math.nan
    fine = model.refine(coarse)[0]
    expected = coarse.isnan().repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert bool((fine.isnan() == expected).all())
    whole = coarse.nan_to_num(15.0)
    mask = (~expected).double()[0, 0]
    torch.testing.assert_close(fine, model.refine(coarse, mask=mask)[0], equal_nan=True)
    assert not bool(model.refine(whole, mask=torch.ones(16, 24)).isnan().any())


def test_fields_that_are_whole_are_made_as_ever_by_a_model_that_knows_gaps():
    x = smooth(6, (16, 24))
    plain, same = (cascade(), cascade())
    same.load_state_dict(plain.state_dict())
    plain.fit(x)
    fine = plain.normalise(x)
    ones = torch.ones_like(fine)
    for level in range(2):
        lift = same.own_lift(level)
        lift.fit(fine, Setting(ones))
        for (name, mine), theirs in zip(
            lift.named_buffers(), dict(plain.own_lift(level).named_buffers()).values(), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5, msg=name)
        on = plain.operator.on(ones)
        fine, ones = on.coarsen(fine), on.coarse_weights


def test_what_is_measured_beside_gaps_is_what_is_measured_without_them():
    """Gaussian fields: prediction and spectrum do not depend on which sites are missing."""
    torch.manual_seed(1)
    x = smooth(48, (64, 64), boundary="periodic")
    whole, holed = (fitted(each, boundary="periodic") for each in (x, with_gaps(x)))
    filled = fitted(with_gaps(x).nan_to_num(15.0), boundary="periodic")
    for level in range(2):
        one, other, wrong = (m.own_lift(level).standardizer for m in (whole, holed, filled))
        kernels = [s.prediction.kernel for s in (one, other, wrong)]
        apart, far = (float((k - kernels[0]).abs().max() / kernels[0].abs().max()) for k in kernels[1:])
        assert apart < 0.15 and apart < far / 2  # neighbours that are filled say less
        sizes = [m.own_lift(level).standardizer.amplitude.offset.exp() for m in (whole, holed)]
        torch.testing.assert_close(sizes[1], sizes[0], rtol=0.25, atol=0)
        colours = [s.colouring.colour.kernel for s in (one, other, wrong)]
        apart, far = (float((c - colours[0]).square().sum().sqrt()) for c in colours[1:])
        assert apart < 0.35 and apart < far
    torch.testing.assert_close(holed.units.mean, whole.units.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(holed.units.scale, whole.units.scale, rtol=0.05, atol=0)


def test_noise_where_nothing_is_changes_nothing_beside_it():
    """Not through the colouring, nor through networks."""
    x = with_gaps(smooth(6, (16, 24)), 0.4)
    model = fitted(x, learned=True)
    lift, fine = model.own_lift(0), model.normalise(x)
    context, _ = Context.of(fine, model.operator, Setting(weights_of(fine)))
    present = context.known(model.operator, "reflect").present
    assert present is not None and 0.2 < float(present.mean()) < 0.9
    white = torch.randn_like(present)
    other = torch.where(present > 0, white, 100 * torch.randn_like(white))
    window, sampler = Window.whole(0, context.coarse.shape[2:]), AdamsBashforth(3)
    one, two = (lift.sample(context, GivenNoise({(0, 0): noise}), window, sampler) for noise in (white, other))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert float(one[fine.isnan()].abs().max()) == 0


def test_a_window_of_a_field_with_gaps_is_that_part_of_the_whole():
    x = with_gaps(smooth(4, (128, 96)))
    model = fitted(x, learned=True, boundary="periodic")
    lift, fine = model.own_lift(0), model.normalise(x)
    context, _ = Context.of(fine, model.operator, Setting(weights_of(fine)))
    noise, sampler = NoiseField(3).of(range(4)), AdamsBashforth(2)
    whole = lift.sample(context, noise, Window.whole(0, context.coarse.shape[2:]), sampler)
    part = lift.sample_window(context, noise, Window(0, (4, 6), (32, 20)), sampler)
    torch.testing.assert_close(part, whole[..., 64:72, 40:52], rtol=0, atol=1e-5)


def test_batches_have_gaps_and_a_loss_that_networks_learn_from():
    x = with_gaps(smooth(6, (96, 96)), 0.5)
    model = fitted(x)
    batches = Batches(model, model.normalise(x).to(model.dtype), 0)
    for step in range(6):
        batch = batches(step)
        assert batch.setting.weights is not None and bool((batch.setting.weights == 0).any())
        loss = model(batch.fine, batch.level, batch.t, batch.noise, batch.halo, batch.importance, batch.setting).mean()
        assert float(loss.detach()) == pytest.approx(1, abs=0.3)
        slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        assert all(bool(s.isfinite().all()) for s in slopes if s is not None)


def test_calibration_finds_the_closed_form_of_a_gaussian_field_calibrated():
    torch.manual_seed(3)
    x = with_gaps(smooth(24, (64, 64), boundary="periodic"))
    model = fitted(x, boundary="periodic", evaluations=1)
    temperatures = calibrate(model, x)
    assert temperatures.flatten().tolist() == pytest.approx([1, 1], abs=0.1)
    free = calibrate_free(model, x)
    assert free.flatten().tolist() == pytest.approx([1, 1], abs=0.2)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_values_are_filled_smoothly_and_those_that_are_there_stay(boundary):
    ramp = torch.arange(64.0).div(10).sin().expand(1, 1, 48, 64)
    weights = torch.ones(1, 1, 48, 64)
    weights[..., 10:14, 30:40] = 0
    weights[..., 40, 3] = 0
    made = smoothly_filled(ramp.where(weights > 0, math.nan), weights, boundary)
    assert bool((made == ramp)[weights > 0].all())
    torch.testing.assert_close(made, ramp, rtol=0, atol=0.35)
    nothing = smoothly_filled(torch.full((1, 1, 8), 5.0), torch.zeros(1, 1, 8), boundary)
    assert bool((nothing == 0).all())


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (torch.ones(16, 16), r"lattice \(16, 16\); .* the fine lattice \(16, 24\) are needed"),
        (torch.full((16, 24), 0.5), "values such as 0.5; 1 says"),
        (torch.zeros(16, 24), "leaves no site in 24 of 24 blocks"),
        (torch.ones(3, 1, 16, 24), "the mask has 3 samples"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, said):
    model = fitted(smooth(2, (16, 24)))
    with pytest.raises(InputError, match=said):
        model.refine(torch.full((1, 1, 4, 6), 15.0), mask=mask)


@pytest.mark.parametrize(
    "options",
    [{"operator": "haar"}, {"factor": (1, 2)}, {"lift": "flow"}, {"sweep": True}],
)
def test_designs_that_take_no_gaps_say_so(options):
    x = smooth(2, (16, 16)).square()
    model = fitted(x, **{"levels": 2, **options})
    assert not model.takes_gaps
    with pytest.raises(InputError, match="not finite"):
        model.fit(with_gaps(x))
    coarse = torch.full((1, 1, 4, 4), 15.0)
    with pytest.raises(InputError, match="takes no mask"):
        model.refine(coarse, mask=torch.ones(16, 16))
    coarse[..., 0, 0] = math.nan
    with pytest.raises(InputError, match="not finite"):
        model.refine(coarse)


def test_levels_without_detail_and_fields_without_values_are_refused():
    x = smooth(2, (16, 16))
    alone = torch.full_like(x, math.nan)
    alone[..., ::2, ::2] = x[..., ::2, ::2]
    with pytest.raises(InputError, match="no detail"):
        cascade().fit(alone)
    with pytest.raises(InputError, match="infinite values or none"):
        cascade().fit(torch.full_like(x, math.nan))
    with pytest.raises(InputError, match="not finite"):
        cascade().fit(x.index_fill(3, torch.tensor([2]), math.inf))
    with pytest.raises(InputError, match="all 16 values"):
        fitted(x).refine(np.full((4, 4), np.nan))


@pytest.mark.parametrize("lattice", [(32, 32), (64, 64)])
def test_one_gap_in_a_small_field_leaves_the_spectrum_as_it_is(lattice):
    """At coarse levels few pairs of sites are left at any distance."""
    x = smooth(1, lattice)
    holed = x.clone()
    holed[..., 10:12, 6:8] = math.nan
    levels = 3
    whole, other = (fitted(each, levels=levels) for each in (x, holed))
    for level in range(levels):
        a, b = (m.own_lift(level).standardizer.colouring.colour.kernel for m in (whole, other))
        centre = (..., *(n // 2 for n in a.shape[2:]))
        torch.testing.assert_close(b[centre].diagonal(), a[centre].diagonal(), rtol=0.15, atol=0)


def test_a_channel_that_is_seldom_there_has_the_spread_of_one_that_always_is():
    x = smooth(2, (64, 64), 2)
    x[:, 1, 16:] = x[:, 1, :, 16:] = math.nan
    model = fitted(x, levels=2)
    for level in range(2):
        colouring = model.own_lift(level).standardizer.colouring
        size = colouring.colour.kernel.square().flatten(1).sum(1).sqrt()
        torch.testing.assert_close(size, torch.ones_like(size), rtol=0.25, atol=0)


def test_detail_beside_gaps_is_as_wide_as_elsewhere():
    """What noise that is missing would have added to a site is made up for."""
    torch.manual_seed(8)
    x = with_gaps(smooth(64, (32, 32), boundary="periodic"), 0.5)
    model = fitted(x, boundary="periodic")
    standardizer = model.own_lift(0).standardizer
    fine = model.normalise(x)
    context = Context.of(fine, model.operator, Setting(weights_of(fine)))[0].known(model.operator, "periodic")
    white = torch.randn(64, *context.present.shape[1:], dtype=context.coarse.dtype)
    made = standardizer.residual(context, standardizer.restore(context, white)) / standardizer.size(context)
    around = torch.nn.functional.avg_pool2d(context.present, 3, 1, 1)
    there = context.present > 0
    near, far = (float(made[there & where].std()) for where in (around < 0.5, around > 0.9))
    assert near == pytest.approx(far, rel=0.06)


def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_parts():
    x = with_gaps(smooth(4, (128, 128)), 0.5)
    x[..., 40:, :64] = math.nan
    model = fitted(x)
    batches = Batches(model, model.normalise(x).to(model.dtype), 0, sites=3_600)
    for step in range(4):
        batch = batches(step)
        count = len(batch.fine)

        def loss(of: slice, batch=batch):
            level, fine, t, noise, halo, importance, weights = batch.part(of)
            return model(fine, level, t, noise, halo, importance, weights).detach()

        parts = torch.cat([loss(slice(0, count // 2)), loss(slice(count // 2, count))])
        torch.testing.assert_close(loss(slice(0, count)), parts, rtol=1e-3, atol=1e-4)


def test_what_would_be_kept_back_without_detail_is_not():
    x = smooth(2, (64, 128))
    x[..., 112:] = math.nan
    x[..., 8:12, 120:124] = 15 + torch.rand(2, 1, 4, 4)
    grid = cascade(levels=3).grid
    parts = hold_back(x, grid, 3, False)
    assert parts.held_out is None and parts.what.startswith("nothing")
    assert hold_back(smooth(2, (64, 128)), grid, 3, False).held_out is not None


def test_coarse_fields_with_gaps_that_are_unlike_the_training_are_noticed_by_what_is_there():
    x = with_gaps(smooth(8, (32, 32)))
    model = fitted(x)
    coarse = model.trajectory(x)[-1][:1].clone()
    coarse[..., :6, :] = math.nan
    strange = coarse.clone()
    there = ~strange.isnan()
    strange[there] += 40
    with pytest.warns(RangeWarning, match="100 % of the values"):
        model.refine(strange)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.refine(coarse)


def test_fields_from_nothing_have_the_spread_of_what_is_there():
    torch.manual_seed(9)
    x = smooth(12, (64, 64), boundary="periodic")
    x[..., 10:40, 8:50] = math.nan
    model = fitted(x, boundary="periodic", evaluations=1)
    coarse = model.trajectory(x)[-1]
    made = model.trajectory(model.sample((64, 64), 64))[-1]
    assert float(made.std()) == pytest.approx(float(coarse[~coarse.isnan()].std()), rel=0.15)


def test_globes_with_gaps_and_enlarged_cascades_keep_means():
    x = with_gaps(smooth(6, (16, 32), boundary=("reflect", "periodic")))
    model = fitted(x, learned=True, boundary=["reflect", "periodic"])
    coarse = model.trajectory(x)[-1]
    made = model.refine(coarse, mask=weights_of(x))[0]
    torch.testing.assert_close(model.trajectory(made)[-1], coarse, rtol=1e-13, atol=0, equal_nan=True)
    periodic = fitted(with_gaps(smooth(6, (32, 32), boundary="periodic")), boundary="periodic", levels=3)
    larger = periodic.enlarged(1, 1.9, level=2)
    given = torch.full((1, 1, 4, 4), 15.0, dtype=torch.float64) + torch.rand(1, 1, 4, 4)
    given[..., 1, 2] = math.nan
    fine = larger.refine(given)[0]
    torch.testing.assert_close(larger.trajectory(fine)[-1], given, rtol=1e-12, atol=0, equal_nan=True)


def test_masks_of_named_fields_are_matched_by_names_and_coordinates():
    lat, lon, time = np.linspace(60.0, 45.5, 16), np.arange(24.0), [3, 5]
    model = fitted(smooth(4, (16, 24), 2))
    coords = {"time": time, "channel": ["u", "v"], "lat": lat, "lon": lon}
    mask = xr.DataArray(np.ones((2, 2, 16, 24)), coords, ("time", "channel", "lat", "lon"))
    mask.loc[{"time": 5, "channel": "v", "lat": 60.0, "lon": 7.0}] = 0
    coarse = (mask + 14).coarsen(lat=4, lon=4).mean()
    expected = model.refine(coarse, mask=mask)[0].isnull()
    assert int(expected.sum()) == 1 and bool(expected.sel(time=5, channel="v").isel(lat=0, lon=7))
    for other in (
        mask.isel(time=[1, 0], channel=[1, 0]),
        mask.isel(lat=slice(None, None, -1)),
        mask.transpose("lon", "channel", "lat", "time"),
        mask.rename(lat="latitude", lon="longitude").transpose("longitude", "latitude", "time", "channel"),
    ):
        assert bool((model.refine(coarse, mask=other)[0].isnull() == expected).all())
    static = mask.isel(time=1, drop=True).sel(channel="v", drop=True)
    assert int(model.refine(coarse, mask=static)[0].isnull().sum()) == 4
    for other, said in (
        (mask.assign_coords(lon=lon + 100), "give one of the same place"),
        (mask.assign_coords(time=[3, 7]), "the mask has 3, ... along time"),
        (mask.assign_coords(channel=["a", "b"]), "along channel"),
        (mask.isel(time=0, drop=True).expand_dims(level=2), "must be among those of the field"),
        (mask.to_numpy(), "give both as one kind"),
    ):
        with pytest.raises(InputError, match=said):
            model.refine(coarse, mask=other)
    with pytest.raises(InputError, match="an array of numbers"):
        model.refine(torch.full((2, 2, 4, 6), 15.0), mask="land")
