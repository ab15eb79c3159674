"""GRIB files, by cfgrib where it is installed."""

import numpy as np
import pytest

from rgdm.data.engines import grib
from rgdm.data.fields import read_field
from rgdm.errors import InputError

VALUES = 280 + np.random.default_rng(0).standard_normal((5, 8)).round(2)


def write(path, *shorts: str) -> None:
    eccodes = pytest.importorskip("eccodes")
    pytest.importorskip("cfgrib")
    with path.open("wb") as file:
        for short in shorts:
            message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
            keys = {"Ni": 8, "Nj": 5, "iDirectionIncrementInDegrees": 1.0, "jDirectionIncrementInDegrees": 1.0}
            ends = {"latitudeOfFirstGridPointInDegrees": 54.0, "latitudeOfLastGridPointInDegrees": 50.0}
            ends |= {"longitudeOfFirstGridPointInDegrees": 3.0, "longitudeOfLastGridPointInDegrees": 10.0}
            for key, value in {**keys, **ends, "shortName": short, "packingType": "grid_ieee"}.items():
                eccodes.codes_set(message, key, value)
            eccodes.codes_set_values(message, VALUES.ravel())
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)


def test_a_field_is_read_with_its_coordinates_and_no_file_is_left_beside_it(tmp_path):
    write(tmp_path / "a.grib2", "t")
    field = read_field([tmp_path / "a.grib2"])
    np.testing.assert_allclose(field[0, 0], VALUES, rtol=1e-6)
    assert field.dims[2:] == ("latitude", "longitude") and field.attrs["units"] == "K"
    np.testing.assert_allclose(field["latitude"], [54, 53, 52, 51, 50])
    assert [each.name for each in tmp_path.iterdir()] == ["a.grib2"]


def test_without_cfgrib_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.grb").write_bytes(b"GRIB")
    monkeypatch.setattr(grib, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a.grb is GRIB, which cfgrib reads: pip install 'rgdm\[formats\]'$"):
        read_field([tmp_path / "a.grb"])


def test_a_damaged_file_is_one_sentence(tmp_path):
    pytest.importorskip("cfgrib")
    (tmp_path / "a.grb").write_bytes(b"GRIB")
    with pytest.raises(InputError, match=r"cannot read .*a.grb"):
        read_field([tmp_path / "a.grb"])
