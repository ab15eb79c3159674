"""Has a diffusion with momenta anything to offer? Its splitting against the samplers of positions alone.

    python benchmarks/phase_space.py --record
    python benchmarks/phase_space.py --minutes 0.8 --fields 8192 --device cuda --record    # 50 times as many steps

(a) Gaussian modes of variance 0.05 to 20 with exact estimates, so that every sampler is linear and its error in the
standard deviation is known: the worst of five modes, ``|log(deviation / exact)|``, after as many evaluations.
(b) The detail of critical phi^4 fields of 32 x 32 sites given the true coarse field, in the coordinates of
``DiffusionLift``: two networks of the same size, equally long trained, one on positions (trigonometric schedule) and
one on the matched filter of positions and momenta. What both generate is held against the true fields of
the same coarse fields; errors are those of the paired difference. What 64 evaluations give is the error of the
network alone; how far fewer evaluations are from that, by the samplers of the same network, is the sampler's. The
second network also serves the position-only sampler, on ``process.position``: same weights, no momenta.
"""

import argparse
import math
import time
from collections.abc import Callable

import torch
from record import Row, append, arguments, number, run, stamp, table
from torch import Tensor

from rgdm.jackknife import jackknife
from rgdm.model.lifts.denoiser import Denoiser
from rgdm.model.lifts.diffusion import DiffusionLift
from rgdm.model.lifts.standardized import condition_channels
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.samplers.fitted import FittedFlow
from rgdm.model.samplers.reverse import Ddim, Heun, TrigonometricFlow
from rgdm.model.samplers.sampler import Sampler
from rgdm.physics.actions import Phi4
from rgdm.physics.monte_carlo.chains import sample_phi4
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Trigonometric
from rgdm.scale.basis import Site
from rgdm.scale.operators.block import BlockSpin
from rgdm.theory.fitted_splitting import FittedSplitting
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves
from rgdm.theory.splitting import PhaseSpaceDenoiser, SymplecticSplitting

VARIANCES = torch.tensor([0.05, 0.2, 1.0, 5.0, 20.0], dtype=torch.float64)
GAUSSIAN, LEARNED, FITTED, MANY = (2, 4, 8, 16, 32), (2, 4, 6, 8, 16), 16, 64
LIMITS = {"positions": "positions, FittedFlow", "phase space": "phase space, splitting"}
SIDE, ACTION = 32, Phi4.critical()
POSITION = ForwardProcess(Site(), Trigonometric())
PHASE = PhaseSpaceProcess(Site())
COLD = PhaseSpaceProcess(Site(), CriticalDamping(momentum=0.04))
BATCH = 64


# --- (a) Gaussian modes -------------------------------------------------------------------------


def position_errors(sampler: Sampler, process: ForwardProcess = POSITION) -> Tensor:
    start = torch.ones(1, 1, len(VARIANCES), dtype=torch.float64)
    made = sampler(GaussianMixture.field(VARIANCES).estimate(process), process, start)[0, 0]
    return (made.abs() / VARIANCES.sqrt()).log().abs()


def phase_errors(sampler: SymplecticSplitting, process: PhaseSpaceProcess) -> Tensor:
    """From the responses to the units of the start and of each step's noise."""
    slots = 1 + sampler.steps if sampler.churn > 0 else 1
    unit = torch.eye(2 * slots, dtype=torch.float64).reshape(2 * slots, slots, 2, 1) * torch.ones_like(VARIANCES)
    known = GaussianMixture.field(VARIANCES).estimate(process.position)

    def estimate(y: Tensor, t: Tensor) -> Tensor:
        return known(process.filtered(y, t), t)

    made = halves(sampler(estimate, process, unit[:, 0], lambda i: unit[:, 1 + i]))[0][:, 0]
    return (made.square().sum(0) / VARIANCES).log().abs() / 2


def gaussian() -> list[Row]:
    rows = []
    for n in GAUSSIAN:
        fitted = {"fitted splitting": phase_errors(FittedSplitting(n), PHASE)} if n <= FITTED else {}
        positions = {
            s.__name__: position_errors(s(64).spending(n)) for s in (Ddim, Heun, TrigonometricFlow, FittedFlow)
        }
        momenta = {
            "splitting": phase_errors(SymplecticSplitting(n), PHASE),
            "with cold momenta": phase_errors(SymplecticSplitting(n), COLD),
            "stochastic": phase_errors(SymplecticSplitting(n, 1.0), PHASE),
            **fitted,
        }
        best = min(positions, key=lambda name: float(positions[name].max()))
        said = ", ".join(f"{name} {float(e.max()):.3f}" for name, e in (positions | momenta).items())
        beaten = min(float(e.max()) for e in momenta.values()) <= float(positions[best].max())
        rows.append(Row(f"Gaussian modes, {n} evaluations, worst", f"momenta not above {best}", said, beaten))
    return rows


# --- (b) critical phi^4 -------------------------------------------------------------------------


def network(lift_channels: int, conditions: int, options: argparse.Namespace) -> LocalConvNet:
    torch.manual_seed(options.seed)
    return LocalConvNet(lift_channels, conditions, 2, "periodic", width=options.width)


def trained(
    model: Denoiser | PhaseSpaceDenoiser, net: LocalConvNet, z: Tensor, condition: Tensor, options: argparse.Namespace
) -> int:
    """Train until the minutes are over, the rate falling as a cosine of the time spent; how many steps it took."""
    random = torch.Generator().manual_seed(options.seed)
    phase = isinstance(model, PhaseSpaceDenoiser)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, betas=(0.9, 0.99))
    began, steps, spent = time.monotonic(), 0, 0.0
    while spent < 1:
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1.0, (steps + 1) / 50) * (1 + math.cos(math.pi * spent)) / 2
        some = torch.randint(len(z), (BATCH,), generator=random)
        t = (torch.arange(BATCH) + torch.rand(1, generator=random)) / BATCH
        noise = torch.randn(BATCH, z.shape[1] * (2 if phase else 1), *z.shape[2:], generator=random)
        loss = model.loss(z[some], t.to(z), noise.to(z), net.encode(condition[some]))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        steps, spent = steps + 1, (time.monotonic() - began) / (60 * options.minutes)
    return steps


def site_sums(fields: Tensor) -> tuple[Tensor, ...]:
    """S/N, phi^2 and the product of nearest neighbours of each field."""
    x = fields.double().cpu()
    neighbours = (x * x.roll(1, 2) + x * x.roll(1, 3)).flatten(1).mean(1) / 2
    return ACTION.energy(x) / SIDE**2, x.square().flatten(1).mean(1), neighbours


def biases(fields: Tensor, truth: Tensor) -> list[tuple[float, float]]:
    """What S/N, <phi^2> and the nearest neighbours are off by, with errors of the paired differences."""
    pairs = zip(site_sums(fields), site_sums(truth), strict=True)
    return [tuple(map(float, jackknife(lambda a: a, made - exact, blocks=50))) for made, exact in pairs]


def phi4(options: argparse.Namespace) -> list[Row]:
    train, test = (
        sample_phi4(ACTION, SIDE, 256, count, seed, 120, 10).to(options.device)
        for count, seed in ((options.samples, options.seed), (options.fields, options.seed + 1))
    )
    step = BlockSpin(2)
    bands = step.bands(2)
    conditions = condition_channels(1, bands)
    nets = [network(bands, conditions, options).to(options.device) for _ in range(2)]
    lift = DiffusionLift(step, 1, 2, "periodic", nets[0]).to(options.device)
    lift.fit(train)
    z, condition, _ = lift.example(train, (0, 0))
    position, phase = Denoiser(POSITION, nets[0]), PhaseSpaceDenoiser(PHASE, nets[1])
    steps = [trained(model, net, z, condition, options) for model, net in zip((position, phase), nets, strict=True)]

    coarse = step.coarsen(test)
    features = [net.encode(lift.condition(coarse)).detach() for net in nets]
    random = torch.Generator().manual_seed(options.seed + 2)
    noise = torch.randn(len(coarse), 2 * bands, *coarse.shape[2:], generator=random).to(z)
    alone = halves(noise)[0]

    def by_position(sampler: Sampler) -> Tensor:
        return sampler(lambda z, t: position(z, t, features[0]), POSITION, alone)

    def by_filter(sampler: Sampler) -> Tensor:
        return sampler(lambda z, t: phase.denoiser(z, t, features[1]), PHASE.position, alone)

    def by_phase(sampler: SymplecticSplitting) -> Tensor:
        draws = torch.Generator().manual_seed(options.seed + 3)
        return halves(
            sampler(
                lambda y, t: phase(y, t, features[1]),
                PHASE,
                noise,
                lambda i: torch.randn(noise.shape, generator=draws).to(noise),
            )
        )[0]

    made: dict[str, Callable[[int], Tensor]] = {
        "positions, TrigonometricFlow": lambda n: by_position(TrigonometricFlow(n)),
        "positions, FittedFlow": lambda n: by_position(FittedFlow(n)),
        "phase space, splitting": lambda n: by_phase(SymplecticSplitting(n)),
        "phase space, fitted splitting": lambda n: by_phase(FittedSplitting(n)),
        "phase space, stochastic splitting": lambda n: by_phase(SymplecticSplitting(n, 1.0)),
        "the network of phase space, FittedFlow": lambda n: by_filter(FittedFlow(n)),
    }
    said = f"trained {options.minutes:g} min each: {steps[0]} steps on positions, {steps[1]} in phase space"
    exact = ", ".join(number(float(part.mean())) for part in site_sums(test))
    rows = [Row(f"phi^4, L = {SIDE}, S/N, phi^2, neighbours", "", f"{exact}; {said}")]
    rest = biases(step.merge(coarse, lift.restore(coarse, alone)), test)
    rows.append(Row("bias, untrained", "", spoken(rest)))

    def fields(name: str, evaluations: int) -> Tensor:
        with torch.no_grad():
            return step.merge(coarse, lift.restore(coarse, made[name](evaluations)))

    limits = {kind: fields(name, MANY) for kind, name in LIMITS.items()}
    for kind, name in LIMITS.items():
        rows.append(Row(f"bias, {MANY} evaluations, {name}", "", spoken(biases(limits[kind], test))))
    for n in LEARNED:
        sets = {name: fields(name, n) for name in made}
        away = {name: biases(x, limits[name.split(",")[0]]) for name, x in sets.items() if name.split(",")[0] in limits}
        far = {name: math.hypot(*(off for off, _ in each)) for name, each in away.items()}
        ours, theirs = far["phase space, fitted splitting"], far["positions, FittedFlow"]
        for name, each in away.items():
            target = "not above FittedFlow" if name == "phase space, fitted splitting" else ""
            said = f"{far[name]:.4f}: {spoken(each)}"
            rows.append(
                Row(f"from its {MANY} evaluations, {n}, {name}", target, said, ours <= theirs if target else None)
            )
        found = {name: biases(x, test) for name, x in sets.items()}
        bar = min(abs(found[name][0][0]) for name in found if name.startswith("positions"))
        for name, values in found.items():
            (off, error), ours = values[0], name.startswith("phase")
            target = f"S/N within {bar:.4f}, as positions, and 2 sigma" if ours else ""
            met = abs(off) <= bar + 2 * error if ours else None
            rows.append(Row(f"bias, {n} evaluations, {name}", target, spoken(values), met))
    return rows


def spoken(values: list[tuple[float, float]]) -> str:
    return ", ".join(
        f"{name} {number(*value, 4)}" for name, value in zip(("S/N", "phi^2", "neighbours"), values, strict=True)
    )


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=2.0, help="of training, for each of the two networks; 0 for (a) alone")
    add("--samples", type=int, default=8192, help="training fields")
    add("--fields", type=int, default=2048, help="generated fields")
    add("--width", type=int, default=32, help="of the networks")
    add("--rate", type=float, default=3e-3, help="of learning")
    add("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    rows = gaussian()
    if options.minutes > 0:
        rows += phi4(options)
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
