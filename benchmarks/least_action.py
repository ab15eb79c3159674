"""Schedules by their action: what each costs to transport Gaussian fields, and whether the cheapest sample best.

    python benchmarks/least_action.py --record

Gaussian fields of 64 x 64 periodic sites, unit variance of a site, with the spectra 1, k^-2, k^-3 and the critical
``(k^2 + (2 pi / L)^2)^(-1 + eta/2)``, eta = 1/4; the constant mode is left out. ``cost`` is the kinetic action
``int E|v|^2 dt`` of the probability flow over the squared Wasserstein distance of its ends, which nothing undercuts
(``rgdm.theory.transport``); after it what the best common clock would leave of it. White fields need not move: their
cost is given per mode. ``evaluations`` are the fewest from which on, up to 64, the deviation of every octave is
within 1 % of the truth, the denoiser being exact, and in brackets the error with eight of them. ``ExactRG`` starts from
the exact law of what it leaves; the others from white noise (spectrum-matched: from noise of the spectrum of the data).

``clock``: the same schedule on the common clock of least action. ``LeastAction`` gives each mode a path of its own,
straight in s (transport) or log s (information), at constant speed or eased (``t -> sin^2(pi t / 2)``). Like
``SpectrumMatched`` it is told the spectrum, which whitening makes exact in one evaluation. ``--out`` receives
the action by scale and time, and a minimal path between two fields.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from exact.field import Modes
from exact.modes import made_variance
from matplotlib.figure import Figure
from record import Row, append, arguments, run, stamp, table
from torch import Tensor

from rgdm.data import reference
from rgdm.data.layout import unwrap
from rgdm.model.samplers.reverse import Ddim, Heun, TrigonometricFlow
from rgdm.model.samplers.sampler import Sampler
from rgdm.plots import Look, figure_to_png
from rgdm.plots.style import BASELINES, COLUMN, GREY, INK, LEVELS, MODEL, PAGE, bare, paper
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
from rgdm.scale.basis import Cosine
from rgdm.theory.continuous import ScaleFlow
from rgdm.theory.path_action import minimal_path, step_actions
from rgdm.theory.transport import LeastAction, Reclocked, kinetic_cost, speeds

SIDE, OCTAVES = 64, 6
LOWEST = 2 * math.pi / SIDE
LIMIT, MOST, FEW = 0.01, 64, 8
SPECTRA: dict[str, Callable[[Tensor], Tensor]] = {
    "white": lambda k: torch.ones_like(k),
    "k^-2": lambda k: k**-2,
    "k^-3": lambda k: k**-3,
    "critical": lambda k: (k.square() + LOWEST**2) ** -0.875,
}
SAMPLERS: dict[str, Callable[[int], Sampler]] = {"Ddim": Ddim, "Heun": Heun, "TrigonometricFlow": TrigonometricFlow}
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
        made = made_variance(sampler, self.process(schedule), self.spectrum, exact)
        found = float(((self.power(made) / self.power(self.spectrum)).sqrt() - 1).abs().max())
        return found if math.isfinite(found) else math.inf

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
        **{name: made for pair in zip(base.items(), clocked.items(), strict=True) for name, made in pair},
        "SpectrumMatched": SpectrumMatched(field),
        "LeastAction, transport": LeastAction(*known),
        "LeastAction, transport, eased": LeastAction(*known, eased=True),
        "LeastAction, information": LeastAction(*known, "information"),
        "LeastAction, information, eased": LeastAction(*known, "information", eased=True),
    }


def measure(field: Field, schedule: Schedule, exact: bool) -> dict:
    cost = kinetic_cost(field.process(schedule), field.spectrum)
    energy, bound = ((a * field.count).sum(-1) for a in (cost.energy, cost.bound))
    arc = (cost.length.square() * field.count).sum(1).sqrt().sum().square()
    still = float(bound) < 1e-9 * SIDE**2
    unit = field.count.sum() if still else bound
    return {
        "still": still,
        "cost": float(energy.sum() / unit),
        "reclocked": float(arc / unit),
        "evaluations": {name: field.evaluations(make, schedule, exact) for name, make in SAMPLERS.items()},
        "few": {name: field.error(make(1).spending(FEW), schedule, exact) for name, make in SAMPLERS.items()},
    }


def row(name: str, schedule: str, found: dict) -> Row:
    cost = f"cost {found['cost']:.3f} (clocked {found['reclocked']:.3f}){' a mode' if found['still'] else ''}"
    counts = [
        f"{sampler} {f'> {MOST}' if n is None else n} ({found['few'][sampler]:.1%})"
        for sampler, n in found["evaluations"].items()
    ]
    return Row(f"action and evaluations, {name}: {schedule}", "", f"{cost}; {', '.join(counts)}")


def verdicts(found: dict[str, dict[str, dict]]) -> list[Row]:
    """Evaluations of ``TrigonometricFlow``: the best of the defaults, of all on a clock, and of the least actions."""

    def fewest(results: dict, chosen: Callable[[str], bool]) -> tuple[float, str]:
        counts = {
            name: r["evaluations"]["TrigonometricFlow"] or math.inf for name, r in results.items() if chosen(name)
        }
        best = min(counts, key=lambda name: counts[name])
        return counts[best], best

    groups: dict[str, Callable[[str], bool]] = {
        "default": lambda n: not any(word in n for word in ("clock", "Least", "Matched", EXACT)),
        "matched": lambda n: n == "SpectrumMatched",
        "clock": lambda n: "clock" in n and EXACT not in n,
        "least action": lambda n: "Least" in n,
    }
    rows = []
    for name in (name for name in found if name != "white"):
        best = {group: fewest(found[name], chosen) for group, chosen in groups.items()}
        said = "; ".join(f"{group} {f'> {MOST}' if n == math.inf else n} ({by})" for group, (n, by) in best.items())
        met = best["least action"][0] < min(best["default"][0], best["matched"][0])
        rows.append(Row(f"TrigonometricFlow evaluations to 1 %, {name}", "least action fewest", said, met))
    return rows


# --- figures ---------------------------------------------------------------------------------


def draw_density(path: Path, field: Field, shown: dict[str, Schedule]) -> None:
    """Speed of each octave, in units of that of the least action, against t: the action is the mean of its square."""
    with paper():
        figure = Figure(figsize=(PAGE, 1.6))
        panels = figure.subplots(1, len(shown), sharey=True, gridspec_kw={"wspace": 0.14})
        for panel, (name, schedule) in zip(panels, shown.items(), strict=True):
            cost = kinetic_cost(field.process(schedule), field.spectrum, 96)
            octaves = 96 * torch.stack([field.power(energy) for energy in cost.energy])
            speed = (octaves / field.power(cost.bound)).sqrt().T
            total = float((cost.energy * field.count).sum() / (cost.bound * field.count).sum())
            extent = (0, 1, OCTAVES - 0.5, -0.5)
            picture = panel.imshow(
                speed, cmap="magma_r", vmin=0, vmax=4, aspect="auto", extent=extent, interpolation="nearest"
            )
            panel.set(xlabel="t")
            panel.set_title(f"{name}\naction {total:.2f}", fontsize=6.5)
            panel.set_xticks([0, 0.5, 1], ["0", "", "1"])
        panels[0].set_ylabel("octaves below the pixel")
        panels[0].set_yticks(range(OCTAVES))
        bar = figure.colorbar(picture, ax=panels, pad=0.015, aspect=18, extend="max")
        bar.set_label("speed")
        bar.outline.set_linewidth(0.4)
    path.write_bytes(figure_to_png(figure))


def draw_errors(path: Path, field: Field, shown: dict[str, Schedule]) -> None:
    """Error of the worst octave against evaluations of TrigonometricFlow."""
    counts = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    with paper():
        figure = Figure(figsize=(COLUMN, 2.3))
        axes = figure.subplots()
        for (name, schedule), colour in zip(shown.items(), (GREY, *BASELINES[:3], MODEL, INK), strict=False):
            errors = [field.error(TrigonometricFlow(n), schedule, False) for n in counts]
            axes.loglog(counts, errors, "o-", ms=2.5, lw=1.2, color=colour, label=name)
        axes.axhline(LIMIT, color=INK, lw=0.5, ls=":")
        axes.set(xlabel="evaluations", ylabel="error of the worst octave's deviation", ylim=(5e-4, 1.2))
        axes.set_xticks(counts[::2], [str(n) for n in counts[::2]])
        axes.minorticks_off()
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    path.write_bytes(figure_to_png(figure))


# --- a path between two fields ---------------------------------------------------------------


CUTOFF = 0.17
SHOWN = 9
BETWEEN = 40
"""Steps of the path between two pictures."""


class Journey:
    """Exact RG from one tile of terrain to another, in units in which its noise has their spectrum."""

    def __init__(self) -> None:
        tiles = F.avg_pool2d(unwrap(reference.terrain("train"), 1, 2)[0].double(), 2).flip(2)
        corner = (tiles.shape[-1] - SIDE) // 2
        ends = tiles[[4, 18], :, corner : corner + SIDE, corner : corner + SIDE]
        self.mean = float(ends.mean())
        self.basis = Cosine()
        schedule = ExactRG(CUTOFF)
        self.flow = ScaleFlow(ForwardProcess(self.basis, schedule), math.log2(4 * math.pi / CUTOFF))
        self.k = self.basis.wavenumber((SIDE, SIDE))
        z = self.basis.analyze(ends - self.mean)
        self.unit = float((z * self.k).square().mean().sqrt())
        self.start, self.end = z / self.unit
        self.lam = self.times((SHOWN - 1) * BETWEEN)
        self.minimal, self.action = minimal_path(self.flow, self.start, self.end, self.lam)
        share = torch.linspace(0, 1, len(self.lam), dtype=torch.float64).reshape(-1, 1, 1, 1)
        self.fade = torch.lerp(self.start, self.end, share)

    def times(self, steps: int) -> Tensor:
        """Scale-times that look closely at both ends: the variance tau of the blur rises by factors, then mirrored."""
        most = 1 / (2 * CUTOFF**2)
        half = torch.linspace(0, 1, steps // 2 + 1, dtype=torch.float64)
        ratio = most / 2 / 0.05
        tau = most / 2 * torch.expm1(half * math.log1p(ratio)) / ratio
        tau = torch.cat([tau, (most - tau.flip(0))[1:]])
        widened = (4 * math.pi / CUTOFF) ** 2
        t = torch.log1p(tau / most * (widened - 1)) / math.log(widened)
        return self.flow.span * (t / t[-1])

    def heights(self, z: Tensor) -> Tensor:
        """In metres."""
        return self.basis.synthesize(z) * self.unit + self.mean

    def widths(self) -> Tensor:
        """Of the blur, in sites, at each time."""
        t = self.lam / self.flow.span
        widened = (4 * math.pi / CUTOFF) ** 2
        return (torch.expm1(t * math.log(widened)) / (widened - 1)).sqrt() / CUTOFF

    def paid(self, path: Tensor) -> Tensor:
        """Action spent until each time, by octave (the coarsest last) and per mode."""
        octave = torch.log2(math.pi / self.k.clamp(min=LOWEST / 2)).ceil().clamp(0, OCTAVES - 1).long().flatten()
        each = step_actions(self.flow, path, self.lam).flatten(1)
        sums = torch.zeros(len(each), OCTAVES, dtype=each.dtype).index_add(1, octave, each).cumsum(0)
        return torch.cat([torch.zeros_like(sums[:1]), sums]) / torch.bincount(octave, minlength=OCTAVES)


def draw_path(path: Path) -> Row:
    """The minimal path and a cross-fade as strips, and below them what each octave has paid."""
    journey = Journey()
    strips = {"least action": journey.minimal, "cross-fade": journey.fade}
    costs = [float(step_actions(journey.flow, strip, journey.lam).sum()) for strip in strips.values()]
    pictures = {name: journey.heights(strip[::BETWEEN]).numpy() for name, strip in strips.items()}
    look = Look.of(journey.heights(torch.stack([journey.start, journey.end])).numpy(), "terrain")
    widths = journey.widths()[::BETWEEN]
    left_over = (widths[-1].square() - widths.square()).clamp(min=0).sqrt()
    gap, left, lower = 0.04, 0.62, 1.25
    side = (PAGE - left - gap * (SHOWN - 1)) / SHOWN
    height = 2 * side + gap + 0.2 + lower
    with paper():
        figure = Figure(figsize=(PAGE, height))
        for r, (name, fields) in enumerate(pictures.items()):
            for c, field in enumerate(fields):
                bottom = height - (r + 1) * side - r * gap
                box = ((left + c * (side + gap)) / PAGE, bottom / height, side / PAGE, side / height)
                axes = figure.add_axes(box)
                bare(axes)
                axes.imshow(look.picture(field), interpolation="nearest")
                if r == 0:
                    first = c <= SHOWN // 2
                    said = f"{float((widths if first else left_over)[c]):.2g} {'passed' if first else 'to go'}"
                    axes.set_title(said, pad=3, fontsize=6.5)
                if c == 0:
                    axes.set_ylabel(f"{name}\n{costs[r] / SIDE**2:.2f} a mode", fontsize=7, labelpad=4)
        axes = figure.add_axes(((left + side / 2) / PAGE, 0, (PAGE - left - side) / PAGE, (lower - 0.15) / height))
        x = torch.linspace(0, SHOWN - 1, len(journey.lam))
        for octave, colour in enumerate((*LEVELS, GREY)):
            paid = journey.paid(journey.minimal)[:, octave]
            label = ("finest", "2nd", "3rd", "4th", "5th", "coarsest")[octave]
            axes.plot(x, paid, color=colour, lw=1.2, label=f"{label} octave")
        axes.set(xlim=(0, SHOWN - 1), ylabel="action paid, a mode", yscale="log", ylim=(1e-4, None))
        axes.set_xticks(range(SHOWN), [])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=6, columnspacing=1.2)
        figure.text(left / PAGE, 1 + 0.19 / height, "Width of the blur, in sites", fontsize=7, color=INK)
    path.write_bytes(figure_to_png(figure))
    least, fade = (cost / SIDE**2 for cost in costs)
    said = f"{least:.4g} a mode, closed form {float(journey.action) / SIDE**2:.4g}; cross-fade {fade:.4g}"
    return Row(
        "action of the path between two tiles of terrain, exact RG", "below the cross-fade", said, costs[0] < costs[1]
    )


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/least_action"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    torch.set_default_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, dict]] = {}
    rows: list[Row] = []
    for name, shape in SPECTRA.items():
        field, found[name] = Field(shape), {}
        for schedule, made in schedules(field).items():
            found[name][schedule] = measure(field, made, schedule.startswith(EXACT))
            rows.append(row(name, schedule, found[name][schedule]))
        print(f"\n{table(rows[-len(found[name]) :])}", flush=True)
    last = verdicts(found)
    torch.set_default_device("cpu")
    draw(options.out)
    last.append(draw_path(options.out / "path.png"))
    print(f"\n{table(last)}")
    saved = {"run": begun, "rows": [row._asdict() for row in rows + last], "found": found}
    (options.out / "least_action.json").write_text(json.dumps(saved, indent=1))
    if options.record:
        append(rows + last, begun)


def draw(out: Path) -> None:
    field = Field(SPECTRA["k^-2"])
    made = schedules(field)
    titles = {
        "VariancePreserving": "variance preserving",
        "Trigonometric": "trigonometric",
        "Staggered(2)": "staggered",
        "LeastAction, transport, eased": "least action, eased",
        "LeastAction, transport": "least action",
    }
    draw_density(out / "action.png", field, {title: made[name] for name, title in titles.items()})
    names = (
        "Trigonometric, clock",
        "Trigonometric",
        "VariancePreserving",
        "SpectrumMatched",
        "LeastAction, transport, eased",
        "LeastAction, information, eased",
    )
    draw_errors(out / "errors.png", field, {name: made[name] for name in names})


if __name__ == "__main__":
    run(main)
