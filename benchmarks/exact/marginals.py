"""The closed marginal of the chain against the chain simulated."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.record import Figure, Row
from rgdm.scale.coarse_graining import Lattice, Orthonormal
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.momentum_shell import MomentumShell
from rgdm.scale.operators.quincunx import Quincunx
from rgdm.scale.operators.wavelets import Wavelet
from rgdm.theory.chain import Chain, NoisyMap

BETAS = (0.4, 0.1, 0.7, 0.3)
"""Of two changes of scale, with two steps of noise alone between them."""


def chain(operator: Orthonormal, wrong: float = 1.0) -> Chain:
    operators = (operator, None, None, operator)
    return Chain([NoisyMap(r, beta * wrong) for r, beta in zip(operators, BETAS, strict=True)])


def marginal_cases() -> list[tuple[str, Orthonormal, Lattice]]:
    sides = {1: 32, 2: 16, 3: 8}
    operators = {
        "block spins 2": BlockSpin(2),
        "block spins 3": BlockSpin(3),
        "decimation": Decimation(2),
        "quincunx": Quincunx(),
        "shells": MomentumShell(2),
        "db2": Wavelet("db2"),
    }
    return [
        (f"{name} {d}-D", operator, (9 if operator.factor == 3 else side,) * d)
        for name, operator in operators.items()
        for d, side in sides.items()
        if name != "quincunx" or d == 2
    ]


def scores(operator: Orthonormal, lattice: Lattice, count: int, wrong: float, random: torch.Generator) -> Tensor:
    """z of mean and of variance at every site of the last state, the simulated noise ``wrong`` times as strong."""
    x = 3 * torch.randn(1, 1, *lattice, generator=random, dtype=torch.float64)

    def draw(_: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    law, simulated = chain(operator), chain(operator, wrong)
    parts = [simulated.sample(x.expand(n, *x.shape[1:]), draw)[-1] for n in [1000] * (count // 1000)]
    made, mean = torch.cat(parts).flatten(1), law.mean(x)
    sites = mean.numel()
    unit = torch.eye(sites, dtype=torch.float64).reshape(sites, *mean.shape[1:])
    variance = law.covariance(unit).reshape(sites, sites).diagonal()
    z_mean = (made.mean(0) - mean.flatten()) / (variance / len(made)).sqrt()
    z_variance = (made.var(0) / variance - 1) / math.sqrt(2 / (len(made) - 1))
    return torch.stack([z_mean, z_variance])


def marginal_rows(quick: bool, seed: int) -> Iterator[Row]:
    count, random = 2000 if quick else 20000, torch.Generator(torch.get_default_device()).manual_seed(seed)
    right, wrong, worst_of = [], [], {}
    for name, operator, lattice in marginal_cases():
        z = scores(operator, lattice, count, 1.0, random)
        worst_of[name] = float(z.abs().max())
        right.append(z.flatten())
        wrong.append(float(scores(operator, lattice, count, 1.1, random)[1].abs().max()))
    z = torch.cat(right)
    most, name = float(z.abs().max()), max(worst_of, key=lambda name: worst_of[name])
    chance = 1 - math.erf(most / math.sqrt(2)) ** len(z)
    figures = {"value": Figure(most, high=4), "by chance": Figure(chance)}
    figures |= {"comparisons": Figure(len(z)), "runs": Figure(count)}
    title = "closed marginal of the chain against simulation"
    yield Row(title, "largest deviation, standard errors", figures, text=f"largest for {name}; of a mean or a variance")
    text = "the smallest over the operators"
    yield Row(title, "with noise wrong by 10 %", {"value": Figure(min(wrong), low=4)}, text=text)
