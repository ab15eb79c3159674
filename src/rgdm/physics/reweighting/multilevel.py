"""Multilevel Monte Carlo over the sublattices of a model: most fields are drawn where they are cheap."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import FEWEST as FOR_AN_ERROR
from rgdm.jackknife import Estimate, jackknife
from rgdm.physics.actions import Action, check_values
from rgdm.physics.monte_carlo.patches import Redraws
from rgdm.physics.reweighting.weights import BLOCKS, Reweighting, log_weights

Observable = Callable[[Float[Tensor, "B 1 *L"]], Float[Tensor, " B"]]
BATCH = 4096
"""Fields that are drawn at a time."""
FEWEST = 100
"""Fewest fields of the weighted term."""


@runtime_checkable
class DrawsSublattices(Redraws, Protocol):
    """A model of known density that draws every ``2^k``-th site first, then every ``2^(k-1)``-th, and so on."""

    lattice: tuple[int, int]

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of fields."""
        ...


@dataclass(frozen=True)
class Multilevel:
    """``<O>`` as a sum of terms, each from fields of its own, coarsest first.

    Attributes:
        terms: ``<O_k>`` of the coarsest sublattice, then ``<O_l - O_(l+1)>``, at last ``<O_0 w> / <w> - <O_1>``.
        variances: variance of one field in each term.
        costs: seconds for one field of each term.
        counts: number of fields of each term.
        single: variance of one field if all fields are drawn and weighted in full.
        ess: effective sample size of the weights, a share.
        doubts: reasons to doubt the errors (:attr:`~rgdm.physics.reweighting.weights.Reweighting.doubts`).
    """

    terms: list[Estimate]
    variances: list[float]
    costs: list[float]
    counts: list[int]
    single: float
    ess: float = 1.0
    doubts: tuple[str, ...] = ()

    @property
    def total(self) -> Estimate:
        """Value and error of the sum."""
        value = torch.stack([term.value for term in self.terms]).sum()
        return Estimate(value, torch.stack([term.error for term in self.terms]).square().sum().sqrt())

    @property
    def gain(self) -> float:
        """Time for the same error with weighted full fields alone, over that of the best allocation."""
        best = sum(math.sqrt(v * c) for v, c in zip(self.variances, self.costs, strict=True)) ** 2
        return self.single * self.costs[-1] / best if best else math.inf

    def allocation(self, seconds: float) -> list[int]:
        """Counts for so much time: ``N_l ~ sqrt(V_l / C_l)`` (Giles 2008, Oper. Res. 56, 607).

        As many as make an error at least, and ``FEWEST`` of the last, whose ratio of means has a bias of order 1/N.
        """
        positive = all(v > 0 and c > 0 for v, c in zip(self.variances, self.costs, strict=True))
        if not (0 < seconds < math.inf and positive):
            raise InputError(
                f"{seconds} s for terms of variances {self.variances} that cost {self.costs}; all must be positive"
            )
        roots = [math.sqrt(v / c) for v, c in zip(self.variances, self.costs, strict=True)]
        scale = seconds / sum(r * c for r, c in zip(roots, self.costs, strict=True))
        counts = [max(FOR_AN_ERROR, round(scale * r)) for r in roots]
        return [*counts[:-1], max(FEWEST, counts[-1])]

    @property
    def verdict(self) -> str:
        """One sentence: the result, and the gain or the reasons to doubt."""
        value, error = self.total
        if self.doubts:
            return "; ".join(self.doubts)
        said = f"{float(value):.6g} +- {float(error):.2g} from {', '.join(map(str, self.counts))} fields a level; "
        if self.gain < 1.1:
            return said + f"no gain over full fields ({self.gain:.2f}): the coarse levels know too little of this mean"
        return said + f"{self.gain:.2f} times cheaper than full fields alone, if allotted as it should be"


@torch.no_grad()
def multilevel(
    model: DrawsSublattices, action: Action, observable: Observable, counts: Sequence[int], seed: int = 0
) -> Multilevel:
    """``<O>`` of the action, exact but for its error, telescoped over the sublattices of a model.

    ``<O w> / <w> = <O_k> + sum_l <O_l - O_(l+1)> + (<O_0 w> / <w> - <O_1>)``, with O_l the observable of every
    ``2^l``-th site of the same field of the model; the terms are estimated independently. A telescope over lattice
    levels in the manner of Jansen, Müller & Scheichl 2020 (arXiv:2008.03090), with weights in place of an action for
    every level. Run it with small counts first, then with those of :meth:`Multilevel.allocation`.

    Args:
        observable: of fields ``(B, 1, h, w)`` of any spacing, ``(B,)``; a mean over sites, or a function of one.
        counts: fields of each term, coarsest first, at least two terms.
    """
    check_values(action, getattr(model, "values", None))
    levels, lattice = len(counts) - 1, tuple(model.lattice)
    if levels < 1 or min(counts) < FOR_AN_ERROR or any(n % 2**levels for n in lattice):
        raise InputError(
            f"counts {list(counts)} on {lattice} sites; {FOR_AN_ERROR} or more fields of each of at least 2 terms, and "
            f"sides that are divisible by {2 ** max(levels, 0)}, are needed"
        )
    random, device = torch.Generator().manual_seed(seed), model.log_prob(torch.ones(1, 1, *lattice)).device
    terms, variances, costs, single, reweighting = [], [], [], math.nan, None
    for term, count in enumerate(counts):
        spacing, last = 2 ** (levels - term), term == levels
        began, fine, coarse, weights = time.perf_counter(), [], [], []
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            white = torch.randn(size, 2, *lattice, generator=random).to(device)
            chosen = torch.zeros(lattice, dtype=torch.bool)
            chosen[::spacing, ::spacing] = True
            x = model.redraw(torch.zeros(size, 1, *lattice, device=device), white, chosen)
            fine.append(observable(x[..., ::spacing, ::spacing].double()).cpu())
            coarse.append(observable(x[..., :: 2 * spacing, :: 2 * spacing].double()).cpu() if term else fine[-1] * 0)
            if last:
                weights.append(log_weights(action.energy(x.double()), model.log_prob(x)).cpu())
        o, below = torch.cat(fine), torch.cat(coarse)
        if o.shape != (count,):
            raise InputError(
                f"the observable of {count} fields has the shape {tuple(o.shape)}; one value each is needed"
            )
        if last:
            reweighting = Reweighting(torch.cat(weights))
            w = reweighting.weights
            terms.append(jackknife(lambda a, b, c: a / b - c, w * o, w, below, blocks=BLOCKS))
            mean = (w * o).mean()
            varied = w * (o - mean) - (below - below.mean())
            single = float((w * (o - mean)).var())
        else:
            varied = o - below
            terms.append(jackknife(lambda a: a, varied, blocks=BLOCKS))
        variances.append(float(varied.var()))
        costs.append((time.perf_counter() - began) / count)
    assert reweighting is not None
    ess, doubts = float(reweighting.ess.value), tuple(reweighting.doubts)
    return Multilevel(terms, variances, costs, list(counts), single, ess, doubts)
