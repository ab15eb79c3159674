"""Pictures of critical phi^4: a field zoomed out and generated back in, its order parameter at every scale, sweeps.

    python benchmarks/critical_gallery.py --model runs/inverse/model --out docs/images

Takes the cascade that ``inverse_rg.py`` trained on 64 x 64 sites, makes it four times as wide, and writes three
pictures, ``critical-*.png``: a Monte Carlo field of 256 x 256 sites coarse-grained four times, and that coarse field
refined again; the distribution of the field at each level in units of its standard deviation, generated and simulated;
the bias of what is generated against sweeps, at 64, 128 and 256 sites.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from inverse_rg import ACTION, LOCAL, REPEATED, SIDE, Measured, generate, simulate, swept
from matplotlib.figure import Figure
from record import run
from torch import Tensor

from rgdm import commands
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.monte_carlo.chains import rethermalize
from rgdm.plots import Look, figure_to_png
from rgdm.plots.style import BASELINES, GREY, INK, MODEL, PAGE, bare, paper
from rgdm.scale.operators.block import BlockSpin

LARGE, ZOOMS = 256, 4
SIDES = (64, 128, 256)


def zoom(model: Cascade, options: argparse.Namespace) -> Figure:
    """Out along the upper row, back in along the lower one; the rightmost field is the same in both."""
    larger, step = model.enlarged(2, options.growth, REPEATED), BlockSpin(2)
    out = [simulate(LARGE, 2, options.seed + 31, "one field", options.model.parent / "monte-carlo")[:1]]
    for _ in range(ZOOMS):
        out.append(step.coarsen(out[-1]) / 2)  # block means
    back = [larger.refine(out[-1], ZOOMS, 1, options.seed, options.evaluations)[0]]
    for _ in range(ZOOMS):
        back.append(step.coarsen(back[-1]) / 2)
    look = Look.of(out[0].numpy(), "diverging")
    side = PAGE / (ZOOMS + 1)
    with paper():
        figure = Figure(figsize=(PAGE, 2 * side + 0.2))
        height = figure.get_size_inches()[1]
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
    return figure


def histograms(made: Tensor, truth: Tensor) -> Figure:
    """Of block means at each level, in units of their standard deviation."""
    step, edges = BlockSpin(2), np.linspace(-2.6, 2.6, 66)
    middle = (edges[1:] + edges[:-1]) / 2
    levels = int(np.log2(truth.shape[-1]))
    with paper():
        figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
        panels = figure.subplots(2, (levels + 1) // 2, sharex=True, sharey=True).flatten()
        for level in range(levels):
            density = [np.histogram((x / x.std()).numpy(), edges, density=True)[0] for x in (truth, made)]
            axes = panels[level]
            axes.fill_between(middle, density[0], color=GREY, alpha=0.35, lw=0, label="Monte Carlo")
            axes.plot(middle, density[1], color=MODEL, lw=1.1, label="generated")
            axes.set_title(f"level {level}, {made.shape[-1]} x {made.shape[-1]}")
            axes.set_yticks([])
            made, truth = step.coarsen(made) / 2, step.coarsen(truth) / 2
        figure.legend(*panels[0].get_legend_handles_labels(), loc="lower right")
        for axes in panels[levels:]:
            axes.set_visible(False)
        figure.supxlabel("block mean of phi over its standard deviation", fontsize=7.5)
    return figure


def sweeps(model: Cascade, made: dict[int, Tensor], truths: dict[int, Measured], options: argparse.Namespace) -> Figure:
    """Bias of the local observables against learned and heat-bath sweeps."""
    counts = (0, 1, 2, 4)
    with paper():
        figure = Figure(figsize=(PAGE, 2.3), layout="constrained")
        for axes, (side, fields) in zip(figure.subplots(1, len(made), sharey=True), made.items(), strict=True):
            for kind, style in (("learned", "o-"), ("of the action", "s--")):
                after = {0: fields}
                for before, k in itertools.pairwise(counts):
                    if kind == "learned":
                        after[k] = swept(model, after[before], k - before, options.seed + k)
                    else:
                        after[k] = rethermalize(ACTION, after[before], k - before, options.seed + k)
                measured = {k: Measured(x) for k, x in after.items()}
                for (key, title), colour in zip(LOCAL.items(), (MODEL, *BASELINES), strict=False):
                    value, error = zip(*(m.bias(key, truths[side]) for m in measured.values()), strict=True)
                    label = f"{title}, {kind}" if side == SIDES[0] else None
                    axes.errorbar(counts, value, error, fmt=style, ms=2.5, lw=0.9, color=colour, label=label)
            axes.axhline(0, color=INK, lw=0.6)
            axes.set(xlabel="sweeps", title=f"L = {side}", xticks=counts)
        figure.axes[0].set_ylabel("bias")
        figure.legend(loc="outside right center")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, default=Path("runs/inverse/model"))
    add("--out", type=Path, default=Path("docs/images"))
    add("--evaluations", type=int, default=6)
    add("--growth", type=float, nargs="+", default=[1.7801, 1.8133, 1.8318], help="as inverse_rg.py measured it")
    add("--fields", type=int, default=2048, help="of 64 x 64 sites; as many sites of larger ones")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = commands.open_model(str(options.model), options.device)
    (options.out / "critical-zoom.png").write_bytes(figure_to_png(zoom(model, options), 160))
    counts = {side: max(48, options.fields * SIDE**2 // side**2) for side in SIDES}
    made = {side: generate(model, side, count, options.evaluations, options) for side, count in counts.items()}
    fields = {
        side: simulate(side, count, options.seed + side, f"MC {side}", options.model.parent / "monte-carlo")
        for side, count in counts.items()
    }
    truths = {side: Measured(x) for side, x in fields.items()}
    (options.out / "critical-histograms.png").write_bytes(figure_to_png(histograms(made[128], fields[128]), 160))
    (options.out / "critical-sweeps.png").write_bytes(figure_to_png(sweeps(model, made, truths, options), 160))


if __name__ == "__main__":
    run(main)
