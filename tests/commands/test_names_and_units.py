"""Commands compare their files with what a model knows of its data, and files with each other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from refusing import refused, says
from running import SMALL, ok

from rgdm.data.fields import read_field
from rgdm.model.cascade.cascade import Cascade

pytestmark = pytest.mark.integration

TINY = [*SMALL, "--steps", 1]
SOUTHWARDS = {"lat": slice(None, None, -1)}


def weather(size: int = 16, spacing: float = 0.5, seed: int = 0) -> xr.Dataset:
    """Temperature and a land mask without a unit, on rising latitudes."""
    values = np.random.default_rng(seed).standard_normal((2, size, size)).cumsum(1).cumsum(2)
    place = spacing * (np.arange(size) + 0.5)
    return xr.Dataset(
        {"t2m": (("lat", "lon"), 280 + values[0], {"units": "K"}), "lsm": (("lat", "lon"), values[1])},
        coords={
            "lat": ("lat", place, {"units": "degrees_north"}),
            "lon": ("lon", place, {"units": "degrees_east"}),
        },
    )


def training() -> xr.Dataset:
    """Several fields of it."""
    return xr.concat([weather(32, seed=seed) for seed in range(4)], "time")


def celsius(data: xr.Dataset) -> xr.Dataset:
    return data.assign(t2m=(data["t2m"] - 273.15).assign_attrs(units="degC"))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A model of both variables, and the fields that it was trained on."""
    folder = tmp_path_factory.mktemp("two")
    training().to_netcdf(folder / "fine.nc")
    ok("train", folder / "fine.nc", "--variable", "t2m,lsm", "--out", folder / "model", *TINY)
    return folder / "model"


@pytest.fixture
def here(two, tmp_path, monkeypatch) -> Path:
    """A folder with the model and a coarse file of its deepest level, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(two, "model")
    weather(4, 2.0).to_netcdf("coarse.nc")
    return tmp_path


def refine(path: str, *options: object) -> xr.Dataset:
    ok("refine", "model", path, "--members", 2, "--out", "out.nc", "--overwrite", *options)
    with xr.open_dataset("out.nc") as data:
        return data.load()


def test_a_known_model_takes_its_variables_from_a_file_of_many_in_any_order(here, capsys):
    straight = refine("coarse.nc", "--variable", "t2m,lsm")
    assert "note: coarse.nc" not in capsys.readouterr().err
    assert refine("coarse.nc").drop_attrs().identical(straight.drop_attrs())
    turned = refine("coarse.nc", "--variable", "lsm,t2m")
    assert "coarse.nc has lsm, t2m; the model was trained on t2m, lsm: in the order is taken" in capsys.readouterr().err
    for name in ("t2m", "lsm"):
        np.testing.assert_array_equal(turned[name], straight[name])
    weather(4, 2.0).assign(snow=weather(4, 2.0)["lsm"]).to_netcdf("more.nc")
    more = refine("more.nc")
    assert set(more.data_vars) == {"t2m", "lsm"}
    np.testing.assert_array_equal(more["t2m"], straight["t2m"])


def test_a_file_southwards_transposed_and_in_celsius_is_refined_in_its_own_form(here, capsys):
    straight = refine("coarse.nc")
    weather(4, 2.0).isel(SOUTHWARDS).transpose("lon", "lat").to_netcdf("south.nc")
    south = refine("south.nc")
    assert "south.nc has falling lat and is turned" in capsys.readouterr().err
    assert south["t2m"].dims == ("member", "lon", "lat") and south["lat"][0] > south["lat"][-1]
    np.testing.assert_array_equal(south["t2m"].transpose("member", "lat", "lon")[:, ::-1], straight["t2m"])
    celsius(weather(4, 2.0)).to_netcdf("warm.nc")
    warm = refine("warm.nc")
    assert "t2m of warm.nc is in degC and is converted" in capsys.readouterr().err
    assert warm["t2m"].attrs["units"] == "degC" and "units" not in warm["lsm"].attrs
    np.testing.assert_allclose(warm["t2m"] + 273.15, straight["t2m"], rtol=1e-6)


def changed(**attrs: str) -> xr.Dataset:
    data = weather(4, 2.0)
    return data.assign(t2m=data["t2m"].assign_attrs(attrs), lsm=data["lsm"].assign_attrs(attrs.get("lsm", {})))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(units="mm/h"), ["t2m in mm/h", "trained on K", "convert it"]),
        (weather(4, 2.0).rename(t2m="u10", lsm="v10"), ["(u10, v10)", "(t2m, lsm)", "--variable"]),
        (weather(4, 1.0), ["spacing of 1 degrees_north along lat", "2 levels coarsen to 2", "--levels 1"]),
        (weather(4, 2.2), ["spacing of 2.2", "regrid"]),
    ],
)
def test_what_cannot_be_aligned_is_refused_and_force_goes_on_with_a_note(here, capsys, data, words):
    data.to_netcdf("other.nc")
    chosen = ["--variable", ",".join(map(str, data.data_vars))]
    capsys.readouterr()
    line = refused(capsys, "refine", "model", "other.nc", *chosen, "--out", "out.nc")
    says(line, "other.nc", *words, "--force")
    refine("other.nc", *chosen, "--force")
    assert "taken as it is" in capsys.readouterr().err


def test_a_file_that_states_another_boundary_is_refused(here, capsys):
    xr.Dataset({name: v.assign_attrs(boundary="periodic") for name, v in weather(4, 2.0).items()}).to_netcdf("torus.nc")
    capsys.readouterr()
    line = refused(capsys, "refine", "model", "torus.nc", "--out", "out.nc")
    says(line, "torus.nc", "boundary periodic of lat", "reflect", "--force")


def test_evaluation_is_of_the_aligned_field(here, capsys):
    weather().to_netcdf("straight.nc")
    celsius(weather()).isel(SOUTHWARDS)[["lsm", "t2m"]].transpose("lon", "lat").to_netcdf("other.nc")
    scores = []
    for name in ("straight", "other"):
        ok("evaluate", "model", f"{name}.nc", "--members", 2, "--no-likelihood", "--out", name)
        scores.append(json.loads(Path(name, "scores.json").read_text())["crps_over_bicubic"]["value"])
    np.testing.assert_allclose(*scores, rtol=1e-3)
    said = capsys.readouterr().err
    assert "falling lat" in said and "in degC and is converted" in said and "has lsm, t2m" not in said
    weather(16, 1.0).to_netcdf("wide.nc")
    says(refused(capsys, "evaluate", "model", "wide.nc"), "spacing of 1 ", "0.5 ", "--force")


# --- files that disagree among themselves -------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda data: data.isel(SOUTHWARDS), "falling lat"),
        (lambda data: data.transpose("lon", "lat"), ""),
        (lambda data: data[["lsm", "t2m"]].assign_attrs(channels="lsm,t2m"), ""),
    ],
)
def test_files_that_lie_otherwise_read_as_the_first_twice(tmp_path, capsys, change, word):
    first, second = tmp_path / "a.nc", tmp_path / "b.nc"
    weather().assign_attrs(channels="t2m,lsm").to_netcdf(first)
    change(weather()).assign_attrs(channels=change(weather()).attrs.get("channels", "t2m,lsm")).to_netcdf(second)
    twice = read_field([first, first])
    assert read_field([first, second]).identical(twice)
    said = capsys.readouterr().err
    assert word in said and (not word or f"{first} has" in said)


def test_files_in_two_units_are_read_in_that_of_the_first(tmp_path, capsys):
    weather()[["t2m"]].to_netcdf(tmp_path / "a.nc")
    celsius(weather())[["t2m"]].to_netcdf(tmp_path / "b.nc")
    for names in ("ab", "ba"):
        field = read_field([tmp_path / f"{name}.nc" for name in names])
        np.testing.assert_allclose(field[1], field[0], rtol=1e-9)
        assert field.attrs["units"] == {"a": "K", "b": "degC"}[names[0]]
        assert f"{names[0]}.nc has {field.attrs['units']}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (changed(units="Pa"), ["t2m in Pa", "a.nc has K"]),
        (weather(4, 1.0), ["spacing of 1 ", "a.nc has 2 "]),
        (weather(4, 2.0).rename(t2m="d2m"), ["(d2m)", "(t2m)"]),
    ],
)
def test_files_that_cannot_be_aligned_are_refused(tmp_path, monkeypatch, capsys, other, words):
    monkeypatch.chdir(tmp_path)
    weather(4, 2.0)[["t2m"]].to_netcdf("a.nc")
    other.drop_vars("lsm").to_netcdf("b.nc")
    says(refused(capsys, "train", "a.nc", "b.nc", "--out", "model", *TINY), "b.nc", *words, "--force")


def test_a_third_file_is_compared_with_the_second_where_the_first_says_nothing(tmp_path):
    weather(4)[["t2m"]].drop_attrs().drop_vars(["lat", "lon"]).to_netcdf(tmp_path / "a.nc")
    weather(4)[["t2m"]].to_netcdf(tmp_path / "b.nc")
    changed(units="Pa").assign_coords(weather(4).coords)[["t2m"]].to_netcdf(tmp_path / "c.nc")
    paths = [tmp_path / f"{name}.nc" for name in "abc"]
    read_field(paths[:2])
    with pytest.raises(ValueError, match=r"t2m in Pa; .* K"):
        read_field(paths)
    assert read_field(paths, force=True).sizes["sample"] == 3


def test_a_training_goes_on_only_with_data_that_say_the_same(here, capsys):
    training().to_netcdf("fine.nc")
    training().assign(t2m=training()["t2m"].assign_attrs(units="Pa")).to_netcdf("other.nc")
    more = ["--variable", "t2m,lsm", "--out", "model", *SMALL, "--steps", 2, "--resume"]
    says(refused(capsys, "train", "other.nc", *more), "t2m in Pa", "the training began on K")
    ok("train", "fine.nc", *more)
    assert Cascade.from_pretrained("model").metadata["training"]["steps"] == 2


def test_couplings_of_files_that_disagree_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    weather()[["t2m"]].to_netcdf("a.nc")
    weather(spacing=1.0)[["t2m"]].to_netcdf("b.nc")
    says(refused(capsys, "couplings", "a.nc", "b.nc", "--levels", 1), "spacing of 1 ", "a.nc has 0.5 ")
