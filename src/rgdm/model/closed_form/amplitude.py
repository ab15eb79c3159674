"""How large the detail is at each place, as far as the coarse field says so."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundaries, boundary_of_each, extend

WIDTHS = (1.5, 3.0, 6.0)
"""Standard deviations of the Gaussian windows, in coarse sites."""
MEASURES = 2 + len(WIDTHS)
"""How many measures of the local roughness there are."""
CONTRACTION = 0.6
"""Largest sum of the exponents of the roughness in the amplitude."""
FLOOR = 1e-6
"""Least energy, over the variance of the field: what is flatter counts as this flat."""
SAMPLE = 2**18
"""Most sites that exponents are fitted on."""
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
"""How often exponents and dependence on the value are fitted in turn."""
CUT = 2.5
"""Standard deviations at which a window is cut."""
BLOCK = 96
"""Sites along an axis that are blurred by one product of matrices."""


Slices = tuple[slice, ...]
"""One for each axis of the lattice."""


class LocalAmplitude(nn.Module):
    """``log a = w_0 + sum_i gamma_i e_i + f(coarse)``: the local log roughness of the coarse field, and its value.

    ``e_i = log(E_i) / 2``, E_i the energy of the coarse field's second differences in Gaussian windows of 1.5, 3 and 6
    coarse sites. ``gamma_i >= 0`` and ``sum_i gamma_i <= contraction < 1``: detail scales like a power below one of
    the roughness that it adds to, so noise cannot feed on itself from level to level. f is straight between values
    that are evenly spread over the ranks of the training fields: plains by the sea are flat although mountains are
    near. One amplitude for each channel of the field and band of detail.
    """

    offset: Tensor
    gamma: Tensor
    """An exponent for each channel and window."""
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
        self.register_buffer("gamma", torch.zeros(channels, len(WIDTHS)))
        self.register_buffer("knots", torch.linspace(-3, 3, KNOTS).repeat(channels, 1))
        self.register_buffer("rise", torch.zeros(channels, KNOTS))
        self.register_buffer("band", torch.ones(channels, bands))
        self.register_buffer("floor", torch.ones(channels))

    def roughness(self, coarse: Float[Tensor, "B C *K"], keep: Slices = ()) -> Float[Tensor, "B M C *I"]:
        """``log(E_i) / 2`` for every measure, at those sites that are to be kept (by default all).

        Before those in windows, of differences to the nearest neighbours and of second differences at the site itself:
        where neighbours are equal there is hardly any detail, however rough the surroundings are.
        """
        first, second = torch.zeros_like(coarse), torch.zeros_like(coarse)
        for axis in range(2, coarse.dim()):
            rows = coarse.movedim(axis, -1)
            steps = extend(rows.reshape(-1, 1, rows.shape[-1]), 1, self.boundaries[axis - 2]).diff()
            before, after = steps[..., :-1], steps[..., 1:]
            first = first + (before.square() + after.square()).reshape(rows.shape).movedim(-1, axis)
            second = second + (after - before).square().reshape(rows.shape).movedim(-1, axis)
        energies = [first, second, *(blur(second, width, self.boundaries) for width in WIDTHS)]
        floor = _channelwise(self.floor, coarse)
        return (torch.stack([energy[(..., *keep)] for energy in energies], 1) + floor.unsqueeze(1)).log() / 2

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
        self, roughness: Float[Tensor, "B M C *K"], of_value: Float[Tensor, "B C *K"]
    ) -> Float[Tensor, "B D *K"]:
        """The amplitude from what is already there."""
        gamma = self.gamma.T.to(roughness).reshape(1, len(WIDTHS), -1, *[1] * self.dimension)
        exponent = _channelwise(self.offset, of_value) + (gamma * roughness[:, 2:]).sum(1) + of_value
        band = self.band.to(exponent).reshape(1, *self.band.shape, *[1] * self.dimension)
        return (exponent.exp().unsqueeze(2) * band).flatten(1, 2)

    def reach(self) -> int:
        """How many coarse sites away the amplitude looks."""
        return 1 + blur_reach()

    def fit(self, coarse: Float[Tensor, "B C *K"], residual: Float[Tensor, "B D *K"]) -> None:
        """Maximum likelihood of the residual as Laplace noise of scale a: ``min <|r| / a + log a>``.

        The Laplace form keeps the few largest details from deciding alone. The result is
        scaled so that each band of ``residual / a`` has unit variance.
        """
        variance = coarse.double().movedim(1, 0).flatten(1).var(1)
        self.floor.copy_((FLOOR * variance).clamp(min=1e-12))
        e = self.roughness(coarse)[:, 2:].movedim(2, 0).flatten(3).transpose(1, 2).flatten(2)
        size = residual.unflatten(1, (-1, self.bands)).abs().mean(2).movedim(1, 0).flatten(1)
        value = coarse.movedim(1, 0).flatten(1)
        some = torch.linspace(0, size.shape[1] - 1, min(size.shape[1], SAMPLE), dtype=torch.float64, device=size.device)
        e, size, value = (x[..., some.long()].double() for x in (e, size, value))
        for channel in range(len(self.gamma)):
            self._fit_channel(channel, e[channel].T, size[channel], value[channel])
        self.band.fill_(1)
        ratio = (residual / self(coarse)).double().unflatten(1, (-1, self.bands))
        self.band.copy_(ratio.square().movedim(0, 2).flatten(2).mean(-1).sqrt().clamp(min=1e-12))

    def _fit_channel(
        self, channel: int, e: Float[Tensor, "n W"], size: Float[Tensor, " n"], value: Float[Tensor, " n"]
    ) -> None:
        """Exponents, and what the value says beside them, in turn."""
        ranks = (torch.arange(KNOTS).to(value) + 0.5) / KNOTS
        knots = value.sort().values[(ranks * len(value)).long().clamp(max=len(value) - 1)]
        apart = torch.cat([torch.ones_like(knots[:1]).bool(), knots.diff() > SAME * value.std()])
        knots = knots[apart]
        nearest = torch.bucketize(value, torch.lerp(knots[:-1], knots[1:], MIDDLE))
        count = torch.bincount(nearest, minlength=len(knots))
        rest, of_value = KNOTS - len(knots), torch.zeros_like(value)
        self.knots[channel] = torch.cat([knots, knots[-1:].expand(rest)])
        for _ in range(ROUNDS):
            offset, gamma = laplace_slopes(e, size * torch.exp(-of_value), self.contraction)
            pull = size * torch.exp(-offset - e @ gamma)
            around = torch.bincount(nearest, weights=pull, minlength=len(knots)) / count.clamp(min=1)
            rise = count / (count + DOUBT) * around.clamp(min=SMALLEST).log()
            self.rise[channel] = torch.cat([rise, rise[-1:].expand(rest)])
            of_value = self.of_value(value.reshape(1, 1, -1).expand(1, len(self.knots), -1))[0, channel]
        offset, gamma = laplace_slopes(e, size * torch.exp(-of_value), self.contraction)
        self.offset[channel], self.gamma[channel] = offset, gamma


def laplace_slopes(
    e: Float[Tensor, "n M"], size: Float[Tensor, " n"], limit: float
) -> tuple[float, Float[Tensor, " M"]]:
    """Offset and slopes of ``min <size exp(-eta) + eta>``, ``eta = w_0 + gamma . e``, ``gamma >= 0``, their sum at most
    ``limit`` (convex): Newton's method, each step of which is the best point of a quadratic form within these bounds.
    """
    middle = e.mean(0)
    x, size = e - middle, size.clamp(min=1e-12 * float(size.mean()) + 1e-300)
    gamma, ridge = e.new_zeros(e.shape[1]), 1e-6 * torch.eye(e.shape[1]).to(e)

    def value(gamma: Tensor) -> Tensor:
        return (size * torch.exp(-x @ gamma)).mean().log()  # the best offset inserted; x has mean 0

    for _ in range(30):
        pull = size * torch.exp(-x @ gamma)
        pull = pull / pull.mean()
        mean = (pull[:, None] * x).mean(0)
        curvature = (pull[:, None] * x).T @ x / len(x) - torch.outer(mean, mean) + ridge
        best, step = _quadratic(curvature, curvature @ gamma + mean, gamma, limit), 1.0
        while step > 1e-4 and value(gamma + step * (best - gamma)) > value(gamma):
            step /= 2
        moved = step * (best - gamma)
        gamma = gamma + moved
        if float(moved.abs().max()) < 1e-6:
            break
    return float(value(gamma)) - float(gamma @ middle), gamma


def _quadratic(a: Float[Tensor, "M M"], b: Float[Tensor, " M"], start: Tensor, limit: float) -> Float[Tensor, " M"]:
    """``min x A x / 2 - b x`` with ``x >= 0`` and a sum of at most ``limit``, by accelerated projected gradients."""
    rate = 1 / torch.linalg.matrix_norm(a, 2)
    x, ahead = start, start
    for i in range(500):
        new = _within(ahead - rate * (a @ ahead - b), limit)
        ahead = new + i / (i + 3) * (new - x)
        if i > 10 and float((new - x).abs().max()) < 1e-10:
            break
        x = new
    return x


def _within(x: Float[Tensor, " M"], limit: float) -> Float[Tensor, " M"]:
    """The nearest point with ``x >= 0`` and a sum of at most ``limit`` (Duchi et al. 2008, ICML, algorithm 1)."""
    if float(x.clamp(min=0).sum()) <= limit:
        return x.clamp(min=0)
    falling = x.sort(descending=True).values
    excess = (falling.cumsum(0) - limit) / torch.arange(1, len(x) + 1).to(x)
    last = int((falling > excess).nonzero()[-1])
    return (x - excess[last]).clamp(min=0)


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
