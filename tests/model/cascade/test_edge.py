"""Users' xarray objects are compared with a model's data, aligned, and what is made of them is brought back."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.data.identity import IDENTITY, identity_of
from rgdm.errors import InputError
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.edge import align_with
from small import cascade


def weather(shape: tuple[int, int] = (16, 16), spacing: float = 0.5) -> xr.Dataset:
    """Temperature and pressure on rising latitudes."""
    values = np.random.default_rng(0).standard_normal((2, *shape)).cumsum(1).cumsum(2).astype("f4")
    lat, lon = (spacing * (np.arange(n) + 0.5) for n in shape)
    return xr.Dataset(
        {
            "t2m": (("lat", "lon"), 280 + values[0], {"units": "K"}),
            "sp": (("lat", "lon"), 1e5 + 100 * values[1], {"units": "Pa"}),
        },
        coords={"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
    )


@pytest.fixture(scope="module")
def model() -> Cascade:
    made = cascade(channels=2, levels=2).eval()
    made.fit(torch.from_numpy(weather().to_array().values[None]))
    made.metadata = {"channels": ["t2m", "sp"], IDENTITY: identity_of(weather(), 2).to_json()}
    return made


COARSE = weather((4, 4), 2.0)
"""On the lattice of level 2."""


@pytest.fixture(scope="module")
def straight(model) -> xr.Dataset:
    return model.refine(COARSE, members=2)


SOUTHWARDS = {"lat": slice(None, None, -1)}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[["sp", "t2m"]],
        lambda data: data.transpose("lon", "lat"),
        lambda data: data.assign(sp=data["sp"].transpose("lon", "lat")),
        lambda data: data.isel(SOUTHWARDS),
        lambda data: data.isel({**SOUTHWARDS, "lon": slice(None, None, -1)})[["sp", "t2m"]].transpose("lon", "lat"),
        lambda data: data.assign(snow=data["sp"] * 0),
    ],
    ids=["order", "transposed", "one transposed", "southwards", "all", "more variables"],
)
def test_what_lies_otherwise_is_refined_to_the_same_field_to_the_bit_in_its_own_form(model, straight, change):
    given = change(COARSE)
    fine = model.refine(given, members=2)
    assert list(fine.data_vars) == [name for name in given.data_vars if name != "snow"]
    for name in fine.data_vars:
        assert fine[name].dims == ("member", *given[name].dims)
        assert bool(np.diff(fine["lat"])[0] > 0) == bool(np.diff(given["lat"])[0] > 0)
        north = fine[name].transpose("member", "lat", "lon").sortby(["lat", "lon"])
        np.testing.assert_array_equal(north, straight[name])
        np.testing.assert_allclose(north["lat"], straight["lat"], rtol=1e-6)


def test_a_field_in_another_unit_is_refined_in_its_own(model, straight):
    celsius = COARSE.assign(t2m=(COARSE["t2m"].astype("f8") - 273.15).assign_attrs(units="degC")).astype("f8")
    fine = model.refine(celsius, members=2)
    assert fine["t2m"].attrs["units"] == "degC" and fine["sp"].attrs["units"] == "Pa"
    np.testing.assert_allclose(fine["t2m"] + 273.15, straight["t2m"], rtol=2e-6)
    means = fine.coarsen(lat=4, lon=4).mean()
    np.testing.assert_allclose(means["t2m"], np.stack([celsius["t2m"]] * 2), rtol=1e-9)


def test_an_array_with_an_axis_of_channels_is_matched_by_name(model, straight):
    array = COARSE.to_array("channel").transpose("lat", "channel", "lon")
    fine = model.refine(array.isel(channel=[1, 0]), members=2)
    assert list(fine["channel"].values) == ["sp", "t2m"]
    np.testing.assert_array_equal(fine.sel(channel="t2m").transpose("member", "lat", "lon"), straight["t2m"])


def test_what_is_done_is_said_once_and_nothing_of_arrays(model, capsys):
    model.refine(COARSE[["sp", "t2m"]], members=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == ("rgdm: note: the coarse field has sp, t2m; the model was trained on t2m, sp: in the order is taken")
    model.refine(COARSE.to_array().values, members=1)
    model.refine(torch.from_numpy(COARSE.to_array().values), members=1)
    model.refine(COARSE, members=1)
    assert capsys.readouterr().err == ""


def test_a_field_of_another_level_is_told_how_many_levels_fit(model):
    with pytest.raises(InputError, match=r"1 degrees_north along lat.*2 levels coarsen to 2.*levels=1"):
        model.refine(weather((8, 8), 1.0))
    assert model.refine(weather((8, 8), 1.0), levels=1).sizes["lat"] == 16
    assert model.refine(weather((8, 8), 1.0), force=True).sizes["lat"] == 32


def test_likelihoods_are_of_the_aligned_field(model, capsys):
    fine = weather()
    expected = model.log_prob(fine, networks=False).total
    for other in (fine[["sp", "t2m"]], fine.isel(SOUTHWARDS), fine.transpose("lon", "lat")):
        assert torch.equal(model.log_prob(other, networks=False).total.value, expected.value)
    with pytest.raises(InputError, match="has t2m in Pa; the model was trained on K"):
        model.log_prob(fine.assign(t2m=fine["t2m"].assign_attrs(units="Pa")), networks=False)
    with pytest.raises(InputError, match="spacing of 2"):
        model.log_prob(COARSE, networks=False)


def test_a_model_that_was_saved_without_an_identity_compares_names_and_units_only(model):
    old = cascade(channels=2, levels=2).eval()
    old.load_state_dict(model.state_dict())
    old.metadata = {"channels": ["t2m", "sp"], "attrs": {"units": "K"}}  # of which channel, nobody knows
    assert old.refine(weather((4, 4), 7.0), members=1).sizes["lat"] == 16
    with pytest.raises(InputError, match=r"\(u, v\); the model was trained on .*\(t2m, sp\)"):
        old.refine(COARSE.rename(t2m="u", sp="v"))
    old.metadata = {}
    assert set(old.refine(COARSE.rename(t2m="u", sp="v"), members=1).data_vars) == {"u", "v"}


def test_an_enlarged_model_knows_what_its_own_knows(model):
    known = align_with(model.enlarged(1, 1.0, level=1), COARSE[["sp", "t2m"]], "it", 2)
    assert list(known.field.data_vars) == ["t2m", "sp"]


def test_what_was_made_says_what_makes_it_again(model, tmp_path):
    given = COARSE.assign_attrs(history="before").isel(SOUTHWARDS)
    first = model.refine(given, levels=1, members=2, seed=5, evaluations=2, force=True)
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model")
    checksums = json.loads((tmp_path / "model" / "config.json").read_text())["weights"]
    assert checksums == [first.attrs["model_checksum"]]
    asked = {name: first.attrs[name] for name in ("levels", "members", "seed", "evaluations")}
    second = again.refine(given, **asked, force=True)
    for name in ("t2m", "sp"):
        np.testing.assert_array_equal(first[name], second[name])
        assert first[name].attrs["cell_methods"] == "area: mean"
    assert first.attrs["made_by"].startswith("rgdm ") and first.attrs["history"].startswith("before\n")
    other = model.refine(given, levels=1, members=2, seed=6, force=True)
    assert other.attrs["seed"] == 6 and other.attrs["evaluations"] == model.sampler.evaluations
    assert bool((other["t2m"] != first["t2m"]).any())


def test_sums_over_cells_are_refined_as_means_and_that_is_said(model, capsys):
    given = COARSE.assign(sp=COARSE["sp"].assign_attrs(cell_methods="area: sum"))
    model.refine(given)
    assert "sp of the coarse field is by cell_methods a sum over a cell" in capsys.readouterr().err
