"""What the learned lifts share: coordinates in which detail is about white noise of unit size, and what a net sees."""

import abc
import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.closed_form.amplitude import WIDTHS, LocalAmplitude, blur
from rgdm.model.lifts.lift import GaussianLift, Lift
from rgdm.model.lifts.likelihood import LogProb, Probes, normal_log_prob
from rgdm.model.lifts.texture import Texture
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

TAIL = 0.35
"""Largest s by default: a stronger bend gives lighter tails to learn, but sinh makes every error in them a spike."""
MARGIN = 6
"""Sites along a cut edge that the loss leaves out: the network reaches farther, but hardly."""


class StandardizedLift(Lift):
    """``detail = G * coarse + a * sinh(s * y) / s``; a subclass says what the law of y is.

    The local amplitude a(coarse) takes out the variation from place to place, sinh (Johnson's S_U law)
    the heavy tails. ``temperature`` multiplies the starting noise; a loss takes ``draws`` of them. The ``level`` tells
    lifts that share a network apart. With so many scales of ``scattering`` the network is also shown the
    :class:`~rgdm.model.lifts.texture.Texture` of the coarse field.
    """

    tail: Tensor
    limit: Tensor
    temperature: Tensor
    condition_mean: Tensor
    condition_scale: Tensor

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        level: int = 0,
        bend: float = TAIL,
        scattering: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= bend < math.inf:
            raise InputError(f"bend = {bend}; the largest bend of the tails must be finite and not negative")
        self.level, self.bend = level, bend
        self.draws = 1
        self.gaussian = GaussianLift(operator, channels, dimension, boundary, local_amplitude=True)
        self.operator = operator
        self.register_buffer("tail", torch.zeros(channels * operator.bands(dimension)))
        self.register_buffer("limit", torch.full_like(self.tail, torch.inf))
        self.register_buffer("temperature", torch.ones(()))
        self.texture = Texture(scattering, dimension, boundary) if scattering else None
        texture = 0 if self.texture is None else self.texture.count
        count = condition_channels(channels, operator.bands(dimension), texture) - 1
        self.register_buffer("condition_mean", torch.zeros(count))
        self.register_buffer("condition_scale", torch.ones(count))

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        coarse, detail = self.operator.split(fine)
        self.gaussian.prediction.fit(coarse, detail)
        residual = detail - self.gaussian.prediction(coarse)
        self.amplitude.fit(coarse, residual)
        ratio = residual / self.amplitude(coarse)
        self.tail.copy_(torch.stack([_tail(band, self.bend) for band in ratio.movedim(1, 0).flatten(1)]))
        compressed = _compress(ratio, self.tail)
        self.limit.copy_(compressed.abs().movedim(1, 0).flatten(1).amax(1))
        self.gaussian.colouring.fit(compressed)
        raw = self._raw_condition(coarse).movedim(1, 0).flatten(1)
        self.condition_mean.copy_(raw.mean(1))
        self.condition_scale.copy_(raw.std(1).clamp(min=1e-6))

    @property
    def amplitude(self) -> LocalAmplitude:
        """The rule that reads the size of the detail off the coarse field."""
        assert self.gaussian.amplitude is not None
        return self.gaussian.amplitude

    def standardize(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """Detail to the coordinates z whose law is learned; it is about unit white noise."""
        return self.compress(coarse, detail)[0]

    @abc.abstractmethod
    def loss(
        self,
        fine: Float[Tensor, "B C *F"],
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *K"],
        halo: tuple[int, ...] = (),
    ) -> Float[Tensor, " B"]:
        """What training brings down, one value a sample, on true fine fields (teacher forcing).

        A patch cut out of a field has a ``halo`` of coarse sites along each axis if its edges do not belong together,
        or what is measured around a site reaches far: see :meth:`example`.
        """

    @torch.no_grad()
    def example(
        self, fine: Float[Tensor, "B C *F"], halo: tuple[int, ...]
    ) -> tuple[Float[Tensor, "B D *K"], Float[Tensor, "B G *K"], Tensor | None]:
        """What there is to learn of fine fields: z, condition, and how much each site counts (None: all alike).

        What surrounds a site is measured with the halo, then it is cut off, and of what is left the outer sites, where
        the network wraps around, do not count. All in full precision also where the network computes in less: the
        detail of flat places is a small part of its coarse field, and rounding that would be noise to learn.
        """
        with torch.autocast(fine.device.type, enabled=False):
            coarse, detail = self.operator.split(fine)
            z, condition = self.standardize(coarse, detail), self.condition(coarse)
        if not any(halo):
            return z, condition, None
        inside = (..., *(slice(h, n - h) for h, n in zip(halo, z.shape[2:], strict=True)))
        z, condition = z[inside], condition[inside]
        return z, condition, _inner(z, tuple(min(h, MARGIN) for h in halo))

    @torch.no_grad()
    @abc.abstractmethod
    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        probes: Probes = None,
        tolerance: float = 1e-5,
        hottest: float = math.inf,
    ) -> LogProb:
        """log p(detail | coarse), as :meth:`Lift.log_prob`, at the temperature of the lift but at most ``hottest``."""

    @torch.no_grad()
    def untrained_log_prob(self, fine: Float[Tensor, "B C *F"], hottest: float = math.inf) -> LogProb:
        """log p(detail | coarse) of the closed-form part alone, z being white noise: the reference for the networks.

        With amplitude, tails and correlations, whether the network of this lift is given them or not.
        """
        self.operator.check_volume(fine.dim() - 2)
        z, volume = self._white(*self.operator.split(fine))
        return normal_log_prob(z, min(float(self.temperature), hottest)).plus(volume)

    def _white(
        self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]
    ) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        """``W^-1 y``, and ``log |det|`` of the map from detail to it, of each field; exactly inverse to sampling."""
        y, slopes = self.compressed(coarse, detail)
        z, volume, error = self.gaussian.colouring.invert(y)
        return z, slopes.plus_for_all(-volume, error)

    def compressed(
        self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]
    ) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        """y, and ``log |det dy / ddetail|`` of each field."""
        y, slopes = self.compress(coarse, detail)
        return y, LogProb.without_error(slopes.double().flatten(1).sum(1))

    def compress(
        self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]
    ) -> tuple[Float[Tensor, "B D *K"], Float[Tensor, "B D *K"]]:
        """Detail to y, and ``log |dy / ddetail|`` of each."""
        amplitude = self.amplitude(coarse)
        ratio = (detail - self.gaussian.prediction(coarse)) / amplitude
        bent = torch.log1p((_per_band(self.tail, ratio) * ratio).square()) / 2
        return _compress(ratio, self.tail), -amplitude.log() - bent

    def expand(self, coarse: Float[Tensor, "B C *K"], y: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """y, no larger than in the data that were measured, to detail."""
        limit = _per_band(self.limit, y)
        return self.gaussian.prediction(coarse) + self.amplitude(coarse) * _expand(y.clamp(-limit, limit), self.tail)

    def condition(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B F *K"]:
        """What the network sees: of the coarse field, each channel of zero mean and unit size; and the level."""
        shape = (1, -1, *[1] * (coarse.dim() - 2))
        seen = (self._raw_condition(coarse) - self.condition_mean.reshape(shape)) / self.condition_scale.reshape(shape)
        return torch.cat([seen, torch.full_like(seen[:, :1], self.level)], 1)

    def _raw_condition(self, coarse: Tensor) -> Tensor:
        """Value, log roughness, height over the neighbourhood, predicted detail in local units, and any texture."""
        roughness = self.amplitude.roughness(coarse)
        amplitude = self.amplitude.from_roughness(roughness)
        local = amplitude.unflatten(1, (coarse.shape[1], -1))[:, :, 0]
        above = [torch.asinh((coarse - blur(coarse, w, self.amplitude.boundary)) / local) for w in WIDTHS]
        predicted = torch.asinh(self.gaussian.prediction(coarse) / amplitude)
        texture = [] if self.texture is None else [self.texture(coarse, self.amplitude.floor.sqrt())]
        return torch.cat([coarse, roughness.flatten(1, 2), *above, predicted, *texture], 1)


def condition_channels(channels: int, bands: int, texture: int = 0) -> int:
    """How many channels :meth:`StandardizedLift.condition` has, with so many numbers of texture a site and channel."""
    return channels * (1 + 2 * len(WIDTHS) + bands + texture) + 1


def _tail(ratio: Tensor, most: float) -> Tensor:
    """The s up to ``most`` for which ``asinh(s r) / s`` is nearest to the kurtosis 3 of a Gaussian (bisection)."""
    sample = ratio[:: max(1, len(ratio) // 200_000)].double()
    low, high = 0.0, most
    if most == 0 or _kurtosis(sample) <= 3.05:
        return ratio.new_zeros(())
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _kurtosis(torch.asinh(middle * sample)) > 3 else (low, middle)
    return ratio.new_tensor((low + high) / 2)


def _kurtosis(x: Tensor) -> float:
    return float(x.pow(4).mean() / x.square().mean().square())


def _inner(z: Tensor, margin: tuple[int, ...]) -> Tensor:
    """1 inside and 0 in the margin along each axis, of mean 1."""
    mask = torch.zeros_like(z[:1, :1])
    mask[(..., *(slice(m, n - m) for m, n in zip(margin, z.shape[2:], strict=True)))] = 1
    return mask / mask.mean().clamp(min=1e-12)


def _compress(ratio: Tensor, tail: Tensor) -> Tensor:
    """``asinh(s r) / s``, and r itself where s = 0."""
    s = _per_band(tail, ratio)
    safe = s.clamp(min=1e-3)
    return torch.where(s > 0, torch.asinh(safe * ratio) / safe, ratio)


def _expand(y: Tensor, tail: Tensor) -> Tensor:
    """The inverse of :func:`_compress`."""
    s = _per_band(tail, y)
    safe = s.clamp(min=1e-3)
    return torch.where(s > 0, torch.sinh(safe * y) / safe, y)


def _per_band(tail: Tensor, like: Tensor) -> Tensor:
    return tail.to(like).reshape(1, -1, *[1] * (like.dim() - 2))
