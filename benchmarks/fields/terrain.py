"""Refining real terrain x8: is the cascade better than its peers, on tiles of ETOPO5 that no method has seen?

    python -m benchmarks terrain --band test --unet-scale local --large --record

Needs the dependency group ``benchmarks`` and ``apt-get install ferret-datasets``. It trains the cascade with the
defaults of ``rgdm train``, one level deeper than it refines (to generate from), and then, for the same wall-clock
time, a single-stage U-Net diffusion (once for each way of scaling its target), fits the Gaussian lifts and
RainFARM, and refines the 8 x 8 block means of every tile into 8 members, each tile on its own with reflecting edges.
Whatever there is to choose (the variant of a peer) is chosen on the validation band, never on the test band. Errors
are jackknife errors over tiles, of ratios paired ones. ``--out`` receives ``tiles.csv`` and ``terrain.png``.
"""

import argparse
import copy
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from benchmarks.fields import etopo
from benchmarks.fields.merit import LEVELS, Merit
from benchmarks.peers import Refiner, gaussian
from benchmarks.record import Figure, Row
from benchmarks.shared.estimates import Pair, figure, mean, median, quotient, ratio
from benchmarks.shared.training import train as train_cascade
from benchmarks.shared.training import training
from benchmarks.study import study
from rgdm import commands, progress
from rgdm.evaluate import bicubic, block_constant, jackknife, octave_power
from rgdm.evaluate.baselines import block_mean
from rgdm.evaluate.minkowski import FUNCTIONALS, minkowski
from rgdm.model.cascade.cascade import Cascade

FACTOR = 2**LEVELS
LATTICES = (256, 512, 1024, 2048, 4096)
HEIGHTS = (0.0, -200.0, -1000.0, 200.0, 1000.0)
OURS, BLOCKS, BICUBIC = "rgdm", "block-constant", "consistent bicubic"
GAUSSIAN, RAINFARM, UNET = "Gaussian lift, best", "RainFARM, best", "U-Net, best"
CRPS_TARGETS = {BICUBIC: 0.66, GAUSSIAN: 0.87, RAINFARM: 0.90, UNET: 0.95}
Methods = dict[str, Merit]

# --- the methods -------------------------------------------------------------------------------


def cascade(options: argparse.Namespace, tiles: Tensor) -> tuple[Cascade, float]:
    """The trained model, and the wall-clock seconds that measuring, training and calibrating it took."""
    if options.model:
        return commands.open_model(options.model, options.device), 60 * options.minutes
    began = time.monotonic()
    field = etopo.tiles("train", options.source).expand_dims(channel=["elevation"], axis=1)
    return train_cascade(field, options.out / "model", options, levels=LEVELS + 1), time.monotonic() - began


def unets(options: argparse.Namespace, tiles: Tensor, seconds: float) -> list[Refiner]:
    """Single-stage models, each trained for the whole time that the cascade took, as they come out and shifted."""
    from benchmarks.peers.unet import SuperResolution

    variants: list[Refiner] = []
    for scale in ("global", "local") if options.unet_scale == "both" else (options.unet_scale,):
        model = SuperResolution(scale, seconds, options.device, options.seed)
        began = time.process_time()
        model.fit(tiles)
        # CPU seconds well below threads x wall-clock: another job took the cores, and the comparison is not fair.
        busy = f"{time.process_time() - began:.0f} CPU s of {torch.get_num_threads()} threads x {seconds:.0f} s"
        print(f"{model.name}: {sum(p.numel() for p in model.network.parameters())} parameters, {busy}")
        shifted = copy.copy(model)
        shifted.shifted = True
        variants += [model, shifted]
    return variants


def best(variants: Sequence[Refiner], truth: Tensor, members: int, seed: int) -> Refiner:
    """The variant with the smallest CRPS on the validation tiles; all scores are printed."""
    coarse, by_score = block_mean(truth, FACTOR), {}
    for variant in variants:
        merit = Merit(variant.name, variant.refine(coarse, members, seed), truth, coarse)
        by_score[float(merit.crps.mean())] = variant
        print(
            f"  CRPS {float(merit.crps.mean()):8.2f} m, block means {merit.consistency:.0e}  {merit.name}", flush=True
        )
    return by_score[min(by_score)]


def ensembles(options: argparse.Namespace, model: Cascade, seconds: float) -> Methods:
    """Every method on the tiles of the band asked for."""
    from benchmarks.peers import rainfarm

    few = 3 if options.quick else None
    tiles = etopo.tensor(etopo.tiles("train", options.source))
    validation, truth = (etopo.tensor(etopo.tiles(b, options.source), few) for b in ("validation", options.band))
    coarse = block_mean(truth, FACTOR)
    methods = {
        BLOCKS: Merit(BLOCKS, block_constant(coarse, FACTOR)[None], truth, coarse),
        BICUBIC: Merit(BICUBIC, bicubic(coarse, FACTOR)[None], truth, coarse),
    }
    peers: dict[str, list[Refiner]] = {GAUSSIAN: [*gaussian.variants()], RAINFARM: [*rainfarm.variants()]}
    for variant in (variant for variants in peers.values() for variant in variants):
        variant.fit(tiles)
    if not options.skip_unet:
        peers[UNET] = unets(options, tiles, seconds)
    for key, variants in peers.items():
        four = torch.linspace(0, len(validation) - 1, min(4, len(validation))).long()
        peer = best(variants, validation[four] if key == UNET else validation, options.members, options.seed + 1)
        ensemble = peer.refine(coarse, options.members, options.seed)
        methods[key] = Merit(peer.name, ensemble, truth, coarse, peer.evaluations)
    with progress.bar("refining", len(coarse) * options.members) as show:
        ensemble = model.refine(coarse, LEVELS, options.members, options.seed, watch=show)
    return methods | {OURS: Merit(OURS, ensemble, truth, coarse, LEVELS * model.sampler.evaluations)}


# --- the rows ----------------------------------------------------------------------------------


def method_rows(methods: Methods) -> Iterator[Row]:
    """All methods, and CRPS against every peer: pooled over tiles, on land, and on how many tiles it is smaller."""
    ours = methods[OURS]
    for key, peer in methods.items():
        if key != OURS:
            figures = {
                "CRPS ratio": ratio(ours.crps, peer.crps, high=CRPS_TARGETS.get(key)),
                "on land": ratio(ours.land_crps, peer.land_crps),
                "better tiles": Figure(int((ours.crps < peer.crps).sum())),
                "of": Figure(len(ours.crps)),
            }
            yield Row("CRPS over that of a peer", key, figures, text="" if peer.name == key else peer.name)
    for key, merit in methods.items():
        figures = {"CRPS": mean(merit.crps), "on land": ratio(merit.land_crps, merit.land_share)}
        figures["energy"] = mean(merit.energy)
        if merit.probabilistic:
            figures["spread/skill"] = Figure(float(merit.spread.pooled))
        figures |= {f"octave {i}": Figure(float(v)) for i, v in enumerate(merit.octaves.value[:3], start=1)}
        figures |= {f"kurtosis {i}": Figure(float(v)) for i, v in enumerate(merit.kurtosis[2].value)}
        figures |= {"slope": Figure(float(merit.slopes[2].value)), "block means": Figure(merit.consistency)}
        yield Row("methods", key, figures | {"evaluations": Figure(merit.evaluations)})


def shape_rows(ours: Merit) -> Iterator[Row]:
    """Calibration, power per octave, tails of the detail, flat places."""
    figures = {"value": figure((ours.spread.pooled, ours.spread.error), low=0.95, high=1.05)}
    if ours.land.any():
        figures["on land"] = figure((ours.land_spread.pooled, ours.land_spread.error))
    yield Row("calibration", "spread / skill", figures)
    off = ours.ranks.relative - 1
    total = float((off / ours.ranks.error).square().sum())
    figures = {"value": Figure(total, high=float(chi2.ppf(0.95, len(off) - 1)))}
    figures["largest deviation"] = Figure(float(off.abs().max()))
    bins = " ".join(f"{v:.2f}" for v in ours.ranks.relative)
    text = f"rank histogram, sum of (deviation / error)^2, to be among 95 % of flat ones: {bins}"
    yield Row(
        "calibration", "rank histogram", figures | {"largest deviation": Figure(float(off.abs().max()))}, text=text
    )
    yield from octave_rows("power over that of the truth", [*zip(*ours.octaves, strict=True)], 0.15)
    theirs, true, ratios = ours.kurtosis
    for level in range(LEVELS):
        figures = {"value": figure((ratios.value[level], ratios.error[level]), low=1 / 1.3, high=1.3)}
        figures |= {"made": Figure(float(theirs.value[level])), "truth": Figure(float(true.value[level]))}
        yield Row("kurtosis of detail over that of the truth", f"level {level}", figures)
    slope, truth, ratios = ours.slopes
    figures = {"value": figure(ratios, low=0.75, high=1.25), "made, m a site": Figure(float(slope))}
    title = "median slope of the ocean floor over that of the truth"
    yield Row(title, OURS, figures | {"truth": Figure(float(truth))})


def coast_rows(ours: Merit) -> Iterator[Row]:
    """Boundary, islands and lakes of what lies above a height, members over truth: what the eye sees at once."""
    levels = torch.tensor(HEIGHTS)
    true = minkowski(ours.truth, levels, "reflect")[:, 0]
    made = torch.stack([minkowski(member, levels, "reflect")[:, 0] for member in ours.ensemble]).mean(0)
    for i, height in enumerate(HEIGHTS):
        figures = {}
        for name, high in (("perimeter", 1.3), ("islands", 1.5), ("lakes", 1.5)):
            column = FUNCTIONALS.index(name)
            bounds = {"high": high} if height == 0 else {}
            figures[name] = ratio(made[:, i, column], true[:, i, column], **bounds)
        yield Row("what lies above a height, over that of the truth", f"{height:g} m", figures)


def octave_rows(title: str, pairs: Sequence[Pair], finest: float = 0.1) -> Iterator[Row]:
    for octave, pair in enumerate(pairs):
        off = 0.1 if octave else finest
        what = f"{2 ** (octave + 1)} .. {2 ** (octave + 2)} sites"
        yield Row(title, what, {"value": figure(pair, low=1 - off, high=1 + off)})


def cost_rows(model: Cascade, ours: Merit, largest: int) -> Iterator[Row]:
    """Block means in both precisions; evaluations; seconds per megapixel of refining x8, one member at a time."""
    coarse, title = ours.coarse[:2].double(), "block-mean error over the spread of the coarse tile"
    double = Merit(OURS, model.refine(coarse, LEVELS, 2, 0), ours.truth[:2], coarse).consistency
    yield Row(title, "float32", {"value": Figure(ours.consistency, high=5e-6)})
    yield Row(title, "float64", {"value": Figure(double, high=1e-12)})
    yield Row("cost", "evaluations a level", {"value": Figure(model.sampler.evaluations)})
    costs = []
    for side in (n for n in LATTICES if n <= largest):
        field = mirrored(ours.coarse[:1], side // FACTOR)
        seconds = median(lambda field=field: model.refine(field, LEVELS, 1, 0), 5 if side <= 1024 else 3)
        costs.append(seconds / (side * side / 1e6))
        yield Row("cost", f"s per megapixel and member, {side}^2", {"value": Figure(costs[-1], high=1.5)})
    yield Row("cost", "dearest over cheapest lattice", {"value": Figure(max(costs) / min(costs), high=1.3)})


def generation_rows(model: Cascade, tiles: Tensor, side: int, count: int, seed: int) -> Iterator[Row]:
    """Power per octave of fields from nothing, cut into tiles like the training ones, over that of those."""
    fields, n = model.sample((side, side), count, seed).cpu(), etopo.SIDE
    start = (side % n) // 2
    cut = fields[:, :, start:, start:].unfold(2, n, n).unfold(3, n, n).transpose(1, 3).reshape(-1, 1, n, n)
    per_field = (
        octave_power(cut, "reflect")[1].unflatten(0, (count, -1)).mean(1)
    )  # tiles of a field are not independent
    generated, true = (jackknife(lambda m: m, each) for each in (per_field, octave_power(tiles, "reflect")[1]))
    pairs = [quotient(a, b) for a, b in zip(zip(*generated, strict=True), zip(*true, strict=True), strict=True)]
    values = [(f.value, math.nan if f.error is None else f.error) for f in pairs]
    yield from octave_rows("power of generated fields over that of training", values)


def mirrored(coarse: Tensor, side: int) -> Tensor:
    """A coarse field of any size: the tile and its mirror images."""
    n = coarse.shape[-1]
    index = torch.arange(side) % (2 * n)
    index = torch.minimum(index, 2 * n - 1 - index)
    return coarse[:, :, index][:, :, :, index]


# --- output ------------------------------------------------------------------------------------


def write(path: Path, methods: Methods) -> None:
    """Share of land, CRPS of each method, and what land contributes to it, one line a tile."""
    columns = [methods[OURS].land_share, *(m.crps for m in methods.values()), *(m.land_crps for m in methods.values())]
    names = ["land share", *methods, *(f"{key}, of land" for key in methods)]
    header = ",".join(f'"{name}"' for name in names)
    np.savetxt(path, torch.stack(columns, 1).numpy(), "%.3f", ",", header=header, comments="")


def draw(path: Path, methods: Methods) -> None:
    """Truth, coarse, bicubic, Gaussian, U-Net, two members, spread."""
    from benchmarks.fields import picture

    ours = methods[OURS]
    panels = {"truth": ours.truth}
    panels |= {key.split(",")[0]: methods[key].ensemble[0] for key in (BICUBIC, GAUSSIAN, UNET) if key in methods}
    panels |= {f"{OURS}, member {m + 1}": ours.ensemble[m] for m in range(2)}
    picture.draw(path, panels, ours.coarse, ours.ensemble.std(0))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    if options.quick:
        options.minutes = min(options.minutes, 0.5)
    tiles = etopo.tensor(etopo.tiles("train", options.source))
    model, seconds = cascade(options, tiles)
    yield Row("the cascade", options.model or OURS, training(model), text=f"{seconds:.0f} s in all")
    methods = ensembles(options, model, seconds)
    yield from method_rows(methods)
    yield from shape_rows(methods[OURS])
    yield from coast_rows(methods[OURS])
    yield from cost_rows(model, methods[OURS], 512 if options.quick else 4096 if options.large else 2048)
    side, count = (480, 1) if options.quick else (1024, 8)
    yield from generation_rows(model, tiles, side, count, options.seed)
    write(options.out / "tiles.csv", methods)
    draw(options.out / "terrain.png", methods)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        minutes=(5.0, "training of the cascade; the U-Net gets as long in all"),
        members=(8, ""),
        band=("validation", "test is for the final numbers only", ["validation", "test"]),
        model=(None, "a trained cascade (a folder, or the name of one that ships) instead of training"),
        skip_unet=(False, ""),
        unet_scale=("both", "both: the better on validation", ["both", "global", "local"]),
        quick=(False, "30 s of training, 3 tiles, small lattices: does everything run?"),
        large=(False, "time the lattice 4096^2 too"),
        **etopo.OPTIONS,
    )
