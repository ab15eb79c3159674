"""Orders of convergence."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.exact.modes import made_variance
from benchmarks.record import Figure, Row
from rgdm.model.samplers.reverse import AdamsBashforth, Ancestral, Ddim, Heun
from rgdm.model.samplers.sampler import Sampler
from rgdm.model.samplers.stochastic import EulerMaruyama, StochasticHeun
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import ExactRG, Trigonometric, VariancePreserving
from rgdm.scale.basis import Fourier, Site
from rgdm.theory.continuous import ContinuousChain
from rgdm.theory.mixtures import GaussianMixture

VARIANCES = [0.2, 0.35, 0.5, 0.7, 1.5, 2.5, 4.0]
PLAIN = ForwardProcess(Site(), Trigonometric())
STEPS = (1024, 2048, 4096)
ORDERS: list[tuple[str, Callable[[int], Sampler], int]] = [
    ("Ddim", Ddim, 1),
    ("Heun", Heun, 2),
    ("AdamsBashforth", AdamsBashforth, 2),
    ("Ancestral, weak", Ancestral, 1),
    ("EulerMaruyama, weak", EulerMaruyama, 1),
    ("StochasticHeun, weak", StochasticHeun, 2),
]


def variances() -> Tensor:
    return torch.tensor(VARIANCES, dtype=torch.float64)


def orders(errors: list[Tensor], steps: tuple[int, ...]) -> Tensor:
    """Minus the slope of log error over log steps, for each variance."""
    x = torch.tensor(steps, dtype=torch.float64).log()
    x = x - x.mean()
    return -(x @ torch.stack(errors).abs().log()) / x.square().sum()


def responses(sampler: Sampler) -> Tensor:
    """What one unit of the start (row 0) and of each step's noise (the others) becomes, ``(steps + 1, variances)``."""
    inputs = sampler.steps + 1
    unit = torch.eye(inputs, dtype=torch.float64).reshape(inputs, inputs, 1, 1) * torch.ones_like(variances())
    estimate = GaussianMixture.field(variances()).conditional_mean(PLAIN)
    return sampler(estimate, PLAIN, unit[0], lambda i: unit[i + 1])[:, 0]


def pathwise(sampler: Sampler, fine: int) -> Tensor:
    """The responses to the noise of ``fine`` steps, whose weighted sums are the noise of the fewer ones."""

    def deviation(n: int) -> Tensor:
        sine = torch.sin(math.pi / 2 * (1 - torch.arange(n + 1, dtype=torch.float64) / n)).square()
        return (sine[:-1] - sine[1:]).sqrt()

    coarse, m = responses(sampler), fine // sampler.steps
    share = deviation(fine) / deviation(sampler.steps).repeat_interleave(m)
    return torch.cat([coarse[:1], share[:, None] * coarse[1:].repeat_interleave(m, 0)])


def strong_orders(make: Callable[[int], Sampler], fine: int) -> Tensor:
    """From the root mean square distance to the path of very many steps in the same Brownian motion."""
    steps = (fine // 128, fine // 64, fine // 32)
    limit = responses(make(fine))
    return orders([(pathwise(make(n), fine) - limit).square().sum(0).sqrt() for n in steps], steps)


def chain_orders(steps: tuple[int, ...]) -> Tensor:
    """Of the covariance of the chain of n steps against that of its continuous limit, of every mode that decays."""
    found, lattice = [], (16,)
    span = math.log2(4 * math.pi / 0.5)
    for basis, schedule, octaves in (
        (Fourier(), ExactRG(0.5), span),
        (Fourier(), ExactRG(0.5, 0.3), span),
        (Site(), VariancePreserving(), 1.0),
    ):
        flow = ContinuousChain(ForwardProcess(basis, schedule), octaves)
        _, sigma = flow.marginal(torch.full((1,), flow.span, dtype=torch.float64), lattice)
        ones = basis.synthesize(torch.ones(1, 1, *lattice, dtype=torch.float64))
        made = [basis.analyze(flow.chain(n, lattice).covariance(ones)) for n in steps]
        decays = (flow.rates(torch.full((1,), flow.span / 2, dtype=torch.float64), lattice)[0] > 0).flatten()
        found.append(orders([(c / sigma.square() - 1).flatten()[decays.expand(lattice)] for c in made], steps))
    return torch.cat(found)


def order_rows(quick: bool) -> Iterator[Row]:
    steps = tuple(n // 8 for n in STEPS) if quick else STEPS
    measured = {}
    for name, make, theory in ORDERS:
        errors = [(made_variance(make(n), PLAIN, variances()) / variances()).sqrt() - 1 for n in steps]
        measured[name] = orders(errors, steps), theory
    for name, make in (("EulerMaruyama, strong", EulerMaruyama), ("StochasticHeun, strong", StochasticHeun)):
        measured[name] = strong_orders(make, 1024 if quick else 4096), 1
    measured["chain to ContinuousChain"] = chain_orders(steps), 1
    for name, (found, theory) in measured.items():
        ends = {"lowest": float(found.min()), "highest": float(found.max())}
        figures = {end: Figure(value, low=theory - 0.1, high=theory + 0.1) for end, value in ends.items()}
        yield Row("order of convergence", name, figures, f"{theory} +- 0.1")
