"""A GeoTIFF keeps its place, and what was made of it is at the same place for other programs."""

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.axes import with_boundary
from rgdm.data.engines import geotiff
from rgdm.data.fields import read_field
from rgdm.data.layout import unwrap
from rgdm.data.origin import as_dataset, with_own_axes
from rgdm.data.writing import write_field
from rgdm.scale.grid import Grid

rioxarray = pytest.importorskip("rioxarray")

VALUES = np.random.default_rng(0).standard_normal((2, 4, 6)).astype("f4")


@pytest.fixture
def path(tmp_path):
    coords = {"y": 5e6 - 1000 * np.arange(4.0), "x": 4e5 + 1000 * np.arange(6.0)}
    made = xr.DataArray(VALUES, coords | {"band": [1, 2]}, ("band", "y", "x")).rio.write_crs(32632)
    made.rio.to_raster(tmp_path / "two.tif")
    one = made[0].copy()
    one[1, 2] = -9999
    one.rio.write_nodata(-9999).rio.to_raster(tmp_path / "one.tif")
    return tmp_path


def test_bands_are_channels_and_nodata_is_missing(path):
    two = read_field([path / "two.tif"])
    np.testing.assert_array_equal(two[0], VALUES)
    assert list(two["channel"].values) == ["band_1", "band_2"] and two.dims[2:] == ("y", "x")
    np.testing.assert_array_equal(two["y"], 5e6 - 1000 * np.arange(4))
    one = read_field([path / "one.tif"])
    assert bool(np.isnan(one[0, 0, 1, 2])) and int(np.isnan(one.values).sum()) == 1


def test_what_was_made_of_it_lies_at_the_same_place(path):
    coarse = read_field([path / "two.tif"])
    x, layout = unwrap(coarse, 2, 2)
    made = layout.wrap(x.repeat_interleave(2, -1).repeat_interleave(2, -2)[None], (2, 2))
    assert isinstance(made, xr.DataArray) and isinstance(x, torch.Tensor)
    own = with_own_axes(with_boundary(made, Grid.uniform(2, "reflect")), coarse)
    write_field(path / "fine.nc", as_dataset(own, coarse, (2, 2)))
    with (
        xr.open_dataset(path / "fine.nc", decode_coords="all") as fine,
        rioxarray.open_rasterio(path / "two.tif") as w,
    ):
        band = fine["band_1"].isel(member=0)
        assert band.rio.crs == w.rio.crs and band.rio.crs.to_epsg() == 32632
        assert band.rio.bounds() == w.rio.bounds()
        assert band.rio.resolution() == (500, -500)
        np.testing.assert_array_equal(band.coarsen(y=2, x=2).mean(), VALUES[0])


def test_a_tiff_without_a_place_is_an_image(path):
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(np.zeros((4, 4), "u1")).save(path / "plain.tif")
    assert not geotiff.opens(path / "plain.tif") and geotiff.opens(path / "one.tif")
    assert list(read_field([path / "plain.tif"])["channel"].values) == ["grey"]


def test_without_rioxarray_it_is_an_image_and_that_is_said(path, monkeypatch, capsys):
    monkeypatch.setattr(geotiff, "find_spec", lambda name: None)
    assert not geotiff.opens(path / "one.tif")
    assert "pip install 'rgdm[formats]'" in capsys.readouterr().err
