"""A mask is laid out as its field is; what was done to it is said, what is not clear is refused."""

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.mask import laid_out, read_mask, unused
from rgdm.errors import InputError

LIKE = xr.DataArray(np.zeros((3, 4, 6)), dims=("time", "lat", "lon")).assign_coords(time=[0, 1, 2])
CELLS = (np.random.default_rng(0).random((8, 12)) < 0.5).astype(float)


def lay(
    mask: xr.DataArray, like: xr.DataArray = LIKE, lattice: tuple[int, ...] = (8, 12)
) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    return laid_out(mask, like, ("lat", "lon"), lattice, notes), notes


@pytest.mark.parametrize("dims", [("a", "b"), ("b", "a")])
def test_axes_without_names_or_coordinates_are_taken_by_their_sizes_and_that_is_said(dims):
    mask = xr.DataArray(CELLS, dims=("a", "b")).transpose(*dims)
    values, notes = lay(mask)
    np.testing.assert_array_equal(values[0, 0], CELLS)
    assert notes == [f"the axes a, b of the mask ({', '.join(dims)}) are taken for lat, lon by their sizes"]


@pytest.mark.parametrize(
    ("shape", "lattice", "words"),
    [((8, 8), (8, 8), "any order fits the fine lattice 8 x 8"), ((8, 12), (8, 8), "none fits the fine lattice 8 x 8")],
)
def test_axes_that_could_be_either_are_refused(shape, lattice, words):
    with pytest.raises(InputError, match=f"{words}; name them lat, lon"):
        lay(xr.DataArray(np.ones(shape), dims=("a", "b")), lattice=lattice)


def test_axes_of_an_array_without_names_are_taken_in_their_order():
    values, notes = lay(xr.DataArray(np.tri(8), dims=("axis_0", "axis_1")), lattice=(8, 8))
    np.testing.assert_array_equal(values[0, 0], np.tri(8))
    assert len(notes) == 1 and "in their order" in notes[0]


def test_a_mask_of_one_time_serves_for_all_and_that_is_said():
    mask = xr.DataArray(CELLS[None], dims=("time", "lat", "lon")).assign_coords(time=[1940])
    values, notes = lay(mask)
    assert values.shape == (1, 1, 8, 12) and notes == ["the mask has one time and is used for all 3 of the field"]
    assert lay(mask.isel(time=0, drop=True))[1] == []
    assert lay(mask, LIKE.isel(time=[1]))[1] == []
    two = xr.concat([mask, mask], "time").assign_coords(time=[0, 1])
    with pytest.raises(InputError, match=r"time \(2\).*time \(3\)"):
        lay(two)


def test_one_time_of_a_file_serves_for_all_and_is_called_by_its_name(tmp_path):
    xr.Dataset({"m": (("time", "lat", "lon"), CELLS[None])}, {"time": [3.0]}).to_netcdf(tmp_path / "a.nc")
    mask = read_mask(tmp_path / "a.nc", ("lat", "lon"))
    like = LIKE.rename(time="sample").expand_dims("channel", 1)
    assert lay(mask, like)[1] == ["the mask has one time and is used for all 3 of the field"]


def test_one_of_several_variables_of_a_file_is_chosen_by_name(tmp_path):
    data = xr.Dataset({"land": (("lat", "lon"), CELLS), "sea": (("lat", "lon"), 1 - CELLS)})
    data.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"has the variables land, sea; name the mask by .*a.nc:NAME"):
        read_mask(tmp_path / "a.nc", ("lat", "lon"))
    named = tmp_path / "a.nc:sea"
    np.testing.assert_array_equal(read_mask(named, ("lat", "lon")), 1 - CELLS)
    with pytest.raises(InputError, match="has no variable 'lake'; it has land"):
        read_mask(tmp_path / "a.nc:lake", ("lat", "lon"))
    data[["sea"]].to_netcdf(tmp_path / "b:c.nc")  # a name with a colon is a name
    np.testing.assert_array_equal(read_mask(tmp_path / "b:c.nc", ("lat", "lon")), 1 - CELLS)
    with pytest.raises(InputError, match="there is no file"):
        read_mask(tmp_path / "none.nc", ("lat", "lon"))


def test_cells_of_a_mask_in_missing_blocks_are_counted():
    coarse = torch.tensor([[[[1.0, torch.nan], [2.0, 3.0]]]])
    there = (~coarse.isnan()).float().repeat_interleave(2, -1).repeat_interleave(2, -2)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 0, 3] = 0
    assert unused(mask, coarse, there) == [
        "the mask has 3 cells in the 1 blocks where the coarse field is missing; they stay missing"
    ]
    assert unused(there, coarse, there) == []
