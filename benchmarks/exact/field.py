"""The Gaussian field that every method is tried on, known mode by mode."""

import math

import torch
from torch import Tensor

from rgdm.scale.basis import Basis
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.transforms import fourier_frequency

ETA = 0.25


def power(frequencies: Tensor, side: int) -> Tensor:
    """S at integer frequencies ``(2, ...)``, before it is scaled."""
    khat = 4 * torch.sin(math.pi * frequencies.double() / side).square().sum(0)
    return (khat + (2 * math.pi / side) ** 2) ** (ETA / 2 - 1)


def spectrum(side: int) -> Tensor:
    """S on the grid of the FFT, of mean 1: the variance of a site."""
    n = torch.arange(side)
    found = power(torch.stack(torch.meshgrid(n, n, indexing="ij")), side)
    return found / found.mean()


def real_spectrum(side: int) -> Tensor:
    """The same for the real modes of ``Fourier``."""
    n = fourier_frequency(side)
    return spectrum(side)[n[:, None], n]


class Modes(Basis):
    """A list of modes, each known by its wavenumber alone: the different ones of a large lattice."""

    def __init__(self, k: Tensor) -> None:
        super().__init__()
        self.k = k

    def analyze(self, x: Tensor) -> Tensor:
        return x

    def synthesize(self, z: Tensor) -> Tensor:
        return z

    def wavenumber(self, lattice: Lattice) -> Tensor:
        return self.k


def distinct(side: int) -> tuple[Tensor, Tensor]:
    """(k, S) of the modes ``0 <= n_x <= n_y <= side / 2``: all there are, up to symmetry."""
    found = torch.triu_indices(side // 2 + 1, side // 2 + 1)
    k = 2 * math.pi / side * found.double().square().sum(0).sqrt()
    return k, spectrum(side)[found[0], found[1]]


def worst(variance: Tensor, exact: Tensor) -> float:
    return float((variance / exact - 1).abs().max())
