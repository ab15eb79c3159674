"""xarray in and out: cells, calendars, units, gaps and attributes; the climates are made up."""

import numpy as np
import pytest
import xarray as xr

import rgdm
from rgdm.errors import InputError

YEARS = 4


def climate(
    mean: float = 280.0,
    spread: float = 3.0,
    seed: int = 0,
    calendar: str = "noleap",
    name: str = "t2m",
    start: int = 2001,
) -> xr.DataArray:
    """Days of some years on 3 x 4 cells, warmer in July and in the south."""
    times = xr.date_range(f"{start}-01-01", f"{start + YEARS - 1}-12-30", freq="D", calendar=calendar, use_cftime=True)
    season = -8 * np.cos(2 * np.pi * (xr.DataArray(times, dims="time").dt.dayofyear.values - 15) / 365)
    noise = np.random.default_rng(seed).standard_normal((len(times), 3, 4))
    lat, lon = np.array([40.0, 42.0, 44.0]), np.array([0.0, 2.0, 4.0, 6.0])
    values = mean + season[:, None, None] - (lat - 42)[:, None] + spread * noise
    return xr.DataArray(
        values.astype("f4"),
        dims=("time", "lat", "lon"),
        coords={
            "time": times,
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        name=name,
        attrs={"units": "K", "standard_name": "air_temperature", "cell_methods": "time: mean"},
    )


def near(a: xr.DataArray, b: xr.DataArray, within: float) -> bool:
    return float(np.abs(a - b).mean()) < within


def test_month_by_month_and_cell_by_cell_a_monotone_error_is_undone():
    truth = climate()
    wrong = 1.5 * (truth - 273) + 270 + 0.1 * truth["time"].dt.month + 0.5 * truth["lat"] - 20
    made = rgdm.debias(wrong.assign_attrs(truth.attrs), truth)
    assert near(made, truth, 0.01) and float(np.abs(made - truth).max()) < 0.5
    assert not near(wrong, truth, 3)  # the control
    whole = rgdm.debias(wrong.assign_attrs(truth.attrs), truth, group="none")
    assert not near(whole, truth, 0.1)  # one map for the whole year cannot undo an error of each month


def test_what_is_given_comes_back_in_kind_with_attributes_coordinates_and_precision():
    truth, wrong = climate(seed=1), climate(283, 4, 2).transpose("lon", "time", "lat")
    wrong.attrs |= {"valid_max": 400.0, "actual_range": [200.0, 300.0], "long_name": "t"}
    made = rgdm.debias(wrong, truth)
    assert made.dims == wrong.dims and made.dtype == np.float32 and made.name == "t2m"
    assert made.coords.identical(wrong.coords)
    kept = {key: value for key, value in made.attrs.items() if key != "bias_correction"}
    assert kept == {**truth.attrs, "long_name": "t"}
    assert made.attrs["bias_correction"].startswith("quantile delta mapping (additive) onto the observed field: 50 qua")
    both = rgdm.debias(xr.Dataset({"t2m": wrong, "q": wrong + 1}, attrs={"title": "x"}), xr.Dataset({"t2m": truth}))
    assert isinstance(both, xr.Dataset) and both.attrs == {"title": "x"} and list(both) == ["t2m"]
    xr.testing.assert_identical(both["t2m"], made)


def test_every_cell_gets_its_distribution_and_pooled_all_get_one():
    truth, wrong = climate(seed=1), climate(seed=2)
    wrong = wrong + xr.DataArray([0.0, 3.0, 6.0, 9.0], dims="lon")
    made = rgdm.debias(wrong.assign_attrs(truth.attrs), truth)
    assert float(np.abs(made.mean("time") - truth.mean("time")).max()) < 0.1
    assert float(np.abs(made.std("time") - truth.std("time")).max()) < 0.05
    pooled = rgdm.debias(wrong.assign_attrs(truth.attrs), truth, pooled=True)
    assert abs(float(pooled.mean() - truth.mean())) < 0.05
    columns = pooled.mean(("time", "lat"))
    assert float(columns.max() - columns.min()) > 3  # the error of each column is still there


def test_units_are_converted_and_the_result_has_those_of_what_was_given(capsys):
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    celsius = (wrong - 273.15).assign_attrs({**wrong.attrs, "units": "degC"})
    made = rgdm.debias(celsius, truth)
    assert "t2m of the model output is in degC and is converted; the observed field has K" in capsys.readouterr().err
    assert made.attrs["units"] == "degC"
    np.testing.assert_allclose(made + 273.15, rgdm.debias(wrong, truth), atol=2e-3)
    with pytest.raises(InputError, match="t2m in mm; the observed field has K: convert it"):
        rgdm.debias(wrong.assign_attrs(units="mm"), truth)


def test_cells_are_found_by_their_coordinates_whatever_their_order():
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    made = rgdm.debias(wrong, truth)
    turned = truth.isel(lat=slice(None, None, -1)).rename(lat="latitude").transpose("lon", ...)
    rolled = turned.assign_coords(lon=("lon", turned["lon"].values - 360, turned["lon"].attrs))
    xr.testing.assert_equal(rgdm.debias(wrong, rolled.roll(lon=1, roll_coords=True)), made)
    part = wrong.isel(lat=slice(0, 2), lon=[1, 2])
    xr.testing.assert_equal(rgdm.debias(part, truth), made.isel(lat=slice(0, 2), lon=[1, 2]))


def test_other_cells_are_refused_and_so_is_a_finer_grid_that_has_the_same_points():
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    with pytest.raises(
        InputError, match=r"along lat 3 from 41 to 45 by 2, 3 from 40 to 44 by 2; bring both onto one grid"
    ):
        rgdm.debias(wrong, truth.assign_coords(lat=("lat", truth["lat"].values + 1, truth["lat"].attrs)))
    with pytest.raises(InputError, match=r"along lon 7 from 0 to 6 by 1, 4 from 0 to 6 by 2; .*block means"):
        rgdm.debias(wrong, truth.interp(lon=np.arange(7.0)).assign_attrs(truth.attrs))
    with pytest.raises(InputError, match="has 2 cells along lat, the model output 3"):
        rgdm.debias(wrong.drop_vars("lat"), truth.isel(lat=[0, 1]).drop_vars("lat"))
    with pytest.raises(InputError, match=r"lies on lat \(3\), the model output on lat \(3\) x lon \(4\)"):
        rgdm.debias(wrong, truth.mean("lon").assign_attrs(truth.attrs))


@pytest.mark.parametrize("calendar", ["360_day", "standard"])
def test_a_model_may_have_another_calendar_and_another_number_of_days(calendar, capsys):
    truth, wrong = climate(seed=1), climate(285, 4, 2, calendar)
    made = rgdm.debias(wrong, truth)
    assert f"the model output has the calendar {calendar}, the observed field noleap" in capsys.readouterr().err
    assert made.coords.identical(wrong.coords)
    by_month = [each.groupby("time.month").mean() for each in (made, truth, wrong)]
    assert float(np.abs(by_month[0] - by_month[1]).max()) < 0.25 < 2 < float(np.abs(by_month[2] - by_month[1]).min())


def test_dates_of_numpy_are_months_too():
    truth, wrong = (
        each.convert_calendar("standard", use_cftime=False) for each in (climate(seed=1), climate(283, 4, 2))
    )
    np.testing.assert_array_equal(rgdm.debias(wrong, truth), rgdm.debias(climate(283, 4, 2), climate(seed=1)))


def test_times_that_are_unsorted_or_twice_there_are_refused():
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    order = np.r_[0, 2, 1, 3 : wrong.sizes["time"]]
    with pytest.raises(InputError, match="has the time 2001-01-02 after 2001-01-03; sort it"):
        rgdm.debias(wrong.isel(time=order), truth)
    with pytest.raises(InputError, match="the observed field has the time 2001-01-03 twice"):
        rgdm.debias(wrong, truth.isel(time=np.r_[0:3, 2:40]))


def test_other_steps_of_time_are_refused_and_other_years_are_said(capsys):
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    weekly = truth.resample(time="7D").mean().assign_attrs(truth.attrs)
    with pytest.raises(InputError, match="has a value every day, the observed field every 7 days: average the finer"):
        rgdm.debias(wrong, weekly)
    rgdm.debias(wrong, weekly, force=True, quantiles=15)
    rgdm.debias(climate(283, 4, 2, start=2051), truth)
    assert "is of 2051 to 2054, the observed field of 2001 to 2004: what the climate changed" in capsys.readouterr().err


def test_missing_values_stay_missing_teach_nothing_and_are_counted(capsys):
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    whole = rgdm.debias(wrong, truth)
    sea = (truth["lat"] == 42) & (truth["lon"] == 2)
    gaps = wrong.where(~sea)
    gaps.attrs["_FillValue"] = -999.0
    made = rgdm.debias(gaps.fillna(-999.0), truth.where(~sea))
    assert bool(made.where(~sea, 0).notnull().all()) and bool(made.where(sea, np.nan).isnull().all())
    np.testing.assert_array_equal(made.where(~sea), whole.where(~sea))
    assert f"{wrong.sizes['time']} of {wrong.size} values (8.33%) are missing and stay so" in capsys.readouterr().err
    some = rgdm.debias(wrong, truth.where(~sea))
    assert int(some.isnull().sum()) == wrong.sizes["time"]
    assert "12 mappings have fewer than 50 values to learn from" in capsys.readouterr().err


def test_too_few_values_for_the_quantiles_are_refused_with_the_remedy():
    truth, wrong = climate(seed=1), climate(283, 4, 2)
    with pytest.raises(
        InputError, match=r"200 quantiles need as many values of a cell \(January\), and the model output"
    ):
        rgdm.debias(wrong, truth, quantiles=200)
    with pytest.raises(InputError, match=r": take quantiles=124 or group='season' or group='none' or pooled=True$"):
        rgdm.debias(wrong, truth, quantiles=200)
    week = climate(286, 4, 3).isel(time=slice(0, 7))
    with pytest.raises(InputError, match=r"the scenario has 7: take .* or method='value', which needs no ranks"):
        rgdm.debias(wrong, truth, week)
    assert bool(rgdm.debias(wrong, truth, week, method="value").notnull().all())


def test_a_scenario_keeps_its_warming_by_delta_and_its_form():
    truth, wrong = climate(seed=1), climate(283, 6, 2)
    later = climate(287, 6, 2, start=2061)  # the same weather, 4 K warmer
    made, now = rgdm.debias(wrong, truth, later), rgdm.debias(wrong, truth)
    assert made.coords.identical(later.coords)
    np.testing.assert_allclose(made.mean("time") - now.mean("time"), 4, atol=1e-3)
    mapped = rgdm.debias(wrong, truth, later, method="value")
    assert (mapped.mean("time") - now.mean("time") < 3).all()  # twice as variable, so its warming counts half


def test_members_are_samples_and_levels_are_cells():
    truth = xr.concat(
        [climate(280, seed=1), climate(260, seed=2)], xr.DataArray([850.0, 500.0], dims="plev", name="plev")
    )
    wrong = xr.concat([climate(283, seed=3), climate(250, seed=4)], truth["plev"]).assign_attrs(truth.attrs)
    several = xr.concat([wrong, wrong + 1, wrong - 1], "member").assign_attrs(wrong.attrs)
    made = rgdm.debias(several, truth.assign_attrs(wrong.attrs))
    assert made.dims == several.dims
    np.testing.assert_allclose(made.mean(("member", "time")), truth.mean("time"), atol=0.1)
    np.testing.assert_allclose(made.mean("time").diff("member").isel(member=1), -2, atol=0.5)


def test_rain_is_known_by_its_zeros_and_kept_positive(capsys):
    rng = np.random.default_rng(0)
    like = climate(name="pr")

    def rain(dry, scale):
        values = np.where(rng.random(like.shape) < dry, 0, rng.gamma(0.7, scale, like.shape))
        return like.copy(data=values.astype("f4")).assign_attrs(units="mm d-1", standard_name="rainfall_rate")

    truth, wrong = rain(0.6, 8.0), rain(0.2, 4.0)
    made = rgdm.debias(wrong, truth)
    said = capsys.readouterr().err
    assert "pr is never negative and often 0: it is corrected by factors" in said
    assert "mm d-1 counts as dry" in said
    assert float(made.min()) == 0 and "(multiplicative)" in made.attrs["bias_correction"]
    assert abs(float((made == 0).mean()) - float((truth < 0.01 * truth.mean()).mean())) < 0.02
    assert abs(float(made.mean() / truth.mean()) - 1) < 0.03
    differences = rgdm.debias(wrong, truth, kind="additive")
    assert (float(differences.min()) < 0) == ("have become negative" in capsys.readouterr().err)


def test_times_without_dates_need_no_groups(capsys):
    truth, wrong = (each.drop_vars("time").rename(time="sample") for each in (climate(seed=1), climate(283, 4, 2)))
    with pytest.raises(InputError, match="the times of the model output are no dates, so that nobody knows the months"):
        rgdm.debias(wrong, truth)
    made = rgdm.debias(wrong, truth, group="none")
    np.testing.assert_allclose(made.mean("sample"), truth.mean("sample"), atol=0.1)
    nameless = [each.rename(sample="index") for each in (wrong, truth)]  # beside latitude and longitude a sample too
    np.testing.assert_array_equal(rgdm.debias(*nameless, group="none"), made)


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_choice_is_refused():
    truth = climate()
    for wrong in ({"group": "week"}, {"kind": "log"}, {"method": "x"}, {"quantiles": 1}, {"wet": -1.0}):
        with pytest.raises(InputError):
            rgdm.debias(truth, truth, **wrong)
    with pytest.raises(InputError, match="are DataArray, Dataset; give DataArrays, or Datasets"):
        rgdm.debias(truth, truth.to_dataset())
    with pytest.raises(InputError, match="has an axis channel; give a Dataset"):
        rgdm.debias(truth.expand_dims("channel"), truth)
    with pytest.raises(InputError, match=r"has a, the observed field b: give these one name"):
        rgdm.debias(truth.drop_attrs().to_dataset(name="a"), truth.to_dataset(name="b"))
