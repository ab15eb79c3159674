"""Pages made of the results: ``RESULTS.md``, and tables between markers of the README and the docs.

    python -m benchmarks render            # write what has changed
    python -m benchmarks render --check    # write nothing; exit code 1 if a page is not what the data say

A page takes the table ``NAME`` of ``excerpts.py`` by two lines, ``<!-- results:NAME -->`` and ``<!-- /results -->``.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import catalogue, record
from benchmarks.excerpts import EXCERPTS, Excerpt
from benchmarks.record import VERDICTS, Row
from rgdm.errors import InputError

ROOT = Path(__file__).parents[1]
WIDTH, NAME, SCREEN = 120, 56, 44
"""Characters of a line and of a row's name, and rows of a study that the page shows."""
INTRO = """# Results

Written by `python -m benchmarks render` from the runs in [`results`](results): the latest figures of each study, misses
first. `0.651(12)` is a value and its standard error in units of the last digits. A figure is *met* if value ± one
error lies within its target, *missed* if value ± two errors lies outside, *undecided* otherwise; a row is as good as
its worst figure, and a missed figure is bold. Rows of a GPU say so, all others are of CPU cores. What was asked, and of
which data, is said in the header of each study; its folder holds every run, with command, commit and device.
"""
MARKED = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The worst verdict first."""
    return sorted(rows, key=lambda row: VERDICTS.index(row.verdict))


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in (head, rule, *lines))


def table(title: str, rows: Sequence[Row]) -> str:
    """One line a row: its figures, target and verdict; the last figures are left out where a line gets too long."""
    fullest = sorted(rows, key=lambda row: -len(row.figures))
    columns = list(dict.fromkeys(name for row in fullest for name in row.figures))
    bounded = {name for row in rows for name, figure in row.figures.items() if figure.target}
    judged = any(row.verdict for row in rows)
    while True:
        head = [title, *("" if c == "value" else c for c in columns), *(["target", ""] if judged else [])]
        lines = [[short(row.what), *cells(row, columns), *(verdict(row) if judged else [])] for row in rows]
        text = markdown(head, lines)
        if len(columns) < 2 or max(map(len, text.splitlines())) <= WIDTH:
            return text
        free = [name for name in columns if name not in bounded]
        columns.remove((free or columns)[-1])


def cells(row: Row, columns: Sequence[str]) -> list[str]:
    texts = []
    for name in columns:
        figure = row.figures.get(name)
        text = "" if figure is None else str(figure)
        texts.append(f"**{text}**" if figure and figure.verdict == "missed" else text)
    return texts


def verdict(row: Row) -> list[str]:
    bounds = dict.fromkeys(figure.target for figure in row.figures.values() if figure.target)
    target = row.target if 0 < len(row.target) <= 36 else "; ".join(bounds)
    return [target, "**missed**" if row.verdict == "missed" else row.verdict]


def short(what: str) -> str:
    return what if len(what) <= NAME else what[: NAME - 1] + "…"


def study(name: str, rows: Sequence[Row], results: Path) -> str:
    """One screen: tables with a miss first; what there is no room for is in the data."""
    tables: dict[str, list[Row]] = {}
    for row in ranked(rows):
        if row.figures:
            tables.setdefault(row.table, []).append(row)
    left, texts = SCREEN, []
    for title, those in tables.items():
        if left > 0:
            texts.append(table(title, those[:left]))
        left -= len(those)
    runs = len(list((results / name).glob("*.json")))
    more = f" {-left} rows more are there." if left < 0 else ""
    past = f"[history of {runs} run{'s' * (runs > 1)}](results/{name})"
    about = f"{catalogue.question(name)}\n`python -m benchmarks {name}` · {past}.{more}"
    return "\n\n".join([f"## {name}", about, *texts])


def page(results: Path = record.RESULTS) -> str:
    """``RESULTS.md``."""
    names = [name for name in catalogue.STUDIES if (results / name).is_dir()]
    rows = {name: record.latest(record.history(name, results)) for name in names}
    lines = []
    for name in names:
        counts = Counter(row.verdict for row in rows[name])
        last = record.history(name, results)[-1]
        lines.append([f"[{name}](#{name})", *(str(counts[v] or "") for v in VERDICTS), f"{last.date}, {last.commit}"])
    head = ["study", "missed", "undecided", "met", "no target", "last run"]
    return "\n\n".join([INTRO.strip(), markdown(head, lines), *(study(n, rows[n], results) for n in names)]) + "\n"


def excerpt(asked: Excerpt, results: Path = record.RESULTS) -> str:
    """The table of a page: rows and columns by name; all of the study's table where none are named."""
    known: Mapping[tuple[str, str], Row] = {
        (row.table, row.what): row for row in record.latest(record.history(asked.study, results))
    }
    inside = [row for (title, _), row in known.items() if title == asked.table]
    rows = asked.rows or {row.what: row.what for row in inside}
    columns = asked.columns or {name: name for row in inside for name in row.figures}
    lines = []
    for label, what in rows.items():
        line = [label]
        for place in columns.values():
            title, name = place if isinstance(place, tuple) else (asked.table, place)
            row = known.get((title, what))
            line.append(str(row.figures[name]) if row and name in row.figures else "")
        lines.append([f"**{cell}**" if cell and what == asked.bold else cell for cell in line])
    return markdown([asked.title, *columns], lines)


def marked(text: str, results: Path = record.RESULTS) -> str:
    """A page with the tables between its markers made anew."""

    def table_of(match: re.Match[str]) -> str:
        if match[2] not in EXCERPTS:
            raise InputError(f"there is no table {match[2]} in benchmarks/excerpts.py; there are {', '.join(EXCERPTS)}")
        return f"{match[1]}\n{excerpt(EXCERPTS[match[2]], results)}\n\n{match[3]}"

    return MARKED.sub(table_of, text)


def pages(root: Path = ROOT, results: Path = record.RESULTS) -> dict[Path, str]:
    """Every page and what it should hold."""
    texts = {root / "benchmarks" / "RESULTS.md": page(results)}
    for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        if path.is_file():
            texts[path] = marked(path.read_text(encoding="utf-8"), results)
    return texts


def drifted(texts: Mapping[Path, str]) -> list[Path]:
    """The pages that are not what they should be."""
    return [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page has drifted")
    check, texts = parser.parse_args(arguments).check, pages()
    for path in drifted(texts):
        if not check:
            path.write_text(texts[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)} {'is not what the data say' if check else 'written'}")
    if check and drifted(texts):
        sys.exit("run `python -m benchmarks render`")
