"""How large the detail is at each place, as far as the coarse field says so."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundaries, boundary_of_each, extend
from rgdm.scale.convolution import convolve

WIDTHS = (1.5, 3.0, 6.0)
"""Standard deviations of the Gaussian windows, in coarse sites."""
CONTRACTION = 0.6
"""Largest exponent of the roughness in the amplitude."""
CUT = 2.5
"""Standard deviations at which a window is cut."""


class LocalAmplitude(nn.Module):
    """``log a = w_0 + gamma * e(coarse)``, e the local log roughness of the coarse field.

    e is the mean of ``log(E_i) / 2`` over Gaussian windows of 1.5, 3 and 6 coarse sites, E_i the
    energy of the coarse field's second differences there. ``0 <= gamma <= contraction < 1``:
    detail scales like a power below one of the roughness that it adds to, so noise
    cannot feed on itself from level to level. One amplitude for each channel of the
    field and band of detail.
    """

    offset: Tensor
    gamma: Tensor
    band: Tensor
    floor: Tensor

    def __init__(
        self, channels: int, bands: int, dimension: int, boundary: Boundaries, contraction: float = CONTRACTION
    ) -> None:
        super().__init__()
        self.bands, self.dimension, self.contraction = bands, dimension, contraction
        self.boundaries = boundary_of_each(boundary, dimension)
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("gamma", torch.zeros(channels))
        self.register_buffer("band", torch.ones(channels, bands))
        self.register_buffer("floor", torch.ones(channels))

    def roughness(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B W C *K"]:
        """``log(E_i) / 2`` for every window, E_i the blurred energy of the coarse field's second differences."""
        energy = torch.zeros_like(coarse)
        for axis in range(2, coarse.dim()):
            rows = coarse.movedim(axis, -1)
            line = extend(rows.reshape(-1, 1, rows.shape[-1]), 1, self.boundaries[axis - 2])
            second = line[..., :-2] - 2 * line[..., 1:-1] + line[..., 2:]
            energy = energy + second.square().reshape(rows.shape).movedim(-1, axis)
        floor = _channelwise(self.floor, coarse)
        return torch.stack([(blur(energy, width, self.boundaries) + floor).log() for width in WIDTHS], 1) / 2

    def forward(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B D *K"]:
        return self.from_roughness(self.roughness(coarse))

    def from_roughness(self, roughness: Float[Tensor, "B W C *K"]) -> Float[Tensor, "B D *K"]:
        """The amplitude from roughness that is already there."""
        e = roughness.mean(1)
        exponent = _channelwise(self.offset, e) + _channelwise(self.gamma, e) * e
        band = self.band.to(e).reshape(1, *self.band.shape, *[1] * self.dimension)
        return (exponent.exp().unsqueeze(2) * band).flatten(1, 2)

    def reach(self) -> int:
        """How many coarse sites away the amplitude looks."""
        return 1 + blur_reach()

    def fit(self, coarse: Float[Tensor, "B C *K"], residual: Float[Tensor, "B D *K"]) -> None:
        """Maximum likelihood of the residual as Laplace noise of scale a: ``min <|r| / a + log a>``.

        The Laplace form keeps the few largest details from deciding alone. The result is
        scaled so that each band of ``residual / a`` has unit variance.
        """
        variance = coarse.double().movedim(1, 0).flatten(1).var(1)
        self.floor.copy_((1e-6 * variance).clamp(min=1e-12))
        e = self.roughness(coarse).mean(1).double().movedim(1, 0).flatten(1)
        size = residual.double().unflatten(1, (-1, self.bands)).abs().mean(2).movedim(1, 0).flatten(1)
        for channel in range(len(self.gamma)):
            offset, gamma = laplace_slope(e[channel], size[channel], self.contraction)
            self.offset[channel], self.gamma[channel] = offset, gamma
        self.band.fill_(1)
        ratio = (residual / self(coarse)).double().unflatten(1, (-1, self.bands))
        self.band.copy_(ratio.square().movedim(0, 2).flatten(2).mean(-1).sqrt().clamp(min=1e-12))


def laplace_slope(e: Float[Tensor, " n"], size: Float[Tensor, " n"], limit: float) -> tuple[float, float]:
    """Offset and slope of ``min <size exp(-eta) + eta>``, ``eta = w_0 + gamma e``, ``0 <= gamma <= limit`` (convex)."""
    x = e - e.mean()
    gamma, offset = 0.0, float(size.mean().clamp(min=1e-12).log())
    for _ in range(40):
        pull = size * torch.exp(-(offset + gamma * x))
        slope = float((x * (1 - pull)).mean())
        curvature = float((x.square() * pull).mean()) + 1e-6
        gamma = min(max(gamma - max(-0.5, min(0.5, slope / curvature)), 0.0), limit)
        offset = float((size * torch.exp(-gamma * x)).mean().clamp(min=1e-12).log())
    return offset - gamma * float(e.mean()), gamma


def blur_reach() -> int:
    """How many sites away the widest blur looks."""
    return math.ceil(CUT * max(WIDTHS))


def _channelwise(value: Tensor, like: Tensor) -> Tensor:
    return value.to(like).reshape(1, -1, *[1] * (like.dim() - 2))


def blur(x: Float[Tensor, "B C *L"], width: float, boundary: Boundaries) -> Float[Tensor, "B C *L"]:
    """Separable Gaussian mean of standard deviation ``width`` sites, cut at 2.5 widths."""
    radius = math.ceil(CUT * width)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device) / width) ** 2)
    taps = (taps / taps.sum()).reshape(1, 1, -1)
    for axis, side in enumerate(boundary_of_each(boundary, x.dim() - 2), start=2):
        rows = x.movedim(axis, -1)
        flat = extend(rows.reshape(-1, 1, rows.shape[-1]), radius, side)
        x = convolve(flat, taps).reshape(rows.shape).movedim(-1, axis)
    return x
