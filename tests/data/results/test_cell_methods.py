"""What values say of their cells, after the CF conventions, section 7.3."""

import numpy as np
import pytest
import xarray as xr

from rgdm.data.results.cell_methods import methods_of, sums_among, with_cell_methods


def field(stated: str | None, dims: tuple[str, ...] = ("lat", "lon")) -> xr.DataArray:
    attrs = {} if stated is None else {"cell_methods": stated}
    return xr.DataArray(np.zeros((2,) * len(dims)), dims=dims, attrs=attrs, name="pr")


@pytest.mark.parametrize(
    ("stated", "dims", "expected"),
    [
        (None, ("lat", "lon"), "area: mean"),
        ("time: mean", ("lat", "lon"), "time: mean area: mean"),
        ("time: mean (interval: 1 hour) area: mean where sea", ("lat", "lon"), "as it is"),
        ("area: time: mean", ("lat", "lon"), "as it is"),
        ("area: point", ("lat", "lon"), "as it is"),
        ("latitude: longitude: mean", ("lat", "lon"), "as it is"),
        ("lon: mean", ("lat", "lon"), "as it is"),
        ("time: maximum (comment: area: mean before)", ("lat", "lon"), "as before and area: mean"),
        (None, ("depth", "lat", "lon"), "depth: lat: lon: mean"),
        (None, ("a", "b"), "a: b: mean"),
        ("area: mean", ("time",), "area: mean time: mean"),
    ],
)
def test_means_of_the_finer_cells_are_said_unless_something_is(stated, dims, expected):
    made = with_cell_methods(field(stated, dims), dims, "mean").attrs["cell_methods"]
    words = {"as it is": stated, "as before and area: mean": f"{stated} area: mean"}
    assert made == words.get(expected, expected)


def test_nothing_is_said_of_values_that_are_no_means_and_the_given_object_stays():
    given = field(None)
    assert with_cell_methods(given, ("lat", "lon"), "").attrs == {}
    with_cell_methods(given, ("lat", "lon"), "mean")
    assert given.attrs == {}


def test_each_variable_of_a_dataset_speaks_for_itself_and_grid_mappings_do_not():
    data = xr.Dataset({"a": field("time: mean"), "b": field(None), "crs": ((), 0)})
    data["a"].attrs["grid_mapping"] = "crs"
    made = with_cell_methods(data, ("lat", "lon"), "mean")
    assert (
        made["a"].attrs["cell_methods"] == "time: mean area: mean" and made["b"].attrs["cell_methods"] == "area: mean"
    )
    assert made["crs"].attrs == {}


def test_methods_are_read_name_by_name():
    assert methods_of({"cell_methods": "time: lat: mean (interval: 2 s) area: sum where land"}) == {
        "time": "mean",
        "lat": "mean",
        "area": "sum",
    }
    assert methods_of({"cell_methods": "nonsense"}) == methods_of({}) == {}


def test_sums_over_cells_are_found():
    assert sums_among(field("area: sum")) == ["pr"]
    assert sums_among(field("time: sum area: mean")) == sums_among(np.zeros(3)) == []
    assert sums_among(xr.Dataset({"a": field("area: time: sum"), "b": field(None)})) == ["a"]
