import errno
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from rgdm.data import fields, formats
from rgdm.data.axes import grid_of
from rgdm.data.fields import read_field


@pytest.fixture
def weather() -> xr.Dataset:
    """Two winds and a mask of text on a grid with a time axis."""
    values = np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32)
    axes = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "u10": (axes, values, {"units": "m/s", "long_name": "eastward"}),
            "v10": (axes, 2 * values, {"units": "m/s", "long_name": "northward"}),
            "area": ("lat", np.ones(4)),
        },
        coords={
            "time": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]"),
            "lat": ("lat", np.linspace(10.0, 40.0, 4), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0.0, 50.0, 6), {"units": "degrees_east"}),
        },
    )


def store(data: xr.Dataset, path: Path) -> Path:
    if path.name == "netcdf3.nc":
        data.to_netcdf(path, engine="scipy")
    elif path.suffix == ".nc":
        data.to_netcdf(path, engine="h5netcdf")
    else:
        data.to_zarr(path, zarr_format=int(path.stem[-1]), consolidated=False)
    return path


@pytest.fixture(params=["netcdf3.nc", "netcdf4.nc", "zarr2.zarr", "zarr3.zarr"])
def stored(request, weather, tmp_path) -> Path:
    return store(weather, tmp_path / request.param)


def test_a_named_variable_keeps_values_coordinates_and_attributes(stored, weather):
    field = read_field([stored], "u10")
    assert field.dims == ("sample", "channel", "lat", "lon")
    np.testing.assert_array_equal(field[:, 0], weather.u10)
    assert field.dtype == np.float32 and field.dtype.isnative
    assert list(field.channel.values) == ["u10"] and field.attrs["units"] == "m/s"
    xr.testing.assert_identical(field.lat.variable, weather.lat.variable)
    assert field.lon.attrs == {"units": "degrees_east"}
    np.testing.assert_array_equal(field.time, weather.time)
    assert field.time.dims == ("sample",)


def test_several_named_variables_become_channels_in_that_order(stored, weather):
    field = read_field([stored], "v10, u10")
    np.testing.assert_array_equal(field[:, 1], weather.u10)
    np.testing.assert_array_equal(field[:, 0], weather.v10)
    assert list(field.channel.values) == ["v10", "u10"]
    assert field.attrs == {"units": "m/s"}


def test_variables_on_different_axes_are_no_channels(weather, tmp_path):
    data = weather.assign(v10=weather.v10.rename(lat="y", lon="x").drop_vars(["y", "x"]))
    with pytest.raises(ValueError, match=r"u10 .*lat.* v10 .*'y': 4.*channels must have one shape"):
        read_field([store(data, tmp_path / "two.nc")], "u10,v10")


def test_the_only_variable_with_enough_axes_needs_no_name(weather, tmp_path):
    data = weather.drop_vars("v10").assign(lat_bnds=(("lat", "nv"), np.zeros((4, 2))))
    data.lat.attrs["bounds"] = "lat_bnds"
    assert list(read_field([store(data, tmp_path / "one.nc")]).channel.values) == ["u10"]


def test_several_variables_without_a_name_are_listed(stored):
    with pytest.raises(ValueError, match=r"several variables .*u10 .*v10 .*variable='NAME'"):
        read_field([stored])


def test_an_unknown_variable_gets_the_list_of_those_there_are(stored):
    with pytest.raises(ValueError, match=r"no variable 'wind'; it has .*u10.*v10"):
        read_field([stored], "wind")


def test_a_variable_with_too_few_axes_is_refused(stored):
    with pytest.raises(ValueError, match=r"variable area .* at least 2 axes"):
        read_field([stored], "area")


def test_gaps_and_packed_integers_are_decoded(tmp_path):
    values = np.array([[1.5, np.nan], [2.0, 3.0]])
    data = xr.Dataset({"t": (("y", "x"), values)})
    encoding = {"t": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -999}}
    data.to_netcdf(tmp_path / "packed.nc", encoding=encoding)
    np.testing.assert_array_equal(read_field([tmp_path / "packed.nc"])[0, 0], values)


def test_a_field_with_units_of_time_stays_a_number(tmp_path):
    data = xr.Dataset({"sunshine": (("y", "x"), np.arange(4.0).reshape(2, 2), {"units": "hours"})})
    data.to_netcdf(tmp_path / "sun.nc")
    np.testing.assert_array_equal(read_field([tmp_path / "sun.nc"])[0, 0], data.sunshine)


def test_a_calendar_that_cannot_be_decoded_does_not_matter(tmp_path):
    time = ("time", [0.0, 1.0], {"units": "blinks since the flood"})
    data = xr.Dataset({"t": (("time", "y", "x"), np.zeros((2, 3, 3)))}, coords={"time": time})
    data.to_netcdf(tmp_path / "old.nc", engine="scipy")
    assert read_field([tmp_path / "old.nc"]).shape == (2, 1, 3, 3)


@pytest.mark.parametrize(
    ("dims", "dimension", "expected"),
    [
        (("y", "x"), 2, ("y", "x")),
        (("y", "x", "time"), 2, ("y", "x")),
        (("member", "z", "y", "x"), 3, ("z", "y", "x")),
        (("level", "y", "x"), 2, ("y", "x")),
        (("time", "y", "x"), 3, ("time", "y", "x")),
        (("station", "time"), 1, ("station",)),
        (("time",), 1, ("time",)),
    ],
)
def test_lattice_axes_are_the_last_that_are_no_batch(dims, dimension, expected, tmp_path):
    sizes = dict(zip(dims, (2, 3, 4, 5), strict=False))
    array = xr.DataArray(np.random.default_rng(0).random(tuple(sizes.values())), dims=dims)
    array.to_dataset(name="f").to_netcdf(tmp_path / "f.nc")
    field = read_field([tmp_path / "f.nc"], dimension=dimension)
    batch = [name for name in dims if name not in expected]
    assert field.dims[2:] == expected
    wanted = array.transpose(*batch, *expected).values.reshape(-1, *(sizes[name] for name in expected))
    np.testing.assert_array_equal(field[:, 0], wanted)


def test_files_follow_each_other_as_samples(weather, tmp_path):
    first = store(weather, tmp_path / "a.nc")
    later = weather.assign_coords(time=weather.time + np.timedelta64(3, "D"), lon=weather.lon + 60)
    field = read_field([first, store(later, tmp_path / "b3.zarr")], "u10")
    assert field.shape == (6, 1, 4, 6)
    np.testing.assert_array_equal(field.time, np.concatenate([weather.time, later.time]))
    assert "lat" in field.coords and "lon" not in field.coords


def test_files_on_different_lattices_are_refused(weather, tmp_path):
    paths = [store(weather, tmp_path / "a.nc"), store(weather.isel(lon=slice(3)), tmp_path / "b.nc")]
    with pytest.raises(ValueError, match=r"b.nc has .*\(4, 3\) sites, .*a.nc .*\(4, 6\) sites; all files must agree"):
        read_field(paths, "u10")


@pytest.mark.parametrize(
    ("shape", "dimension", "expected"),
    [
        ((4, 6), 2, (1, 1, 4, 6)),
        ((5, 4, 6), 2, (5, 1, 4, 6)),
        ((5, 3, 4, 6), 2, (5, 3, 4, 6)),
        ((2, 5, 3, 4, 6), 2, (10, 3, 4, 6)),
        ((7,), 1, (1, 1, 7)),
        ((2, 4, 4, 4), 3, (2, 1, 4, 4, 4)),
    ],
)
def test_axes_of_numpy_files_are_known_by_their_place(shape, dimension, expected, tmp_path):
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", height=values, comment=np.array("text"))
    for name in ("a.npy", "a.npz"):
        field = read_field([tmp_path / name], dimension=dimension)
        assert field.shape == expected and field.dtype == np.float32
        np.testing.assert_array_equal(field.values.ravel(), values.ravel())
    assert field.name == "height"


@pytest.mark.parametrize(
    ("stored_as", "read_as"),
    [("float64", "float64"), (">f4", "float32"), ("float16", "float32"), ("uint8", "float32"), ("bool", "float32")],
)
def test_floating_point_types_stay_and_others_become_float32(stored_as, read_as, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 1], [1, 0]], dtype=stored_as))
    field = read_field([tmp_path / "a.npy"])
    assert field.dtype == np.dtype(read_as) and field.values.sum() == 2


def test_a_zarr_array_without_a_group_is_read(tmp_path):
    zarr.save_array(tmp_path / "bare.zarr", np.ones((3, 4, 5), dtype=np.float32))
    assert read_field([tmp_path / "bare.zarr"]).shape == (3, 1, 4, 5)


@pytest.mark.parametrize("name", ["a.nc", "a3.zarr", "a.npy", "a.npz", "a.png", "folder"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(ValueError, match=f"no file or folder .*{name}"):
        read_field([tmp_path / name])


def test_no_file_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one file"):
        read_field([])


def test_an_unknown_suffix_gets_the_list_of_known_ones(tmp_path):
    (tmp_path / "a.xyz").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"unknown kind; give NetCDF .*\.zarr.*\.npy"):
        read_field([tmp_path / "a.xyz"])


@pytest.mark.parametrize("keep", [0, 3, 60, 0.5, 0.9])
@pytest.mark.parametrize("name", ["netcdf3.nc", "netcdf4.nc", "a.npy", "a.npz"])
def test_a_truncated_file_is_one_sentence_that_names_it(name, keep, weather, tmp_path):
    path = tmp_path / name
    if path.suffix == ".nc":
        store(weather, path)
    else:
        (np.save if path.suffix == ".npy" else np.savez)(path, np.ones((30, 40)))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=f"cannot read .*{name}") as caught:
        read_field([path], "u10" if path.suffix == ".nc" else None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_damaged_zarr_folders_are_named(zarr_format, weather, tmp_path):
    path = store(weather, tmp_path / f"w{zarr_format}.zarr")
    chunk = next(p for p in (path / "u10").rglob("*") if p.is_file() and p.suffix != ".json" and p.name[0] != ".")
    chunk.write_bytes(chunk.read_bytes()[:5])
    with pytest.raises(ValueError, match=r"cannot read .*damaged"):
        read_field([path], "u10")
    for mark in path.glob("*zarr.json" if zarr_format == 3 else ".z*"):
        mark.unlink()
    with pytest.raises(ValueError, match="holds no Zarr metadata"):
        read_field([path], "u10")


def test_a_netcdf_name_on_another_file_is_noticed(tmp_path):
    (tmp_path / "a.nc").write_text("latitude longitude height")
    with pytest.raises(ValueError, match="does not begin like a NetCDF file"):
        read_field([tmp_path / "a.nc"])


@pytest.mark.parametrize("values", [np.ones((3, 3), complex), np.full((3, 3), "text")], ids=["complex", "text"])
def test_values_that_are_no_real_numbers_are_refused(values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    for variable in (None, "field"):
        with pytest.raises(ValueError, match=f"real numbers.*|{values.dtype}"):
            read_field([tmp_path / "a.npy"], variable)


def test_pickled_arrays_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}, {}]], dtype=object))
    with pytest.raises(ValueError, match=r"cannot read .*a.npy"):
        read_field([tmp_path / "a.npy"])


def test_an_empty_axis_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="empty"):
        read_field([tmp_path / "a.npy"])


def test_a_field_larger_than_the_free_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((64, 64)))
    monkeypatch.setattr("rgdm.data.memory.free_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"reading .*a.npy needs about .* GiB"):
        read_field([tmp_path / "a.npy"])


def test_an_unreadable_file_is_named(weather, tmp_path, monkeypatch):
    path = store(weather, tmp_path / "a.nc")

    def deny(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(formats.xr, "open_dataset", deny)
    with pytest.raises(ValueError, match=r"cannot read .*a.nc.*Permission denied"):
        fields.read_field([path], "u10")


@pytest.mark.parametrize(
    ("attrs", "sides"),
    [
        ({}, ("reflect", "reflect")),
        ({"periodic": "True"}, ("periodic", "periodic")),
        ({"boundary": "periodic"}, ("periodic", "periodic")),
        ({"boundary": "reflect, periodic", "periodic": "True"}, ("reflect", "periodic")),
    ],
)
def test_the_boundary_is_what_the_attributes_of_a_field_state(attrs, sides):
    field = xr.DataArray(np.zeros((1, 1, 4, 4)), dims=("sample", "channel", "lat", "lon"), attrs=attrs)
    assert grid_of(field).boundaries == sides
    assert grid_of(field, ["reflect"]).boundaries == ("reflect", "reflect")


@pytest.mark.parametrize("stated", ["coast", "periodic,reflect,reflect", ""])
def test_an_attribute_that_states_no_boundary_is_refused_with_the_remedy(stated):
    field = xr.DataArray(np.zeros((1, 1, 4, 4)), dims=("sample", "channel", "y", "x"), attrs={"boundary": stated})
    with pytest.raises(ValueError, match=r"the attribute boundary = .*; pass boundary="):
        grid_of(field)
