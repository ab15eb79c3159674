"""A neural operator per scale: what is each backbone good for, level by level, on terrain and on critical phi^4?

    python -m benchmarks backbones --record

Trains one cascade with each backbone at every level (``rgdm train --no-shared --backbone KIND``), all for the same
time, and one that mixes them: at each level the backbone with the smallest loss on fields that were kept out of the
training. Held-out denoising loss of each level (1: nothing learned beyond the linear-Gaussian estimate; the same
times and noise for all), CRPS and energy score over those of ``conv`` of ensembles that refine all levels, seconds of
one evaluation of the finest level, parameters. Errors are jackknife errors over held-out fields, of ratios paired
ones. Needs the dependency group ``backbones``.
"""

import argparse
from collections.abc import Iterator, Sequence

import torch

from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import mean, median
from benchmarks.shared.losses import LEVELS, losses, over, refined
from benchmarks.shared.training import KINDS as DATA
from benchmarks.shared.training import Data, backbone, conditions, data, tensor, train, training
from benchmarks.study import study
from rgdm.model.cascade.cascade import Cascade

KINDS = ("conv", "unet", "dit", "fno")


def seconds(model: Cascade, lattice: Sequence[int]) -> float:
    """Of one evaluation of the finest network, a megapixel of the fine field."""
    net, coarse = backbone(model, 0), [n // 2 for n in lattice]
    device = model.device
    z = torch.randn(4, model.operator.bands(2), *coarse, device=device)
    with torch.no_grad():
        features = net.encode(torch.randn(4, conditions(model), *coarse, device=device))
        taken = median(lambda: net(z, torch.rand(4, device=device), features))
    return taken / (4 * lattice[0] * lattice[1] / 2**20)


def compared(kind: Data, options: argparse.Namespace) -> Iterator[Row]:
    settings = kind.settings | {"shared": False}
    kept_back = len(kind.train) // 6
    few = 256 if kind.name == "phi4" else None
    validation, truth = tensor(kind.train)[-kept_back:][:few], kind.truth[:few]
    chosen, conv = {}, {}
    todo: list[tuple[str, ...]] = [(name,) for name in KINDS]
    for choice in todo:
        label = choice[0] if len(choice) == 1 else "mixed " + " ".join(choice)
        out = options.out / kind.name / label.replace(" ", "-")
        model = train(kind.train[:-kept_back], out, options, levels=LEVELS, backbone=choice, **settings)
        chosen[label], scored = losses(model, validation).mean(0), refined(model, truth, options.seed + 3)
        conv = conv or scored
        figures = {f"loss {level}": mean(column) for level, column in enumerate(losses(model, truth).T)}
        figures |= over(scored, conv) | {"steps": training(model)["steps"]}
        figures["parameters"] = Figure(sum(p.numel() for p in model.own_lift(0).parameters()))
        figures["s/megapixel"] = Figure(seconds(model, truth.shape[2:]))
        yield Row(f"backbones, {kind.name}", label, figures)
        if choice == KINDS[-1:]:
            best = tuple(min(KINDS, key=lambda name: float(chosen[name][level])) for level in range(LEVELS))
            todo += [best] if len(set(best)) > 1 else []


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for kind in data(options):
        yield from compared(kind, options)


def main(arguments: Sequence[str]) -> None:
    study(__doc__, measure, arguments, **DATA)
