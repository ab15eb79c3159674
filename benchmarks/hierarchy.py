"""Does the hierarchy pay? A cascade against a single-stage U-Net at full resolution, also with less data.

    python benchmarks/hierarchy.py --record

Terrain, x8. Both are trained for the same time on all tiles of the training set, a quarter and a sixteenth of them,
and refine the 8 x 8 block means of every second held-out tile into 4 members. And narrower cascades, to find the
cheapest one that is at least as good as the U-Net: multiply-adds a site of the fine field of all
evaluations of the networks (what is in closed form takes about 1.5 k a coarse site more). The U-Net
(``unet.py``) sees the full resolution at 19 evaluations, with the local units that suit it best. Errors are jackknife
errors over held-out tiles, of ratios paired ones.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from peers import FACTOR
from record import Row, append, mean, ratio, run, stamp, table
from torch import Tensor
from training import options_of, scores, tensor, train
from unet import SuperResolution

from rgdm import progress
from rgdm.data import reference
from rgdm.evaluate.baselines import block_mean
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.diffusion import DiffusionLift
from rgdm.model.networks.registry import multiply_adds
from rgdm.plots import figure_to_png
from rgdm.plots.style import COLUMN, LEVELS, paper

DEPTH, MEMBERS = 3, 4
FRACTIONS = (1, 4, 16)
Scores = tuple[Tensor, Tensor]


def cascade_cost(model: Cascade, side: int = 256) -> float:
    """Multiply-adds a site of the fine field, of all levels and their evaluations."""
    total = 0
    for level in range(DEPTH):
        lift, coarse = model.own_lift(level), side // 2 ** (level + 1)
        assert isinstance(lift, DiffusionLift)
        once, each = multiply_adds(lift.denoiser.backbone, (coarse, coarse), lift.condition_mean.numel() + 1)
        total += once + model.sampler.evaluations * each
    return total / side**2


def unet_cost(model: SuperResolution, side: int = 64) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.randn(1, 1 + model.condition.shape[1], side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x, torch.zeros(1))
    return model.evaluations * counter.get_total_flops() / 2 / side**2


def told(found: Scores, reference: Scores, name: str) -> str:
    crps, energy = (ratio(a, b, 3) for a, b in zip(found, reference, strict=True))
    return f"CRPS {crps}, energy score {energy} of {name}"


def draw(path: Path, curves: dict[str, list[tuple[float, ...]]]) -> None:
    with paper():
        figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
        axes = figure.subplots()
        for (name, curve), colour in zip(curves.items(), LEVELS, strict=False):
            share = [(1.03 if name == "U-Net" else 1) / n for n in FRACTIONS]  # side by side
            axes.errorbar(
                share,
                [v for v, _ in curve],
                [e for _, e in curve],
                fmt="o-",
                ms=3,
                lw=1,
                capsize=2,
                color=colour,
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([1 / n for n in FRACTIONS], ["1" if n == 1 else f"1/{n}" for n in FRACTIONS])
        axes.set(xlabel="share of the training tiles", ylabel="held-out CRPS over that with all")
        axes.legend()
    path.write_bytes(figure_to_png(figure))


def parse() -> argparse.Namespace:
    parser = options_of(__doc__, "hierarchy", kinds=False)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 8], help="of the narrower cascades")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun, rows = stamp(options.device), []
    options.out.mkdir(parents=True, exist_ok=True)
    everything, truth = reference.terrain("train"), tensor(reference.terrain("held-out"))[::2]
    coarse = block_mean(truth, FACTOR)
    found: dict[tuple[str, int], Scores] = {}
    costs: dict[str, float] = {}

    def refined(model: Cascade) -> Scores:
        return scores(model.refine(coarse, DEPTH, MEMBERS, options.seed + 3), truth)

    for n in FRACTIONS:
        tiles = everything[::n] if n > 1 else everything
        model = train(tiles, options.out / f"cascade-{n}", options, levels=DEPTH)
        found["cascade", n] = refined(model)
        costs.setdefault("cascade", cascade_cost(model))
        unet = SuperResolution(tensor(tiles), "local", options.device, options.seed)
        with progress.bar(f"U-Net, {len(tiles)} tiles", 100) as show:
            unet.train(60 * options.minutes, lambda done, _, show=show: show(round(100 * done), 100))
        made = unet.raw(coarse, MEMBERS, options.seed + 3)
        found["U-Net", n] = scores(made, truth)
        costs.setdefault("U-Net", unet_cost(unet))
        for name in ("cascade", "U-Net"):
            said = f"CRPS {mean(found[name, n][0], 1)} m; "
            said += told(found[name, n], found[name, 1], "that with all")
            if name == "cascade":
                said += "; " + told(found[name, n], found["U-Net", n], "the U-Net's")
            rows.append(Row(f"{name}, {len(tiles)} tiles", "", said))
        print(f"\n{table(rows)}", flush=True)
    equal = [("width 32", costs["cascade"], found["cascade", 1])]
    for width in options.widths:
        model = train(everything, options.out / f"width-{width}", options, levels=DEPTH, width=(width,))
        equal.append((f"width {width}", cascade_cost(model), refined(model)))
    for label, cost, each in equal:
        said = f"{cost / 1000:.1f} k multiply-adds a site and member, U-Net {costs['U-Net'] / 1000:.0f} k: "
        said += f"{costs['U-Net'] / cost:.0f} times fewer; {told(each, found['U-Net', 1], 'the U-Net')}"
        rows.append(Row(f"cascade of {label}", "", said))
    means = {
        name: [
            tuple(map(float, jackknife(lambda a, b: a / b, found[name, n][0], found[name, 1][0]))) for n in FRACTIONS
        ]
        for name in ("cascade", "U-Net")
    }
    draw(options.out / "learning-curves.png", means)
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
