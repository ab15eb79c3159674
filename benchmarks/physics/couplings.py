"""Physics with known answers: are couplings, exponents and autocorrelation times right, and cluster updates fast?

    python -m benchmarks couplings --record

Bare couplings of critical phi^4 (10^4 configurations of 32 x 32 sites) by score matching; the exponents of the critical
Ising model on 64 x 64 sites by Monte Carlo RG with majority rule (8000 configurations, three even interactions, second
change of scale); the integrated autocorrelation time of m^2 of the phi^4 update; and the time of Swendsen-Wang and
Wolff updates against that of ``mcising`` for the same lattice and coupling, medians of five; the chains run on the CPU.
Errors are jackknife errors.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import figure, seconds, sigmas
from benchmarks.shared.lattice import CRITICAL
from benchmarks.study import study
from rgdm.physics.actions import Ising
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.blocking import block_spins
from rgdm.physics.hamiltonian import EffectiveHamiltonian
from rgdm.physics.interactions import Bond, Plaquette, local_interactions
from rgdm.physics.mcrg import field_exponent, mcrg
from rgdm.physics.monte_carlo.chains import MarkovChains


def couplings(seed: int) -> Iterator[Row]:
    fields = MonteCarlo(CRITICAL, 250).sample(32, 10_000, seed)
    began = time.monotonic()
    estimate = EffectiveHamiltonian.fit(fields, local_interactions(2))
    taken = Figure(time.monotonic() - began)
    signed = estimate.couplings * estimate.couplings.new_tensor([-1.0, 1.0, 1.0])
    for name, value, error in zip("abc", signed, estimate.errors, strict=True):
        exact, pair = getattr(CRITICAL, name), (value, error)
        off = 0.01 * abs(exact)
        figures = {"value": figure(pair, low=exact - off, high=exact + off), "sigma off": sigmas(pair, (exact, 0.0), 3)}
        title = "couplings of critical phi^4, L = 32, 10^4 fields"
        yield Row(title, name, figures | {"s for all": taken}, f"{exact}, 3 sigma and 1 %")


def exponents(seed: int) -> Iterator[Row]:
    spins = MonteCarlo(Ising.critical(), 400, 4).sample(64, 8000, seed)
    thermal = mcrg(spins, block_spins, [Bond((0, 1)), Bond((1, 1)), Plaquette()], 2)[1]
    pairs = {"y_t": (thermal.value[0], thermal.error[0]), "y_h": field_exponent(spins, block_spins, 2)[1]}
    for (name, pair), (exact, off) in zip(pairs.items(), ((1, 0.03), (1.875, 0.005)), strict=True):
        figures = {"value": figure(pair, low=exact - off, high=exact + off)}
        yield Row("exponents of critical Ising, L = 64", name, figures, f"{exact} +- {off}")


def autocorrelation(seed: int) -> Row:
    figures = {}
    for side in (8, 16, 32, 64):
        markov, history = MarkovChains(CRITICAL, (side, side), 64, seed), []
        for step in range(1200):
            markov.update()
            if step >= 200:
                history.append(markov.flat.mean(1, dtype=np.float64) ** 2)
        estimate = gamma_method(np.array(history).T)
        figures[f"L = {side}"] = figure((estimate.tau, estimate.tau_error))
    return Row("tau_int of m^2 of critical phi^4", "two sweeps, one Swendsen-Wang", figures)


def peer(side: int, update: str) -> Callable[[int], object]:
    """So many updates of mcising: its sweep is one update of all sites, or one cluster of Wolff."""
    import mcising

    lattice = mcising.LatticeConfig(size=side, j1=1.0)
    algorithm = mcising.Algorithm(update.replace("-", "_"))
    chain = mcising.Simulation(mcising.SimulationConfig(lattice=lattice, algorithm=algorithm, seed=1))
    return lambda count: chain.sweep(count, temperature=1 / Ising.critical().coupling)


def speed() -> Iterator[Row]:
    for side, updates in ((64, 400), (256, 100)):
        for update in ("swendsen-wang", "wolff"):
            ours, theirs = MarkovChains(Ising.critical(), (side, side), 1, 0, update), peer(side, update)
            theirs(200 * updates)  # to equilibrium: a Wolff update of a disordered lattice is nothing
            for _ in range(300):
                ours.flip_clusters()

            def work(ours: MarkovChains = ours, updates: int = updates) -> None:
                for _ in range(updates):
                    ours.update()

            times = seconds([work, lambda theirs=theirs, updates=updates: theirs(updates)])
            each = [1e3 * statistics.median(column) / updates for column in times]
            figures = {
                "value": Figure(each[0] / each[1], high=3),
                "ms": Figure(each[0]),
                "mcising, ms": Figure(each[1]),
            }
            yield Row("time of an update over that of mcising", f"{update}, L = {side}", figures)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    yield from couplings(options.seed)
    yield from exponents(options.seed)
    yield autocorrelation(options.seed)
    yield from speed()


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments)
