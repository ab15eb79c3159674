"""Wilson's momentum shell."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.transforms import cosine, fourier, fourier_frequency, inverse_cosine, inverse_fourier


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
