"""Refining real terrain x8: the cascade against its peers, on tiles of ETOPO5 that no method has seen.

    python benchmarks/terrain.py --band test --figure benchmarks/terrain.png --record

Needs the dependency group ``benchmarks`` and ``apt-get install ferret-datasets``. It trains the cascade with the
defaults of ``rgdm train``, one level deeper than it refines (to generate from), and then, for the same wall-clock
time, a single-stage U-Net diffusion (once for each way of scaling its target), fits the Gaussian lifts and
RainFARM, refines the 8 x 8 block means of every tile into 8 members, each tile on its own with reflecting edges,
and prints target, measured value and verdict. Whatever there is to choose (the variant of a peer) is chosen on the
validation band, never on the test band. Errors are jackknife errors over tiles, of ratios paired ones. ``--out``
receives ``scores.json`` and ``tiles.csv``.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import etopo
import targets
import torch
from merit import LEVELS, Merit
from peers import FACTOR, Refine, consistent, gaussian_variants, rainfarm_variants
from record import Row, append, arguments, run, stamp, table
from targets import BICUBIC, GAUSSIAN, OURS, RAINFARM, UNET
from torch import Tensor
from tqdm import tqdm
from unet import SuperResolution

from rgdm import commands, config, progress
from rgdm.evaluate import bicubic, block_constant
from rgdm.evaluate.baselines import block_mean
from rgdm.model.cascade.cascade import Cascade

# --- the methods -------------------------------------------------------------------------------


def cascade(options: argparse.Namespace, train: Path) -> tuple[Cascade, float]:
    """The trained model, and the wall-clock seconds that measuring, training and calibrating it took."""
    if options.model:
        return commands.open_model(options.model, options.device), 60 * options.minutes
    began = time.monotonic()
    settings = config.Train(
        (train,),
        options.out / "model",
        levels=LEVELS + 1,
        minutes=options.minutes,
        device=options.device,
        seed=options.seed,
        overwrite=True,
    )
    return commands.train(settings).eval(), time.monotonic() - began


def unets(options: argparse.Namespace, train: Tensor, seconds: float) -> list[SuperResolution]:
    """Trained single-stage models, each for the whole time that the cascade took."""
    scales = ("global", "local") if options.unet_scale == "both" else (options.unet_scale,)
    models = [SuperResolution(train, scale, options.device, options.seed) for scale in scales]
    for model in models:
        form = "{desc}: {percentage:3.0f}%|{bar}| {postfix}"
        with tqdm(total=1.0, desc=f"{model.label:>20}", bar_format=form) as bar:

            def show(done: float, loss: float, bar: tqdm = bar) -> None:
                bar.n = done
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update(0)

            began = time.process_time()
            steps = model.train(seconds, show)
        # CPU seconds well below threads x wall-clock: another job took the cores, and the comparison is not fair.
        busy = f"{seconds:.0f} s, {time.process_time() - began:.0f} CPU s on {torch.get_num_threads()} threads"
        print(f"{model.label}: {model.parameters} parameters, {steps} steps in {busy}")
    return models


def choose(variants: dict[str, Refine], truth: Tensor, members: int, seed: int) -> str:
    """The variant with the smallest CRPS on the validation tiles; all scores are printed."""
    coarse = block_mean(truth, FACTOR)
    return smallest({name: refine(coarse, members, seed) for name, refine in variants.items()}, truth, coarse)


def smallest(made: dict[str, Tensor], truth: Tensor, coarse: Tensor) -> str:
    """The ensemble with the smallest CRPS."""
    merits = [Merit(name, ensemble, truth, coarse) for name, ensemble in made.items()]
    for merit in merits:
        consistency = f"block-mean error {merit.consistency:.0e}"
        print(f"  validation CRPS {float(merit.crps.mean()):8.2f} m  {merit.name}, {consistency}", flush=True)
    return min(merits, key=lambda merit: float(merit.crps.mean())).name


def choose_unet(models: list[SuperResolution], truth: Tensor, members: int, seed: int) -> tuple[str, Refine]:
    """The better scale, as it comes out or shifted to the block means, whichever has the smaller CRPS."""
    coarse, made, refine = block_mean(truth, FACTOR), {}, {}
    for model in models:
        raw, shifted = f"{model.label}, raw", f"{model.label}, block means corrected"
        made[raw] = model.raw(coarse, members, seed)
        made[shifted] = torch.stack([consistent(each, coarse) for each in made[raw]])
        refine |= {raw: model.raw, shifted: model}
    best = smallest(made, truth, coarse)
    return best, refine[best]


def ensembles(options: argparse.Namespace, model: Cascade, seconds: float) -> dict[str, Merit]:
    """Every method on the tiles of the band asked for."""
    train = etopo.tensor(etopo.tiles("train", options.source))
    validation = etopo.tensor(etopo.tiles("validation", options.source), 3 if options.quick else None)
    truth = etopo.tensor(etopo.tiles(options.band, options.source), 3 if options.quick else None)
    coarse = block_mean(truth, FACTOR)
    found = {
        "block-constant": Merit("block-constant", block_constant(coarse, FACTOR)[None], truth, coarse),
        BICUBIC: Merit("consistent bicubic", bicubic(coarse, FACTOR)[None], truth, coarse),
    }

    def add(key: str, name: str, refine: Refine, evaluations: int = 0) -> None:
        found[key] = Merit(name, refine(coarse, options.members, options.seed), truth, coarse, evaluations)

    for key, variants in ((GAUSSIAN, gaussian_variants(train)), (RAINFARM, rainfarm_variants(train))):
        best = choose(variants, validation, options.members, options.seed + 1)
        add(key, best, variants[best])
    if not options.skip_unet:
        models = unets(options, train, seconds)
        few = validation[torch.linspace(0, len(validation) - 1, min(4, len(validation))).long()]
        add(UNET, *choose_unet(models, few, options.members, options.seed + 1), models[0].evaluations)
    with progress.bar("refining", len(coarse) * options.members) as show:
        made = model.refine(coarse, LEVELS, options.members, options.seed, watch=show)
    found[OURS] = Merit(OURS, made, truth, coarse, LEVELS * model.sampler.evaluations)
    return found


# --- output ----------------------------------------------------------------------------------


def write(out: Path, found: dict[str, Merit], rows: list[Row], begun: list[str]) -> None:
    """``scores.json`` and, one line a tile, ``tiles.csv``."""
    scores = {
        "run": begun,
        "rows": [{**row._asdict()} for row in rows],
        "methods": {key: {"name": merit.name, **merit.summary()} for key, merit in found.items()},
    }
    (out / "scores.json").write_text(json.dumps(scores, indent=1))
    share = found[OURS].land_share
    with (out / "tiles.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        scored = [f"crps{part}_{key}" for part in ("", "_land") for key in found]
        writer.writerow(["tile", "land_share", *scored])
        for b in range(len(share)):
            all_sites = [f"{float(m.crps[b]):.3f}" for m in found.values()]
            land = [f"{float(m.land_crps[b] / share[b]):.3f}" if share[b] > 0 else "" for m in found.values()]
            writer.writerow([b, f"{float(share[b]):.3f}", *all_sites, *land])


def show(path: Path, found: dict[str, Merit]) -> None:
    """The figure: truth, coarse, bicubic, Gaussian, U-Net, two members, spread."""
    from picture import draw

    ours = found[OURS]
    panels = {"truth": ours.truth} | {key: found[key].ensemble[0] for key in (BICUBIC, GAUSSIAN, UNET) if key in found}
    panels |= {f"{OURS}, member {m + 1}": ours.ensemble[m] for m in range(2)}
    draw(path, panels, ours.coarse, ours.ensemble.std(0))


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="training of the cascade; the U-Net gets as long in all")
    add("--members", type=int, default=8)
    add("--band", choices=["validation", "test"], default="validation", help="test is for the final numbers only")
    add("--model", help="a trained cascade (a folder, or the name of one that ships) instead of training")
    add("--skip-unet", action="store_true")
    add("--unet-scale", choices=["both", "global", "local"], default="both", help="both: the better on validation")
    add("--quick", action="store_true", help="30 s of training, 3 tiles, small lattices: does everything run?")
    add("--large", action="store_true", help="time the lattice 4096^2 too")
    add("--seed", type=int, default=0)
    add("--source", type=Path, default=etopo.SOURCE, help="etopo5.cdf")
    add("--out", type=Path, default=Path("runs/terrain"))
    add("--figure", type=Path, help="draw the figure into this PNG")
    options = parser.parse_args()
    if options.quick:
        options.minutes = min(options.minutes, 0.5)
    return options


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    train = etopo.tiles("train", options.source)
    train.to_netcdf(options.out / "train.nc", engine="scipy")
    model, seconds = cascade(options, options.out / "train.nc")
    found = ensembles(options, model, seconds)
    ours, largest = found[OURS], 512 if options.quick else (4096 if options.large else 2048)
    size = sum(p.numel() for p in model.parameters())
    made = f"{options.model} (given)" if options.model else f"trained {seconds:.0f} s in all"
    rows = [Row("the cascade", "", f"{made}, {size} parameters")]
    rows += targets.crps_rows(found) + targets.calibration_rows(ours) + targets.shape_rows(ours)
    rows += targets.consistency_rows(model, ours) + targets.cost_rows(model, ours.coarse, largest)
    side, count = (480, 1) if options.quick else (1024, 8)
    rows += targets.generation_rows(model, etopo.tensor(train), side, count, options.seed)
    rows += targets.method_rows(found)
    print(f"\n{len(ours.truth)} tiles of the {options.band} band, {options.members} members\n\n{table(rows)}")
    write(options.out, found, rows, begun)
    if options.figure:
        show(options.figure, found)
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
