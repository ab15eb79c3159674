"""Exactness where the action is known: how good are log Z and effective sample sizes of models with a likelihood?

    python -m benchmarks reweighting --record                                  # 40 minutes on two cores
    python -m benchmarks reweighting --cases ising-32 gerdes-32 --fields 8192 --device cuda --record    # 10 minutes
    python -m benchmarks reweighting --cases ising-64 --fields 16384 --device cuda --record

The free field (m^2 = 0.25) from lifts set from its spectrum, on 8 to 64 sites. Autoregressive fields with the exact
last half of the checkerboard, trained on simulated fields and then on fields of their own (``fit``, ``fit_action``; the
time of both is stated, that of the simulation is not among it): critical phi^4 (lambda = 1), the couplings of Gerdes et
al. (arXiv:2207.00283), Ising at K = 0.44. The effective sample size (ESS) is judged from fields of the model and
from fields of the target that were not trained on; errors are jackknife errors. Patches begin at
fields of the target. Multilevel Monte Carlo takes every fourth, every second and every site; its gain is in time at
equal error, if fields are allotted as they should be. The Markov chain that made the training fields is the peer:
effectively independent fields a second, of the model ESS / (time to draw one and weigh it), of the chain 1 / (2 tau_int
of the magnetisation squared x time of an update); the chain runs on the CPU. log Z also by integration over the
coupling.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.peers.gaussian import known_lift
from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import Pair, difference, figure, sigmas
from benchmarks.study import study
from rgdm import progress
from rgdm.model.lattice.autoregressive import AutoregressiveField
from rgdm.model.lifts.known_spectrum import coarse_spectrum
from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.exact import ising
from rgdm.physics.exact.transfer import phi4_log_z
from rgdm.physics.monte_carlo.chains import MarkovChains
from rgdm.physics.monte_carlo.patches import patch_metropolis
from rgdm.physics.reweighting.free_energy import log_z_by_integration
from rgdm.physics.reweighting.multilevel import multilevel
from rgdm.physics.reweighting.weights import Reweighting, acceptance, independence_metropolis, log_weights
from rgdm.scale.operators.block import BlockSpin

MASS2, COARSEST = 0.25, 4
NODES = 16
"""Couplings that log Z is integrated over."""


def free_field(side: int, count: int, seed: int) -> Row:
    """Stencils that reach half way around are exact."""
    field, operator = FreeField(MASS2), BlockSpin(2)
    spectra, lifts = [field.spectrum((side, side))], []
    while spectra[-1].shape[0] > COARSEST:
        radius = spectra[-1].shape[0] // 4
        lifts.append(known_lift(operator, spectra[-1], radius, radius))
        spectra.append(coarse_spectrum(operator, spectra[-1]))
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, COARSEST, COARSEST, generator=random, dtype=torch.float64)
    x = torch.fft.ifft2(torch.fft.fft2(noise) * spectra[-1].sqrt()).real
    log_q = -(noise.square().flatten(1).sum(1) + (2 * math.pi * spectra[-1]).log().sum()) / 2
    for lift in reversed(lifts):
        white = torch.randn(count, 3, *x.shape[2:], generator=random, dtype=torch.float64)
        x = operator.merge(x, lift.detail(x, white))
        log_q = log_q + lift.log_prob(x)
    weighed = Reweighting(log_weights(field.energy(x), log_q))
    off = float(weighed.log_z.value) - field.log_z((side, side))
    figures = {"ESS": Figure(float(weighed.ess.value), low=0.999), "log Z off": Figure(off)}
    return Row("free field, lifts set from its spectrum", f"L = {side}", figures)


@dataclass(frozen=True)
class Case:
    """A target, the budget of its model, and what is known."""

    name: str
    action: Phi4 | Ising
    side: int
    steps: int
    on_its_own: int
    ess: float | None = None
    phi2: Pair | None = None
    fields: int = 100_000
    batch: int = 256
    width: int = 32
    reach: int = 3

    @property
    def spins(self) -> bool:
        return isinstance(self.action, Ising)

    @property
    def log_z(self) -> float | None:
        """Exact, where it is known."""
        if isinstance(self.action, Ising):
            return float(ising.log_z(torch.tensor(self.action.coupling, dtype=torch.float64), (self.side, self.side)))
        return phi4_log_z(self.action, self.side) if self.side <= 4 else None


CASES = {
    case.name: case
    for case in (
        Case("phi4-4", Phi4.critical(), 4, 1500, 1000, 0.95),
        Case("gerdes-6", Phi4.from_mass(-4, 6.975), 6, 1500, 1000, 0.9, (0.161404, 0.000053)),
        Case("ising-8", Ising(0.44), 8, 2000, 2000, 0.99, width=64),
        Case("gerdes-20", Phi4.from_mass(-4, 4.807), 20, 1000, 500, None, (0.237046, 0.000079), 40_000, 128),
        Case("ising-16", Ising(0.44), 16, 4000, 1500, 0.95, None, 400_000, width=64),
        Case("gerdes-32", Phi4.from_mass(-4, 4.572), 32, 5000, 3500, 0.9, (0.256649, 0.000071), 40_000, 512, 96, 4),
        Case("ising-32", Ising(0.44), 32, 4000, 2500, 0.926, None, 100_000, 512, 96, 4),
        Case("ising-64", Ising(0.44), 64, 2500, 1500, 0.371, None, 40_000, 256, 96, 4),
    )
}
SMALL = ("phi4-4", "gerdes-6", "ising-8", "gerdes-20", "ising-16")


def trained(case: Case, options: argparse.Namespace) -> tuple[AutoregressiveField, float]:
    """The model and the seconds of its training."""
    folder = options.out / case.name
    kept = folder / "training.json"
    if options.keep and kept.is_file():
        return AutoregressiveField.from_pretrained(folder).to(options.device), json.loads(kept.read_text())["seconds"]
    torch.manual_seed(options.seed)
    lattice, values = (case.side, case.side), "spins" if case.spins else "continuous"
    model = AutoregressiveField(lattice, values, case.reach, case.width, case.action).to(options.device)
    fields = MonteCarlo(case.action, case.fields // 50, 5).sample(case.side, case.fields, options.seed)
    began = time.monotonic()
    with progress.bar("training", case.steps) as show:
        model.fit(fields.to(options.device), case.steps, case.batch, seed=options.seed, watch=show)
    with progress.bar("training on its own", case.on_its_own) as show:
        model.fit_action(None, case.on_its_own, case.batch, seed=options.seed, watch=show)
    seconds = time.monotonic() - began
    model.save_pretrained(folder)
    kept.write_text(json.dumps({"seconds": seconds}))
    return model, seconds


def exactness(case: Case, options: argparse.Namespace) -> Iterator[Row]:
    """Train, sample, weigh."""
    action, count = case.action, options.fields or (131_072 if case.spins else 32_768)
    held = MonteCarlo(action, count // 8, 20).sample(case.side, count, options.seed + 1)
    model, seconds = trained(case, options)
    began = time.monotonic()
    with torch.no_grad():
        drawn = model.sample(count, seed=options.seed)
        log_q = torch.cat([model.log_prob(part) for part in drawn.split(2048)]).cpu()
        generated = drawn.cpu()
        weights = log_weights(action.energy(generated.double()), log_q)
        each = (time.monotonic() - began) / count
        back = torch.cat([model.log_prob(part.to(options.device)).cpu() for part in held.split(2048)])
    weighed = Reweighting(weights, log_weights(action.energy(held.double()), back))
    figures = {"model": figure(weighed.ess, low=case.ess), "target": figure(weighed.target_ess, low=case.ess)}
    figures |= {"s of training": Figure(seconds), "fields": Figure(count)}
    yield Row("effective sample size", case.name, figures, text=str(weighed.verdict))
    yield log_z_row(case, weighed, options.seed)
    if case.phi2 is not None:
        pair = weighed.mean(generated.double().square().flatten(1).mean(1))
        figures = {"value": figure(pair), "known": figure(case.phi2), "sigma": sigmas(pair, case.phi2, 3)}
        yield Row("<phi^2>", case.name, figures, "3 sigma")
    figures = {"chain": Figure(float(acceptance(independence_metropolis(weighed.log_weights, options.seed))))}
    for side in (2, 4):
        _, taken = patch_metropolis(model, action, held[:512].to(options.device), side, 40, options.seed)
        figures[f"{side} x {side} patches"] = Figure(float(taken.mean()))
    yield Row("acceptance", case.name, figures)
    if case.side % 4 == 0:
        yield telescoped(case, model, weighed, generated, options.seed)
    rate, (tau, update) = float(weighed.ess.value) / each, cluster(case, options.seed)
    chain = 1 / (2 * tau * update)
    figures = {"model / chain": Figure(rate / chain), "model": Figure(rate), "cluster chain": Figure(chain)}
    yield Row("independent fields a second", case.name, figures | {"tau_int": Figure(tau)})


def log_z_row(case: Case, weighed: Reweighting, seed: int) -> Row:
    """log Z against the exact one, and against that by integration over the coupling."""
    exact, pair, began = case.log_z, weighed.log_z, time.monotonic()
    figures, target = {}, ""
    if exact is not None and case.side <= 16:
        bound = 1e-3 if case.spins else 0.005
        figures["off"], target = difference(pair, (exact, 0), low=-bound, high=bound), f"{exact:.6f} +- {bound:g}"
    elif exact is not None:
        figures, target = {"off": difference(pair, (exact, 0)), "sigma": sigmas(pair, (exact, 0), 3)}, "3 sigma"
    with progress.bar(f"log Z of {case.name}", NODES) as show:
        integral = log_z_by_integration(case.action, (case.side,) * 2, nodes=NODES, seed=seed, watch=show)
    figures |= {"log Z": figure(pair), "by integration": figure(integral)}
    off = difference(pair, integral)
    figures["sigma off that"] = Figure((off.value or 0) / (off.error or math.inf))
    return Row("log Z", case.name, figures | {"s of integration": Figure(time.monotonic() - began)}, target)


def telescoped(case: Case, model: AutoregressiveField, weighed: Reweighting, generated: Tensor, seed: int) -> Row:
    """Multilevel Monte Carlo of the squared magnetisation over two sublattices, against weighed full fields."""

    def m2(x: Tensor) -> Tensor:
        return x.flatten(1).mean(1).square()

    pilot = multilevel(model, case.action, m2, [4096] * 3, seed + 3)
    figures = {"gain": Figure(float(pilot.gain)), "multilevel": figure(pilot.total)}
    return Row("multilevel <m^2>", case.name, figures | {"full fields": figure(weighed.mean(m2(generated.double())))})


def cluster(case: Case, seed: int) -> tuple[float, float]:
    """tau_int of m^2 of the chain in updates, and the seconds of an update of one field, many chains at a time."""
    chains, length = 512, 400
    markov = MarkovChains(case.action, (case.side, case.side), chains, seed)
    for _ in range(100):
        markov.update()
    began, history = time.monotonic(), []
    for _ in range(length):
        markov.update()
        history.append(torch.from_numpy(markov.flat.mean(1, dtype="float64")).square())
    seconds = time.monotonic() - began
    return gamma_method(torch.stack(history, 1)[:64].numpy()).tau, seconds / (chains * length)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for side in (8, 16, 32, 64):
        yield free_field(side, 256, options.seed)
    for name in options.cases:
        yield from exactness(CASES[name], options)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        cases=(SMALL, "", list(CASES)),
        fields=(0, "fields of the model and of the target; 0: 131072 of spins, 32768 of phi^4"),
        keep=(False, "take models that are in --out already"),
    )
