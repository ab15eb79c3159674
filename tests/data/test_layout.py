import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from rgdm.data.cells.edges import refine_axis, refine_centres
from rgdm.data.layout import from_samples, unwrap


def repeat(x: torch.Tensor, members: int, factor: int) -> torch.Tensor:
    """An ensemble whose every member is the coarse field with each site repeated."""
    for axis in range(2, x.dim()):
        x = x.repeat_interleave(factor, axis)
    return x.expand(members, *x.shape)


def block_mean(values: np.ndarray, factor: int, axes: int) -> np.ndarray:
    for axis in range(values.ndim - axes, values.ndim):
        shape = (*values.shape[:axis], -1, factor, *values.shape[axis + 1 :])
        values = values.reshape(shape).mean(axis + 1)
    return values


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize(
    ("shape", "channels", "dimension", "inside"),
    [
        ((6, 4), 1, 2, (1, 1, 6, 4)),
        ((5, 6, 4), 1, 2, (5, 1, 6, 4)),
        ((1, 6, 4), 1, 2, (1, 1, 6, 4)),
        ((3, 6, 4), 3, 2, (1, 3, 6, 4)),
        ((5, 3, 6, 4), 3, 2, (5, 3, 6, 4)),
        ((8,), 1, 1, (1, 1, 8)),
        ((2, 4, 4, 4), 2, 3, (1, 2, 4, 4, 4)),
    ],
)
@pytest.mark.parametrize("kind", ["tensor", "numpy"])
def test_arrays_come_back_with_members_in_front_and_a_refined_lattice(kind, shape, channels, dimension, inside, factor):
    coarse = torch.randn(shape, dtype=torch.float64)
    x, layout = unwrap(coarse if kind == "tensor" else coarse.numpy(), channels, dimension)
    assert x.shape == inside and x.dtype == torch.float64
    out = layout.wrap(repeat(x, 3, factor), (factor,) * dimension)
    assert isinstance(out, torch.Tensor if kind == "tensor" else np.ndarray)
    lead = len(shape) - dimension
    assert tuple(out.shape) == (3, *shape[:lead], *(factor * n for n in shape[lead:]))
    np.testing.assert_allclose(block_mean(np.asarray(out), factor, dimension)[1], coarse, rtol=1e-14)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("int64", "float32"),
        ("uint8", "float32"),
        ("float16", "float32"),
    ],
)
def test_the_type_of_numbers_is_kept_and_integers_become_float32(dtype, expected):
    values = np.arange(16).reshape(4, 4).astype(dtype)
    for coarse in (values, torch.from_numpy(values), xr.DataArray(values, dims=("y", "x"))):
        x, layout = unwrap(coarse, 1, 2)
        assert x.dtype == getattr(torch, expected)
        assert str(layout.wrap(repeat(x, 1, 2), (2, 2)).dtype).removeprefix("torch.") == expected


@pytest.mark.parametrize(
    ("shape", "channels", "dimension"), [((4,), 1, 2), ((4, 4), 3, 2), ((2, 4, 4), 3, 2), ((5, 2, 4, 4), 3, 2)]
)
def test_a_shape_that_does_not_fit_gets_the_ones_that_would(shape, channels, dimension):
    expected = rf"does not fit .*give \(batch, {channels}, \*lattice\)"
    with pytest.raises(ValueError, match=expected):
        unwrap(torch.zeros(shape), channels, dimension)


@pytest.mark.parametrize("thing", [[[1.0, 2.0]], "field.nc", None])
def test_other_types_get_the_list_of_those_that_fit(thing):
    with pytest.raises(ValueError, match="torch tensor, a numpy array or an xarray"):
        unwrap(thing, 1, 2)


@pytest.mark.parametrize("thing", [np.zeros((4, 4), complex), torch.zeros(4, 4, dtype=torch.complex64)])
def test_complex_numbers_are_refused(thing):
    with pytest.raises(ValueError, match="real numbers"):
        unwrap(thing, 1, 2)


def coarse_map() -> xr.DataArray:
    """A map with its lattice in the middle, a date, a curvilinear and a scalar coordinate."""
    return xr.DataArray(
        np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32),
        dims=("lat", "lon", "time"),
        coords={
            "lat": ("lat", np.array([40.0, 30.0, 20.0, 10.0], np.float32), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(6) * 3),
            "time": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[ns]"),
            "angle": (("lat", "lon"), np.zeros((4, 6))),
            "height": 10.0,
        },
        name="t2m",
        attrs={"units": "K"},
    )


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_data_array_keeps_names_order_and_attributes(factor):
    coarse = coarse_map()
    x, layout = unwrap(coarse, 1, 2)
    assert x.shape == (3, 1, 4, 6)
    fine = layout.wrap(repeat(x, 2, factor), (factor, factor))
    assert isinstance(fine, xr.DataArray)
    assert fine.dims == ("member", "lat", "lon", "time") and fine.name == "t2m" and fine.attrs == {"units": "K"}
    mean = fine.isel(member=1).coarsen(lat=factor, lon=factor).mean()
    # Every coordinate of a coarse site is the mean of those of its fine sites, as its value is.
    xr.testing.assert_allclose(mean.drop_vars(["member"]), coarse)
    assert fine.lat.dtype == np.float64 and fine.lat.attrs == {"units": "degrees_north"}
    assert float(fine.height) == 10.0
    np.testing.assert_array_equal(fine.time, coarse.time)


def test_a_refinement_by_one_keeps_every_coordinate():
    coarse = coarse_map()
    x, layout = unwrap(coarse, 1, 2)
    xr.testing.assert_identical(layout.wrap(x[None], (1, 1)).isel(member=0, drop=True), coarse)


def test_channels_of_a_data_array_are_found_by_name():
    coarse = coarse_map().drop_vars("time").rename(time="channel").assign_coords(channel=["a", "b", "c"])
    x, layout = unwrap(coarse, 3, 2)
    assert x.shape == (1, 3, 4, 6)
    np.testing.assert_array_equal(x[0], coarse.transpose("channel", "lat", "lon"))
    fine = layout.wrap(repeat(x, 2, 2), (2, 2))
    assert fine.dims == ("member", *coarse.dims) and list(fine.channel.values) == ["a", "b", "c"]


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r"1 channel\(s\); the model has 3; name the axis of channels 'channel'"):
        unwrap(coarse_map(), 3, 2)


def test_too_few_axes_are_refused():
    with pytest.raises(ValueError, match="1 lattice axes; the model needs 2"):
        unwrap(xr.DataArray(np.zeros((2, 4)), dims=("sample", "x")), 1, 2)


def test_an_ensemble_can_be_refined_again():
    x, layout = unwrap(coarse_map(), 1, 2)
    ensemble = layout.wrap(repeat(x, 2, 2), (2, 2))
    again, layout = unwrap(ensemble, 1, 2)
    assert again.shape == (6, 1, 8, 12)
    assert layout.wrap(repeat(again, 3, 1), (1, 1)).dims == ("refinement", *ensemble.dims)


def test_dates_along_a_refined_axis_are_refined_and_names_repeated():
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    coarse = xr.DataArray(np.zeros((2, 3)), dims=("t", "x"), coords={"t": dates, "x": ["a", "b", "c"]})
    x, layout = unwrap(coarse, 1, 2)
    fine = layout.wrap(repeat(x, 1, 2), (2, 2))
    hours = (fine.t.values - dates[0]) / np.timedelta64(1, "h")
    np.testing.assert_allclose(hours, [-6, 6, 18, 30])
    assert list(fine.x.values) == ["a", "a", "b", "b", "c", "c"]


def test_variables_of_a_dataset_are_channels():
    coarse = xr.Dataset({"a": coarse_map(), "b": coarse_map().astype(np.float64) + 1}, attrs={"title": "two"})
    x, layout = unwrap(coarse, 2, 2)
    assert x.shape == (3, 2, 4, 6) and x.dtype == torch.float64
    fine = layout.wrap(repeat(x, 2, 2), (2, 2))
    assert isinstance(fine, xr.Dataset) and fine.attrs == {"title": "two"}
    assert fine.a.dtype == np.float32 and fine.b.dtype == np.float64 and fine.b.attrs == {"units": "K"}
    mean = fine.isel(member=0, drop=True).coarsen(lat=2, lon=2).mean()
    xr.testing.assert_allclose(mean, coarse)


def test_variables_of_a_dataset_take_the_order_of_the_names_of_the_channels():
    coarse = xr.Dataset({"a": coarse_map(), "b": coarse_map() + 1})
    x, layout = unwrap(coarse, 2, 2, ["b", "a"])
    np.testing.assert_array_equal(x[:, 0], coarse.b.transpose("time", "lat", "lon"))
    xr.testing.assert_identical(layout.wrap(x[None], (1, 1)).isel(member=0, drop=True)[["a", "b"]], coarse)


def test_a_dataset_with_another_number_of_variables_is_refused():
    with pytest.raises(ValueError, match=r"variables \['a'\]; the model has 2"):
        unwrap(xr.Dataset({"a": coarse_map()}), 2, 2)


def test_variables_of_different_shapes_are_no_channels():
    data = xr.Dataset({"a": (("y", "x"), np.zeros((4, 4))), "b": (("t", "y", "x"), np.zeros((2, 4, 4)))})
    with pytest.raises(ValueError, match="one shape"):
        unwrap(data, 2, 2)


@pytest.mark.integration
@given(st.floats(-1e3, 1e3), st.floats(0.01, 10), st.integers(2, 9), st.integers(1, 8), st.sampled_from([1, -1]))
def test_fine_centres_of_a_regular_axis_follow_the_formula(start, spacing, n, factor, sign):
    c = start + sign * spacing * np.arange(n)
    j = np.arange(factor)
    expected = (c[:, None] + ((j + 0.5) / factor - 0.5) * sign * spacing).ravel()
    np.testing.assert_allclose(refine_centres(c, factor), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.integration
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.integers(1, 8))
def test_places_that_stay_are_every_bth_of_the_fine_ones_with_equal_steps_between(gaps, factor):
    c = np.cumsum([0.0, *gaps])
    fine = refine_axis(c, factor, 0.0) if factor > 1 else c
    np.testing.assert_allclose(fine[::factor], c, rtol=0, atol=1e-12)
    steps = np.append(gaps, gaps[-1]).repeat(factor) / factor
    np.testing.assert_allclose(np.diff(fine), steps[:-1], rtol=1e-9, atol=1e-9)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.integers(1, 8))
def test_fine_centres_of_an_irregular_axis_stay_in_their_cells_and_in_order(gaps, factor):
    c = np.cumsum([0.0, *gaps])
    fine = refine_centres(c, factor)
    assert (np.diff(fine) > 0).all()
    edges = (c[1:] + c[:-1]) / 2
    np.testing.assert_array_equal(np.searchsorted(edges, fine), np.arange(len(c)).repeat(factor))


def test_generated_fields_get_names():
    field = from_samples(torch.zeros(2, 3, 4, 5), ["lat", "lon"], ["r", "g", "b"], {"units": "m"})
    assert field.dims == ("sample", "channel", "lat", "lon") and field.attrs == {"units": "m"}
    assert list(field.channel.values) == ["r", "g", "b"]


def test_names_that_do_not_fit_the_generated_fields_are_refused():
    with pytest.raises(ValueError, match="1 channel and 2 axis names"):
        from_samples(torch.zeros(2, 3, 4, 5), ["lat", "lon"], ["z"], {})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_comes_back_on_its_device():
    coarse = torch.zeros(4, 4, device="cuda")
    x, layout = unwrap(coarse, 1, 2)
    assert layout.wrap(repeat(x, 2, 2).cpu(), (2, 2)).device == coarse.device


def test_what_dask_holds_in_pieces_is_taken_as_what_is_in_memory():
    pytest.importorskip("dask")
    data = coarse_map().to_dataset()
    pieces = data.chunk({"lat": 2, "lon": 3, "time": 1}).assign_coords(angle=data["angle"].chunk({"lat": 1}))
    for whole, held in ((data, pieces), (data["t2m"], pieces["t2m"])):
        x, layout = unwrap(held, 1, 2)
        made = layout.wrap(repeat(x, 2, 2), (2, 2))
        y, straight = unwrap(whole, 1, 2)
        assert made.identical(straight.wrap(repeat(y, 2, 2), (2, 2)))
