"""Critical Ising spins, grown: trained on 16 x 16 sites, generated on 64 x 64.

    python benchmarks/spins.py --dual --record

Simulates spins at K_c on 16 x 16 sites, blocks them twice by majority rule, trains a lift for each step back
(``SpinLift``), and grows blocked training fields of 8 x 8 by the coarser lift, used twice, and the finer one. Judged
raw and after Swendsen-Wang updates, against the exact energy at L = 64 and the exact moments of the universality
class; Monte Carlo of as many fields stands beside it. ``--dual``: also through the continuous dual of each field
(``physics.actions.IsingDual``), by a cascade of four levels, one lift repeated twice (``Cascade.enlarged``).

The peer is a local map of three parameters in the manner of Rançon, Rançon, Ivek & Balog 2025 (arXiv:2506.04016): every
spin of a majority-rule block becomes a block of equal spins, and a symmetric kernel of 3 x 3 sites gives the
probability of each fine spin; here fitted by maximum likelihood on the same training spins. It starts from spins of
the training lattice and is applied twice. Compared are energy, susceptibility, heat capacity, Binder ratio and the
exponents of Monte Carlo RG of the fields of L = 64, each by its distance from that of Monte Carlo fields.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from record import Row, append, arguments, number, run, stamp, table
from torch import Tensor
from training import train

from rgdm import commands, progress
from rgdm.data.layout import from_samples
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lattice.spin_lift import SpinLift
from rgdm.physics.actions import Ising, IsingDual
from rgdm.physics.blocking import block_spins
from rgdm.physics.exact import ising
from rgdm.physics.mcrg import field_exponent, mcrg
from rgdm.physics.monte_carlo.chains import MarkovChains, sample_ising
from rgdm.physics.observables import observables
from rgdm.physics.operators import Bond, Plaquette

SIDE, LARGE, LEVELS_DOWN = 16, 64, 4
ACTION = Ising.critical()
CORRECTION = (SIDE / LARGE) ** 1.75
"""Finite-size corrections fall as L^(-7/4); moments are known exactly at 16 sites and in the limit."""
U4 = 0.6106901 + CORRECTION * (0.611454457979 - 0.6106901)
XI = 0.9050488292 + CORRECTION * (0.911522556769 - 0.9050488292)


def dual(options: argparse.Namespace) -> IsingDual:
    return IsingDual.critical(options.delta)


def simulated(options: argparse.Namespace) -> Tensor:
    with progress.bar("training set", 1) as show:
        return sample_ising(ACTION, SIDE, options.samples // 16, options.samples, options.seed, 60, 8, progress=show)


def training_fields(options: argparse.Namespace) -> Tensor:
    spins = simulated(options)
    noise = torch.randn(spins.shape, generator=torch.Generator().manual_seed(options.seed))
    return dual(options).field(spins, noise).float()


def trained(options: argparse.Namespace) -> Cascade:
    if options.model:
        return commands.open_model(options.model, options.device)
    data = from_samples(training_fields(options), ("y", "x"), ("phi",), {})
    return train(
        data,
        options.out / "model",
        options,
        levels=LEVELS_DOWN,
        boundary="periodic",
        evaluations=options.evaluations,
        shared=False,
        bend=options.bend,
    )


def surroundings(coarse: Tensor) -> Tensor:
    """Own value, sum of the edges and sum of the corners around each site of the enlarged blocks, ``(B, 3, H, W)``."""
    u = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    rows, columns = u.roll(1, 2) + u.roll(-1, 2), u.roll(1, 3) + u.roll(-1, 3)
    return torch.cat((u, rows + columns, rows.roll(1, 3) + rows.roll(-1, 3)), 1)


def three_parameters(spins: Tensor, seed: int) -> Tensor:
    """The weights of the map, by maximum likelihood."""
    ties = torch.randn(len(spins), 1, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(seed))
    seen, fine = surroundings(block_spins(spins, "majority", ties=ties)), spins[:, 0]
    weights = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50)

    def loss() -> Tensor:
        optimizer.zero_grad()
        field = (weights[:, None, None] * seen).sum(1)
        value = -torch.nn.functional.logsigmoid(2 * fine * field).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def dreamed(weights: Tensor, spins: Tensor, seed: int) -> Tensor:
    """The map applied until the lattice is large."""
    random = torch.Generator().manual_seed(seed)
    while spins.shape[-1] < LARGE:
        field = (weights[:, None, None] * surroundings(spins)).sum(1, keepdim=True)
        spins = torch.where(torch.rand(field.shape, generator=random) < torch.sigmoid(2 * field), 1.0, -1.0)
    return spins


def scaling(spins: Tensor) -> dict[str, tuple[float, float]]:
    """Energy, susceptibility, heat capacity, Binder ratio, y_t and y_h, with errors."""
    found = observables(spins, ACTION)
    energy = ACTION.energy(spins.double())
    heat = jackknife(lambda e, e2: (e2 - e**2) / LARGE**2, energy, energy.square(), blocks=50)
    thermal = mcrg(spins, block_spins, [Bond((0, 1)), Bond((1, 1)), Plaquette()], levels=2)[1]
    return {
        "E/N": (found["action_per_site"][0] / ACTION.coupling, found["action_per_site"][1] / ACTION.coupling),
        "chi": found["chi"],
        "C / N": (float(heat.value), float(heat.error)),
        "U4": found["u4"],
        "y_t": (float(thermal.value[0]), float(thermal.error[0])),
        "y_h": field_exponent(spins, block_spins, 2)[1],
    }


def compared(fields: dict[str, Tensor], truth: Tensor) -> list[Row]:
    """The cascade and the peer: which is nearer to Monte Carlo."""
    known, found = scaling(truth), {name: scaling(x) for name, x in fields.items()}
    rows = []
    for key, (value, error) in known.items():
        ours, theirs = (each[key][0] for each in found.values())
        nearer = abs(ours - value) < abs(theirs - value)
        said = ", ".join(f"{name} {number(*each[key], 4)}" for name, each in found.items())
        rows.append(Row(f"L = {LARGE}, {key}, raw", f"nearer to {number(value, error, 4)}", said, nearer))
    return rows


def blocked(spins: Tensor, seed: int) -> Tensor:
    """By majority rule, ties at random."""
    ties = torch.randn(len(spins), 1, *(n // 2 for n in spins.shape[2:]), generator=torch.Generator().manual_seed(seed))
    return block_spins(spins, "majority", ties=ties)


def lifts(spins: Tensor, options: argparse.Namespace) -> tuple[SpinLift, SpinLift, float]:
    """The last lift, to spins of the action, and the one before, which is repeated; and the seconds it took."""
    began, torch_lifts = time.monotonic(), []
    fine = spins
    for level, steps in enumerate((options.steps, options.steps)):
        coarse = blocked(fine, options.seed + 20 + level)
        torch.manual_seed(options.seed + level)
        lift = SpinLift()
        lift.fit(fine, coarse, steps, 64 * 4**level, seed=options.seed + level)
        torch_lifts.append(lift)
        fine = coarse
    return torch_lifts[0], torch_lifts[1], time.monotonic() - began


def grown(spins: Tensor, last: SpinLift, repeated: SpinLift, options: argparse.Namespace) -> Tensor:
    """From blocked training fields of 8 x 8: the repeated lift up to 32 x 32, then the last."""
    x = blocked(spins[: options.fields], options.seed + 20)
    while x.shape[-1] < LARGE // 2:
        x = repeated.sample(x, options.seed + 40, level=x.shape[-1])
    return last.sample(x, options.seed + 41)


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


def through_the_dual(options: argparse.Namespace) -> list[Row]:
    """The other way: a cascade of the continuous dual, one lift repeated, spins drawn from its fields."""
    model = trained(options)
    random = torch.Generator().manual_seed(options.seed + 1)
    with progress.bar("generating", options.fields) as show:
        larger = model.enlarged(round(math.log2(LARGE / SIDE)), options.growth, options.level)
        fields = larger.sample((LARGE, LARGE), options.fields, options.seed + 2, options.evaluations, watch=show).cpu()
    spins = dual(options).spins(fields, torch.rand(fields.shape, generator=random))
    about = model.metadata["training"]
    said = f"trained {about['seconds']:.0f} s; {options.evaluations} evaluations a level; lift {options.level} repeated"
    return [Row("cascade of the dual", "", said), *judged("cascade of the dual, raw", spins, (0.003, 0.005, 0.02))]


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="of training")
    add("--samples", type=int, default=32_768, help="training fields")
    add("--fields", type=int, default=8192, help="generated fields")
    add("--steps", type=int, default=4000, help="of the training of each spin lift")
    add("--evaluations", type=int, default=8)
    add("--level", type=int, default=1, help="of the lift that is repeated")
    add("--growth", type=float, default=2 ** (7 / 8), help="of the field at a repeated level")
    add("--delta", type=float, default=0.1, help="of the dual: the noise that every site has of its own")
    add("--bend", type=float, default=0.0, help="of the tails of the detail")
    add("--dual", action="store_true", help="also the cascade of the dual, five minutes more")
    add("--model", help="a trained cascade of the dual")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/spins"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    small = simulated(options)
    last, repeated, seconds = lifts(small, options)
    spins = grown(small, last, repeated, options)
    said = f"two spin lifts, trained {seconds:.0f} s on {len(small)} fields; the coarser one used twice"
    rows = [Row("spins from majority-rule block spins", "", said), *judged("raw", spins, (0.003, 0.005, 0.02))]
    for k in (1, 3, 10):
        rows += judged(f"{k} Swendsen-Wang updates", updated(spins, k, options.seed + k), None)
    with progress.bar("Monte Carlo", 1) as show:
        chains = sample_ising(ACTION, LARGE, 512, options.fields, options.seed + 5, 100, 10, progress=show)
    rows += judged("Monte Carlo", chains, None)
    map_of_three = dreamed(three_parameters(small, options.seed), small[: options.fields], options.seed + 3)
    rows += compared({"spin lifts": spins, "three-parameter map": map_of_three}, chains)
    if options.dual:
        rows += through_the_dual(options)
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
