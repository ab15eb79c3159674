"""Learning and sampling in phase space: one denoiser, and a splitting into rotations and kicks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.laws.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.sampler import ConditionalMean, Draw, Sampler
from rgdm.theory.phase_space import PhaseLaw, PhaseSpaceProcess, halves, propagator


class PhaseSpaceDenoiser(nn.Module):
    """``E[z_0 | z_t, p_t]``, and so the score: a denoiser of positions, applied to the matched filter of the state.

    ``process.filtered`` is a sufficient statistic of the datum of a mode, so the network has as many channels as the
    field, not twice as many. What is trained is ``denoiser``, a :class:`~rgdm.model.laws.denoiser.Denoiser` of
    positions, which samplers of positions can use as well, on ``process.position``. With a zero network the estimate
    is exact for white Gaussian data.
    """

    def __init__(self, process: PhaseSpaceProcess, backbone: Backbone) -> None:
        super().__init__()
        self.process = process
        self.denoiser = Denoiser(process.position, backbone)

    def forward(
        self, y: Float[Tensor, "B D *L"], t: Float[Tensor, " B"], features: Tensor | None = None
    ) -> Float[Tensor, "B C *L"]:
        """E[z_0 | y_t, condition] from the features that ``backbone.encode`` makes of the condition; D = 2 C."""
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

        The target is the noise of the momentum given data and position, minus its estimate for white data and divided
        by the deviation of the difference: unit variance at every t. It depends on the two fields of noise through
        ``process.filtered_noise`` only, and the loss is that of the denoiser of positions.
        """
        return self.denoiser.loss(x, t, self.process.filtered_noise(noise, t), features, importance)


class SymplecticSplitting(Sampler):
    """A sampler in phase space by rotations and kicks: a Strang splitting, second order, one evaluation a step.

    Backwards in tau, with ``r = p + d log p(y) / dp`` and any ``churn`` c in [0, 1], the law is kept by the two parts

        A: ``dz = -p dtau``,  ``dp = (z - 2 c p) dtau + 2 sqrt(c) dW``;      B: ``dp = 2 (1 + c) r dtau``.

    c = 0 is the probability flow, whose friction is all in r: A is the rotation of a harmonic oscillator and draws
    no noise. c = 1 is the reverse equation, and the splitting the symmetric one (SSCS) of Dockhorn, Vahdat & Kreis
    2022, arXiv:2112.07068, sec. 3, except for B: r depends on the momentum, so it is taken in the middle of the kick,
    predicted by half of the kick before; a single Euler step would be of first order. A is exact. The kicks are in the
    middle of ``steps`` equal steps of t, so r is needed neither at t = 1 nor at t = 0. If r is a function of z alone,
    as a force is, the map of c = 0 is symplectic.
    """

    def __init__(self, steps: int, churn: float = 0.0) -> None:
        super().__init__(steps)
        if not 0 <= churn <= 1:
            raise InputError(f"churn = {churn}; it must be between 0 (probability flow) and 1 (reverse equation)")
        self.churn = churn

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]: a process in phase space is another kind
        self,
        conditional_mean: ConditionalMean,
        process: PhaseSpaceProcess,
        z: Float[Tensor, "B D *L"],
        draw: Draw | None = None,
    ) -> Float[Tensor, "B D *L"]:
        """Carry ``z``, unit positions and momenta at t = 1, to those at t = 0; D = 2 C.

        ``conditional_mean(y, t)`` is ``E[z_0 | y_t]``, ``(B, C, *L)``; ``draw(step)`` gives the noise of a step, of the
        shape of the state. The first half of A is left out: the state is in equilibrium before the first kick, and A
        keeps that.
        """
        y, lattice, before = z, tuple(z.shape[2:]), torch.zeros_like(halves(z)[1])
        times = [1 - (i + 0.5) / self.steps for i in range(self.steps)]
        for i, (now, then) in enumerate(zip(times, [*times[1:], 0.0], strict=True)):
            t, s = (y.new_full(y.shape[:1], at, dtype=torch.float64) for at in (now, then))
            (tau, speed), (later, _) = process.clock(t, lattice), process.clock(s, lattice)
            ahead = kick(y, before / 2)
            r = process.excess(ahead, conditional_mean(ahead, t.to(y)), t)
            before = (2 * (1 + self.churn) * speed / self.steps).to(y) * r
            y = self._bath(kick(y, before), tau - later, i, draw)
        return y

    def _bath(self, y: Tensor, angle: Tensor, number: int, draw: Draw | None) -> Tensor:
        """Part A, exactly: a turn back, friction, and the noise that keeps N(0, 1)."""
        if self.churn == 0:
            return rotate(y, -angle)
        if draw is None:
            raise InputError("a SymplecticSplitting with churn is stochastic: it needs the argument `draw`")
        a, b, c, d = propagator(angle, self.churn)
        root = PhaseLaw(a, c, 1 - a * a - b * b, -(a * c + b * d), 1 - c * c - d * d).root
        zz, pz, pp, a, b, c, d = (part.to(y) for part in (*root, a, b, c, d))
        (z, p), (first, second) = halves(y), halves(draw(number))
        return torch.cat([a * z - b * p + zz * first, d * p - c * z - pz * first + pp * second], 1)


def rotate(y: Float[Tensor, "B D *L"], angle: Tensor) -> Float[Tensor, "B D *L"]:
    """Each mode turned in its plane: the motion of ``H = (z^2 + p^2) / 2`` over the time ``angle``, exactly."""
    (z, p), cosine, sine = halves(y), angle.cos().to(y), angle.sin().to(y)
    return torch.cat([cosine * z + sine * p, cosine * p - sine * z], 1)


def kick(y: Float[Tensor, "B D *L"], impulse: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
    """The impulse added to the momenta."""
    z, p = halves(y)
    return torch.cat([z, p + impulse], 1)
