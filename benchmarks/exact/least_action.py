"""Schedules by their cost: what does each take to transport Gaussian fields, and does the cheapest sample best?

    python -m benchmarks least_action --record

Gaussian fields of 64 x 64 periodic sites, unit variance of a site, with the spectra 1, k^-2, k^-3 and the critical
``(k^2 + (2 pi / L)^2)^(-1 + eta/2)``, eta = 1/4; the constant mode is left out. ``cost`` is the kinetic cost
``int E|v|^2 dt`` of the probability flow over the squared Wasserstein distance of its ends, which nothing undercuts
(``rgdm.theory.transport``); ``clocked`` what the best common clock would leave of it. White fields need not move: their
cost is given per mode. Evaluations are the fewest from which on, up to 64, the deviation of every octave is
within 1 % of the truth, the denoiser being exact, and ``8, %`` is the error with eight of them. ``ExactRG`` starts from
the exact law of what it leaves; the others from white noise (spectrum-matched: from noise of the spectrum of the data).

``clock``: the same schedule on the common clock of least cost. ``LeastKineticCost`` gives each mode a path of its own,
straight in s (transport) or log s (information), at constant speed or eased (``t -> sin^2(pi t / 2)``). Like
``SpectrumMatched`` it is told the spectrum, which whitening makes exact in one evaluation. ``--out`` receives
the cost by scale and time, and a minimal path between two fields (``path.py``).
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.exact.field import Modes, made_variance
from benchmarks.exact.path import path_row
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import convergence, drawn
from benchmarks.study import study
from rgdm.model.samplers.reverse import AdamsBashforth, Ddim, Heun
from rgdm.model.samplers.sampler import Sampler
from rgdm.plots.style import COLUMN, PAGE
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    Schedule,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.theory.transport import LeastKineticCost, Reclocked, kinetic_cost, speeds

SIDE, OCTAVES = 64, 6
LOWEST = 2 * math.pi / SIDE
LIMIT, MOST, FEW = 0.01, 64, 8
SPECTRA: dict[str, Callable[[Tensor], Tensor]] = {
    "white": lambda k: torch.ones_like(k),
    "k^-2": lambda k: k**-2,
    "k^-3": lambda k: k**-3,
    "critical": lambda k: (k.square() + LOWEST**2) ** -0.875,
}
SAMPLERS: dict[str, Callable[[int], Sampler]] = {"Ddim": Ddim, "Heun": Heun, "AdamsBashforth": AdamsBashforth}
EXACT = "ExactRG"
"""Signal is left at its end."""


class Field:
    """A spectrum on the different modes of the lattice, each of which there are ``count``."""

    def __init__(self, shape: Callable[[Tensor], Tensor]) -> None:
        n = torch.triu_indices(SIDE // 2 + 1, SIDE // 2 + 1)[:, 1:]
        single = (n == 0) | (n == SIDE // 2)
        self.k = LOWEST * n.double().square().sum(0).sqrt()
        self.count = torch.where(single, 1.0, 2.0).double().prod(0) * torch.where(n[0] == n[1], 1.0, 2.0)
        self.shape, self.scale = shape, float((shape(self.k) * self.count).sum() / self.count.sum())
        self.spectrum = self(self.k)
        self.octave = torch.log2(math.pi / self.k).ceil().clamp(min=0).long()

    def __call__(self, k: Tensor) -> Tensor:
        return self.shape(k) / self.scale

    def process(self, schedule: Schedule) -> ForwardProcess:
        return ForwardProcess(Modes(self.k), schedule)

    def power(self, spectrum: Tensor) -> Tensor:
        """Of each octave, the finest (which is the corner beyond pi) first."""
        return torch.zeros(OCTAVES, dtype=torch.float64).index_add(0, self.octave, spectrum * self.count)

    def error(self, sampler: Sampler, schedule: Schedule, exact: bool) -> float:
        """Of the octave whose deviation is farthest off."""
        built = made_variance(sampler, self.process(schedule), self.spectrum, exact)
        error = float(((self.power(built) / self.power(self.spectrum)).sqrt() - 1).abs().max())
        return error if math.isfinite(error) else math.inf

    def evaluations(self, make: Callable[[int], Sampler], schedule: Schedule, exact: bool) -> int | None:
        """The fewest from which on all are within the limit; None if even the most are not."""
        fewest = None
        for steps in range(MOST, 0, -1):
            if make(steps).evaluations > MOST:
                continue
            if self.error(make(steps), schedule, exact) > LIMIT:
                return fewest
            fewest = make(steps).evaluations
        return fewest


def schedules(field: Field) -> dict[str, Schedule]:
    k = torch.logspace(math.log10(LOWEST), math.log10(1.5 * math.pi), 49, dtype=torch.float64)
    known = k.tolist(), field(k).tolist()
    base = {
        "VariancePreserving": VariancePreserving(),
        "Trigonometric": Trigonometric(),
        "Staggered(2)": Staggered(2.0, OCTAVES),
        "HeatDissipation(8)": HeatDissipation(8.0),
        EXACT: ExactRG(math.pi / 8, LOWEST),
    }
    clocked = {
        f"{name}, clock": Reclocked(schedule, speeds(field.process(schedule), field.spectrum, weight=field.count))
        for name, schedule in base.items()
    }
    return {
        **{name: built for pair in zip(base.items(), clocked.items(), strict=True) for name, built in pair},
        "SpectrumMatched": SpectrumMatched(field),
        "LeastKineticCost, transport": LeastKineticCost(*known),
        "LeastKineticCost, transport, eased": LeastKineticCost(*known, eased=True),
        "LeastKineticCost, information": LeastKineticCost(*known, "information"),
        "LeastKineticCost, information, eased": LeastKineticCost(*known, "information", eased=True),
    }


def judged(field: Field, schedule: Schedule, exact: bool) -> dict[str, Figure]:
    cost = kinetic_cost(field.process(schedule), field.spectrum)
    energy, bound = ((a * field.count).sum(-1) for a in (cost.energy, cost.bound))
    arc = (cost.length.square() * field.count).sum(1).sqrt().sum().square()
    unit = field.count.sum() if float(bound) < 1e-9 * SIDE**2 else bound
    figures = {"cost": Figure(float(energy.sum() / unit)), "clocked": Figure(float(arc / unit))}
    counts = {name: field.evaluations(make, schedule, exact) for name, make in SAMPLERS.items()}
    figures |= {name: Figure(count or MOST, beyond=count is None) for name, count in counts.items()}
    few = {name: 100 * field.error(make(1).spending(FEW), schedule, exact) for name, make in SAMPLERS.items()}
    return figures | {f"{name}, {FEW}, %": Figure(error) for name, error in few.items()}


GROUPS: dict[str, Callable[[str], bool]] = {
    "default": lambda n: not any(word in n for word in ("clock", "Least", "Matched", EXACT)),
    "matched": lambda n: n == "SpectrumMatched",
    "clock": lambda n: "clock" in n and EXACT not in n,
    "least cost": lambda n: "Least" in n,
}


def verdict(spectrum: str, results: dict[str, dict[str, Figure]]) -> Row:
    """Evaluations of ``AdamsBashforth``: the best of the defaults, of all on a clock, and of the least costs."""
    figures, names = {}, []
    for group, chosen in GROUPS.items():
        counts = {name: each["AdamsBashforth"] for name, each in results.items() if chosen(name)}
        best = min(counts, key=lambda name: (counts[name].beyond, counts[name].value))
        figures[group] = counts[best]
        names.append(f"{group} {best}")
    value = {group: math.inf if f.beyond else f.value or 0 for group, f in figures.items()}
    met = value["least cost"] < min(value["default"], value["matched"])
    title, stated = "AdamsBashforth evaluations to 1 %, best of each kind", "met" if met else "missed"
    return Row(title, spectrum, figures, "least cost fewest", "; ".join(names), stated=stated)


# --- figures ---------------------------------------------------------------------------------


def draw_density(path: Path, field: Field, shown: dict[str, Schedule]) -> None:
    """Speed of each octave, in units of that of the least cost, against t: the cost is the mean of its square."""
    with drawn(path, PAGE, 1.6) as figure:
        panels = figure.subplots(1, len(shown), sharey=True, gridspec_kw={"wspace": 0.14})
        for panel, (name, schedule) in zip(panels, shown.items(), strict=True):
            cost = kinetic_cost(field.process(schedule), field.spectrum, 96)
            octaves = 96 * torch.stack([field.power(energy) for energy in cost.energy])
            speed = (octaves / field.power(cost.bound)).sqrt().T
            total = float((cost.energy * field.count).sum() / (cost.bound * field.count).sum())
            extent = (0, 1, OCTAVES - 0.5, -0.5)
            panel.imshow(speed, cmap="magma_r", vmin=0, vmax=4, aspect="auto", extent=extent, interpolation="nearest")
            panel.set(xlabel="t")
            panel.set_title(f"{name}\ncost {total:.2f}", fontsize=6.5)
            panel.set_xticks([0, 0.5, 1], ["0", "", "1"])
        panels[0].set_ylabel("octaves below the pixel")
        panels[0].set_yticks(range(OCTAVES))
        bar = figure.colorbar(panels[-1].images[0], ax=panels, pad=0.015, aspect=18, extend="max")
        bar.set_label("speed")
        bar.outline.set_linewidth(0.4)


def draw(out: Path) -> None:
    field = Field(SPECTRA["k^-2"])
    built = schedules(field)
    titles = {
        "VariancePreserving": "variance preserving",
        "Trigonometric": "trigonometric",
        "Staggered(2)": "staggered",
        "LeastKineticCost, transport, eased": "least cost, eased",
        "LeastKineticCost, transport": "least cost",
    }
    draw_density(out / "action.png", field, {title: built[name] for name, title in titles.items()})
    counts = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    shown = ("Trigonometric, clock", "Trigonometric", "VariancePreserving", "SpectrumMatched")
    shown += ("LeastKineticCost, transport, eased", "LeastKineticCost, information, eased")
    lines = {name: (counts, [field.error(AdamsBashforth(n), built[name], False) for n in counts]) for name in shown}
    labels = "evaluations of AdamsBashforth", "error of the worst octave's deviation"
    convergence(out / "errors.png", (COLUMN, 2.3), {"": lines}, labels, (LIMIT,), ylim=(5e-4, 1.2))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for name, shape in SPECTRA.items():
        torch.set_default_device(options.device)
        field, results = Field(shape), {}
        for schedule, built in schedules(field).items():
            results[schedule] = judged(field, built, schedule.startswith(EXACT))
            yield Row(f"cost, and evaluations to 1 %, {name}", schedule, results[schedule])
        torch.set_default_device("cpu")
        if name != "white":
            yield verdict(name, results)
    draw(options.out)
    yield path_row(options.out / "path.png")


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments)
