"""The model of the coarsest field: Gaussian with the measured spectrum, pushed through the measured marginal."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.basis import Harmonics, bin_of
from rgdm.scale.boundary import Boundaries, boundary_of_each
from rgdm.scale.coarse_graining import Lattice

BINS_PER_OCTAVE = 2
OCTAVES = 12
QUANTILES = 257
WINDOW = 4096
"""Most sites of a field with edges whose density is computed, for that takes a matrix of sites x sites."""


class TranslationField(nn.Module):
    """``x = F^-1(Phi(g))``, g Gaussian with spectrum S(k), F the measured one-point distribution.

    Grigoriu 1995, *Applied Non-Gaussian Processes*. S is stored as a function of k (half
    octaves), not on one lattice, and is adjusted so that x, not g, has the measured
    spectrum. The marginal is exact; on a lattice of one site the whole law is.

    g is stationary: periodic on the lattice itself, or, for a field with edges, a window of a
    periodic field twice as long. Scales longer than the fields that were measured are left white.

    Args:
        channels: of the field.
        boundary: of each axis.
        sizes: of a coarsest site along each axis, where they differ: the spectrum is one of physical wavenumbers.
    """

    spectrum: Tensor
    marginal: Tensor

    def __init__(self, channels: int, boundary: Boundaries, sizes: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.boundary: Boundaries = boundary
        self.modes, self.noise_modes = Harmonics(boundary, sizes), Harmonics("periodic", sizes)
        self.register_buffer("spectrum", torch.ones(channels, BINS_PER_OCTAVE * OCTAVES))
        self.register_buffer("marginal", _normal_scores().repeat(channels, 1))

    def noise_lattice(self, lattice: Lattice) -> Lattice:
        """How much white noise a field of this lattice is made of."""
        axes = zip(lattice, boundary_of_each(self.boundary, len(lattice)), strict=True)
        return tuple(n if side == "periodic" else 2 * n for n, side in axes)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B C *L"], rounds: int = 12) -> None:
        """Measure marginal and spectrum; then match the spectrum of what comes out of the map."""
        pooled = x.double().movedim(1, 0).flatten(1)
        levels = torch.special.ndtr(_normal_scores().double()).numpy()
        self.marginal.copy_(torch.from_numpy(np.quantile(pooled.cpu().numpy(), levels, 1, method="hazen").T))
        target = self._power(x.double())
        self.spectrum.copy_(target)
        lattice = self.noise_lattice(tuple(x.shape[2:]))
        count = max(4, min(256, 2**20 // math.prod(lattice)))
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(count, x.shape[1], *lattice, generator=generator, dtype=torch.float64)
        for _ in range(rounds):
            ratio = (target / self._power(self(noise.to(x.device))).clamp(min=1e-30)).clamp(0.5, 2.0)
            self.spectrum.mul_(ratio.to(self.spectrum))

    def forward(self, noise: Float[Tensor, "B C *W"]) -> Float[Tensor, "B C *L"]:
        """A field from white noise on its :meth:`noise_lattice`."""
        lattice, basis = tuple(noise.shape[2:]), self.noise_modes
        density = self.spectrum.to(noise)[:, _bin(basis.wavenumber(lattice)).to(noise.device)]
        g = basis.synthesize(density.sqrt() * basis.analyze(noise))
        sides = zip(lattice, boundary_of_each(self.boundary, len(lattice)), strict=True)
        g = g[(..., *(slice(n if side == "periodic" else n // 2) for n, side in sides))]
        spread = density.flatten(1).mean(1).sqrt().reshape(1, -1, *[1] * len(lattice))
        return self._map(g / spread.clamp(min=1e-30))

    def log_prob(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, " B"]:
        """log p of each field in nats: that of g, and the slope of the map from g to x."""
        lattice, basis = tuple(x.shape[2:]), self.noise_modes
        g, slope = self._inverse(x.double())
        wide = self.noise_lattice(lattice)
        density = self.spectrum.double()[:, _bin(basis.wavenumber(wide)).to(x.device)]
        density = density / density.flatten(1).mean(1).reshape(-1, *[1] * len(lattice))
        if wide == lattice:
            z = basis.analyze(g)
            normal = -(z.square() / density + (2 * math.pi * density).log()).flatten(1).sum(1) / 2
            return normal - slope.log().flatten(1).sum(1)
        size = math.prod(lattice)
        if size > WINDOW:
            raise InputError(
                f"the likelihood of a base field of {lattice} with edges needs a matrix of {size} x {size}; "
                f"cut the field into pieces with at most {WINDOW} coarsest sites"
            )
        normal = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for channel, power in enumerate(density):
            law = torch.distributions.MultivariateNormal(g.new_zeros(size), self._window_covariance(power, lattice))
            normal = normal + law.log_prob(g[:, channel].flatten(1))
        return normal - slope.log().flatten(1).sum(1)

    def _window_covariance(self, density: Tensor, lattice: Lattice) -> Tensor:
        """The covariance of g on the window of a torus whose modes have this density, ``(n, n)``."""
        basis, size = self.noise_modes, math.prod(lattice)
        site = torch.zeros(1, 1, *density.shape, dtype=density.dtype, device=density.device)
        site[(0, 0, *[0] * len(lattice))] = 1
        covariance = basis.synthesize(density * basis.analyze(site))[0, 0]  # of the first site with each other
        grids = torch.meshgrid(*(torch.arange(n, device=density.device) for n in lattice), indexing="ij")
        places = torch.stack(grids).flatten(1)
        shifts = (places[:, :, None] - places[:, None]).abs()  # even in each axis
        return covariance[tuple(shifts)].reshape(size, size)

    def _inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g with ``F^-1(Phi(g)) = x``, and dx/dg there.

        Beyond the table F goes on as that of a normal law of the table's width, whatever the slope of its last cell,
        which few data make nearly flat: a value just outside is then unlikely, not impossible.
        """
        scores, g, slope = _normal_scores().to(x), torch.empty_like(x), torch.empty_like(x)
        least = 1e-6 * (self.marginal[:, -1:] - self.marginal[:, :1]).double().clamp(min=1e-12)
        rise = torch.arange(QUANTILES, device=x.device) * least / QUANTILES  # values that are often met make F flat
        for channel, table in enumerate((self.marginal.double() + rise).to(x)):
            value = x[:, channel].contiguous()
            cell = (torch.searchsorted(table, value) - 1).clamp(0, len(table) - 2)
            slope[:, channel] = (table[cell + 1] - table[cell]) / (scores[cell + 1] - scores[cell])
            g[:, channel] = scores[cell] + (value - table[cell]) / slope[:, channel]
            width = (table[-1] - table[0]) / (scores[-1] - scores[0])
            beyond = value - value.clamp(table[0], table[-1])
            g[:, channel] = torch.where(beyond == 0, g[:, channel], scores[-1] * beyond.sign() + beyond / width)
            slope[:, channel] = torch.where(beyond == 0, slope[:, channel], width)
        return g, slope

    def _map(self, g: Tensor) -> Tensor:
        """F^-1(Phi(g)) by linear interpolation between the measured quantiles, linear beyond them."""
        scores = _normal_scores().to(g)
        cell = (torch.searchsorted(scores, g.contiguous()) - 1).clamp(0, len(scores) - 2)
        weight = ((g - scores[cell]) / (scores[cell + 1] - scores[cell])).clamp(-1, 2)
        out = torch.empty_like(g)
        for channel, table in enumerate(self.marginal.to(g)):
            low, high = table[cell[:, channel]], table[cell[:, channel] + 1]
            out[:, channel] = low + weight[:, channel] * (high - low)
        return out

    def _power(self, x: Tensor) -> Tensor:
        """Mean square coefficient by half-octave of |k|, ``(C, bins)``; empty bins take their neighbour's.

        Of fields about their common mean. A single one says nothing of the zero mode.
        """
        x = x - x.movedim(1, 0).flatten(1).mean(1).reshape(1, -1, *[1] * (x.dim() - 2))
        basis = self.modes
        k = basis.wavenumber(tuple(x.shape[2:]))
        where = _bin(k).flatten().to(x.device)
        square = basis.analyze(x).square().mean(0).flatten(1)
        bins = self.spectrum.shape[1]
        total = torch.zeros(x.shape[1], bins, dtype=x.dtype, device=x.device).index_add_(1, where, square)
        known = torch.ones_like(k) if len(x) > 1 or k.numel() == 1 else (k > 0).to(k)
        count = torch.zeros(bins, dtype=x.dtype, device=x.device).index_add_(0, where, known.flatten().to(x))
        filled = torch.nonzero(count)[:, 0]
        nearest = (torch.arange(bins, device=x.device)[:, None] - filled[None]).abs().argmin(1)
        return (total / count.clamp(min=1))[:, filled[nearest]]


def _bin(k: Tensor) -> Tensor:
    """Half-octaves below the largest |k|.

    The zero mode stands for all that is longer than the lattice: it counts as half the smallest
    wavenumber, so that on a larger lattice its power lies in the modes that resolve it.
    """
    smallest = k[k > 0].min() if bool((k > 0).any()) else k.new_tensor(math.pi)
    bins = bin_of(k.clamp(min=float(smallest) / 2), math.pi * math.sqrt(max(1, k.dim())), BINS_PER_OCTAVE)
    return bins.clamp(0, BINS_PER_OCTAVE * OCTAVES - 1)


def _normal_scores() -> Tensor:
    return torch.linspace(-3.5, 3.5, QUANTILES)
