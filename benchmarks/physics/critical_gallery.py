"""Pictures of critical phi^4: a field zoomed out and generated back in, its order parameter at every scale, sweeps.

    python -m benchmarks critical_gallery --model runs/inverse_rg/model --out docs/images

Takes the cascade that ``inverse_rg`` trained on 64 x 64 sites, makes it four times as wide, and writes three
pictures, ``critical-*.png``: a Monte Carlo field of 256 x 256 sites coarse-grained four times, and that coarse field
refined again; the distribution of the field at each level in units of its standard deviation, generated and simulated;
the bias of what is generated against sweeps, at 64, 128 and 256 sites.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.peers.monte_carlo import MonteCarlo
from benchmarks.shared.drawing import curves, drawn
from benchmarks.shared.growing import OPTIONS, SIDES, enlarged, generate, simulated, swept
from benchmarks.shared.lattice import CRITICAL, LOCAL, Measured
from benchmarks.study import parser
from rgdm import commands
from rgdm.evaluate.baselines import block_mean
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.monte_carlo.chains import rethermalize
from rgdm.plots import Look
from rgdm.plots.style import BASELINES, GREY, INK, MODEL, PAGE, bare

LARGE, ZOOMS = 256, 4


def zoom(path: Path, model: Cascade, options: argparse.Namespace) -> None:
    """Out along the upper row, back in along the lower one; the rightmost field is the same in both."""
    out = [MonteCarlo(CRITICAL, kept=options.model.parent / "monte-carlo").sample(LARGE, 2, options.seed + 31)[:1]]
    out += [block_mean(out[0], 2**k) for k in range(1, ZOOMS + 1)]
    larger = enlarged(model, LARGE, options.growth)
    back = [larger.refine(out[-1], ZOOMS, 1, options.seed, options.evaluations)[0].cpu()]
    back += [block_mean(back[0], 2**k) for k in range(1, ZOOMS + 1)]
    look, side = Look.of(out[0].numpy(), "diverging"), PAGE / (ZOOMS + 1)
    height = 2 * side + 0.2
    with drawn(path, PAGE, height, 160) as figure:
        for row, fields in enumerate((out, back)):
            for column, field in enumerate(fields):
                box = (column * side / PAGE, ((1 - row) * side) / height, (side - 0.04) / PAGE, (side - 0.04) / height)
                axes = figure.add_axes(box)
                bare(axes)
                axes.imshow(look.picture(field[0].numpy(), LARGE / field.shape[-1]), interpolation="nearest")
                if row == 0:
                    axes.set_title(f"{field.shape[-1]} x {field.shape[-1]}", pad=3)
                elif column < ZOOMS:
                    axes.set_xlabel("generated")


def histograms(path: Path, generated: Tensor, truth: Tensor) -> None:
    """Of block means at each level, in units of their standard deviation."""
    edges = np.linspace(-2.6, 2.6, 66)
    middle, levels = (edges[1:] + edges[:-1]) / 2, int(np.log2(truth.shape[-1]))
    with drawn(path, PAGE, 2.6, 160, layout="constrained") as figure:
        panels = figure.subplots(2, (levels + 1) // 2, sharex=True, sharey=True).flatten()
        for level, axes in enumerate(panels):
            if level >= levels:
                axes.set_visible(False)
                continue
            means = [block_mean(x, 2**level) for x in (truth, generated)]
            density = [np.histogram((x / x.std()).numpy(), edges, density=True)[0] for x in means]
            axes.fill_between(middle, density[0], color=GREY, alpha=0.35, lw=0, label="Monte Carlo")
            axes.plot(middle, density[1], color=MODEL, lw=1.1, label="generated")
            axes.set_title(f"level {level}, {means[1].shape[-1]} x {means[1].shape[-1]}")
            axes.set_yticks([])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="lower right")
        figure.supxlabel("block mean of phi over its standard deviation", fontsize=7.5)


def sweeps(path: Path, model: Cascade, generated: dict[int, Tensor], truths: dict[int, Measured], seed: int) -> None:
    """Bias of the local observables against learned and heat-bath sweeps."""
    counts, colours = (0, 1, 2, 4), (MODEL, *BASELINES)
    with drawn(path, PAGE, 2.3, 160, layout="constrained") as figure:
        panels = figure.subplots(1, len(generated), sharey=True)
        for axes, (side, fields) in zip(panels, generated.items(), strict=True):
            for kind, style in (("learned", "o-"), ("of the action", "s--")):
                after, off = [fields], [Measured(fields).biases(truths[side])]
                for before, k in itertools.pairwise(counts):
                    learned = kind == "learned"
                    x, more = after[-1], k - before
                    after.append(
                        swept(model, x, more, seed + k) if learned else rethermalize(CRITICAL, x, more, seed + k)
                    )
                    off.append(Measured(after[-1]).biases(truths[side]))
                lines = {f"{t}, {kind}": [(each[t].value, each[t].error) for each in off] for t in LOCAL.values()}
                curves(axes, counts, lines, colours, fmt=style, ms=2.5, lw=0.9)
            axes.axhline(0, color=INK, lw=0.6)
            axes.set(xlabel="sweeps", title=f"L = {side}", xticks=counts)
        panels[0].set_ylabel("bias")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


def main(arguments: Sequence[str]) -> None:
    asked = parser(
        __doc__,
        model=(Path("runs/inverse_rg/model"), ""),
        out=(Path("docs/images"), ""),
        device=("cpu", "", ["cpu", "cuda"]),
        seed=(0, ""),
        **OPTIONS,
    )
    options = asked.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    model = commands.open_model(str(options.model), options.device)
    generated = {side: generate(model, side, options.evaluations, options) for side in SIDES}
    fields = {side: simulated(side, options, options.model.parent) for side in SIDES}
    zoom(options.out / "critical-zoom.png", model, options)
    histograms(options.out / "critical-histograms.png", generated[128], fields[128])
    truths = {side: Measured(x) for side, x in fields.items()}
    sweeps(options.out / "critical-sweeps.png", model, generated, truths, options.seed)
