"""Orthonormal bases in which a process is diagonal: site, Fourier, cosine, pyramid."""

import abc
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.transforms import cosine, fourier, fourier_frequency, inverse_cosine, inverse_fourier


class Basis(nn.Module, abc.ABC):
    """An orthonormal change of coordinates ``x <-> z`` that keeps the shape ``(B, C, *lattice)``."""

    @abc.abstractmethod
    def analyze(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """Field to coefficients."""

    @abc.abstractmethod
    def synthesize(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """Coefficients to field."""

    @abc.abstractmethod
    def wavenumber(self, lattice: Lattice) -> Float[Tensor, "*L"]:
        """|k| of each coefficient in radians per site (float64)."""


class Site(Basis):
    """The field itself. A site holds all scales; its wavenumber is that of the pixel, pi."""

    def analyze(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return x

    def synthesize(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return z

    def wavenumber(self, lattice: Lattice) -> Float[Tensor, "*L"]:
        return torch.full(lattice, math.pi, dtype=torch.float64)


class Harmonics(Basis):
    """Fourier modes (c_0, c_1, s_1, ...) along the periodic axes and cosine modes along the reflecting ones.

    Args:
        boundary: one for all axes, or one for each.
        sizes: of a site along each axis, in the unit of length of the wavenumbers; by default 1.
    """

    def __init__(self, boundary: Boundaries, sizes: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.boundary, self.sizes = boundary, sizes

    def analyze(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return self._along_each_axis({"periodic": fourier, "reflect": cosine}, x)

    def synthesize(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return self._along_each_axis({"periodic": inverse_fourier, "reflect": inverse_cosine}, z)

    def wavenumber(self, lattice: Lattice) -> Float[Tensor, "*L"]:
        axes, sizes = [], self.sizes or (1.0,) * len(lattice)
        for n, size, side in zip(lattice, sizes, boundary_of_each(self.boundary, len(lattice)), strict=True):
            mode = 2 * fourier_frequency(n) if side == "periodic" else torch.arange(n)
            axes.append(math.pi * mode.double() / n / size)
        return torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()

    def _along_each_axis(self, transforms: dict[Boundary, Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
        for axis, side in enumerate(boundary_of_each(self.boundary, x.dim() - 2), start=2):
            x = transforms[side](x.movedim(axis, -1)).movedim(-1, axis)
        return x


class Fourier(Harmonics):
    """Real Fourier modes of a torus."""

    def __init__(self) -> None:
        super().__init__("periodic")


class Cosine(Harmonics):
    """Cosine modes (DCT-II) of a lattice with reflecting edges."""

    def __init__(self) -> None:
        super().__init__("reflect")


class Pyramid(Basis):
    """The coefficients of an orthonormal coarse-graining repeated ``levels`` times.

    Packed in place: the coarse field in the first corner, around it the details from
    coarse to fine, band by band. The wavenumber of a detail is the geometric middle of
    its octave, ``pi * b^(-level - 1/2)``, that of the coarse field one octave below.
    """

    def __init__(self, operator: CoarseGraining, levels: int) -> None:
        super().__init__()
        if levels < 1:
            raise InputError(f"a pyramid of {levels} levels; it must have at least 1")
        self.operator = operator
        self.levels = levels

    def analyze(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return self._analyze(x, self.levels)

    def _analyze(self, x: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return x
        coarse, detail = self.operator.split(x)
        return pack(self._analyze(coarse, levels - 1), detail, self.operator.factor)

    def synthesize(self, z: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        return self._synthesize(z, self.levels)

    def _synthesize(self, z: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return z
        coarse, detail = unpack(z, self.operator.factor)
        return self.operator.merge(self._synthesize(coarse, levels - 1), detail)

    def wavenumber(self, lattice: Lattice) -> Float[Tensor, "*L"]:
        self.operator.check_orthonormal(len(lattice))
        b = self.operator.factor
        k = torch.full(lattice, math.pi * b**-0.5, dtype=torch.float64)
        for level in range(1, self.levels + 1):
            corner = tuple(slice(n // b**level) for n in lattice)
            k[corner] = math.pi * b ** (-level - 0.5)
        return k


def pack(coarse: Tensor, detail: Tensor, factor: int) -> Tensor:
    """Lay coarse and detail side by side: ``(B, C, *m), (B, C (b^d - 1), *m) -> (B, C, *b m)``."""
    d = coarse.dim() - 2
    x = torch.cat([coarse.unsqueeze(2), detail.unflatten(1, (coarse.shape[1], -1))], 2)
    x = x.unflatten(2, (factor,) * d)
    order = [axis for i in range(d) for axis in (2 + i, 2 + d + i)]
    x = x.permute(0, 1, *order)
    return x.reshape(*coarse.shape[:2], *(factor * n for n in coarse.shape[2:]))


def unpack(z: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`pack`."""
    d = z.dim() - 2
    for i in range(d):
        z = z.unflatten(2 + 2 * i, (factor, -1))
    z = z.permute(0, 1, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2)).flatten(2, 1 + d)
    return z[:, :, 0], z[:, :, 1:].flatten(1, 2)


def bin_of(k: Float[Tensor, "*K"], top: float, per_octave: int) -> Int[Tensor, "*K"]:
    """The bin n of each |k|, with m = ``per_octave`` bins an octave: ``top 2^(-(n + 1)/m) < |k| <= top 2^(-n/m)``."""
    return torch.floor(per_octave * torch.log2(top / k) + 1e-5).long()  # rounding does not move what is on an edge
