"""What a user is told on the way: notes on stderr, in a command each once, and options by the names that are known."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_said: set[str] | None = None
"""The notes of the command that runs; None where none does."""


@contextmanager
def command_line() -> Iterator[None]:
    """Within it each note is said once, however many files it holds for, and options are those that are typed."""
    global _said
    before, _said = _said, set()
    try:
        yield
    finally:
        _said = before


def say(notes: Sequence[str]) -> None:
    """Notes on stderr, a line each."""
    for each in notes:
        if _said is None or each not in _said:
            print(f"rgdm: note: {each}", file=sys.stderr)
        if _said is not None:
            _said.add(each)


def option(typed: str, written: str | None = None) -> str:
    """What sets something: as it is ``typed`` on the command line, or ``written`` in Python, where it is an argument.

    By default ``--fill`` is ``fill=True``, ``--no-shared`` is ``shared=False``, ``--levels 2`` is ``levels=2``.
    """
    if _said is not None:
        return typed
    if written is not None:
        return written
    name, _, value = typed.removeprefix("--").partition(" ")
    name = name.replace("-", "_")
    if value:
        return f"{name}={value if value.isdigit() else repr(value)}"
    return f"{name.removeprefix('no_')}={not name.startswith('no_')}"
