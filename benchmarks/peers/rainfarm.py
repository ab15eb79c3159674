"""pysteps' RainFARM (Rebora et al. 2006; D'Onofrio et al. 2014), for heights instead of rain."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from pysteps.downscaling import rainfarm
from torch import Tensor

from benchmarks.peers.gaussian import FACTOR, consistent
from rgdm.evaluate import bicubic, radial_spectrum
from rgdm.evaluate.baselines import block_mean


@dataclass
class RainFarm:
    """RainFARM multiplies a positive field by exp(noise) of unit standard deviation and the spectrum k^-alpha, then
    corrects the block means. As heights are not positive it is given, tile by tile, either

    - ``shifted``: heights above the lowest one plus one standard deviation, as they are; or
    - ``exponential``: ``exp(h / s)``, which makes the noise additive with standard deviation s and the same
      everywhere; s = ``strength`` x the standard deviation of the coarse tile. The logarithm is taken back and
      the block means are corrected once more, for the mean of a logarithm is not the logarithm of a mean.

    ``learned`` takes alpha from the training fields; otherwise pysteps estimates it from each coarse tile. ``kernel``
    and ``fusion`` are pysteps' options. ``smooth`` replaces block constants by the bicubic field, in what the noise is
    added to and in what is taken off the noise (exponential only): RainFARM without its blocks.
    """

    transform: str
    learned: bool
    kernel: str | None = None
    fusion: bool = False
    strength: float = 1.0
    smooth: bool = False
    alpha: float | None = None
    evaluations: int = 0

    @property
    def name(self) -> str:
        slope = "alpha estimated" if self.alpha is None else f"alpha {self.alpha:.2f}"
        options = [self.kernel, "fusion" if self.fusion else None, "bicubic" if self.smooth else None]
        strength = f"strength {self.strength:g}" if self.transform == "exponential" else None
        return f"RainFARM ({', '.join(each for each in (self.transform, slope, *options, strength) if each)})"

    def fit(self, fields: Tensor) -> None:
        """alpha of S(k) ~ k^-alpha (the two-dimensional density, as in pysteps) in the octaves that detail fills."""
        if self.learned:
            k, power = radial_spectrum(fields, "reflect")
            inside = (k > 0.5 / FACTOR) & (k <= 0.5)
            line = np.polyfit(k[inside].log().numpy(), power.mean(0)[inside].log().numpy(), 1)
            self.alpha = round(-float(line[0]), 2)

    def refine(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        np.random.seed(seed)  # pysteps draws from numpy's global generator
        ensemble = [torch.stack([self._one(tile) for tile in coarse[:, 0].double()])[:, None] for _ in range(members)]
        return torch.stack([consistent(fine, coarse.double()) for fine in ensemble]).to(coarse)

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
        options = {"alpha": alpha, "kernel_type": self.kernel, "spectral_fusion": self.fusion}
        return torch.from_numpy(np.asarray(rainfarm.downscale(field.numpy(), FACTOR, **options)))

    def _slope(self, tile: Tensor) -> float:
        """alpha of the heights, by pysteps' own estimate unless it is given."""
        if self.alpha is not None:
            return self.alpha
        return float(rainfarm._estimate_alpha(tile.numpy(), rainfarm._compute_freq_array(tile.numpy())))


def variants() -> list[RainFarm]:
    """Plain, fused and smoothed, with alpha estimated and with that of the training tiles."""
    plain = [RainFarm("shifted", learned) for learned in (False, True)]
    for learned, strength, smooth in itertools.product((False, True), (0.25, 0.35, 0.5, 0.7), (False, True)):
        plain.append(RainFarm("exponential", learned, strength=strength, smooth=smooth))
    plain += [RainFarm("exponential", True, kernel, strength=0.5) for kernel in ("gaussian", "tophat")]
    return plain + [RainFarm("exponential", True, fusion=True, strength=strength) for strength in (0.25, 0.5)]
