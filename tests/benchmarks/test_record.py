"""The results: what is written is read again, a verdict takes the error into account, pages follow the data."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import record, render
from benchmarks.record import Figure, Row, Run, history, latest, save
from benchmarks.study import asked_for

RUN = Run(
    "terrain",
    "python -m benchmarks terrain --record",
    "2026-01-02",
    "abc1234",
    "x86_64 CPU, 2 threads",
    [
        Row("CRPS", "peer", {"ratio": Figure(0.7, 0.01, high=0.66), "none": Figure(None)}, "<= .66", "a remark"),
        Row("cost", "s", {"value": Figure(0.0, high=0.0), "n": Figure(64.0, beyond=True)}, stated="met"),
    ],
    seed=0,
)


def test_a_run_that_is_saved_is_read_again_as_it_was(tmp_path: Path):
    assert record.load(save(RUN, tmp_path)) == RUN


def test_runs_of_one_day_are_kept_in_their_order(tmp_path: Path):
    runs = [replace(RUN, commit=commit) for commit in ("zzz", "aaa+", "mmm")]
    for run in runs:
        save(run, tmp_path)
    assert history("terrain", tmp_path) == runs


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (1.0, None, "met"),
        (1.01, None, "missed"),
        (0.9, 0.1, "met"),
        (0.91, 0.1, "undecided"),
        (1.2, 0.1, "undecided"),
        (1.21, 0.1, "missed"),
        (None, None, ""),
    ],
)
def test_a_verdict_asks_for_one_error_to_meet_and_for_two_to_miss(value, error, verdict):
    assert Figure(value, error, high=1.0).verdict == verdict
    assert Figure(value if value is None else -value, error, low=-1.0).verdict == verdict


def test_an_interval_narrower_than_the_error_is_never_met():
    assert Figure(1.0, 0.2, low=0.9, high=1.1).verdict == "undecided"


def test_what_is_beyond_a_value_does_not_meet_an_upper_bound():
    assert Figure(64.0, high=70.0, beyond=True).verdict == "undecided"
    assert Figure(64.0, high=60.0, beyond=True).verdict == "missed"


def test_a_row_is_as_good_as_its_worst_figure_or_as_stated():
    row = RUN.rows[0]
    assert row.verdict == "missed"
    assert replace(row, stated="met").verdict == "met"
    assert Row("t", "w", {"value": Figure(1.0)}).verdict == ""


def test_the_latest_of_each_row_counts_and_a_gpu_does_not_replace_a_cpu():
    again = replace(RUN, rows=[replace(RUN.rows[0], figures={"ratio": Figure(0.5)})])
    gpu = replace(again, device="NVIDIA H100")
    rows = {(row.table, row.what): row for row in latest([RUN, gpu, again])}
    assert rows["CRPS", "peer"].figures == {"ratio": Figure(0.5)}
    assert ("CRPS", "peer, GPU") in rows and ("cost", "s") in rows


def test_what_a_study_no_longer_makes_is_not_shown():
    assert latest([replace(RUN, rows=[replace(RUN.rows[0], retired=True)])]) == []


def test_the_error_is_written_in_units_of_the_last_digit():
    assert record.number(0.6512, 0.0123) == "0.651(12)"
    assert record.number(0.6512, 0.02) == "0.651(20)"
    assert record.number(3966.7, 88.05) == "3967(88)"
    assert record.number(102883.0) == "102883"


def test_the_page_shows_misses_first_and_keeps_to_the_width(tmp_path: Path):
    rows = [Row("t", f"row {i}", {"value": Figure(float(i), high=1.5)}) for i in range(3)]
    rows += [Row("wide", "w" * 200, {f"a long figure {i}": Figure(i / 7, 0.01) for i in range(20)})]
    save(replace(RUN, rows=rows), tmp_path)
    page = render.page(tmp_path)
    assert page.index("row 2") < page.index("row 0")
    assert max(map(len, page.splitlines())) <= render.WIDTH


def test_rendering_twice_changes_nothing_and_a_change_is_noticed(tmp_path: Path):
    results = tmp_path / "results"
    save(replace(RUN, rows=[Row("methods", "rgdm", {"CRPS": Figure(81.4, 6.8)})]), results)
    (tmp_path / "benchmarks").mkdir()
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results:terrain -->\nold\n<!-- /results -->\nafter\n")
    texts = render.pages(tmp_path, results)
    assert len(render.drifted(texts)) == 2
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    assert render.drifted(render.pages(tmp_path, results)) == []
    assert "81.4(68)" in page.read_text() and page.read_text().endswith("after\n")
    page.write_text(page.read_text().replace("81.4(68)", "80.4(68)"))
    assert render.drifted(render.pages(tmp_path, results)) == [page]


def test_a_marker_without_a_table_is_refused():
    with pytest.raises(ValueError, match="no table nothing"):
        render.marked("<!-- results:nothing -->\n<!-- /results -->")


def test_the_pages_of_the_repository_are_what_the_data_say():
    assert render.drifted(render.pages()) == []


def test_a_recorded_command_holds_no_place_of_a_machine():
    words = ["--data", "winds", "--out", "/a/b", "--record", "--results=/c", "--seed", "1", "--results", "/d"]
    assert asked_for(words) == "--data winds --seed 1"
