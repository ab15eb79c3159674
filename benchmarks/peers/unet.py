"""The single-stage peer: a conditional U-Net diffusion that does x8 at once (EDM: Karras et al. 2022, 2206.00364)."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from benchmarks.peers.gaussian import FACTOR, consistent
from benchmarks.shared.training import descend
from rgdm.evaluate import bicubic, block_constant
from rgdm.evaluate.baselines import block_mean
from rgdm.model.closed_form.amplitude import LocalAmplitude, blur
from rgdm.train import choose_precision

Scale = Literal["global", "local"]
CROP = 64


class Problem(NamedTuple):
    """What the network is shown of coarse fields, and the units of what it has to find."""

    smooth: Tensor
    unit: Tensor
    condition: Tensor


def network(inputs: int, channels: tuple[int, ...], layers: int = 1) -> UNet2DModel:
    """diffusers' U-Net without attention."""
    down, up = ("DownBlock2D",) * len(channels), ("UpBlock2D",) * len(channels)
    return UNet2DModel(
        in_channels=inputs,
        out_channels=1,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=down,
        up_block_types=up,
        norm_num_groups=8,
        add_attention=False,
    )


@dataclass
class SuperResolution:
    """``fine = bicubic(coarse) + unit * z``, z from a diffusion given the interpolated coarse field.

    The network denoises z, the residual in units of one global standard deviation (``scale="global"``) or of the local
    amplitude that the coarse field predicts (``"local"``, the same rule that the cascade uses). Trained for ``seconds``
    on 64 x 64 crops, sampled on whole tiles with Heun's method.
    """

    scale: Scale
    seconds: float
    device: str = "cpu"
    seed: int = 0
    channels: tuple[int, ...] = (32, 64, 96)
    steps: int = 10
    shifted: bool = False
    """To the block means that were given; as the network makes it an ensemble's are only nearly right."""

    @property
    def name(self) -> str:
        return f"U-Net, {self.scale} scale, {'block means corrected' if self.shifted else 'raw'}"

    @property
    def evaluations(self) -> int:
        """Network calls a member: Heun's, two a step but the last."""
        return 2 * self.steps - 1

    @torch.no_grad()
    def problem(self, coarse: Tensor) -> Problem:
        """Interpolated field, local unit, and condition: the field, its height over two neighbourhoods, the unit."""
        smooth = bicubic(coarse, FACTOR)
        log_unit = self.amplitude(coarse).log().mean(1, keepdim=True)
        log_unit = F.interpolate(log_unit, scale_factor=FACTOR, mode="bilinear")
        unit = self.size * (log_unit.exp() if self.scale == "local" else torch.ones_like(log_unit))
        value = (smooth - self.mean) / self.spread
        if self.scale == "global":
            return Problem(smooth, unit, value)
        above = [coarse - blur(coarse, width, "reflect") for width in (1.5, 6.0)]
        above = [F.interpolate(each, scale_factor=FACTOR, mode="bilinear") for each in above]
        local = [torch.asinh(each / log_unit.exp()) for each in (*above, smooth - block_constant(coarse, FACTOR))]
        return Problem(smooth, unit, torch.cat([value, log_unit - math.log(100.0), *local], 1))

    def fit(self, fields: Tensor) -> None:
        """EDM training for a wall-clock time."""
        torch.manual_seed(self.seed)
        self.mean, self.spread, self.size = fields.mean(), fields.std(), torch.ones(())
        coarse = block_mean(fields, FACTOR)
        residual = fields - bicubic(coarse, FACTOR)
        self.amplitude = LocalAmplitude(1, FACTOR**2, 2, "reflect")
        self.amplitude.fit(coarse, F.pixel_unshuffle(residual, FACTOR))
        self.size = (residual / self.problem(coarse).unit).std()
        problem = self.problem(coarse)
        self.target, self.condition = residual / problem.unit, problem.condition
        net = network(1 + problem.condition.shape[1], self.channels)
        self.network = torch.nn.Module.to(net, memory_format=torch.channels_last).to(self.device)
        self.precision = torch.bfloat16 if choose_precision("auto", self.device) == "bf16" else torch.float32
        generator = torch.Generator().manual_seed(self.seed)
        self.network.train()
        self.trained = descend(
            self.network.parameters(),
            lambda _: self._loss(*self._crops(8, generator), generator),
            self.seconds,
            self.name,
        )
        self.network.eval()

    def _crops(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random crops of target and condition, mirrored and transposed at random as the cascade's are."""

        def draw(n: int) -> int:
            return int(torch.randint(n, (1,), generator=generator))

        both = []
        for _ in range(batch):
            tile = draw(len(self.target))
            top, left = (draw(n - CROP + 1) for n in self.target.shape[2:])
            where = (tile, slice(None), slice(top, top + CROP), slice(left, left + CROP))
            crop = torch.cat([self.target[where], self.condition[where]])
            for axis in (1, 2):
                if draw(2):
                    crop = crop.flip(axis)
            both.append(crop.transpose(1, 2) if draw(2) else crop)
        stack = torch.stack(both).to(self.device)
        return stack[:, :1], stack[:, 1:]

    def _loss(self, x: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """EDM's: log-normal noise levels, weighted to unit variance of what the network has to predict."""
        sigma = (1.2 * torch.randn(len(x), 1, 1, 1, generator=generator) - 0.5).exp().to(x)
        noise = torch.randn(x.shape, generator=generator).to(x)
        weight = (sigma**2 + 1) / sigma**2
        return (weight * (self._denoise(x + sigma * noise, sigma, condition) - x).square()).mean()

    def _denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """``D = c_skip x + c_out F(c_in x, c_noise)`` for data of unit variance (EDM, table 1)."""
        total = (sigma**2 + 1).sqrt()
        inputs = torch.cat([x / total, condition], 1).contiguous(memory_format=torch.channels_last)
        noise_level = (sigma.log() / 4).flatten().expand(len(x)) * 1000  # the embedding is made for steps up to 1000
        with torch.autocast(torch.device(self.device).type, self.precision, enabled=self.precision != torch.float32):
            out = self.network(inputs, noise_level).sample
        return x / total**2 + sigma / total * out.float()

    @torch.no_grad()
    def refine(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        tiles = []
        for tile in coarse:
            problem = self.problem(tile[None])
            condition = problem.condition.to(self.device).expand(members, -1, -1, -1)
            noise = torch.randn(members, 1, *problem.smooth.shape[2:], generator=generator).to(self.device)
            tiles.append(problem.smooth + problem.unit * self._heun(noise, condition).cpu())
        ensemble = torch.stack(tiles, 1)
        return torch.stack([consistent(fine, coarse) for fine in ensemble]) if self.shifted else ensemble

    def _heun(
        self, noise: Tensor, condition: Tensor, low: float = 0.01, high: float = 20.0, rho: float = 7.0
    ) -> Tensor:
        """EDM's deterministic sampler (algorithm 1) on its spacing of noise levels."""
        place = torch.linspace(0, 1, self.steps).to(noise)
        sigmas = (high ** (1 / rho) + place * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        sigmas = torch.cat([sigmas, torch.zeros_like(sigmas[:1])])
        x = noise * sigmas[0]
        for sigma, following in itertools.pairwise(sigmas):
            slope = (x - self._denoise(x, sigma, condition)) / sigma
            guess = x + (following - sigma) * slope
            if following > 0:
                there = (guess - self._denoise(guess, following, condition)) / following
                guess = x + (following - sigma) * (slope + there) / 2
            x = guess
        return x
