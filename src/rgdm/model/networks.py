"""Backbones: the networks inside a denoiser."""

import abc
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.scale.boundary import Boundary, extend


class Backbone(nn.Module, abc.ABC):
    """A network ``(x_t, t, features) -> rest`` with a separate, time-independent encoder.

    ``encode`` turns a condition into features once a level; ``forward`` is what each
    evaluation of a sampler costs.
    """

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        """Features of the condition; the condition itself unless a backbone says otherwise."""
        return condition

    @abc.abstractmethod
    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        """What the linear-Gaussian estimate leaves open, at unit scale."""


class Convolution(nn.Module):
    """A local convolution in 1, 2 or 3 dimensions whose edges follow ``boundary``."""

    def __init__(self, channels_in: int, channels_out: int, dimension: int, boundary: Boundary, size: int = 3) -> None:
        super().__init__()
        fan = channels_in * size**dimension
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, *(size,) * dimension) / math.sqrt(fan))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.boundary: Boundary = boundary
        self.radius = size // 2

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.weight.dim() - 3]
        return conv(extend(x, self.radius, self.boundary), self.weight, self.bias)


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
            h = h * (1 + scale) + shift
        return x + self.second(F.silu(h))


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
        self.condition_channels = condition_channels
        self.width = width
        self.time = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        if condition_channels:
            self.stem = Convolution(condition_channels, width, dimension, boundary)
            self.encoder = nn.ModuleList(Block(width, dimension, boundary) for _ in range(encoder_blocks))
        self.entry = Convolution(channels, width, dimension, boundary)
        self.decoder = nn.ModuleList(Block(width, dimension, boundary, 32) for _ in range(decoder_blocks))
        self.exit = Convolution(width, channels, dimension, boundary)
        nn.init.zeros_(self.exit.weight)

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        h = self.stem(condition)
        for block in self.encoder:
            h = block(h)
        return h

    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        angle = t.to(x)[:, None] * (math.pi / 2)
        time = self.time(torch.cat([angle.cos(), angle.sin(), (2 * angle).sin(), (4 * angle).cos()], 1))
        h = self.entry(x)
        if features is not None:
            h = h + features
        for block in self.decoder:
            h = block(h, time)
        return self.exit(F.silu(h))
