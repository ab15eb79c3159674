"""Orthonormal transforms of the last axis, each with its wavenumbers: real Fourier and cosine."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def fourier(x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest n"]:
    """Real Fourier coefficients in the order c_0, c_1, s_1, c_2, s_2, ..., orthonormal."""
    n = x.shape[-1]
    pairs = torch.view_as_real(torch.fft.rfft(x, norm="ortho")).flatten(-2)
    flat = torch.cat([pairs[..., :1], pairs[..., 2:]], -1)[..., :n]
    return flat * _fourier_weight(n, x)


def inverse_fourier(z: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest n"]:
    """The inverse of :func:`fourier`."""
    n = z.shape[-1]
    z = z / _fourier_weight(n, z)
    zero = torch.zeros_like(z[..., :1])
    flat = torch.cat([z[..., :1], zero, z[..., 1:]] + [zero] * (1 - n % 2), -1)
    pairs = flat.unflatten(-1, (-1, 2)).contiguous()
    return torch.fft.irfft(torch.view_as_complex(pairs), n=n, norm="ortho")


def _fourier_weight(n: int, like: Tensor) -> Tensor:
    """1 for the modes that have no partner (zero, Nyquist), sqrt(2) for the others."""
    weight = like.new_full((n,), math.sqrt(2))
    weight[0] = 1
    if n % 2 == 0:
        weight[-1] = 1
    return weight


def fourier_frequency(n: int) -> Tensor:
    """The integer frequency 0, 1, 1, 2, 2, ... of each coefficient of :func:`fourier`."""
    return (torch.arange(n) + 1) // 2


def cosine(x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest n"]:
    """The orthonormal DCT-II, by one FFT of the same length (Makhoul 1980, IEEE TASSP 28, 27)."""
    n = x.shape[-1]
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    spectrum = torch.fft.fft(folded) * _quarter_shift(n, x)
    return spectrum.real * _cosine_weight(n, x)


def inverse_cosine(z: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest n"]:
    """The inverse of :func:`cosine`."""
    n = z.shape[-1]
    z = z / _cosine_weight(n, z)
    mirrored = torch.cat([torch.zeros_like(z[..., :1]), z[..., 1:].flip(-1)], -1)
    folded = torch.fft.ifft(torch.complex(z, -mirrored) * _quarter_shift(n, z).conj()).real
    x = torch.empty_like(folded)
    x[..., ::2] = folded[..., : (n + 1) // 2]
    x[..., 1::2] = folded[..., (n + 1) // 2 :].flip(-1)
    return x


def _quarter_shift(n: int, like: Tensor) -> Tensor:
    phase = -math.pi * torch.arange(n, device=like.device, dtype=like.dtype) / (2 * n)
    return torch.polar(torch.ones_like(phase), phase)


def _cosine_weight(n: int, like: Tensor) -> Tensor:
    weight = like.new_full((n,), math.sqrt(2 / n))
    weight[0] = math.sqrt(1 / n)
    return weight
