"""Power of a field by scale: in octaves of the wavenumber, and in finer bins to draw."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rgdm.jackknife import Estimate, jackknife
from rgdm.scale.basis import Harmonics, bin_of
from rgdm.scale.boundary import Boundaries


def octave_power(
    field: Float[Tensor, "B C *L"], boundary: Boundaries
) -> tuple[Float[Tensor, "E"], Float[Tensor, "B O"]]:
    """Edges of the octaves in cycles per site (1/2, 1/4, ...) and the power of each sample in each.

    Octave j holds the modes ``pi 2^(-j-1) < |k| <= pi 2^-j``, the first one also the
    corners beyond pi. The powers are means over channels and sum to the variance of the
    sample. Modes are cosines on a ``reflect`` lattice and Fourier modes on a ``periodic`` one.
    """
    lattice = tuple(field.shape[2:])
    k = Harmonics(boundary).wavenumber(lattice).flatten()
    octave = _bin(k.clamp(max=math.pi), math.pi, per_octave=1)
    count = int(octave.max()) + 1
    edges = 0.5 ** torch.arange(1, count + 2, dtype=torch.float64)
    return edges, _binned_power(field, boundary, octave, count) / k.numel()


def octave_ratio(
    ensemble: Float[Tensor, "M B C *L"], truth: Float[Tensor, "B C *L"], boundary: Boundaries
) -> tuple[Float[Tensor, "E"], Estimate]:
    """Edges of the octaves, and in each the power of the members over that of the truth."""
    edges, truth_power = octave_power(truth, boundary)
    power = torch.stack([octave_power(member, boundary)[1] for member in ensemble]).mean(0)
    return edges, jackknife(lambda model, true: model / true, power, truth_power)


def radial_spectrum(
    field: Float[Tensor, "B C *L"], boundary: Boundaries, per_octave: int = 4
) -> tuple[Float[Tensor, "K"], Float[Tensor, "B K"]]:
    """``S(k) = <|z_k|^2>`` of each sample in rings of |k|; wavenumbers ascend, in cycles per site.

    z are the orthonormal coefficients, so that S is the variance per mode: 1 for white
    noise of unit variance.
    """
    lattice = tuple(field.shape[2:])
    k = Harmonics(boundary).wavenumber(lattice).flatten()
    ring = _bin(k, math.pi * math.sqrt(len(lattice)), per_octave)
    count = int(ring.max()) + 1
    inside = ring >= 0
    modes = torch.bincount(ring[inside], minlength=count)
    centre = torch.bincount(ring[inside], weights=k[inside].log(), minlength=count) / modes
    power = _binned_power(field, boundary, ring, count) / modes.to(field.device)
    filled = modes > 0
    return (centre[filled].exp() / (2 * math.pi)).flip(0), power[:, filled.to(power.device)].flip(1)


def _bin(k: Float[Tensor, "n"], top: float, per_octave: int) -> Int[Tensor, "n"]:
    """The bin of each |k|: 0 just below ``top``, then up as |k| falls; -1 for the constant mode."""
    return torch.where(k > 0, bin_of(k.clamp(min=1e-300), top, per_octave), -1)


def _binned_power(field: Tensor, boundary: Boundaries, index: Tensor, count: int) -> Float[Tensor, "B bins"]:
    """Sum of squared coefficients in each bin, mean over channels, of each sample (float64)."""
    basis, inside = Harmonics(boundary), (index >= 0).to(field.device)
    index = index.to(field.device)[inside]
    power = []
    for sample in field:
        x = sample.double()[None]
        z = basis.analyze(x - x.mean(tuple(range(2, x.dim())), keepdim=True))[0]
        weight = z.square().mean(0).flatten()[inside]
        power.append(torch.bincount(index, weights=weight, minlength=count))
    return torch.stack(power)
