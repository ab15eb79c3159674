"""What does scattering add: as a condition of the lifts, and as a maximum-entropy peer of the cascade?

    python -m benchmarks scattering --record

``condition``: the same cascade with and without the texture of the coarse field among what its networks are shown
(``rgdm train --scattering 2``), trained for equally long and for equally many steps: held-out denoising loss of each
level, CRPS and energy score of refining, as paired ratios with jackknife errors over held-out fields. ``peers``: fields
made from nothing by the cascade, by the microcanonical maximum-entropy model of scattering covariances of the training
fields (no training, ``maximum_entropy``; their means, and those of one training field for each that is made), and what
one step of its descent makes of Gaussian fields with the power in each band, against held-out fields: scattering
distance (1: the same law), which the second model is made for; kurtosis of the finest detail; power of the finest
octave; of phi^4 what local observables and U4 are off by, and the total variation of abs(phi).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import drawn
from benchmarks.shared.estimates import difference, figure, ratios
from benchmarks.shared.lattice import Measured
from benchmarks.shared.losses import LEVELS, losses, over, refined
from benchmarks.shared.training import KINDS, Data, data, tensor, train, training
from benchmarks.study import study
from rgdm import progress
from rgdm.evaluate.detail import detail_kurtosis
from rgdm.evaluate.scattering import maximum_entropy, scattering_distance
from rgdm.model.cascade.cascade import Cascade
from rgdm.plots.style import PAGE
from rgdm.scale.scattering.coefficients import Scattering

SCALES = {"phi4": 3, "terrain": 4}
ENTROPY: dict[Literal["mean", "sample"], str] = {
    "mean": "maximum entropy, mean statistics",
    "sample": "maximum entropy, statistics of one field each",
}
SIDE, COUNT = {"phi4": 32, "terrain": 120}, {"phi4": 64, "terrain": 8}


def trained(kind: Data, scattering: int, options: argparse.Namespace, steps: int | None = None) -> Cascade:
    out = options.out / kind.name / f"scattering-{scattering}{'' if steps is None else f'-{steps}-steps'}"
    return train(kind.train, out, options, steps, levels=LEVELS, scattering=scattering, **kind.settings)


def condition(kind: Data, plain: Cascade, options: argparse.Namespace) -> Iterator[Row]:
    """What the texture changes, in equal time and in equally many steps; phi^4 has room for two scales."""
    truth = kind.truth[:256]

    def judge(model: Cascade) -> tuple[Tensor, dict[str, Tensor]]:
        return losses(model, truth), refined(model, truth, options.seed + 3)

    before = judge(plain)
    for scales in (2,) if kind.name == "phi4" else (2, 3):
        shown = trained(kind, scales, options)
        steps, after = training(shown)["steps"], judge(shown)
        as_many = judge(trained(kind, 0, options, int(steps.value or 0)))
        for theirs, equal, count in ((before, "time", training(plain)["steps"]), (as_many, "steps", steps)):
            figures = ratios(after[0], theirs[0], "loss") | over(after[1], theirs[1])
            figures |= {"steps": steps, "steps without": count}
            yield Row(f"shown scattering, over that without, {kind.name}", f"{scales} scales, equal {equal}", figures)


def cut(fields: Tensor, side: int) -> Tensor:
    """Tiles of this side, all of each field."""
    height, width = (n // side * side for n in fields.shape[2:])
    return fields[..., :height, :width].unfold(2, side, side).unfold(3, side, side).flatten(0, 3).unsqueeze(1)


def judged(kind: Data, generated: Tensor, truth: Tensor, model: Cascade, scattering: Scattering) -> dict[str, Figure]:
    distance = scattering_distance(generated, truth, scattering)
    figures = {f"order {i}": Figure(float(s)) for i, s in enumerate(distance.significance)}
    figures["kurtosis"] = figure([part.squeeze() for part in detail_kurtosis(generated, model.operator, 1)])
    figures["true"] = Figure(float(detail_kurtosis(truth, model.operator, 1).value))
    power = [float(model.operator.split(x)[1].square().mean()) for x in (generated, truth)]
    figures["power"] = Figure(power[0] / power[1])
    if kind.name == "phi4":
        ours, theirs = Measured(generated), Measured(truth)
        figures |= ours.biases(theirs) | {"U4": difference(ours.pairs["U4"], theirs.pairs["U4"])}
    return figures


def peers(kind: Data, model: Cascade, options: argparse.Namespace) -> Iterator[Row]:
    name, side, count = kind.name, SIDE[kind.name], COUNT[kind.name]
    scattering = Scattering(SCALES[name], boundary=kind.settings["boundary"])
    known, truth = cut(tensor(kind.train), side), cut(kind.truth, side)
    if name == "phi4":
        known, truth = known[:1024], truth[:512]
    given, entropy, seconds = known[:: len(known) // count][:count], {}, {}
    for match, title in ENTROPY.items():
        began, those = time.monotonic(), given if match == "sample" else known
        with progress.bar(f"{title}, {name}", count * options.steps) as show:
            plan = {"steps": options.steps, "seed": options.seed, "match": match}
            entropy[title] = maximum_entropy(those, scattering, count, watch=show, **plan)
        seconds[title] = (time.monotonic() - began) / count
    began = time.monotonic()
    generated = model.sample((side, side), count, options.seed + 1).cpu()
    seconds["cascade"] = (time.monotonic() - began) / count
    gaussian = maximum_entropy(known, scattering, count, steps=1, seed=options.seed + 1)
    sets = {"cascade": generated, **{title: result.fields for title, result in entropy.items()}}
    sets |= {"one step from a Gaussian field": gaussian.fields, "the true fields given one each": given}
    for title, fields in sets.items():
        figures = judged(kind, fields, truth, model.cpu(), scattering)
        figures |= {"s a field": Figure(seconds[title])} if title in seconds else {}
        yield Row(f"peers, {name}, scattering distance in sigma", title, figures)
    for title, result in entropy.items():
        left = float((result.losses[:, -1] / result.losses[:, 0]).mean())
        yield Row("loss of maximum entropy that is left", f"{name}, {title}", {"of the first": Figure(left)})
    with drawn(options.out / f"{name}-peers.png", PAGE, 4 / 3 * PAGE, layout="constrained") as picture:
        low, high = (float(given.quantile(q)) for q in (0.01, 0.99))
        shown = {"true": given, **sets}
        for row, title in zip(picture.subplots(4, 3), ("true", "cascade", *ENTROPY.values()), strict=True):
            for place, x in zip(row, shown[title], strict=False):
                place.imshow(x[0], cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
                place.set(xticks=[], yticks=[])
            row[0].set_ylabel(title.replace(", ", ",\n"))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    for kind in data(options):
        plain = trained(kind, 0, options)
        for name, part in PARTS.items():
            if name in options.parts:
                yield from part(kind, plain, options)


PARTS = {"condition": condition, "peers": peers}


def main(arguments: Sequence[str]) -> None:
    steps = (100, "of the descent to maximum entropy")
    study(__doc__, measure, arguments, parts=(tuple(PARTS), "", [*PARTS]), steps=steps, **KINDS)
