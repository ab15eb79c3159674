"""The cascade of exact or local Gaussian lifts, as a linear map of its noise."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.exact.field import spectrum, worst
from benchmarks.peers.gaussian import GaussianLift, known_lift
from benchmarks.record import Figure, Row
from rgdm.model.lifts.known_spectrum import coarse_spectrum
from rgdm.model.lifts.standardizer import COLOUR_RADIUS, PREDICTION_RADIUS
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Trigonometric
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

    def __init__(self, operator: Orthonormal, side: int, radii: Radii | None) -> None:
        self.operator, self.spectra, self.lifts = operator, [spectrum(side)], list[GaussianLift]()
        while self.spectra[-1].shape[0] > COARSEST:
            self.lifts.append(known_lift(operator, self.spectra[-1], *(radii or ())))
            self.spectra.append(coarse_spectrum(operator, self.spectra[-1]))

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
            white = AdamsBashforth(1)(white_estimate, WHITENED, noise) if i == level else None
            white = x.new_zeros(len(x), 3, *x.shape[2:]) if white is None else white
            x = self.operator.merge(x, self.lifts[-1 - i].detail(x, white))
        return x

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
    shape, weight = cascade.spectra[0].shape, cascade.spectra[0].rsqrt()
    whiten = cascade.covariance().unflatten(0, shape).unflatten(2, shape)
    for axes, w in (((0, 1), weight[..., None, None]), ((2, 3), weight)):
        whiten = torch.fft.ifftn(torch.fft.fftn(whiten, dim=axes) * w, dim=axes).real
    return float((torch.linalg.eigvalsh(whiten.flatten(2).flatten(0, 1)) - 1).abs().max())


def cascade_rows(sides: list[int], radii: list[Radii]) -> Iterator[Row]:
    """Exact lifts, and the price of stencils of small radius."""
    for name, operator in OPERATORS.items():
        for each in (None, *radii):
            cascades = {side: ExactCascade(operator, side, each) for side in sides}
            errors = {side: worst(cascade.variance(), spectrum(side)) for side, cascade in cascades.items()}
            bound = 1e-3 if each is None else None
            figures = {f"L = {side}": Figure(error, high=bound) for side, error in errors.items()}
            what = f"exact lifts, {name}"
            if each is not None:
                shipped = " (shipped)" if each == (PREDICTION_RADIUS, COLOUR_RADIUS) else ""
                what = f"radii {each.prediction}, {each.colour}{shipped}, {name}"
                cut = [error for error in errors.values() if error > 1e-10]  # elsewhere stencils reach around
                figures[f"any combination, L = {sides[0]}"] = Figure(worst_direction(cascades[sides[0]]))
                figures["largest / smallest"] = Figure(max(cut) / min(cut))
            yield Row("error of the worst mode, cascade", what, figures)
