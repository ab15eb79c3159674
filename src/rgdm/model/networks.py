"""Backbones: the networks inside a denoiser."""

import abc
import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundary
from rgdm.scale.convolution import Convolution


class Backbone(nn.Module, abc.ABC):
    """A network ``(x_t, t, features) -> rest`` with a separate, time-independent encoder.

    ``encode`` turns a condition into features once a level; ``forward`` is what each
    evaluation of a sampler costs.
    """

    channels: int
    """Of the noisy state, and of what is returned."""

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        """Features of the condition; the condition itself unless a backbone says otherwise."""
        return condition

    @abc.abstractmethod
    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        """What the linear-Gaussian estimate leaves open, at unit scale."""


def channels_last(x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The same values with the channels of a site side by side in memory, where convolutions are twice as fast."""
    if x.dim() == 3:
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


STRIP = 2**16
"""Outside training a network sees at most about so many sites at a time."""


def in_strips(
    network: Callable[..., Tensor], fields: list[Tensor], halo: int, boundary: Boundary
) -> Float[Tensor, "B C *L"]:
    """``network(*fields)`` of a network that looks ``halo`` sites far, strip by strip along the longest axis.

    Equal to the whole but for the order of sums; its intermediate layers stay small enough to be
    kept near the processor, and the memory they take grows with the cross-section only.
    """
    lattice, sites = tuple(fields[0].shape[2:]), fields[0][:, 0].numel()
    rows, axis = max(lattice), 2 + lattice.index(max(lattice))
    height = strip_height(rows, sites, halo)
    if torch.is_grad_enabled() or height >= rows:
        return network(*fields)
    made = []
    for top in range(0, rows, height):
        first, last = top - halo, min(top + height, rows) + halo
        if boundary == "reflect":  # at an edge the network itself goes on as it does for the whole
            first, last = max(0, first), min(rows, last)
        seen = torch.arange(first, last, device=fields[0].device) % rows
        strip = network(*(x.index_select(axis, seen) for x in fields))
        made.append(strip.narrow(axis, top - first, min(height, rows - top)))
    return torch.cat(made, axis)


def strip_height(rows: int, sites: int, halo: int) -> int:
    """How many rows of a lattice a network sees at a time, without their halo; all where that is no less work."""
    height = max(halo, STRIP * rows // max(1, sites))
    return rows if sites <= STRIP or height + 2 * halo >= rows else height


class Block(nn.Module):
    """``x + scale * conv(act(conv(act(x)) * (1 + a(t)) + b(t)))``, the second convolution starting at zero."""

    def __init__(self, width: int, dimension: int, boundary: Boundary, time_features: int = 0) -> None:
        super().__init__()
        self.first = Convolution(width, width, dimension, boundary)
        self.second = Convolution(width, width, dimension, boundary)
        nn.init.zeros_(self.second.weight)
        self.modulation = nn.Linear(time_features, 2 * width) if time_features else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.first(F.silu(x))
        if self.modulation is not None and time is not None:
            scale, shift = self.modulation(time).reshape(*h.shape[:1], -1, *[1] * (h.dim() - 2)).chunk(2, 1)
            h = torch.addcmul(shift, h, 1 + scale)
        return self.second(F.silu(h, inplace=not h.requires_grad)).add_(x)


class LocalConvNet(Backbone):
    """A small residual ConvNet without any global operation, so it serves lattices of every size.

    The encoder sees the condition, the decoder the noisy state beside the features;
    time enters the decoder's blocks as a scale and a shift per channel. The last
    layer starts at zero: an untrained net leaves the linear-Gaussian estimate alone.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        dimension: int,
        boundary: Boundary,
        width: int = 32,
        encoder_blocks: int = 3,
        decoder_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.channels, self.condition_channels = channels, condition_channels
        self.width = width
        self.boundary: Boundary = boundary
        self.time = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        self.stem = Convolution(condition_channels, width, dimension, boundary)
        self.encoder = nn.ModuleList(Block(width, dimension, boundary) for _ in range(encoder_blocks))
        self.entry = Convolution(channels, width, dimension, boundary)
        self.decoder = nn.ModuleList(Block(width, dimension, boundary, 32) for _ in range(decoder_blocks))
        self.exit = Convolution(width, channels, dimension, boundary)
        nn.init.zeros_(self.exit.weight)

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        return in_strips(self._encode, [condition], 1 + 2 * len(self.encoder), self.boundary)

    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        angle = t.to(x)[:, None] * (math.pi / 2)
        time = self.time(torch.cat([angle.cos(), angle.sin(), (2 * angle).sin(), (4 * angle).cos()], 1))
        seen = [x] if features is None else [x, features]
        return in_strips(partial(self._decode, time), seen, 2 + 2 * len(self.decoder), self.boundary)

    def _encode(self, condition: Tensor) -> Tensor:
        h = self.stem(channels_last(condition))
        for block in self.encoder:
            h = block(h)
        return h

    def _decode(self, time: Tensor, x: Tensor, features: Tensor | None = None) -> Tensor:
        h = self.entry(channels_last(x))
        if features is not None:
            h.add_(features)
        for block in self.decoder:
            h = block(h, time)
        return self.exit(F.silu(h, inplace=not h.requires_grad))
