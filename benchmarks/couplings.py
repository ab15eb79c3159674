"""Physics with known answers: couplings, exponents, autocorrelation times, and the speed of cluster updates.

    python benchmarks/couplings.py --record

Bare couplings of critical phi^4 (10^4 configurations of 32 x 32 sites) by score matching; the exponents of the critical
Ising model on 64 x 64 sites by Monte Carlo RG with majority rule (8000 configurations, three even operators, second
change of scale); the integrated autocorrelation time of m^2 of the phi^4 update; and the time of Swendsen-Wang and
Wolff updates against that of ``mcising`` for the same lattice and coupling, medians of five. Errors are jackknife
errors.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from record import Row, append, number, run, stamp, table

from rgdm import progress
from rgdm.physics.actions import CRITICAL_COUPLING, Ising, Phi4
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.blocking import block_spins
from rgdm.physics.hamiltonian import EffectiveHamiltonian
from rgdm.physics.mcrg import field_exponent, mcrg
from rgdm.physics.monte_carlo.chains import MarkovChains, sample_ising, sample_phi4
from rgdm.physics.operators import Bond, Plaquette, local_operators


def couplings(seed: int) -> list[Row]:
    action = Phi4.critical()
    with progress.bar("phi^4", 1) as show:
        fields = sample_phi4(action, 32, 250, 10_000, seed, progress=show)
    began = time.monotonic()
    found = EffectiveHamiltonian.fit(fields, local_operators(2))
    seconds, rows = time.monotonic() - began, []
    signed = found.couplings * found.couplings.new_tensor([-1.0, 1.0, 1.0])
    for name, k, e in zip("abc", signed.tolist(), found.errors.tolist(), strict=True):
        exact = getattr(action, name)
        met = abs(k - exact) < 3 * e and abs(k - exact) < 0.01 * abs(exact)
        said = f"{number(k, e, 5)} ({seconds:.1f} s for all)"
        rows.append(Row(f"coupling {name} of phi^4, L = 32, 10^4 samples", f"{exact}, 3 sigma and 1 %", said, met))
    return rows


def exponents(seed: int) -> list[Row]:
    with progress.bar("Ising", 1) as show:
        spins = sample_ising(Ising.critical(), 64, 400, 8000, seed, 100, 4, progress=show)
    thermal = mcrg(spins, block_spins, [Bond((0, 1)), Bond((1, 1)), Plaquette()], 2)[1]
    magnetic = field_exponent(spins, block_spins, 2)[1]
    y_t, error = float(thermal.value[0]), float(thermal.error[0])
    return [
        Row("y_t, critical Ising, L = 64", "1 +- .03", number(y_t, error, 4), abs(y_t - 1) <= 0.03),
        Row("y_h, critical Ising, L = 64", "1.875 +- .005", number(*magnetic, 5), abs(magnetic[0] - 1.875) <= 0.005),
    ]


def autocorrelation(seed: int) -> list[Row]:
    said = []
    for side in (8, 16, 32, 64):
        markov, history = MarkovChains(Phi4.critical(), (side, side), 64, seed), []
        for step in range(1200):
            markov.update()
            if step >= 200:
                history.append(markov.flat.mean(1, dtype=np.float64) ** 2)
        found = gamma_method(np.array(history).T)
        said.append(f"{number(found.tau, found.tau_error, 2)} at {side}")
    return [Row("tau_int of m^2, critical phi^4, in updates of two sweeps and one Swendsen-Wang", "", ", ".join(said))]


def peer(side: int, update: str) -> Callable[[int], object]:
    """So many updates of mcising: its sweep is one update of all sites, or one cluster of Wolff."""
    import mcising

    lattice = mcising.LatticeConfig(size=side, j1=1.0)
    algorithm = mcising.Algorithm(update.replace("-", "_"))
    made = mcising.Simulation(mcising.SimulationConfig(lattice=lattice, algorithm=algorithm, seed=1))
    return lambda count: made.sweep(count, temperature=1 / CRITICAL_COUPLING)


def speed() -> list[Row]:
    rows = []
    for side in (64, 256):
        for update in ("swendsen-wang", "wolff"):
            updates = 400 if side == 64 else 100
            own, other = MarkovChains(Ising.critical(), (side, side), 1, 0, update), peer(side, update)
            other(200 * updates)  # to equilibrium: a Wolff update of a disordered lattice is nothing
            for _ in range(300):
                own.flip_clusters()
            pairs = []
            for _ in range(6):
                began = time.monotonic()
                for _ in range(updates):
                    own.update()
                middle = time.monotonic()
                other(updates)
                pairs.append((middle - began, time.monotonic() - middle))
            mine, theirs = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
            ratio = mine / theirs
            said = f"{ratio:.2f} ({1e3 * mine / updates:.2f} ms against {1e3 * theirs / updates:.2f} ms)"
            what = f"time of a {update} update over that of mcising, L = {side}, one chain"
            rows.append(Row(what, "<= 3", said, ratio <= 3))
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", choices=["cpu"], default="cpu", help="Monte Carlo runs on the CPU")
    add("--seed", type=int, default=0)
    add("--record", action="store_true", help="append the rows to benchmarks/RESULTS.md")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    rows = couplings(options.seed) + exponents(options.seed) + autocorrelation(options.seed) + speed()
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
