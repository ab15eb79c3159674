"""What every network inside a denoiser is: a condition encoded once, a noisy state looked at often."""

import abc

from jaxtyping import Float
from torch import Tensor, nn

LEAK = 0.1
"""Of the activation before the last layer, where nothing is normalised there. Without it the quickest gain at a high
learning rate is to silence all units, for good: nothing is learned where ``silu`` and ``gelu`` are flat."""


class Backbone(nn.Module, abc.ABC):
    """A network ``(x_t, t, features) -> rest`` with a separate, time-independent encoder.

    ``encode`` turns a condition into features once a level; ``forward`` is what each
    evaluation of a sampler costs.
    """

    channels: int
    """Of the noisy state, and of what is returned."""

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        """Features of the condition; the condition itself unless a backbone says otherwise."""
        return condition

    @abc.abstractmethod
    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        """What the linear-Gaussian estimate leaves open, at unit scale."""

    def reach(self) -> tuple[int, int] | None:
        """How many sites away one pass of the encoder looks, and one of ``forward``; None: everywhere."""
        return None
