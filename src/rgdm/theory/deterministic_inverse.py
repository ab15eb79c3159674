"""A deterministic inverse of a coarse-graining: the baseline that shows what a lift has to add."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.prediction import LinearPrediction, detail_of_constant
from rgdm.model.lifts.standardizer import PREDICTION_RADIUS
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining

Upsampling = Literal["adjoint", "linear"]


class DeterministicInverse(nn.Module):
    """``x_t = R^-1(x_{t+1} - sqrt(beta) eps_hat)``: one fine field for each coarse one.

    R^-1 is ``adjoint``, ``R^T`` without any detail, or ``linear``, with the mean ``G * coarse`` of the detail, learned
    by least squares. ``beta`` is the variance of the noise in the coarse fields that it is given; ``eps_hat`` is the
    best local linear estimate of that noise (for a Gaussian field the posterior mean, a Wiener filter cut to a
    stencil), which is 0 for a constant field, as the zero of the scale is arbitrary. The result has less variance than
    the fields: :meth:`kept` measures how much of each band is left. It keeps the coarse field only for ``beta = 0``.
    """

    def __init__(
        self,
        operator: CoarseGraining,
        channels: int,
        dimension: int,
        boundary: Boundaries,
        upsampling: Upsampling = "linear",
        beta: float = 0.0,
        radius: int = PREDICTION_RADIUS,
    ) -> None:
        super().__init__()
        if upsampling not in get_args(Upsampling):
            raise InputError(f"unknown upsampling {upsampling!r}; known are {', '.join(get_args(Upsampling))}")
        if not 0 <= beta < torch.inf:
            raise InputError(f"beta is {beta}; a variance of noise is needed, 0 or more")
        self.operator, self.beta = operator, beta
        constant = detail_of_constant(operator, dimension)
        self.prediction = LinearPrediction(channels, constant, dimension, radius, boundary)
        self.cleaning = LinearPrediction(channels, (0.0,), dimension, radius, boundary)
        """Prediction of ``-sqrt(beta) eps`` from the noisy coarse field."""
        self.learned = upsampling == "linear"

    @torch.no_grad()
    def fit(self, fine: Float[Tensor, "B C *F"]) -> None:
        """Least squares on fine fields."""
        self.operator.check_orthonormal(fine.dim() - 2)
        coarse, detail = self.operator.split(fine)
        if self.learned:
            self.prediction.fit(coarse, detail)
        if self.beta > 0:
            noise = self._noise(coarse, seed=0)
            self.cleaning.fit(coarse + noise, -noise)

    def clean(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *K"]:
        """``x_{t+1} - sqrt(beta) eps_hat``."""
        return coarse + self.cleaning(coarse) if self.beta > 0 else coarse

    @torch.no_grad()
    def sample(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *F"]:
        """The fine field of a coarse one."""
        clean = self.clean(coarse)
        return self.operator.merge(clean, self.prediction(clean).to(clean))

    @torch.no_grad()
    def kept(self, fine: Float[Tensor, "B C *F"], seed: int = 1) -> Float[Tensor, "E"]:
        """Variance of the inverse of coarsened fields over that of the fields: coarse part, then each band of detail.

        ``E = 1 + bands``, means over channels. For Gaussian fields ``S_cc / (S_cc + beta)`` and
        ``|S_dc|^2 / (S_cc + beta) / S_dd``, each mode weighted with its power.
        """
        coarse, detail = self.operator.split(fine)
        again = self.operator.split(self.sample(coarse + self._noise(coarse, seed)))
        left, true = (torch.cat([_variances(x, coarse.shape[1]) for x in pair]) for pair in (again, (coarse, detail)))
        return left / true

    def _noise(self, like: Float[Tensor, "B C *K"], seed: int) -> Float[Tensor, "B C *K"]:
        white = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return self.beta**0.5 * white.to(like)


def _variances(x: Float[Tensor, "B D *K"], channels: int) -> Float[Tensor, "bands"]:
    """Variance of each band about the mean of its channel, averaged over channels."""
    bands = x.double().movedim(1, 0).flatten(1).var(1, correction=0)
    return bands.unflatten(0, (channels, -1)).mean(0)
