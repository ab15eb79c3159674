"""Critical phi^4 on 32 x 32 sites: do samples of a trained cascade agree with Monte Carlo?

    python -m benchmarks lattice --record

Simulates 16384 configurations at lambda = 1, beta = 0.680605, trains a periodic cascade of five levels with a network
for each level (``rgdm train --levels 5 --boundary periodic --no-shared --minutes 5``), generates 16384 fields
and compares their observables with an independent simulation and with long Monte Carlo runs, where there are such.
The conventions are those of ``rgdm.physics``; nn is ``<phi_x phi_{x+mu}>``. Errors are jackknife errors.
``--lifts diffusion flow`` trains one cascade of each kind on the same fields, each for that time. The log-likelihood is
that of fields of the independent simulation: of diffusion lifts by their probability flow, of flow lifts exactly; the
closed-form part alone for comparison. It is per site, in nats and in units of the spread of phi.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import Pair, difference, figure
from benchmarks.shared.lattice import ALL, Measured
from benchmarks.shared.training import phi4, tensor, train, training
from benchmarks.study import study
from rgdm import commands, progress
from rgdm.design import LiftKind
from rgdm.model.cascade.cascade import Cascade

SIDE, LEVELS = 32, 5
KNOWN: dict[str, Pair] = {
    "<m^2>": (367.5 / SIDE**2, 1.2 / SIDE**2),
    "U4": (0.60840, 0.00063),
    "S / N": (-0.55495, 0.00039),
    "<phi^2>": (0.83101, 0.00025),
    "xi / L": (0.8958, 0.0045),
}
"""Long Monte Carlo runs at L = 32 (susceptibility 367.5(1.2) = N <m^2>)."""
TARGETS = {"<m^2>": (0.01, True), "U4": (0.005, False), "nn": (0.005, True), "S / N": (0.01, False)}
"""Tolerance, and whether that is relative."""


def compare(kind: str, model: Measured, simulated: Measured) -> Iterator[Row]:
    """The observables with targets against the known values, or the simulated ones where none is known."""
    for title in dict.fromkeys((*TARGETS, *ALL.values())):
        ours, theirs = model.pairs[title], simulated.pairs[title]
        truth, figures = KNOWN.get(title, theirs), {}
        if title in TARGETS:
            tolerance, relative = TARGETS[title]
            bound = tolerance * abs(truth[0]) if relative else tolerance
            figures["off"] = difference(ours, truth, low=-bound, high=bound)
        figures |= {"rgdm": figure(ours), "Monte Carlo": figure(theirs)}
        figures |= {"long run": figure(truth)} if title in KNOWN else {}
        yield Row(f"observables, {kind}", title, figures)


def likelihood(kind: str, model: Cascade, fields: Tensor, count: int) -> Row:
    """log p per site of fields that the model has not seen, with and without the networks, and the difference."""
    x = fields[:: max(1, len(fields) // count)][:count].to(model.device)
    with progress.bar("likelihood", len(x)) as show:
        parts = []
        for part in x.split(16):
            parts.append(model.log_prob(part, probes=1, tolerance=1e-3).total.value)
            show(sum(map(len, parts)), len(x))
    unit = float(model.units.scale.log())
    whole = torch.cat(parts) / SIDE**2 + unit
    closed = model.log_prob(x, networks=False).total.value / SIDE**2 + unit
    named = {"log p": whole, "closed form": closed, "gain of the networks": whole - closed}
    figures = {name: figure((v.mean(), v.std() / len(v) ** 0.5)) for name, v in named.items()}
    return Row("log p per site, nats", kind, figures | {"fields": Figure(len(x))})


def measure(options: argparse.Namespace) -> Iterator[Row]:
    models = [commands.open_model(name, options.device) for name in options.models]
    if not models:
        field = phi4(options.count, SIDE, options.seed)
        settings = {"levels": LEVELS, "boundary": "periodic", "shared": False, "evaluations": options.evaluations}
        models = [train(field, options.out / f"model-{kind}", options, lift=kind, **settings) for kind in options.lifts]
    independent = tensor(phi4(options.simulated, SIDE, options.seed + 1))
    truth = Measured(independent)
    for model, kind in zip(models, options.lifts, strict=False):
        title = "as shipped" if len(models) == 1 else f"{kind}, side by side"
        began = time.monotonic()
        with progress.bar("sampling", options.samples) as show:
            fields = model.sample((SIDE, SIDE), options.samples, options.seed, watch=show).cpu()
        each = (time.monotonic() - began) / len(fields)
        count = Figure(1 if kind == "flow" else model.sampler.evaluations)
        yield Row("the cascade", title, training(model) | {"evaluations": count, "ms a field": Figure(1e3 * each)})
        torch.save(fields, options.out / f"samples-{kind}.pt")
        yield from compare(title, Measured(fields), truth)
        yield likelihood(title, model, independent, options.likelihoods)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        minutes=(5.0, "of each training"),
        count=(16384, "training configurations"),
        samples=(16384, "generated fields"),
        simulated=(16384, "configurations of the independent simulation"),
        evaluations=(8, "of each level's network, in training's calibration and in sampling"),
        lifts=(("diffusion",), "", get_args(LiftKind)),
        likelihoods=(32, "fields whose likelihood is computed"),
        models=((), "already trained cascades, of the kinds of --lifts in this order"),
    )
