"""Progress with the time that is left: a bar on a terminal, now and then a line where the output is kept."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from rgdm.model.cascade.cascade import Watch
from rgdm.train import Budget, Progress

LINE_SECONDS = 30.0
"""Least time between two lines of a log."""


def quiet() -> bool:
    """Whether this is one of several processes, and not the first: that one alone shows its progress."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def bar(label: str, total: int) -> Iterator[Watch]:
    """Progress with the time left, as a function ``(done, total)``."""
    if not sys.stderr.isatty():
        began, log = time.monotonic(), _log(label)

        def say(done: int, total: int) -> None:
            fraction = done / max(1, total)
            log(fraction, (time.monotonic() - began) * (1 / fraction - 1) if fraction else None)

        yield say
        return
    with tqdm(total=total, desc=f"{label:>12}", file=sys.stderr, leave=True, disable=quiet()) as line:

        def show(done: int, total: int) -> None:
            line.total = total
            line.update(done - line.n)

        yield show


@contextmanager
def training_bar(budget: Budget) -> Iterator[Callable[[Progress], None]]:
    """Progress as the share of the budget, with loss and time left."""
    if not sys.stderr.isatty():
        log, recent = _log("training"), []

        def say(now: Progress) -> None:
            log(now.fraction, now.left, f"step {now.step}, loss {_mean(recent, now.loss):.3f}")

        yield say
        return
    form = "{desc}: {percentage:3.0f}%|{bar}| {postfix}"
    with tqdm(total=1.0, desc=f"{'training':>12}", file=sys.stderr, bar_format=form, disable=quiet()) as line:
        losses: list[float] = []
        last = [0.0]

        def show(now: Progress) -> None:
            loss = _mean(losses, now.loss)
            if time.monotonic() - last[0] > 0.5 or now.fraction >= 1:
                last[0] = time.monotonic()
                line.set_postfix_str(f"step {now.step}, loss {loss:.3f}, {_clock(now.left)} left", refresh=False)
                line.n = now.fraction
                line.refresh()

        yield show


def _log(label: str) -> Callable[..., None]:
    """A line ``label: 40 %, 2:10 left, more`` on stderr, at most every :data:`LINE_SECONDS`."""
    last = [time.monotonic()]

    def say(fraction: float, left: float | None, more: str = "") -> None:
        now = time.monotonic()
        if now - last[0] < LINE_SECONDS or quiet():
            return
        last[0] = now
        parts = [f"{fraction:.0%}", *([] if left is None else [f"{_clock(left)} left"]), *([more] if more else [])]
        print(f"{label}: {', '.join(parts)}", file=sys.stderr, flush=True)

    return say


def _mean(losses: list[float], loss: float, most: int = 50) -> float:
    """The mean of the last losses, this one included."""
    losses.append(loss)
    del losses[:-most]
    return sum(losses) / len(losses)


def _clock(seconds: float) -> str:
    """``1:02:03``, ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
