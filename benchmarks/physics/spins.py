"""Critical Ising spins, grown: are fields of 64 x 64 sites right whose lifts were trained on 16 x 16?

    python -m benchmarks spins --dual --record

Simulates spins at K_c on 16 x 16 sites, blocks them twice by majority rule, trains a lift for each step back
(``MajorityInverse``), and grows blocked training fields of 8 x 8 by the coarser lift, used twice, and the finer one.
Judged raw and after Swendsen-Wang updates, against the exact energy at L = 64 and the exact moments of the
universality class; Monte Carlo of as many fields stands beside it. ``--dual``: also through the continuous dual of each
field (``physics.actions.IsingDual``), by a cascade of four levels, one lift repeated twice (``Cascade.enlarged``).

The peer is a local map of three parameters (``peers.three_parameters``). It starts from spins of the training lattice
and is applied twice. Compared are energy, susceptibility, heat capacity, Binder ratio and the exponents of Monte Carlo
RG of the fields of L = 64, each by its distance from that of Monte Carlo fields. Errors are jackknife errors.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.peers.three_parameters import ThreeParameters
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import Pair, difference, figure, sigmas
from benchmarks.shared.lattice import Measured, majority
from benchmarks.shared.training import train, training
from benchmarks.study import study
from rgdm import commands, progress
from rgdm.data.layout import from_samples
from rgdm.jackknife import jackknife
from rgdm.model.lattice.majority_inverse import MajorityInverse
from rgdm.physics.actions import Ising, IsingDual
from rgdm.physics.blocking import block_spins
from rgdm.physics.exact import ising
from rgdm.physics.interactions import Bond, Plaquette
from rgdm.physics.mcrg import field_exponent, mcrg
from rgdm.physics.monte_carlo.chains import MarkovChains

SIDE, LARGE, LEVELS_DOWN = 16, 64, 4
ACTION = Ising.critical()
CORRECTION = (SIDE / LARGE) ** 1.75
"""Finite-size corrections fall as L^(-7/4); moments are known exactly at 16 sites and in the limit."""
U4 = 0.6106901 + CORRECTION * (0.611454457979 - 0.6106901)
XI = 0.9050488292 + CORRECTION * (0.911522556769 - 0.9050488292)


def energy(pairs: dict[str, Pair]) -> Pair:
    """Per site and without the coupling."""
    value, error = pairs["S / N"]
    return value / ACTION.coupling, error / abs(ACTION.coupling)


def scaling(spins: Tensor) -> dict[str, Pair]:
    """Energy, susceptibility, heat capacity, Binder ratio, y_t and y_h, with errors."""
    pairs, each = Measured(spins, ACTION).pairs, ACTION.energy(spins.double())
    thermal = mcrg(spins, block_spins, [Bond((0, 1)), Bond((1, 1)), Plaquette()], levels=2)[1]
    return {
        "E/N": energy(pairs),
        "chi": pairs["chi"],
        "C / N": jackknife(lambda e, e2: (e2 - e**2) / LARGE**2, each, each.square(), blocks=50),
        "U4": pairs["U4"],
        "y_t": (thermal.value[0], thermal.error[0]),
        "y_h": field_exponent(spins, block_spins, 2)[1],
    }


def compared(ours: Tensor, theirs: Tensor, truth: Tensor) -> Iterator[Row]:
    """The lifts and the peer: which is nearer to Monte Carlo."""
    sets = {"spin lifts": scaling(ours), ThreeParameters.name: scaling(theirs), "Monte Carlo": scaling(truth)}
    for key in sets["Monte Carlo"]:
        figures = {name: figure(each[key]) for name, each in sets.items()}
        a, b, known = (float(f.value or 0) for f in figures.values())
        nearer = "met" if abs(a - known) < abs(b - known) else "missed"
        yield Row(f"nearer to Monte Carlo, L = {LARGE}", key, figures, "lifts nearer", stated=nearer)


def judged(name: str, spins: Tensor, bounds: tuple[float, float, float] | None) -> Iterator[Row]:
    """Energy, U4 and xi/L against what is exact; within the bounds, or 2 sigma."""
    pairs, exact_energy = Measured(spins, ACTION).pairs, ising.thermodynamics(ACTION.coupling, (LARGE, LARGE)).energy
    values = {"E/N": (energy(pairs), exact_energy), "U4": (pairs["U4"], U4), "xi/L": (pairs["xi / L"], XI)}
    for i, (key, (pair, exact)) in enumerate(values.items()):
        bound = None if bounds is None else bounds[i] * (1 if key == "U4" else abs(exact))
        around = {} if bound is None else {"low": -bound, "high": bound}
        figures = {"off": difference(pair, (exact, 0), **around), "value": figure(pair), "exact": Figure(exact)}
        figures |= {} if bound else {"sigma": sigmas(pair, (exact, 0.0), 2)}
        yield Row(f"{key}, L = {LARGE}", name, figures, f"within {bound:.4f}" if bound else "2 sigma")


def lifts(spins: Tensor, options: argparse.Namespace) -> tuple[MajorityInverse, MajorityInverse]:
    """The last lift, to spins of the action, and the one before, which is repeated."""
    trained, fine = [], spins
    for level in range(2):
        coarse = majority(fine, options.seed + 20 + level)
        torch.manual_seed(options.seed + level)
        trained.append(MajorityInverse())
        trained[-1].fit(fine, coarse, options.steps, 64 * 4**level, seed=options.seed + level)
        fine = coarse
    return trained[0], trained[1]


def grown(spins: Tensor, last: MajorityInverse, repeated: MajorityInverse, options: argparse.Namespace) -> Tensor:
    """From blocked training fields of 8 x 8: the repeated lift up to 32 x 32, then the last."""
    x = majority(spins[: options.fields], options.seed + 20)
    while x.shape[-1] < LARGE // 2:
        x = repeated.sample(x, options.seed + 40, level=x.shape[-1])
    return last.sample(x, options.seed + 41)


def updated(spins: Tensor, updates: int, seed: int) -> Tensor:
    markov = MarkovChains(ACTION, tuple(spins.shape[2:]), len(spins), seed)
    markov.field[...] = spins[:, 0].numpy()
    for _ in range(updates):
        markov.update()
    return torch.from_numpy(markov.field).float()[:, None]


def through_the_dual(spins: Tensor, options: argparse.Namespace) -> Iterator[Row]:
    """The other way: a cascade of the continuous dual, one lift repeated, spins drawn from its fields."""
    dual, random = IsingDual.critical(options.delta), torch.Generator().manual_seed(options.seed + 1)
    if options.model:
        model = commands.open_model(options.model, options.device)
    else:
        noise = torch.randn(spins.shape, generator=torch.Generator().manual_seed(options.seed))
        field = from_samples(dual.field(spins, noise).float(), ("y", "x"), ("phi",), {})
        settings = {"levels": LEVELS_DOWN, "boundary": "periodic", "evaluations": options.evaluations}
        model = train(field, options.out / "model", options, shared=False, bend=0.0, **settings)
    with progress.bar("generating", options.fields) as show:
        larger = model.enlarged(round(math.log2(LARGE / SIDE)), options.growth, options.level)
        plan = ((LARGE, LARGE), options.fields, options.seed + 2, options.evaluations)
        fields = larger.sample(*plan, watch=show).cpu()
    yield Row("the lifts", "cascade of the dual", training(model) | {"lift repeated": Figure(options.level)})
    grown = dual.spins(fields, torch.rand(fields.shape, generator=random))
    yield from judged("cascade of the dual, raw", grown, (0.003, 0.005, 0.02))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    small, began = MonteCarlo(ACTION, options.samples // 16, 8).sample(SIDE, options.samples, options.seed), time.time()
    last, repeated = lifts(small, options)
    figures = {"s of training": Figure(time.time() - began)}
    yield Row("the lifts", "spins from majority-rule block spins", figures)
    spins = grown(small, last, repeated, options)
    yield from judged("raw", spins, (0.003, 0.005, 0.02))
    for k in (1, 3, 10):
        yield from judged(f"{k} Swendsen-Wang updates", updated(spins, k, options.seed + k), None)
    truth = MonteCarlo(ACTION, 512).sample(LARGE, options.fields, options.seed + 5)
    yield from judged("Monte Carlo", truth, None)
    peer, theirs = ThreeParameters(options.seed), small[: options.fields]
    peer.fit(small)
    for step in range(2):
        theirs = peer.refine(theirs, 1, options.seed + 3 + step)[0]
    yield from compared(spins, theirs, truth)
    if options.dual:
        yield from through_the_dual(small, options)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        minutes=(5.0, "of training the cascade of the dual"),
        samples=(32_768, "training fields"),
        fields=(8192, "generated fields"),
        steps=(4000, "of the training of each lift of spins"),
        evaluations=(8, "of the cascade of the dual, a level"),
        level=(1, "of its lift that is repeated"),
        growth=(2 ** (7 / 8), "of its field at a repeated level"),
        delta=(0.1, "of the dual: the noise that every site has of its own"),
        dual=(False, "also the cascade of the dual, five minutes more"),
        model=(None, "a trained cascade of the dual"),
    )
