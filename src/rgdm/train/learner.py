"""The networks of a cascade as they are trained: which levels each serves, its best weights, its rate."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade

MOST_RESTARTS = 4
"""A network that fails more often is given up."""
LEAST_EXPLOSION = 0.5
"""A loss that exceeds that of the closed form by so much, and by as much again as that is, has exploded."""


@dataclass
class Learner:
    """One network: what it serves, and how it does."""

    levels: tuple[int, ...]
    weights: Mapping[str, Tensor]
    """Its parameters by name."""
    kept: dict[str, Tensor]
    """Averages of its weights when they were last good; with fields to choose by, when they were best."""
    closed_form: float = math.inf
    """The loss that it began with."""
    best: float = math.inf
    """The loss of these."""
    step: int = 0
    """When that was."""
    rate: float = 1.0
    """Of the learning rate; halved whenever the network failed."""
    restarts: int = 0
    failures: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: Cascade) -> list["Learner"]:
        """The networks of a model: one that is shared serves all levels."""
        named = {id(p): name for name, p in model.named_parameters()}
        learners: dict[int, Learner] = {}
        for level in range(model.levels):
            law = model.own_lift(level).law
            if id(law) in learners:
                learners[id(law)].levels += (level,)
                continue
            backbone = {named[id(p)]: p for p in law.parameters()}
            same = [known for known in learners.values() if set(known.weights) == set(backbone)]
            if same:
                same[0].levels += (level,)
            else:
                kept = {name: p.detach().clone() for name, p in backbone.items()}
                learners[id(law)] = cls((level,), backbone, kept)
        return list(learners.values())

    @property
    def name(self) -> str:
        """Of the levels, in words."""
        return f"level{'s' * (len(self.levels) > 1)} {', '.join(map(str, self.levels))}"

    def begin(self, average: dict[str, Tensor], loss: float) -> None:
        """Untrained, it leaves what has a closed form alone."""
        self.closed_form = loss
        self.keep(average, loss, 0)

    def exploded(self, loss: float, recent: Mapping[str, float]) -> bool:
        """Whether the loss, and those of its levels on what it is trained on, are far above where it began.

        What learns by heart has a large loss only on fields that it is not trained on; of few batches chance has.
        """
        mine = [recent[str(level)] for level in self.levels if str(level) in recent]
        far = self.closed_form + max(abs(self.closed_form), LEAST_EXPLOSION)
        return bool(mine) and min(loss, sum(mine) / len(mine)) > far

    def keep(self, average: dict[str, Tensor], loss: float, step: int) -> None:
        """Remember these weights."""
        self.best, self.step = loss, step
        for name, tensor in self.kept.items():
            tensor.copy_(average[name])

    @torch.no_grad()
    def restart(self, average: dict[str, Tensor], optimizer: torch.optim.Optimizer, reason: str) -> None:
        """Go back to the weights that were kept, at half the rate."""
        self.rate, self.restarts = self.rate / 2, self.restarts + 1
        self.failures.append(reason)
        for name, p in self.weights.items():
            p.copy_(self.kept[name])
            average[name].copy_(self.kept[name])
            for moment in optimizer.state[p].values():
                moment.zero_()

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to know beside the tensors."""
        known = {"best": self.best, "closed_form": self.closed_form}
        finite = {name: value if math.isfinite(value) else None for name, value in known.items()}
        return {**finite, "step": self.step, "rate": self.rate, "failures": self.failures}

    def load(self, state: dict[str, Any]) -> None:
        """Of a checkpoint."""
        self.best, self.closed_form = (
            math.inf if state[name] is None else float(state[name]) for name in ("best", "closed_form")
        )
        self.step, self.rate, self.failures = int(state["step"]), float(state["rate"]), list(state["failures"])
        self.restarts = len(self.failures)


@contextmanager
def exchanged(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Let weights have other values for a while."""
    now = {name: p.detach().clone() for name, p in weights.items()}
    try:
        _put(weights, others)
        yield
    finally:
        _put(weights, now)


@torch.no_grad()
def _put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, p in weights.items():
        p.copy_(values[name])
