"""How much signal and noise each mode carries at time t: one pair (alpha, sigma) per wavenumber."""

import abc
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError


class Schedule(abc.ABC):
    """``z_t = alpha(t, k) z_0 + sigma(t, k) noise`` for t in [0, 1]; t = 0 is data.

    ``t`` is ``(batch,)``, ``k`` is ``(*lattice)`` in radians per site; both results are
    ``(batch, 1, *lattice)``. alpha / sigma never rises with t.
    """

    @abc.abstractmethod
    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        """Amplitudes of signal and noise."""


def check_order(schedule: Schedule, k: Float[Tensor, "*L"], times: int = 33) -> None:
    """Raise ``ValueError`` if a mode gains signal on the way: where alpha / sigma rises, no noise was ever added."""
    k = k.flatten()[:1] if bool((k == k.flatten()[0]).all()) else k
    before: tuple[Tensor, Tensor] | None = None
    for i in range(times):  # one after the other, for lattices may be large
        t = torch.full((1,), i / (times - 1), dtype=torch.float64)
        amplitudes = schedule(t, k.double())
        if any(tuple(a.shape) != (1, 1, *k.shape) for a in amplitudes):
            shapes = " and ".join(str(tuple(a.shape)) for a in amplitudes)
            raise InputError(
                f"{type(schedule).__name__} gives amplitudes of shape {shapes} for one time and k of shape "
                f"{tuple(k.shape)}; (batch, 1, *lattice) is needed"
            )
        alpha, sigma = (a.flatten() for a in amplitudes)
        if not bool((alpha >= 0).all() and (sigma >= 0).all() and (alpha + sigma).isfinite().all()):
            raise InputError(
                f"{type(schedule).__name__} has amplitudes that are negative or not finite; both must be 0 or more"
            )
        if before is not None:
            rises = alpha * before[1] > before[0] * sigma * (1 + 1e-6) + 1e-12
            if bool(rises.any()):
                raise InputError(
                    f"alpha / sigma of {type(schedule).__name__} rises between t = {(i - 1) / (times - 1):.3g} and "
                    f"{i / (times - 1):.3g} at k = {float(k.flatten()[rises][0]):.3g}; signal over noise can only fall "
                    "on the way from data to noise"
                )
        before = alpha, sigma


class VariancePreserving(Schedule):
    """The continuous DDPM: ``alpha^2 = exp(-int beta)``, ``sigma^2 = 1 - alpha^2``, beta linear in t.

    Song et al. 2021, arXiv:2011.13456, eq. 11 with ``beta_min``, ``beta_max``.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        if not 0 <= beta_min <= beta_max:
            raise InputError(f"beta_min = {beta_min}, beta_max = {beta_max}; 0 <= beta_min <= beta_max is needed")
        self.beta_min, self.beta_max = beta_min, beta_max

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        spent = _column(t, k) * self.beta_min + _column(t, k).square() * (self.beta_max - self.beta_min) / 2
        flat = torch.ones_like(k)
        return torch.exp(-spent / 2) * flat, (-torch.expm1(-spent)).sqrt() * flat


class Trigonometric(Schedule):
    """``alpha = cos(pi t / 2)``, ``sigma = sin(pi t / 2)``: constant speed in angle for unit-variance data.

    Albergo & Vanden-Eijnden 2023, arXiv:2209.15571; Lu & Song 2024, arXiv:2410.11081 (TrigFlow).
    """

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        return _circle(_column(t, k) * torch.ones_like(k))


class Staggered(Schedule):
    """One octave after the other, the finest first; ``width`` octaves are under way at once.

    With o(k) = log2(pi / k) octaves below the pixel and O = ``octaves`` in all,
    ``angle = pi/2 * clip((t (O - 1 + w) - o(k)) / w, 0, 1)``. ``w -> 0`` is the pure
    cascade, ``w -> inf`` plain trigonometric diffusion.
    """

    def __init__(self, width: float, octaves: float) -> None:
        if not 0 < width < math.inf or not 1 <= octaves < math.inf:
            raise InputError(f"width = {width}, octaves = {octaves}; width > 0 and octaves >= 1 are needed")
        self.width, self.octaves = width, octaves

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        octave = torch.log2(math.pi / k.clamp(min=math.pi * 2.0**-self.octaves)).clamp(0, self.octaves - 1)
        t = _column(t, k)
        progress = (t * (self.octaves - 1 + self.width) - octave) / self.width
        progress = torch.where((t >= 1) & (progress < 1), 1.0, progress)  # rounding must leave no signal at the end
        begun = torch.where(progress < 0, 0.0, progress)
        return _circle(torch.where(begun > 1, 1.0, begun))  # unlike clamp, with a slope at the end


class NoisySteps(Schedule):
    """The chain ``x_{s+1} = R_s(x_s + sqrt(beta_s) eps_s)`` on the pyramid of its operator.

    ``betas`` are the variances of the noise, ``changes`` the steps whose R coarse-grains; the others only
    add noise. At time t the chain has made ``s = t * steps`` of them (linear in between). A detail of level l has
    received the noise up to and with step ``changes[l]``, which removes it: until then ``alpha = 1`` and
    ``sigma^2`` the sum of the betas, then alpha = 0 and its place holds noise of the amplitude it had. The coarse
    field that is left keeps alpha = 1.
    """

    def __init__(self, betas: Sequence[float], changes: Sequence[int], factor: int = 2) -> None:
        if not betas or min(betas) < 0 or not sum(betas) > 0:
            raise InputError(f"betas = {list(betas)}; variances of noise are needed, none negative and not all zero")
        if not changes or sorted(set(changes)) != list(changes) or not 0 <= changes[0] <= changes[-1] < len(betas):
            raise InputError(f"changes = {list(changes)}; rising steps from 0 to {len(betas) - 1} are needed")
        self.betas, self.changes, self.factor = tuple(betas), tuple(changes), factor

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        levels = len(self.changes)
        octaves = torch.log(math.pi / k.clamp(min=1e-300)) / math.log(self.factor)
        level = octaves.floor().long().clamp(0, levels)
        step = _column(t, k) * len(self.betas)
        whole = step.round()  # a time s / n must be step s
        step = torch.where((step - whole).abs() < 16 * torch.finfo(k.dtype).eps * len(self.betas), whole, step)
        end = torch.tensor([change + 1 for change in self.changes] + [len(self.betas)]).to(k)[level]
        alive = (step < end) | (level == levels)
        total = torch.tensor([0.0, *self.betas], dtype=torch.float64).cumsum(0).to(k)
        spent = torch.minimum(step, end)
        begun = spent.floor().long().clamp(max=len(self.betas) - 1)
        heat = torch.lerp(total[begun], total[begun + 1], spent - begun)
        return alive.to(k), torch.where(heat > 0, heat.clamp(min=torch.finfo(heat.dtype).tiny).sqrt(), 0.0)


class NoisyStep(NoisySteps):
    """``x_{s+1} = R(x_s + sqrt(beta) eps)``, a change of scale at every one of ``levels`` steps."""

    def __init__(self, beta: float, levels: int, factor: int = 2) -> None:
        if beta <= 0 or levels < 1:
            raise InputError(f"beta = {beta}, levels = {levels}; beta > 0 and levels >= 1 are needed")
        super().__init__([beta] * levels, range(levels), factor)


class HeatDissipation(Schedule):
    """Blurring and noise together: ``alpha = cos(pi t / 2) exp(-k^2 tau)``, ``sigma = sin(pi t / 2)``.

    ``tau = s(t)^2 / 2`` with ``s = blur * sin(pi t / 2)^2``, ``blur`` the width of the Gaussian kernel at
    the end, in sites. Hoogeboom & Salimans 2022, arXiv:2209.05557 (with d_min = 0), the noisy
    form of Rissanen et al. 2022, arXiv:2206.13397.
    """

    def __init__(self, blur: float) -> None:
        if not 0 <= blur < math.inf:
            raise InputError(f"blur = {blur}; a width in sites is needed, 0 or more")
        self.blur = blur

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        alpha, sigma = _circle(_column(t, k) * torch.ones_like(k))
        return alpha * torch.exp(-(self.blur * sigma.square() * k).square() / 2), sigma


class SpectrumMatched(Schedule):
    """Trigonometric, with noise of the spectrum S(k): ``sigma = sin(pi t / 2) sqrt(S(k))``.

    If S is the spectrum of the data every mode loses its signal at the same time and the variance of none ever
    changes: the plain diffusion of whitened data. Voleti et al. 2022, arXiv:2210.12254 (noise of any covariance).
    """

    def __init__(self, spectrum: Callable[[Tensor], Tensor]) -> None:
        if not callable(spectrum):
            raise InputError(f"a spectrum of type {type(spectrum).__name__}; give the function k -> S(k)")
        self.spectrum = spectrum

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        power = self.spectrum(k)
        if not bool((power > 0).all()):
            raise InputError(f"the spectrum of the noise has the value {float(power.min())}; it must be positive")
        alpha, sigma = _circle(_column(t, k) * torch.ones_like(k))
        return alpha, sigma * power.sqrt()


class ExactRG(Schedule):
    """The flow of a smooth cutoff: ``alpha = exp(-(k^2 + m^2) tau)``, ``sigma^2 = (1 - alpha^2) / (k^2 + m^2)``.

    Each mode relaxes to the free field of that propagator, the fast ones first: Carosso 2020,
    arXiv:1904.13057; the Polchinski flow as a diffusion: Cotler & Rezchikov 2023, arXiv:2308.12355. The cutoff
    ``Lambda`` falls by equal factors in equal times, from ``FIRST`` at t = 0, four times the largest wavenumber of an
    axis, to ``cutoff`` at t = 1, and ``2 tau = Lambda^-2 - FIRST^-2``: nothing has happened at t = 0. Modes well below
    the cutoff keep their signal. ``mass`` m in inverse sites.
    """

    FIRST = 4 * math.pi
    """The cutoff at t = 0, in radians per site."""

    def __init__(self, cutoff: float, mass: float = 0.0) -> None:
        if not 0 < cutoff < math.pi or not 0 <= mass < math.inf:
            raise InputError(f"cutoff = {cutoff}, mass = {mass}; 0 < cutoff < pi and mass >= 0 are needed")
        self.cutoff, self.mass = cutoff, mass

    def cutoff_at(self, t: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """``Lambda(t) = FIRST (cutoff / FIRST)^t``, in radians per site."""
        return self.FIRST * (self.cutoff / self.FIRST) ** t

    def __call__(self, t: Float[Tensor, " B"], k: Float[Tensor, "*L"]) -> tuple[Tensor, Tensor]:
        tau = torch.expm1(2 * math.log(self.FIRST / self.cutoff) * _column(t, k)) / (2 * self.FIRST**2)
        rate = k.square() + self.mass**2
        spent = 2 * tau * rate
        grown = torch.where(spent > 1e-12, -torch.expm1(-spent) / rate.clamp(min=1e-300), 2 * tau)
        return torch.exp(-spent / 2), grown.sqrt()


def _column(t: Tensor, k: Tensor) -> Tensor:
    return t.to(k).reshape(-1, 1, *[1] * k.dim())


def _circle(progress: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of ``pi/2 * progress``, with exact zeros at both ends."""
    return ((1 - progress) * (math.pi / 2)).sin(), (progress * (math.pi / 2)).sin()
