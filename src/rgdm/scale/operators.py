"""The coarse-grainings of physics: block mean, decimation, momentum shell."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import CoarseGraining, Lattice, Orthonormal
from rgdm.scale.transforms import cosine, fourier, fourier_frequency, inverse_cosine, inverse_fourier


class BlockSpin(Orthonormal):
    """Kadanoff's block mean of b sites; the detail is the rest of a DCT-II on each block.

    ``coarse = b^(-1/2) * sum over the block`` per axis; for b = 2 this is the Haar wavelet.
    """

    def block(self) -> Float[Tensor, "b b"]:
        """The orthonormal matrix of one block (float64), the mean in its first row."""
        return cosine(torch.eye(self.factor, dtype=torch.float64)).T.contiguous()

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        blocks = torch.kron(torch.eye(n // self.factor, dtype=torch.float64), self.block())
        return blocks.unflatten(0, (-1, self.factor)).transpose(0, 1).flatten(0, 1)

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        sites = x.unflatten(-1, (-1, self.factor)).unbind(-1)
        return torch.stack([_combine(row, sites) for row in self.block().tolist()], -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        bands = z.unbind(-2)
        return torch.stack([_combine(row, bands) for row in self.block().T.tolist()], -1).flatten(-2)


def _combine(weights: list[float], parts: tuple[Tensor, ...]) -> Tensor:
    total = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total = total + weight * part
    return total


class Decimation(Orthonormal):
    """Keep every b-th site; the detail is the sites left out. It has no fixed point: use it last."""

    @property
    def place(self) -> float:
        return 0.0

    def gain(self, dimension: int) -> float:
        return 1.0

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        sites = torch.arange(n).unflatten(0, (-1, self.factor)).T.flatten()
        return torch.eye(n, dtype=torch.float64)[sites]

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        return x.unflatten(-1, (-1, self.factor)).transpose(-1, -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        return z.transpose(-1, -2).flatten(-2)


class MomentumShell(Orthonormal):
    """Wilson's shell: the coarse field keeps the n/b lowest modes of each axis.

    Each detail band is the next n/b modes, put back on the coarse lattice at the
    frequency to which sampling by b aliases them, so that a translation by b sites
    translates coarse and detail alike. Modes are real Fourier (periodic) or DCT-II
    (reflect) ones. For Gaussian fields coarse and detail are independent.
    Cost n log n; not local.
    """

    def __init__(self, factor: int = 2, boundary: Boundary = "periodic") -> None:
        super().__init__(factor)
        self.boundary = check_boundary(boundary)

    @property
    def place(self) -> float:
        return 0.0 if self.boundary == "periodic" else super().place

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        m = n // self.factor
        eye, small = torch.eye(n, dtype=torch.float64), torch.eye(m, dtype=torch.float64)
        forward, back = (
            (fourier(eye).T, fourier(small)) if self.boundary == "periodic" else (cosine(eye).T, cosine(small))
        )
        slot, sign = self._alias(n)
        aliased = torch.zeros_like(forward)
        aliased[slot] = sign[:, None] * forward
        return torch.cat([back @ band for band in aliased.split(m)])

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        slot, sign = self._alias(x.shape[-1])
        z = fourier(x) if self.boundary == "periodic" else cosine(x)
        z = (z * sign.to(z))[..., slot.argsort().to(z.device)].unflatten(-1, (self.factor, -1))
        return inverse_fourier(z) if self.boundary == "periodic" else inverse_cosine(z)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        z = (fourier(z) if self.boundary == "periodic" else cosine(z)).flatten(-2)
        slot, sign = self._alias(z.shape[-1])
        z = z[..., slot.to(z.device)] * sign.to(z)
        return inverse_fourier(z) if self.boundary == "periodic" else inverse_cosine(z)

    def _alias(self, n: int) -> tuple[Tensor, Tensor]:
        """For each mode of the fine axis its slot in (band, coarse mode) order, and its sign."""
        m = n // self.factor
        mode = torch.arange(n)
        band, rest = mode // m, mode % m
        if self.boundary == "reflect":
            return band * m + torch.where(band % 2 == 0, rest, m - 1 - rest), torch.ones(n)
        frequency, sine = fourier_frequency(n), (mode > 0) & (mode % 2 == 0)
        folded = frequency % m
        mirrored = 2 * folded > m
        folded = torch.where(mirrored, m - folded, folded)
        unpaired = (folded == 0) | (2 * folded == m)
        coarse_mode = torch.where(unpaired | ~sine, 2 * folded - (folded > 0).long(), 2 * folded)
        return band * m + coarse_mode, torch.where(sine & mirrored & ~unpaired, -1.0, 1.0)


def check_lattice_depth(operator: CoarseGraining, lattice: Lattice, levels: int) -> None:
    """Raise ``ValueError`` with the largest depth that fits if ``lattice`` cannot be coarsened ``levels`` times."""
    fits = 0
    while fits < levels and all(n % operator.factor ** (fits + 1) == 0 for n in lattice):
        fits += 1
    if fits < levels:
        step = operator.factor**levels
        near = tuple(max(step, n - n % step) for n in lattice)
        levels_that_fit = f"{fits} level{'' if fits == 1 else 's'}"
        fewer = f"use {levels_that_fit}, or a lattice" if fits else "use a lattice"
        raise ValueError(
            f"a lattice of {lattice} fits {levels_that_fit} of factor {operator.factor}, not {levels}; "
            f"{fewer} such as {near}"
        )
