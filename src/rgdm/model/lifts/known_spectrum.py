"""The Gaussian lift of a stationary periodic field whose spectrum is known: no sample, no fit."""

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.closed_form.prediction import LinearPrediction
from rgdm.model.closed_form.stencil import cut
from rgdm.model.laws.likelihood import TRACED, LogProb, Tracing, normal_log_prob
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import LocalStandardizer
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.scale.coarse_graining import CoarseGraining, Lattice

Spectrum = Callable[[Tensor], Tensor] | Tensor
"""``|k| -> S``, or S on the grid of the FFT; ``S(k) = E|FFT x|^2 / sites``."""
FLOOR = 1e-13
"""Least eigenvalue of the spectrum of a residual, over the mean of all: smaller ones are rounding errors."""


def on_grid(spectrum: Spectrum, lattice: Lattice) -> Float[Tensor, "*L"]:
    """S on the grid of the FFT, float64."""
    if not isinstance(spectrum, Tensor):
        axes = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in lattice]
        spectrum = spectrum(torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt())
    density = spectrum.double()
    if tuple(density.shape) != lattice:
        raise InputError(f"a spectrum on the grid {tuple(density.shape)} for the lattice {lattice}; they must be alike")
    bad = ~((density > 0) & density.isfinite())
    if bool(bad.any()):
        mode = tuple(bad.nonzero()[0].tolist())
        raise InputError(
            f"the spectrum has the value {float(density[mode])} at mode {mode}; it must be positive and finite"
        )
    axes = tuple(range(density.dim()))
    if not torch.allclose(density.flip(axes).roll((1,) * len(axes), axes), density, rtol=1e-9, atol=0):
        raise InputError("S(-k) differs from S(k); the spectrum of a real field is even")
    return density


def band_density(
    split: Callable[[Tensor], Tensor], spectrum: Float[Tensor, "*L"], factor: int
) -> Complex[Tensor, "*K n n"]:
    """``E[conj(y_a) y_b] / sites`` of the bands ``y = split(x)``, for each mode q of the coarse lattice.

    ``split`` maps ``(B, 1, *L)`` to ``(B, n, *L/factor)``, is linear, and a translation of x by ``factor`` sites
    translates y by one. With the impulses h of the ``factor^d`` sites o of a cell and the columns c of the covariance
    of x that belong to them, it is ``sum_o conj(FFT split(c_o)_a) (FFT split(h_o)_b)``.
    """
    lattice, axes = tuple(spectrum.shape), tuple(range(2, 2 + spectrum.dim()))
    cell = list(itertools.product(range(factor), repeat=len(lattice)))
    impulse = spectrum.new_zeros(len(cell), 1, *lattice)
    for o, site in enumerate(cell):
        impulse[(o, 0, *site)] = 1
    column = torch.fft.ifftn(torch.fft.fftn(impulse, dim=axes) * spectrum, dim=axes).real
    response, cross = (torch.fft.fftn(split(x), dim=axes) for x in (impulse, column))
    return torch.einsum("oa...,ob...->...ab", cross.conj(), response)


def split_density(operator: CoarseGraining, spectrum: Float[Tensor, "*L"]) -> Complex[Tensor, "*K n n"]:
    """That of (coarse, detail); ``ValueError`` if the operator treats some sites otherwise than others."""
    lattice, axes = tuple(spectrum.shape), tuple(range(2, 2 + spectrum.dim()))
    operator.check(lattice)
    probe = torch.randn(1, 1, *lattice, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(spectrum)
    moved = torch.cat(operator.split(probe.roll((operator.factor,) * len(axes), axes)), 1)
    if not torch.allclose(moved, torch.cat(operator.split(probe), 1).roll((1,) * len(axes), axes), atol=1e-9):
        raise InputError(
            f"{type(operator).__name__} does not commute with translations by {operator.factor} sites on a torus, so "
            "that its modes mix; a known spectrum needs a periodic operator that does"
        )
    return band_density(lambda x: torch.cat(operator.split(x), 1), spectrum, operator.factor)


def coarse_spectrum(operator: CoarseGraining, spectrum: Float[Tensor, "*L"]) -> Float[Tensor, "*K"]:
    """The spectrum of the coarse field: that of the next level."""
    return split_density(operator, spectrum)[..., 0, 0].real


@torch.no_grad()
def fit_spectrum(lift: StandardizedLift, spectrum: Spectrum, lattice: Lattice) -> None:
    """Set the two stencils of ``lift`` to what a field of this spectrum on the periodic ``lattice`` wants.

    The limit of a fit to ever more samples: the prediction is the best one of its radius, from the exact covariances;
    the colouring the root of the exact spectrum of what it leaves, cut to its own radius. Exact if both radii reach
    half way around the coarse lattice.
    """
    parts = lift.standardizer
    if (
        not isinstance(parts, LocalStandardizer)
        or parts.channels != 1
        or set(parts.boundaries) != {"periodic"}
        or parts.amplitude is not None
    ):
        raise InputError("a known spectrum sets a periodic lift of one channel without local amplitude")
    density = split_density(lift.operator, on_grid(spectrum, lattice))
    transfer = _predict(parts.prediction, density)
    parts.colouring.set_density(_residual(density, transfer), FLOOR)


class FourierLift(Lift):
    """The exact lift applied by FFT, ``detail = T coarse + W noise`` mode by mode, on one lattice.

    What :func:`fit_spectrum` gives with stencils that reach half way around, without their cost.
    """

    transfer: Tensor
    root: Tensor

    def __init__(self, operator: CoarseGraining, spectrum: Spectrum, lattice: Lattice) -> None:
        super().__init__()
        density = split_density(operator, on_grid(spectrum, lattice))
        transfer = density[..., 1:, 0] / density[..., :1, 0]
        self.operator: CoarseGraining = operator
        self.boundaries = ("periodic",) * len(lattice)
        self.register_buffer("temperature", torch.ones(1))
        self.register_buffer("free_temperature", torch.ones(1))
        self.register_buffer("transfer", transfer.movedim(-1, 0).conj().resolve_conj())
        self.register_buffer("root", _power(_residual(density, transfer), 0.5).conj().resolve_conj())

    def detail(
        self, context: Context, noise: Float[Tensor, "B D *K"], sampler: Sampler | None = None, draw: Draw | None = None
    ) -> Float[Tensor, "B D *K"]:
        _check_alike(context.setting)
        coarse = self._modes(context.coarse)
        white = self._modes(self.temperature * noise)
        detail = self.transfer * coarse + torch.einsum("...ab,zb...->za...", self.root, white)
        return torch.fft.ifftn(detail, dim=self._axes).real.to(context.coarse)

    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        tracing: Tracing = TRACED,
        free: bool = False,
        networks: bool = True,
        setting: Setting = NOWHERE,
    ) -> LogProb:
        _check_alike(setting)
        coarse, detail = self.operator.split(fine)
        residual = (self._modes(detail) - self.transfer * self._modes(coarse)).movedim(1, -1).unsqueeze(-1)
        white = torch.linalg.solve(self.root, residual).squeeze(-1).movedim(-1, 1)
        volume = float(torch.linalg.slogdet(self.root).logabsdet.sum())
        temperature = self.of_details(self.free_temperature if free else self.temperature, detail)
        known = normal_log_prob(torch.fft.ifftn(white, dim=self._axes).real, temperature)
        return known.plus_for_all(-volume, 0.0)

    def reach(self, sampler: Sampler | None = None) -> int | None:
        return None

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(2, 1 + self.transfer.dim()))

    def _modes(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != tuple(self.transfer.shape[1:]):
            raise InputError(
                f"a coarse field of {tuple(x.shape[2:])} sites; this lift is that of {tuple(self.transfer.shape[1:])}"
            )
        return torch.fft.fftn(x.double(), dim=self._axes)


def _check_alike(setting: Setting) -> None:
    if setting.weights is not None:
        raise InputError(
            "a lift of a known spectrum is exact where all sites are alike; fill missing values, and leave out areas"
        )


def _predict(prediction: LinearPrediction, density: Complex[Tensor, "*K n n"]) -> Complex[Tensor, "*K D"]:
    """Set the best kernel of the radius; returns its FFT. One that reaches half way around needs no equations."""
    lattice, axes = tuple(density.shape[:-2]), tuple(range(density.dim() - 2))
    if 2 * prediction.radius >= max(lattice):
        transfer = density[..., 1:, 0] / density[..., :1, 0]
        kernel = torch.fft.ifftn(transfer, dim=axes).real.movedim(-1, 0).unsqueeze(1)
        prediction.kernel.copy_(cut(kernel, prediction.radius))
        return transfer
    moments = torch.fft.ifftn(density[..., 0], dim=axes).real  # at s, E[y_a(x) coarse(x + s)] of all bands a
    steps = range(-prediction.radius, prediction.radius + 1)
    taps = torch.tensor(list(itertools.product(*[steps] * len(lattice))))
    centre = len(taps) // 2

    def at(shift: Tensor, a: int | slice) -> Tensor:
        return moments[(*(shift % torch.tensor(lattice)).unbind(-1), a)]

    gram, cross = at(taps[:, None] - taps, 0), at(taps, slice(1, None))
    cross = cross - gram[:, centre, None] * gram.new_tensor(prediction.constant)
    differences = torch.eye(len(taps)).to(gram)
    differences[:, centre] -= 1
    differences[centre, centre] = 1
    prediction.solve(differences @ gram @ differences.T, differences @ cross)
    wave = torch.stack(
        torch.meshgrid(*[2 * math.pi * torch.fft.fftfreq(n, dtype=gram.dtype) for n in lattice], indexing="ij"), -1
    )
    phase = wave @ taps.T.to(gram)
    weights = prediction.kernel.to(gram).flatten(2)[:, 0].T.to(density)
    return torch.polar(torch.ones_like(phase), -phase) @ weights


def _residual(density: Tensor, transfer: Tensor) -> Complex[Tensor, "*K D D"]:
    """The spectrum of ``detail - prediction``, whose kernel has the FFT ``transfer``, ``(*K, D)``."""
    coarse, cross = density[..., :1, :1], density[..., 1:, :1]
    g = transfer.unsqueeze(-1)
    mixed = g @ cross.mH
    return density[..., 1:, 1:] - mixed - mixed.mH + coarse * (g @ g.mH)


def _power(density: Complex[Tensor, "*K D D"], exponent: float) -> Complex[Tensor, "*K D D"]:
    """The symmetric power of a Hermitian matrix, for each mode."""
    values, vectors = torch.linalg.eigh((density + density.mH) / 2)
    values = values.clamp(min=FLOOR * float(values.mean()))
    return (vectors * values.pow(exponent).unsqueeze(-2).to(vectors)) @ vectors.mH
