"""Learning and sampling in phase space: one denoiser, and a splitting into rotations and kicks."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.lifts.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
from rgdm.theory.phase_space import PhaseLaw, PhaseSpaceProcess, halves, propagator

Estimate = Callable[[Tensor, Tensor], Tensor]
"""``(y_t, t) -> E[z_0 | y_t]``."""
Draw = Callable[[int], Tensor]
"""``step -> unit noise`` of the state's shape."""


class PhaseSpaceDenoiser(nn.Module):
    """``E[z_0 | z_t, p_t]``, and so the score: the denoiser of positions, seen through the matched filter.

    The network has as many channels as the field, not twice as many: what the plane of a mode says of its
    datum is all in ``process.filtered``. With a zero network the estimate is exact for white Gaussian data. A
    :class:`~rgdm.model.lifts.denoiser.Denoiser` of positions (``denoiser``) is what is trained, so samplers of
    positions can use it as well, on ``process.position``.
    """

    def __init__(self, process: PhaseSpaceProcess, backbone: Backbone) -> None:
        super().__init__()
        self.process = process
        self.denoiser = Denoiser(process.position, backbone)

    def forward(
        self, y: Float[Tensor, "B D *L"], t: Float[Tensor, " B"], features: Tensor | None = None
    ) -> Float[Tensor, "B C *L"]:
        """E[z_0 | y_t, condition], from features that ``backbone.encode`` has made of the condition; D = 2 C."""
        return self.denoiser(self.process.filtered(y, t), t, features)

    def score(
        self, y: Float[Tensor, "B D *L"], t: Float[Tensor, " B"], features: Tensor | None = None
    ) -> Float[Tensor, "B D *L"]:
        """The gradient of log p(y_t) by position and momentum; needs t > 0."""
        return self.process.score(y, self(y, t, features), t)

    def loss(
        self,
        x: Float[Tensor, "B C *L"],
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *L"],
        features: Tensor | None = None,
        importance: Tensor | None = None,
    ) -> Float[Tensor, " B"]:
        """Hybrid score matching of each sample (Dockhorn, Vahdat & Kreis 2022, arXiv:2112.07068, sec. 3).

        Its target is the noise of the momentum given data and position, here less its estimate for white
        data and over what that leaves: unit variance at every t. Of the two fields of noise only
        ``process.filtered_noise`` counts, and the loss is that of the denoiser of positions.
        """
        return self.denoiser.loss(x, t, self.process.filtered_noise(noise, t), features, importance)


class SymplecticSplitting:
    """The way back by rotations and kicks: a Strang splitting, second order, one evaluation a step.

    Backwards in tau, with ``r = p + d log p(y) / dp`` and any ``churn`` c in [0, 1], the law is kept by

        A: ``dz = -p dtau``,  ``dp = (z - 2 c p) dtau + 2 sqrt(c) dW``;      B: ``dp = 2 (1 + c) r dtau``.

    c = 0 is the probability flow, all of whose friction is in r: A is the rotation of a harmonic oscillator and
    draws nothing. c = 1 is the reverse equation, and this the symmetric splitting (SSCS) of Dockhorn, Vahdat &
    Kreis 2022, arXiv:2112.07068, sec. 3, but for B: r depends on the momentum, so it is taken in the middle of the
    kick, which half of the kick before predicts; a single Euler step would be of first order. Both A are exact.
    The kicks are in the middle of ``steps`` equal steps of t, so r is needed neither at t = 1 nor at t = 0.
    If r is a function of z alone, as a force is, the map of c = 0 is symplectic.
    """

    def __init__(self, steps: int, churn: float = 0.0) -> None:
        if steps < 1:
            raise InputError(f"{steps} sampling steps; at least 1 is needed")
        if not 0 <= churn <= 1:
            raise InputError(f"churn = {churn}; it must be between 0 (flow) and 1 (reverse equation)")
        self.steps, self.churn = steps, churn

    @property
    def evaluations(self) -> int:
        """How often the denoiser is evaluated for one sample."""
        return self.steps

    @torch.no_grad()
    def __call__(
        self, estimate: Estimate, process: PhaseSpaceProcess, y: Float[Tensor, "B D *L"], draw: Draw | None = None
    ) -> Float[Tensor, "B D *L"]:
        """Carry ``y`` from t = 1 to positions and momenta at t = 0.

        ``estimate(y, t)`` is ``E[z_0 | y_t]``, ``(B, C, *L)`` for states of D = 2 C channels; ``draw(step)`` gives the
        noise of a step, of the shape of the state. Before the first kick the state is in equilibrium, which A keeps;
        there A is left out.
        """
        lattice, before = tuple(y.shape[2:]), torch.zeros_like(halves(y)[1])
        times = [1 - (i + 0.5) / self.steps for i in range(self.steps)]
        for i, (now, then) in enumerate(zip(times, [*times[1:], 0.0], strict=True)):
            t, s = (y.new_full(y.shape[:1], at, dtype=torch.float64) for at in (now, then))
            (tau, speed), (later, _) = process.clock(t, lattice), process.clock(s, lattice)
            seen = kick(y, before / 2)
            r = process.excess(seen, estimate(seen, t.to(y)), t)
            before = (2 * (1 + self.churn) * speed / self.steps).to(y) * r
            y = self._bath(kick(y, before), tau - later, i, draw)
        return y

    def _bath(self, y: Tensor, angle: Tensor, number: int, draw: Draw | None) -> Tensor:
        """A, exactly: a turn back, friction, and the noise that keeps N(0, 1)."""
        if self.churn == 0:
            return rotate(y, -angle)
        if draw is None:
            raise InputError("SymplecticSplitting with churn is stochastic: it needs the argument `draw`")
        a, b, c, d = propagator(angle, self.churn)
        root = PhaseLaw(a, c, 1 - a * a - b * b, -(a * c + b * d), 1 - c * c - d * d).root
        zz, pz, pp, a, b, c, d = (part.to(y) for part in (*root, a, b, c, d))
        (z, p), (first, second) = halves(y), halves(draw(number))
        return torch.cat([a * z - b * p + zz * first, d * p - c * z - pz * first + pp * second], 1)


def rotate(y: Float[Tensor, "B D *L"], angle: Tensor) -> Float[Tensor, "B D *L"]:
    """Each mode turned in its plane: the exact flow of ``H = (z^2 + p^2) / 2`` over the time ``angle``."""
    (z, p), cosine, sine = halves(y), angle.cos().to(y), angle.sin().to(y)
    return torch.cat([cosine * z + sine * p, cosine * p - sine * z], 1)


def kick(y: Float[Tensor, "B D *L"], impulse: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
    """The impulse added to the momenta."""
    z, p = halves(y)
    return torch.cat([z, p + impulse], 1)
