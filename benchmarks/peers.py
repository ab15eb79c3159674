"""What the cascade is measured against, apart from the U-Net: the Gaussian lifts and RainFARM.

Every peer takes coarse fields ``(B, 1, *K)`` in metres and returns an ensemble ``(M, B, 1, *F)`` with exactly
their block means.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from pysteps.downscaling import rainfarm as pysteps_rainfarm
from torch import Tensor

from rgdm.evaluate import bicubic, block_constant, radial_spectrum
from rgdm.evaluate.baselines import block_mean
from rgdm.model.lifts.lift import GaussianLift
from rgdm.scale.operators.block import BlockSpin

LEVELS = 3
FACTOR = 2**LEVELS

Refine = Callable[[Tensor, int, int], Tensor]
"""``(coarse, members, seed) -> ensemble``."""


def consistent(fine: Tensor, coarse: Tensor) -> Tensor:
    """Shifted block by block to the means ``coarse``."""
    return fine + block_constant(coarse - block_mean(fine, FACTOR), FACTOR)


# --- Gaussian lifts ----------------------------------------------------------------------------


class GaussianCascade:
    """One :class:`GaussianLift` a level, each fitted on the true fields of its level (metres, orthonormal)."""

    def __init__(self, train: Tensor, contraction: float | None) -> None:
        self.step = BlockSpin(2)
        self.mean = train.mean()
        self.lifts: list[GaussianLift] = []
        fine = train - self.mean
        for _ in range(LEVELS):
            lift = GaussianLift(self.step, 1, 2, "reflect", contraction is not None, contraction or 0.0)
            lift.fit(fine)
            self.lifts.append(lift)
            fine = self.step.coarsen(fine)

    def __call__(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([self._member(coarse, generator) for _ in range(members)])

    @torch.no_grad()
    def _member(self, coarse: Tensor, generator: torch.Generator) -> Tensor:
        x = (coarse - self.mean) * FACTOR
        for lift in reversed(self.lifts):
            noise = torch.randn(len(x), self.step.bands(2), *x.shape[2:], generator=generator)
            x = self.step.merge(x, lift.detail(x, noise))
        return x + self.mean


def gaussian_variants(train: Tensor) -> dict[str, Refine]:
    """With one amplitude for all places, and with that read off the coarse field, its exponent limited."""
    limits = {"": None} | {f", local amplitude to the power {c}": c for c in (0.6, 0.8, 1.0)}
    return {f"Gaussian lift{name}": GaussianCascade(train, limit) for name, limit in limits.items()}


# --- RainFARM ----------------------------------------------------------------------------------


class RainFarm(NamedTuple):
    """pysteps' RainFARM (Rebora et al. 2006; D'Onofrio et al. 2014), for heights instead of rain.

    RainFARM multiplies a positive field by exp(noise) of unit standard deviation and the spectrum k^-alpha, then
    corrects the block means. As heights are not positive it is given, tile by tile, either

    - ``shifted``: heights above the lowest one plus one standard deviation, as they are; or
    - ``exponential``: ``exp(h / s)``, which makes the noise additive with standard deviation s and the same
      everywhere; s = ``strength`` x the standard deviation of the coarse tile. The logarithm is taken back and
      the block means are corrected once more, for the mean of a logarithm is not the logarithm of a mean.

    ``alpha`` None: estimated by pysteps from each coarse tile, else given. ``kernel`` and ``fusion`` are
    pysteps' options. ``smooth`` replaces block constants by the bicubic field, in what the noise is added to and
    in what is taken off the noise (exponential only): RainFARM without its blocks.
    """

    transform: str
    alpha: float | None = None
    kernel: str | None = None
    fusion: bool = False
    strength: float = 1.0
    smooth: bool = False

    @property
    def label(self) -> str:
        slope = "alpha estimated" if self.alpha is None else f"alpha {self.alpha:.2f}"
        options = [self.kernel, "fusion" if self.fusion else None, "bicubic" if self.smooth else None]
        strength = f"strength {self.strength:g}" if self.transform == "exponential" else None
        return ", ".join(each for each in (self.transform, slope, *options, strength) if each)

    def __call__(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        np.random.seed(seed)  # pysteps draws from numpy's global generator
        made = [torch.stack([self._one(tile) for tile in coarse[:, 0].double()])[:, None] for _ in range(members)]
        return torch.stack([consistent(fine, coarse.double()) for fine in made]).to(coarse)

    def _one(self, tile: Tensor) -> Tensor:
        spread, mean = float(tile.std()), float(tile.mean())
        if self.transform == "shifted":
            low = float(tile.min()) - spread
            return self._downscale(tile - low, self.alpha) + low
        scale = self.strength * spread
        if not self.smooth:
            return mean + scale * self._downscale(((tile - mean) / scale).exp(), self._slope(tile)).log()
        noise = self._downscale(torch.ones_like(tile), self._slope(tile)).log()[None, None]
        noise = noise - bicubic(block_mean(noise, FACTOR), FACTOR)
        return bicubic(tile[None, None], FACTOR)[0, 0] + scale * noise[0, 0]

    def _downscale(self, field: Tensor, alpha: float | None) -> Tensor:
        fine = pysteps_rainfarm.downscale(
            field.numpy(), FACTOR, alpha=alpha, kernel_type=self.kernel, spectral_fusion=self.fusion
        )
        return torch.from_numpy(np.asarray(fine))

    def _slope(self, tile: Tensor) -> float:
        """alpha of the heights, by pysteps' own estimate unless it is given."""
        if self.alpha is not None:
            return self.alpha
        values = tile.numpy()
        return float(pysteps_rainfarm._estimate_alpha(values, pysteps_rainfarm._compute_freq_array(values)))


def spectral_slope(train: Tensor) -> float:
    """alpha of S(k) ~ k^-alpha (the two-dimensional density, as in pysteps) in the octaves that the detail fills."""
    k, power = radial_spectrum(train, "reflect")
    inside = (k > 0.5 / FACTOR) & (k <= 0.5)
    slope = np.polyfit(k[inside].log().numpy(), power.mean(0)[inside].log().numpy(), 1)[0]
    return -float(slope)


def rainfarm_variants(train: Tensor) -> dict[str, Refine]:
    """Plain, fused and smoothed, with alpha estimated and with that of the training tiles."""
    slopes = (None, round(spectral_slope(train), 2))
    found = [RainFarm("shifted", alpha) for alpha in slopes]
    for alpha, strength in itertools.product(slopes, (0.25, 0.35, 0.5, 0.7)):
        found.append(RainFarm("exponential", alpha, strength=strength))
        found.append(RainFarm("exponential", alpha, strength=strength, smooth=True))
    found += [RainFarm("exponential", slopes[1], kernel, strength=0.5) for kernel in ("gaussian", "tophat")]
    found += [RainFarm("exponential", slopes[1], fusion=True, strength=strength) for strength in (0.25, 0.5)]
    return {f"RainFARM ({variant.label})": variant for variant in found}
