"""Blockings of spins, which have no complementary detail: majority rule and decimation."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError

Blocking = Literal["majority", "decimation", "mean"]


def block_spins(
    x: Float[Tensor, "B 1 *L"],
    rule: Blocking = "majority",
    factor: int = 2,
    ties: Float[Tensor, "B 1 *K"] | None = None,
) -> Float[Tensor, "B 1 *K"]:
    """One coarse value for each block of ``factor`` sites along each axis.

    ``majority`` is the sign of the sum. A tie is decided by the sign of ``ties`` (random numbers on the coarse lattice)
    or, without them, by the first spin of the block, which is unbiased too. ``decimation`` keeps the first site,
    ``mean`` is the block mean.
    """
    if rule not in get_args(Blocking):
        raise InputError(f"unknown blocking {rule!r}; known are {', '.join(get_args(Blocking))}")
    lattice = tuple(x.shape[2:])
    if factor < 2 or any(n % factor for n in lattice):
        raise InputError(f"the lattice {lattice} is not divisible by {factor}; choose another factor, at least 2")
    first = x[(..., *[slice(None, None, factor)] * len(lattice))]
    if rule == "decimation":
        return first
    for axis, n in enumerate(lattice, start=2):
        x = x.unflatten(axis, (n // factor, factor)).mean(axis + 1)
    if rule == "mean":
        return x
    return torch.where(x == 0, (first if ties is None else ties).sign(), x.sign())
