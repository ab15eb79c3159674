"""Standardizers: detail, given its context, to white unit coordinates and back, measured in seconds."""

import abc
import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.amplitude import CONTRACTION, WIDTHS, LocalAmplitude, Slices, blur
from rgdm.model.closed_form.colouring import Colouring
from rgdm.model.closed_form.prediction import LinearPrediction, detail_of_constant
from rgdm.model.closed_form.tails import bandwise, compress, expand, fit_tail, per_band
from rgdm.model.laws.likelihood import LogProb
from rgdm.model.lifts.context import Context
from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.tiles import in_tiles

PREDICTION_RADIUS = 3
"""Radius of the stencil of the linear prediction, in coarse sites."""
COLOUR_RADIUS = 5
"""Radius of the stencils of the colouring, in coarse sites."""
TAIL = 0.35
"""Largest bend of the tails by default: more gives lighter tails to learn, but sinh makes every error there a spike."""
AMPLITUDES = 5.0
"""Local amplitudes that detail may always have, also where that is more than was ever measured."""
TILE = 2**17
"""Most sites of a tile in which the amplitude is made: its wide windows want large ones."""
UNBOUNDED = 1e12
"""A largest detail that binds nothing, and in units of a small amplitude does not overflow."""


def inside(halo: tuple[int, ...], lattice: Lattice) -> Slices:
    """All but so many sites at both ends of each axis."""
    return tuple(slice(h, n - h) for h, n in zip(halo, lattice, strict=True))


def of_those(x: Float[Tensor, "B D *K"], present: Float[Tensor, "B D *K"] | None) -> Float[Tensor, "B D *K"]:
    """Details with 0 for those that there are not."""
    return x if present is None else x * present


class Standardizer(nn.Module, abc.ABC):
    """An invertible map of detail, given its context, to coordinates z in which it is about unit white noise."""

    boundaries: tuple[Boundary, ...]
    channels: int
    """Of the field."""

    @abc.abstractmethod
    def fit(self, context: Context, detail: Float[Tensor, "B D *K"]) -> None:
        """Measure everything on training fields; no gradient steps."""

    def look(
        self, context: Context, detail: Float[Tensor, "B D *K"], halo: tuple[int, ...]
    ) -> tuple[Context, Float[Tensor, "B D *I"], tuple[int, ...]]:
        """What is known of the context, and the detail, for several uses; less of their halo may be left, and is said.

        ``halo`` sites along each axis are there for the sake of those inside.
        """
        return context, detail, halo

    @abc.abstractmethod
    def standardize(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """Detail to z, by local operations: what a law learns from."""

    @abc.abstractmethod
    def restore(self, context: Context, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """z to detail."""

    @abc.abstractmethod
    def invert(self, context: Context, detail: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        """The z that :meth:`restore` takes to ``detail``, exactly, and ``log |det dz / d detail|`` of each field."""

    def whiten(self, context: Context, detail: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        """As :meth:`invert`, for the likelihood of the closed form: also without what is left to the law."""
        return self.invert(context, detail)

    def residual(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """What the context does not predict of the detail; by default nothing is predicted."""
        return detail

    def relevance(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B #D *K"] | None:
        """How much a law should heed each site or detail, from 0 to 1; None: all alike."""
        return context.present

    def shape(self, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """z to detail in units of the local amplitude: what samples are scored in, whatever their context."""
        return z

    @abc.abstractmethod
    def reach(self) -> int:
        """How many coarse sites away the map looks at the context."""

    @property
    @abc.abstractmethod
    def spread(self) -> int:
        """How many coarse sites away :meth:`restore` looks at z."""


@dataclass(frozen=True)
class Look(Context):
    """A context, and what a :class:`LocalStandardizer` with an amplitude reads off it.

    Args:
        roughness: its log roughness in each window, ``(B, W, C, *K)``.
        of_value: what its value says of the logarithm of the amplitude, ``(B, C, *K)``.
        size: the local amplitude, ``(B, D, *K)``.
        predicted: the detail, ``(B, D, *K)``.
        above: the height above the neighbourhood in each window, in units of the amplitude, ``(B, W * C, *K)``.
    """

    roughness: Tensor = field(kw_only=True)
    of_value: Tensor = field(kw_only=True)
    size: Tensor = field(kw_only=True)
    predicted: Tensor = field(kw_only=True)
    above: Tensor = field(kw_only=True)


class LocalStandardizer(Standardizer):
    """``detail = G * coarse + a * sinh(s * b) / s`` with ``b = W z``.

    G is the best local linear prediction. The local amplitude a, read off the coarse field, takes out the variation
    from place to place; sinh (Johnson's S_U law) the heavy tails; W, the root of the spectrum of what is left, the
    correlations. Without the parts that are switched off the map is the simpler for it; a standardizer of G and W alone
    leaves Gaussian fields exactly white.

    With a, samples have ends: none is larger than the largest detail that was measured, be it in units of a or in
    those of the field; 5 a are always allowed, but for what extreme values add to a. (In units of a the largest is
    found where little happens, and there says nothing of storms.) A density knows no ends: they touch what has next to
    no probability but for the faults of a law.

    Args:
        operator: the coarse-graining whose detail it is.
        channels: of the field.
        dimension: 1, 2 or 3.
        boundary: of each axis.
        local_amplitude: whether there is an a.
        bend: the largest s; 0: tails are left as they are.
        coloured: whether W is part of the map. A law that learns correlations itself does without; W is measured all
            the same, for the likelihood of the closed form.
        contraction: the largest exponent of the roughness in a.
        prediction_radius, colour_radius: of the stencils, in coarse sites.
        companions: fields beside it that G predicts from too.
        clock: how many cosines and sines of the time, with which what they say may change.
    """

    tail: Tensor
    limit: Tensor
    """The largest b that was measured, for each band."""
    largest: Tensor
    """The largest ``|detail - G * coarse|``."""

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundaries,
        local_amplitude: bool = True,
        bend: float = TAIL,
        coloured: bool = True,
        contraction: float = CONTRACTION,
        prediction_radius: int = PREDICTION_RADIUS,
        colour_radius: int = COLOUR_RADIUS,
        companions: int = 0,
        clock: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= bend < math.inf:
            raise InputError(f"bend = {bend}; the largest bend of the tails must be finite and not negative")
        bands, constant = operator.bands(dimension), detail_of_constant(operator, dimension)
        self.channels, self.dimension, self.bend, self.coloured = channels, dimension, bend, coloured
        self.boundaries = boundary_of_each(boundary, dimension)
        beside = companions, clock
        self.prediction = LinearPrediction(channels, constant, dimension, prediction_radius, boundary, *beside)
        self.colouring = Colouring(channels * bands, dimension, colour_radius, boundary)
        rule = LocalAmplitude(channels, bands, dimension, boundary, contraction)
        self.amplitude = rule if local_amplitude else None
        self.register_buffer("tail", torch.zeros(channels * bands))
        self.register_buffer("limit", torch.full((channels * bands,), torch.inf))
        self.register_buffer("largest", torch.full((channels * bands,), UNBOUNDED))

    @torch.no_grad()
    def fit(self, context: Context, detail: Float[Tensor, "B D *K"]) -> None:
        present = context.present
        if present is not None and not bool(present.transpose(0, 1).flatten(1).any(1).all()):
            raise InputError(
                "a level has no detail: nowhere are there two values side by side that are not missing; take fewer "
                "levels, or a field with fewer gaps"
            )
        self.prediction.fit(context.coarse, detail, present, context.beside)
        residual = self.residual(context, detail)
        if self.amplitude is not None:
            self.amplitude.fit(context.coarse, residual, present)
        ratio = residual / self.size(context)
        if self.bend > 0:
            self.tail.copy_(torch.stack([fit_tail(band, self.bend) for band in bandwise(ratio, present)]))
        bent = compress(ratio, self.tail)
        if self.amplitude is not None:
            self.limit.copy_(bent.abs().movedim(1, 0).flatten(1).amax(1))
            self.largest.copy_(residual.abs().movedim(1, 0).flatten(1).amax(1))
        self.colouring.fit(bent, present)

    def size(self, context: Context) -> Tensor:
        """The local amplitude a, or 1."""
        if isinstance(context, Look):
            return context.size
        return context.coarse.new_ones(()) if self.amplitude is None else self.amplitude(context.coarse)

    def look(
        self, context: Context, detail: Float[Tensor, "B D *K"], halo: tuple[int, ...]
    ) -> tuple[Context, Float[Tensor, "B D *I"], tuple[int, ...]]:
        if self.amplitude is None:
            return context, detail, halo
        left = tuple(min(h, self.spread) for h in halo)
        keep = inside(tuple(h - r for h, r in zip(halo, left, strict=True)), tuple(detail.shape[2:]))
        present = None if context.present is None else context.present[(..., *keep)]
        return replace(self.read(context, keep), present=present), detail[(..., *keep)], left

    def read(self, context: Context, keep: Slices = ()) -> Look:
        """Everything that a context says, at those sites that are to be kept (by default all)."""
        rule, coarse = self.amplitude, context.coarse
        assert rule is not None
        at = (..., *keep)
        here, roughness = coarse[at], rule.roughness(coarse, keep)
        of_value = rule.of_value(here)
        size = rule.made_of(roughness, of_value)
        local = size.unflatten(1, (coarse.shape[1], -1))[:, :, 0]
        above = torch.cat([here - blur(coarse, width, self.boundaries)[at] for width in WIDTHS], 1)
        above = torch.asinh(above / local.repeat(1, len(WIDTHS), *[1] * self.dimension))
        return Look(
            here,
            beside=None if context.beside is None else context.beside[at],
            roughness=roughness,
            of_value=of_value,
            size=size,
            predicted=self.prediction(coarse, context.beside)[at],
            above=above,
        )

    def standardize(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        bent = compress(self._ratio(context, detail), self.tail)
        if not self.coloured:
            return bent
        if context.present is not None:
            bent = bent / self.colouring.beside(context.present)
        return of_those(self.colouring.whiten(bent), context.present)

    def restore(self, context: Context, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """z to detail; what there is not is 0, and is not mixed into what there is."""
        halo, z = max(self.reach(), self.spread), of_those(z, context.present)
        known = {"z": z, "present": context.present, "beside": context.beside}
        there = {name: part for name, part in known.items() if part is not None}

        def make(coarse: Tensor, *parts: Tensor) -> Tensor:
            return self._restore(coarse, **dict(zip(there, parts, strict=True)))

        made = in_tiles(make, [context.coarse, *there.values()], halo, self.boundaries, sites=TILE)
        return of_those(made, context.present)

    def _restore(
        self, coarse: Tensor, z: Tensor, present: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        size, bent = self.size(Context(coarse)), self.colouring.colour(z) if self.coloured else z
        if self.coloured and present is not None:
            bent = bent * self.colouring.beside(present)
        ends = self._ends(coarse, size)
        return self.prediction(coarse, beside) + size * expand(bent.clamp(-ends, ends), self.tail)

    def invert(self, context: Context, detail: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        if self.coloured:
            return self.whiten(context, detail)
        bent, slope = self._bend(context, detail)
        return bent, LogProb.without_error(slope.double().flatten(1).sum(1))

    def whiten(self, context: Context, detail: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], LogProb]:
        """W is inverted too, part of the map or not."""
        bent, slope = self._bend(context, detail)
        z, log_det, error = self.colouring.invert(bent)
        return z, LogProb.without_error(slope.double().flatten(1).sum(1)).plus_for_all(-log_det, error)

    def residual(self, context: Context, detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        looked = isinstance(context, Look)
        predicted = context.predicted if looked else self.prediction(context.coarse, context.beside)
        return of_those(detail - predicted, context.present)

    def shape(self, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        bent = self.colouring.colour(z) if self.coloured else z
        if self.amplitude is None:
            return bent
        band = self.amplitude.band / self.amplitude.band.square().mean().sqrt()
        return bent * per_band(band.flatten(), bent)

    def reach(self) -> int:
        return max(self.prediction.radius, 0 if self.amplitude is None else self.amplitude.reach())

    @property
    def spread(self) -> int:
        return self.colouring.colour.radius if self.coloured else 0

    def _ends(self, coarse: Tensor, size: Tensor) -> Tensor:
        """The b beyond which tails end, where the local amplitude is this; extreme values move no ends outwards."""
        limit = self.limit.to(size).reshape(-1, *[1] * self.dimension)
        if self.amplitude is None:
            return limit
        least = AMPLITUDES * self.amplitude.of_value(coarse).clamp(min=0).neg().exp()
        least = least.repeat_interleave(size.shape[1] // coarse.shape[1], 1)
        room = torch.maximum(per_band(self.largest, size) / size, least)
        return torch.minimum(limit, compress(room, self.tail))

    def _bend(self, context: Context, detail: Tensor) -> tuple[Tensor, Tensor]:
        """``b = asinh(s r) / s`` of the residual r in units of a, and ``log |db / d detail|`` of each."""
        ratio = self._ratio(context, detail)
        slope = -torch.log1p((per_band(self.tail, ratio) * ratio).square()) / 2
        return compress(ratio, self.tail), slope - self.size(context).log()

    def _ratio(self, context: Context, detail: Tensor) -> Tensor:
        return self.residual(context, detail) / self.size(context)
