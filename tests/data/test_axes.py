"""Which axes are the lattice: by CF attributes, by names, else the last."""

import re

import numpy as np
import pytest
import xarray as xr

from rgdm.data.axes import axis_roles, grid_of, lattice_axes, note_axes, note_globe


def array(dims: tuple[str, ...], **coords) -> xr.DataArray:
    return xr.DataArray(np.zeros((2,) * len(dims)), dims=dims, coords=coords, name="f")


@pytest.mark.parametrize(
    ("dims", "dimension", "expected"),
    [
        (("lat", "lon", "lev"), 2, ("lat", "lon")),
        (("lon", "lat", "time"), 2, ("lon", "lat")),
        (("time", "level", "latitude", "longitude"), 2, ("latitude", "longitude")),
        (("y", "x", "band"), 2, ("y", "x")),
        (("member", "a", "b"), 2, ("a", "b")),
        (("a", "b", "number"), 2, ("a", "b")),
        (("a", "b", "realization", "depth"), 2, ("a", "b")),
        (("rows", "columns"), 2, ("rows", "columns")),
        (("case", "rows", "columns"), 2, ("rows", "columns")),
        (("case", "z", "x"), 2, ("z", "x")),
        (("time", "x"), 2, ("time", "x")),
        (("lev", "lat"), 2, ("lev", "lat")),
        (("lat", "lon", "time"), 3, ("lat", "lon", "time")),
        (("time", "lat", "lon", "lev"), 3, ("lat", "lon", "lev")),
        (("lat", "lon"), 1, ("lon",)),
        (("station", "time"), 1, ("station",)),
        (("refinement_2", "member", "j", "i"), 2, ("j", "i")),
        (("sample", "channel", "lev", "time"), 2, ("lev", "time")),
    ],
)
def test_usual_names_are_known(dims, dimension, expected):
    batch, lattice = lattice_axes(array(dims), dimension)
    assert tuple(lattice) == expected
    assert batch == [name for name in dims if name not in (*expected, "channel")]


@pytest.mark.parametrize(
    "attrs",
    [
        ({"axis": "Y"}, {"axis": "X"}, {"axis": "Z"}),
        ({"units": "degrees_north"}, {"units": "degrees_east"}, {"units": "hPa"}),
        ({"units": "degree_N"}, {"units": "degreeE"}, {"positive": "down"}),
        (
            {"standard_name": "projection_y_coordinate"},
            {"standard_name": "projection_x_coordinate"},
            {"standard_name": "time"},
        ),
    ],
)
def test_attributes_say_more_than_names_and_places(attrs):
    coords = {name: (name, [0.0, 1.0], a) for name, a in zip("abc", attrs, strict=True)}
    assert lattice_axes(array(("a", "b", "c"), **coords), 2)[1] == ["a", "b"]
    assert lattice_axes(array(("a", "b", "c")), 2)[1] == ["b", "c"]  # without them: the last


def test_the_axes_of_two_dimensional_latitudes_are_horizontal():
    lat = (("p", "q"), np.zeros((2, 2)), {"units": "degrees_north"})
    assert lattice_axes(array(("p", "q", "s"), lat=lat), 2)[1] == ["p", "q"]


def test_dates_are_time_whatever_their_name():
    days = ("when", np.array(["2000-01-01", "2000-01-02"], "M8[ns]"))
    assert axis_roles(array(("a", "when"), when=days))["when"] == "t"
    field = array(("sample", "channel", "when", "x"), when=days)
    assert [axis.kind for axis in grid_of(field).axes] == ["time", "space"]


@pytest.mark.parametrize(
    ("dims", "order", "expected"),
    [
        (("x", "y"), ("y", "x"), ["y", "x"]),
        (("lon", "lat"), ("latitude", "longitude"), ["lat", "lon"]),
        (("b", "a"), ("y", "x"), ["b", "a"]),
        (("lat", "lon", "s", "t"), ("s", "t"), ["s", "t"]),
    ],
)
def test_axes_take_the_order_of_a_model_by_name_or_role(dims, order, expected):
    assert lattice_axes(array(dims), 2, order=order)[1] == expected


def test_named_axes_are_taken_in_their_order():
    assert lattice_axes(array(("lat", "lon", "lev")), 2, ["lev", "lat"]) == (["lon"], ["lev", "lat"])


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (("lat",), r"axes='lat' names 1 axes; the lattice has 2"),
        (("lat", "lat"), r"names 1 axes"),
        (("lat", "y"), r"axes='lat,y': the variable f has the axes lat, lon, lev"),
    ],
)
def test_named_axes_that_are_not_there_are_refused(chosen, words):
    with pytest.raises(ValueError, match=words):
        lattice_axes(array(("lat", "lon", "lev")), 2, chosen)


def test_it_is_said_which_axes_were_taken_unless_they_are_the_last(capsys):
    note_axes(array(("time", "lat", "lon")), ["lat", "lon"])
    assert not capsys.readouterr().err
    note_axes(array(("lat", "lon", "lev")), ["lat", "lon"])
    assert capsys.readouterr().err == (
        "rgdm: note: the lattice axes are lat, lon; lev are samples (axes= names others)\n"
    )


@pytest.mark.parametrize("dims", [("time", "cell"), ("time", "ncells"), ("cell",), ("time", "pix")])
def test_cells_without_neighbours_are_refused(dims):
    with pytest.raises(ValueError, match=r"one axis of cells, .*; regrid it"):
        lattice_axes(array(dims), len(dims))
    if len(dims) > 1:
        lattice_axes(array(dims), 2, dims)  # the user knows better


@pytest.mark.parametrize("where", ["variable", "grid mapping"])
def test_a_healpix_grid_is_refused_by_its_attributes(where):
    field = array(("time", "values_of_sites"), crs=((), 0, {"grid_mapping_name": "healpix"}))
    if where == "variable":
        field = field.drop_vars("crs").assign_attrs(grid_type="healpix")
    with pytest.raises(ValueError, match="grid of type healpix; regrid it"):
        lattice_axes(field, 1, ["values_of_sites"])


@pytest.mark.parametrize(
    ("longitudes", "boundary", "said"),
    [
        (np.arange(36) * 10.0, ["reflect"], "lon is taken as reflect, but .* boundary=..reflect', 'periodic'"),
        (np.arange(36) * 10.0, ["periodic"], "lat is taken as periodic, but .* boundary=..reflect', 'periodic'"),
        (
            np.arange(36) * 5.0,
            ["periodic"],
            "lat is taken as periodic and lon is taken .* boundary=..reflect', 'reflect'",
        ),
        (np.arange(36) * 10.0 - 175, ["reflect", "periodic"], ""),
        (np.arange(35) * 10.0, ["reflect"], ""),
    ],
)
def test_boundaries_that_contradict_a_globe_are_said(longitudes, boundary, said, capsys):
    field = xr.DataArray(
        np.zeros((1, 1, 4, len(longitudes))),
        dims=("sample", "channel", "lat", "lon"),
        coords={"lat": [0.0, 1, 2, 3], "lon": longitudes},
    )
    note_globe(field, grid_of(field, boundary))
    heard = capsys.readouterr().err
    assert re.search(said, heard) if said else not heard
