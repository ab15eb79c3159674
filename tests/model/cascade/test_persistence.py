"""Refined sequences last in time as the training fields did, level by level, and each frame keeps its law."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from rgdm.data.layout import unwrap
from rgdm.errors import InputError
from rgdm.evaluate import fair_crps, jackknife, lag_correlation
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import Frames, frames_at, frames_of
from rgdm.model.cascade.persistence import PERSISTENCE, calibrate_persistence, windows
from rgdm.model.cascade.storage import CONFIG
from rgdm.model.laws.law import WhiteNoise
from rgdm.process.persistence import Persistence, correlation
from rgdm.scale.operators.block import BlockSpin
from small import cascade

LEVELS, MEMBERS = 2, 6
HOURS = 6
IRREGULAR = np.cumsum([0, *([1, 2, 1, 3, 1, 1, 2] * 12)]).astype(float)


def film(times: np.ndarray, decay: float, seed: int = 0, side: int = 32) -> torch.Tensor:
    """A stationary Gaussian field whose modes are each an Ornstein-Uhlenbeck process; small scales are shorter-lived.

    A mode of the wavenumber k has the correlation ``exp(-(1 + k / 2) s / decay)`` over s.
    """
    generator = torch.Generator().manual_seed(seed)
    k = 2 * math.pi * torch.fft.fftfreq(side, dtype=torch.float64)
    k = (k[:, None] ** 2 + k**2).sqrt()
    rate, size, frames = (1 + k / 2) / decay, (k + 0.2) ** -1.2, []

    def white() -> torch.Tensor:
        return torch.fft.fft2(torch.randn(side, side, generator=generator, dtype=torch.float64))

    modes = white()
    for gap in [0.0, *np.diff(times)]:
        kept = torch.exp(-rate * gap)
        modes = kept * modes + (1 - kept**2).sqrt() * white()
        frames.append(torch.fft.ifft2(modes * size).real)
    return torch.stack(frames)[:, None].float()


def dated(values: torch.Tensor, times: object, name: str = "time") -> xr.DataArray:
    return xr.DataArray(values[:, 0].numpy(), {name: times}, (name, "y", "x"), name="height")


def days(count: int, first: str = "2020-01-01") -> pd.DatetimeIndex:
    return pd.date_range(first, periods=count, freq=f"{HOURS}h")


def model_of(fields: object, **options) -> Cascade:
    torch.manual_seed(0)
    model = cascade(levels=LEVELS, boundary="periodic", evaluations=1, width=2)
    model.fit(fields, **options)
    return model.eval()


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return film(np.arange(88.0), 3.0)


@pytest.fixture(scope="module")
def model(truth) -> Cascade:
    return model_of(dated(truth[:60], days(60)))


@pytest.fixture(scope="module")
def coarse(model, truth) -> xr.DataArray:
    return dated(model.trajectory(truth[60:])[-1], days(28, "2021-05-01"))


def lags(fields: torch.Tensor | xr.DataArray, apart: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """``(level, lag)``, of the mean over members where there are some."""
    x = torch.from_numpy(fields.values) if isinstance(fields, xr.DataArray) else fields.squeeze(-3)
    x = x.reshape(-1, *x.shape[-3:])
    each = [lag_correlation(member[:, None], BlockSpin(2), LEVELS, apart).value[0] for member in x]
    return torch.stack(each).mean(0).numpy()


# --- what is asked for -------------------------------------------------------------------------


@pytest.mark.integration
def test_refined_films_last_as_the_truth_does_at_every_level_and_independent_frames_do_not(model, truth, coarse):
    wanted = lags(truth[60:])
    made = model.refine(coarse, members=MEMBERS, seed=1)
    assert np.abs(lags(made) - wanted).max() < 0.03
    flickering = model.refine(coarse, members=MEMBERS, seed=1, persistent=False)
    assert (wanted - lags(flickering))[:, 0].min() > 0.2


@pytest.mark.integration
def test_each_frame_has_the_law_that_it_has_alone(model, truth, coarse):
    """Scores and sizes of detail agree within their errors, and block means are kept as ever."""
    made, alone = (model.refine(coarse, members=MEMBERS, seed=1, persistent=p) for p in (True, False))
    both = [torch.from_numpy(x.values)[:, :, None] for x in (made, alone)]
    scores = [fair_crps(x, truth[60:]).double() for x in both]
    off = jackknife(lambda a, b: a / b - 1, *scores, blocks=7)
    assert abs(float(off.value)) < 3 * float(off.error) and float(off.error) < 0.02
    sizes = [BlockSpin(2).split(x.flatten(0, 1))[1].square().mean((1, 2, 3)) for x in both]
    ratio = jackknife(lambda a, b: a / b - 1, *sizes, blocks=MEMBERS)
    assert abs(float(ratio.value)) < 4 * float(ratio.error) and float(ratio.error) < 0.02
    np.testing.assert_allclose(made.coarsen(y=4, x=4).mean()[0], coarse, rtol=0, atol=1e-5)


@pytest.mark.integration
def test_a_known_correlation_is_found_at_every_level():
    """One decay of all scales: latents have it at every level, as all that is linear in the field has."""
    generator, x, fields = torch.Generator().manual_seed(3), torch.zeros(32, 32), []
    for _ in range(130):
        x = 0.7 * x + math.sqrt(1 - 0.7**2) * torch.randn(32, 32, generator=generator)
        fields.append(x + x.roll(1, 0) + x.roll(1, 1) + x.roll((1, 1), (0, 1)))
    fields = torch.stack(fields[10:])[:, None]
    found = Persistence.from_json(model_of(fields, times=np.arange(120.0)).metadata[PERSISTENCE])
    assert found.step == 1 and found.unit == ""
    for parts in found.levels:
        for lag in (1.0, 2.0, 3.0):
            assert np.abs(correlation(parts, [lag]) - 0.7**lag).max() < 0.06
        assert abs(correlation(parts, [1.0]).mean() - 0.7) < 0.02


@pytest.mark.integration
def test_fields_that_are_independent_in_time_get_independent_noise():
    still = torch.randn(40, 1, 32, 32)
    assert PERSISTENCE not in model_of(dated(still, days(40))).metadata


@pytest.mark.integration
def test_times_without_a_rhythm_are_matched_by_how_far_apart_they_are():
    truth = film(IRREGULAR, 5.0)
    model = model_of(truth, times=IRREGULAR)
    made = model.refine(model.trajectory(truth)[-1], members=2, times=IRREGULAR)
    gaps = np.diff(IRREGULAR)

    def by_gap(x: torch.Tensor, gap: int) -> float:
        detail = BlockSpin(2).split(x.reshape(-1, 1, 32, 32))[1].unflatten(0, (-1, len(gaps) + 1)).double()
        one, two = detail[:, :-1][:, gaps == gap], detail[:, 1:][:, gaps == gap]
        return float((one * two).sum() / (one.square().sum() * two.square().sum()).sqrt())

    pairs = [(by_gap(truth, gap), by_gap(made, gap)) for gap in (1, 2, 3)]
    assert all(abs(own - other) < 0.03 for own, other in pairs)
    assert pairs[0][0] - pairs[2][0] > 0.2  # they would not be by their places


class Bent(WhiteNoise):
    """A law that is far from linear: unit white z whose correlation is ``(9 c + 6 c^3) / 15`` for noise of c."""

    def sample(self, noise, condition, sampler, draw, present=None):
        return noise.pow(3) / math.sqrt(15)


@pytest.mark.integration
def test_secant_steps_make_good_what_a_law_does_to_the_correlation(truth):
    model = model_of(truth[:40])
    assert PERSISTENCE not in model.metadata
    for lift in model.lifts:
        lift.law = Bent()
    coarse, wanted, off = model.trajectory(truth[60:])[-1], lags(truth[60:]), []
    for rounds in (0, 2):
        calibrate_persistence(model, truth[:60], frames_at(np.arange(60.0), 60), rounds=rounds)
        made = model.refine(coarse, members=MEMBERS, times=np.arange(28.0))
        off.append(np.abs(lags(made) - wanted).max())
    assert off[1] < 0.035 < 0.08 < off[0]


def test_it_is_heavy_rain_that_is_to_last_as_long_as_in_the_truth():
    """Where it rains heavily shares last, where it drizzles they do not: what is seen of the film is the former."""
    generator, shares, fields = torch.Generator().manual_seed(5), torch.zeros(2, 32, 32), []
    heavy = torch.where(torch.arange(32) < 8, 8.0, 0.5).expand(32, 32)
    for _ in range(90):
        lasting = torch.where(heavy > 1, 0.9, 0.0)
        shares = lasting * shares + (1 - lasting.square()).sqrt() * torch.randn(2, 32, 32, generator=generator)
        along = torch.tanh(0.6 * shares)
        x = torch.stack([heavy * (1 + along[0]), heavy * (1 - along[0])], -1).flatten(-2)
        wide = along[1].repeat_interleave(2, -1)
        fields.append(torch.stack([x * (1 + wide), x * (1 - wide)], -2).flatten(-3, -2))
    fields = torch.stack(fields)[:, None]
    model = cascade(levels=1, boundary="reflect", evaluations=1, positive=True)
    model.fit(fields[:60], times=np.arange(60.0))
    made = model.refine(model.trajectory(fields[60:])[-1], members=4, times=np.arange(30.0))
    truth, found = (
        float(torch.stack([lag_correlation(x, BlockSpin(2), 1, (1,)).value[0] for x in one]).mean())
        for one in ([fields[60:]], made)
    )
    assert truth > 0.6 and abs(found - truth) < 0.06


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_time_made_alone_is_that_of_the_film(model, coarse):
    whole = model.refine(coarse, members=2, seed=3)
    for part in (coarse.isel(time=[5]), coarse.isel(time=5), coarse.isel(time=[9, 5, 20]), coarse[::-1]):
        made = model.refine(part, members=2, seed=3)
        made = made.sel(time=coarse.time[5]) if "time" in made.dims else made
        np.testing.assert_allclose(made, whole.isel(time=5), rtol=0, atol=1e-5)


@pytest.mark.integration
def test_sequences_members_and_seeds_are_independent(model, coarse):
    """Of one coarse field, so that members differ from their mean by their noise."""
    both = xr.concat([coarse, coarse], pd.Index([0, 1], name="realization"))
    made = model.refine(both, members=12, seed=1)
    other = model.refine(both, members=1, seed=2)
    mean = made.mean(["member", "realization"])
    ways = [made.isel(member=m, realization=r) for m in (0, 1) for r in (0, 1)] + [other.isel(member=0, realization=0)]
    apart = np.corrcoef([(way - mean).values.ravel() for way in ways]) - np.eye(5)
    assert np.abs(apart).max() < 0.15
    alone = model.refine(both.isel(realization=1), members=2, seed=1)
    np.testing.assert_allclose(alone, made.isel(realization=1, member=slice(2)), rtol=0, atol=1e-5)


@pytest.mark.integration
@pytest.mark.parametrize("calendar", ["cftime", "numbers", "named by CF"])
def test_one_time_is_one_time_however_it_is_written(model, coarse, calendar):
    times = coarse.time.to_index()
    if calendar == "cftime":
        other = coarse.assign_coords(time=xr.date_range("2021-05-01", periods=28, freq="6h", use_cftime=True))
    elif calendar == "numbers":
        hours = (times - pd.Timestamp("2000-01-01")) / pd.Timedelta("1h")
        other = coarse.assign_coords(time=("time", hours, {"units": "hours since 2000-01-01"}))
    else:
        other = coarse.rename(time="when").assign_coords(when=("when", times, {"standard_name": "time"}))
    assert other[other.dims[0]].dtype != times.dtype or calendar == "named by CF"
    made = model.refine(other, members=1, seed=3)
    np.testing.assert_allclose(made.values, model.refine(coarse, members=1, seed=3).values, rtol=0, atol=1e-5)


@pytest.mark.integration
def test_what_follows_from_the_time_does_not_tell_frames_apart(model, coarse):
    more = coarse.assign_coords(season=("time", coarse.time.dt.season.values), step=pd.Timedelta(0))
    plain, named = (model.refine(x, members=1, seed=3) for x in (coarse, more))
    np.testing.assert_array_equal(plain.values, named.values)


@pytest.mark.integration
def test_times_of_another_kind_make_independent_frames_and_that_is_said(model, coarse, capsys):
    counted = coarse.assign_coords(time=np.arange(28))
    made = model.refine(counted, members=1, seed=3)
    assert "times have no unit, those of the training 's': frames are independent" in capsys.readouterr().err
    apart = model.refine(counted, members=1, seed=3, persistent=False)
    np.testing.assert_array_equal(made.values, apart.values)


@pytest.mark.integration
def test_fields_without_a_time_are_refined_as_ever(model, coarse):
    plain = coarse.rename(time="sample").drop_vars("sample")
    assert torch.equal(
        *(torch.from_numpy(model.refine(plain, members=2, seed=3, persistent=p).values) for p in (True, False))
    )


@pytest.mark.usefixtures("unchecked")
def test_times_that_are_none_are_refused(model, coarse):
    for times, said in ((np.arange(27), "27 times for 28 fields"), (["a"] * 28, "dates or numbers are needed")):
        with pytest.raises(ValueError, match=said):
            model.refine(coarse.values, times=times)
    with pytest.raises(ValueError, match="1 of 28 values of time are missing; give them"):
        model.refine(coarse.values, times=[np.nan, *range(27)])


def without(times: object, places: list[int]) -> xr.DataArray:
    """A coordinate of time of which some values are missing."""
    values = np.array(times)
    values[places] = "NaT" if values.dtype.kind == "M" else None if values.dtype.kind == "O" else np.nan
    return xr.DataArray(values, dims=("time",), name="time")


@pytest.mark.parametrize("kind", ["date", "number", "noleap"])
def test_samples_whose_times_are_missing_are_named_unless_frames_are_independent(model, coarse, kind):
    times = {
        "date": days(28),
        "number": np.arange(28.0),
        "noleap": xr.date_range("2001", periods=28, calendar="noleap", use_cftime=True),
    }
    gone = coarse.assign_coords(time=without(times[kind], [0, 5]))
    sentence = r"time is missing for 2 of 28 samples \(0, 5, counted from 0\).*independent frames \(persistent=False\)"
    with pytest.raises(InputError, match=sentence):
        model.refine(gone, levels=1)
    plain = model.refine(gone, levels=1, persistent=False)
    assert plain.sizes["time"] == 28 and not bool((plain[:, 0] == plain[:, 5]).any())
    given = model.refine(gone, levels=1, times=days(28))
    np.testing.assert_array_equal(given, model.refine(coarse, levels=1, times=days(28)))


def test_many_missing_times_are_not_all_listed_and_a_model_is_not_measured_on_them(truth):
    gone = dated(truth, without(days(len(truth)), list(range(9))))
    with pytest.raises(InputError, match=r"for 9 of \d+ samples \(0, 1, 2, 3, 4, ..., counted from 0\)"):
        model_of(gone)


def test_the_missing_time_of_one_field_or_of_all_together_is_none(model, coarse):
    first = coarse.isel(time=[0])
    one = model.refine(first.assign_coords(time=without(days(1), [0])), levels=1)
    np.testing.assert_array_equal(
        one, model.refine(first.assign_coords(time=without(days(1), [0])), levels=1, persistent=False)
    )
    members = (
        coarse.isel(time=slice(3))
        .drop_vars("time")
        .rename(time="number")
        .assign_coords(time=np.datetime64("NaT", "ns"))
    )
    assert frames_of(unwrap(members, 1, 2)[1], 3) is None


# --- what a model keeps ------------------------------------------------------------------------


@pytest.mark.integration
def test_a_saved_model_makes_the_same_film_and_a_damaged_one_is_refused(model, coarse, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.refine(coarse, seed=2).values, model.refine(coarse, seed=2).values)
    text = (tmp_path / "model" / CONFIG).read_text()
    (tmp_path / "model" / CONFIG).write_text(re.sub(r'"step": [\d.]+', '"step": 0.0', text, count=1))
    with pytest.raises(ValueError, match=r"'persistence' are .*, and not a correlation in time"):
        Cascade.from_pretrained(tmp_path / "model")


@pytest.mark.integration
def test_an_enlarged_cascade_lasts_as_the_lift_that_is_repeated(model, coarse):
    larger = model.enlarged(1, 1.0, level=1)
    made = larger.refine(coarse.isel(y=slice(4), x=slice(4)), members=1)
    assert made.shape == (1, 28, 32, 32) and float(lags(made, (1,))[1, 0]) > 0.3


@pytest.mark.integration
def test_fields_with_gaps_last_too(truth):
    holes = truth.clone()
    holes[:, :, :9, :7] = math.nan
    model = model_of(dated(holes[:60], days(60)))
    coarse = dated(model.trajectory(holes[60:])[-1], days(28))
    made = model.refine(coarse, members=MEMBERS)
    seen = slice(12, None)
    own, wanted = (lags(x) for x in (made.isel(y=seen, x=seen), truth[60:, :, seen, seen]))
    assert np.abs(own - wanted).max() < 0.04


# --- frames ------------------------------------------------------------------------------------


def test_pairs_are_of_one_sequence_neighbours_and_farther_ones():
    frames = Frames(("a", "b", "a", "b", "a"), np.array([4.0, 0.0, 1.0, 9.0, 2.0]), "s")
    assert frames.in_order() == [[1, 3], [2, 4, 0]]
    assert frames.pairs() == [(1, 3), (2, 0), (2, 4), (4, 0)]
    many = frames_at(np.arange(1000.0), 1000).pairs()
    apart = {later - now for now, later in many}
    assert {1, 2, 3, 4, 6, 8, 512, 768} <= apart and len(many) < 1000
    assert not frames_at([3.0], 1).pairs()


def test_fields_at_one_time_are_of_sequences_of_their_own():
    assert len(set(frames_at([1.0, 1.0, 2.0], 3).sequences)) == 2


def test_a_forecast_is_told_apart_by_when_it_began_and_an_analysis_is_not():
    began = pd.to_datetime(["2020-01-01", "2020-01-02"])
    steps = pd.to_timedelta([6, 12, 30], unit="h")
    valid = (["time", "step"], began.values[:, None] + steps.values, {"standard_name": "time"})
    coords = {
        "time": ("time", began, {"standard_name": "forecast_reference_time"}),
        "step": ("step", steps, {"standard_name": "forecast_period"}),
        "valid_time": valid,
    }
    field = xr.DataArray(np.zeros((2, 3, 4, 4)), coords, ("time", "step", "y", "x"))
    values, layout = unwrap(field, 1, 2)
    frames = frames_of(layout, len(values))
    assert frames is not None and len(frames.in_order()) == 2 and frames.unit == "s"
    assert frames.times[0] == began[0].timestamp() + 6 * 3600
    values, layout = unwrap(field.isel(step=0).assign_coords(valid_time=("time", began)), 1, 2)
    frames = frames_of(layout, len(values))
    assert frames is not None and len(frames.in_order()) == 1


def test_windows_of_large_fields_lie_at_the_same_places_in_all_frames():
    model = cascade(levels=2, boundary="reflect")
    x = torch.arange(120 * 120.0).reshape(1, 1, 120, 120) + torch.arange(3.0).reshape(3, 1, 1, 1) * 1e5
    cut = windows(model, Fields(x), 4 * 3 * 48 * 48).values
    assert cut.shape == (12, 1, 48, 48)
    pieces = cut.unflatten(0, (4, 3))
    assert torch.equal(pieces[:, 1] - pieces[:, 0], torch.full((4, 1, 48, 48), 1e5))
    assert torch.equal(windows(model, Fields(x), 10**6).values, x)
