"""How long to train, and how far a training is."""

import math
from dataclasses import dataclass

from rgdm.errors import InputError


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, or a time from which the learning rate is paced."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise InputError("give a budget of either steps or minutes, one of them")
        size = self.minutes if self.steps is None else self.steps
        if size is None or not 0 < size < math.inf:
            unit = "minutes" if self.steps is None else "steps"
            raise InputError(f"a budget of {size} {unit} is no training; it must be positive")

    def spent(self, step: int, seconds: float) -> float:
        """The fraction that is used up."""
        return step / self.steps if self.steps else seconds / (60 * (self.minutes or 1))


@dataclass(frozen=True)
class Progress:
    """What a watcher of the training is told after every step."""

    step: int
    fraction: float
    seconds: float
    left: float
    loss: float
