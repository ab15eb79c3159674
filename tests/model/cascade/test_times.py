"""The time of the year and of the day: detail that changes with it is predicted, and only if it does."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from test_gaps import smooth, with_gaps

from rgdm.data.clock import clock_of
from rgdm.errors import InputError, RangeWarning
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import frames_at
from rgdm.model.cascade.persistence import calibrate_persistence, windows
from rgdm.model.closed_form.prediction import LinearPrediction
from rgdm.model.lifts.setting import Setting, count_beside
from rgdm.scale.operators.block import BlockSpin
from rgdm.train import hold_back
from rgdm.train.batches import Batches
from small import cascade, check_learning

LAT, LON = np.linspace(40, 71, 32), np.linspace(-170, -123, 48)
COAST = torch.randn(1, 1, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).cumsum(2)


def with_clock(companions: int = 1, clock: tuple = ("year", "day"), **options) -> Cascade:
    model = cascade(**options)
    return Cascade(model.design, model.grid, model.channels, companions=companions, clock=clock)


def breeze(count: int = 24, start: str = "2001-01-01T00", strength: float = 1.5) -> xr.DataArray:
    """Smooth fields, and a coast whose detail goes with the cosine of the hour at each site; 41 hours apart."""
    times = pd.date_range(start, periods=count, freq="41h")
    utc = ((times - times.normalize()) / pd.Timedelta(1, "D")).to_numpy()
    hour = np.cos(2 * np.pi * (utc[:, None, None] + LON / 360))
    values = smooth(count, (32, 48))[:, 0].numpy() + strength * hour * COAST[0, 0].numpy()
    return xr.DataArray(values, {"time": times, "lat": LAT, "lon": LON}, ("time", "lat", "lon"))


def fields_of(model: Cascade, x: xr.DataArray, times=None) -> Fields:
    values = torch.from_numpy(x.values)[:, None]
    return Fields(values, Setting(None, COAST, model.clock_of(x, len(x), tuple(values.shape[2:]), times=times)))


def error(model: Cascade, truth: xr.DataArray, **options) -> float:
    coarse = truth.coarsen(lat=4, lon=4).mean()
    model.metadata["companions"] = [{"name": "coast", "kind": "static"}]
    static = xr.DataArray(COAST[0, 0].numpy(), {"lat": LAT, "lon": LON}, ("lat", "lon"), "coast")
    made = model.refine(coarse, members=12, static=static, **options)
    np.testing.assert_allclose(made.coarsen(lat=4, lon=4).mean(), np.broadcast_to(coarse, (*made.shape[:2], 8, 12)))
    return float(((made.mean("member") - truth) ** 2).mean() ** 0.5)


def test_detail_that_changes_with_the_hour_is_predicted_and_shuffled_times_gain_nothing():
    x, truth = breeze(), breeze(8, "2003-05-01T11")
    plain, told, fooled = with_clock(clock=()), with_clock(clock=("day",)), with_clock(clock=("day",))
    plain.fit(fields_of(plain, x))
    told.fit(fields_of(told, x))
    shuffled = x["time"].values[np.random.default_rng(0).permutation(len(x))]
    fooled.fit(fields_of(fooled, x, shuffled))
    without, with_, by_chance = (error(model, truth) for model in (plain, told, fooled))
    assert with_ < 0.35 * without
    assert abs(by_chance / without - 1) < 0.05
    late = error(told, truth, times=truth["time"].values + np.timedelta64(12, "h"))
    assert late > without  # the breeze of the other half of the day


def test_what_the_year_says_is_learned_beside_what_is_always_so():
    """The detail of the coast is twice as large in summer as in winter; a model that knows no date has the mean."""
    times = pd.date_range("2001-01-15", periods=36, freq="30D")
    year = np.cos(2 * np.pi * (times.dayofyear.to_numpy() - 1) / 365)
    x = breeze(36, strength=0.0).assign_coords(time=times)
    x = x + (1.5 - 0.5 * year)[:, None, None] * COAST[0, 0].numpy()
    told, plain = with_clock(clock=("year",)), with_clock(clock=())
    for model in (told, plain):
        model.fit(fields_of(model, x[:24]))
    assert error(told, x[24:]) < 0.6 * error(plain, x[24:])


def test_shares_of_rain_that_change_with_the_hour_are_predicted_and_keep_their_mass():
    x = breeze(24, strength=0.0)
    hour = breeze(24, strength=1.0) - x
    rain = np.exp(0.4 * (x - x.mean()) + 0.3 * hour) * (x > x.mean())
    errors = []
    for clock in ((), ("day",)):
        model = with_clock(clock=clock, levels=1, positive=True)
        fields = fields_of(model, rain)
        model.fit(fields)
        coarse = model.trajectory(fields.values)[-1]
        made = model.refine(coarse, members=4, place=fields.place)
        assert float(made.min()) == 0
        again = model.trajectory(made.flatten(0, 1))[-1].unflatten(0, (4, 24))
        torch.testing.assert_close(again, coarse.expand_as(again), rtol=1e-13, atol=0)
        errors.append(float((made.mean(0) - fields.values).square().mean().sqrt()))
    assert errors[1] < 0.8 * errors[0]


def test_a_clock_alone_changes_nothing_that_is_measured_and_is_shown_to_networks():
    x, plain, told = breeze(), cascade(), with_clock(companions=0)
    values = torch.from_numpy(x.values)[:, None]
    plain.fit(values)
    told.fit(x)
    for level in range(2):
        for (name, one), (_, other) in zip(
            plain.own_lift(level).standardizer.state_dict().items(),
            told.own_lift(level).standardizer.state_dict().items(),
            strict=True,
        ):
            assert torch.equal(one, other), name
    condition = told.own_lift(0).condition
    assert condition is not None and condition.beside == 4 == count_beside(0, 4, 3)
    assert bool((condition.scale[-4:] > 0.01).all())
    for weight in told.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    coarse = x.coarsen(lat=4, lon=4).mean()
    made = told.refine(coarse)
    moved = told.refine(coarse, times=coarse["time"].values + np.timedelta64(5, "h"), persistent=False)
    assert not np.allclose(made, moved, rtol=0, atol=1e-3)


def test_a_time_alone_and_in_a_sequence_has_the_same_bits(tmp_path):
    x = breeze()
    model = with_clock()
    model.fit(fields_of(model, x))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.metadata["companions"] = [{"name": "coast", "kind": "static"}]
    model.save_pretrained(tmp_path)
    model = Cascade.from_pretrained(tmp_path)
    assert model.clock is not None and model.clock.cycles == ("year", "day")
    static = xr.DataArray(COAST[0, 0].numpy(), {"lat": LAT, "lon": LON}, ("lat", "lon"), "coast")
    coarse = x.coarsen(lat=4, lon=4).mean()
    together = model.refine(coarse, static=static, members=2)
    for i in (0, 5, 23):
        for alone in (coarse.isel(time=[i]), coarse.isel(time=i)):
            made = model.refine(alone, static=static, members=2)
            assert np.array_equal(made.squeeze(), together.isel(time=i))
    east = coarse.assign_coords(lon=coarse["lon"] % 360)
    there = static.assign_coords(lon=static["lon"] % 360)
    np.testing.assert_array_equal(model.refine(east, static=there, members=2), together)


def test_the_features_are_the_clock_and_what_it_makes_of_the_detail_of_companions():
    operator, companions, angle = BlockSpin(2), torch.randn(1, 2, 8, 12), torch.rand(5) * 6.28
    clock = torch.stack([angle.cos(), angle.sin()], 1)[:, :, None, None].expand(5, 2, 8, 12)
    setting = Setting(None, companions, clock)
    features = setting.features(operator, 5)
    assert features is not None and features.shape == (5, count_beside(2, 2, 3), 4, 6)
    coarse, detail = operator.split(companions)
    assert torch.equal(features[:, :8], torch.cat([coarse, detail], 1).expand(5, 8, 4, 6))
    for i in range(2):
        product = clock[:, i : i + 1, ::2, ::2] * detail
        torch.testing.assert_close(features[:, 8 + 6 * i : 14 + 6 * i], product)
    torch.testing.assert_close(features[:, -2:], clock[:, :, ::2, ::2])
    again = setting.coarsen(operator)
    torch.testing.assert_close(again.clock, clock[:, :, ::2, ::2])


def test_the_prediction_adds_to_what_is_always_so_what_the_clock_makes_of_it():
    """Known coefficients come out, of each band its own."""
    coarse, clock = torch.randn(16, 1, 12, 12), torch.randn(16, 2, 1, 1).expand(16, 2, 12, 12)
    companion = torch.randn(16, 1, 12, 12), torch.randn(16, 3, 12, 12)
    product = (clock.unsqueeze(2) * companion[1].unsqueeze(1)).flatten(1, 2)
    truth = 0.5 * companion[1] + 2 * product[:, :3] - product[:, 3:].flip(1)
    model = LinearPrediction(1, (0.0,) * 3, 2, 1, "periodic", 1, 2)
    beside = torch.cat([*companion, product, clock], 1)
    model.fit(coarse, truth, beside=beside)
    torch.testing.assert_close(model(coarse, beside), truth, rtol=0, atol=1e-4)


def test_parts_of_fields_keep_their_times(monkeypatch):
    x, model = breeze(), with_clock()
    fields = fields_of(model, x)
    assert fields.place.clock is not None and 0 in fields.place.clock.stride()
    parts = hold_back(fields, model.grid, 2, ordered=True)
    assert parts.held_out is not None and parts.held_out.place.clock is not None
    assert torch.equal(parts.held_out.place.clock, fields.place.clock[-2:])
    assert 0 in parts.held_out.place.clock.stride()  # of no larger size than it must be
    x = torch.arange(24 * 32 * 48.0).reshape(24, 1, 32, 48)
    batch = Batches(with_clock(0, ("year",)), Fields(x, Setting(clock=(x + 1).repeat(1, 2, 1, 1))), 0)
    batch = batch.of_level(0, torch.Generator().manual_seed(1))
    assert batch.setting.clock is not None and torch.equal(batch.setting.clock[:, 1:], batch.fine + 1)
    large = Fields(x.repeat(1, 1, 8, 8), Setting(clock=torch.randn(24, 2, 1, 1).expand(24, 2, 256, 384)))
    cut = windows(model, large, 100_000).place.clock
    assert cut is not None and len(cut) == 96 and bool((cut[:24].flatten(2)[..., :1] == cut[24:48].flatten(2)).all())


@pytest.mark.parametrize("gaps", [False, True])
def test_training_calibration_and_persistence_know_the_time(gaps, monkeypatch):
    x, model = breeze(12), with_clock()
    fields = fields_of(model, x)
    fields = fields.with_values(with_gaps(fields.values, 0.1)) if gaps else fields
    model.fit(fields)
    frames = frames_at(x["time"].values, len(x))
    assert calibrate_persistence(model, fields, frames, rounds=1) is None  # the clock says all that lasts
    check_learning(model, fields, monkeypatch)
    likelihood = model.log_prob(
        fields.values[:2].nan_to_num(1.0), 2, networks=False, place=fields.of_samples([0, 1]).place
    )
    assert bool(likelihood.bits[0].isfinite().all())


def test_what_cannot_be_known_is_said_in_a_sentence():
    x, model = breeze(), with_clock(companions=0)
    model.fit(x)
    coarse = x.coarsen(lat=4, lon=4).mean()
    for wrong, said in (
        (coarse.drop_vars("time"), "needs the dates of the fields"),
        (coarse.drop_vars("lon"), "nothing is known of longitudes"),
        (coarse.values, "needs the dates of the fields"),
    ):
        with pytest.raises(InputError, match=said):
            model.refine(wrong)
    with pytest.raises(InputError, match="nothing is known of longitudes"):
        model.refine(coarse.values, times=x["time"])
    with pytest.raises(InputError, match="beside a clock, which fields from nothing have not"):
        model.sample((32, 48))
    with pytest.raises(InputError, match="clock cannot be enlarged"):
        model.enlarged(1, 2.0, 1)
    with pytest.raises(InputError, match="the clock of the year and the day, and the place of the fields has 0"):
        model.fit(Fields(torch.from_numpy(x.values)[:, None]))
    with pytest.raises(InputError, match="knows no clock, and the place of the fields has 4"):
        cascade().fit(fields_of(model, x))
    with pytest.raises(InputError, match="all 24 fields are of the same time of the day"):
        model.fit(x.assign_coords(time=pd.date_range("2000-01-01", periods=24, freq="9D")))
    with pytest.raises(InputError, match="unknown clock 'week'"):
        with_clock(clock=("week",))
    by_year = with_clock(companions=0, clock=("year",))
    by_year.fit(x.values, times=x["time"])
    assert by_year.refine(coarse.values, times=x["time"]).shape == (1, 24, 32, 48)


def test_times_that_the_training_did_not_have_are_noticed(recwarn):
    x = breeze(40)
    model = with_clock(companions=0)
    model.fit(x.assign_coords(time=pd.date_range("2001-06-01", periods=40, freq="11h")))
    coarse = x[:2].coarsen(lat=4, lon=4).mean()
    model.refine(coarse.assign_coords(time=pd.to_datetime(["2005-07-01T00", "2006-05-20T03"])))
    assert not [each for each in recwarn if "a time of the" in str(each.message)]
    with pytest.warns(RangeWarning, match="50 % of the sites and times lie at a time of the year that the training"):
        model.refine(coarse.assign_coords(time=pd.to_datetime(["2005-07-01T00", "2006-12-20T03"])))


def test_the_clock_of_a_cascade_is_that_of_its_dates():
    x, model = breeze(), with_clock(companions=0)
    coarse = x.coarsen(lat=4, lon=4).mean()
    fine = model.clock_of(x, 24, (32, 48))
    assert fine is not None and torch.equal(fine, clock_of(x, 24, ("year", "day"), ("lat", "lon"), (32, 48)))
    torch.testing.assert_close(model.clock_of(coarse, 24, (32, 48), (4, 4)), fine, rtol=0, atol=1e-6)
