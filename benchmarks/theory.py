"""What can be known exactly: Gaussian fields, on which every method is linear.

    python benchmarks/theory.py --record

Nothing is trained, and but for the check of the chain's closed marginal nothing is sampled: each method is a linear map
of its noise, whose response to unit impulses gives the variance of every mode of what it generates. The field is
critical, ``S(k) ~ (khat^2 + (2 pi / L)^2)^(-1 + eta/2)`` with ``khat^2 = 4 sum sin^2(k/2)``, eta = 1/4, on
L x L periodic sites: its correlation length is L / 2 pi, whatever L. It is scaled to unit variance of a site. The worst
mode of a method is that of the largest ``|E|x_k|^2 / S(k) - 1|`` over all k.

The cascade has the exact Gaussian lift of each level, down to a coarse field drawn from its exact law; a
``TrigonometricFlow`` of one evaluation carries the whitened detail of a level, of which the exact estimate is
known too. The peers have the exact score of the whole field; an evaluation is one of the whole lattice. Only whitening
with the true spectrum makes any of them exact in one evaluation as well, and for Gaussian fields
that is the same as knowing the answer: what the comparison says is how evaluations grow with L, not which
method is cleverer. ``--out`` receives the two figures and ``theory.json``.
"""

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from record import Row, append, stamp, table
from torch import Tensor

from rgdm.model.exact import FourierLift, band_density, coarse_spectrum, fit_spectrum
from rgdm.model.fitted import FittedFlow
from rgdm.model.lift import COLOUR_RADIUS, PREDICTION_RADIUS, GaussianLift
from rgdm.model.samplers import Ancestral, Ddim, EqualSteps, Estimate, Heun, Sampler, Step, TrigonometricFlow, separate
from rgdm.model.stochastic import EulerMaruyama, StochasticHeun
from rgdm.plots import figure_to_png
from rgdm.plots.style import BASELINES, COLUMN, GREY, INK, LEVELS, MODEL, PAGE, paper
from rgdm.process.chain import Chain, NoisyMap
from rgdm.process.continuous import ScaleFlow
from rgdm.process.forward import ForwardProcess
from rgdm.process.laws import GaussianMixture
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    Schedule,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Basis, Fourier, Pyramid, Site, unpack
from rgdm.scale.coarse_graining import Lattice, Orthonormal
from rgdm.scale.operators import BlockSpin, Decimation, MomentumShell, Wavelet
from rgdm.scale.quincunx import Quincunx
from rgdm.scale.transforms import fourier_frequency

ETA = 0.25
COARSEST = 4
"""Sites along each axis of the coarse field that the cascade starts from."""
LIMIT = 0.05
"""Of the worst mode, for the count of evaluations."""
MOST = 4096
"""Evaluations that are tried."""
SCANNED = 64
"""So many steps are tried one by one, for the error may cross the limit more than once."""
OPERATORS: dict[str, Orthonormal] = {"block spins": BlockSpin(2), "db4": Wavelet("db4"), "shells": MomentumShell(2)}
WIDTHS = (1.0, 2.0, 4.0)

# --- the field -------------------------------------------------------------------------------


def power(frequencies: Tensor, side: int) -> Tensor:
    """S at integer frequencies ``(2, ...)``, before it is scaled."""
    khat = 4 * torch.sin(math.pi * frequencies.double() / side).square().sum(0)
    return (khat + (2 * math.pi / side) ** 2) ** (ETA / 2 - 1)


def spectrum(side: int) -> Tensor:
    """S on the grid of the FFT, of mean 1: the variance of a site."""
    n = torch.arange(side)
    found = power(torch.stack(torch.meshgrid(n, n, indexing="ij")), side)
    return found / found.mean()


def real_spectrum(side: int) -> Tensor:
    """The same for the real modes of ``Fourier``."""
    n = fourier_frequency(side)
    return spectrum(side)[n[:, None], n]


class Modes(Basis):
    """A list of modes, each known by its wavenumber alone: the different ones of a large lattice."""

    def __init__(self, k: Tensor) -> None:
        super().__init__()
        self.k = k

    def analyze(self, x: Tensor) -> Tensor:
        return x

    def synthesize(self, z: Tensor) -> Tensor:
        return z

    def wavenumber(self, lattice: Lattice) -> Tensor:
        return self.k


def distinct(side: int) -> tuple[Tensor, Tensor]:
    """(k, S) of the modes ``0 <= n_x <= n_y <= side / 2``: all there are, up to symmetry."""
    found = torch.triu_indices(side // 2 + 1, side // 2 + 1)
    k = 2 * math.pi / side * found.double().square().sum(0).sqrt()
    return k, spectrum(side)[found[0], found[1]]


def worst(variance: Tensor, exact: Tensor) -> float:
    return float((variance / exact - 1).abs().max())


# --- the cascade -----------------------------------------------------------------------------


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


# --- samplers on independent modes -----------------------------------------------------------


def start(process: ForwardProcess, variance: Tensor, exact: bool) -> Tensor:
    """The deviation of each mode at t = 1: that of the noise, or of the exact law where signal is left."""
    alpha, sigma = process.marginal(torch.ones(1, dtype=torch.float64), tuple(variance.shape))
    return (alpha.square() * variance + sigma.square()).sqrt() if exact else sigma


def made_variance(sampler: Sampler, process: ForwardProcess, variance: Tensor, exact: bool = False) -> Tensor:
    """The variance of each mode of what a sampler makes, the denoiser being exact."""
    estimate, z = GaussianMixture.field(variance).estimate(process), start(process, variance, exact)
    if isinstance(sampler, Ancestral | EulerMaruyama):
        return recursion(sampler, process, estimate, z[0, 0].square())
    return sampler(estimate, process, z)[0, 0].square()


def recursion(sampler: EqualSteps, process: ForwardProcess, estimate: Estimate, variance: Tensor) -> Tensor:
    """``v -> a^2 v + b^2`` step by step: a is what a step makes of the state, b of its noise."""
    unit = torch.stack([torch.ones_like(variance), torch.zeros_like(variance)]).unsqueeze(1)
    noise = unit.flip(0)
    for i in range(sampler.steps):
        t, s = (torch.full((2,), 1 - j / sampler.steps, dtype=unit.dtype) for j in (i, i + 1))
        now = separate(process, unit, estimate(unit, t), t)
        kept, added = sampler.step(Step(process, estimate, unit, t, s, now, None, i, lambda _: noise))[:, 0]
        variance = kept.square() * variance + added.square()
    return variance


# --- peers -----------------------------------------------------------------------------------


def edm(variance: Tensor, steps: int, largest: float, smallest: float = 0.002, rho: float = 7.0) -> Tensor:
    """The variances that EDM's Heun sampler makes (Karras et al. 2022, arXiv:2206.00364, alg. 1 without churn)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    sigmas = (largest ** (1 / rho) + ramp * (smallest ** (1 / rho) - largest ** (1 / rho))) ** rho
    levels = [*sigmas.tolist(), 0.0]
    x = torch.full_like(variance, levels[0])

    def slope(x: Tensor, sigma: float) -> Tensor:
        return x * sigma / (variance + sigma**2)  # (x - D(x)) / sigma

    for now, after in itertools.pairwise(levels):
        first = slope(x, now)
        guess = x + (after - now) * first
        x = guess if after == 0 else x + (after - now) * (first + slope(guess, after)) / 2
    return x.square()


class Peer(NamedTuple):
    """A method, the whole field at once."""

    error: Callable[[int, int], float]
    """(steps, side) -> the error of the worst mode."""
    evaluations: Callable[[int], int]


def thinned(side: int, most: int = 1000) -> tuple[Tensor, Tensor]:
    """(k, S) of modes that stand for all, at about equal steps of log S, the largest and the smallest among them."""
    k, s = distinct(side)
    s, order = s.sort()
    wanted = torch.linspace(math.log(s[0]), math.log(s[-1]), most, dtype=torch.float64)
    chosen = torch.searchsorted(s.log(), wanted).clamp(max=len(s) - 1).unique()
    return k[order][chosen], s[chosen]


def peer(make: Callable[[int], Sampler], schedule: Callable[[int, Tensor], Schedule]) -> Peer:
    """A sampler of so many steps, a schedule for each (side, spectrum)."""

    def error(steps: int, side: int) -> float:
        k, s = thinned(side)
        return worst(made_variance(make(steps), ForwardProcess(Modes(k), schedule(side, s)), s), s)

    return Peer(error, lambda steps: make(steps).evaluations)


def edm_peer(factor: float) -> Peer:
    def error(steps: int, side: int) -> float:
        _, s = thinned(side)
        return worst(edm(s, steps, factor * float(s.max().sqrt())), s)

    return Peer(error, lambda steps: 2 * steps - 1)


def whitened_peer() -> Peer:
    """The field whitened with its true spectrum, then plain diffusion."""
    one = torch.ones(1, dtype=torch.float64)
    process = ForwardProcess(Modes(one), Trigonometric())
    return Peer(lambda n, _: worst(made_variance(TrigonometricFlow(n), process, one), one), lambda n: n)


def linear(side: int, s: Tensor) -> Schedule:
    return VariancePreserving()


def trigonometric(side: int, s: Tensor) -> Schedule:
    return Trigonometric()


def matched(side: int, s: Tensor) -> Schedule:
    return SpectrumMatched(lambda _: s)


def staggered(width: float) -> Callable[[int, Tensor], Schedule]:
    return lambda side, s: Staggered(width, math.log2(side))


def peers() -> dict[str, dict[str, Peer]]:
    """Each with its variants, of which the best counts."""
    flow = TrigonometricFlow
    return {
        "EDM, Heun": {f"sigma_max {f} x the largest deviation": edm_peer(f) for f in (5, 7, 10, 20, 40)},
        "DDPM, linear beta, ancestral": {"": peer(Ancestral, linear)},
        "DDPM, linear beta, DDIM": {"": peer(Ddim, linear)},
        "trigonometric, Heun": {"": peer(Heun, trigonometric)},
        "trigonometric, TrigonometricFlow": {"": peer(flow, trigonometric)},
        "trigonometric, FittedFlow": {"": peer(FittedFlow, trigonometric)},
        "spectrum-matched noise, DDIM": {"": peer(Ddim, matched)},
        "spectrum-matched noise, TrigonometricFlow": {"": peer(flow, matched)},
        "staggered, TrigonometricFlow": {f"width {w:g}": peer(flow, staggered(w)) for w in (2.0, 4.0, 8.0)},
        "whitened with the true spectrum, TrigonometricFlow": {"": whitened_peer()},
    }


def fewest(made: Peer, side: int) -> int | None:
    """Evaluations of the fewest steps whose worst mode is within the limit; beyond ``SCANNED`` it is held to fall."""
    for steps in range(1, SCANNED + 1):
        if made.error(steps, side) <= LIMIT:
            return made.evaluations(steps)
    low, high = SCANNED, 2 * SCANNED
    while made.error(high, side) > LIMIT:
        low, high = high, 2 * high
        if made.evaluations(high) > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if made.error(middle, side) <= LIMIT else (middle, high)
    return made.evaluations(high)


def peer_rows(sides: list[int], found: dict) -> list[Row]:
    rows = []
    for name, variants in peers().items():
        counts: dict[int, tuple[float, str]] = {}
        for side in sides:
            tried = [(fewest(made, side) or math.inf, variant) for variant, made in variants.items()]
            counts[side] = min(tried, key=lambda pair: pair[0])
        found[name] = {side: count for side, (count, _) in counts.items() if math.isfinite(count)}
        cells = [f"> {MOST}" if count == math.inf else f"{count}" for count, _ in counts.values()]
        chosen = list(dict.fromkeys(variant for _, variant in counts.values() if variant))
        best = f" (best of {len(variants)}: {'; '.join(chosen)})" if chosen else ""
        said = f"{', '.join(cells)} at L = {', '.join(map(str, sides))}{best}"
        rows.append(Row(f"evaluations until the worst mode is within {LIMIT:.0%}: {name}", "", said))
    return rows


# --- orders ----------------------------------------------------------------------------------

VARIANCES = torch.tensor([0.2, 0.35, 0.5, 0.7, 1.5, 2.5, 4.0], dtype=torch.float64)
PLAIN = ForwardProcess(Site(), Trigonometric())
STEPS = (1024, 2048, 4096)
ORDERS: list[tuple[str, Callable[[int], Sampler], int]] = [
    ("Ddim", Ddim, 1),
    ("Heun", Heun, 2),
    ("TrigonometricFlow", TrigonometricFlow, 2),
    ("Ancestral, weak", Ancestral, 1),
    ("EulerMaruyama, weak", EulerMaruyama, 1),
    ("StochasticHeun, weak", StochasticHeun, 2),
]


def orders(errors: list[Tensor], steps: tuple[int, ...]) -> Tensor:
    """Minus the slope of log error over log steps, for each variance."""
    x = torch.tensor(steps, dtype=torch.float64).log()
    x = x - x.mean()
    return -(x @ torch.stack(errors).abs().log()) / x.square().sum()


def responses(sampler: Sampler) -> Tensor:
    """What one unit of the start (row 0) and of each step's noise (the others) becomes, ``(steps + 1, variances)``."""
    inputs = sampler.steps + 1
    unit = torch.eye(inputs, dtype=torch.float64).reshape(inputs, inputs, 1, 1) * torch.ones_like(VARIANCES)
    estimate = GaussianMixture.field(VARIANCES).estimate(PLAIN)
    return sampler(estimate, PLAIN, unit[0], lambda i: unit[i + 1])[:, 0]


def pathwise(sampler: Sampler, fine: int) -> Tensor:
    """The responses to the noise of ``fine`` steps, whose weighted sums are the noise of the fewer ones."""

    def deviation(n: int) -> Tensor:
        sine = torch.sin(math.pi / 2 * (1 - torch.arange(n + 1, dtype=torch.float64) / n)).square()
        return (sine[:-1] - sine[1:]).sqrt()

    coarse, m = responses(sampler), fine // sampler.steps
    share = deviation(fine) / deviation(sampler.steps).repeat_interleave(m)
    return torch.cat([coarse[:1], share[:, None] * coarse[1:].repeat_interleave(m, 0)])


def strong_orders(make: Callable[[int], Sampler], fine: int) -> Tensor:
    """From the root mean square distance to the path of very many steps in the same Brownian motion."""
    steps = (fine // 128, fine // 64, fine // 32)
    limit = responses(make(fine))
    return orders([(pathwise(make(n), fine) - limit).square().sum(0).sqrt() for n in steps], steps)


def chain_orders(steps: tuple[int, ...]) -> Tensor:
    """Of the covariance of the chain of n steps against that of its continuous limit, of every mode that decays."""
    found, lattice = [], (16,)
    span = math.log2(4 * math.pi / 0.5)
    for basis, schedule, octaves in (
        (Fourier(), ExactRG(0.5), span),
        (Fourier(), ExactRG(0.5, 0.3), span),
        (Site(), VariancePreserving(), 1.0),
    ):
        flow = ScaleFlow(ForwardProcess(basis, schedule), octaves)
        _, sigma = flow.marginal(torch.full((1,), flow.span, dtype=torch.float64), lattice)
        ones = basis.synthesize(torch.ones(1, 1, *lattice, dtype=torch.float64))
        made = [basis.analyze(flow.chain(n, lattice).covariance(ones)) for n in steps]
        decays = (flow.rates(torch.full((1,), flow.span / 2, dtype=torch.float64), lattice)[0] > 0).flatten()
        found.append(orders([(c / sigma.square() - 1).flatten()[decays.expand(lattice)] for c in made], steps))
    return torch.cat(found)


def order_rows(quick: bool) -> list[Row]:
    steps = tuple(n // 8 for n in STEPS) if quick else STEPS
    measured = {}
    for name, make, theory in ORDERS:
        errors = [(made_variance(make(n), PLAIN, VARIANCES) / VARIANCES).sqrt() - 1 for n in steps]
        measured[name] = orders(errors, steps), theory
    for name, make in (("EulerMaruyama, strong", EulerMaruyama), ("StochasticHeun, strong", StochasticHeun)):
        measured[name] = strong_orders(make, 1024 if quick else 4096), 1
    measured["chain to ScaleFlow"] = chain_orders(steps), 1
    rows = []
    for name, (found, theory) in measured.items():
        said = f"{float(found.min()):.3f} .. {float(found.max()):.3f}"
        rows.append(Row(f"order, {name}", f"{theory} +- 0.1", said, float((found - theory).abs().max()) <= 0.1))
    return rows


# --- the closed marginal of the chain --------------------------------------------------------

BETAS = (0.4, 0.1, 0.7, 0.3)
"""Of two changes of scale, with two steps of noise alone between them."""


def chain(step: Orthonormal, wrong: float = 1.0) -> Chain:
    operators = (step, None, None, step)
    return Chain([NoisyMap(r, beta * wrong) for r, beta in zip(operators, BETAS, strict=True)])


def marginal_cases() -> list[tuple[str, Orthonormal, Lattice]]:
    sides = {1: 32, 2: 16, 3: 8}
    operators = {
        "block spins 2": BlockSpin(2),
        "block spins 3": BlockSpin(3),
        "decimation": Decimation(2),
        "quincunx": Quincunx(),
        "shells": MomentumShell(2),
        "db2": Wavelet("db2"),
    }
    found = []
    for name, step in operators.items():
        for d, side in sides.items():
            if name != "quincunx" or d == 2:
                found.append((f"{name} {d}-D", step, (9 if step.factor == 3 else side,) * d))
    return found


def scores(step: Orthonormal, lattice: Lattice, count: int, wrong: float, random: torch.Generator) -> Tensor:
    """z of mean and of variance at every site of the last state, the simulated noise ``wrong`` times as strong."""
    x = 3 * torch.randn(1, 1, *lattice, generator=random, dtype=torch.float64)

    def draw(_: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    law, simulated = chain(step), chain(step, wrong)
    parts = [simulated.sample(x.expand(n, *x.shape[1:]), draw)[-1] for n in [1000] * (count // 1000)]
    made, mean = torch.cat(parts).flatten(1), law.mean(x)
    sites = mean.numel()
    unit = torch.eye(sites, dtype=torch.float64).reshape(sites, *mean.shape[1:])
    variance = law.covariance(unit).reshape(sites, sites).diagonal()
    z_mean = (made.mean(0) - mean.flatten()) / (variance / len(made)).sqrt()
    z_variance = (made.var(0) / variance - 1) / math.sqrt(2 / (len(made) - 1))
    return torch.stack([z_mean, z_variance])


def marginal_rows(quick: bool, seed: int) -> list[Row]:
    count, random = 2000 if quick else 20000, torch.Generator().manual_seed(seed)
    right, wrong, worst_of = [], [], {}
    for name, step, lattice in marginal_cases():
        z = scores(step, lattice, count, 1.0, random)
        worst_of[name] = float(z.abs().max())
        right.append(z.flatten())
        wrong.append(float(scores(step, lattice, count, 1.1, random)[1].abs().max()))
    z = torch.cat(right)
    most, name = float(z.abs().max()), max(worst_of, key=lambda name: worst_of[name])
    chance = 1 - math.erf(most / math.sqrt(2)) ** len(z)
    said = f"{most:.2f} ({name}), {len(z)} comparisons of {count} runs, by chance at least as large: {chance:.2f}"
    return [
        Row(
            "closed marginal of the chain, largest deviation of a mean or variance, standard errors",
            "<= 4",
            said,
            most <= 4,
        ),
        Row(
            "the same with noise wrong by 10 %, smallest over the operators",
            "> 4",
            f"{min(wrong):.1f}",
            min(wrong) > 4,
        ),
    ]


# --- schedule x basis ------------------------------------------------------------------------

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

    def __init__(self, step: Orthonormal, schedule: Schedule, exact_start: bool = False, unit: bool = False) -> None:
        self.process = ForwardProcess(Pyramid(step, LEVELS_DOWN), schedule)
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
        made = self._blocks(sampler(self.estimate, self.process, start)) * self.scale[:, None, None]
        field = self.process.basis.synthesize(self._packed(made))
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


def ablation(counts: tuple[int, ...]) -> dict[str, list[Errors]]:
    """For each basis and schedule the errors after so many evaluations of ``TrigonometricFlow``."""
    found = {}
    for basis in ("any", "Fourier"):
        for name, schedule in schedules(basis).items():
            found[f"{basis}, {name}"] = [fourier_errors(TrigonometricFlow(n), schedule, name == EXACT) for n in counts]
    for basis, (step, unit) in PYRAMIDS.items():
        for name, schedule in schedules(basis).items():
            field = PyramidField(step, schedule, name == EXACT, unit)
            found[f"{basis}, {name}"] = [field.errors(TrigonometricFlow(n)) for n in counts]
    return found


def fourier_errors(sampler: Sampler, schedule: Schedule, exact: bool) -> Errors:
    s = real_spectrum(SIDE)
    return Errors.of(made_variance(sampler, ForwardProcess(Fourier(), schedule), s, exact), s)


def ablation_rows(found: dict[str, list[Errors]], counts: tuple[int, ...]) -> list[Row]:
    rows, last = [], counts[-1]
    for name, errors in found.items():
        said = ", ".join(f"{e.worst:.1e}" for e in errors) + "; " + ", ".join(f"{e.log:.1e}" for e in errors)
        basis, schedule = name.split(", ")
        if basis in ("any", "Fourier"):
            made = schedules(basis)[schedule]
            noisy = {
                "StochasticHeun": fourier_errors(StochasticHeun(1).spending(last), made, schedule == EXACT),
                "Ancestral": fourier_errors(Ancestral(last), made, schedule == EXACT),
            }
            said += f" (worst at {last}: {', '.join(f'{k} {e.worst:.1e}' for k, e in noisy.items())})"
        what = f"L = {SIDE}, worst mode; rms log variance after {', '.join(map(str, counts))}: {name}"
        rows.append(Row(what, "", said))
    return rows


# --- pictures --------------------------------------------------------------------------------


def draw_ablation(path: Path, found: dict[str, list[Errors]], counts: tuple[int, ...]) -> None:
    """Error of the worst mode against evaluations, one panel for each basis; the cascade as a star."""
    bases = ["Fourier", *(basis for basis in PYRAMIDS if basis != "pyramid of block spins")]
    colours = [INK, GREY, *BASELINES, *LEVELS[1:4]]
    names = list(dict.fromkeys(name.split(", ")[1] for name in found))
    floor, levels, handles = 1e-5, round(math.log2(SIDE / COARSEST)), {}
    with paper():
        figure = Figure(figsize=(PAGE, 2.4))
        for panel, title in zip(figure.subplots(1, 4, sharey=True), bases, strict=True):
            for name, errors in found.items():
                basis, schedule = name.split(", ")
                if basis == title or (basis == "any" and not title.startswith("unit")):
                    values = [max(e.worst, floor) for e in errors]
                    (handles[schedule],) = panel.loglog(counts, values, color=colours[names.index(schedule)])
            (star,) = panel.loglog([levels], [floor], "*", ms=9, color=MODEL, clip_on=False, zorder=5)
            handles["cascade of exact lifts (1e-14)"] = star
            panel.set(title=title, xlabel="evaluations", ylim=(floor, 100))
            panel.set_xticks(counts, [str(n) for n in counts])
            panel.minorticks_off()
        figure.axes[0].set_ylabel("error of the worst mode")
        figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=5)
    path.write_bytes(figure_to_png(figure))


def draw_scaling(path: Path, found: dict[str, dict[int, float]]) -> None:
    """Evaluations until the worst mode is within the limit, against L."""
    with paper():
        figure = Figure(figsize=(COLUMN * 1.4, 3.0))
        axes = figure.subplots()
        colours = [*BASELINES, GREY, *LEVELS, "#b9c0c8"]
        shown = [name for name in found if not name.startswith(("cascade", "whitened"))]
        for name, colour in zip(shown, colours, strict=False):
            axes.loglog(list(found[name]), list(found[name].values()), "o-", ms=2.5, lw=1, color=colour, label=name)
        sides = list(found[shown[0]])
        levels = [math.log2(side / COARSEST) for side in sides]
        axes.loglog(sides, levels, "*-", ms=8, color=MODEL, label="cascade, one a level (error 1e-12)")
        axes.set(xlabel="L", ylabel=f"evaluations until the worst mode is within {LIMIT:.0%}")
        axes.set_xticks(sides, [str(side) for side in sides])
        axes.minorticks_off()
        figure.legend(loc="center left", bbox_to_anchor=(0.92, 0.5))
    path.write_bytes(figure_to_png(figure))


# --- output ----------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="small lattices, few steps: does everything run?")
    add("--seed", type=int, default=0, help="of the simulated chains")
    add("--out", type=Path, default=Path("runs/theory"))
    add("--record", action="store_true", help="append the rows to benchmarks/RESULTS.md")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp("cpu")
    options.out.mkdir(parents=True, exist_ok=True)
    sides = [32, 64] if options.quick else [32, 64, 128, 256, 512]
    shipped, wider = Radii(PREDICTION_RADIUS, COLOUR_RADIUS), [Radii(5, 5), Radii(7, 7), Radii(11, 11)]
    counts = COUNTS[:4] if options.quick else COUNTS
    found: dict[str, dict[int, float]] = {}
    rows: list[Row] = []

    def done(more: list[Row]) -> None:
        rows.extend(more)
        print(f"\n{table(more)}", flush=True)

    done(cascade_rows(sides, [shipped] if options.quick else [shipped, *wider], found))
    done(peer_rows(sides, found))
    done(order_rows(options.quick))
    done(marginal_rows(options.quick, options.seed))
    errors = ablation(counts)
    done(ablation_rows(errors, counts))
    draw_ablation(options.out / "ablation.png", errors, counts)
    draw_scaling(options.out / "scaling.png", found)
    saved = {"run": begun, "rows": [row._asdict() for row in rows], "scaling": found, "ablation": errors}
    (options.out / "theory.json").write_text(json.dumps(saved, indent=1))
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
