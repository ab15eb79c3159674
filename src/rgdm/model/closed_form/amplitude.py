"""How large the detail is at each place, as far as the coarse field says so."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.closed_form.tails import bandwise
from rgdm.scale.boundary import Boundaries, boundary_of_each, extend

WIDTHS = (1.5, 3.0, 6.0)
"""Standard deviations of the Gaussian windows, in coarse sites."""
CONTRACTION = 0.6
"""Largest exponent of the roughness in the amplitude."""
FLOOR = 1e-6
"""Least energy, over the variance of the field: what is flatter counts as this flat."""
SAMPLE = 2**18
"""Most sites that the exponent is fitted on."""
KNOTS = 64
"""Values between which the amplitude's dependence on the value is straight."""
SAME = 1e-5
"""Values that differ by no more than this, over their standard deviation, are one."""
MIDDLE = 0.47
"""Where the values of one knot end: not half way to the next, where rounding would decide of whole numbers."""
DOUBT = 20.0
"""So many sites around a knot are believed half of what they say."""
SMALLEST = 1e-6
"""Least factor of the value."""
ROUNDS = 3
"""How often exponent and dependence on the value are fitted in turn."""
CUT = 2.5
"""Standard deviations at which a window is cut."""
BLOCK = 96
"""Sites along an axis that are blurred by one product of matrices."""


Slices = tuple[slice, ...]
"""One for each axis of the lattice."""


class LocalAmplitude(nn.Module):
    """``log a = w_0 + gamma e + f(coarse)``: the local log roughness of the coarse field, and its value.

    e is the mean of ``log(E_i) / 2`` over Gaussian windows of 1.5, 3 and 6 coarse sites, E_i the energy of the coarse
    field's second differences there. ``0 <= gamma <= contraction < 1``: detail scales like a power below one of the
    roughness that it adds to, so noise cannot feed on itself from level to level. (Narrow windows alone fit better and
    make it feed: fields from nothing come out too rough.) f is straight between values that are evenly spread over the
    ranks of the training fields: plains by the sea are flat although mountains are near. One amplitude for each
    channel of the field and band of detail.
    """

    offset: Tensor
    gamma: Tensor
    knots: Tensor
    """Values of the coarse field, ascending."""
    rise: Tensor
    """f there."""
    band: Tensor
    floor: Tensor

    def __init__(
        self, channels: int, bands: int, dimension: int, boundary: Boundaries, contraction: float = CONTRACTION
    ) -> None:
        super().__init__()
        self.bands, self.dimension, self.contraction = bands, dimension, contraction
        self.boundaries = boundary_of_each(boundary, dimension)
        self.register_buffer("offset", torch.zeros(channels))
        self.register_buffer("gamma", torch.zeros(channels))
        self.register_buffer("knots", torch.linspace(-3, 3, KNOTS).repeat(channels, 1))
        self.register_buffer("rise", torch.zeros(channels, KNOTS))
        self.register_buffer("band", torch.ones(channels, bands))
        self.register_buffer("floor", torch.ones(channels))

    def roughness(self, coarse: Float[Tensor, "B C *K"], keep: Slices = ()) -> Float[Tensor, "B W C *I"]:
        """``log(E_i) / 2`` for every window, at those sites that are to be kept (by default all)."""
        energy = curvature(coarse, self.boundaries)
        floor, at = _channelwise(self.floor, coarse), (..., *keep)
        return torch.stack([(blur(energy, width, self.boundaries)[at] + floor).log() for width in WIDTHS], 1) / 2

    def of_value(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *K"]:
        """f, which is constant beyond the outermost knots."""
        parts = []
        for x, knots, rise in zip(coarse.unbind(1), self.knots.to(coarse), self.rise.to(coarse), strict=True):
            at = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, KNOTS - 1)
            low, high = knots[at - 1], knots[at]
            share = ((x - low) / (high - low).clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
            parts.append(torch.lerp(rise[at - 1], rise[at], share))
        return torch.stack(parts, 1)

    def forward(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B D *K"]:
        return self.made_of(self.roughness(coarse), self.of_value(coarse))

    def made_of(
        self, roughness: Float[Tensor, "B W C *K"], of_value: Float[Tensor, "B C *K"]
    ) -> Float[Tensor, "B D *K"]:
        """The amplitude from what is already there."""
        e = roughness.mean(1)
        exponent = _channelwise(self.offset, e) + _channelwise(self.gamma, e) * e + of_value
        band = self.band.to(e).reshape(1, *self.band.shape, *[1] * self.dimension)
        return (exponent.exp().unsqueeze(2) * band).flatten(1, 2)

    def reach(self) -> int:
        """How many coarse sites away the amplitude looks."""
        return 1 + blur_reach()

    def fit(
        self,
        coarse: Float[Tensor, "B C *K"],
        residual: Float[Tensor, "B D *K"],
        present: Float[Tensor, "B D *K"] | None = None,
    ) -> None:
        """Maximum likelihood of the residual as Laplace noise of scale a: ``min <|r| / a + log a>``.

        The Laplace form keeps the few largest details from deciding alone. The result is
        scaled so that each band of ``residual / a`` has unit variance. Where details are not all ``present`` (the
        residual of others is 0), those that are count.
        """
        there = torch.ones_like(residual) if present is None else present
        there = there.unflatten(1, (-1, self.bands)).sum(2)
        variance = torch.stack([x.double().var(correction=0) for x in bandwise(coarse, there)])
        self.floor.copy_((FLOOR * variance).clamp(min=1e-12))
        e = self.roughness(coarse).mean(1)
        size = residual.unflatten(1, (-1, self.bands)).abs().sum(2) / there.clamp(min=1)
        for channel, each in enumerate(zip(*(bandwise(x, there) for x in (e, size, coarse)), strict=True)):
            n = len(each[0])
            some = torch.linspace(0, n - 1, min(n, SAMPLE), dtype=torch.float64, device=size.device).long()
            self._fit_channel(channel, *(x[some].double() for x in each))
        self.band.fill_(1)
        squares = bandwise((residual / self(coarse)).double().square(), present)
        self.band.copy_(torch.stack([x.mean() for x in squares]).sqrt().clamp(min=1e-12).reshape(self.band.shape))

    def _fit_channel(
        self, channel: int, e: Float[Tensor, " n"], size: Float[Tensor, " n"], value: Float[Tensor, " n"]
    ) -> None:
        """The exponent, and what the value says beside it, in turn."""
        ranks = (torch.arange(KNOTS).to(value) + 0.5) / KNOTS
        knots = value.sort().values[(ranks * len(value)).long().clamp(max=len(value) - 1)]
        apart = torch.cat([torch.ones_like(knots[:1]).bool(), knots.diff() > SAME * value.std(correction=0)])
        knots = knots[apart]
        nearest = torch.bucketize(value, torch.lerp(knots[:-1], knots[1:], MIDDLE))
        count = torch.bincount(nearest, minlength=len(knots))
        rest, of_value = KNOTS - len(knots), torch.zeros_like(value)
        self.knots[channel] = torch.cat([knots, knots[-1:].expand(rest)])
        for _ in range(ROUNDS):
            offset, gamma = laplace_slope(e, size * torch.exp(-of_value), self.contraction)
            pull = size * torch.exp(-offset - gamma * e)
            around = torch.bincount(nearest, weights=pull, minlength=len(knots)) / count.clamp(min=1)
            rise = count / (count + DOUBT) * around.clamp(min=SMALLEST).log()
            self.rise[channel] = torch.cat([rise, rise[-1:].expand(rest)])
            of_value = self.of_value(value.reshape(1, 1, -1).expand(1, len(self.knots), -1))[0, channel]
        offset, gamma = laplace_slope(e, size * torch.exp(-of_value), self.contraction)
        self.offset[channel], self.gamma[channel] = offset, gamma


def laplace_slope(e: Float[Tensor, " n"], size: Float[Tensor, " n"], limit: float) -> tuple[float, float]:
    """Offset and slope of ``min <size exp(-eta) + eta>``, ``eta = w_0 + gamma e``, ``0 <= gamma <= limit`` (convex)."""
    x = e - e.mean()
    gamma, offset = 0.0, float(size.mean().clamp(min=1e-12).log())
    for _ in range(40):
        pull = size * torch.exp(-(offset + gamma * x))
        slope = float((x * (1 - pull)).mean())
        bend = float((x.square() * pull).mean()) + 1e-6
        gamma = min(max(gamma - max(-0.5, min(0.5, slope / bend)), 0.0), limit)
        offset = float((size * torch.exp(-gamma * x)).mean().clamp(min=1e-12).log())
    return offset - gamma * float(e.mean()), gamma


def curvature(x: Float[Tensor, "B C *L"], boundary: Boundaries) -> Float[Tensor, "B C *L"]:
    """The sum over axes of squared second differences."""
    energy = torch.zeros_like(x)
    for axis, side in enumerate(boundary_of_each(boundary, x.dim() - 2), start=2):
        rows = x.movedim(axis, -1)
        line = extend(rows.reshape(-1, 1, rows.shape[-1]), 1, side)
        energy = energy + line.diff().diff().square().reshape(rows.shape).movedim(-1, axis)
    return energy


def blur_reach() -> int:
    """How many sites away the widest blur looks."""
    return math.ceil(CUT * max(WIDTHS))


def _channelwise(value: Tensor, like: Tensor) -> Tensor:
    return value.to(like).reshape(1, -1, *[1] * (like.dim() - 2))


def blur(x: Float[Tensor, "B C *L"], width: float, boundary: Boundaries) -> Float[Tensor, "B C *L"]:
    """Separable Gaussian mean of standard deviation ``width`` sites, cut at 2.5 widths."""
    radius = math.ceil(CUT * width)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device) / width) ** 2)
    taps = taps / taps.sum()
    for axis, side in enumerate(boundary_of_each(boundary, x.dim() - 2), start=2):
        rows = x.movedim(axis, -1)
        wide = extend(rows.reshape(-1, 1, rows.shape[-1]), radius, side)[:, 0]
        x = _weighted(wide, taps, rows.shape[-1]).reshape(rows.shape).movedim(-1, axis)
    return x


def _weighted(wide: Float[Tensor, "R E"], taps: Float[Tensor, " T"], n: int) -> Float[Tensor, "R n"]:
    """``sum_j taps_j wide[i + j]`` for ``i < n``, by products of matrices: several times faster than a convolution."""
    around, block = len(taps) - 1, min(n, BLOCK)
    count = -(-n // block)
    shift = torch.arange(block + around, device=taps.device)[:, None] - torch.arange(block, device=taps.device)
    matrix = torch.where((shift >= 0) & (shift <= around), taps[shift.clamp(0, around)], 0.0)
    wide = torch.nn.functional.pad(wide, (0, count * block - n))
    return (wide.unfold(1, block + around, block) @ matrix).flatten(1)[:, :n]
