"""The variogram score: do members say how much sites a few steps apart differ?"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.pieces import Figures, Pieces, estimate
from rgdm.evaluate.weights import of_pairs
from rgdm.jackknife import jackknife
from rgdm.scale.boundary import Boundaries, boundary_of_each

ORDER = 0.5
LAGS = (1, 2, 4)
"""Distances of pairs along each axis, in sites."""
MOST = 2**14
"""Most pairs of a sample at one distance along one axis."""


def variogram_score(
    ensemble: Float[Tensor, "M B C *L"],
    truth: Float[Tensor, "B C *L"],
    boundary: Boundaries = "reflect",
    weights: Shaped[Tensor, "#B #C *#L"] | None = None,
    order: float = ORDER,
    lags: Sequence[int] = LAGS,
    most: int = MOST,
) -> Float[Tensor, "B"]:
    """``(|y_i - y_j|^p - mean_m |x_mi - x_mj|^p)^2``, mean over pairs (i, j) of sites, of each sample.

    Of order p (Scheuerer and Hamill 2015, Mon. Weather Rev. 143, 1321, eq. 8); a pair has the geometric mean of the
    weights of its sites, so that it counts as an area does. From the square the
    variance of ``|x_mi - x_mj|^p`` over the M members, over M, is subtracted, so that on average the score does not
    depend on M; a single field is taken as it is. In units of the field to the power 2 p. A sample without a pair of
    valid sites has NaN.

    Args:
        ensemble: members, or one field.
        truth: of the same unit.
        boundary: pairs reach across the edge of periodic axes.
        weights: of sites, 0 where they do not count.
        order: p > 0.
        lags: distances of pairs along each axis, in sites.
        most: pairs of a sample at each distance along each axis; of more so many are chosen at random, the same ones
            always.

    Raises:
        InputError: if the order is not positive.
    """
    total, share = _terms(ensemble, truth, boundary, weights, order, lags, most)
    return total / share


def variogram_pieces(
    truth: Float[Tensor, "B 1 *L"],
    ensemble: Float[Tensor, "M B 1 *L"],
    baselines: dict[str, Tensor],
    boundary: Boundaries,
    weights: Shaped[Tensor, "#B 1 *#L"] | None,
) -> Pieces:
    """The terms of the variogram scores of one channel: weighted sums over pairs, over the number of all pairs."""
    terms: Pieces = {}
    for name, field in {"": ensemble, **{f"_{name}": field for name, field in baselines.items()}}.items():
        terms[f"variogram{name}"], terms["pairs"] = _terms(field, truth, boundary, weights, ORDER, LAGS, MOST)
    return terms


def variogram_figures(terms: Pieces, baselines: list[str], blocks: int | None = None) -> Figures:
    """The score, and its ratio to that of each baseline, with jackknife errors."""
    score = terms["variogram"]
    figures: Figures = {"variogram_score": estimate(jackknife(torch.div, score, terms["pairs"], blocks=blocks))}
    for name in baselines:
        ratio = jackknife(torch.div, score, terms[f"variogram_{name}"], blocks=blocks)
        figures[f"variogram_over_{name}"] = estimate(ratio)
    return figures


def pairs_of_sites(
    lattice: tuple[int, ...], boundary: Boundaries, lags: Sequence[int] = LAGS, most: int = MOST
) -> Int[Tensor, "2 P"]:
    """Pairs of sites some distances apart along each axis, as places in the flattened lattice.

    An axis takes part in a distance if it is longer, a periodic one if it is at least twice as long. Of more than
    ``most`` pairs at one distance along one axis so many are chosen, always the same.
    """
    site = torch.arange(math.prod(lattice)).reshape(lattice)
    generator = torch.Generator().manual_seed(0)
    found = [torch.zeros(2, 0, dtype=torch.long)]
    for axis, side in enumerate(boundary_of_each(boundary, len(lattice))):
        n = lattice[axis]
        for lag in lags:
            if n < 2 * lag if side == "periodic" else n <= lag:
                continue
            first = site if side == "periodic" else site.narrow(axis, 0, n - lag)
            second = site.roll(-lag, axis) if side == "periodic" else site.narrow(axis, lag, n - lag)
            pairs = torch.stack([first.flatten(), second.flatten()])
            if pairs.shape[1] > most:
                pairs = pairs[:, torch.randperm(pairs.shape[1], generator=generator)[:most].sort().values]
            found.append(pairs)
    return torch.cat(found, 1)


def _terms(
    ensemble: Tensor,
    truth: Tensor,
    boundary: Boundaries,
    weights: Tensor | None,
    order: float,
    lags: Sequence[int],
    most: int,
) -> tuple[Tensor, Tensor]:
    """Of each sample the sum over pairs and that of their weights, both over the number of all pairs."""
    if not order > 0:
        raise InputError(f"the order of the variogram is {order}; it is a power above 0, such as {ORDER}")
    first, second = pairs_of_sites(tuple(truth.shape[2:]), boundary, lags, most).to(truth.device)
    count = len(ensemble)

    def steps(x: Tensor) -> Tensor:
        flat = x.flatten(-(truth.dim() - 2))
        return (flat[..., first].double() - flat[..., second].double()).abs().pow(order)

    scores, shares = [], []
    for b in range(len(truth)):
        members = steps(ensemble[:, b])
        square = (steps(truth[b]) - members.mean(0)).square()
        if count > 1:
            square = square - members.var(0) / count
        both = torch.ones_like(square)
        if weights is not None:
            own = weights.expand_as(truth)[b].flatten(1).double()
            both = of_pairs(own[:, first], own[:, second])
            square = torch.where(both > 0, square, 0.0)
        scores.append((square * both).mean())
        shares.append(both.mean())
    return torch.stack(scores), torch.stack(shares)
