"""What is measured on lattice configurations, with jackknife errors."""

import math
from collections.abc import Callable, Mapping

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, FEWEST, Estimate, jackknife
from rgdm.physics.actions import Action


def observables(
    fields: Float[Tensor, "B 1 *L"], action: Action, blocks: int = BLOCKS
) -> dict[str, tuple[float, float]]:
    """Means over the configurations, each with its jackknife error over blocks of consecutive ones.

    ``m``, ``abs_m`` and ``m2``: magnetization per site, its modulus and its square; ``chi = N <m^2>``;
    ``chi_connected = N (<m^2> - <|m|>^2)``, the susceptibility within one phase; ``u4 = 1 - <m^4> / (3 <m^2>^2)``;
    ``nearest_neighbour``: ``<phi_x phi_{x+mu}>``, the mean over the axes; ``phi2``: ``<phi_x^2>``;
    ``action_per_site``: S / N; ``specific_heat = (<S^2> - <S>^2) / N``, in units of k_B where S = E / k_B T;
    ``xi_over_length``: second-moment correlation length ``sqrt(G(0) / G(k_min) - 1) / (2 sin(pi / L))`` over L, of the
    longest axes, not connected.
    """
    if len(fields) < 2:
        raise InputError(f"{len(fields)} configurations; means need at least 2, and their errors {FEWEST}")
    x = fields.double()
    length, sites = max(x.shape[2:]), x[0].numel()
    m, energy = x.flatten(1).mean(1), action.energy(x) / x[0].numel()
    shifted = energy - energy.mean()  # so that no digits are lost in the difference of squares
    measured = torch.stack(
        [
            m,
            m**2,
            m**4,
            _nearest_neighbour(x),
            x.square().flatten(1).mean(1),
            energy,
            _lowest_mode(x),
            m.abs(),
            shifted,
            shifted**2,
        ],
        1,
    )
    derived: dict[str, Callable[[Tensor], Tensor]] = {
        "m": lambda q: q[..., 0],
        "abs_m": lambda q: q[..., 7],
        "m2": lambda q: q[..., 1],
        "chi": lambda q: q[..., 1] * sites,
        "chi_connected": lambda q: (q[..., 1] - q[..., 7] ** 2) * sites,
        "u4": lambda q: 1 - q[..., 2] / (3 * q[..., 1] ** 2),
        "nearest_neighbour": lambda q: q[..., 3],
        "phi2": lambda q: q[..., 4],
        "action_per_site": lambda q: q[..., 5],
        "specific_heat": lambda q: (q[..., 9] - q[..., 8] ** 2) * sites,
        "xi_over_length": lambda q: (q[..., 1] / q[..., 6] - 1).sqrt() / (2 * math.sin(math.pi / length) * length),
    }
    estimates = {name: jackknife(f, measured, blocks=blocks) for name, f in derived.items()}
    return {name: (float(value), float(error)) for name, (value, error) in estimates.items()}


def as_dataset(estimates: Mapping[str, tuple[float, float]]) -> xr.Dataset:
    """``value`` and ``error`` along the axis ``observable``."""
    values, errors = zip(*estimates.values(), strict=True)
    columns = {"value": ("observable", list(values)), "error": ("observable", list(errors))}
    return xr.Dataset(columns, {"observable": list(estimates)})


def correlator(fields: Float[Tensor, "B 1 *L"], blocks: int = BLOCKS) -> Estimate:
    """``G(r) = <P_t P_{t+r}>`` along the longest axis, P_t the mean of layer t, and its errors, each ``(L,)``.

    This is the correlator ``<phi_x phi_{x+r}>`` at zero transverse momentum; the square of the mean is not subtracted.
    """
    x = fields.double()
    length = max(x.shape[2:])
    axis = 2 + list(x.shape[2:]).index(length)
    layers = x.movedim(axis, -1).flatten(1, -2).mean(1)
    modes = torch.fft.fft(layers, dim=-1)
    products = torch.fft.ifft(modes.abs().square(), dim=-1).real / length
    return jackknife(lambda mean: mean, products, blocks=blocks)


def _nearest_neighbour(x: Tensor) -> Tensor:
    return torch.stack([(x * x.roll(-1, axis)).flatten(1).mean(1) for axis in range(2, x.dim())]).mean(0)


def _lowest_mode(x: Tensor) -> Tensor:
    """G(k_min) / N, averaged over the longest axes."""
    length = max(x.shape[2:])
    phase = 2j * math.pi * torch.arange(length, device=x.device, dtype=x.dtype) / length
    modes = []
    for axis in (i for i in range(2, x.dim()) if x.shape[i] == length):
        profile = x.movedim(axis, -1).flatten(1, -2).mean(1)
        modes.append((profile * torch.exp(phase)).mean(1).abs().square())
    return torch.stack(modes).mean(0)
