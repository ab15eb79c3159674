"""Results as data: one JSON file a run, ``results/<study>/<date>-<number>-<commit>.json``.

A run holds its command, date, commit, device and seed, and its rows. A row says what was measured (``table`` and
``what``) and holds named figures: value, standard error, and the bounds of the target if there is one.

*Verdict* of a figure with bounds: ``met`` if value ± one standard error lies within them; ``missed`` if value ± two
standard errors lies outside; ``undecided`` otherwise. Without an error the value alone decides. A row is as good as
its worst figure. Targets that no bounds express (which of two is smaller) state their verdict.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).with_name("results")
Verdict = Literal["missed", "undecided", "met", ""]
VERDICTS: tuple[Verdict, ...] = ("missed", "undecided", "met", "")
"""The worst first; none without a target."""


@dataclass(frozen=True)
class Figure:
    """A number, its standard error, and the bounds of its target. ``beyond``: it is larger than ``value``."""

    value: float | None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    beyond: bool = False

    @property
    def verdict(self) -> Verdict:
        if self.value is None or (self.low is None and self.high is None):
            return ""
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        value, error = self.value, self.error or 0.0
        if low <= value - error and (math.inf if self.beyond else value + error) <= high:
            return "met"
        return "missed" if value + 2 * error < low or value - 2 * error > high else "undecided"

    def __str__(self) -> str:
        """``0.651(12)``: the error in units of the last digit."""
        return ("> " if self.beyond else "") + number(self.value, self.error)

    @property
    def target(self) -> str:
        """The bounds in words."""
        if self.low is not None and self.high is not None:
            return f"± {self.high:.3g}" if self.low == -self.high else f"{self.low:.4g} .. {self.high:.4g}"
        return f">= {self.low:.4g}" if self.low is not None else f"<= {self.high:.4g}" if self.high is not None else ""


@dataclass(frozen=True)
class Row:
    """One measurement: figures by name, a target in words, a remark; ``retired``: today's study does not make it."""

    table: str
    what: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    target: str = ""
    text: str = ""
    stated: Verdict = ""
    retired: bool = False

    @property
    def verdict(self) -> Verdict:
        """The stated one, or that of the worst figure."""
        return self.stated or worst(figure.verdict for figure in self.figures.values())


@dataclass(frozen=True)
class Run:
    """What one call of a study measured, and where."""

    study: str
    command: str
    date: str
    commit: str
    device: str
    rows: Sequence[Row]
    seed: int | None = None

    @property
    def machine(self) -> Literal["CPU", "GPU"]:
        """Figures of a CPU do not replace those of a GPU."""
        return "CPU" if "CPU" in self.device else "GPU"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return VERDICTS[min(map(VERDICTS.index, verdicts), default=-1)]


def number(value: float | None, error: float | None = None) -> str:
    """``0.651(12)``: the error to two digits; without an error four digits."""
    if value is None or not math.isfinite(value):
        return ""
    if not error or not math.isfinite(error):
        if value == round(value) and abs(value) < 1e9:
            return f"{value:.0f}"
        return f"{value:.4f}".rstrip("0").rstrip(".") if 0.1 <= abs(value) < 10 else f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 8:
        return f"{value:.3g} ± {error:.1g}"
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def save(run: Run, results: Path = RESULTS) -> Path:
    """The run as a new file, a row a line; written beside it first, so that it is whole or absent."""
    folder = results / run.study
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.date}-{len(list(folder.glob(f'{run.date}-*.json'))):02}-{run.commit.rstrip('+')}.json"
    head = {key: value for key, value in asdict(run).items() if key != "rows"}
    lines = ",\n  ".join(json.dumps(slim(asdict(row)), ensure_ascii=False) for row in run.rows)
    text = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    part = path.with_suffix(".part")
    part.write_text(f'{text},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    part.replace(path)
    return path


def load(path: Path) -> Run:
    """A run from its file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        Row(**row | {"figures": {k: Figure(**f) for k, f in row.get("figures", {}).items()}}) for row in data["rows"]
    ]
    return Run(**data | {"rows": rows})


def history(study: str, results: Path = RESULTS) -> list[Run]:
    """All runs of a study, the oldest first."""
    return [load(path) for path in sorted((results / study).glob("*.json"))]


def merged(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Rows of one table and one name as one row, with the figures of all."""
    together: dict[tuple[str, str], Row] = {}
    for row in rows:
        first = together.get((row.table, row.what))
        if first:
            words = {key: "; ".join(dict.fromkeys(filter(None, (getattr(first, key), getattr(row, key)))))
                     for key in ("target", "text")}  # fmt: skip
            stated = worst((first.stated, row.stated))
            row = replace(row, figures={**first.figures, **row.figures}, stated=stated, **words)
        together[row.table, row.what] = row
    return together


def latest(runs: Iterable[Run]) -> list[Row]:
    """The newest of each row; that of a GPU has a name of its own."""
    newest: dict[tuple[str, str, str], Row] = {}
    for run in runs:
        for (table, what), row in merged(run.rows).items():
            name = what if run.machine == "CPU" else f"{what}, GPU"
            newest[table, what, run.machine] = replace(row, what=name)
    return [row for row in newest.values() if not row.retired]


def slim(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty; a figure that is not finite has no value."""
    kept = {}
    for key, value in data.items():
        value = slim(value) if isinstance(value, dict) else value
        value = None if isinstance(value, float) and not math.isfinite(value) else value
        if key == "value" or not (value is None or value is False or value in ("", {})):
            kept[key] = value
    return kept
