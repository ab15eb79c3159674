"""Tables of target, measured, pass; and their rows in RESULTS.md."""

import argparse
import datetime
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rgdm.jackknife import jackknife

RESULTS = Path(__file__).with_name("RESULTS.md")


class Row(NamedTuple):
    """One line: what, the target in words, what was measured, and whether that meets it (None: no target)."""

    what: str
    target: str
    measured: str
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else ("yes" if self.met else "NO")


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What every script that records can be told: the device, and whether to record."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--record", action="store_true", help="append the rows to benchmarks/RESULTS.md")
    return parser


def table(rows: Sequence[Row]) -> str:
    """As Markdown that also reads well in a terminal."""
    cells = [("what", "target", "measured", "met"), *((r.what, r.target, r.measured, r.verdict) for r in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def stamp(device: str) -> list[str]:
    """Date, commit, device and command of a run; taken when it starts, for that is the code it runs."""
    return [datetime.date.today().isoformat(), commit(), machine(device), f"`{command()}`"]


def append(rows: Sequence[Row], stamp: Sequence[str]) -> None:
    """Add the rows to RESULTS.md, each with the stamp of its run."""
    with RESULTS.open("a") as file:
        for row in rows:
            cells = [*stamp, row.what, row.target, row.measured, row.verdict]
            file.write("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |\n")


def commit() -> str:
    """The short hash, with a + if the working tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=RESULTS.parent, capture_output=True, text=True).stdout.strip()

    found = git("rev-parse", "--short", "--verify", "--quiet", "HEAD") or "none"
    return found + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def machine(device: str) -> str:
    """What it ran on; the load at the start shows whether other jobs took the cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"


def command() -> str:
    """The command line, with the script by its place in the repository and without ``--out`` (where, not what)."""
    words = re.sub(r"--out[ =]\S+ ?", "", " ".join(sys.argv[1:])).strip()
    return f"python benchmarks/{Path(sys.argv[0]).name} {words}".strip()


def run(main: Callable[[], None]) -> None:
    """What a script does when it is called: what is wrong with its input is one sentence."""
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))


def number(value: float, error: float | None = None, digits: int = 3) -> str:
    """``0.651(12)``: the error in units of the last digit."""
    if error is None or not math.isfinite(error):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def mean(values: Tensor, digits: int = 4) -> str:
    """The mean over fields, with its jackknife error."""
    found = jackknife(lambda m: m, values)
    return number(float(found.value), float(found.error), digits)


def ratio(values: Tensor, reference: Tensor, digits: int = 4) -> str:
    """The ratio of the means over the same fields, with its jackknife error."""
    found = jackknife(lambda a, b: a / b, values, reference)
    return number(float(found.value), float(found.error), digits)
