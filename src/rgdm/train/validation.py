"""What the networks make of fields that do not change: the loss of each level, and whether a network still learns."""

import torch
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.laws.law import Example
from rgdm.train.batches import Batch, Batches
from rgdm.train.symmetry import TURNED, Turns
from rgdm.workers import each

BATCHES = 4
"""Batches of each level: so many sites that a per cent of the loss is told from chance."""
TRIES = 8
"""So many times more batches are cut of fields with gaps at most, until there are enough that are not missing."""
ALIVE = 1e-7
"""Least slope of the loss in the weights of a network that learns: of one whose units are silent it is below 1e-15."""


class Validation:
    """The same patches, times and noise whenever it is asked; an untrained network makes the loss of the closed form.

    Args:
        model: whose networks are looked at; its closed-form parts must not change any more.
        fields: normalised, kept back from the training if there are enough.
        turns: how they are turned, as in the training.
        batches: how many of each level.
    """

    def __init__(self, model: Cascade, fields: Tensor | Fields, turns: Turns = TURNED, batches: int = BATCHES) -> None:
        self.model = model
        cut, self.examples = Batches(model, fields, 0, turns), []
        for level in range(model.levels):
            generator = torch.Generator().manual_seed(level)
            self.examples.append(self._examples(cut, level, batches, generator))

    def _examples(
        self, cut: Batches, level: int, count: int, generator: torch.Generator
    ) -> list[tuple[Example, Tensor, Tensor]]:
        """So many, of patches that are not missing as a whole, if such are found."""
        made, spare = [], []
        for _ in range(count * (TRIES if cut.gaps else 1)):
            example = self._example(cut.of_level(level, generator))
            present = example[0].present
            (made if present is None or bool(present.any()) else spare).append(example)
            if len(made) == count:
                break
        return made or spare[:count]

    def _example(self, batch: Batch) -> tuple[Example, Tensor, Tensor]:
        """What is learned from a batch is made once."""
        lift, fine = self.model.own_lift(batch.level), batch.fine
        example = lift.example(fine, batch.halo, batch.importance.to(fine), batch.setting)
        return example, batch.t.to(fine), batch.noise.to(fine)

    @torch.no_grad()
    def __call__(self) -> list[float]:
        """The loss of each level, the finest first."""
        of_all = [(level, example) for level, examples in enumerate(self.examples) for example in examples]
        counts = [len(examples) for examples in self.examples]

        def loss(item: tuple[int, tuple[Example, Tensor, Tensor]]) -> float:
            level, example = item
            return float(self.model.own_lift(level).law.loss(*example).double().mean())

        on_cpu = self.model.device.type == "cpu"  # other devices share no work, nor their autocast
        losses = each(loss, of_all) if on_cpu else [loss(item) for item in of_all]
        return [float(part.mean()) for part in torch.tensor(losses, dtype=torch.float64).split(counts)]

    def slope(self, level: int) -> float:
        """How steep the loss is in the weight matrices of a level: nothing can be learned where it is 0."""
        law = self.model.own_lift(level).law
        matrices = [p for p in law.parameters() if p.dim() > 1]
        if not matrices:
            return float("inf")
        with torch.enable_grad():
            loss = law.loss(*self.examples[level][0]).mean()
            slopes = torch.autograd.grad(loss, matrices, allow_unused=True)
        return float(torch.stack([s.double().square().sum() for s in slopes if s is not None]).sum().sqrt())


def by_level(losses: list[float]) -> dict[str, float]:
    """As a record of the history has them."""
    return {str(level): loss for level, loss in enumerate(losses)}
