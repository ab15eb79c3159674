"""Progress bars with the time that is left."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from rgdm.model.cascade.cascade import Watch
from rgdm.train import Budget, Progress


def quiet() -> bool:
    """Whether this is one of several processes, and not the first: that one alone shows its progress."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def bar(label: str, total: int) -> Iterator[Watch]:
    """A progress bar with the time left, as a function ``(done, total)``."""
    with tqdm(total=total, desc=f"{label:>12}", file=sys.stderr, leave=True, disable=quiet()) as line:

        def show(done: int, total: int) -> None:
            line.total = total
            line.update(done - line.n)

        yield show


@contextmanager
def training_bar(budget: Budget) -> Iterator[Callable[[Progress], None]]:
    """A progress bar of the share of the budget, with loss and time left."""
    form = "{desc}: {percentage:3.0f}%|{bar}| {postfix}"
    with tqdm(total=1.0, desc=f"{'training':>12}", file=sys.stderr, bar_format=form, disable=quiet()) as line:
        losses: list[float] = []
        last = [0.0]

        def show(now: Progress) -> None:
            losses.append(now.loss)
            if time.monotonic() - last[0] > 0.5 or now.fraction >= 1:
                last[0] = time.monotonic()
                del losses[:-50]
                minutes, seconds = divmod(round(now.left), 60)
                loss = sum(losses) / len(losses)
                line.set_postfix_str(f"step {now.step}, loss {loss:.3f}, {minutes}:{seconds:02d} left", refresh=False)
                line.n = now.fraction
                line.refresh()

        yield show
