"""The linear-Gaussian part of p(detail | coarse), measured from data in seconds."""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundary, check_boundary, extend


class Stencil(nn.Module):
    """A local linear map of fields, one small kernel for every pair of channels."""

    kernel: Tensor

    def __init__(self, channels_in: int, channels_out: int, dimension: int, radius: int, boundary: Boundary) -> None:
        super().__init__()
        if radius < 0:
            raise ValueError(f"the stencil radius is {radius}; it must not be negative")
        self.radius = radius
        self.boundary: Boundary = check_boundary(boundary)
        self.register_buffer("kernel", torch.zeros(channels_out, channels_in, *(2 * radius + 1,) * dimension))

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
        kernel = self.kernel.to(x)
        return convolve(extend(x, self.radius, self.boundary), kernel)


def convolve(x: Float[Tensor, "B C *E"], kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Cross-correlation in 1, 2 or 3 dimensions without padding."""
    return (F.conv1d, F.conv2d, F.conv3d)[kernel.dim() - 3](x, kernel, bias)


class LinearPrediction(Stencil):
    """The best local linear prediction of detail from the coarse field, ``G * coarse``."""

    def fit(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"], ridge: float = 1e-8) -> None:
        """Least squares over all sites (normal equations in float64).

        The prediction of a constant field is held at zero, so adding a constant to
        the coarse field (an arbitrary zero of the scale) changes no detail.
        """
        gram = torch.zeros((), dtype=torch.float64)
        cross = torch.zeros((), dtype=torch.float64)
        for c, d in zip(coarse.split(8), detail.split(8), strict=True):
            patches = self._patches(c.double())
            gram = gram + patches.T @ patches
            cross = cross + patches.T @ d.double().movedim(1, -1).flatten(0, -2)
        taps = gram.shape[0]
        penalty = ridge * gram.diagonal().mean() * torch.eye(taps, dtype=torch.float64, device=gram.device)
        solution = torch.linalg.lstsq(gram + penalty, cross).solution
        kernel = torch.zeros_like(self.kernel, dtype=torch.float64).flatten(2)
        centre = kernel.shape[-1] // 2
        others = [i for i in range(kernel.shape[-1]) if i != centre]
        kernel[:, :, others] = solution.T.unflatten(1, (kernel.shape[1], -1)).to(kernel)
        kernel[:, :, centre] = -kernel.sum(-1)
        self.kernel.copy_(kernel.reshape(self.kernel.shape))

    def _patches(self, x: Tensor) -> Tensor:
        """``(sites, C * (taps - 1))``: every neighbour's difference from the centre site."""
        lattice, r = x.shape[2:], self.radius
        wide = extend(x, r, self.boundary)
        views = []
        for shift in itertools.product(range(-r, r + 1), repeat=len(lattice)):
            if any(shift):
                where = tuple(slice(r + s, r + s + n) for s, n in zip(shift, lattice, strict=True))
                views.append(wide[(..., *where)] - x)
        if not views:
            return x.new_zeros(x.shape[0] * math.prod(lattice), 0)
        return torch.stack(views, 2).flatten(1, 2).movedim(1, -1).flatten(0, -2)


class Colouring(nn.Module):
    """The local filter W with ``W W^T`` = covariance of a stationary residual: white noise in, residual out.

    W is the symmetric square root of the spectral density matrix S(k), cut to a
    stencil of the given radius; ``whiten`` is that of S(k)^(-1/2). Being a stencil it is a
    function of k, not of one lattice.
    """

    def __init__(self, channels: int, dimension: int, radius: int, boundary: Boundary) -> None:
        super().__init__()
        self.colour = Stencil(channels, channels, dimension, radius, boundary)
        self.whiten = Stencil(channels, channels, dimension, radius, boundary)
        for stencil in (self.colour, self.whiten):
            centre = (slice(None), slice(None), *(radius,) * dimension)
            stencil.kernel[centre] = torch.eye(channels)

    def fit(self, residual: Float[Tensor, "B D *K"]) -> None:
        """Measure S(k) from the covariances of the sites at hand and take its two roots.

        S is held above its standard error, ``sum_s 1 / pairs(s)`` under the root in units of its
        mean: what little data say below that is chance, and its inverse root would amplify it.
        """
        radius, dimension = self.colour.radius, residual.dim() - 2
        covariance, error = self._covariance(residual)
        density = torch.fft.fftn(covariance, dim=tuple(range(2, 2 + dimension))).movedim((0, 1), (-2, -1))
        values, vectors = torch.linalg.eigh((density + density.mH) / 2)
        values = values.clamp(min=max(1e-6, min(error, 1.0)) * float(values.mean()))
        for stencil, root in ((self.colour, values.sqrt()), (self.whiten, values.rsqrt())):
            matrix = (vectors * root.unsqueeze(-2).to(vectors)) @ vectors.mH
            kernel = torch.fft.ifftn(matrix.movedim((-2, -1), (0, 1)), dim=tuple(range(2, 2 + dimension))).real
            stencil.kernel.copy_(_cut(kernel, radius))

    def _covariance(self, x: Tensor) -> tuple[Tensor, float]:
        """C_ab(shift), ``(D, D, *grid)``, the shifts of each axis in the order of the FFT; relative error of S(k)."""
        lattice, axes = tuple(x.shape[2:]), tuple(range(2, x.dim()))
        wrap = self.colour.boundary == "periodic"
        size = lattice if wrap else tuple(2 * n for n in lattice)
        ones = torch.fft.fftn(torch.ones(lattice, dtype=torch.float64, device=x.device), s=size)
        pairs = x.shape[0] * torch.fft.ifftn(ones.abs().square()).real
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for part in x.double().split(16):
            spectrum = torch.fft.fftn(part, s=size, dim=axes)
            product = torch.einsum("ba...,bc...->ac...", spectrum.conj(), spectrum)
            total = total + torch.fft.ifftn(product, dim=axes).real
        covariance = total / pairs.clamp(min=0.5)
        for axis, n, period in zip(axes, lattice, size, strict=True):
            taken = (self._shifts(n) % period).to(x.device)
            covariance, pairs = covariance.index_select(axis, taken), pairs.index_select(axis - 2, taken)
        mirrored = covariance.transpose(0, 1)  # C(-s) = C(s)^T: average the two estimates
        for axis in axes:
            grid = covariance.shape[axis]
            mirrored = mirrored.index_select(axis, (-torch.arange(grid) % grid).to(x.device))
        return (covariance + mirrored) / 2, float(pairs.reciprocal().sum().sqrt())

    def _shifts(self, n: int) -> Tensor:
        """The shifts to measure on an axis of n sites: those within two radii, or all of a smaller torus.

        Between edges at most a third of the axis, so that most sites have a partner.
        """
        reach = 2 * self.colour.radius
        if self.colour.boundary == "periodic" and n <= 2 * reach + 1:
            return torch.arange(n)
        reach = min(reach, n // 3)
        return torch.fft.ifftshift(torch.arange(-reach, reach + 1))


def _cut(kernel: Tensor, radius: int) -> Tensor:
    """The centre of a periodic kernel, as a stencil of the given radius (zero beyond the grid)."""
    shifts = torch.arange(-radius, radius + 1)
    for axis in range(2, kernel.dim()):
        grid = kernel.shape[axis]
        # the tap half way around an even grid lies on both sides, half of it on each
        share = (2 * shifts.abs() < grid) + 0.5 * (2 * shifts.abs() == grid)
        taps = kernel.index_select(axis, (shifts % grid).to(kernel.device))
        kernel = taps * share.to(kernel).reshape(-1, *[1] * (kernel.dim() - 1 - axis))
    return kernel
