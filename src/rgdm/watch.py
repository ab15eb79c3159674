"""How long work tells of its progress."""

from collections.abc import Callable

Watch = Callable[[int, int], None]
"""Called as ``watch(done, total)`` after each piece of work."""
