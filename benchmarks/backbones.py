"""A neural operator per scale: what each backbone is good for, level by level, on terrain and on critical phi^4.

    python benchmarks/backbones.py --record

Trains one cascade with each backbone at every level (``rgdm train --no-shared --backbone KIND``), all for the same
time, and one that mixes them: at each level the backbone with the smallest loss on fields that were kept out of the
training. Held-out denoising loss of each level (1: nothing learned beyond the linear-Gaussian estimate; the same
times and noise for all), CRPS and energy score of ensembles that refine all levels, seconds of one evaluation of the
finest level, parameters. Errors are jackknife errors over held-out fields, of ratios paired ones. Needs the dependency
group ``backbones``.
"""

import argparse
import time

import torch
from record import Row, append, number, ratio, run, stamp, table
from torch import Tensor
from training import Fields, data, options_of, scores, tensor, train

from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.diffusion import DiffusionLift

KINDS = ("conv", "unet", "dit", "fno")
DRAWS, MEMBERS, LEVELS = 8, 8, 3


@torch.no_grad()
def losses(model: Cascade, fields: Tensor) -> Tensor:
    """Denoising loss of each field at each level, ``(B, levels)``, mean over as many times and noises."""
    random, found = torch.Generator().manual_seed(5), []
    fine = model.normalise(fields.to(model.mean.device)).float()
    for level in range(model.levels):
        bands = model.channels * model.step.bands(model.dimension)
        coarse = tuple(n // model.step.factor for n in fine.shape[2:])
        total = torch.zeros(len(fine), dtype=torch.float64)
        for draw in range(DRAWS):
            t = (draw + torch.rand(len(fine), generator=random)) / DRAWS
            noise = torch.randn(len(fine), bands, *coarse, generator=random)
            for some in torch.arange(len(fine)).split(max(1, 2**16 // fine[0].numel())):
                each = model(fine[some], level, t[some].to(fine), noise[some].to(fine))
                total[some] += each.double().cpu() / DRAWS
        found.append(total)
        fine = model.step.coarsen(fine)
    return torch.stack(found, 1)


def seconds(model: Cascade, lattice: tuple[int, ...]) -> float:
    """Of one evaluation of the finest network, a megapixel of the fine field; median of five."""
    lift, taken = model.own_lift(0), []
    assert isinstance(lift, DiffusionLift)
    coarse = torch.randn(4, model.channels, *(n // 2 for n in lattice))
    z = torch.randn(4, model.step.bands(2), *coarse.shape[2:])
    with torch.no_grad():
        features = lift.denoiser.backbone.encode(lift.condition(coarse))
        for _ in range(6):
            began = time.monotonic()
            lift.denoiser.backbone(z, torch.rand(4), features)
            taken.append(time.monotonic() - began)
    return sorted(taken[1:])[2] / (4 * lattice[0] * lattice[1] / 2**20)


def refined(model: Cascade, truth: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """CRPS and energy score of refining all levels."""
    return scores(model.refine(model.flow(truth, LEVELS)[-1], LEVELS, MEMBERS, options.seed + 3), truth)


def compared(name: str, fields: Fields, options: argparse.Namespace) -> list[Row]:
    train_set, held_out, settings = fields[name]
    settings = settings | {"shared": False}
    kept_back = len(train_set) // 6
    validation, truth = tensor(train_set)[-kept_back:], tensor(held_out)
    if name == "phi4":
        validation, truth = validation[:256], truth[:256]
    seen, rows, found, chosen = train_set[:-kept_back], [], {}, {}

    def add(label: str, backbone: tuple[str, ...]) -> None:
        out = options.out / name / label.replace(" ", "-")
        model = train(seen, out, options, levels=LEVELS, backbone=backbone, **settings)
        chosen[label] = losses(model, validation).mean(0)
        found[label] = losses(model, truth), *refined(model, truth, options)
        size = sum(p.numel() for p in model.own_lift(0).parameters())
        steps, reference = model.metadata["training"]["steps"], found["conv"]
        loss = jackknife(lambda mean: mean, found[label][0])
        pairs = zip(loss.value.tolist(), loss.error.tolist(), strict=True)
        said = ", ".join(number(*pair, 4) for pair in pairs)
        said = f"loss {said} from fine to coarse; CRPS {ratio(found[label][1], reference[1])}, energy score "
        said += f"{ratio(found[label][2], reference[2])} of conv; {steps} steps; {size} parameters; "
        said += f"{seconds(model, tuple(truth.shape[2:])):.2f} s an evaluation and megapixel"
        rows.append(Row(f"{name}, {label}", "", said))

    for kind in KINDS:
        add(kind, (kind,))
    best = tuple(min(KINDS, key=lambda kind: float(chosen[kind][level])) for level in range(LEVELS))
    if len(set(best)) > 1:
        add("mixed " + " ".join(best), best)
    return rows


def main() -> None:
    options = options_of(__doc__, "backbones").parse_args()
    begun, rows = stamp(options.device), []
    fields = data(options)
    for name in fields:
        rows += compared(name, fields, options)
        print(f"\n{table(rows)}", flush=True)
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
