"""A minimal path between two tiles of terrain: exact RG from one to the other, and what each octave pays for it."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import drawn
from rgdm.data import reference
from rgdm.data.layout import unwrap
from rgdm.plots import Look
from rgdm.plots.style import GREY, INK, LEVELS, PAGE, bare
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import ExactRG
from rgdm.scale.basis import Cosine
from rgdm.theory.continuous import ContinuousChain
from rgdm.theory.path_cost import minimal_path, step_costs

SIDE, OCTAVES = 64, 6
LOWEST = 2 * math.pi / SIDE
CUTOFF = 0.17
FALL = math.log(ExactRG.FIRST / CUTOFF)
"""By how much the logarithm of the cutoff falls."""
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
        self.flow = ContinuousChain(ForwardProcess(self.basis, schedule), FALL / math.log(2))
        self.k = self.basis.wavenumber((SIDE, SIDE))
        z = self.basis.analyze(ends - self.mean)
        self.unit = float((z * self.k).square().mean().sqrt())
        self.start, self.end = z / self.unit
        self.lam = self.times((SHOWN - 1) * BETWEEN)
        self.minimal, self.cost = minimal_path(self.flow, self.start, self.end, self.lam)
        share = torch.linspace(0, 1, len(self.lam), dtype=torch.float64).reshape(-1, 1, 1, 1)
        self.fade = torch.lerp(self.start, self.end, share)

    def times(self, steps: int) -> Tensor:
        """Scale-times that look closely at both ends: the variance tau of the blur rises by factors, then mirrored."""
        most = (CUTOFF**-2 - ExactRG.FIRST**-2) / 2
        half = torch.linspace(0, 1, steps // 2 + 1, dtype=torch.float64)
        ratio = most / 2 / 0.05
        tau = most / 2 * torch.expm1(half * math.log1p(ratio)) / ratio
        tau = torch.cat([tau, (most - tau.flip(0))[1:]])
        t = torch.log1p(2 * tau * ExactRG.FIRST**2) / (2 * FALL)
        return self.flow.span * (t / t[-1])

    def heights(self, z: Tensor) -> Tensor:
        """In metres."""
        return self.basis.synthesize(z) * self.unit + self.mean

    def widths(self) -> Tensor:
        """Of the blur, in sites, at each time."""
        t = self.lam / self.flow.span
        return torch.expm1(2 * FALL * t).sqrt() / ExactRG.FIRST

    def paid(self, path: Tensor) -> Tensor:
        """Cost spent until each time, by octave (the coarsest last) and per mode."""
        octave = torch.log2(math.pi / self.k.clamp(min=LOWEST / 2)).ceil().clamp(0, OCTAVES - 1).long().flatten()
        each = step_costs(self.flow, path, self.lam).flatten(1)
        sums = torch.zeros(len(each), OCTAVES, dtype=each.dtype).index_add(1, octave, each).cumsum(0)
        return torch.cat([torch.zeros_like(sums[:1]), sums]) / torch.bincount(octave, minlength=OCTAVES)


def path_row(path: Path) -> Row:
    """The minimal path and a cross-fade as strips, and below them what each octave has paid."""
    journey = Journey()
    strips = {"least cost": journey.minimal, "cross-fade": journey.fade}
    costs = [float(step_costs(journey.flow, strip, journey.lam).sum()) for strip in strips.values()]
    pictures = {name: journey.heights(strip[::BETWEEN]).numpy() for name, strip in strips.items()}
    look = Look.of(journey.heights(torch.stack([journey.start, journey.end])).numpy(), "terrain")
    widths = journey.widths()[::BETWEEN]
    left_over = (widths[-1].square() - widths.square()).clamp(min=0).sqrt()
    gap, left, lower = 0.04, 0.62, 1.25
    side = (PAGE - left - gap * (SHOWN - 1)) / SHOWN
    height = 2 * side + gap + 0.2 + lower
    with drawn(path, PAGE, height) as figure:
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
        axes.set(xlim=(0, SHOWN - 1), ylabel="cost paid, a mode", yscale="log", ylim=(1e-4, None))
        axes.set_xticks(range(SHOWN), [])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=6, columnspacing=1.2)
        figure.text(left / PAGE, 1 + 0.19 / height, "Width of the blur, in sites", fontsize=7, color=INK)
    least, fade = (cost / SIDE**2 for cost in costs)
    values = {"least cost": least, "closed form": float(journey.cost) / SIDE**2, "cross-fade": fade}
    title, figures = "cost a mode of the path between two tiles, exact RG", {k: Figure(v) for k, v in values.items()}
    figures["over the cross-fade"] = Figure(least / fade, high=1)
    return Row(title, "least cost", figures, "below the cross-fade")
