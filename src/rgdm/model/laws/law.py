"""Laws: how the standardized detail z is distributed, given the features of its context."""

import abc
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.laws.likelihood import LogProb, Tracing, normal_log_prob
from rgdm.model.samplers.sampler import Draw, Sampler


class Example(NamedTuple):
    """What a law learns from: true coordinates, the features of their context, and how much each site counts."""

    z: Tensor
    condition: Tensor
    importance: Tensor | None
    """``(B, 1 or D, *K)``, on average over the data 1; None: all sites count alike."""
    field: Callable[[Tensor], Tensor]
    """z to a fine field without coarse part, in units of the local amplitude."""
    present: Tensor | None = None
    """1 for every coordinate that there is, else 0, ``(B, D, *K)``; None: all of them are."""


class Law(nn.Module, abc.ABC):
    """``p(z | features)``. z has the shape ``(B, D, *K)``, features ``(B, F, *K)`` or None."""

    draws: int = 1
    """How many unit noises of the shape of z one training example takes, side by side in the channels."""

    @abc.abstractmethod
    def sample(
        self,
        noise: Float[Tensor, "B D *K"],
        condition: Tensor | None,
        sampler: Sampler | None,
        draw: Draw | None,
        present: Tensor | None = None,
    ) -> Float[Tensor, "B D *K"]:
        """z from noise, differentiable; a stochastic sampler takes more from ``draw``.

        Where there are coordinates that are not ``present``, ``(B, D, *K)``, the others do not depend on them.
        """

    @abc.abstractmethod
    def loss(self, example: Example, t: Float[Tensor, " B"], noise: Tensor) -> Float[Tensor, " B"]:
        """What training brings down, one value a sample; 1 or 0 for a law that is white noise, as the law says."""

    @abc.abstractmethod
    def log_prob(
        self, z: Float[Tensor, "B D *K"], condition: Tensor | None, temperature: float | Tensor, tracing: Tracing
    ) -> LogProb:
        """log p(z | features) in nats, where sampling starts from noise of this temperature, or of these, ``(D,)``."""

    @abc.abstractmethod
    def reach(self, evaluations: int) -> tuple[int, int] | None:
        """How many coarse sites away a sample looks at its noise, and at the features; None: everywhere."""

    @property
    def halo(self) -> int | None:
        """How many coarse sites away one pass of its network looks, if it has one; None: everywhere."""
        return 0


class WhiteNoise(Law):
    """z is unit white noise, whatever the context: the closed-form limit of every other law, and nothing to train."""

    def sample(
        self,
        noise: Float[Tensor, "B D *K"],
        condition: Tensor | None,
        sampler: Sampler | None,
        draw: Draw | None,
        present: Tensor | None = None,
    ) -> Float[Tensor, "B D *K"]:
        return noise

    def loss(self, example: Example, t: Float[Tensor, " B"], noise: Tensor) -> Float[Tensor, " B"]:
        """``-log p(z)`` per degree of freedom in nats, less that of unit white noise."""
        density = (example.z.square() - 1) / 2
        density = density if example.importance is None else example.importance * density
        return density.flatten(1).mean(1)

    def log_prob(
        self, z: Float[Tensor, "B D *K"], condition: Tensor | None, temperature: float | Tensor, tracing: Tracing
    ) -> LogProb:
        return normal_log_prob(z, temperature)

    def reach(self, evaluations: int) -> tuple[int, int] | None:
        return 0, 0
