"""Has a diffusion with momenta anything to offer: its splitting against the samplers of positions alone?

    python -m benchmarks phase_space --record
    python -m benchmarks phase_space --minutes 0.8 --fields 8192 --device cuda --record    # 50 times as many steps

(a) Gaussian modes of variance 0.05 to 20 with exact estimates, so that every sampler is linear and its error in the
standard deviation is known: the worst of five modes, ``|log(deviation / exact)|``, after as many evaluations.
(b) The detail of critical phi^4 fields of 32 x 32 sites given the true coarse field, in the coordinates of a cascade's
lift: two networks of the same size, equally long trained, one on positions (trigonometric schedule) and
one on the matched filter of positions and momenta. What both generate is held against the true fields of
the same coarse fields; errors are those of the paired difference. What 64 evaluations give is the error of the
network alone; how far fewer evaluations are from that, by the samplers of the same network, is the sampler's. The
second network also serves the position-only sampler, on ``process.position``: same weights, no momenta.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import Pair, figure
from benchmarks.shared.lattice import CRITICAL
from benchmarks.shared.training import descend, detail_problem
from benchmarks.study import study
from rgdm.jackknife import jackknife
from rgdm.model.laws.denoiser import Denoiser
from rgdm.model.lifts.context import Context
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.samplers.fitted import FittedMultistep
from rgdm.model.samplers.reverse import AdamsBashforth, Ddim, Heun
from rgdm.model.samplers.sampler import Sampler
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import Trigonometric
from rgdm.scale.basis import Site
from rgdm.theory.fitted_splitting import FittedSplitting
from rgdm.theory.mixtures import GaussianMixture
from rgdm.theory.phase_space import CriticalDamping, PhaseSpaceProcess, halves
from rgdm.theory.splitting import PhaseSpaceDenoiser, SymplecticSplitting

VARIANCES = torch.tensor([0.05, 0.2, 1.0, 5.0, 20.0], dtype=torch.float64)
GAUSSIAN, LEARNED, FITTED, MANY = (2, 4, 8, 16, 32), (2, 4, 6, 8, 16), 16, 64
LIMITS = {"positions": "positions, FittedMultistep", "phase space": "phase space, splitting"}
OURS = "phase space, fitted splitting"
SIDE, BATCH, RATE = 32, 64, 3e-3
POSITION = ForwardProcess(Site(), Trigonometric())
PHASE = PhaseSpaceProcess(Site())
COLD = PhaseSpaceProcess(Site(), CriticalDamping(momentum=0.04))
Values = dict[str, Pair]

# --- (a) Gaussian modes -------------------------------------------------------------------------


def position_errors(sampler: Sampler) -> Tensor:
    start = torch.ones(1, 1, len(VARIANCES), dtype=torch.float64)
    generated = sampler(GaussianMixture.field(VARIANCES).conditional_mean(POSITION), POSITION, start)[0, 0]
    return (generated.abs() / VARIANCES.sqrt()).log().abs()


def phase_errors(sampler: SymplecticSplitting, process: PhaseSpaceProcess) -> Tensor:
    """From the responses to the units of the start and of each step's noise."""
    slots = 1 + sampler.steps if sampler.churn > 0 else 1
    unit = torch.eye(2 * slots, dtype=torch.float64).reshape(2 * slots, slots, 2, 1) * torch.ones_like(VARIANCES)
    known = GaussianMixture.field(VARIANCES).conditional_mean(process.position)

    def estimate(y: Tensor, t: Tensor) -> Tensor:
        return known(process.filtered(y, t), t)

    generated = halves(sampler(estimate, process, unit[:, 0], lambda i: unit[:, 1 + i]))[0][:, 0]
    return (generated.square().sum(0) / VARIANCES).log().abs() / 2


def gaussian() -> Iterator[Row]:
    for n in GAUSSIAN:
        kinds = (Ddim, Heun, AdamsBashforth, FittedMultistep)
        positions = {kind.__name__: float(position_errors(kind(64).spending(n)).max()) for kind in kinds}
        splittings = {
            "splitting": (SymplecticSplitting(n), PHASE),
            "with cold momenta": (SymplecticSplitting(n), COLD),
            "stochastic": (SymplecticSplitting(n, 1.0), PHASE),
            **({"fitted splitting": (FittedSplitting(n), PHASE)} if n <= FITTED else {}),
        }
        momenta = {name: float(phase_errors(*parts).max()) for name, parts in splittings.items()}
        best = min(positions, key=lambda name: positions[name])
        figures = {name: Figure(error) for name, error in (positions | momenta).items()}
        title, met = "Gaussian modes, worst error after n evaluations", min(momenta.values()) <= positions[best]
        yield Row(title, str(n), figures, f"momenta not above {best}", stated="met" if met else "missed")


# --- (b) critical phi^4 -------------------------------------------------------------------------


def site_sums(fields: Tensor) -> dict[str, Tensor]:
    """S / N, phi^2 and the product of nearest neighbours of each field."""
    x = fields.double().cpu()
    neighbours = (x * x.roll(1, 2) + x * x.roll(1, 3)).flatten(1).mean(1) / 2
    return {"S/N": CRITICAL.energy(x) / SIDE**2, "<phi^2>": x.square().flatten(1).mean(1), "nn": neighbours}


def biases(fields: Tensor, truth: Tensor) -> Values:
    """What these are off by, with errors of the paired differences."""
    true = site_sums(truth)
    return {name: jackknife(lambda a: a, each - true[name], blocks=50) for name, each in site_sums(fields).items()}


def trained(
    model: Denoiser | PhaseSpaceDenoiser, net: LocalConvNet, z: Tensor, condition: Tensor, options: argparse.Namespace
) -> int:
    """For so many minutes; how many steps it took."""
    random, halves_of = torch.Generator().manual_seed(options.seed), 2 if isinstance(model, PhaseSpaceDenoiser) else 1

    def loss(_: int) -> Tensor:
        chosen = torch.randint(len(z), (BATCH,), generator=random)
        t = (torch.arange(BATCH) + torch.rand(1, generator=random)) / BATCH
        noise = torch.randn(BATCH, z.shape[1] * halves_of, *z.shape[2:], generator=random)
        return model.loss(z[chosen], t.to(z), noise.to(z), net.encode(condition[chosen])).mean()

    return descend(net.parameters(), loss, 60 * options.minutes, type(model).__name__, RATE, memory=0.0)


def generators(
    test: Tensor, options: argparse.Namespace
) -> tuple[dict[str, Callable[[int], Tensor]], Tensor, list[int]]:
    """Each method as a function of its evaluations; fields of white detail; steps of both trainings."""
    train = MonteCarlo(CRITICAL).sample(SIDE, options.samples, options.seed).to(options.device)
    lift, nets = detail_problem(train, "periodic", options.width, options.seed)
    z, condition, *_ = lift.example(train)
    position, phase = Denoiser(POSITION, nets[0]), PhaseSpaceDenoiser(PHASE, nets[1])
    steps = [trained(model, net, z, condition, options) for model, net in zip((position, phase), nets, strict=True)]
    context = Context(lift.operator.coarsen(test))
    known = lift.features(context)
    assert known is not None
    features = [net.encode(known).detach() for net in nets]
    random = torch.Generator().manual_seed(options.seed + 2)
    noise = torch.randn(len(test), 2 * z.shape[1], *context.coarse.shape[2:], generator=random).to(z)
    alone = halves(noise)[0]

    def field(z: Tensor) -> Tensor:
        return lift.operator.merge(context.coarse, lift.standardizer.restore(context, z))

    def by_position(sampler: Sampler) -> Tensor:
        return sampler(lambda z, t: position(z, t, features[0]), POSITION, alone)

    def by_filter(sampler: Sampler) -> Tensor:
        return sampler(lambda z, t: phase.denoiser(z, t, features[1]), PHASE.position, alone)

    def by_phase(sampler: SymplecticSplitting) -> Tensor:
        draws = torch.Generator().manual_seed(options.seed + 3)

        def draw(_: int) -> Tensor:
            return torch.randn(noise.shape, generator=draws).to(noise)

        return halves(sampler(lambda y, t: phase(y, t, features[1]), PHASE, noise, draw))[0]

    methods: dict[str, Callable[[int], Tensor]] = {
        "positions, AdamsBashforth": lambda n: by_position(AdamsBashforth(n)),
        "positions, FittedMultistep": lambda n: by_position(FittedMultistep(n)),
        "phase space, splitting": lambda n: by_phase(SymplecticSplitting(n)),
        OURS: lambda n: by_phase(FittedSplitting(n)),
        "phase space, stochastic splitting": lambda n: by_phase(SymplecticSplitting(n, 1.0)),
        "the network of phase space, FittedMultistep": lambda n: by_filter(FittedMultistep(n)),
    }
    return {name: lambda n, method=method: field(method(n)) for name, method in methods.items()}, field(alone), steps


def phi4(options: argparse.Namespace) -> Iterator[Row]:
    test = MonteCarlo(CRITICAL).sample(SIDE, options.fields, options.seed + 1).to(options.device)
    with torch.no_grad():
        truth = {name: Figure(float(each.mean())) for name, each in site_sums(test).items()}
    make, untrained, steps = generators(test, options)
    text = f"trained {options.minutes:g} min each: {steps[0]} steps on positions, {steps[1]} in phase space"
    yield Row("truth", f"phi^4, L = {SIDE}", truth, text=text)
    with torch.no_grad():
        limits = {kind: make[name](MANY) for kind, name in LIMITS.items()}
        yield bias_row("untrained", biases(untrained, test))
        for kind, name in LIMITS.items():
            yield bias_row(f"{MANY}, {name}", biases(limits[kind], test))
        for n in LEARNED:
            sets = {name: method(n) for name, method in make.items()}
            yield from against_limits(n, sets, limits)
            off = {name: biases(x, test) for name, x in sets.items()}
            bar = min(abs(float(each["S/N"][0])) for name, each in off.items() if name.startswith("positions"))
            for name, each in off.items():
                yield bias_row(f"{n}, {name}", each, bar if name.startswith("phase") else None)


def bias_row(what: str, values: Values, bar: float | None = None) -> Row:
    """``bar``: momenta should be no farther off in S / N than the best sampler of positions."""
    figures = {name: figure(pair) for name, pair in values.items()}
    if bar is None:
        return Row("bias after n evaluations", what, figures)
    figures["S/N"] = figure(values["S/N"], low=-bar, high=bar)
    return Row("bias after n evaluations", what, figures, f"S/N <= {bar:.4f}")


def against_limits(n: int, sets: dict[str, Tensor], limits: dict[str, Tensor]) -> Iterator[Row]:
    """How far samplers are from what many evaluations of the same network give."""
    away = {name: biases(x, limits[kind]) for name, x in sets.items() if (kind := name.split(",")[0]) in limits}
    far = {name: math.hypot(*(float(off) for off, _ in each.values())) for name, each in away.items()}
    for name, each in away.items():
        bound = far["positions, FittedMultistep"] if name == OURS else None
        figures = {"in all": Figure(far[name], high=bound)} | {key: figure(pair) for key, pair in each.items()}
        words = "not above FittedMultistep" if name == OURS else ""
        yield Row(f"distance from {MANY} evaluations after n", f"{n}, {name}", figures, words)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    yield from gaussian()
    if options.minutes > 0:
        yield from phi4(options)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        minutes=(2.0, "of training, for each of the two networks; 0 for (a) alone"),
        samples=(8192, "training fields"),
        fields=(2048, "generated fields"),
        width=(32, "of the networks"),
    )
