"""The law of a share given what is shared: atoms at nothing and all, and tables of quantiles between."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

QUANTILES = 65
"""Quantiles of a table."""
SLOPES = 10
"""Bins of equal count, of the predicted share."""
EDGES = (*(i / 12 for i in range(1, 12)), 23 / 24, 59 / 60)
"""Quantiles between bins of the parent: heavy rain is rare, shares unlike lighter one, and has most of the power."""
PARENTS = len(EDGES) + 1
FEWEST = 40
"""Shares that a bin needs for a law of its own; with fewer it has that of all slopes, if need be of bins beside it."""
MOST = 300_000
"""Most shares that are looked at."""
LARGEST = 18.0
"""Logit of a share that float32 tells from 0 and 1."""
OUTERMOST = 6.4
"""The largest Gaussian value of a share, a chance of 1e-10."""


class ShareLaw(nn.Module):
    """``y = Phi^-1(F(u | parent, predicted share))`` and back, u the share of the first of two halves.

    F has atoms at 0 and at 1, where one half has everything, and between them a table of quantiles of ``logit u``,
    linear between the log means of bins of the parent and between the predictions of the slope. Laws are mirror
    images: that of ``1 - u`` for ``-slope`` is that of u for the slope. A share at an atom gets a place in its mass
    that looks random, and is always the same for the same parent and slope. y is Gaussian, given what F is told,
    whatever the law of the shares; white y make a microcanonical random cascade with the measured generator (of
    canonical ones: Over and Gupta 1996, J. Geophys. Res. 101, 26319). Shares beyond all that were measured count as the
    outermost of these.
    """

    parents: Tensor
    slopes: Tensor
    none: Tensor
    """Mass at u = 0 for slopes >= 0, ``(parents, slopes)``."""
    all: Tensor
    """Mass at u = 1."""
    table: Tensor
    """Quantiles of logit u between, ``(parents, slopes, quantiles)``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("parents", torch.linspace(-1, 1, PARENTS))
        self.register_buffer("slopes", torch.linspace(0, 1, SLOPES))
        self.register_buffer("none", torch.zeros(PARENTS, SLOPES))
        self.register_buffer("all", torch.zeros(PARENTS, SLOPES))
        self.register_buffer("table", torch.logit(levels(), eps=1e-8).repeat(PARENTS, SLOPES, 1))

    @torch.no_grad()
    def fit(self, parent: Float[Tensor, " N"], slope: Float[Tensor, " N"], contrast: Float[Tensor, " N"]) -> None:
        """Measure the tables on halvings of something (``parent > 0``)."""
        count = min(len(parent), MOST)
        keep = torch.linspace(0, len(parent) - 1, count, dtype=torch.float64, device=parent.device).long()
        x, s, c = parent[keep].double().log(), slope[keep].double(), contrast[keep].double()
        c, s = torch.where(s < 0, -c, c), s.abs()
        at_parent, at_slope = _bins(x, EDGES), _bins(s, [i / SLOPES for i in range(1, SLOPES)])
        self.parents.copy_(_rising(_means(x, at_parent, PARENTS)))
        self.slopes.copy_(_rising(_means(s, at_slope, SLOPES)))
        for i in range(PARENTS):
            alike = next(near for width in range(PARENTS) if _enough(near := (at_parent - i).abs() <= width, len(x)))
            for j in range(SLOPES):
                chosen = (at_parent == i) & (at_slope == j)
                chosen = chosen if int(chosen.sum()) >= FEWEST else alike
                own = torch.cat([c[chosen], -c[chosen]]) if j == 0 else c[chosen]  # no slope: as often either way
                self.none[i, j], self.all[i, j] = ((own == end).double().mean() for end in (-1, 1))
                between = own[own.abs() < 1]
                between = between if len(between) >= FEWEST // 4 else c[c.abs() < 1]
                logits = 2 * torch.atanh(between).clamp(-LARGEST / 2, LARGEST / 2)
                if len(logits):
                    self.table[i, j] = torch.quantile(logits, levels(logits))
        width = (self.table[..., -1:] - self.table[..., :1]).clamp(min=1e-6)
        self.table += width * torch.linspace(0, 1e-4, QUANTILES, device=self.table.device)  # so that it has an inverse

    def latent(self, parent: Tensor, slope: Tensor, contrast: Tensor) -> Tensor:
        """y of halvings, all of one shape; 0 where there is nothing to share."""
        mirrored = slope < 0
        c = torch.where(mirrored, -contrast, contrast)
        corners = self._corners(parent, slope)
        none, every = self._mixed(self.none, corners), self._mixed(self.all, corners)
        logit = 2 * torch.atanh(c.clamp(-1 + 1e-7, 1 - 1e-7))
        low = torch.zeros_like(c, dtype=torch.long)
        high = torch.full_like(low, QUANTILES - 1)
        for _ in range((QUANTILES - 1).bit_length()):
            middle = (low + high) // 2
            above = self._quantile(corners, middle) <= logit
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        left, right, at = self._quantile(corners, low), self._quantile(corners, low + 1), levels(c)
        part = ((logit - left) / (right - left).clamp(min=1e-9)).clamp(0, 1)
        between = (at[low] + part * (at[low + 1] - at[low])).clamp(1e-6, 1 - 1e-6)  # ends of the table are no atoms
        place = looks_random(parent, slope.abs())
        f = torch.where(
            c <= -1, place * none, torch.where(c >= 1, 1 - place * every, none + (1 - none - every) * between)
        )
        y = torch.special.ndtri(f.double().clamp(1e-10, 1 - 1e-10)).to(parent)
        return torch.where(parent > 0, torch.where(mirrored, -y, y), 0.0)

    def contrast(self, parent: Tensor, slope: Tensor, y: Tensor) -> Tensor:
        """The inverse of :meth:`latent`: contrasts from -1 to 1, any where there is nothing to share."""
        mirrored = slope < 0
        f = torch.special.ndtr(torch.where(mirrored, -y, y).double().clamp(-OUTERMOST, OUTERMOST))
        corners = self._corners(parent, slope)
        none, every = self._mixed(self.none, corners).double(), self._mixed(self.all, corners).double()
        at = levels(f)
        q = ((f - none) / (1 - none - every).clamp(min=1e-9)).clamp(0, 1)
        cell = (torch.searchsorted(at, q.contiguous(), right=True) - 1).clamp(0, QUANTILES - 2)
        left, right = self._quantile(corners, cell), self._quantile(corners, cell + 1)
        logit = left + ((q - at[cell]) / (at[cell + 1] - at[cell])) * (right - left)
        most = 1 - torch.finfo(torch.float32).eps  # 1 is for what has everything
        c = torch.tanh(logit / 2).clamp(-most, most)
        c = torch.where(f <= none, -1.0, torch.where(f >= 1 - every, 1.0, c)).to(parent)
        return torch.where(mirrored, -c, c)

    def _corners(self, parent: Tensor, slope: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The four bins about each halving, as places in the flattened table, and their weights."""
        i, a = _between(self.parents, parent.clamp(min=1e-30).log())
        j, b = _between(self.slopes, slope.abs())
        first = i * SLOPES + j
        weights = (1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b
        return list(zip((first, first + 1, first + SLOPES, first + SLOPES + 1), weights, strict=True))

    @staticmethod
    def _mixed(value: Tensor, corners: list[tuple[Tensor, Tensor]]) -> Tensor:
        flat = value.flatten()
        return sum((weight * flat[at] for at, weight in corners), torch.zeros(()))

    def _quantile(self, corners: list[tuple[Tensor, Tensor]], number: Tensor) -> Tensor:
        flat = self.table.flatten()
        return sum((weight * flat[at * QUANTILES + number] for at, weight in corners), torch.zeros(()))


def _enough(chosen: Tensor, count: int) -> bool:
    """Whether these are enough for a law, or all there are."""
    return int(chosen.sum()) >= min(FEWEST, count)


def levels(like: Tensor | None = None) -> Float[Tensor, " Q"]:
    """The probabilities of the quantiles, denser at both ends."""
    g = torch.linspace(-1, 1, QUANTILES, dtype=torch.float64)
    even = ((g * (1.5 - 0.5 * g.square()) + 1) / 2).clamp(0, 1)
    return even.float() if like is None else even.to(like)


def looks_random(x: Tensor, y: Tensor) -> Tensor:
    """A number from 0 to 1 for each pair of values, the same for the same pair, and unlike that of another."""
    bits = torch.zeros_like(x, dtype=torch.long)
    for value in (x, y):
        bits = bits ^ (value.detach().float().contiguous().view(torch.int32).long() & 0xFFFFFFFF)
        for factor in (0x45D9F3B, 0x119DE1F3):
            bits = ((bits ^ (bits >> 16)) * factor) & 0xFFFFFFFF
        bits = bits ^ (bits >> 16)
    return ((bits >> 8).to(x.dtype) + 0.5) / 2**24


def _between(at: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The cell of rising values that each x lies in, and how far into it."""
    x = x.to(at).clamp(at[0], at[-1])
    cell = (torch.searchsorted(at, x.contiguous(), right=True) - 1).clamp(0, len(at) - 2)
    return cell, ((x - at[cell]) / (at[cell + 1] - at[cell])).clamp(0, 1)


def _bins(x: Float[Tensor, " N"], edges: Sequence[float]) -> Tensor:
    """Which of the bins between these quantiles each value falls into."""
    return torch.bucketize(x, torch.quantile(x, torch.tensor(edges).to(x)))


def _means(x: Float[Tensor, " N"], at: Tensor, count: int) -> Tensor:
    """The mean of each bin; of an empty one that of the bin before."""
    total = torch.zeros(count).to(x).index_add(0, at, x)
    number = torch.bincount(at, minlength=count)
    means = (total / number.clamp(min=1)).tolist()
    full = [mean if n else None for mean, n in zip(means, number.tolist(), strict=True)]
    first = next(mean for mean in full if mean is not None)
    filled = []
    for mean in full:
        filled.append(mean if mean is not None else (filled[-1] if filled else first))
    return torch.tensor(filled, dtype=x.dtype)


def _rising(x: Tensor) -> Tensor:
    """Nearly the same values, each above the one before."""
    return x.cummax(0).values + 1e-4 * torch.arange(len(x), device=x.device)
