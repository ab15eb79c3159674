"""The lift of this package: a standardizer, and a law of what the standardizer leaves."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.closed_form.amplitude import CONTRACTION
from rgdm.model.closed_form.tails import per_band
from rgdm.model.laws.law import Example, Law, WhiteNoise
from rgdm.model.laws.likelihood import TRACED, LogProb, Tracing, normal_log_prob
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.lifts.standardizer import COLOUR_RADIUS, PREDICTION_RADIUS, LocalStandardizer, Standardizer, inside
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining


class StandardizedLift(Lift):
    """``detail = standardizer.restore(context, z)``, z drawn from a law that is told the condition.

    Every combination of standardizer and law is legal, and each has its closed-form limit: white z.

    Args:
        operator: the coarse-graining whose detail it is.
        standardizer: detail to white unit coordinates and back.
        law: how these are distributed; by default they are white noise.
        condition: the features of the context that the law is told; None: nothing.
    """

    temperature: Tensor
    free_temperature: Tensor

    def __init__(
        self,
        operator: CoarseGraining,
        standardizer: Standardizer,
        law: Law | None = None,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        if condition is not None:
            condition.check(standardizer)
        self.operator, self.standardizer, self.condition = operator, standardizer, condition
        self.law = WhiteNoise() if law is None else law
        self.boundaries = standardizer.boundaries
        self.register_buffer("temperature", torch.ones(standardizer.channels))
        self.register_buffer("free_temperature", torch.ones(standardizer.channels))

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"], setting: Setting = NOWHERE) -> None:
        """Measure the closed-form parts on fine fields: seconds, no gradient steps."""
        context, detail = Context.of(fine, self.operator, setting)
        context = context.known(self.operator, self.boundaries)
        self.standardizer.fit(context, detail)
        if self.condition is not None:
            self.condition.fit(context, self.standardizer)

    def features(self, context: Context) -> Tensor | None:
        """What the law is told."""
        return None if self.condition is None else self.condition(context, self.standardizer)

    def detail(
        self, context: Context, noise: Float[Tensor, "B D *K"], sampler: Sampler | None = None, draw: Draw | None = None
    ) -> Float[Tensor, "B D *K"]:
        context = self._in_precision(context)
        start = noise.to(context.coarse)
        start = per_band(self.of_details(self.temperature, start), start) * start
        more = None if draw is None else lambda step: draw(step).to(start)
        z = self.law.sample(start, self.features(context), sampler, more, context.present)
        return self.standardizer.restore(context, z)

    def loss(
        self,
        fine: Float[Tensor, "B C *F"],
        t: Float[Tensor, " B"],
        noise: Tensor,
        halo: tuple[int, ...] = (),
        importance: Tensor | None = None,
        setting: Setting = NOWHERE,
    ) -> Float[Tensor, " B"]:
        """What training brings down, one value a sample, on true fine fields (teacher forcing): see :meth:`example`."""
        return self.law.loss(self.example(fine, halo, importance, setting), t, noise)

    @torch.no_grad()
    def example(
        self,
        fine: Float[Tensor, "B C *F"],
        halo: tuple[int, ...] = (),
        importance: Tensor | None = None,
        setting: Setting = NOWHERE,
    ) -> Example:
        """What there is to learn of fine fields.

        A patch cut out of a field has a ``halo`` of coarse sites along each axis, from which the surroundings of a site
        are measured, and which is then cut off. ``importance``, ``(B, 1, *K)``, says how much each site of the rest
        counts, for the network does not see beyond a cut side; details that there are not, of sites without weight,
        count nothing. All in full precision also where the network computes
        in less: the detail of flat places is a small part of its coarse field, and rounding that would be noise to
        learn.
        """
        with torch.autocast(fine.device.type, enabled=False):
            context, detail = Context.of(fine, self.operator, setting)
            context = context.known(self.operator, self.boundaries)
            left = halo or (0,) * (fine.dim() - 2)
            if self.condition is None or self.condition.texture is None:
                context, detail, left = self.standardizer.look(context, detail, left)
            z, condition = self.standardizer.standardize(context, detail), self.features(context)
            relevance = self.standardizer.relevance(context, detail)
        condition = z[:, :0] if condition is None else condition
        at = (..., *inside(left, tuple(z.shape[2:])))
        present = None if context.present is None else context.present[at]
        if relevance is not None:
            importance = relevance[at] if importance is None else importance * relevance[at]
        return Example(z[at], condition[at], importance, self.field, present)

    def field(self, z: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        """A fine field with the detail of z and no coarse field, in units of the local amplitude."""
        detail = self.standardizer.shape(z)
        return self.operator.merge(torch.zeros_like(detail[:, :: self.operator.bands(z.dim() - 2)]), detail)

    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        tracing: Tracing = TRACED,
        free: bool = False,
        networks: bool = True,
        setting: Setting = NOWHERE,
    ) -> LogProb:
        """At the temperature of the lift; the standardizer is inverted exactly."""
        self.operator.check_volume(fine.dim() - 2)
        context, detail = Context.of(fine, self.operator, setting)
        context = context.known(self.operator, self.boundaries)
        temperature = self.of_details(self.free_temperature if free else self.temperature, detail)
        if not networks:
            z, volume = self.standardizer.whiten(context, detail)
            return normal_log_prob(z, temperature).plus(volume)
        z, volume = self.standardizer.invert(context, detail)
        known = self._in_precision(context)
        law = self.law.log_prob(z.to(known.coarse), self.features(known), temperature, tracing)
        return law.plus(volume)

    def reach(self, sampler: Sampler | None = None) -> int | None:
        standardizer = self.standardizer
        law = self.law.reach(1 if sampler is None else sampler.evaluations)
        if law is None or not self.operator.blockwise:
            return None
        far, at_features = law
        if self.condition is not None:
            seen = self.condition.reach(standardizer)
            if seen is None:
                return None
            far = max(far, at_features + seen)
        return max(standardizer.reach(), standardizer.spread + far)

    def _in_precision(self, context: Context) -> Context:
        """The context in the precision of the law, and on its device, without gaps."""
        weight = next(self.law.parameters(), None)
        return (context if weight is None else context.to(weight)).known(self.operator, self.boundaries)


def gaussian_lift(
    operator: CoarseGraining,
    channels: int,
    dimension: int,
    boundary: Boundaries,
    local_amplitude: bool = False,
    contraction: float = CONTRACTION,
    prediction_radius: int = PREDICTION_RADIUS,
    colour_radius: int = COLOUR_RADIUS,
) -> StandardizedLift:
    """``detail = G * coarse + a * (W * noise)``: exact for Gaussian fields, and the reference for all others.

    G is the best local linear prediction, W the root of the residual's spectrum, a the local amplitude read off the
    coarse field (1 unless ``local_amplitude``).
    """
    parts = local_amplitude, 0.0, True, contraction, prediction_radius, colour_radius
    return StandardizedLift(operator, LocalStandardizer(operator, channels, dimension, boundary, *parts))
