"""What every study is called with, and what becomes of its rows: printed as they come, recorded at the end."""

import argparse
import datetime
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from benchmarks.record import Row, Run
from benchmarks.render import ranked, table
from rgdm.errors import InputError

Measure = Callable[[argparse.Namespace], Iterable[Row]]
Option = tuple[Any, str] | tuple[Any, str, Sequence[Any]]
"""Default, help, and the choices if there are such."""


def parser(about: str | None, **options: Option) -> argparse.ArgumentParser:
    """An option has the type of its default: False is a flag, a tuple takes several values, None a text."""
    command = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, words, *choices) in options.items():
        how: dict[str, Any] = {"default": default, "help": f"{words} (default: {default})" if words else str(default)}
        if default is False:
            how["action"] = "store_true"
        else:
            several = isinstance(default, tuple)
            first = default[0] if several and default else default
            how |= {"nargs": "+"} if several else {}
            how |= {"type": str if first is None else type(first)}
            how |= {"choices": choices[0]} if choices else {}
        command.add_argument(f"--{name.replace('_', '-')}", **how)
    return command


def study(about: str | None, measure: Measure, arguments: Sequence[str], **options: Option) -> None:
    """Call ``measure`` with the options asked for, besides those that all studies have, and keep its rows."""
    name = measure.__module__.rpartition(".")[2]
    common: dict[str, Option] = {
        "device": ("cpu", "", ["cpu", "cuda"]),
        "seed": (0, ""),
        "out": (Path("runs") / name, "where models, pictures and what else is made goes"),
        "record": (False, "keep the rows in --results"),
        "results": (record.RESULTS, "the folder of all results"),
    }
    asked = parser(about, **options | common).parse_args(arguments)
    if asked.record and getattr(asked, "quick", False):
        raise InputError("--quick says whether everything runs and judges nothing; leave --record out")
    asked.out.mkdir(parents=True, exist_ok=True)
    head = {"date": datetime.date.today().isoformat(), "commit": commit(), "device": machine(asked.device)}
    rows: list[Row] = []
    for row in measure(asked):
        rows.append(row)
        if len(rows) > 1 and rows[-2].table != row.table:
            show(rows[:-1])
    show(rows)
    if asked.record:
        run = Run(
            name, f"python -m benchmarks {name} {asked_for(arguments)}".strip(), rows=rows, seed=asked.seed, **head
        )
        print(record.save(run, asked.results))


def asked_for(arguments: Sequence[str]) -> str:
    """What makes the figures: not whether they are kept, nor where, which is a matter of one machine."""
    kept, place = [], False
    for word in arguments:
        if place or word in ("--out", "--results"):
            place = not place
        elif word != "--record" and not word.startswith(("--out=", "--results=")):
            kept.append(word)
    return " ".join(kept)


def show(rows: Sequence[Row]) -> None:
    """The rows of the last table."""
    if rows:
        last = [row for row in rows if row.table == rows[-1].table]
        print(f"\n{table(last[0].table, ranked(last))}", *(r.text for r in last if r.text), sep="\n", flush=True)


def commit() -> str:
    """The short hash, with a + if the working tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()

    head = git("rev-parse", "--short", "--verify", "--quiet", "HEAD") or "none"
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def machine(device: str) -> str:
    """What it ran on; the load at the start shows whether other jobs took the cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
