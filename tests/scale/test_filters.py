"""Filters: diagonal, symmetric, and a projection for a band."""

import pytest
import torch

from rgdm.scale.basis import Cosine, Fourier, Site
from rgdm.scale.filters import Band, Filter

pytestmark = pytest.mark.usefixtures("float64")

FILTERS = {
    "heat": Filter(Fourier(), lambda k: torch.exp(-0.3 * k**2)),
    "cosine heat": Filter(Cosine(), lambda k: torch.exp(-0.3 * k**2)),
    "band": Band(Fourier(), 0.5, 2.0),
    "half": Filter(Site(), lambda k: 0.5 * torch.ones_like(k)),
}
every_filter = pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)


@every_filter
def test_a_filter_is_symmetric(filter):
    x, y = torch.randn(2, 1, 1, 6, 8)
    torch.testing.assert_close((filter(x) * y).sum(), (x * filter(y)).sum())


@every_filter
def test_a_filter_multiplies_each_mode_by_its_gain(filter):
    x = torch.randn(2, 3, 6, 8)
    z, k = filter.basis.analyze(x), filter.basis.wavenumber((6, 8))
    torch.testing.assert_close(filter.basis.analyze(filter(x)), filter.gain(k) * z)


def test_a_band_is_a_projection_and_two_bands_that_meet_make_one():
    x = torch.randn(1, 1, 8, 8)
    low, high, both = Band(Fourier(), 0.0, 1.0), Band(Fourier(), 1.0, 2.0), Band(Fourier(), 0.0, 2.0)
    torch.testing.assert_close(low(low(x)), low(x))
    torch.testing.assert_close(low(high(x)), torch.zeros_like(x))
    torch.testing.assert_close(low(x) + high(x), both(x))


def test_two_heat_kernels_in_a_row_are_one_of_the_sum_of_their_times():
    x = torch.randn(1, 1, 16)
    longer = Filter(Fourier(), lambda k: torch.exp(-0.6 * k**2))
    torch.testing.assert_close(FILTERS["heat"](FILTERS["heat"](x)), longer(x))


def test_a_field_keeps_its_dtype():
    for filter in FILTERS.values():
        assert filter(torch.randn(1, 1, 8, 8, dtype=torch.float32)).dtype == torch.float32


def test_an_empty_band_is_refused():
    with pytest.raises(ValueError, match=r"a band from 2\.0 to 1\.0; 0 <= low < high is needed"):
        Band(Fourier(), 2.0, 1.0)
