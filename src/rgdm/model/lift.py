"""Lifts: p(detail | coarse), merged exactly. What makes the inverse renormalization group stochastic."""

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.amplitude import CONTRACTION, WIDTHS, LocalAmplitude, blur
from rgdm.model.denoiser import Denoiser, Objective
from rgdm.model.gaussian import Colouring, LinearPrediction
from rgdm.model.networks import Backbone
from rgdm.model.samplers import Draw, Sampler
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Schedule, Trigonometric
from rgdm.scale.basis import Site
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

TAIL = 0.35
"""Largest s: a stronger bend gives lighter tails to learn, but then sinh makes every error in them a spike."""
MARGIN = 6
"""Sites along a cut edge that the loss leaves out: the network reaches farther, but hardly."""
PREDICTION_RADIUS = 3
COLOUR_RADIUS = 5


class Lift(nn.Module, abc.ABC):
    """A conditional law of the detail given the coarse field, for one coarse-graining.

    ``sample`` merges what it draws, so ``coarsen(sample(coarse, ...)) == coarse`` to round-off,
    whatever the law. Fields are normalised and in the orthonormal convention.
    """

    step: CoarseGraining

    @abc.abstractmethod
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        """Measure the closed-form parts on fine fields: seconds, no gradient steps."""

    @abc.abstractmethod
    def detail(
        self, coarse: Float[Tensor, "B C *K"], noise: Float[Tensor, "B D *K"], sampler: Sampler, draw: Draw | None
    ) -> Float[Tensor, "B D *K"]:
        """A sample of the detail made from unit noise; a stochastic sampler takes more from ``draw``."""

    @torch.no_grad()
    def sample(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B C *F"]:
        """A fine field that coarsens to ``coarse``; the state keeps the dtype of ``coarse``."""
        return self.step.merge(coarse, self.detail(coarse, noise, sampler, draw).to(coarse))


class GaussianLift(Lift):
    """``detail = G * coarse + a * (W * noise)``: exact for Gaussian fields, and the reference for all others.

    G is the best local linear prediction, W the root of the residual's spectrum, a the
    local amplitude read off the coarse field (1 unless ``local_amplitude``), its exponent at most
    ``contraction``.
    """

    def __init__(
        self,
        step: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        local_amplitude: bool = False,
        contraction: float = CONTRACTION,
        prediction_radius: int = PREDICTION_RADIUS,
        colour_radius: int = COLOUR_RADIUS,
    ) -> None:
        super().__init__()
        bands = step.bands(dimension)
        self.step, self.channels, self.dimension, self.boundary = step, channels, dimension, boundary
        self.prediction = LinearPrediction(channels, channels * bands, dimension, prediction_radius, boundary)
        self.colouring = Colouring(channels * bands, dimension, colour_radius, boundary)
        rule = LocalAmplitude(channels, bands, dimension, boundary, contraction)
        self.amplitude = rule if local_amplitude else None

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        coarse, detail = self.step.split(fine)
        self.prediction.fit(coarse, detail)
        residual = detail - self.prediction(coarse)
        if self.amplitude is not None:
            self.amplitude.fit(coarse, residual)
        self.colouring.fit(residual / self.spread(coarse))

    def spread(self, coarse: Float[Tensor, "B C *K"]) -> Tensor:
        """The local amplitude a, or 1."""
        return coarse.new_ones(()) if self.amplitude is None else self.amplitude(coarse)

    def detail(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler | None = None,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B D *K"]:
        return self.prediction(coarse) + self.spread(coarse) * self.colouring.colour(noise.to(coarse))


class DiffusionLift(Lift):
    """A denoiser for what the Gaussian lift leaves, in coordinates where that rest is white and of unit size.

    ``detail = G * coarse + a * sinh(s * W z) / s``: the local amplitude a(coarse) takes out the
    variation from place to place, sinh (Johnson's S_U law) the heavy tails, W the
    correlations; z is unit white noise for an untrained network and what the
    denoiser makes of it for a trained one. ``temperature`` multiplies the starting noise. The
    ``level`` tells lifts that share a network apart.
    """

    tail: Tensor
    limit: Tensor
    temperature: Tensor
    condition_mean: Tensor
    condition_scale: Tensor

    def __init__(
        self,
        step: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        backbone: Backbone,
        schedule: Schedule | None = None,
        objective: Objective = "velocity",
        level: int = 0,
    ) -> None:
        super().__init__()
        self.level = level
        self.gaussian = GaussianLift(step, channels, dimension, boundary, local_amplitude=True)
        self.step = step
        self.denoiser = Denoiser(ForwardProcess(Site(), schedule or Trigonometric()), backbone, objective)
        self.register_buffer("tail", torch.zeros(channels * step.bands(dimension)))
        self.register_buffer("limit", torch.full_like(self.tail, torch.inf))
        self.register_buffer("temperature", torch.ones(()))
        count = condition_channels(channels, step.bands(dimension)) - 1
        self.register_buffer("condition_mean", torch.zeros(count))
        self.register_buffer("condition_scale", torch.ones(count))

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        coarse, detail = self.step.split(fine)
        self.gaussian.prediction.fit(coarse, detail)
        residual = detail - self.gaussian.prediction(coarse)
        self.amplitude.fit(coarse, residual)
        ratio = residual / self.amplitude(coarse)
        self.tail.copy_(torch.stack([_tail(band) for band in ratio.movedim(1, 0).flatten(1)]))
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
        """Detail to the denoiser's coordinates z."""
        residual = detail - self.gaussian.prediction(coarse)
        return self.gaussian.colouring.whiten(_compress(residual / self.amplitude(coarse), self.tail))

    def restore(self, coarse: Float[Tensor, "B C *K"], z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """The denoiser's coordinates z to detail."""
        limit = _per_band(self.limit, z)
        ratio = _expand(self.gaussian.colouring.colour(z).clamp(-limit, limit), self.tail)
        return self.gaussian.prediction(coarse) + self.amplitude(coarse) * ratio

    def condition(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B F *K"]:
        """What the network sees: of the coarse field, each channel of zero mean and unit size; and the level."""
        shape = (1, -1, *[1] * (coarse.dim() - 2))
        seen = (self._raw_condition(coarse) - self.condition_mean.reshape(shape)) / self.condition_scale.reshape(shape)
        return torch.cat([seen, torch.full_like(seen[:, :1], self.level)], 1)

    def _raw_condition(self, coarse: Tensor) -> Tensor:
        """Value, log roughness, height over the neighbourhood and predicted detail in local units."""
        roughness = self.amplitude.roughness(coarse)
        amplitude = self.amplitude.from_roughness(roughness)
        local = amplitude.unflatten(1, (coarse.shape[1], -1))[:, :, 0]
        above = [torch.asinh((coarse - blur(coarse, w, self.amplitude.boundary)) / local) for w in WIDTHS]
        predicted = torch.asinh(self.gaussian.prediction(coarse) / amplitude)
        return torch.cat([coarse, roughness.flatten(1, 2), *above, predicted], 1)

    def loss(
        self,
        fine: Float[Tensor, "B C *F"],
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *K"],
        halo: tuple[int, ...] = (),
    ) -> Float[Tensor, " B"]:
        """The denoising loss of each sample, on details split off true fine fields (teacher forcing).

        A patch cut out of a periodic field has a ``halo`` of coarse sites along each axis, for
        its edges do not belong together: what surrounds a site is measured with it, then it is cut
        off, and of what is left the outer sites, where the network wraps around, do not count.
        """
        # In full precision also where the network computes in less: the detail of flat places is a small part of its
        # coarse field, and rounding that would be noise to learn.
        with torch.no_grad(), torch.autocast(fine.device.type, enabled=False):
            coarse, detail = self.step.split(fine)
            z, condition = self.standardize(coarse, detail), self.condition(coarse)
            inner = None
            if any(halo):
                inside = (..., *(slice(h, n - h) for h, n in zip(halo, z.shape[2:], strict=True)))
                z, condition = z[inside], condition[inside]
                inner = _inner(z, tuple(min(h, MARGIN) for h in halo))
        return self.denoiser.loss(z, t, noise, self.denoiser.backbone.encode(condition), inner)

    def detail(
        self,
        coarse: Float[Tensor, "B C *K"],
        noise: Float[Tensor, "B D *K"],
        sampler: Sampler,
        draw: Draw | None = None,
    ) -> Float[Tensor, "B D *K"]:
        weight = next(self.denoiser.backbone.parameters())
        coarse = coarse.to(weight)
        features = self.denoiser.backbone.encode(self.condition(coarse))
        start = self.temperature * noise.to(weight)
        z = sampler(lambda z, t: self.denoiser(z, t, features), self.denoiser.process, start, draw)
        return self.restore(coarse, z)


def condition_channels(channels: int, bands: int) -> int:
    """How many channels :meth:`DiffusionLift.condition` has."""
    return channels * (1 + 2 * len(WIDTHS) + bands) + 1


def _tail(ratio: Tensor) -> Tensor:
    """The s up to ``TAIL`` for which ``asinh(s r) / s`` is nearest to the kurtosis 3 of a Gaussian (bisection)."""
    sample = ratio[:: max(1, len(ratio) // 200_000)].double()
    low, high = 0.0, TAIL
    if _kurtosis(sample) <= 3.05:
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
