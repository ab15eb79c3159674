"""What was made says how, and what it was before."""

import re

import numpy as np
import xarray as xr

from rgdm.data.results.provenance import longer_history, record, record_of, recorded, with_conventions

MADE = record("rgdm 1 refine", "3f2a", seed=7, members=2)


def test_history_gets_one_line_more_with_the_time_in_front(monkeypatch):
    line = longer_history("first\n", "rgdm refine")
    assert re.fullmatch(r"first\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ rgdm refine", line)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert longer_history(None, "rgdm refine") == "1970-01-02T00:00:00Z rgdm refine"


def test_a_record_is_in_the_attributes_and_in_the_history_and_the_given_object_stays():
    given = xr.DataArray(np.zeros(2), dims="x", attrs={"units": "K", "history": "before", "seed": 1})
    made = recorded(given, MADE)
    assert record_of(made.attrs) == MADE and made.attrs["units"] == "K"
    assert (
        made.attrs["history"].startswith("before\n")
        and "model_checksum 3f2a, seed 7, members 2" in made.attrs["history"]
    )
    assert given.attrs == {"units": "K", "history": "before", "seed": 1}
    assert recorded(np.zeros(2), MADE).tolist() == [0, 0]


def test_conventions_that_a_file_follows_stay():
    assert with_conventions({"Conventions": "CF-1.8, ACDD-1.3"}) == {"Conventions": "CF-1.8, ACDD-1.3"}
    assert with_conventions({}) == {"Conventions": "CF-1.11"}
