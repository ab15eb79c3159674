"""Learned laws of one site given the values around it: mixtures of Gaussians, and spins."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.physics.actions import Ising, Phi4

COMPONENTS = 6
DEEPEST, WIDEST = -6.0, 3.0
"""Bounds of the log deviations of a mixture, in the units of the values."""


class MixtureLaw(nn.Module):
    """A mixture of Gaussians of C values given M others (Bishop 1994: mixture density networks).

    Args:
        inputs: M, the values given.
        channels: C, the values drawn together.
        symmetric: ``p(-x | -given) = p(x | given)``, by a mirror image of every component.
    """

    def __init__(self, inputs: int, channels: int, width: int, symmetric: bool = False) -> None:
        super().__init__()
        self.channels, self.symmetric = channels, symmetric
        self.network = perceptron(inputs, width, COMPONENTS * (1 + 2 * channels))
        with torch.no_grad():  # means spread over the range of the values, to find separate wells
            last = self.network[-1]
            assert isinstance(last, nn.Linear)
            bias = last.bias.unflatten(0, (COMPONENTS, -1))
            bias[:, 1 : 1 + channels] = torch.linspace(-1, 1, COMPONENTS)[:, None]
            bias[:, 1 + channels :] = -1.0

    def forward(self, given: Float[Tensor, "*N M"]) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights ``(*N, K)``, means and log deviations ``(*N, K, C)`` of the mixture."""
        weight, mean, deviation = self._components(given)
        if self.symmetric:
            other, mirrored, spread = self._components(-given)
            weight = torch.cat((weight, other), -1)
            mean, deviation = torch.cat((mean, -mirrored), -2), torch.cat((deviation, spread), -2)
        return weight.log_softmax(-1), mean, deviation.clamp(DEEPEST, WIDEST)

    def log_prob(self, x: Float[Tensor, "*N C"], given: Float[Tensor, "*N M"]) -> Float[Tensor, "*N"]:
        """log p of values given those around them."""
        weight, mean, deviation = self(given)
        square = ((x.unsqueeze(-2) - mean) * (-deviation).exp()).square()
        each = -(square + math.log(2 * math.pi)).sum(-1) / 2 - deviation.sum(-1)
        return (weight + each).logsumexp(-1)

    def draw(self, given: Float[Tensor, "N M"], white: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """A value of each site from C + 1 unit noises: the first chooses the Gaussian, the others are drawn from it."""
        weight, mean, deviation = self(given)
        uniform = torch.special.ndtr(white[:, :1])
        which = (uniform > weight.exp().cumsum(-1)).sum(-1).clamp(max=weight.shape[-1] - 1)
        which = which[:, None, None].expand(-1, 1, self.channels)
        return mean.gather(1, which)[:, 0] + deviation.gather(1, which)[:, 0].exp() * white[:, 1:]

    def _components(self, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.network(given).unflatten(-1, (COMPONENTS, -1))
        weight, mean, deviation = out.split((1, self.channels, self.channels), -1)
        return weight[..., 0], mean, deviation


class SpinLaw(nn.Module):
    """The probability of a spin +1 given M values; for symmetric fields ``logit = f(given) - f(-given)`` is odd."""

    def __init__(self, inputs: int, width: int, symmetric: bool = True) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.network = perceptron(inputs, width, 1)

    def forward(self, given: Float[Tensor, "*N M"]) -> Float[Tensor, "*N"]:
        """Half of the logit, the field that acts on the spin."""
        pull = self.network(given)
        return (pull - self.network(-given) if self.symmetric else pull)[..., 0]

    def log_prob(self, x: Float[Tensor, "*N 1"], given: Float[Tensor, "*N M"]) -> Float[Tensor, "*N"]:
        """log P of spins +-1."""
        return nn.functional.logsigmoid(2 * x[..., 0] * self(given))

    def draw(self, given: Float[Tensor, "N M"], white: Float[Tensor, "N D"]) -> Float[Tensor, "N 1"]:
        """A spin of each site from the first of its unit noises."""
        up = torch.special.ndtr(white[:, 0]) < torch.sigmoid(2 * self(given))
        return torch.where(up, 1.0, -1.0).to(white)[:, None]


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """A network of two hidden layers; without inputs (one input of 0) its output is constant."""
    first = nn.Linear(max(inputs, 1), width)
    return nn.Sequential(first, nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


def check_symmetry(action: Phi4 | Ising, symmetric: bool) -> None:
    """Refuse an action without the symmetries that these laws have: of the axes, and of the sign if ``symmetric``."""
    if action.anisotropy or (action.h and symmetric):
        raise InputError(
            f"{action} has bonds that differ between the axes or an external field; this law has the symmetries of the "
            "lattice, and of the sign unless symmetric=False"
        )
