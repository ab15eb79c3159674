"""Gaussian lifts alone: the linear-Gaussian law of detail given the coarse field, level by level."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rgdm.evaluate.baselines import block_constant, block_mean
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.known_spectrum import FourierLift, fit_spectrum
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.operators.block import BlockSpin

LEVELS = 3
FACTOR = 2**LEVELS


def consistent(fine: Tensor, coarse: Tensor) -> Tensor:
    """Shifted block by block to the means ``coarse``."""
    return fine + block_constant(coarse - block_mean(fine, FACTOR), FACTOR)


class GaussianLift:
    """The linear-Gaussian law of detail given the coarse field."""

    def __init__(self, lift: Lift) -> None:
        self.lift = lift

    def detail(self, coarse: Tensor, noise: Tensor) -> Tensor:
        return self.lift.detail(Context(coarse), noise)

    def log_prob(self, fine: Tensor) -> Tensor:
        """log p(detail | coarse) of each field."""
        return self.lift.log_prob(fine).value


def local_lift(operator: CoarseGraining, fields: Tensor, contraction: float | None) -> GaussianLift:
    """Fitted on fields with edges; with a local amplitude to at most this power, or one for all places."""
    lift = gaussian_lift(operator, 1, 2, "reflect", contraction is not None, contraction or 0.0)
    lift.fit(fields)
    return GaussianLift(lift)


def known_lift(
    operator: CoarseGraining, spectrum: Tensor, prediction: int | None = None, colour: int | None = None
) -> GaussianLift:
    """Set from a spectrum on a torus: stencils of these radii, or exact by FFT."""
    lattice = tuple(spectrum.shape)
    if prediction is None or colour is None:
        return GaussianLift(FourierLift(operator, spectrum, lattice))
    lift = gaussian_lift(operator, 1, 2, "periodic", prediction_radius=prediction, colour_radius=colour).double()
    fit_spectrum(lift, spectrum, lattice)
    return GaussianLift(lift)


@dataclass
class GaussianCascade:
    """One lift a level, each fitted on the true fields of its level.

    ``contraction``: one amplitude for all places (None), or that read off the coarse field to at most this power.
    """

    contraction: float | None = None
    evaluations: int = 0
    lifts: list[GaussianLift] = field(default_factory=list)
    operator: BlockSpin = field(default_factory=lambda: BlockSpin(2))

    @property
    def name(self) -> str:
        return "Gaussian lift" + (
            "" if self.contraction is None else f", local amplitude to the power {self.contraction}"
        )

    def fit(self, fields: Tensor) -> None:
        self.mean, self.lifts = fields.mean(), []
        fine = fields - self.mean
        for _ in range(LEVELS):
            self.lifts.append(local_lift(self.operator, fine, self.contraction))
            fine = self.operator.coarsen(fine)

    @torch.no_grad()
    def refine(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([self._member(coarse, generator) for _ in range(members)])

    def _member(self, coarse: Tensor, generator: torch.Generator) -> Tensor:
        x = (coarse - self.mean) * FACTOR
        for lift in reversed(self.lifts):
            noise = torch.randn(len(x), self.operator.bands(2), *x.shape[2:], generator=generator)
            x = self.operator.merge(x, lift.detail(x, noise))
        return x + self.mean


def variants() -> list[GaussianCascade]:
    """With one amplitude for all places, and with local ones."""
    return [GaussianCascade(contraction) for contraction in (None, 0.6, 0.8, 1.0)]
