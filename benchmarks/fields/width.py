"""How wide should a network be: which is the best for its cost, after five minutes on the cores at hand?

    python -m benchmarks width --record

Trains a cascade of each width (``rgdm train --width N``) for the same wall-clock time, on ETOPO5 and on critical
phi^4, ``--seeds`` times, and judges it on fields that were kept out: fair CRPS of members that refine all levels, over
that of the widest (the mean of its runs so far); seconds a megapixel and member; steps. Errors are those of the mean
over fields, of ratios paired ones; the runs of a width say what a second training changes. A model that is whole in
``--out`` is not trained again. Needs ``apt-get install ferret-datasets``.
"""

import argparse
from collections.abc import Iterator, Sequence

import torch

from benchmarks.fields import etopo
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import median, ratio
from benchmarks.shared.training import CRITICAL, Data, block_means, phi4, trained_or_there, training
from benchmarks.study import study
from rgdm.evaluate import fair_crps, octave_ratio, spread_skill
from rgdm.model.cascade.cascade import Cascade

LEVELS, MEMBERS, SIDE = 3, 8, 512


def kinds(options: argparse.Namespace) -> Iterator[Data]:
    """Fields to learn from and others to judge by."""
    if "terrain" in options.data:
        parts = (etopo.tiles(band, options.source) for band in ("train", "validation"))
        learned, judged = (part.expand_dims(channel=["elevation"], axis=1) for part in parts)
        yield Data("terrain", learned, judged, {"boundary": "reflect"})
    if "phi4" in options.data:
        yield Data("phi4", phi4(4096, 32, options.seed + 1), phi4(256, 32, options.seed + 2), CRITICAL)


def seconds(model: Cascade, coarse: torch.Tensor) -> float:
    """Of a megapixel of one member, on a lattice of ``SIDE`` x ``SIDE``."""
    wide = coarse[:1].repeat(1, 1, *(-(-SIDE // (8 * n)) for n in coarse.shape[2:]))[..., : SIDE // 8, : SIDE // 8]
    return median(lambda: model.refine(wide, LEVELS, 1, 0), 5) / (SIDE * SIDE / 1e6)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for kind in kinds(options):
        widest: list[torch.Tensor] = []
        for width in sorted(options.widths, reverse=True):
            for run in range(options.seeds):
                asked = argparse.Namespace(**{**vars(options), "seed": run})
                settings = {"levels": LEVELS, "width": (width,), **kind.settings}
                out = options.out / kind.name / f"{width}-{run}"
                model = trained_or_there(out, kind.train, asked, **settings)
                coarse = block_means(model, kind.truth, LEVELS)
                members = model.refine(coarse, LEVELS, MEMBERS, 0)
                crps = fair_crps(members, kind.truth)
                if width == max(options.widths):
                    widest.append(crps)
                octaves = octave_ratio(members, kind.truth, model.grid.boundaries)[1]
                figures = {"CRPS over the widest": ratio(crps, torch.stack(widest).mean(0))}
                figures |= {"CRPS": Figure(float(crps.mean())), "s/megapixel": Figure(seconds(model, coarse))}
                figures |= {"evaluations": Figure(model.sampler.evaluations)} | training(model)
                yield Row(f"{kind.name}, a width at a time", f"{width}, run {run}", figures)
                figures = {"spread/skill": Figure(float(spread_skill(members, kind.truth).pooled))}
                figures |= {f"octave {i}": Figure(float(v)) for i, v in enumerate(octaves.value[:LEVELS], start=1)}
                yield Row(f"{kind.name}, calibration", f"{width}, run {run}", figures)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        data=(("terrain", "phi4"), "", ["terrain", "phi4"]),
        widths=((16, 24, 32), ""),
        seeds=(1, "trainings of each width"),
        minutes=(5.0, "of each training"),
        **etopo.OPTIONS,
    )
