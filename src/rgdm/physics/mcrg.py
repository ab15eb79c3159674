"""Monte Carlo renormalization group: exponents from how interactions respond to those one scale below."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import BLOCKS, jackknife
from rgdm.physics.interactions import Interaction
from rgdm.scale.coarse_graining import CoarseGraining

Coarsen = Callable[[Tensor], Tensor]


class Exponents(NamedTuple):
    """``y = log|eigenvalue| / log(factor)`` of the linearised transformation, the largest first, with errors."""

    value: Float[Tensor, " A"]
    error: Float[Tensor, " A"]
    matrix: Float[Tensor, "A A"]
    """``dK'_a / dK_b`` in the basis of the interactions."""


def linearised_transformation(
    fine: Float[Tensor, "B 1 *F"],
    coarse: Float[Tensor, "B 1 *C"],
    interactions: Sequence[Interaction],
    factor: int = 2,
    blocks: int = BLOCKS,
) -> Exponents:
    """``T_ab = dK'_a / dK_b`` at the couplings that the samples have, from their correlations.

    ``<S'_c S_b>_c = sum_a <S'_c S'_a>_c T_ab``, with S the interactions of the fine fields, S' those of the coarse
    fields (Swendsen 1979, Phys. Rev. Lett. 42, 859, eq. 5). At a fixed point the eigenvalues are ``factor^y``. Even and
    odd interactions do not mix: give one kind.
    """
    if not interactions:
        raise InputError("a transformation of no interactions; give at least one")
    if len(fine) != len(coarse):
        raise InputError(f"{len(fine)} fine and {len(coarse)} coarse fields; each coarse one is made of one fine one")
    below = torch.stack([o(fine.double()) for o in interactions], 1)
    above = torch.stack([o(coarse.double()) for o in interactions], 1)
    below, above = below - below.mean(0), above - above.mean(0)
    count = len(interactions)
    products = torch.cat([above[:, :, None] * below[:, None], above[:, :, None] * above[:, None]], -1)
    joined = torch.cat([products, above[..., None], below[..., None]], -1)

    def matrix(mean: Tensor) -> Tensor:
        ahead, behind = mean[:, -2], mean[:, -1]
        mixed = mean[:, :count] - torch.outer(ahead, behind)
        coarse_alone = mean[:, count : 2 * count] - torch.outer(ahead, ahead)
        return torch.linalg.solve(coarse_alone, mixed)

    def exponents(mean: Tensor) -> Tensor:
        size = torch.linalg.eigvals(matrix(mean)).abs().sort(descending=True).values
        return size.log() / math.log(factor)

    value, error = jackknife(exponents, joined, blocks=blocks)
    return Exponents(value, error, matrix(joined.mean(0)))


def mcrg(
    samples: Float[Tensor, "B 1 *L"],
    coarsen: Coarsen,
    interactions: Sequence[Interaction],
    levels: int,
    factor: int = 2,
    blocks: int = BLOCKS,
) -> list[Exponents]:
    """The exponents of each of ``levels`` changes of scale, the finest first; later ones are nearer to the fixed point.

    ``coarsen`` makes the next coarser field, such as :func:`~rgdm.physics.blocking.block_spins`. Samples of one Markov
    chain stand together.
    """
    if levels < 1:
        raise InputError(f"levels is {levels}; at least 1 is needed")
    exponents, fine = [], samples
    for _ in range(levels):
        coarse = coarsen(fine)
        exponents.append(linearised_transformation(fine, coarse, interactions, factor, blocks))
        fine = coarse
    return exponents


def field_exponent(
    samples: Float[Tensor, "B 1 *L"], coarsen: Coarsen, levels: int, factor: int = 2, blocks: int = BLOCKS
) -> list[tuple[float, float]]:
    """``y_h`` of each change of scale from how the total field shrinks: ``<M M'> / <M' M'> = factor^y_h``, with errors.

    That is :func:`mcrg` with the field itself as the only odd interaction; ``eta = d + 2 - 2 y_h``.
    """
    exponents, fine = [], samples
    for _ in range(levels):
        coarse = coarsen(fine)
        pair = torch.stack([x.double().flatten(1).sum(1) for x in (fine, coarse)], 1)
        products = torch.stack([pair[:, 0] * pair[:, 1], pair[:, 1].square()], 1)
        value, error = jackknife(lambda mean: (mean[0] / mean[1]).log() / math.log(factor), products, blocks=blocks)
        exponents.append((float(value), float(error)))
        fine = coarse
    return exponents


class Limit(NamedTuple):
    """An exponent at the fixed point of an infinite lattice, and what lattices and levels add to it."""

    value: float
    error: float
    scaling: tuple[float, float]
    """A of ``A correction^l``, which falls from one level l to the next, and its error."""
    size: tuple[float, float]
    """B of ``B n^-size``, which rises from one level to the next: n is the side of the coarse lattice; its error."""
    misfit: float
    """chi^2 a degree of freedom; errors are larger by its square root where it is above 1."""


def fixed_point_exponent(
    exponents: Mapping[int, Sequence[tuple[float, float]]],
    correction: float = 0.5,
    size: float = 1.0,
    first: int = 1,
    factor: int = 2,
) -> Limit:
    """The limit of an exponent from the values of all changes of scale of lattices of at least two sides.

    Two effects change from one level l to the next, in opposite ways: corrections to scaling fall, and what a finite
    lattice adds rises, for the coarse lattice shrinks, ``n = L / factor^(l + 1)``. On one lattice they look alike; the
    same level on another lattice has the same correction to scaling, and the same n at another level the same effect
    of size. Weighted least squares of ``y_l(L) = y + A correction^l + B n^-size`` over all values.

    Args:
        exponents: (value, error) of each change of scale, the finest first, as of :func:`field_exponent`, by the side
            of the lattice. Their errors are taken for independent: simulate each lattice by itself.
        correction: ``factor^-omega``: 0.5 for 2-D Ising blocked by majority rule, ``2^-0.83`` in three dimensions.
        size: power of n. At a critical point energies feel the lattice by ``d - 1 / nu``: 1 in 2-D Ising, 1.41 in 3-D.
        first: the first level that is used; the finest ones have corrections that fall faster.
        factor: of the blocking.

    Raises:
        InputError: values of fewer than two sides, fewer values than unknowns, errors that are not positive.
    """
    rows = [
        (side / factor ** (level + 1), level, *pair)
        for side, values in exponents.items()
        for level, pair in enumerate(values)
        if level >= first
    ]
    sides = {round(n * factor ** (level + 1)) for n, level, _, _ in rows}
    if len(sides) < 2 or len(rows) < 3 or not 0 < correction < 1 or not size > 0:
        raise InputError(
            f"{len(rows)} values of lattices of sides {sorted(sides)} from level {first} on, correction {correction}, "
            f"size {size}; at least 3 values of two sides are needed, a correction between 0 and 1 and a positive size"
        )
    table = torch.tensor(rows, dtype=torch.float64)
    n, level, values, errors = table.unbind(1)
    if not bool((errors > 0).all() and table.isfinite().all()):
        raise InputError(f"errors {errors.tolist()} of the exponents; positive, finite ones are needed")
    columns = torch.stack([torch.ones_like(n), correction**level, n**-size], 1) / errors[:, None]
    if int(torch.linalg.matrix_rank(columns)) < 3:
        raise InputError(f"levels {level.int().tolist()} of sides {sorted(sides)} cannot tell the two effects apart")
    covariance = torch.linalg.inv(columns.T @ columns)
    found = covariance @ columns.T @ (values / errors)
    free = len(rows) - 3
    misfit = float((values / errors - columns @ found).square().sum()) / free if free else 1.0
    spread = (covariance.diagonal() * max(1.0, misfit)).sqrt()
    (y, a, b), (dy, da, db) = found.tolist(), spread.tolist()
    return Limit(y, dy, (a, da), (b, db), misfit)


def detail_growth(
    small: Float[Tensor, "A 1 *K"],
    large: Float[Tensor, "B 1 *F"],
    operator: CoarseGraining,
    levels: int,
    blocks: int = BLOCKS,
) -> list[tuple[float, float]]:
    """Growth of the detail at each change of scale, with errors, from samples of two lattices of the same model.

    Root mean square detail of ``large`` at level l + 1 over that of ``small`` at level l, l = 0, 1, ...: ``large`` is
    ``factor`` times as wide, so both are on lattices of equal size, whose effect cancels. This is two-lattice matching
    (Wilson 1980, in Recent Developments in Gauge Theories, Plenum, p. 363) of one interaction. Samples of one Markov
    chain stand together.
    """
    if tuple(n * operator.factor for n in small.shape[2:]) != tuple(large.shape[2:]):
        raise InputError(
            f"lattices of {tuple(small.shape[2:])} and {tuple(large.shape[2:])} sites; the second must be "
            f"{operator.factor} times as wide"
        )
    if levels < 1:
        raise InputError(f"levels is {levels}; at least 1 is needed")
    growths, large = [], operator.coarsen(large)
    for _ in range(levels):
        sizes = []
        for x in (large, small):
            square = operator.split(x)[1].double().square().flatten(1).mean(1)
            sizes.append(jackknife(lambda mean: mean.sqrt(), square, blocks=blocks))
        (a, da), (b, db) = sizes
        ratio = float(a / b)
        growths.append((ratio, ratio * math.hypot(float(da / a), float(db / b))))
        small, large = operator.coarsen(small), operator.coarsen(large)
    return growths
