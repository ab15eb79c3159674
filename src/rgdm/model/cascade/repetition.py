"""One lift that serves several levels, as near a fixed point of the renormalization group."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rgdm.errors import InputError
from rgdm.ranges import check_each, check_range, shown

MOST = 64
"""Changes of scale whose growth is given one by one."""


class Repetition(NamedTuple):
    """Which lift of a cascade is repeated, how often, and what the fields grow by at each change of scale.

    ``growth`` begins with the change from ``level`` to the next; its last value also serves all that follow.
    """

    level: int = 0
    times: int = 0
    growth: tuple[float, ...] = (1.0,)

    @classmethod
    def checked(cls, level: int, times: int, growth: Sequence[float], levels: int) -> "Repetition":
        """``InputError`` if a cascade of so many levels has no such repetition."""
        check_range("times", times, "how often a level is repeated, times")
        check_each("growth", growth := list(growth))
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level < levels:
            raise InputError(f"the repetition of level {shown(level)}; a level of 0 to {levels - 1} is needed")
        if not 0 < len(growth) <= MOST:
            raise InputError(f"{len(growth)} values of growth; one for all changes of scale or up to {MOST} are needed")
        return cls(level, int(times), tuple(map(float, growth)))

    @classmethod
    def from_json(cls, values: Any, levels: int) -> "Repetition":
        """The repetition that :meth:`to_json` describes, of a cascade of so many levels."""
        if values is None:
            return cls()
        if not isinstance(values, list) or len(values) < 3:
            raise InputError(f"repetition = {shown(values)}; level, times and growth are needed")
        return cls.checked(values[0], values[1], values[2:], levels)

    def to_json(self) -> list[float] | None:
        """Level, times and growth in one list; None if nothing is repeated."""
        return [self.level, self.times, *self.growth] if self.times else None

    def lift(self, level: int) -> int:
        """The lift that serves a level of the longer cascade, and the level of the shorter one that is like it."""
        return level if level <= self.level else max(self.level, level - self.times)

    def scale(self, level: int, of: int | None = None) -> float:
        """How much larger the fields of a level are than those of level ``of`` (None: the one that is like it)."""
        first = self.lift(level) if of is None else of
        steps = (min(change - self.level, len(self.growth) - 1) for change in range(first, level))
        return math.prod(self.growth[step] for step in steps)
