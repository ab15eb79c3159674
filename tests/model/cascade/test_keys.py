"""The noise of a field is keyed by what the field is: its time, level, realization; else by its place."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from lift_examples import red
from rgdm.data.layout import unwrap
from rgdm.model.cascade import generation
from rgdm.model.cascade.keys import MEMBERS, streams
from small import cascade

TIMES = pd.date_range("2020-01-01", periods=4, freq="6h")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = cascade(1, 1, 2, "periodic", width=2, evaluations=1)
    model.fit(red(16, (32,)))
    return model.eval()


def file(values: np.ndarray | None = None, **coords) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((4, 2, 8)) if values is None else values
    field = xr.DataArray(values, dims=("time", "level", "x"))
    return field.assign_coords({name: ((name,), value) for name, value in coords.items()})


def keys(field) -> list[int]:
    values, layout = unwrap(field, 1, 1)
    return streams(layout, len(values))


def test_a_day_has_the_same_noise_alone_and_in_a_longer_file(model):
    whole = file(time=TIMES, level=[500.0, 850.0])
    fine = model.refine(whole, members=2)
    for part in (
        whole.isel(time=[2]),
        whole.isel(time=2),
        whole.isel(time=slice(2, None)),
        whole.isel(time=[2], level=1),
        whole.isel(time=[2]).transpose("level", "time", "x"),
        whole.isel(time=[3, 2]),
    ):
        made = model.refine(part, members=2)
        for name, value in (("time", TIMES[2]), ("level", 850.0)):
            made = made.sel({name: value}) if name in made.dims else made
        expected = fine.sel(time=TIMES[2], level=850.0)
        np.testing.assert_allclose(made.transpose(*expected.dims), expected, rtol=1e-4, atol=1e-5)


def test_other_days_and_levels_have_other_noise(model, monkeypatch):
    """The same coarse field everywhere, so that what differs is noise."""
    same = np.zeros((4, 2, 8))
    first, second = file(same, time=TIMES, level=[1, 2]), file(same, time=TIMES + pd.Timedelta("1D"), level=[1, 2])

    def likeness() -> float:
        a, b = (model.refine(field, members=4).values for field in (first, second))
        return float(np.corrcoef(np.stack([(x - x.mean(0)).ravel() for x in (a, b)]))[0, 1])

    assert abs(likeness()) < 0.15
    assert len(set(keys(first) + keys(second))) == 16
    monkeypatch.setattr(generation, "streams", lambda layout, count: [MEMBERS * i for i in range(count)])
    assert likeness() > 0.999  # keyed by place


def test_fields_without_coordinates_are_told_apart_by_their_place():
    expected = [MEMBERS * i for i in range(8)]
    assert keys(file()) == keys(torch.zeros(8, 1, 8)) == keys(file().assign_coords(x=np.arange(8))) == expected
    assert len(set(keys(file(time=TIMES)))) == 8  # levels without a name
    assert keys(file(time=TIMES).isel(time=[1])) == keys(file(time=TIMES))[2:4]


def test_equal_values_of_other_types_are_the_same():
    reference = keys(file(time=TIMES, level=[500.0, 0.1]))
    for time in (TIMES.values.astype("datetime64[s]"), TIMES.values.astype("datetime64[us]")):
        assert keys(file(time=time, level=np.array([500, 0.1], "f4"))) == reference
    assert keys(file(time=[1, 2, 3, 4])) == keys(file(time=[1.0, 2.0, 3.0, 4.0]))
    assert keys(file(time=TIMES - TIMES[0])) == keys(file(time=(TIMES - TIMES[0]).values.astype("timedelta64[s]")))
    far = np.array(["1000-01-01", "1000-01-02", "9000-01-01", "9000-01-02"], "datetime64[s]")
    assert len(set(keys(file(time=far)))) == 8


def test_what_belongs_to_all_fields_is_no_key():
    plain = file(time=TIMES)
    crs = xr.DataArray(0, attrs={"grid_mapping_name": "latitude_longitude"})
    assert keys(plain.assign_coords(crs=crs, x=np.arange(8))) == keys(plain)
    bounded = plain.to_dataset(name="u").assign_coords(time_bnds=(("time", "edge"), np.zeros((4, 2))))
    assert keys(bounded) == keys(plain)


def test_a_dataset_has_the_keys_of_its_fields():
    field = file(time=TIMES, level=[1, 2])
    assert keys(field.to_dataset(name="u")) == keys(field)
