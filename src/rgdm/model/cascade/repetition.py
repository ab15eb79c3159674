"""One lift that serves several levels, as near a fixed point of the renormalization group."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rgdm.errors import InputError


class Repetition(NamedTuple):
    """Which lift of a cascade is repeated, how often, and what the fields grow by at each change of scale.

    ``growth`` begins with the change from ``level`` to the next; its last value also serves all that follow.
    """

    level: int = 0
    times: int = 0
    growth: tuple[float, ...] = (1.0,)

    @classmethod
    def checked(cls, level: int, times: int, growth: Sequence[float], levels: int) -> "Repetition":
        """``ValueError`` if a cascade of so many levels has no such repetition."""
        if not (0 <= level < levels and times >= 0 and growth and all(0 < g < math.inf for g in growth)):
            raise InputError(
                f"repetition of level {level}, {times} times, growth {list(growth)}; a level of 0 to {levels - 1}, how "
                "often, and a positive growth are needed"
            )
        return cls(int(level), int(times), tuple(map(float, growth)))

    @classmethod
    def from_json(cls, values: Sequence[float] | None) -> "Repetition":
        """The repetition that :meth:`to_json` describes."""
        level, times, *growth = values or (0, 0, 1.0)
        return cls(int(level), int(times), tuple(growth))

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
