import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.checks import blank, check_finite, check_made, check_varies, fill_gaps


def field_with_gaps() -> xr.DataArray:
    values = np.tile(np.arange(6.0), (2, 1, 4, 1))
    values[1, 0, 2, 3] = np.nan
    values[1, 0, 3, 5] = np.inf
    return xr.DataArray(values, dims=("sample", "channel", "lat", "lon"))


def test_gaps_are_counted_and_placed_and_a_remedy_is_named():
    expected = r"2 of 48 values \(4.17%\) are NaN or infinite, the first at channel 0, sample 1, lat\[2\], lon\[3\]; "
    with pytest.raises(ValueError, match=expected):
        check_finite(field_with_gaps())
    named = field_with_gaps().assign_coords(
        channel=["v"],
        time=("sample", np.array(["2001-01-07", "2001-01-08"], "datetime64[ns]")),
        lat=[-60.0, -57.5, -55.0, -52.5],
    )
    with pytest.raises(ValueError, match=r"at v, sample 1 \(time 2001-01-08\), lat\[2\] = -55, lon\[3\]; .*fill_gaps"):
        check_finite(named)
    with pytest.raises(ValueError, match=r"sample 1, channel 0, site \(2, 3\)"):
        check_finite(field_with_gaps().values)


@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.values, lambda x: torch.from_numpy(x.values)])
def test_filling_takes_the_nearest_valid_value_and_changes_no_other(convert):
    values = convert(field_with_gaps())
    filled, missing = fill_gaps(values)
    assert type(filled) is type(values)
    before, after = np.asarray(values), np.asarray(filled)
    assert after[1, 0, 2, 3] in (2, 3, 4) and after[1, 0, 3, 5] in (4, 5)
    finite = np.isfinite(before)
    np.testing.assert_array_equal(after[finite], before[finite])
    assert not np.isfinite(before).all()
    np.testing.assert_array_equal(missing, ~finite)


def test_across_the_seam_of_a_torus_the_nearest_value_may_lie_on_the_other_side():
    values = np.array([[[np.nan, np.nan, 5.0, 6.0, 7.0, 8.0]]])
    np.testing.assert_array_equal(fill_gaps(values, "reflect")[0][0, 0], [5, 5, 5, 6, 7, 8])
    np.testing.assert_array_equal(fill_gaps(values, "periodic")[0][0, 0], [8, 5, 5, 6, 7, 8])


def test_what_is_made_of_a_gap_is_missing_again_and_anything_else_that_is_not_finite_is_refused():
    missing = np.zeros((1, 1, 2, 2), dtype=bool)
    missing[..., 1, 0] = True
    made = xr.DataArray(np.ones((3, 1, 1, 4, 2)), dims=("member", "sample", "channel", "y", "x"))
    result = blank(made, missing, (2, 1))
    assert int(result.isnull().sum()) == 6 and bool(result[..., 2:, 0].isnull().all())
    check_made(result, missing=6)
    with pytest.raises(ValueError, match="6 of 24 values of the result are not finite, and nothing is written"):
        check_made(result)
    with pytest.raises(ValueError, match="not finite"):
        check_made(result.fillna(np.inf), missing=6)


def test_a_wide_gap_takes_each_value_from_its_nearer_side():
    values = np.array([[[1.0, np.nan, np.nan, np.nan, np.nan, 2.0]]])
    np.testing.assert_array_equal(fill_gaps(values)[0], [[[1, 1, 1, 2, 2, 2]]])


def test_finite_values_pass_without_a_copy():
    values = np.ones((1, 1, 4))
    assert check_finite(values) is values


def test_a_sample_without_any_valid_value_cannot_be_filled():
    values = np.ones((2, 1, 4))
    values[1] = np.nan
    with pytest.raises(ValueError, match="all values at sample 1, channel 0 are NaN"):
        fill_gaps(values)


def test_a_constant_channel_is_named_with_its_value():
    values = xr.DataArray(np.random.rand(2, 2, 4), dims=("sample", "channel", "x"), coords={"channel": ["u", "v"]})
    check_varies(values)
    values[:, 1] = 2.5
    with pytest.raises(ValueError, match=r"channel v is constant \(2.5\)"):
        check_varies(values)
    with pytest.raises(ValueError, match=r"channel 1 is constant \(2.5\)"):
        check_varies(torch.from_numpy(values.values))
