"""The gradient of a batch, from parts that one thread each computes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from rgdm.model.cascade.cascade import Cascade
from rgdm.train.batches import Batch
from rgdm.workers import each

PARTS = 2
"""Parts of a batch on a CPU, whatever the number of threads, so that sums have one order; more are too small to pay."""


def loss_and_gradient(
    model: Cascade, batch: Batch, weights: Sequence[Tensor], autocast: Callable[[], AbstractContextManager[object]]
) -> tuple[float, list[Tensor | None]]:
    """The mean loss of a batch and its gradient in each of the weights; None in those that it does not depend on.

    Args:
        model: whose loss it is.
        batch: its patches are shared out among the threads; other devices take all at a time.
        weights: in which the gradient is taken.
        autocast: the arithmetic of the networks; gradients keep the type of their weights.
    """
    count = len(batch.fine)
    parts = min(PARTS, count) if batch.fine.device.type == "cpu" else 1
    bounds = [count * i // parts for i in range(parts + 1)]

    def part(i: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        some = batch.part(slice(bounds[i], bounds[i + 1]))
        fine = some.fine
        with autocast():
            known = some.t.to(fine), some.noise.to(fine), some.halo, some.importance.to(fine), some.setting
            each_loss = model(fine, some.level, *known)
        loss = each_loss.sum() / count
        return loss.detach(), torch.autograd.grad(loss, tuple(weights), allow_unused=True)

    losses, gradients = zip(*each(part, range(parts)), strict=True)
    return float(torch.stack(losses).sum()), [_sum(of_weight) for of_weight in zip(*gradients, strict=True)]


def shared(slopes: list[Tensor | None], accelerator: Accelerator) -> list[Tensor | None]:
    """Gradients as their mean over all processes, which have the same level."""
    there = [slope for slope in slopes if slope is not None]
    if accelerator.num_processes == 1 or not there:
        return slopes
    mean: Any = accelerator.reduce(torch.cat([slope.flatten() for slope in there]), "mean")
    parts = iter(mean.split([slope.numel() for slope in there]))
    return [None if slope is None else next(parts).view_as(slope) for slope in slopes]


def _sum(terms: Sequence[Tensor | None]) -> Tensor | None:
    there = [term for term in terms if term is not None]
    if not there:
        return None
    total = there[0].clone(memory_format=torch.contiguous_format)  # as weights lie, which fused optimizers rely on
    for term in there[1:]:
        total.add_(term)
    return total
