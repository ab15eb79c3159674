import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import zarr

from rgdm.data import writing
from rgdm.data.fields import read_field
from rgdm.data.writing import check_output, write_field
from rgdm.errors import InputError

FORMATS = [".zarr", ".nc", ".npy", ".npz"]


def example(channels: tuple[str, ...] = ("u", "v"), dtype: type = np.float32) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((3, len(channels), 4, 5)).astype(dtype)
    return xr.DataArray(
        values,
        dims=("sample", "channel", "lat", "lon"),
        coords={
            "channel": list(channels),
            "lat": ("lat", np.arange(4.0), {"units": "degrees_north"}),
            "lon": np.arange(5.0),
            "time": ("sample", np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]")),
        },
        attrs={"units": "m/s"},
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_what_is_written_is_read_again_with_coordinates_and_attributes(suffix, dtype, tmp_path):
    field = example(dtype=dtype)
    write_field(tmp_path / f"a{suffix}", field)
    xr.testing.assert_identical(read_field([tmp_path / f"a{suffix}"]).rename(None), field)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_files_keep_the_values(suffix, dtype, tmp_path):
    field = example(dtype=dtype)
    write_field(tmp_path / f"a{suffix}", field)
    stored = read_field([tmp_path / f"a{suffix}"])
    np.testing.assert_array_equal(stored.values, field.values)
    assert stored.dtype == dtype


@pytest.mark.parametrize("suffix", FORMATS)
def test_members_become_samples_when_an_ensemble_is_read(suffix, tmp_path):
    ensemble = xr.concat([example(("u",)), example(("u",)) + 1], "member")
    write_field(tmp_path / f"a{suffix}", ensemble)
    stored = read_field([tmp_path / f"a{suffix}"])
    np.testing.assert_array_equal(stored.values, ensemble.values.reshape(6, 1, 4, 5))


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_field_is_stored_as_one_variable_for_each_channel(suffix, tmp_path):
    write_field(
        tmp_path / f"a{suffix}", example(), attrs={"seed": 3, "config": {"levels": 2}, "flag": True, "none": None}
    )
    with xr.open_dataset(tmp_path / f"a{suffix}", **({"consolidated": False} if suffix == ".zarr" else {})) as data:
        assert set(data.data_vars) == {"u", "v"} and data.u.attrs["units"] == "m/s"
        assert data.attrs["seed"] == 3 and json.loads(data.attrs["config"]) == {"levels": 2}
        assert data.attrs["flag"] == "true" and data.attrs["none"] == "null"


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".npz"])
def test_a_dataset_keeps_its_variables(suffix, tmp_path):
    values = np.random.default_rng(0).random((4, 5))
    data = xr.Dataset({"file": (("y", "x"), values), "q": (("y", "x"), values + 1)}, attrs={"title": "two"})
    write_field(tmp_path / f"a{suffix}", data)
    stored = read_field([tmp_path / f"a{suffix}"], "q,file")
    np.testing.assert_array_equal(stored.values, np.stack([values + 1, values])[None])


def test_a_dataset_does_not_fit_a_single_array(tmp_path):
    with pytest.raises(ValueError, match=r"variables \['t', 'q'\]; write .npz"):
        write_field(tmp_path / "a.npy", xr.Dataset({"t": ("x", [1.0]), "q": ("x", [1.0])}))


def test_zarr_chunks_hold_one_member_and_at_most_1024_sites_along_an_axis(tmp_path):
    ensemble = xr.DataArray(np.zeros((2, 2, 1, 8, 1030), np.float32), dims=("member", "sample", "channel", "y", "x"))
    write_field(tmp_path / "a.zarr", ensemble.assign_coords(channel=["z"]))
    stored = zarr.open_array(tmp_path / "a.zarr" / "z", mode="r")
    assert stored.chunks == (1, 1, 8, 1024) and stored.metadata.zarr_format == 3


def test_storage_details_of_the_source_are_left_behind(tmp_path):
    packed = {"u": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -999}}
    xr.Dataset({"u": (("y", "x"), np.array([[1.23456, 2.0]]))}).to_netcdf(tmp_path / "packed.nc", encoding=packed)
    opened = xr.open_dataset(tmp_path / "packed.nc") + 1e-4
    opened.u.encoding = packed["u"]
    write_field(tmp_path / "plain.nc", opened)
    np.testing.assert_array_equal(read_field([tmp_path / "plain.nc"])[0, 0], opened.u)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_existing_output_is_kept_unless_overwriting_is_asked_for(suffix, tmp_path):
    path = tmp_path / "new" / "folder" / f"a{suffix}"
    write_field(path, example(("u",)))
    with pytest.raises(ValueError, match=f"a{suffix} exists.*overwrite=True"):
        write_field(path, example(("u",)) + 1)
    np.testing.assert_array_equal(read_field([path]).values, example(("u",)).values)
    write_field(path, example(("u",)) + 1, overwrite=True)
    np.testing.assert_array_equal(read_field([path]).values, example(("u",)).values + 1)
    assert list(path.parent.iterdir()) == [path]


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of .zarr, .nc, .npy, .npz"):
        check_output(tmp_path / "a.hdf")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError, "disk is full: .* needs about .* are free"),
        (RuntimeError("write failed: errno = 28, 'No space left on device'"), ValueError, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), ValueError, "cannot write .*: Permission denied"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
    ids=["full disk", "full disk in HDF5", "no permission", "Ctrl-C"],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    suffix, failure, raised, message, tmp_path, monkeypatch
):
    path = tmp_path / f"a{suffix}"
    write_field(path, example(("u",)))
    write = writing._WRITERS[suffix]

    def fail(temporary: Path, data, attrs) -> None:
        write(temporary, data, attrs)
        raise failure

    monkeypatch.setitem(writing._WRITERS, suffix, fail)
    with pytest.raises(raised, match=message):
        write_field(path, example(("u",)) + 1, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read_field([path]).values, example(("u",)).values)


def test_a_name_that_the_format_does_not_take_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*a\.nc: .*u/v"):
        write_field(tmp_path / "a.nc", example(("u/v",)))


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*a\.nc: Not a directory"):
        write_field(tmp_path / "file" / "a.nc", example())


@pytest.mark.parametrize("suffix", [".nc", ".npy", ".npz"])
def test_too_small_a_disk_is_noticed_before_anything_is_written(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: SimpleNamespace(free=example().nbytes))
    with pytest.raises(ValueError, match=r"disk is full: .* needs about .* are free"):
        write_field(tmp_path / f"a{suffix}", example())
    assert not list(tmp_path.iterdir())
