"""Lifts: p(detail | coarse), merged exactly. What makes the inverse renormalization group stochastic."""

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.amplitude import CONTRACTION, LocalAmplitude
from rgdm.model.closed_form.colouring import Colouring
from rgdm.model.closed_form.prediction import LinearPrediction
from rgdm.model.lifts.likelihood import LogProb, Probes, normal_log_prob
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining

PREDICTION_RADIUS = 3
COLOUR_RADIUS = 5


class Lift(nn.Module, abc.ABC):
    """A conditional law of the detail given the coarse field, for one coarse-graining.

    ``sample`` merges what it draws, so ``coarsen(sample(coarse, ...)) == coarse`` to round-off,
    whatever the law. Fields are normalised and in the orthonormal convention.
    """

    operator: CoarseGraining

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
        return self.operator.merge(coarse, self.detail(coarse, noise, sampler, draw).to(coarse))

    def log_prob(self, fine: Float[Tensor, "B C *F"], probes: Probes = None, tolerance: float = 1e-5) -> LogProb:
        """log p(detail | coarse) of fine fields, in nats; the split is orthonormal, so no Jacobian enters.

        Args:
            fine: the fields.
            probes: for what needs the divergence of a network: unit signs ``(P, B, D, *K)`` to estimate it with
                (Hutchinson 1990), None to compute it.
            tolerance: of the probability flow, relative to the unit variance of its state.
        """
        raise InputError(f"{type(self).__name__} has no likelihood; GaussianLift, DiffusionLift and FlowLift have one")


class GaussianLift(Lift):
    """``detail = G * coarse + a * (W * noise)``: exact for Gaussian fields, and the reference for all others.

    G is the best local linear prediction, W the root of the residual's spectrum, a the
    local amplitude read off the coarse field (1 unless ``local_amplitude``), its exponent at most
    ``contraction``.
    """

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundary,
        local_amplitude: bool = False,
        contraction: float = CONTRACTION,
        prediction_radius: int = PREDICTION_RADIUS,
        colour_radius: int = COLOUR_RADIUS,
    ) -> None:
        super().__init__()
        bands = operator.bands(dimension)
        self.operator, self.channels, self.dimension, self.boundary = operator, channels, dimension, boundary
        self.prediction = LinearPrediction(channels, channels * bands, dimension, prediction_radius, boundary)
        self.colouring = Colouring(channels * bands, dimension, colour_radius, boundary)
        rule = LocalAmplitude(channels, bands, dimension, boundary, contraction)
        self.amplitude = rule if local_amplitude else None

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        coarse, detail = self.operator.split(fine)
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

    @torch.no_grad()
    def log_prob(self, fine: Float[Tensor, "B C *F"], probes: Probes = None, tolerance: float = 1e-5) -> LogProb:
        self.operator.check_volume(fine.dim() - 2)
        coarse, detail = self.operator.split(fine)
        spread = self.spread(coarse).expand_as(detail)
        z, volume, error = self.colouring.invert((detail - self.prediction(coarse)) / spread)
        slopes = LogProb.without_error(-spread.double().log().flatten(1).sum(1))
        return normal_log_prob(z).plus(slopes).plus_for_all(-volume, error)
