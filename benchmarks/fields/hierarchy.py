"""Does the hierarchy pay: a cascade against a single-stage U-Net at full resolution, also with less data?

    python -m benchmarks hierarchy --minutes 0.8 --record

Terrain, x8. Both are trained for the same time on all tiles of the training set, a quarter and a sixteenth of them,
and refine the 8 x 8 block means of every second held-out tile into 4 members. And narrower cascades, to find the
cheapest one that is at least as good as the U-Net: multiply-adds a site of the fine field of all
evaluations of the networks (what is in closed form takes about 1.5 k a coarse site more). The U-Net
sees the full resolution at 19 evaluations, with the local units that suit it best. Errors are jackknife
errors over held-out tiles, of ratios paired ones.
"""

import argparse
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.gaussian import FACTOR
from benchmarks.peers.unet import SuperResolution
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import curves, drawn
from benchmarks.shared.estimates import mean, ratio, scores
from benchmarks.shared.training import OPTIONS, cost, tensor, train
from benchmarks.study import study
from rgdm.data import reference
from rgdm.evaluate.baselines import block_mean
from rgdm.model.cascade.cascade import Cascade
from rgdm.plots.style import COLUMN, LEVELS

DEPTH, MEMBERS, SIDE = 3, 4, 256
FRACTIONS = (1, 4, 16)
CASCADE, UNET = "cascade", "U-Net"


def cascade_cost(model: Cascade) -> float:
    """Multiply-adds a site of the fine field, of all levels and their evaluations."""
    return sum(cost(model, level, SIDE) for level in range(DEPTH)) / SIDE**2


def unet_cost(model: SuperResolution, side: int = 64) -> float:
    x = torch.randn(1, 1 + model.condition.shape[1], side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x, torch.zeros(1))
    return model.evaluations * counter.get_total_flops() / 2 / side**2


def measure(options: argparse.Namespace) -> Iterator[Row]:
    tiles, truth = reference.terrain("train"), tensor(reference.terrain("held-out"))[::2]
    coarse = block_mean(truth, FACTOR)
    scored: dict[tuple[str, int], dict[str, Tensor]] = {}
    costs: dict[int, float] = {}
    unet = SuperResolution("local", 60 * options.minutes, options.device, options.seed)

    def refined(model: Cascade) -> dict[str, Tensor]:
        return scores(model.refine(coarse, DEPTH, MEMBERS, options.seed + 3).cpu(), truth)

    for n in FRACTIONS:
        subset = tiles[::n]
        model = train(subset, options.out / f"cascade-{n}", options, levels=DEPTH)
        scored[CASCADE, n] = refined(model)
        costs.setdefault(32, cascade_cost(model))
        unet.fit(tensor(subset))
        scored[UNET, n] = scores(unet.refine(coarse, MEMBERS, options.seed + 3), truth)
        for name in (CASCADE, UNET):
            each, all_tiles = scored[name, n], scored[name, 1]
            figures = {"CRPS, m": mean(each["CRPS"]), "CRPS over all tiles": ratio(each["CRPS"], all_tiles["CRPS"])}
            figures["energy"] = ratio(each["energy"], all_tiles["energy"])
            if name == CASCADE:
                figures |= {f"{key} over U-Net": ratio(each[key], scored[UNET, n][key]) for key in each}
            yield Row("trained on fewer tiles", f"{name}, {len(subset)} tiles", figures)
    equal = {32: scored[CASCADE, 1]}
    for width in options.widths:
        model = train(tiles, options.out / f"width-{width}", options, levels=DEPTH, width=(width,))
        costs[width], equal[width] = cascade_cost(model), refined(model)
    peer = unet_cost(unet)
    for width, each in equal.items():
        figures = {
            "k multiply-adds a site": Figure(costs[width] / 1000),
            "of the U-Net": Figure(peer / 1000),
            "times fewer": Figure(peer / costs[width]),
        }
        figures |= {f"{key} over U-Net": ratio(each[key], scored[UNET, 1][key]) for key in each}
        yield Row("narrower cascades against the U-Net", f"width {width}", figures)
    with drawn(options.out / "learning-curves.png", COLUMN, 2.4, layout="constrained") as figure:
        axes = figure.subplots()
        for name, colour in zip((CASCADE, UNET), LEVELS, strict=False):
            each = [ratio(scored[name, n]["CRPS"], scored[name, 1]["CRPS"]) for n in FRACTIONS]
            share = [(1.03 if name == UNET else 1) / n for n in FRACTIONS]  # side by side
            curves(axes, share, {name: [(f.value, f.error) for f in each]}, [colour], capsize=2)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1 / n for n in FRACTIONS], ["1" if n == 1 else f"1/{n}" for n in FRACTIONS])
        axes.set(xlabel="share of the training tiles", ylabel="held-out CRPS over that with all")
        axes.legend()


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments, widths=((16, 8), "of the narrower cascades"), **OPTIONS)
