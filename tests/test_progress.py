"""Progress: a bar on a terminal, and in a log a line now and then."""

import io
import sys

import pytest

from rgdm import progress
from rgdm.train import Budget, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time, which goes on only as it is told to."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(stream) -> list[str]:
    return stream.getvalue().splitlines()


def watched(stream, monkeypatch, clock, seconds: int) -> list[str]:
    """What is said of so many steps of one second."""
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar("sampling", seconds) as show:
        for step in range(seconds):
            clock[0] += 1
            show(step + 1, seconds)
    return lines(stream)


def test_a_log_gets_a_line_every_half_minute_with_the_time_left(monkeypatch, clock):
    said = watched(io.StringIO(), monkeypatch, clock, 100)
    assert said == ["sampling: 30%, 1:10 left", "sampling: 60%, 0:40 left", "sampling: 90%, 0:10 left"]


def test_what_takes_seconds_says_nothing_in_a_log(monkeypatch, clock):
    assert watched(io.StringIO(), monkeypatch, clock, 29) == []


def test_a_terminal_gets_a_bar(monkeypatch, clock):
    assert "sampling: 100%|" in watched(Terminal(), monkeypatch, clock, 10)[-1]


def test_a_process_that_is_not_the_first_says_nothing(monkeypatch, clock):
    monkeypatch.setenv("RANK", "1")
    assert watched(io.StringIO(), monkeypatch, clock, 100) == watched(Terminal(), monkeypatch, clock, 100) == []


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_a_training_says_step_loss_and_time_left(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.training_bar(Budget(steps=100)) as show:
        for step in range(1, 101):
            clock[0] += 60
            show(Progress(step, step / 100, 60.0 * step, 60.0 * (100 - step), 0.5))
    said = stream.getvalue()
    assert "step 10," in said and "loss 0.500" in said and "1:30:00 left" in said
    assert ("training: 10%, 1:30:00 left, step 10, loss 0.500" in said) == (not stream.isatty())
