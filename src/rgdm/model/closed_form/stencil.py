"""Local linear maps of fields."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundaries, boundary_of_each, extend
from rgdm.scale.convolution import convolve


class Stencil(nn.Module):
    """A local linear map of fields, one small kernel for every pair of channels."""

    kernel: Tensor

    def __init__(self, channels_in: int, channels_out: int, dimension: int, radius: int, boundary: Boundaries) -> None:
        super().__init__()
        if radius < 0:
            raise InputError(f"the stencil radius is {radius}; it must not be negative")
        self.radius = radius
        self.boundaries = boundary_of_each(boundary, dimension)
        self.register_buffer("kernel", torch.zeros(channels_out, channels_in, *(2 * radius + 1,) * dimension))

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
        kernel = self.kernel.to(x)
        return convolve(extend(x, self.radius, self.boundaries), kernel)


def cut(kernel: Tensor, radius: int) -> Tensor:
    """The centre of a periodic kernel, as a stencil of the given radius (zero beyond the grid)."""
    shifts = torch.arange(-radius, radius + 1)
    for axis in range(2, kernel.dim()):
        grid = kernel.shape[axis]
        # the tap half way around an even grid lies on both sides, half of it on each
        share = (2 * shifts.abs() < grid) + 0.5 * (2 * shifts.abs() == grid)
        taps = kernel.index_select(axis, (shifts % grid).to(kernel.device))
        kernel = taps * share.to(kernel).reshape(-1, *[1] * (kernel.dim() - 1 - axis))
    return kernel
