"""When fields are: dates of any calendar and numbers with a unit as seconds, and which coordinate says it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from rgdm.data.moments import moments, step_in_words, time_of

DATES = pd.to_datetime(["1969-12-31T18:00", "1970-01-01", "2020-02-29T12:00:00.25"], format="ISO8601")
SECONDS = [-21600.0, 0.0, 1582977600.25]


def coordinate(values: object, **attrs) -> xr.DataArray:
    return xr.DataArray(values, dims=("time",), name="time", attrs=attrs)


def test_dates_are_seconds_since_1970_in_every_resolution():
    for unit in ("ns", "us", "ms"):
        found = moments(coordinate(DATES.values.astype(f"datetime64[{unit}]")))
        assert found.unit == "s" and found.values.tolist() == SECONDS


def test_dates_of_other_calendars_count_their_own_days():
    for calendar, day in (("standard", 60), ("noleap", 59), ("360_day", 60)):
        times = xr.date_range("1970-01-01", periods=61, freq="D", calendar=calendar, use_cftime=True)
        values = moments(coordinate(times)).values / 86400
        assert values.tolist() == list(range(61))
        first_of_march = [i for i, time in enumerate(times) if (time.month, time.day) == (3, 1)]
        assert first_of_march == [day - 1 if calendar == "standard" else day]


@pytest.mark.parametrize(
    ("values", "attrs", "seconds", "unit"),
    [
        ([0, 6, 12], {"units": "hours since 1970-01-02"}, [86400, 108000, 129600], "s"),
        ([0, 6], {"units": "hours"}, [0, 21600], "s"),
        ([1.5], {"units": "days"}, [129600], "s"),
        ([1, 2], {"units": "month"}, [1, 2], "month"),
        ([1, 2], {}, [1, 2], ""),
        (pd.to_timedelta([6, 30], unit="h"), {}, [21600, 108000], "s"),
    ],
)
def test_numbers_and_spans_are_taken_by_their_unit(values, attrs, seconds, unit):
    found = moments(coordinate(values, **attrs))
    assert found.values.tolist() == seconds and found.unit == unit


def test_missing_times_and_words_are_refused():
    with pytest.raises(ValueError, match="1 of 2 values of time are missing"):
        moments(coordinate(pd.to_datetime(["2020-01-01", None])))
    with pytest.raises(ValueError, match="dates or numbers are needed"):
        moments(coordinate(["monday", "tuesday"]))


def test_the_date_is_the_time_and_what_follows_from_it_is_known_as_that():
    field = xr.DataArray(np.zeros((3, 4)), {"time": DATES, "level": 3}, ("time", "x"))
    assert time_of(field, ["time"]) == ("time",)
    more = field.assign_coords(month=("time", [12, 1, 2]), dayofyear=("time", [365, 1, 60]), x=range(4))
    assert time_of(more, ["time"])[0] == "time" and set(time_of(more, ["time"])) == {"time", "month", "dayofyear"}
    assert time_of(more.isel(time=0), []) == time_of(more, ["time"])
    assert time_of(field.drop_vars("time"), ["time"]) == ()


def test_a_step_is_said_in_the_largest_unit_that_it_fills():
    said = {25200.0: "7 h", 86400.0: "1 d", 5400.0: "1.5 h", 600.0: "10 min", 0.25: "0.25 s", 0.0: "0 s"}
    assert {step: step_in_words(step, "s") for step in said} == said
    assert step_in_words(3.0, "") == "3" and step_in_words(7200.0, "model years") == "7200 model years"
