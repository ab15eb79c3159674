"""The single-stage peer: a conditional U-Net diffusion that does x8 at once (EDM: Karras et al. 2022, 2206.00364).

The network is diffusers' ``UNet2DModel``. It denoises the residual of the truth against the consistent
bicubic field, in units of one global standard deviation (``scale="global"``) or of the local
amplitude that the coarse field predicts (``scale="local"``, the same rule that the cascade uses), given the
interpolated coarse field. Trained on 64 x 64 crops for a wall-clock time, sampled on whole tiles with Heun's method.
"""

import itertools
import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from peers import FACTOR, consistent
from torch import Tensor

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


class SuperResolution:
    """``fine = bicubic(coarse) + unit * z``, z from the diffusion model given the coarse field."""

    def __init__(
        self,
        train: Tensor,
        scale: Scale,
        device: str = "cpu",
        seed: int = 0,
        channels: tuple[int, ...] = (32, 64, 96),
        layers: int = 1,
        steps: int = 10,
    ) -> None:
        torch.manual_seed(seed)
        self.scale, self.device, self.steps, self.seed = scale, device, steps, seed
        self.mean, self.spread = train.mean(), train.std()
        coarse = block_mean(train, FACTOR)
        residual = train - bicubic(coarse, FACTOR)
        self.amplitude = LocalAmplitude(1, FACTOR**2, 2, "reflect")
        self.amplitude.fit(coarse, F.pixel_unshuffle(residual, FACTOR))
        self.size = torch.ones(())
        self.size = (residual / self.problem(coarse).unit).std()
        problem = self.problem(coarse)
        self.target, self.condition = residual / problem.unit, problem.condition
        self.network = UNet2DModel(
            in_channels=1 + problem.condition.shape[1],
            out_channels=1,
            block_out_channels=channels,
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=8,
            add_attention=False,
        ).to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.precision = torch.bfloat16 if choose_precision("auto", device) == "bf16" else torch.float32

    @property
    def label(self) -> str:
        return f"U-Net, {self.scale} scale"

    @property
    def evaluations(self) -> int:
        """Network calls a member: Heun's, two a step but the last."""
        return 2 * self.steps - 1

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

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

    # --- training --------------------------------------------------------------------------

    def train(self, seconds: float, watch: Callable[[float, float], None] | None = None, batch: int = 8) -> int:
        """EDM training for a wall-clock time: AdamW, warm-up and cosine decay, averaged weights. Steps done."""
        generator = torch.Generator().manual_seed(self.seed)
        weights = list(self.network.parameters())
        optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), fused=True)
        self.network.train()
        began, step = time.monotonic(), 0
        while (spent := (time.monotonic() - began) / seconds) < 1:
            rate = 1e-3 * min(1.0, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * spent)) + 1e-3)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = self._loss(*self._crops(batch, generator), generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(self.average, weights, 1 - min(0.999, (1 + step) / (10 + step)))
            if watch:
                watch(min(1.0, spent), float(loss.detach()))
        with torch.no_grad():
            for weight, mean in zip(weights, self.average, strict=True):
                weight.copy_(mean)
        self.network.eval()
        return step

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

    # --- sampling --------------------------------------------------------------------------

    def __call__(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        return torch.stack([consistent(raw, coarse) for raw in self.raw(coarse, members, seed)])

    @torch.no_grad()
    def raw(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        """The ensemble as the network makes it; its block means are only nearly right."""
        generator = torch.Generator().manual_seed(seed)
        tiles = []
        for tile in coarse:
            problem = self.problem(tile[None])
            condition = problem.condition.to(self.device).expand(members, -1, -1, -1)
            noise = torch.randn(members, 1, *problem.smooth.shape[2:], generator=generator).to(self.device)
            tiles.append(problem.smooth + problem.unit * self._heun(noise, condition).cpu())
        return torch.stack(tiles, 1)

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
