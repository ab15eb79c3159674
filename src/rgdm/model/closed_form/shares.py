"""The law of a share given what is shared: atoms at nothing and all, and tables of quantiles between."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.closed_form.bins import NestedBins

QUANTILES = 65
"""Quantiles of a table."""
PARENTS = (*(i / 8 for i in range(1, 8)), 15 / 16, 39 / 40)
"""Quantiles between bins of the parent: heavy rain is rare, shares unlike lighter one, and has most of the power."""
ROUGH = (1 / 4, 2 / 4, 3 / 4)
"""And of the roughness around, in each of these."""
SLOPES = tuple(i / 6 for i in range(1, 6))
"""And of the size of the predicted slope, in each of those."""
FEWEST = 40
"""Shares that a bin needs for a law of its own; with fewer it has that of bins beside it too."""
MOST = 300_000
"""Most shares that are looked at."""
LARGEST = 18.0
"""Logit of a share that float32 tells from 0 and 1."""
STEEPEST = 4.0
"""Largest logit of a share that predictions are fitted on."""
GAIN = 1.5
"""Most of a predicted slope that is believed."""
NARROWEST = 1e-3
"""Least size of what a predicted logit leaves: what is narrower counts as this narrow."""
LEAST = 1e-30
"""Parents below are taken for this large."""
PART = 2**12
"""Shares that are looked up at a time."""
OUTERMOST = 6.4
"""The largest Gaussian value of a share, a chance of 1e-10."""


class Given(NamedTuple):
    """What is known of a share before it is drawn."""

    parent: Float[Tensor, " *N"]
    """What is shared."""
    roughness: Float[Tensor, " *N"]
    """How rough the block means are around it, the logarithm."""
    slope: Float[Tensor, " *N"]
    """The predicted logit."""


class ShareLaw(nn.Module):
    """``y = Phi^-1(F(u | parent, roughness, slope))`` and back, u the share of the first of two halves.

    F has atoms at 0 and at 1, where one half has everything, and between them a table of quantiles of what the
    predicted slope leaves, ``logit u - gain slope``. Gains, sizes and shapes of the tables are linear between bins of
    the log of the parent, the roughness of what is around, and the slope. (A gain for each: where it rains heavily,
    logits and slopes are small, and go together unlike elsewhere. Without it heavy blocks get up to four times their
    power.) Laws are mirror
    images: that of ``1 - u`` for ``-slope`` is that of u for the slope. A share at an atom gets a place in its mass
    that looks random, and is always the same for the same parent and slope. y is Gaussian, given what F is told,
    whatever the law of the shares; white y make a microcanonical random cascade with the measured generator (of
    canonical ones: Over and Gupta 1996, J. Geophys. Res. 101, 26319). Shares beyond all that were measured count as the
    outermost of these.
    """

    none: Tensor
    """Mass at u = 0 for slopes >= 0, ``(parents, roughness, slopes)``."""
    all: Tensor
    """Mass at u = 1."""
    gain: Tensor
    """How much of the slope is believed."""
    size: Tensor
    """The log of the root mean square of what it leaves."""
    table: Tensor
    """Quantiles of that over its size, ``(parents, roughness, slopes, quantiles)``."""

    def __init__(self) -> None:
        super().__init__()
        self.bins = NestedBins(PARENTS, ROUGH, SLOPES)
        shape = self.bins.shape
        self.register_buffer("none", torch.zeros(shape))
        self.register_buffer("all", torch.zeros(shape))
        self.register_buffer("gain", torch.ones(shape))
        self.register_buffer("size", torch.zeros(shape))
        self.register_buffer("table", _logistic().repeat(*shape, 1))

    @torch.no_grad()
    def fit(self, given: Given, contrast: Float[Tensor, " N"]) -> None:
        """Measure the tables on halvings of something (``parent > 0``)."""
        count = min(len(contrast), MOST)
        keep = torch.linspace(0, len(contrast) - 1, count, dtype=torch.float64, device=contrast.device).long()
        parent, rough, s, c = (x[keep].double() for x in (*given, contrast))
        c, s = torch.where(s < 0, -c, c), s.abs()
        bins = self.bins.fit(parent.clamp(min=LEAST).log(), rough, s)
        logit = 2 * torch.atanh(c).clamp(-LARGEST / 2, LARGEST / 2)
        some, whole = logit.clamp(-STEEPEST, STEEPEST), c.abs() < 1
        for i, k in torch.cartesian_prod(*(torch.arange(n) for n in self.bins.shape[:2])).tolist():
            near = self.bins.around(bins, i, k, fewest=FEWEST, slower=(0,)) & whole  # atoms have masses of their own
            gain = float((some[near] * s[near]).sum() / s[near].square().sum().clamp(min=1e-9))
            self.gain[i, k] = gain = min(max(gain, 0.0), GAIN)
            left = logit - gain * s
            for j in range(self.bins.shape[2]):
                chosen = self.bins.around(bins, i, k, j, fewest=FEWEST, slower=(0,))
                own, rest = c[chosen], left[chosen]
                if j == 0:  # no slope: as often either way
                    own, rest = torch.cat([own, -own]), torch.cat([rest, -rest])
                self.none[i, k, j], self.all[i, k, j] = ((own == end).double().mean() for end in (-1, 1))
                rest = rest[own.abs() < 1]
                rest = rest if len(rest) >= FEWEST // 4 else left[whole]
                quantiles = torch.quantile(rest, levels(rest)) if len(rest) else _logistic()  # none: all is atoms
                self.table[i, k, j] = quantiles.to(self.table)
        self._divide()

    def _divide(self) -> None:
        """The tables into size and shape."""
        apart = levels(self.table).diff() / 2
        mass = torch.nn.functional.pad(apart, (0, 1)) + torch.nn.functional.pad(apart, (1, 0))
        size = (self.table.square() * mass).sum(-1).sqrt().clamp(min=NARROWEST)
        self.size.copy_(size.log())
        self.table /= size[..., None]
        width = (self.table[..., -1:] - self.table[..., :1]).clamp(min=1e-6)
        self.table += width * torch.linspace(0, 1e-4, QUANTILES, device=width.device)  # so that it has an inverse

    def latent(self, given: Given, contrast: Float[Tensor, " *N"]) -> Float[Tensor, " *N"]:
        """y of halvings; 0 where there is nothing to share."""
        return _in_parts(self._latent, *given, contrast)

    def contrast(self, given: Given, y: Float[Tensor, " *N"]) -> Float[Tensor, " *N"]:
        """The inverse of :meth:`latent`: contrasts from -1 to 1, any where there is nothing to share."""
        return _in_parts(self._contrast, *given, y)

    def _latent(self, parent: Tensor, rough: Tensor, slope: Tensor, contrast: Tensor) -> Float[Tensor, " N"]:
        mirrored = slope < 0
        c = torch.where(mirrored, -contrast, contrast)
        none, every, size, believed, table = self._law(Given(parent, rough, slope))
        rest = (2 * torch.atanh(c.clamp(-1 + 1e-7, 1 - 1e-7)) - believed) / size
        cell = (torch.searchsorted(table, rest.unsqueeze(1), right=True) - 1).clamp(0, QUANTILES - 2)
        left, right = table.gather(1, cell).squeeze(1), table.gather(1, cell + 1).squeeze(1)
        at, cell = levels(c), cell.squeeze(1)
        part = ((rest - left) / (right - left).clamp(min=1e-9)).clamp(0, 1)
        between = (at[cell] + part * (at[cell + 1] - at[cell])).clamp(1e-6, 1 - 1e-6)  # ends of tables are no atoms
        place = looks_random(parent, slope.abs())
        f = torch.where(
            c <= -1, place * none, torch.where(c >= 1, 1 - place * every, none + (1 - none - every) * between)
        )
        y = torch.special.ndtri(f.double().clamp(1e-10, 1 - 1e-10)).to(parent)
        return torch.where(parent > 0, torch.where(mirrored, -y, y), 0.0)

    def _contrast(self, parent: Tensor, rough: Tensor, slope: Tensor, y: Tensor) -> Float[Tensor, " N"]:
        mirrored = slope < 0
        f = torch.special.ndtr(torch.where(mirrored, -y, y).double().clamp(-OUTERMOST, OUTERMOST))
        none, every, size, believed, table = self._law(Given(parent, rough, slope))
        none, every, at = none.double(), every.double(), levels(f)
        q = ((f - none) / (1 - none - every).clamp(min=1e-9)).clamp(0, 1)
        cell = (torch.searchsorted(at, q.contiguous(), right=True) - 1).clamp(0, QUANTILES - 2)
        left, right = (table.gather(1, (cell + i).unsqueeze(1)).squeeze(1) for i in (0, 1))
        rest = left + ((q - at[cell]) / (at[cell + 1] - at[cell])) * (right - left)
        most = 1 - torch.finfo(torch.float32).eps  # 1 is for what has everything
        c = torch.tanh((size * rest + believed) / 2).clamp(-most, most)
        c = torch.where(f <= none, -1.0, torch.where(f >= 1 - every, 1.0, c)).to(parent)
        return torch.where(mirrored, -c, c)

    def _law(self, given: Given) -> tuple[Tensor, Tensor, Tensor, Tensor, Float[Tensor, "N Q"]]:
        """The masses at both ends, the size of what slopes leave, what is believed of them, and a table each."""
        corners = self.bins.corners(given.parent.clamp(min=LEAST).log(), given.roughness, given.slope.abs())
        whole = torch.stack([self.none, self.all, self.size, self.gain], -1)
        said = corners.mix(torch.cat([whole, self.table], -1).flatten(0, -2))
        none, every, size, gain = said[:, :4].unbind(1)
        return none, every, size.exp(), gain * given.slope.abs(), said[:, 4:].contiguous()


def _in_parts(law: Callable[..., Tensor], *fields: Float[Tensor, " *N"]) -> Float[Tensor, " *N"]:
    """Of all sites, so many at a time that what is looked up stays small."""
    parts = zip(*(x.flatten().split(PART) for x in fields), strict=True)
    return torch.cat([law(*part) for part in parts]).reshape(fields[0].shape)


def _logistic() -> Float[Tensor, " Q"]:
    """Quantiles of a share that may be anything: a table where nothing was measured."""
    return torch.logit(levels(torch.zeros(1, dtype=torch.float64)), eps=1e-8).float()


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
