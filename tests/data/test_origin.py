"""What was made of a field has the axes, attributes, bounds and reference system of its file."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.axes import with_boundary
from rgdm.data.fields import read_field
from rgdm.data.layout import unwrap
from rgdm.data.origin import as_dataset, origin_of, with_own_attributes, with_own_axes
from rgdm.data.writing import write_field
from rgdm.scale.grid import Grid

DAYS = np.array(["2000-01-01", "2000-02-01", "2000-03-01"], "M8[ns]")


@pytest.fixture
def archive(tmp_path):
    """A file as climate archives store it: two variables, four axes in other orders, a projection, bounds."""
    values = np.random.default_rng(0).standard_normal((3, 2, 4, 6))
    metres = {"y": 1e3 * np.arange(4), "x": 1e3 * np.arange(6)}
    data = xr.Dataset(
        {
            "t": (("time", "y", "x", "height"), np.moveaxis(values, 1, -1), {"units": "K", "grid_mapping": "crs"}),
            "p": (
                ("height", "time", "x", "y"),
                values.transpose(1, 0, 3, 2) + 10,
                {"units": "Pa", "ancillary_variables": "a"},
            ),
            "crs": ((), 0, {"grid_mapping_name": "transverse_mercator", "GeoTransform": "-500 1000 0 3500 0 -1000"}),
            "time_bnds": (("time", "nv"), np.stack([DAYS, DAYS + np.timedelta64(28, "D")], 1)),
            **{f"{n}_bnds": ((n, "nv"), np.stack([c - 500, c + 500], 1)) for n, c in metres.items()},
        },
        coords={
            "time": ("time", DAYS, {"bounds": "time_bnds"}, {"units": "hours since 1990-01-01"}),
            "height": ("height", [2.0, 10.0], {"units": "m"}),
            "run": ("time", ["a", "b", "c"]),
            "drift": (("x", "time"), np.arange(18.0).reshape(6, 3) ** 2),
            "lat": (("y", "x"), 50 + 0.01 * np.arange(24.0).reshape(4, 6), {"units": "degrees_north"}),
            **{n: (n, c, {"units": "m", "bounds": f"{n}_bnds"}) for n, c in metres.items()},
        },
        attrs={"title": "an archive", "Conventions": "CF-1.11"},
    )
    data.to_netcdf(tmp_path / "archive.nc")
    return tmp_path / "archive.nc", data.load()


def refine(path, members: int = 2, factor: int = 2, variable: str = "p,t") -> xr.Dataset:
    """As the command does, with an ensemble whose every member repeats the coarse sites."""
    coarse = read_field([path], variable, order=("y", "x"))
    x, layout = unwrap(coarse, coarse.sizes["channel"], 2)
    fine = x.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    made = layout.wrap(torch.stack([fine] * members), (factor, factor))
    assert isinstance(made, xr.DataArray)
    own = with_own_axes(with_boundary(made, Grid.uniform(2, ("reflect", "periodic"))), coarse)
    return as_dataset(own, coarse, (factor, factor))


def test_axes_of_samples_come_back_with_names_and_coordinates(archive):
    path, data = archive
    fine = refine(path)
    for name in ("t", "p"):
        mean = fine[name].coarsen(y=2, x=2).mean().isel(member=1)
        np.testing.assert_array_equal(mean.transpose(*data[name].dims), data[name])
    assert fine["t"].dims == ("member", "height", "time", "x", "y")  # of the first variable, p
    np.testing.assert_array_equal(fine["time"], DAYS)
    np.testing.assert_array_equal(fine["time_bnds"], data["time_bnds"])
    assert list(fine["height"].values) == [2, 10] and fine["height"].attrs == {"units": "m"}
    assert list(fine["run"].values) == ["a", "b", "c"] and fine["run"].dims == ("time",) and "run" in fine.coords
    assert fine["lat"].shape == (8, 12) and fine["drift"].dims == ("x", "time")


def test_each_variable_has_its_own_attributes_and_none_that_names_what_is_not_there(archive):
    path, _ = archive
    fine = refine(path)
    assert fine["t"].attrs["units"] == "K" and fine["p"].attrs["units"] == "Pa"
    assert fine["t"].attrs["grid_mapping"] == "crs" and "grid_mapping" not in fine["p"].attrs
    assert "ancillary_variables" not in fine["p"].attrs
    assert fine.attrs == {"title": "an archive", "Conventions": "CF-1.11", "channels": "p,t"}
    assert fine["p"].attrs["boundary"] == "periodic,reflect"  # of x and y, in the order of the file


def test_reference_system_and_bounds_are_those_of_the_finer_cells(archive):
    path, _ = archive
    fine = refine(path)
    assert fine["crs"].attrs["GeoTransform"] == "-500.0 500.0 0.0 3500.0 0.0 -500.0"
    for name in ("y", "x"):
        assert fine[name].attrs["bounds"] == f"{name}_bnds"
        low, high = fine[f"{name}_bnds"].values.T
        np.testing.assert_allclose(np.diff([low, high], axis=0), 500)
        np.testing.assert_allclose((low + high) / 2, fine[name])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_an_ensemble_that_was_written_is_refined_again_and_again(archive, tmp_path, suffix):
    path, data = archive
    for i in range(3):
        fine = refine(path, factor=2 if i == 0 else 1)
        path = tmp_path / f"{i}{suffix}"
        write_field(path, fine)
    again = xr.open_dataset(path, **({"consolidated": False} if suffix == ".zarr" else {}))
    assert set(again["t"].dims) == {"refinement_2", "refinement", "member", "time", "height", "y", "x"}
    one = again["t"].isel(refinement_2=1, refinement=0, member=1).coarsen(y=2, x=2).mean()
    np.testing.assert_allclose(one.transpose(*data["t"].dims), data["t"])
    assert again["t"].attrs["units"] == "K" and again.attrs["title"] == "an archive" and "crs" in again


def test_channels_without_an_origin_share_their_attributes_and_can_have_their_own():
    field = xr.DataArray(np.zeros((1, 2, 4, 4)), dims=("sample", "channel", "y", "x"), coords={"channel": ["a", "b"]})
    assert origin_of(field.assign_attrs(units="K")).channels == {"a": {"units": "K"}, "b": {"units": "K"}}
    own = with_own_attributes(field, {"a": {"units": "K", "valid_range": [0, 1]}})
    assert origin_of(own).channels == {"a": {"units": "K"}, "b": {}} and "origin" not in field.encoding


def test_own_attributes_are_written(tmp_path):
    field = xr.DataArray(np.zeros((1, 2, 4, 4)), dims=("sample", "channel", "y", "x"), coords={"channel": ["a", "b"]})
    write_field(tmp_path / "a.nc", with_own_attributes(field, {"a": {"units": "K"}}))
    with xr.open_dataset(tmp_path / "a.nc") as data:
        assert data["a"].attrs == {"units": "K"} and data["b"].attrs == {}


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_attributes_that_a_format_does_not_hold_become_json_or_words(suffix, tmp_path):
    loop: dict = {}
    loop["self"] = loop
    attrs = {
        "projection": {"zone": 32},
        "flag": True,
        "nothing": None,
        "list": ["a", 1, None],
        "numbers": [1, 2.5],
        "large": 2**70,
        "matrix": np.eye(2),
        "date": np.datetime64("2000-01-01"),
        "bytes": b"text",
        "loop": loop,
        "a/b": 1,
        5: "five",
        "": "no name",
        "empty": [],
        "text": "",
    }
    data = xr.Dataset({"u": (("y", "x"), np.zeros((2, 2)), attrs)}, {"y": ("y", [0.0, 1.0], attrs)}, attrs)
    write_field(tmp_path / f"a{suffix}", data)
    stored = xr.open_dataset(tmp_path / f"a{suffix}", **({"consolidated": False} if suffix == ".zarr" else {}))
    for part in (stored, stored["u"], stored["y"]):
        assert json.loads(part.attrs["projection"]) == {"zone": 32} and json.loads(part.attrs["list"]) == ["a", 1, None]
        np.testing.assert_array_equal(part.attrs["numbers"], [1, 2.5])
        assert part.attrs["date"] == "2000-01-01" and part.attrs["bytes"] == "text" and part.attrs["5"] == "five"
        assert json.loads(part.attrs["matrix"]) == [[1, 0], [0, 1]] and part.attrs["a_b"] == 1


@pytest.mark.parametrize("opened", ["as it is", "all coordinates"])
def test_a_file_and_an_object_in_memory_come_back_alike(archive, opened):
    """What the command writes is what Python returns of the same data, but for what only files have."""
    path, _ = archive
    by_file = refine(path)
    data = xr.open_dataset(path, decode_coords="all" if opened == "all coordinates" else True)
    x, layout = unwrap(data, 2, 2, ["p", "t"], ["y", "x"])
    fine = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    made = layout.wrap(torch.stack([fine, fine]), (2, 2))
    assert isinstance(made, xr.Dataset)
    for name in ("p", "t"):
        by_file[name].attrs.pop("boundary")
        made[name] = made[name].transpose(*by_file[name].dims)
    by_file.attrs.pop("channels")
    assert set(made.variables) == set(by_file.variables)
    for name in by_file.variables:
        xr.testing.assert_identical(made[name].variable, by_file[name].variable)
    assert made.attrs == by_file.attrs


def test_positions_in_a_file_lie_within_the_parts_of_its_own_cells(tmp_path):
    sines, weights = np.polynomial.legendre.leggauss(6)
    edges = np.degrees(np.arcsin(np.concatenate([[-1], np.cumsum(weights) - 1]).clip(-1, 1)))
    lat = {"units": "degrees_north", "bounds": "lat_bnds"}
    data = xr.Dataset(
        {"t": (("lat", "lon"), np.zeros((6, 8))), "lat_bnds": (("lat", "nv"), np.stack([edges[:-1], edges[1:]], 1))},
        coords={"lat": ("lat", np.degrees(np.arcsin(sines)), lat), "lon": 45.0 * np.arange(8)},
    )
    data.to_netcdf(tmp_path / "gauss.nc")
    coarse = read_field([tmp_path / "gauss.nc"])
    made = xr.DataArray(np.zeros((1, 1, 1, 12, 16)), dims=("member", "sample", "channel", "lat", "lon"))
    made = made.assign_coords(channel=["t"], lat=np.zeros(12), lon=np.zeros(16))
    fine = as_dataset(with_own_axes(made, coarse), coarse, (2, 2))
    np.testing.assert_allclose(fine["lat"], fine["lat_bnds"].mean("nv"), atol=1e-12)
    assert float(abs(fine["lat_bnds"]).max()) == 90
