"""One diffusion of the whole field, without lifts: any basis and schedule, a U-Net, a wall-clock time of training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.peers.unet import network
from benchmarks.shared.training import descend
from rgdm.model.laws.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.scale.boundary import Boundary

BATCH = 16


class UNet(Backbone):
    """diffusers' U-Net, its edges as the boundary says."""

    def __init__(self, boundary: Boundary, channels: tuple[int, ...] = (16, 32, 48)) -> None:
        super().__init__()
        self.net = network(1, channels)
        for module in list(self.net.modules()):
            for name, conv in module.named_children():
                if isinstance(conv, torch.nn.Conv2d) and conv.kernel_size != (1, 1):
                    setattr(module, name, _wrapped(conv, boundary))
        torch.nn.init.zeros_(self.net.conv_out.weight)

    def forward(self, x: Tensor, t: Tensor, features: Tensor | None = None) -> Tensor:
        return self.net(x, 1000 * t).sample


def _wrapped(conv: torch.nn.Conv2d, boundary: Boundary) -> torch.nn.Conv2d:
    """The same layer, untrained, that goes on beyond the edges."""
    mode = "circular" if boundary == "periodic" else "reflect"
    return torch.nn.Conv2d(conv.in_channels, conv.out_channels, 3, conv.stride[0], 1, padding_mode=mode)


@dataclass
class WholeField:
    """Sampled with ``AdamsBashforth`` from noise of the amplitude that the process ends with."""

    process: ForwardProcess
    boundary: Boundary
    seconds: float
    device: str = "cpu"
    seed: int = 0
    evaluations: int = 8

    @property
    def name(self) -> str:
        return f"{type(self.process.basis).__name__}, {type(self.process.schedule).__name__}"

    def fit(self, fields: Tensor) -> None:
        torch.manual_seed(self.seed)
        self.denoiser = Denoiser(self.process, UNet(self.boundary)).to(self.device)

        def loss(_: int) -> Tensor:
            x = fields[torch.randint(len(fields), (BATCH,))].to(self.device)
            t = ((torch.arange(BATCH) + torch.rand(1)) / BATCH).to(self.device)
            return self.denoiser.loss(x, t, torch.randn(x.shape).to(self.device)).mean()

        self.trained = descend(self.denoiser.backbone.parameters(), loss, self.seconds, self.name)
        self.denoiser.eval()

    @torch.no_grad()
    def sample(self, side: int, count: int, seed: int) -> Tensor:
        generator, parts = torch.Generator().manual_seed(seed), []
        for part in torch.arange(count).split(64):
            noise = torch.randn(len(part), 1, side, side, generator=generator).to(self.device)
            start = self.denoiser.process.start(noise)
            z = AdamsBashforth(self.evaluations)(self.denoiser, self.denoiser.process, start)
            parts.append(self.denoiser.process.basis.synthesize(z).cpu())
        return torch.cat(parts)
