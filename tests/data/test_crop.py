"""A field is cut to the largest part that divides, and that is said."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.crop import crop
from rgdm.data.fields import read_field
from rgdm.errors import InputError


def field() -> xr.DataArray:
    data = xr.DataArray(np.arange(2 * 21 * 24.0).reshape(2, 1, 21, 24), dims=("sample", "channel", "lat", "lon"))
    return data.assign_coords(lat=np.linspace(90, -90, 21), channel=["t"])


def test_the_first_part_stays_with_its_coordinates_and_what_goes_is_named():
    cut, notes = crop(field(), (8, 8), ("reflect", "periodic"))
    assert cut.identical(field().isel(lat=slice(16)))
    assert notes == ["lat is cut from 21 to 16 sites: -54 to -90 is left out"]


def test_what_divides_or_is_too_small_stays():
    for units in ((7, 24), (3, 8), (32, 8)):
        cut, notes = crop(field(), units, ("reflect", "reflect"))
        assert cut.identical(field()) and notes == []


def test_an_axis_that_closes_on_itself_is_not_cut():
    with pytest.raises(InputError, match=r"lon has 24 sites, which 16 does not .* closes on itself.*to 32 sites"):
        crop(field(), (1, 16), ("reflect", "periodic"))


def test_a_field_of_a_file_keeps_what_is_known_of_it(tmp_path):
    field()[:, 0].to_dataset(name="t").drop_vars("channel").to_netcdf(tmp_path / "a.nc")
    read = read_field([tmp_path / "a.nc"])
    cut, _ = crop(read, (4, 5), ("reflect", "reflect"))
    assert cut.shape[2:] == (20, 20) and cut.encoding == read.encoding
