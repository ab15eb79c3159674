"""Gaussian lifts by themselves: of coarse fields and white noise, fitted or set from a known spectrum."""

from torch import Tensor

from rgdm.model.lifts.context import Context
from rgdm.model.lifts.known_spectrum import FourierLift, fit_spectrum
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.standardized import gaussian_lift
from rgdm.scale.coarse_graining import CoarseGraining


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
