"""phi^4 from weak to strong coupling: are samples right at other critical points, with the defaults and five minutes?

    python -m benchmarks strengths --record

For each lambda fields on 32 x 32 sites are simulated at the critical coupling on record, a cascade of five levels is
trained (``rgdm train --levels 5 --boundary periodic --sweep``) and sampled; observables are those of an independent
simulation, less than which they are off: S / N, ``<phi^2>`` and nn, ``<phi_x phi_{x+mu}>``, raw and after one sweep of
the learned law of a site. Errors are jackknife errors, and those of the simulation are in them.
"""

import argparse
from collections.abc import Iterator, Sequence

from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import difference, figure
from benchmarks.shared.lattice import LOCAL, Measured
from benchmarks.shared.training import train, training
from benchmarks.study import study
from rgdm import progress
from rgdm.data import reference
from rgdm.physics.actions import Phi4
from rgdm.physics.monte_carlo.chains import sample_fields

SIDE, LEVELS, CHAINS = 32, 5, 128
RAW, SWEPT = 0.01, 0.003
"""By how much S / N may be off; the others by this share of the truth."""


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for quartic in options.quartic:
        action = Phi4.critical(quartic)
        with progress.bar("phi^4", 2) as show:
            fields = sample_fields(action, SIDE, CHAINS, options.count, options.seed + 1)
            show(1, 2)
            truth = Measured(sample_fields(action, SIDE, CHAINS, options.simulated, options.seed + 2), action)
            show(2, 2)
        out = options.out / f"lambda-{quartic:g}"
        learned = reference.lattice_fields(fields, action, options.seed + 1)
        model = train(learned, out, options, levels=LEVELS, boundary="periodic", sweep=True, width=options.width)
        about = training(model) | {"evaluations": Figure(model.sampler.evaluations)}
        yield Row("trainings", f"lambda {quartic:g}", about)
        for sweeps, bound in ((0, RAW), (1, SWEPT)):
            made = Measured(model.sample((SIDE, SIDE), options.samples, options.seed, sweeps=sweeps).cpu(), action)
            figures = {}
            for title in LOCAL.values():
                most = bound if title == "S / N" else bound * abs(truth.pairs[title][0])
                figures[title] = difference(made.pairs[title], truth.pairs[title], low=-most, high=most)
            for title in ("<m^2>", "U4"):
                figures[title] = difference(made.pairs[title], truth.pairs[title])
            what = "raw" if not sweeps else "after one sweep"
            yield Row("off by", f"lambda {quartic:g}, {what}", figures)
        yield Row("truth", f"lambda {quartic:g}", {title: figure(pair) for title, pair in truth.pairs.items()})


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        minutes=(5.0, "of each training"),
        quartic=((0.25, 2.0), "values of lambda"),
        width=((32,), "of the network"),
        count=(4096, "training configurations"),
        samples=(8192, "generated fields"),
        simulated=(16384, "configurations of the independent simulation"),
    )
