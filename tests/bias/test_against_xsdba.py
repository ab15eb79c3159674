"""The same mappings by xsdba (formerly part of xclim), an independent package, where it can do them."""

import numpy as np
import pytest
import xarray as xr

import rgdm

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

YEARS = 20
TIMES = xr.date_range("2001-01-01", periods=360 * YEARS, freq="D", calendar="360_day", use_cftime=True)


def weather(mean: float, spread: float, seed: int) -> xr.DataArray:
    """Days with a seasonal cycle on two cells."""
    noise = np.random.default_rng(seed).standard_normal((len(TIMES), 2))
    season = 8 * np.sin(2 * np.pi * np.arange(len(TIMES)) / 360)[:, None]
    return xr.DataArray(
        mean + season + spread * noise, coords={"time": TIMES}, dims=("time", "cell"), name="t", attrs={"units": "K"}
    )


def by_xsdba(name: str, observed: xr.DataArray, model: xr.DataArray, given: xr.DataArray) -> xr.DataArray:
    """All times in one group: between groups it interpolates, which we do not."""
    xsdba = pytest.importorskip("xsdba")
    trained = getattr(xsdba, name).train(observed, model, nquantiles=np.linspace(0, 1, 50), group="time")
    return trained.adjust(given, interp="linear").transpose("time", "cell")


@pytest.mark.parametrize("months", [range(1, 13), [7], [12, 1, 2]])
@pytest.mark.parametrize(("method", "name"), [("value", "EmpiricalQuantileMapping"), ("delta", "QuantileDeltaMapping")])
def test_a_warmer_and_more_variable_climate_is_corrected_as_by_xsdba(months, method, name):
    given = [weather(285, 3, 0), weather(288, 4, 1), weather(290, 4.5, 2)]
    observed, model, later = given
    group = {12: "none", 1: "month", 3: "season"}[len(months)]
    ours = rgdm.debias(model, observed, later, group=group, method=method)
    parts = [each.sel(time=each.time.dt.month.isin(months)) for each in (*given, ours)]
    apart = np.abs(parts[3] - by_xsdba(name, *parts[:3]))
    assert float(apart.mean()) < 0.06 and float(apart.quantile(0.95)) < 0.15  # they interpolate corrections
    assert float(np.abs(parts[2] - parts[3]).mean()) > 2  # the control: what both correct is far more
