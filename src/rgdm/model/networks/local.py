"""The local network of this package: a residual ConvNet that serves lattices of every size."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.networks.backbone import LEAK, Backbone
from rgdm.scale.boundary import Boundaries
from rgdm.scale.convolution import Convolution, channels_last
from rgdm.scale.tiles import in_tiles


class Block(nn.Module):
    """``x + scale * conv(act(conv(act(x)) * (1 + a(t)) + b(t)))``, the second convolution starting at zero."""

    def __init__(self, width: int, dimension: int, boundary: Boundaries, time_features: int = 0) -> None:
        super().__init__()
        self.first = Convolution(width, width, dimension, boundary)
        self.second = Convolution(width, width, dimension, boundary)
        nn.init.zeros_(self.second.weight)
        self.modulation = nn.Linear(time_features, 2 * width) if time_features else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.first.of_silu(x)
        if self.modulation is not None and time is not None:
            scale, shift = self.modulation(time).reshape(*h.shape[:1], -1, *[1] * (h.dim() - 2)).chunk(2, 1)
            h = torch.addcmul(shift, h, 1 + scale)
        return self.second.of_silu(h).add_(x)


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
        boundary: Boundaries,
        width: int = 32,
        encoder_blocks: int = 3,
        decoder_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.channels, self.condition_channels = channels, condition_channels
        self.width = width
        self.boundaries: Boundaries = boundary
        self.time = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        self.stem = Convolution(condition_channels, width, dimension, boundary)
        self.encoder = nn.ModuleList(Block(width, dimension, boundary) for _ in range(encoder_blocks))
        self.entry = Convolution(channels, width, dimension, boundary)
        self.decoder = nn.ModuleList(Block(width, dimension, boundary, 32) for _ in range(decoder_blocks))
        self.exit = Convolution(width, channels, dimension, boundary)
        nn.init.zeros_(self.exit.weight)

    def encode(self, condition: Float[Tensor, "B F *L"]) -> Float[Tensor, "B W *L"]:
        return in_tiles(self._encode, [condition], self.reach()[0], self.boundaries)

    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        angle = t.to(x)[:, None] * (math.pi / 2)
        time = self.time(torch.cat([angle.cos(), angle.sin(), (2 * angle).sin(), (4 * angle).cos()], 1))
        inputs = [x] if features is None else [x, features]
        return in_tiles(self._decode, inputs, self.reach()[1], self.boundaries, [time])

    def reach(self) -> tuple[int, int]:
        return 1 + 2 * len(self.encoder), 2 + 2 * len(self.decoder)

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
        return self.exit.of_silu(h, LEAK)
