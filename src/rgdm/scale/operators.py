"""The linear coarse-grainings: block mean, decimation, momentum shell, wavelet."""

import math

import pywt
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import Lattice, Orthonormal
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


class Wavelet(Orthonormal):
    """An orthonormal wavelet of PyWavelets (``haar``, ``db4``, ``sym8``, ``coif2``, ...), factor 2.

    The filter bank is factored into a lattice of plane rotations of neighbouring
    sites (Vaidyanathan & Hoang 1988, IEEE TASSP 36, 81): p layers for 2p taps,
    alternately on even and odd pairs. Every layer is orthonormal on any lattice: a
    ``periodic`` one pairs the two ends, a ``reflect`` one leaves an unpaired end alone
    (an orthonormal edge filter: there the coarse value is no plain local mean).
    """

    def __init__(self, name: str = "db4", boundary: Boundary = "periodic") -> None:
        super().__init__(2)
        if name not in pywt.wavelist(kind="discrete"):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(f"unknown wavelet {name!r}; haar, db1..db38, sym2..sym20 and coif1..coif17 are orthogonal")
        wavelet = pywt.Wavelet(name)  # pyright: ignore[reportAttributeAccessIssue]
        if not wavelet.orthogonal:
            raise ValueError(f"the wavelet {name!r} is not orthogonal; haar, db*, sym* and coif* are")
        self.name = name
        self.boundary = check_boundary(boundary)
        self.layers = rotation_lattice(wavelet.rec_lo)

    @property
    def place(self) -> float:
        """The centre of gravity of the low-pass, where a ramp has the coarse value; filters of few taps lean."""
        n = 8 * len(self.layers)
        row = self.matrix(n)[n // 4]
        return float((row * (torch.arange(n) - n // 2)).sum() / row.sum())

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        total = torch.eye(n, dtype=torch.float64)
        for step, layer in enumerate(self.layers):
            dense = torch.eye(n, dtype=torch.float64)
            odd = (len(self.layers) - 1 - step) % 2
            for i in range(odd, n, 2):
                pair = [i, (i + 1) % n]
                if i + 1 < n or self.boundary == "periodic":
                    dense[torch.tensor(pair)[:, None], torch.tensor(pair)] = torch.tensor(layer, dtype=torch.float64)
            total = dense @ total
        return torch.cat([total[::2], total[1::2]])

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        even, odd = x[..., ::2], x[..., 1::2]
        for step, layer in enumerate(self.layers):
            even, odd = self._rotate(even, odd, layer, (len(self.layers) - 1 - step) % 2)
        return torch.stack([even, odd], -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        even, odd = z.unbind(-2)
        for step, (a, b) in reversed(list(enumerate(self.layers))):
            transpose = ((a[0], b[0]), (a[1], b[1]))
            even, odd = self._rotate(even, odd, transpose, (len(self.layers) - 1 - step) % 2)
        return torch.stack([even, odd], -1).flatten(-2)

    def _rotate(self, even: Tensor, odd: Tensor, layer: "Rotation", shifted: int) -> tuple[Tensor, Tensor]:
        """Rotate the pairs (even_i, odd_i), or (odd_i, even_{i+1}) where ``shifted``."""
        (a, b), (c, d) = layer
        if not shifted:
            return a * even + b * odd, c * even + d * odd
        if self.boundary == "periodic":
            following = even.roll(-1, -1)
            return (c * odd + d * following).roll(1, -1), a * odd + b * following
        first, second = odd[..., :-1], even[..., 1:]
        return (
            torch.cat([even[..., :1], c * first + d * second], -1),
            torch.cat([a * first + b * second, odd[..., -1:]], -1),
        )


Rotation = tuple[tuple[float, float], tuple[float, float]]


def rotation_lattice(low: list[float]) -> list[Rotation]:
    """Factor an orthonormal low-pass of 2p taps into p plane rotations, first layer first."""
    taps = torch.tensor(low, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(low) // 2)
    rows = torch.stack([taps, taps.flip(0) * signs])
    layers: list[Rotation] = []
    while rows.shape[1] > 2:
        cos, sin = _unit(rows[1, -1].item(), -rows[0, -1].item())
        rotated = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64) @ rows
        if max(rotated[0, -2:].abs().max(), rotated[1, :2].abs().max()) > 1e-6:
            raise ValueError(
                f"a filter of {len(low)} taps cannot be factored into rotations: it is not orthonormal, "
                "or too long for double precision; a shorter one of its family can"
            )
        layers.append(((cos, -sin), (sin, cos)))
        rows = torch.stack([rotated[1, 2:], rotated[0, :-2]])
    (a, b), (c, d) = rows.tolist()
    a, b = _unit(a, b)
    handed = math.copysign(1.0, a * d - b * c)
    layers.append(((a, b), (-handed * b, handed * a)))
    return layers[::-1]


def _unit(x: float, y: float) -> tuple[float, float]:
    length = math.hypot(x, y)
    return x / length, y / length


def check_lattice_depth(operator: Orthonormal, lattice: Lattice, levels: int) -> None:
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
