"""The Hamiltonian that fields have, measured from samples: couplings with errors, at every scale."""

import math
from collections.abc import Callable, Sequence
from types import EllipsisType

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, jackknife
from rgdm.physics.operators import LocalOperator
from rgdm.scale.coarse_graining import Orthonormal

CHUNK = 2**22
"""Sites whose derivatives are held at a time."""
NEWTON = 50


class EffectiveHamiltonian:
    """``H = sum_a K_a O_a`` with ``p ~ exp(-H)``; the couplings K with their errors.

    ``operators`` are the terms, ``couplings`` and ``errors`` are ``(A,)``, ``covariance`` is ``(A, A)``.
    """

    def __init__(
        self,
        operators: Sequence[LocalOperator],
        couplings: Float[Tensor, " A"],
        errors: Float[Tensor, " A"],
    ) -> None:
        self.operators, self.couplings, self.errors = tuple(operators), couplings, errors

    @classmethod
    def fit(
        cls,
        samples: Float[Tensor, "B 1 *L"],
        operators: Sequence[LocalOperator],
        blocks: int = BLOCKS,
        periodic: bool = True,
    ) -> "EffectiveHamiltonian":
        """The couplings of continuous fields, by score matching: no training, a linear system.

        Minimising ``E |grad H - grad H_true|^2`` gives ``sum_b A_ab K_b = B_a`` with ``A_ab = E[grad O_a . grad O_b]``
        and ``B_a = E[laplacian O_a]`` (Hyvarinen 2005, J. Mach. Learn. Res. 6, 695, eq. 2, for a linear family).
        Errors are those of a jackknife over ``blocks`` of consecutive samples: keep the samples of a chain together.
        ``periodic=False`` leaves the sites at the edges out, whose neighbours are not known: they are given.
        """
        x = _checked(samples, operators)
        inside = _inside(tuple(x.shape[2:]), 0 if periodic else max(o.reach for o in operators))
        statistics = []
        for part in x.split(max(1, CHUNK // x[0].numel())):
            gradients = torch.stack([o.gradient(part)[inside].flatten(1) for o in operators], 1)
            bends = torch.stack([o.laplacian(part)[inside].flatten(1).mean(1) for o in operators], 1)
            gram = gradients @ gradients.mT / gradients.shape[-1]
            statistics.append(torch.cat([gram, bends[..., None]], -1))
        found, errors = jackknife(_solve(operators), torch.cat(statistics), blocks=blocks)
        return cls(operators, found, errors)

    @classmethod
    def fit_spins(
        cls, samples: Float[Tensor, "B 1 *L"], operators: Sequence[LocalOperator], blocks: int = BLOCKS
    ) -> "EffectiveHamiltonian":
        """The couplings of spins +-1, by pseudo-likelihood: each spin given all others.

        ``P(s_x | rest) = 1 / (1 + exp(2 s_x sum_a K_a dO_a/ds_x))`` for operators in which no spin has a power
        (Besag 1975, The Statistician 24, 179); Newton's method on the concave mean of its logarithm. Errors from the
        scores of blocks of samples (the sandwich of Huber 1967).
        """
        x = _checked(samples, operators)
        if not bool((x.abs() == 1).all()):
            raise InputError(f"values from {float(x.min()):g} to {float(x.max()):g}; spins are +1 or -1")
        fields = torch.stack([-2 * x * o.gradient(x) for o in operators], -1).flatten(1, -2)  # (B, sites, A)
        k = fields.new_zeros(len(operators))
        for _ in range(NEWTON):
            wrong = torch.sigmoid(-(fields @ k))
            slope = (wrong[..., None] * fields).mean((0, 1))
            bend = torch.einsum("bx,bxi,bxj->ij", wrong * (1 - wrong), fields, fields) / fields[..., 0].numel()
            change = _independent(bend, slope, operators)
            k = k + change
            if float(change.abs().max()) < 1e-12:
                break
        else:
            raise InputError(f"the couplings of {', '.join(map(str, operators))} do not converge; take fewer operators")
        wrong = torch.sigmoid(-(fields @ k))
        scores = (wrong[..., None] * fields).mean(1)
        parts = torch.stack([part.mean(0) for part in scores.tensor_split(min(blocks, len(scores)))])
        spread = (parts.T @ parts) / len(parts) / (len(parts) - 1)
        inverse = torch.linalg.inv(bend)
        return cls(operators, k, (inverse @ spread @ inverse).diagonal().sqrt())

    def __call__(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """H of each field."""
        return torch.stack([k * o(x) for k, o in zip(self.couplings.to(x), self.operators, strict=True)]).sum(0)

    def table(self) -> xr.Dataset:
        """``coupling`` and ``error`` along the axis ``operator``."""
        names = [o.name for o in self.operators]
        made = {"coupling": self.couplings, "error": self.errors}
        return xr.Dataset({k: ("operator", v.cpu().numpy()) for k, v in made.items()}, {"operator": names})


def couplings_by_scale(
    samples: Float[Tensor, "B 1 *L"],
    operator: Orthonormal,
    levels: int,
    operators: Sequence[LocalOperator],
    eta: float | None = None,
    periodic: bool = True,
    noise: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """The effective Hamiltonian of fields at level 0, 1, ..., ``levels``: couplings and errors ``(level, operator)``.

    Coarse fields are means in the user's units (of block spins, the block means). ``eta`` rescales them by
    ``factor^((d - 2 + eta) / 2)`` a level, so that a critical field with this anomalous dimension has the same law at
    all levels; with None each level is in units of its own standard deviation: ``scale`` in the result. Then also the
    mean of all, ``mean`` in the result, is taken out, but only if it is more than 3 standard errors away from 0: fields
    of symmetric law have a mean by chance, and about it they would not be symmetric.

    ``noise`` is the standard deviation of white noise that is mixed into every coarse field, in units of the rescaled
    field, from ``seed``. Bare means of blocks have ever steeper walls, which no few operators describe; with some noise
    the couplings of a critical field come to a local fixed point (Bell & Wilson 1975, Phys. Rev. B 11, 3431).
    """
    if not 0 <= noise < math.inf:
        raise InputError(f"noise is {noise}; a finite standard deviation of 0 or more is needed")
    if levels < 0:
        raise InputError(f"levels is {levels}; it must not be negative")
    dimension, x, made, scales = samples.dim() - 2, samples.double(), [], []
    mean = _centre(x) if eta is None else 0.0
    x, random = x - mean, torch.Generator().manual_seed(seed)
    for level in range(levels + 1):
        if level:
            x = operator.coarsen(x) / operator.gain(dimension)
        scale = float(x.std()) if eta is None else operator.factor ** (-level * (dimension - 2 + eta) / 2)
        if level and noise:
            x = x + noise * scale * torch.randn(x.shape, generator=random, dtype=x.dtype).to(x.device)
            scale = float(x.std()) if eta is None else scale
        if not scale > 0:
            raise InputError(f"the field of level {level} is constant; take fewer levels")
        scales.append(scale)
        made.append(EffectiveHamiltonian.fit(x / scale, operators, periodic=periodic).table())
    flow = xr.concat(made, "level").assign_coords(level=range(levels + 1))
    return flow.assign(scale=("level", scales), mean=mean)


def _centre(x: Tensor) -> float:
    """The mean of all fields, 0 where nothing speaks against it; its error from the means of each."""
    value, error = jackknife(lambda mean: mean, x.flatten(1).mean(1), blocks=BLOCKS)
    return 0.0 if float(value.abs()) <= 3 * float(error) else float(value)


def _checked(samples: Tensor, operators: Sequence[LocalOperator]) -> Tensor:
    if not operators:
        raise InputError("a Hamiltonian of no operators; give at least one")
    if samples.shape[1] != 1 or not bool(samples.isfinite().all()):
        raise InputError(f"fields of shape {tuple(samples.shape)}; one channel of finite values is needed")
    if len(samples) < 2:
        raise InputError(f"{len(samples)} field(s); an error needs at least 2")
    return samples.double()


def _inside(lattice: tuple[int, ...], margin: int) -> tuple[slice | EllipsisType, ...]:
    if any(n <= 2 * margin for n in lattice):
        raise InputError(f"the lattice {lattice} has no site {margin} sites from its edges; take fewer levels")
    return (..., *(slice(margin, n - margin) for n in lattice))


def _solve(operators: Sequence[LocalOperator]) -> Callable[[Tensor], Tensor]:
    return lambda mean: _independent(mean[:, :-1], mean[:, -1], operators)


def _independent(matrix: Tensor, right: Tensor, operators: Sequence[LocalOperator]) -> Tensor:
    size = matrix.diagonal().sqrt()
    if not bool((size > 0).all()) or float(torch.linalg.cond(matrix / torch.outer(size, size))) > 1e13:
        raise InputError(
            f"the operators {', '.join(map(str, operators))} cannot be told apart on these fields; take fewer "
            "operators or a larger lattice"
        )
    return torch.linalg.solve(matrix, right)
