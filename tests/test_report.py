import functools
import importlib
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import xarray as xr

import rgdm
from rgdm import plots
from rgdm.cli import main
from rgdm.data.orientation import Orientation
from rgdm.evaluate import bicubic, judge, load_evaluation, save_evaluation
from rgdm.evaluate.baselines import block_mean
from rgdm.report import collect, write_report
from rgdm.report.table import number
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.per_axis import PerAxis


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures():
    """Pictures of few pixels, which are drawn quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "figure_to_png", functools.partial(plots.figure_to_png, dpi=40))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as the commands leave it."""
    folder = tmp_path_factory.mktemp("run")
    truth, ensemble = torch.randn(3, 1, 16, 16), torch.randn(4, 3, 1, 16, 16)
    coarse = block_mean(truth, 4)
    baseline = {"bicubic": bicubic(coarse, 4)}
    named = {"channels": ["height <b>"], "units": ["m"]}
    scores = judge(truth, ensemble, coarse, BlockSpin(2), 2, "reflect", baseline, **named)
    notes = {"name": "height <b>", "orientation": {"upward": True}}
    save_evaluation(
        folder / "evaluation", scores, truth, coarse, baseline["bicubic"], ensemble, [coarse[:1], truth[:1]], notes
    )
    (folder / "model").mkdir()
    grid = Grid.uniform(2, names=["latitude", "x"]).to_json()
    config = {"format": 2, "configuration": {"width": 4, "grid": grid}, "metadata": {"training": {"lattice": [8, 8]}}}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    lines = [{"step": 50 * i, "seconds": i, "loss": 1 / (1 + i), "level_losses": {"0": 1}} for i in range(5)]
    (folder / "model" / "history.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 250, "sec')
    samples = xr.Dataset({"height": (("sample", "latitude", "x"), torch.randn(2, 24, 16).numpy())})
    samples.to_zarr(folder / "samples.zarr", consolidated=False)
    return folder


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    """The report on the run, alone in a folder."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report(out, [run])
    return out


class Outline(HTMLParser):
    """Tags that open and close, pictures, headings and links of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.alts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        self.alts += [dict(attrs).get("alt")] * (tag == "img")
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_file_that_asks_for_nothing_else(report):
    page = report.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.alts) == 13 and all(outline.alts)
    assert all(source.startswith("data:") for source in outline.sources)
    assert "@import" not in page and "url(" not in page
    assert [p.name for p in report.parent.iterdir()] == ["report.html"]


def test_the_report_shows_every_number_and_escapes_names(report, run):
    page = report.read_text(encoding="utf-8")
    assert "<b>height" not in page and "height &lt;b&gt;" in page
    scores = json.loads((run / "evaluation" / "scores.json").read_text())
    own, words = scores["channels"]["height <b>"], re.sub("<[^>]*>", "", page)
    for name in ("crps", "crps_over_bicubic", "energy_score", "spread_skill"):
        assert number(own[name]["value"], own[name]["error"]) in words
    low, high = own["range"]["ensemble"]
    assert f"members {low:.5g} to {high:.5g} m" in words


@pytest.mark.integration
def test_parts_can_be_reported_alone(run, tmp_path):
    for part in ("model", "evaluation", "samples.zarr"):
        write_report(tmp_path / f"{part}.html", [run / part])
        assert (tmp_path / f"{part}.html").stat().st_size > 3000


def test_a_refinement_along_one_axis_alone_is_reported_with_the_blocks_of_both_axes(tmp_path):
    truth, ensemble = torch.randn(3, 1, 16, 16), torch.randn(4, 3, 1, 16, 16)
    coarse = block_mean(truth, (4, 1))
    baseline = bicubic(coarse, (4, 1))
    scores = judge(truth, ensemble, coarse, PerAxis([BlockSpin(2), None]), 2, "reflect", {"bicubic": baseline})
    save_evaluation(tmp_path, scores, truth, coarse, baseline, ensemble, [coarse[:1], truth[:1]])
    write_report(tmp_path / "report.html", [tmp_path])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "blocks of 4×1 sites." in page and "2×1 to 4×1 sites" in page


def test_what_is_gathered_is_what_was_written(run):
    material = collect([run])
    assert len(material.history) == 5
    assert material.samples[0].field.shape == (1, 24, 16)
    assert material.attrs["crop"] == [8, 8] and material.attrs["name"] == "height <b>"
    with xr.open_zarr(run / "samples.zarr", consolidated=False) as stored:
        assert (material.samples[0].field[0, 0] == stored["height"][0, -1].values).all()


def test_variables_of_a_sample_file_are_its_channels(tmp_path):
    parts = {name: (("member", "sample", "y", "x"), torch.randn(2, 1, 4, 4).numpy()) for name in "rgb"}
    xr.Dataset(parts, attrs={"channels": "r,g,b"}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    material = collect([tmp_path / "a.nc"])
    assert material.samples[0].field.shape == (3, 4, 4)
    assert [shown.look for shown in material.shown(["r", "g", "b"], [""] * 3)] == ["rgb"]


def test_every_channel_is_shown_with_its_name_and_unit(tmp_path):
    truth, ensemble = torch.randn(2, 3, 8, 8), torch.randn(3, 2, 3, 8, 8)
    scale = torch.tensor([1.0, 1e5, 1e-3]).reshape(3, 1, 1)
    coarse, baseline = block_mean(truth * scale, 2), {"bicubic": bicubic(block_mean(truth * scale, 2), 2)}
    named = {"channels": ["u", "v", "q"], "units": ["m s-1", "Pa", "1"]}
    scores = judge(truth * scale, ensemble * scale, coarse, BlockSpin(2), 1, "reflect", baseline, **named)
    save_evaluation(tmp_path / "e", scores, truth, coarse, baseline["bicubic"], ensemble, [coarse[:1], truth[:1]])
    write_report(tmp_path / "report.html", [tmp_path / "e"])
    page, outline = (tmp_path / "report.html").read_text(encoding="utf-8"), Outline()
    outline.feed(page)
    for name, unit in zip(*named.values(), strict=True):
        assert sum(str(alt).startswith(f"{name}: ") for alt in outline.alts) == 11, name
        assert f"<b>{name} ({unit}).</b>" in page
    assert len(outline.alts) == 3 * 11 and "Constant" not in page
    drawn = write_samples(tmp_path / "s.nc", ("u", "v"))
    assert [shown.name for shown in collect([drawn]).shown(["u", "v"], ["", ""])] == ["u", "v"]
    write_report(tmp_path / "s.html", [drawn])
    assert (tmp_path / "s.html").read_text().count("<img") == 2


def write_samples(path, names, dims=("member", "y", "x"), **coords):
    rows = np.arange(6.0)[:, None] + np.zeros((2, 6, 4))
    data = xr.Dataset({name: (dims, rows) for name in names}, coords, {"channels": ",".join(names)})
    data.to_netcdf(path, engine="h5netcdf")
    return path


LAT, LON = {"units": "degrees_north"}, {"units": "degrees_east"}


@pytest.mark.parametrize(
    "dims, coords, top",
    [
        (("member", "lat", "lon"), {"lat": ("lat", np.arange(6.0), LAT)}, 5),
        (("member", "lat", "lon"), {"lat": ("lat", -np.arange(6.0), LAT)}, 0),
        (("member", "a", "b"), {"a": ("a", np.arange(6.0), {"axis": "Y"})}, 5),
        (("member", "northing", "easting"), {"northing": np.arange(6.0)}, 5),
        (("member", "y", "x"), {}, 0),
        (("member", "axis_0", "axis_1"), {}, 0),
        (("member", "lat", "lon"), {}, 5),
    ],
)
def test_the_first_row_is_at_the_top_unless_its_coordinate_rises(tmp_path, dims, coords, top):
    field = collect([write_samples(tmp_path / "a.nc", ["t"], dims, **coords)]).samples[0].field
    assert field.shape == (1, 6, 4) and (field[0, 0] == top).all()


def test_north_is_up_and_east_is_right_whatever_the_order_of_the_axes(tmp_path):
    values = np.arange(6.0)[None] + 100 * np.arange(4.0)[:, None]
    coords = {"lon": ("lon", [3.0, 2, 1, 0], LON), "lat": ("lat", np.arange(6.0), LAT)}
    xr.Dataset({"t": (("lon", "lat"), values)}, coords).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    field = collect([tmp_path / "a.nc"]).samples[0].field[0]
    assert field[0].tolist() == [305, 205, 105, 5] and field[-1, -1] == 0


@pytest.mark.integration
def test_an_evaluation_is_drawn_alike_whatever_the_order_of_its_latitudes(tmp_path):
    latitude = np.arange(40.0, 56.0)
    heights = 100 * (latitude[:, None] - 48) + np.random.default_rng(0).standard_normal((16, 16)).cumsum(1)
    coords = {"lat": ("lat", latitude, LAT), "lon": ("lon", np.arange(16.0), LON)}
    field = xr.Dataset({"elevation": (("lat", "lon"), heights, {"units": "m"})}, coords)
    drawn = []
    for name, order in (("rising", field), ("falling", field.isel(lat=slice(None, None, -1)))):
        order.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        options = ["--levels", "1", "--members", "2", "--no-likelihood", "--out", str(tmp_path / name)]
        assert main(["evaluate", "terrain", str(tmp_path / f"{name}.nc"), *options]) == 0
        stored = load_evaluation(tmp_path / name)
        drawn.append(Orientation.from_json(stored.attrs["orientation"]).apply(stored.truth))
        assert stored.scores["about"]["channels"] == ["elevation"] and stored.scores["about"]["units"] == ["m"]
    assert (drawn[0] == drawn[1]).all() and (drawn[0][..., 0, :] > drawn[0][..., -1, :]).all()


def test_a_model_says_where_north_is_in_a_field_without_coordinates(tmp_path):
    path = write_samples(tmp_path / "samples.nc", ["t"], ("member", "lat", "lon"))
    for rising, top in ((True, 5), (False, 0)):
        axes = [{"name": "lat", "rising": rising}, {"name": "lon", "rising": True}]
        identity = {"channels": [], "axes": axes, "boundaries": []}
        config = {"grid": Grid.uniform(2, names=["lat", "lon"]).to_json(), "metadata": {"identity": identity}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert collect([path, tmp_path]).samples[0].field[0, 0, 0] == top


def test_every_file_that_commands_write_can_be_reported(tmp_path):
    times = xr.Variable("time", [0.0, 1.0], {"units": "months since the great flood"})
    dims, values = ("member", "time", "y", "x"), np.random.default_rng(0).standard_normal((2, 2, 6, 4))
    data = xr.Dataset({"t": (dims, values, {"units": "K"})}, {"time": times})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    data.to_zarr(tmp_path / "a.zarr", consolidated=False)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", t=values)
    for name in ("a.nc", "a.zarr", "a.npy", "a.npz"):
        found = collect([tmp_path / name]).samples[0]
        assert (found.field[0] == values[0, 0]).all() and found.field.shape[1:] == (6, 4), name
        write_report(tmp_path / f"{name}.html", [tmp_path / name])


def test_missing_sites_are_grey_and_do_not_hide_the_others(tmp_path):
    values = np.random.default_rng(0).standard_normal((1, 6, 4))
    values[0, :2] = np.nan
    for kind in ("terrain", "relief", "diverging"):
        picture = plots.Look.of(values[None], kind).picture(values)
        assert np.isfinite(picture).all() and np.ptp(picture[:2]) == 0 and np.ptp(picture[2:]) > 0.1
    assert np.isfinite(plots.Look.of(values[None] * np.nan).picture(values * np.nan)).all()


def test_an_existing_report_is_kept_unless_told_otherwise(run, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("mine")
    with pytest.raises(ValueError, match="pass overwrite=True"):
        write_report(out, [run / "model"])
    assert out.read_text() == "mine"
    write_report(out, [run / "model"], overwrite=True)
    assert out.read_text() != "mine"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: [], "something to report on"),
        (lambda p: [p / "nowhere"], "does not exist"),
        (lambda p: [p], "holds no model"),
        (lambda p: [touch(p / "a.nc")], "cannot read .*does not begin like a NetCDF file"),
        (lambda p: [touch(p / "a.png")], "holds no model"),
        (lambda p: [touch(p / "config.json").parent], "is damaged"),
        (lambda p: [touch(p / "config.json", '{"metadata": 5}').parent], "config.json is damaged: the metadata are 5"),
        (lambda p: [touch(p / "config.json", '{"grid": [5]}').parent], "config.json is damaged: an axis of the grid"),
    ],
)
def test_bad_sources_are_one_sentence_and_leave_nothing(tmp_path, make, message):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=message) as error:
        write_report(tmp_path / "report.html", make(tmp_path / "in"))
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def touch(path, text="{"):
    path.write_text(text)
    return path


def test_a_bad_line_in_the_middle_of_a_history_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for line in (b"nonsense", b"\xff\xfe"):
        (tmp_path / "history.jsonl").write_bytes(line + b'\n{"step": 1, "seconds": 1, "loss": 1}\n')
        with pytest.raises(ValueError, match="line 1 of"):
            collect([tmp_path])


def test_a_report_in_a_missing_folder_or_on_a_folder_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="does not exist; create it"):
        write_report(tmp_path / "no" / "report.html", [run / "model"])
    with pytest.raises(ValueError, match="is a folder"):
        write_report(tmp_path, [run / "model"])


@pytest.mark.integration
def test_without_matplotlib_the_remedy_is_named(run, tmp_path, monkeypatch):
    for name in [m for m in sys.modules if m.startswith(("rgdm.plots", "rgdm.report", "rgdm.evaluate"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(rgdm, "plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_report = importlib.import_module("rgdm.report").write_report
    with pytest.raises(ValueError, match=r"pip install 'rgdm\[report\]'"):
        write_report(tmp_path / "report.html", [run / "model"])


@pytest.mark.parametrize(
    "value, error, shown",
    [
        (33.014, 6.56, "33.0 ± 6.6"),
        (107.2, 17.1, "107 ± 17"),
        (0.0, 0.0, "0"),
        (9.1e-7, None, "9.1 × 10⁻⁷"),
        (None, None, "–"),
        (0.9999, 1e-5, "0.99990 ± 0.00001"),
    ],
)
def test_numbers_are_rounded_by_their_errors(value, error, shown):
    assert number(value, error) == shown
