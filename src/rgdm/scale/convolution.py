"""Local convolutions in 1, 2 and 3 dimensions that know what lies beyond an edge."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundaries, extend, extend_silu


class Convolution(nn.Module):
    """A local convolution in 1, 2 or 3 dimensions whose edges follow ``boundary``."""

    def __init__(
        self, channels_in: int, channels_out: int, dimension: int, boundary: Boundaries, size: int = 3
    ) -> None:
        super().__init__()
        fan = channels_in * size**dimension
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, *(size,) * dimension) / math.sqrt(fan))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.boundary: Boundaries = boundary

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
        return local_convolution(x, self.weight, self.bias, self.boundary)

    def of_silu(self, x: Float[Tensor, "B C *L"], leak: float = 0.0) -> Float[Tensor, "B D *L"]:
        """``forward(silu(x) + leak x)``, of kernels of 3 sites the faster way."""
        if self.weight.shape[-1] != 3:
            return self(F.silu(x) + leak * x)
        return convolve(extend_silu(x, self.boundary, leak), self.weight, self.bias)


def channels_last(x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The same values with the channels of a site side by side in memory, where convolutions are twice as fast."""
    if x.dim() == 3:
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


def local_convolution(
    x: Float[Tensor, "B C *L"], weight: Float[Tensor, "D C *S"], bias: Float[Tensor, " D"] | None, boundary: Boundaries
) -> Float[Tensor, "B D *L"]:
    """Kernels of odd size on a field that goes on beyond its edges."""
    return convolve(extend(x, weight.shape[-1] // 2, boundary), weight, bias)


def convolve(x: Float[Tensor, "B C *E"], kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Cross-correlation in 1, 2 or 3 dimensions without padding."""
    return (F.conv1d, F.conv2d, F.conv3d)[kernel.dim() - 3](x, kernel, bias)
