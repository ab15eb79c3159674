"""The cascade of exact or local Gaussian lifts, as a linear map of its noise."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from record import Row
from torch import Tensor

from exact.field import spectrum, worst
from rgdm.model.closed_form.known_spectrum import FourierLift, coarse_spectrum, fit_spectrum
from rgdm.model.lifts.lift import COLOUR_RADIUS, PREDICTION_RADIUS, GaussianLift
from rgdm.model.samplers.reverse import TrigonometricFlow
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    Trigonometric,
)
from rgdm.scale.basis import Site
from rgdm.scale.coarse_graining import Orthonormal
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.wavelets import Wavelet

COARSEST = 4
"""Sites along each axis of the coarse field that the cascade starts from."""


OPERATORS: dict[str, Orthonormal] = {"block spins": BlockSpin(2), "db4": Wavelet("db4"), "shells": MomentumShell(2)}


class Radii(NamedTuple):
    """Of the stencils of a lift; None instead: the exact lift, by FFT."""

    prediction: int
    colour: int


WHITENED = ForwardProcess(Site(), Trigonometric())


def white_estimate(z: Tensor, t: Tensor) -> Tensor:
    """The exact ``E[z_0 | z_t]`` of whitened detail: what a network would have to say."""
    return WHITENED.marginal(t, tuple(z.shape[2:]))[0] * z


class ExactCascade:
    """One lift for each level, set from the exact spectrum of that level."""

    def __init__(self, step: Orthonormal, side: int, radii: Radii | None) -> None:
        self.step, self.spectra, self.lifts = step, [spectrum(side)], []
        while self.spectra[-1].shape[0] > COARSEST:
            fine = self.spectra[-1]
            self.lifts.append(self._lift(step, fine, radii))
            self.spectra.append(coarse_spectrum(step, fine))

    def _lift(self, step: Orthonormal, fine: Tensor, radii: Radii | None) -> GaussianLift | FourierLift:
        lattice = tuple(fine.shape)
        if radii is None:
            return FourierLift(step, fine, lattice)
        made = GaussianLift(step, 1, 2, "periodic", prediction_radius=radii[0], colour_radius=radii[1]).double()
        fit_spectrum(made, fine, lattice)
        return made

    def inputs(self) -> Iterator[tuple[int, Tensor]]:
        """For each level, -1 for the coarse field, a unit impulse in each channel of its noise."""
        for level in range(-1, len(self.lifts)):
            side, channels = COARSEST * 2 ** max(level, 0), 1 if level < 0 else 3
            unit = torch.zeros(channels, channels, side, side, dtype=torch.float64)
            unit[:, :, 0, 0] = torch.eye(channels)
            yield level, unit

    def respond(self, level: int, noise: Tensor) -> Tensor:
        """The field made from the noise of one level, ``(B, 1, side, side)``: linear, so all others are 0."""
        x = noise.new_zeros(len(noise), 1, *noise.shape[2:])
        if level < 0:
            x = torch.fft.ifft2(torch.fft.fft2(noise) * self.spectra[-1].sqrt()).real
        for i in range(max(level, 0), len(self.lifts)):
            x = self.step.merge(x, self._detail(self.lifts[-1 - i], x, noise if i == level else None))
        return x

    def _detail(self, lift: GaussianLift | FourierLift, x: Tensor, noise: Tensor | None) -> Tensor:
        if noise is None and isinstance(lift, GaussianLift):
            return lift.prediction(x)
        noise = x.new_zeros(len(x), 3, *x.shape[2:]) if noise is None else noise
        return lift.detail(x, TrigonometricFlow(1)(white_estimate, WHITENED, noise))

    def variance(self) -> Tensor:
        """``E|x_k|^2`` on the grid of the FFT: an impulse of a level stands for all its sites."""
        total = torch.zeros_like(self.spectra[0])
        for level, unit in self.inputs():
            response = torch.fft.fft2(self.respond(level, unit)).abs().square().sum((0, 1))
            total += unit[0, 0].numel() / total.numel() * response
        return total

    def covariance(self) -> Tensor:
        """Of all sites of a small lattice."""
        columns = []
        for level, unit in self.inputs():
            every = torch.eye(unit[0].numel(), dtype=torch.float64).unflatten(1, unit.shape[1:])
            columns.append(self.respond(level, every).flatten(1))
        root = torch.cat(columns)
        return root.T @ root


def worst_direction(cascade: ExactCascade) -> float:
    """The largest error of variance of any normalised combination of modes: also correlations that must not be."""
    shape = cascade.spectra[0].shape
    whiten = cascade.covariance().unflatten(0, shape).unflatten(2, shape)
    for axes in ((0, 1), (2, 3)):
        weight = cascade.spectra[0].rsqrt()
        weight = weight[..., None, None] if axes == (0, 1) else weight
        whiten = torch.fft.ifftn(torch.fft.fftn(whiten, dim=axes) * weight, dim=axes).real
    return float((torch.linalg.eigvalsh(whiten.flatten(2).flatten(0, 1)) - 1).abs().max())


def cascade_rows(sides: list[int], radii: list[Radii], found: dict) -> list[Row]:
    rows, calls = [], {side: math.log2(side / COARSEST) for side in sides}
    for name, step in OPERATORS.items():
        errors = {side: worst(ExactCascade(step, side, None).variance(), spectrum(side)) for side in sides}
        found[f"cascade, {name}"] = errors
        counted = ", ".join(f"{count:.0f}" for count in calls.values())
        said = f"{listed(errors, '.0e')}; {counted} evaluations, which cost 4/3 of one of the whole lattice"
        rows.append(Row(f"worst mode, cascade of exact lifts, {name}", "<= 1e-3", said, max(errors.values()) <= 1e-3))
    return rows + [local_row(name, r, sides, found) for name in OPERATORS for r in radii]


def local_row(name: str, radii: Radii, sides: list[int], found: dict) -> Row:
    """The price of stencils of small radius."""
    made = {side: ExactCascade(OPERATORS[name], side, radii) for side in sides}
    errors = {side: worst(cascade.variance(), spectrum(side)) for side, cascade in made.items()}
    found[f"cascade, {name}, radii {radii.prediction} and {radii.colour}"] = errors
    cut = [error for error in errors.values() if error > 1e-10]  # elsewhere the stencils reach around the lattice
    direction = worst_direction(made[sides[0]])
    said = f"{listed(errors, '.1e')}; largest / smallest {max(cut) / min(cut):.1f}"
    shipped = " (as shipped)" if radii == (PREDICTION_RADIUS, COLOUR_RADIUS) else ""
    what = f"worst mode, cascade of local stencils, radii {radii.prediction} and {radii.colour}{shipped}, {name}"
    return Row(what, "", f"{said}; any combination of modes at L = {sides[0]}: {direction:.1e}")


def listed(values: dict[int, float], form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in values.values()) + f" at L = {', '.join(map(str, values))}"
