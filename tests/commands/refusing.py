"""Commands that refuse what they are given."""

from pathlib import Path

from rgdm.cli import main

SMALL = ["--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1", "--evaluations", "3"]


def train(*arguments: object) -> list[object]:
    return ["train", *arguments, "--out", "out", *SMALL, "--steps", "1"]


def sample(model: Path) -> list[object]:
    return ["sample", model, "--lattice", 16, 16, "--out", "out.zarr"]


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr, beside notes, of a command that ends with 2, without a new or changed file."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert main([str(a) for a in arguments]) == 2
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if "|" not in line and line.strip()]  # less progress bars
    lines = [line for line in lines if not line.startswith("rgdm: note: ")]
    assert len(lines) == 1 and lines[0].startswith("rgdm: ") and "Traceback" not in said.err
    assert said.out == ""
    return lines[0]


def says(line: str, *words: str) -> None:
    assert [word for word in words if word not in line] == [], line
