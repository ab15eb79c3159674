"""Finer fields are stored as the coarse ones were, where that is exact."""

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.layout import unwrap
from rgdm.data.results.encodings import kept_encoding
from rgdm.data.writing import as_variables

VALUES = np.array([[0.1, 0.2], [1 / 3, -999.0]], "f4")


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (
            {"zlib": True, "complevel": 4, "chunksizes": (1, 2), "original_shape": (1, 2), "source": "a.nc"},
            "zlib complevel",
        ),
        ({"dtype": "int16", "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -99}, ""),
        ({"dtype": "f4", "scale_factor": 0.1}, ""),
        ({"dtype": "int32"}, ""),
        ({"dtype": "f2"}, ""),
        ({"dtype": "f4", "_FillValue": np.float32(1e20)}, "dtype _FillValue"),
        ({"dtype": "f8", "_FillValue": -999.0}, "dtype"),  # a value that is there would become missing
        ({"preferred_chunks": {"x": 2}, "chunks": (1, 2), "grid_mapping": "crs"}, "grid_mapping"),
    ],
)
def test_what_rounds_or_does_not_fit_is_left_out(stored, kept):
    assert set(kept_encoding(stored, VALUES)) == set(kept.split())


@pytest.mark.parametrize("engine", ["h5netcdf", "zarr"])
def test_an_ensemble_of_packed_data_is_stored_to_the_bit(tmp_path, engine):
    coarse = xr.DataArray(np.linspace(0, 1, 8).reshape(2, 4), dims=("y", "x"), name="t")
    coarse.encoding = {
        "dtype": "int16",
        "scale_factor": 0.1,
        "_FillValue": -99,
        "zlib": True,
        "complevel": 1,
        "chunksizes": (2, 4),
    }
    _, layout = unwrap(coarse, 1, 2)
    fine = layout.wrap(torch.rand(3, 1, 1, 4, 8).double(), (2, 2))
    path = tmp_path / "a"
    fine.to_netcdf(path, engine=engine) if engine == "h5netcdf" else fine.to_zarr(path)
    with xr.open_dataset(path, engine=engine) as back:
        np.testing.assert_array_equal(back["t"], fine)
        assert engine == "zarr" or (back["t"].encoding["zlib"] and back["t"].encoding["complevel"] == 1)


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "standard"])
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_dates_keep_their_unit_and_calendar_in_files_and_so_do_their_bounds(tmp_path, calendar, suffix):
    pytest.importorskip("cftime")
    time = xr.date_range("2001-02-01", periods=3, freq="D", calendar=calendar, use_cftime=calendar != "standard")
    data = xr.Dataset(
        {"t": (("time", "y"), np.zeros((3, 4))), "time_bnds": (("time", "nv"), np.stack([time, time], 1))},
        coords={
            "time": ("time", time, {"bounds": "time_bnds"}, {"units": "days since 1850-01-01", "calendar": calendar})
        },
    )
    data.set_coords("time_bnds").pipe(as_variables).pipe(
        lambda made: made.to_zarr(tmp_path / "a.zarr") if suffix == "zarr" else made.to_netcdf(tmp_path / "a.nc")
    )
    with xr.open_dataset(tmp_path / f"a.{suffix}", engine="zarr" if suffix == "zarr" else "h5netcdf") as back:
        assert back["time"].encoding["calendar"] == calendar and "1850" in back["time"].encoding["units"]
        for name in ("time", "time_bnds"):
            assert back[name].values.tolist() == data[name].values.tolist()


def test_an_axis_that_files_can_be_appended_along_stays_so(tmp_path):
    xr.Dataset({"t": (("time", "y", "x"), np.zeros((2, 4, 4)))}).to_netcdf(tmp_path / "a.nc", unlimited_dims=["time"])
    with xr.open_dataset(tmp_path / "a.nc") as data:
        x, layout = unwrap(data, 1, 2)
        fine = layout.wrap(x.repeat_interleave(2, -1)[None], (1, 2))
    assert fine.encoding == {"unlimited_dims": {"time"}}
