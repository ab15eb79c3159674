"""Morlet wavelets and their low-pass on a torus, in Fourier space."""

import functools
import itertools
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.coarse_graining import Lattice

CENTRE = 3 * math.pi / 4
"""Wavenumber of the finest wavelet, in radians per site."""

WIDTH = 0.7
"""Width of its envelope along its direction, in sites."""

LOW_PASS_WIDTH = 0.35
"""Width of the low-pass, in units of 2^J sites."""


@functools.lru_cache(maxsize=16)
def morlet_filters(
    torus: Lattice, scales: int, directions: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """psi ``(J, A, *torus)`` and phi ``(*torus)``, whose Littlewood-Paley sum is at most 1."""
    with torch.inference_mode(False), torch.no_grad():
        axes = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64, device="cpu") for n in torus]
        psi, phi = _transforms(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1), scales, directions)
        psi = psi * _gain(scales, directions, len(torus))
        return psi.to(device, dtype), phi.to(device, dtype)


@functools.lru_cache(maxsize=64)
def _gain(scales: int, directions: int, dimension: int) -> float:
    """c: from the whole plane (line) of wavenumbers, sampled finely in log |k| and direction, with 0.2 % to spare."""
    with torch.inference_mode(False), torch.no_grad():
        angle = math.pi * torch.arange(8 * directions, dtype=torch.float64, device="cpu") / (8 * directions)
        axis = torch.stack([angle.cos(), angle.sin()], -1) if dimension == 2 else torch.ones_like(angle[:1, None])
        reach = math.log(math.pi * math.sqrt(dimension))
        radius = torch.linspace(
            reach - math.log(40 * 2**scales), reach, 16 * (scales + 5), dtype=torch.float64, device="cpu"
        )
        k = (radius.exp()[:, None, None] * axis).flatten(0, 1)
        k = k[(k.abs() <= math.pi).all(-1)]
        both = [_transforms(sign * k, scales, directions) for sign in (1, -1)]
        power = sum(psi.square().sum((0, 1)) for psi, _ in both) / 2
        return math.sqrt(0.998 * float(((1 - both[0][1].square()) / power).min()))


def _transforms(k: Float[Tensor, "*N d"], scales: int, directions: int) -> tuple[Tensor, Tensor]:
    """psi ``(J, A, *N)`` with c = 1, and phi ``(*N)``, at wavenumbers k."""
    psi = []
    origin = torch.zeros_like(k[..., :1, :].reshape(-1, k.shape[-1])[:1])
    for j in range(scales):
        zones = (3, 1, 1)[j] if j < 3 else 0  # beyond them G is below 1e-16
        wave, envelope = (_gaussian(k, 2**j, centre, directions, zones) for centre in (CENTRE, 0.0))
        at_zero = [_gaussian(origin, 2**j, centre, directions, zones)[:, 0] for centre in (CENTRE, 0.0)]
        kappa = at_zero[0] / at_zero[1]
        psi.append(wave - kappa.reshape(-1, *(1,) * (k.dim() - 1)) * envelope)
    return torch.stack(psi), _low_pass(k, scales) / _low_pass(origin, scales)


def _gaussian(k: Tensor, dilation: int, centre: float, directions: int, zones: int) -> Float[Tensor, "A *N"]:
    angle = math.pi * torch.arange(directions, dtype=k.dtype) / directions
    axis = torch.stack([angle.cos(), angle.sin()])[: k.shape[-1]]
    across = min(1.5, 6 / directions)
    total = k.new_zeros(directions, *k.shape[:-1])
    for zone in _zones(k * dilation, zones, 2 * math.pi * dilation):
        along = torch.einsum("da,...d->a...", axis, zone)
        rest = zone.square().sum(-1) - along.square()
        total += torch.exp(-(WIDTH**2) / 2 * ((along - centre).square() + rest / across**2))
    return total


def _low_pass(k: Tensor, scales: int) -> Float[Tensor, "*N"]:
    total = k.new_zeros(k.shape[:-1])
    for zone in _zones(k, 1):
        total += torch.exp(-((LOW_PASS_WIDTH * 2**scales) ** 2) / 2 * zone.square().sum(-1))
    return total


def _zones(k: Tensor, count: int, period: float = 2 * math.pi) -> Iterator[Tensor]:
    for shift in itertools.product(range(-count, count + 1), repeat=k.shape[-1]):
        yield k + period * torch.tensor(shift, dtype=k.dtype)
