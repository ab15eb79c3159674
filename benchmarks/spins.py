"""Critical Ising spins, grown through their continuous dual: trained on 16 x 16 sites, generated on 64 x 64.

    python benchmarks/spins.py --record

Simulates spins at K_c on 16 x 16 sites, draws the continuous dual field of each (``physics.actions.IsingDual``), trains
a periodic cascade of four levels on those, repeats one lift twice (``Cascade.enlarged``, growth ``2^(7/8)``) and draws
spins from the fields that it makes. Judged raw and after Swendsen-Wang updates, against the exact energy at L = 64 and
the exact moments of the universality class; Monte Carlo of as many fields stands beside it.
"""

import argparse
import math
from pathlib import Path

import torch
from critical import train
from record import Row, append, number, run, stamp, table
from torch import Tensor

from rgdm import commands, progress
from rgdm.data.layout import from_samples
from rgdm.model.cascade import Cascade
from rgdm.physics.actions import Ising, IsingDual
from rgdm.physics.exact import ising
from rgdm.physics.monte_carlo import MarkovChains, sample_ising
from rgdm.physics.observables import observables

SIDE, LARGE, LEVELS_DOWN = 16, 64, 4
ACTION = Ising.critical()
CORRECTION = (SIDE / LARGE) ** 1.75
"""Finite-size corrections fall as L^(-7/4); moments are known exactly at 16 sites and in the limit."""
U4 = 0.6106901 + CORRECTION * (0.611454457979 - 0.6106901)
XI = 0.9050488292 + CORRECTION * (0.911522556769 - 0.9050488292)


def dual(options: argparse.Namespace) -> IsingDual:
    return IsingDual.critical(options.delta)


def training_fields(options: argparse.Namespace) -> Tensor:
    with progress.bar("training set", 1) as show:
        spins = sample_ising(ACTION, SIDE, options.samples // 16, options.samples, options.seed, 60, 8, progress=show)
    noise = torch.randn(spins.shape, generator=torch.Generator().manual_seed(options.seed))
    return dual(options).field(spins, noise).float()


def trained(options: argparse.Namespace) -> Cascade:
    if options.model:
        return commands.open_model(options.model, options.device)
    data = from_samples(training_fields(options), ("y", "x"), ("phi",), {})
    return train(data, options.out / "model", LEVELS_DOWN, options, shared=False, bend=options.bend)


def judged(name: str, spins: Tensor, bounds: tuple[float, float, float] | None) -> list[Row]:
    """Energy, U4 and xi/L against what is exact; within the bounds, or 2 sigma."""
    found = observables(spins, ACTION)
    exact_energy = ising.thermodynamics(ACTION.coupling, (LARGE, LARGE)).energy
    value, error = (part / ACTION.coupling for part in found["action_per_site"])
    values = {
        "E/N": (value, error, exact_energy),
        "U4": (*found["u4"], U4),
        "xi/L": (*found["xi_over_length"], XI),
    }
    rows = []
    for i, (key, (value, error, exact)) in enumerate(values.items()):
        bound = 2 * error if bounds is None else bounds[i] * (1 if key == "U4" else abs(exact))
        off = value - exact
        said = f"{number(value, error, 5)}, off by {number(off, error, 5)}"
        target = f"{exact:.6f}, " + ("2 sigma" if bounds is None else f"within {bound:.4f}")
        rows.append(Row(f"L = {LARGE}, {key}, {name}", target, said, abs(off) < bound))
    return rows


def updated(spins: Tensor, updates: int, seed: int) -> Tensor:
    markov = MarkovChains(ACTION, tuple(spins.shape[2:]), len(spins), seed)
    markov.field[...] = spins[:, 0].numpy()
    for _ in range(updates):
        markov.update()
    return torch.from_numpy(markov.field).float()[:, None]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--minutes", type=float, default=5.0, help="of training")
    add("--samples", type=int, default=32_768, help="training fields")
    add("--fields", type=int, default=4096, help="generated fields")
    add("--evaluations", type=int, default=8)
    add("--level", type=int, default=1, help="of the lift that is repeated")
    add("--growth", type=float, default=2 ** (7 / 8), help="of the field at a repeated level")
    add("--delta", type=float, default=0.1, help="of the dual: the noise that every site has of its own")
    add("--bend", type=float, default=0.0, help="of the tails of the detail")
    add("--model", help="a trained cascade")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/spins"))
    add("--record", action="store_true", help="append the rows to benchmarks/RESULTS.md")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    model = trained(options)
    random = torch.Generator().manual_seed(options.seed + 1)
    with progress.bar("generating", options.fields) as show:
        larger = model.enlarged(round(math.log2(LARGE / SIDE)), options.growth, options.level)
        fields = larger.sample((LARGE, LARGE), options.fields, options.seed + 2, options.evaluations, watch=show).cpu()
    spins = dual(options).spins(fields, torch.rand(fields.shape, generator=random))
    about = model.metadata["training"]
    said = f"trained {about['seconds']:.0f} s; {options.evaluations} evaluations a level; lift {options.level} repeated"
    rows = [Row("the cascade", "", said), *judged("raw", spins, (0.003, 0.005, 0.02))]
    for k in (1, 3, 10):
        rows += judged(f"{k} Swendsen-Wang updates", updated(spins, k, options.seed + k), None)
    with progress.bar("Monte Carlo", 1) as show:
        chains = sample_ising(ACTION, LARGE, 512, options.fields, options.seed + 5, 100, 10, progress=show)
    rows += judged("Monte Carlo", chains, None)
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
