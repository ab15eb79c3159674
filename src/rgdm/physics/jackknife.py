"""Errors of what is computed from means over configurations: the blocked jackknife."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BLOCKS = 50
"""Blocks of consecutive configurations."""


def block_means(values: Float[Tensor, "B *Q"], blocks: int = BLOCKS) -> Float[Tensor, "K *Q"]:
    """Means over all configurations but those of one block, for each block in turn."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} configurations; an error estimate needs at least 2")
    parts, total = values.tensor_split(min(blocks, len(values))), values.sum(0)
    return torch.stack([(total - part.sum(0)) / (len(values) - len(part)) for part in parts])


def jackknife(
    f: Callable[[Tensor], Tensor], values: Float[Tensor, "B *Q"], blocks: int = BLOCKS
) -> tuple[Tensor, Tensor]:
    """``f`` of the means, and its standard error: f is computed anew without each block."""
    made = torch.stack([f(mean) for mean in block_means(values, blocks)])
    return f(values.mean(0)), made.var(0, correction=0).mul(len(made) - 1).sqrt()
