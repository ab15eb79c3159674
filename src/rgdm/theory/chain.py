"""The discrete chain: add noise, coarse-grain, again; with closed forms where the steps are linear."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import NoisySteps
from rgdm.scale.basis import Pyramid
from rgdm.scale.coarse_graining import CoarseGraining, Lattice, Orthonormal
from rgdm.scale.filters import Band, Filter

StepNoise = Callable[[int, tuple[int, ...]], Tensor]
"""``(step, shape) -> unit noise``."""
Renormalization = CoarseGraining | Callable[[Tensor], Tensor] | None


class NoisyMap(nn.Module):
    """One step ``x -> R(x + sqrt(beta) P eps)``.

    Args:
        operator: R, a coarse-graining, a filter, any other map of fields (whose law is then known by simulation only),
            or None for the identity between two changes of scale.
        beta: variance of the noise.
        band: P, the band of the noise; None for white noise.
    """

    def __init__(self, operator: Renormalization, beta: float, band: Band | None = None) -> None:
        super().__init__()
        if not 0 <= beta < float("inf"):
            raise InputError(f"beta = {beta}; the variance of the noise must be finite and not negative")
        self.operator, self.beta, self.band = operator, beta, band

    @property
    def linear(self) -> bool:
        """Whether R is linear with a known transpose."""
        return self.operator is None or isinstance(self.operator, Orthonormal | Filter)

    def forward(self, x: Float[Tensor, "B C *F"], noise: Tensor | None = None) -> Tensor:
        """The next state; without noise the mean of it if R is linear."""
        if noise is not None and self.beta > 0:
            x = x + self.beta**0.5 * (noise if self.band is None else self.band(noise))
        if self.operator is None:
            return x
        return self.operator.coarsen(x) if isinstance(self.operator, CoarseGraining) else self.operator(x)

    def transpose(self, y: Float[Tensor, "B C *K"]) -> Tensor:
        """R^T y."""
        if self.operator is None:
            return y
        if isinstance(self.operator, Filter):  # symmetric
            return self.operator(y)
        if not isinstance(self.operator, Orthonormal):
            raise InputError(f"{type(self.operator).__name__} is not known to be linear: there is no closed form")
        return self.operator.prolong(y)


class MonteCarlo(NamedTuple):
    """Moments of x_t given x_0 from a sample, each ``(C, *L)``, with their standard errors."""

    mean: Tensor
    mean_error: Tensor
    variance: Tensor
    variance_error: Tensor


class Chain(nn.Module):
    """``x_{t+1} = R_t(x_t + sqrt(beta_t) P_t eps_t)``, t = 0, 1, ..., T - 1.

    For linear R_t the law of x_t given x_0 is Gaussian, of mean ``A_t x_0``, ``A_t = R_{t-1} ... R_0``, and covariance
    ``C_{t+1} = R_t (C_t + beta_t P_t) R_t^T``. Both are applied to fields, never built as matrices.
    """

    def __init__(self, steps: Sequence[NoisyMap]) -> None:
        super().__init__()
        if not steps:
            raise InputError("a chain of no steps; give at least one")
        self.steps = nn.ModuleList(steps)

    def __len__(self) -> int:
        return len(self.steps)

    def step(self, t: int) -> NoisyMap:
        """The step from t to t + 1."""
        step = self.steps[t]
        assert isinstance(step, NoisyMap)
        return step

    def check(self, lattice: Lattice) -> None:
        """Raise ``ValueError`` if a field of this lattice cannot go through all steps.

        Steps after a map that is not of this library are not checked, for the lattice that it makes is not known.
        """
        for t in range(len(self)):
            operator = self.step(t).operator
            if not isinstance(operator, CoarseGraining | Filter | None):
                return
            if isinstance(operator, CoarseGraining):
                try:
                    operator.check(lattice)
                except InputError as error:
                    raise InputError(f"step {t} of the chain: {error}") from None
                lattice = tuple(n // operator.factor for n in lattice)

    # --- forward ---------------------------------------------------------------------------

    def sample(self, x: Float[Tensor, "B C *L"], draw: StepNoise, t: int | None = None) -> list[Tensor]:
        """The states ``[x_0, ..., x_t]`` of one run for each field of the batch."""
        self.check(tuple(x.shape[2:]))
        states = [x]
        for i in range(self._until(t)):
            x = self.step(i)(x, draw(i, tuple(x.shape)).to(x))
            states.append(x)
        return states

    def mean(self, x: Float[Tensor, "B C *L"], t: int | None = None) -> Tensor:
        """``A_t x``, the mean of x_t given x_0 = x."""
        self._linear(t, x.dim() - 2)
        self.check(tuple(x.shape[2:]))
        for i in range(self._until(t)):
            x = self.step(i)(x)
        return x

    def covariance(self, y: Float[Tensor, "B C *K"], t: int | None = None) -> Float[Tensor, "B C *K"]:
        """``C_t y`` for a field y on the lattice of x_t; C_t itself is never built."""
        self._linear(t, y.dim() - 2)
        return self._covariance(y, self._until(t))

    def _covariance(self, y: Tensor, t: int) -> Tensor:
        lifted = [y]  # R_s^T ... R_{t-1}^T y for s = t, t - 1, ..., 0
        for s in reversed(range(t)):
            lifted.append(self.step(s).transpose(lifted[-1]))
        total = torch.zeros_like(lifted[-1])
        for s in range(t):
            total = self.step(s)(total + self._heat(lifted[t - s], s))
        return total

    def _heat(self, x: Tensor, t: int) -> Tensor:
        """``beta_t P_t x``."""
        step = self.step(t)
        return step.beta * (x if step.band is None else step.band(x))

    def _noisy(self, x: Tensor, t: int) -> Tensor:
        """``(C_t + beta_t P_t) x``, the covariance before R_t."""
        return self._covariance(x, t) + self._heat(x, t)

    def monte_carlo(
        self, x: Float[Tensor, "B C *L"], draw: StepNoise, count: int = 4096, t: int | None = None
    ) -> MonteCarlo:
        """Moments of x_t given x_0 = x by simulation: the only way for steps that are not linear."""
        if count < 4:
            raise InputError(f"count is {count}; a variance with an error needs at least 4")
        if len(x) != 1:
            raise InputError(f"a batch of {len(x)} fields; the moments are those of one, give x[:1] (and so on)")
        samples = self.sample(x.expand(count, *x.shape[1:]), draw, t)[-1].double()
        deviation = samples - samples.mean(0)
        variance = deviation.square().sum(0) / (count - 1)
        fourth = deviation.pow(4).mean(0)
        spread = ((fourth - variance.square()).clamp(min=0) / count).sqrt()
        return MonteCarlo(samples.mean(0), (variance / count).sqrt(), variance, spread)

    # --- back ------------------------------------------------------------------------------

    def bridge(self, x_next: Float[Tensor, "B C *K"], x_0: Float[Tensor, "B C *L"], t: int) -> Tensor:
        """The mean of ``q(x_t | x_{t+1}, x_0)``: ``A_t x_0 + C_t R^T S^+ (x_{t+1} - A_{t+1} x_0)``.

        S is the covariance ``R (C_t + beta P) R^T`` of x_{t+1}. A state x_{t+1} that no noise leads to is refused.
        """
        self._within(t)
        self._linear(t + 1, x_0.dim() - 2)
        mean = self.mean(x_0, t)
        ahead = self.step(t)(mean)
        _check_shape(x_next, ahead, t + 1)
        return mean + self._gain(x_next - ahead, t)

    def sample_bridge(
        self, x_next: Float[Tensor, "B C *K"], x_0: Float[Tensor, "B C *L"], t: int, draw: StepNoise
    ) -> Tensor:
        """A sample of ``q(x_t | x_{t+1}, x_0)``: a free run, corrected to arrive at x_{t+1} (Matheron's rule)."""
        self._within(t)
        self._linear(t + 1, x_0.dim() - 2)
        *_, x, ahead = self.sample(x_0, draw, t + 1)
        _check_shape(x_next, ahead, t + 1)
        return x + self._gain(x_next - ahead, t)

    def _gain(self, innovation: Tensor, t: int) -> Tensor:
        """``C_t R^T S^+ innovation``."""
        step = self.step(t)
        solved = conjugate_gradients(lambda y: step(self._noisy(step.transpose(y), t)), innovation)
        return self._covariance(step.transpose(solved), t)

    # --- the same as a process --------------------------------------------------------------

    def process(self) -> ForwardProcess:
        """This chain as a ``ForwardProcess``, diagonal in the pyramid of its operator.

        It needs white noise and one orthonormal operator, repeated, with identity steps anywhere.
        """
        operators = [self.step(t).operator for t in range(len(self))]
        scales = [operator for operator in operators if operator is not None]
        first = scales[0] if scales else None
        if not isinstance(first, Orthonormal) or any(operator is not first for operator in scales):
            raise InputError("only a chain of one orthonormal operator, the same object in each step, is a process")
        if any(self.step(t).band is not None for t in range(len(self))):
            raise InputError("only a chain of white noise is diagonal in a pyramid; this one has bands")
        betas = [self.step(t).beta for t in range(len(self))]
        changes = [t for t, operator in enumerate(operators) if operator is not None]
        return ForwardProcess(Pyramid(first, len(changes)), NoisySteps(betas, changes, first.factor))

    def _until(self, t: int | None) -> int:
        t = len(self) if t is None else t
        if not 0 <= t <= len(self):
            raise InputError(f"t = {t}; the chain has the times 0 to {len(self)}")
        return t

    def _within(self, t: int) -> None:
        if not 0 <= t < len(self):
            raise InputError(f"a bridge back to t = {t}; this chain has those to 0 to {len(self) - 1}")

    def _linear(self, t: int | None, dimension: int) -> None:
        for i in range(self._until(t)):
            operator = self.step(i).operator
            if isinstance(operator, Orthonormal):
                operator.check_orthonormal(dimension)
            if not self.step(i).linear:
                name = getattr(self.step(i).operator, "__name__", type(self.step(i).operator).__name__)
                raise InputError(f"step {i} ({name}) is not known to be linear; use monte_carlo")


def _check_shape(given: Tensor, expected: Tensor, t: int) -> None:
    if given.shape != expected.shape:
        raise InputError(
            f"the state of time {t} has the shape {tuple(given.shape)}; the chain makes {tuple(expected.shape)} of x_0"
        )


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], b: Float[Tensor, "B C *K"], most: int = 500
) -> Float[Tensor, "B C *K"]:
    """``x`` of least norm with ``matrix(x) = b``, each field of the batch on its own (Hestenes & Stiefel 1952).

    For a symmetric matrix without negative eigenvalues, until the residual is about the rounding error of b's dtype; x
    is less exact in directions of small eigenvalues.

    Raises:
        InputError: the residual is still a thousand times the rounding error after ``most`` steps, as it is where
            there is no solution.
    """
    if not bool(b.isfinite().all()):
        raise InputError(f"{int((~b.isfinite()).sum())} of {b.numel()} values are not finite; drop or fill them")
    x, residual = torch.zeros_like(b), b
    direction, size = residual, _square(residual)
    enough = (50 * torch.finfo(b.dtype).eps) ** 2 * size
    for _ in range(most):
        if bool((size <= enough).all()):
            break
        image = matrix(direction)
        along = _square(direction, image)
        rate = torch.where((along > 0) & (size > enough), size / along.clamp(min=1e-300), 0.0)
        x, residual = x + rate * direction, residual - rate * image
        size, before = _square(residual), size
        direction = residual + torch.where(before > 0, size / before.clamp(min=1e-300), 0.0) * direction
    if bool((size > 1e6 * enough).any()):
        raise InputError(
            f"after {most} steps of conjugate gradients the residual is {float((size / _square(b)).max()) ** 0.5:.1e} "
            "of its right-hand side; the noise of the chain reaches some modes too little, or not at all where the "
            "given state is impossible: give more noise, or take float64"
        )
    return x


def _square(x: Tensor, y: Tensor | None = None) -> Tensor:
    return (x * (x if y is None else y)).flatten(1).sum(1).reshape(-1, *[1] * (x.dim() - 1))
