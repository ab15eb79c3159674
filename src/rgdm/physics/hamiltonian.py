"""The Hamiltonian that fields have, measured from samples: couplings with errors, at every scale."""

import math
from collections.abc import Sequence
from types import EllipsisType

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.data.layout import floating
from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, FEWEST, jackknife
from rgdm.physics.interactions import Interaction
from rgdm.scale.coarse_graining import CoarseGraining

CHUNK = 2**22
"""Sites whose derivatives are held in memory at a time."""
NEWTON = 50
"""Steps of Newton's method, at most."""


class EffectiveHamiltonian:
    """``H = sum_a K_a O_a`` with ``p ~ exp(-H)``: A interactions O, their couplings K and the errors of K."""

    def __init__(
        self,
        interactions: Sequence[Interaction],
        couplings: Float[Tensor, " A"],
        errors: Float[Tensor, " A"],
    ) -> None:
        self.interactions, self.couplings, self.errors = tuple(interactions), couplings, errors

    @classmethod
    def fit(
        cls,
        samples: Tensor | np.ndarray,
        interactions: Sequence[Interaction],
        blocks: int = BLOCKS,
        periodic: bool = True,
    ) -> "EffectiveHamiltonian":
        """The couplings of continuous fields ``(B, 1, *L)``, by score matching: no training, a linear system.

        Minimising ``E |grad H - grad H_true|^2`` gives ``sum_b A_ab K_b = B_a`` with ``A_ab = E[grad O_a . grad O_b]``
        and ``B_a = E[laplacian O_a]`` (Hyvarinen 2005, J. Mach. Learn. Res. 6, 695, eq. 2, for a linear family).
        Errors are those of a jackknife over ``blocks`` of consecutive samples: keep the samples of a chain together.
        ``periodic=False`` leaves out the sites at the edges, whose neighbours are not known; the others are taken given
        those.
        """
        x = _checked(samples, interactions)
        inside = _inside(tuple(x.shape[2:]), 0 if periodic else max(o.reach for o in interactions))
        statistics = []
        for part in x.split(max(1, CHUNK // x[0].numel())):
            gradients = torch.stack([o.gradient(part)[inside].flatten(1) for o in interactions], 1)
            bends = torch.stack([o.laplacian(part)[inside].flatten(1).mean(1) for o in interactions], 1)
            gram = gradients @ gradients.mT / gradients.shape[-1]
            statistics.append(torch.cat([gram, bends[..., None]], -1))
        couplings, errors = jackknife(
            lambda mean: _independent(mean[:, :-1], mean[:, -1], interactions), torch.cat(statistics), blocks=blocks
        )
        return cls(interactions, couplings, errors)

    @classmethod
    def fit_spins(
        cls, samples: Tensor | np.ndarray, interactions: Sequence[Interaction], blocks: int = BLOCKS
    ) -> "EffectiveHamiltonian":
        """The couplings of spins +-1, ``(B, 1, *L)``, by pseudo-likelihood: each spin given all others.

        ``P(s_x | rest) = 1 / (1 + exp(2 s_x sum_a K_a dO_a/ds_x))`` for interactions in which no spin has a power
        (Besag 1975, The Statistician 24, 179); Newton's method on the concave mean of its logarithm. Errors from the
        scores of blocks of samples (the sandwich of Huber 1967).
        """
        x = _checked(samples, interactions)
        if not bool((x.abs() == 1).all()):
            raise InputError(f"values from {float(x.min()):g} to {float(x.max()):g}; spins are +1 or -1")
        fields = torch.stack([-2 * x * o.gradient(x) for o in interactions], -1).flatten(1, -2)  # (B, sites, A)
        k = fields.new_zeros(len(interactions))
        for _ in range(NEWTON):
            wrong = torch.sigmoid(-(fields @ k))
            slope = (wrong[..., None] * fields).mean((0, 1))
            bend = torch.einsum("bx,bxi,bxj->ij", wrong * (1 - wrong), fields, fields) / fields[..., 0].numel()
            change = _independent(bend, slope, interactions)
            k = k + change
            if float(change.abs().max()) < 1e-12:
                break
        else:
            raise InputError(
                f"the couplings of {', '.join(map(str, interactions))} do not converge; take fewer interactions"
            )
        wrong = torch.sigmoid(-(fields @ k))
        scores = (wrong[..., None] * fields).mean(1)
        parts = torch.stack([part.mean(0) for part in scores.tensor_split(min(blocks, len(scores)))])
        spread = (parts.T @ parts) / len(parts) / (len(parts) - 1)
        inverse = torch.linalg.inv(bend)
        return cls(interactions, k, (inverse @ spread @ inverse).diagonal().sqrt())

    def __call__(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """H of each field."""
        return torch.stack([k * o(x) for k, o in zip(self.couplings.to(x), self.interactions, strict=True)]).sum(0)

    def table(self) -> xr.Dataset:
        """``coupling`` and ``error`` along the axis ``interaction``."""
        columns = {"coupling": self.couplings, "error": self.errors}
        return xr.Dataset(
            {name: ("interaction", column.cpu().numpy()) for name, column in columns.items()},
            {"interaction": [o.name for o in self.interactions]},
        )


def couplings_by_scale(
    samples: Tensor | np.ndarray,
    operator: CoarseGraining,
    levels: int,
    interactions: Sequence[Interaction],
    eta: float | None = None,
    periodic: bool = True,
    noise: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """The effective Hamiltonian of fields at level 0, 1, ..., ``levels``: its couplings and their errors.

    Coarse fields are means in the user's units (of block spins, the block means).

    Args:
        samples: fields of one channel, ``(B, 1, *L)``.
        operator: the coarse-graining.
        levels: how often it is applied.
        interactions: the terms of the Hamiltonian at every level.
        eta: anomalous dimension. Fields are rescaled by ``factor^((d - 2 + eta) / 2)`` a level, so that a critical
            field with this eta has the same law at all levels. With None each level is in units of its standard
            deviation, and the mean over all fields is subtracted if it is more than 3 standard errors away from 0;
            a smaller mean is one by chance, about which fields of a symmetric law would not be symmetric.
        periodic: whether the lattice is; if not, sites at the edges are left out.
        noise: standard deviation of the white noise that is added to every coarse field, in units of the rescaled
            field. Bare block means have ever steeper walls, which few interactions cannot describe; with some noise
            the couplings of a critical field reach a local fixed point (Bell & Wilson 1975, Phys. Rev. B 11, 3431).
        seed: of that noise.

    Returns:
        ``coupling`` and ``error`` of each level and interaction, ``scale`` (what the fields of a level are divided by)
        and ``mean`` (what is subtracted from the fields).
    """
    if not 0 <= noise < math.inf:
        raise InputError(f"noise is {noise}; a finite standard deviation of 0 or more is needed")
    if levels < 0:
        raise InputError(f"levels is {levels}; it must not be negative")
    samples = floating(samples)
    factors = operator.factors_of(samples.dim() - 2, levels)
    if eta is not None and len(set(factors)) > 1:
        raise InputError(f"eta is {eta} for the factors {factors}; it needs the same factor along every axis")
    dimension, x, tables, scales = samples.dim() - 2, samples.double(), [], []
    mean = centre(x) if eta is None else 0.0
    x, random = x - mean, torch.Generator().manual_seed(seed)
    for level in range(levels + 1):
        if level:
            step = operator.at(level - 1)
            x = step.coarsen(x) / step.gain(dimension)
        scale = float(x.std()) if eta is None else operator.widths(dimension, level)[0] ** (-(dimension - 2 + eta) / 2)
        if level and noise:
            x = x + noise * scale * torch.randn(x.shape, generator=random, dtype=x.dtype).to(x.device)
            scale = float(x.std()) if eta is None else scale
        if not scale > 0:
            raise InputError(f"the field of level {level} is constant; take fewer levels")
        scales.append(scale)
        tables.append(EffectiveHamiltonian.fit(x / scale, interactions, periodic=periodic).table())
    couplings = xr.concat(tables, "level").assign_coords(level=range(levels + 1))
    return couplings.assign(scale=("level", scales), mean=mean)


def centre(x: Tensor) -> float:
    """The mean over all fields, or 0 if it is within 3 standard errors of 0."""
    value, error = jackknife(lambda mean: mean, x.flatten(1).mean(1), blocks=BLOCKS)
    return 0.0 if float(value.abs()) <= 3 * float(error) else float(value)


def _checked(samples: Tensor | np.ndarray, interactions: Sequence[Interaction]) -> Tensor:
    if not interactions:
        raise InputError("a Hamiltonian of no interactions; give at least one")
    samples = floating(samples)
    if samples.shape[1] != 1 or not bool(samples.isfinite().all()):
        raise InputError(f"fields of shape {tuple(samples.shape)}; one channel of finite values is needed")
    if len(samples) < 2:
        raise InputError(f"{len(samples)} field(s); couplings need at least 2, and their errors {FEWEST}")
    return samples.double()


def _inside(lattice: tuple[int, ...], margin: int) -> tuple[slice | EllipsisType, ...]:
    if any(n <= 2 * margin for n in lattice):
        raise InputError(f"the lattice {lattice} has no site {margin} sites from its edges; take fewer levels")
    return (..., *(slice(margin, n - margin) for n in lattice))


def _independent(matrix: Tensor, right: Tensor, interactions: Sequence[Interaction]) -> Tensor:
    size = matrix.diagonal().sqrt()
    if not bool((size > 0).all()) or float(torch.linalg.cond(matrix / torch.outer(size, size))) > 1e13:
        raise InputError(
            f"the interactions {', '.join(map(str, interactions))} cannot be told apart on these fields; take fewer "
            "interactions or a larger lattice"
        )
    return torch.linalg.solve(matrix, right)
