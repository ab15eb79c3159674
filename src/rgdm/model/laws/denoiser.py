"""The learned conditional mean E[z_0 | z_t]: an exact linear-Gaussian estimate plus a network for the rest."""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.networks.backbone import Backbone
from rgdm.process.forward import ForwardProcess

Regression = Literal["velocity", "noise", "data"]


class Denoiser(nn.Module):
    """``z_0_hat = g z_t - c_out * rest``, with the Wiener gain g of unit-variance data.

    ``g = alpha / (alpha^2 + sigma^2)``, ``c_out = sigma / sqrt(alpha^2 + sigma^2)``, the standard deviation of
    the posterior, so the network's target ``(alpha noise - sigma z_0) / sqrt(alpha^2 + sigma^2)`` has
    unit variance at every t (for the trigonometric schedule it is the velocity).
    With a zero network the estimate is exact for white Gaussian data. ``objective``
    says in which quantity the squared error is taken:

    - ``velocity``: of the target itself;
    - ``noise``: ``E || eps - eps_hat ||^2`` (Ho et al. 2020, arXiv:2006.11239);
    - ``data``: ``E || z_0 - z_0_hat ||^2``.
    """

    def __init__(self, process: ForwardProcess, backbone: Backbone, objective: Regression = "velocity") -> None:
        super().__init__()
        if objective not in get_args(Regression):
            raise InputError(f"unknown objective {objective!r}; known are {', '.join(get_args(Regression))}")
        self.process, self.backbone, self.objective = process, backbone, objective

    def forward(
        self,
        z_t: Float[Tensor, "B C *L"],
        t: Float[Tensor, " B"],
        features: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Float[Tensor, "B C *L"]:
        """E[z_0 | z_t, condition], from features that ``backbone.encode`` has made of the condition.

        Of coordinates that are not ``present`` the network sees 0.
        """
        alpha, sigma = self.process.amplitudes(t.to(z_t), tuple(z_t.shape[2:]))
        power = alpha.square() + sigma.square()
        rest = self._rest(z_t * power.rsqrt(), t, features, present)
        return (alpha * z_t) / power - sigma * power.rsqrt() * rest

    def score(
        self, z_t: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Tensor | None = None
    ) -> Float[Tensor, "B C *L"]:
        """The gradient of log p(z_t), by Tweedie's formula ``(alpha z_0_hat - z_t) / sigma^2``; needs sigma > 0."""
        alpha, sigma = self.process.amplitudes(t.to(z_t), tuple(z_t.shape[2:]))
        if not bool((sigma > 0).all()):
            raise InputError("the score needs noise in every mode; sigma is 0 at this t")
        return (alpha * self(z_t, t, features) - z_t) / sigma.square()

    def loss(
        self,
        x: Float[Tensor, "B C *L"],
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B C *L"],
        features: Tensor | None = None,
        importance: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Float[Tensor, " B"]:
        """Mean squared error of each sample of the batch, in the quantity of the objective.

        ``importance`` weighs sites and channels; it changes no minimum, only where errors count more. What is not
        ``present`` is to have none.
        """
        z = self.process.basis.analyze(x)
        alpha, sigma = self.process.amplitudes(t.to(z), tuple(z.shape[2:]))
        power = alpha.square() + sigma.square()
        rest = self._rest((alpha * z + sigma * noise) * power.rsqrt(), t, features, present)
        target = (alpha * noise - sigma * z) * power.rsqrt()
        weight = {"velocity": 1.0, "noise": alpha.square() / power, "data": sigma.square() / power}[self.objective]
        error = weight * (rest.to(target) - target).square()
        return (error if importance is None else importance * error).flatten(1).mean(1)

    def _rest(self, z: Tensor, t: Tensor, features: Tensor | None, present: Tensor | None = None) -> Tensor:
        basis = self.process.basis
        x = basis.synthesize(z)
        return basis.analyze(self.backbone(x if present is None else x * present, t, features))
