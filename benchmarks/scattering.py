"""What scattering adds: as a condition of the lifts, and as a maximum-entropy peer of the cascade.

    python benchmarks/scattering.py --record

``condition``: the same cascade with and without the texture of the coarse field among what its networks are shown
(``rgdm train --scattering 2``), trained for equally long and for equally many steps: held-out denoising loss of each
level, CRPS and energy score of refining, as paired ratios with jackknife errors over held-out fields. ``peers``: fields
made from nothing by the cascade, by the microcanonical maximum-entropy model of scattering covariances of the training
fields (no training, ``maximum_entropy``; their means, and those of one training field for each that is made), and what
one step of its descent makes of Gaussian fields with the power in each band, against held-out fields: scattering
distance (1: the same law), which the second model is made for; kurtosis of the finest detail; power of the finest
octave; of phi^4 the local biases, U4, and the total variation of abs(phi).
"""

import argparse
import time
from pathlib import Path
from typing import Literal

import torch
from backbones import LEVELS, losses, refined
from learned import ACTION, LOCAL
from matplotlib.figure import Figure
from record import Row, append, number, ratio, run, stamp, table
from torch import Tensor
from training import Fields, data, options_of, tensor, train

from rgdm import progress
from rgdm.evaluate.detail import detail_kurtosis
from rgdm.evaluate.scattering import maximum_entropy, scattering_distance
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade
from rgdm.physics.observables import observables
from rgdm.plots import figure_to_png
from rgdm.plots.style import PAGE, paper
from rgdm.scale.scattering.coefficients import Scattering

SCALES = {"phi4": 3, "terrain": 4}
ENTROPY: dict[Literal["mean", "sample"], str] = {
    "mean": "maximum entropy, mean statistics",
    "sample": "maximum entropy, statistics of one field each",
}
SIDE, COUNT = {"phi4": 32, "terrain": 120}, {"phi4": 64, "terrain": 8}


def trained(
    name: str, scattering: int, fields: Fields, options: argparse.Namespace, steps: int | None = None
) -> Cascade:
    train_set, _, settings = fields[name]
    out = options.out / name / f"scattering-{scattering}{'' if steps is None else f'-{steps}-steps'}"
    return train(train_set, out, options, steps, levels=LEVELS, scattering=scattering, **settings)


def condition(name: str, plain: Cascade, fields: Fields, options: argparse.Namespace) -> list[Row]:
    """What the texture changes, in equal time and in equally many steps; phi^4 has room for two scales."""
    truth = tensor(fields[name][1])[:256]
    judge, rows = lambda model: (losses(model, truth), *refined(model, truth, options)), []
    before, long = judge(plain), plain.metadata["training"]["steps"]
    for scales in (2,) if name == "phi4" else (2, 3):
        shown = trained(name, scales, fields, options)
        steps, after = shown.metadata["training"]["steps"], judge(shown)
        as_many = judge(trained(name, 0, fields, options, steps))
        for theirs, count in ((before, long), (as_many, steps)):
            loss = jackknife(lambda a, b: a / b, after[0], theirs[0])
            said = ", ".join(number(*pair, 4) for pair in zip(loss.value.tolist(), loss.error.tolist(), strict=True))
            rows.append(
                Row(
                    f"{name}, shown scattering of {scales} scales, in equal {'time' if theirs is before else 'steps'}",
                    "",
                    f"loss {said} of that without, from fine to coarse; CRPS {ratio(after[1], theirs[1])}, "
                    f"energy score {ratio(after[2], theirs[2])}; {steps} steps, {count} without",
                )
            )
    return rows


def cut(fields: Tensor, side: int) -> Tensor:
    """Tiles of this side, all of each field."""
    many = [fields[..., i : i + side, j : j + side] for i in range(0, fields.shape[2] - side + 1, side)
            for j in range(0, fields.shape[3] - side + 1, side)]  # fmt: skip
    return torch.cat(many)


def judged(name: str, made: Tensor, truth: Tensor, model: Cascade, scattering: Scattering) -> str:
    distance = scattering_distance(made, truth, scattering)
    said = [f"scattering {', '.join(f'{float(s):.1f}' for s in distance.significance)} sigma, orders 0 to 2"]
    ours, true = detail_kurtosis(made, model.step, 1), detail_kurtosis(truth, model.step, 1)
    said.append(
        f"kurtosis of the finest detail {number(float(ours.value), float(ours.error), 2)} of {float(true.value):.2f}"
    )
    power = [model.step.split(x)[1].square().mean() for x in (made, truth)]
    said.append(f"its power {float(power[0] / power[1]):.3f}")
    if name == "phi4":
        a, b = observables(made, ACTION), observables(truth, ACTION)
        for key, title in [*LOCAL.items(), ("u4", "U4")]:
            said.append(f"{title} off by {number(a[key][0] - b[key][0], (a[key][1] ** 2 + b[key][1] ** 2) ** 0.5, 4)}")
        density = [torch.histc(x.abs().flatten(), 120, 0, 3) / x.numel() for x in (made, truth)]
        said.append(f"sites {float((density[0] - density[1]).abs().sum() / 2):.4f}")
    return "; ".join(said)


def peer(name: str, model: Cascade, fields: Fields, options: argparse.Namespace) -> list[Row]:
    side, count = SIDE[name], COUNT[name]
    scattering = Scattering(SCALES[name], boundary=model.boundary)
    seen, truth = (cut(tensor(each), side) for each in fields[name][:2])
    seen, truth = seen[: 1024 if name == "phi4" else None], truth[: 512 if name == "phi4" else None]
    given, entropy, seconds = seen[:: len(seen) // count][:count], {}, {}
    for match, title in ENTROPY.items():
        began = time.monotonic()
        with progress.bar(f"{title}, {name}", count * options.steps) as show:
            those = given if match == "sample" else seen
            entropy[title] = maximum_entropy(
                those, scattering, count, steps=options.steps, seed=options.seed, match=match, progress=show
            )
        seconds[title] = (time.monotonic() - began) / count
    gaussian = maximum_entropy(seen, scattering, count, steps=1, seed=options.seed + 1)
    began = time.monotonic()
    made = model.sample((side, side), count, options.seed + 1)
    seconds["cascade"] = (time.monotonic() - began) / count
    sets = {
        "cascade": made,
        **{title: found.fields for title, found in entropy.items()},
        "one step from a Gaussian field": gaussian.fields,
        "the true fields given one each": given,
    }
    rows = []
    for key, each in sets.items():
        said = judged(name, each, truth, model, scattering)
        said += f"; {seconds[key]:.2g} s a field of {side} x {side}" if key in seconds else ""
        rows.append(Row(f"{name}, {count} fields, {key}", "", said))
    for title, found in entropy.items():
        left = found.losses[:, -1] / found.losses[:, 0]
        rows.append(Row(f"{name}, {title}: loss left", "", f"{float(left.mean()):.1e} of that at the start"))
    draw(options.out / f"{name}-peers.png", {"true": given, **sets})
    return rows


def draw(path: Path, sets: dict[str, Tensor]) -> None:
    names = ["true", "cascade", *ENTROPY.values()]
    with paper():
        figure = Figure(figsize=(PAGE, 4 / 3 * PAGE), layout="constrained")
        axes = figure.subplots(4, 3)
        low, high = (float(sets["true"].quantile(q)) for q in (0.01, 0.99))
        for row, name in zip(axes, names, strict=True):
            for place, x in zip(row, sets[name], strict=False):
                place.imshow(x[0], cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
                place.set(xticks=[], yticks=[])
            row[0].set_ylabel(name.replace(", ", ",\n"))
    path.write_bytes(figure_to_png(figure))


def parse() -> argparse.Namespace:
    parser, parts = options_of(__doc__, "scattering"), ["peers", "condition"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--steps", type=int, default=100, help="of the descent to maximum entropy")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun, rows = stamp(options.device), []
    options.out.mkdir(parents=True, exist_ok=True)
    fields = data(options)
    for name in fields:
        plain = trained(name, 0, fields, options)
        for part, measure in (("peers", peer), ("condition", condition)):
            if part in options.parts:
                rows += measure(name, plain, fields, options)
                print(f"\n{table(rows)}", flush=True)
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
