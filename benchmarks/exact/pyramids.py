"""Schedule x basis: also in the coefficients of pyramids, which are correlated, exactly."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.exact.cascade import COARSEST
from benchmarks.exact.field import made_variance, power, real_spectrum, spectrum
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import convergence
from rgdm.model.lifts.known_spectrum import band_density
from rgdm.model.samplers.reverse import AdamsBashforth, Ancestral
from rgdm.model.samplers.sampler import Sampler
from rgdm.model.samplers.stochastic import StochasticHeun
from rgdm.plots.style import PAGE
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    Schedule,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Fourier, Pyramid, unpack
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.wavelets import Wavelet

WIDTHS = (1.0, 2.0, 4.0)


SIDE, LEVELS_DOWN = 64, 3
CELL = 2**LEVELS_DOWN
COUNTS = (1, 2, 4, 8, 16, 32, 64)
EXACT = "ExactRG"
"""It leaves the scales of a coarse field of 8 x 8, which are drawn from their exact law."""
PYRAMIDS: dict[str, tuple[Orthonormal, bool]] = {
    "pyramid of block spins": (BlockSpin(2), False),
    "pyramid of db4": (Wavelet("db4"), False),
    "unit pyramid of block spins": (BlockSpin(2), True),
    "unit pyramid of db4": (Wavelet("db4"), True),
}
"""Operator, and whether each band is divided by its deviation."""


class Errors(NamedTuple):
    """Of the variances of all modes."""

    worst: float
    log: float
    """Root mean square of the log of the ratio."""

    @classmethod
    def of(cls, variance: Tensor, exact: Tensor) -> "Errors":
        ratio = variance / exact
        return cls(float((ratio - 1).abs().max()), float(ratio.log().square().mean().sqrt()))


class PyramidField:
    """The field in the coefficients of a pyramid, which are correlated, with its exact posterior mean.

    A translation by a cell of 8 x 8 sites translates all coefficients, so that the covariance is a matrix
    of 64 x 64 for each of the 8 x 8 wavenumbers that are left: all linear algebra is done there. With ``unit``
    each band is divided by its deviation.
    """

    def __init__(
        self, operator: Orthonormal, schedule: Schedule, exact_start: bool = False, unit: bool = False
    ) -> None:
        self.process = ForwardProcess(Pyramid(operator, LEVELS_DOWN), schedule)
        self.exact_start = exact_start
        self.lattice = (SIDE, SIDE)
        sites = torch.arange(SIDE**2, dtype=torch.float64).reshape(1, 1, *self.lattice)
        self.order = self._blocks(sites).flatten().argsort()
        density = band_density(lambda x: self._blocks(self.process.basis.analyze(x)), spectrum(SIDE), CELL)
        variance = density.diagonal(dim1=-2, dim2=-1).real.mean((0, 1))
        self.scale = variance.sqrt() if unit else torch.ones_like(variance)
        self.density = density.conj() / self.scale / self.scale[:, None]
        self.known: dict[float, Tensor] = {}

    def _blocks(self, z: Tensor, levels: int = LEVELS_DOWN) -> Tensor:
        """Packed coefficients to ``(B, 64, 8, 8)``: those that belong to one cell as channels."""
        if levels == 0:
            return z
        coarse, detail = unpack(z, 2)
        return torch.cat([self._blocks(coarse, levels - 1), F.pixel_unshuffle(detail, 2 ** (levels - 1))], 1)

    def _packed(self, blocks: Tensor) -> Tensor:
        """The inverse of ``_blocks``."""
        return blocks.flatten(1)[:, self.order].unflatten(1, (1, *self.lattice))

    def _apply(self, matrix: Tensor, z: Tensor) -> Tensor:
        """A matrix for each wavenumber, to packed coefficients."""
        spread = torch.fft.fft2(self._blocks(z)).permute(2, 3, 1, 0)
        return self._packed(torch.fft.ifft2((matrix @ spread).permute(3, 2, 0, 1)).real)

    def _amplitudes(self, t: float) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of the coefficients of a cell, ``(64,)``: all cells are alike."""
        both = self.process.marginal(torch.tensor([t], dtype=torch.float64), self.lattice)
        alpha, sigma = (self._blocks(a)[0, :, 0, 0] for a in both)
        return alpha, sigma

    def _total(self, t: float) -> Tensor:
        alpha, sigma = self._amplitudes(t)
        return alpha[:, None] * self.density * alpha + torch.diag(sigma.square())

    def estimate(self, z: Tensor, t: Tensor) -> Tensor:
        """``E[z_0 | z_t] = C alpha (alpha C alpha + sigma^2)^-1 z_t``."""
        at = float(t[0])
        if at not in self.known:
            crossed = self._amplitudes(at)[0][:, None] * self.density
            self.known[at] = torch.linalg.solve(self._total(at), crossed).mH
        return self._apply(self.known[at], z)

    def errors(self, sampler: Sampler) -> Errors:
        """From the responses to unit noise in each coefficient of one cell."""
        unit = torch.zeros(CELL**2, CELL**2, CELL, CELL, dtype=torch.float64)
        unit[:, :, 0, 0] = torch.eye(CELL**2)
        start = self._start(self._packed(unit))
        generated = self._blocks(sampler(self.estimate, self.process, start)) * self.scale[:, None, None]
        field = self.process.basis.synthesize(self._packed(generated))
        variance = torch.fft.fft2(field).abs().square().sum((0, 1)) / CELL**2
        return Errors.of(variance, spectrum(SIDE))

    def _start(self, unit: Tensor) -> Tensor:
        if not self.exact_start:
            return self.process.marginal(torch.ones(len(unit), dtype=torch.float64), self.lattice)[1] * unit
        values, vectors = torch.linalg.eigh(self._total(1.0))
        return self._apply(vectors * values.clamp(min=0).sqrt().unsqueeze(-2).to(vectors) @ vectors.mH, unit)


def schedules(basis: str) -> dict[str, Schedule]:
    """Those that make sense in a basis; without wavenumbers and units of bands they are the same in all."""
    octaves = math.log2(SIDE) if basis == "Fourier" else LEVELS_DOWN + 1
    stages: dict[str, Schedule] = {f"Staggered {w:g}": Staggered(w, octaves) for w in WIDTHS}
    if basis == "any":
        return {"Trigonometric": Trigonometric(), "VariancePreserving": VariancePreserving()}
    if basis.startswith("unit"):
        return schedules("any") | stages
    other = {EXACT: ExactRG(math.pi / CELL, 2 * math.pi / SIDE), "SpectrumMatched": SpectrumMatched(interpolated)}
    return stages | other | ({"HeatDissipation": HeatDissipation(CELL)} if basis == "Fourier" else {})


def interpolated(k: Tensor) -> Tensor:
    """S for the wavenumbers of any basis: of a mode along an axis, of two beyond pi."""
    along = k.clamp(max=math.pi)
    across = (k.square() - along.square()).clamp(min=0).sqrt()
    frequencies = torch.stack([along, across]) * SIDE / (2 * math.pi)
    n = torch.arange(SIDE)
    return power(frequencies, SIDE) / power(torch.stack(torch.meshgrid(n, n, indexing="ij")), SIDE).mean()


def fourier_errors(sampler: Sampler, schedule: Schedule, exact: bool) -> Errors:
    s = real_spectrum(SIDE)
    return Errors.of(made_variance(sampler, ForwardProcess(Fourier(), schedule), s, exact), s)


def ablation_rows(counts: tuple[int, ...], path: Path) -> Iterator[Row]:
    """For each basis and schedule the errors after so many evaluations of ``AdamsBashforth``; noisy samplers after all.

    ``rms``: root mean square of the log of the variances' ratio. And a figure of all.
    """
    curves: dict[str, list[Errors]] = {}
    for basis in ("any", "Fourier", *PYRAMIDS):
        for name, schedule in schedules(basis).items():
            exact, noisy = name == EXACT, {}
            if basis in PYRAMIDS:
                operator, unit = PYRAMIDS[basis]
                field = PyramidField(operator, schedule, exact, unit)
                errors = [field.errors(AdamsBashforth(n)) for n in counts]
            else:
                errors = [fourier_errors(AdamsBashforth(n), schedule, exact) for n in counts]
                for sampler in (StochasticHeun(1).spending(counts[-1]), Ancestral(counts[-1])):
                    noisy[type(sampler).__name__] = Figure(fourier_errors(sampler, schedule, exact).worst)
            curves[f"{basis}, {name}"] = errors
            figures = {str(n): Figure(e.worst) for n, e in zip(counts, errors, strict=True)}
            figures |= {f"rms {n}": Figure(e.log) for n, e in zip(counts, errors, strict=True)}
            yield Row(f"error of the worst mode after n evaluations, L = {SIDE}", f"{basis}, {name}", figures | noisy)
    draw(path, curves, counts)


def draw(path: Path, curves: dict[str, list[Errors]], counts: tuple[int, ...]) -> None:
    """Error of the worst mode against evaluations, one panel for each basis, with the cascade."""
    floor, bases = 1e-5, ["Fourier", *(basis for basis in PYRAMIDS if basis != "pyramid of block spins")]
    panels: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {}
    for title in bases:
        chosen = {name: errors for name, errors in curves.items() if name.split(", ")[0] in (title, "any")}
        lines = {name.split(", ")[1]: (counts, [max(e.worst, floor) for e in each]) for name, each in chosen.items()}
        panels[title] = {**lines, "cascade of exact lifts (1e-14)": ([math.log2(SIDE / COARSEST)], [floor])}
    convergence(path, (PAGE, 2.4), panels, ("evaluations", "error of the worst mode"), ylim=(floor, 100))
