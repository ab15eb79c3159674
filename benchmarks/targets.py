"""The targets of the terrain benchmark, and the rows that say what was measured against them."""

import statistics
import time
from collections.abc import Callable

import etopo
import torch
from merit import LEVELS, Merit
from record import Row, number
from scipy.stats import chi2
from torch import Tensor

from rgdm.evaluate import Estimate, jackknife, octave_power
from rgdm.model.cascade.cascade import Cascade

LATTICES = (256, 512, 1024, 2048, 4096)
OURS, BICUBIC, GAUSSIAN, RAINFARM, UNET = "rgdm", "bicubic", "Gaussian", "RainFARM", "U-Net"
CRPS_TARGETS = {BICUBIC: 0.66, GAUSSIAN: 0.87, RAINFARM: 0.90, UNET: 0.95}
FACTOR = 2**LEVELS


def crps_rows(found: dict[str, Merit]) -> list[Row]:
    """CRPS against every peer: pooled over tiles, on land, and on how many tiles it is smaller."""
    ours, rows = found[OURS], []
    land = jackknife(torch.div, ours.land_crps, ours.land_share)
    rows.append(Row("CRPS, m", "", f"{_mean(ours.crps)}, land {_pair(land, 2)}"))
    for key, target in CRPS_TARGETS.items():
        if key in found:
            peer = found[key]
            ratio, land = (jackknife(torch.div, *pair) for pair in _pairs(ours, peer))
            better = int((ours.crps < peer.crps).sum())
            measured = f"{_pair(ratio)}, land {_pair(land)}; better on {better} of {len(ours.crps)} tiles"
            rows.append(Row(f"CRPS over {peer.name}", f"<= {target:.2f}", measured, float(ratio.value) <= target))
    return rows


def calibration_rows(ours: Merit) -> list[Row]:
    """Spread over skill, and whether the rank histogram is flat within its error."""
    value, error = float(ours.spread.pooled), float(ours.spread.error)
    land = number(float(ours.land_spread.pooled), float(ours.land_spread.error)) if ours.land.any() else "none"
    ranks = ours.ranks
    z = (ranks.relative - 1) / ranks.error
    worst, total = float((ranks.relative - 1).abs().max()), float(z.square().sum())
    bound = float(chi2.ppf(0.95, len(z) - 1))
    bins = " ".join(f"{v:.2f}" for v in ranks.relative)
    return [
        Row("spread / skill", "0.95 .. 1.05", f"{number(value, error)}, land {land}", 0.95 <= value <= 1.05),
        Row(
            "rank histogram, sum of (deviation / error)^2",
            f"<= {bound:.1f} (95 % of flat ones)",
            f"{total:.1f}; largest deviation {worst:.2f}; {bins}",
            total <= bound,
        ),
    ]


def shape_rows(ours: Merit) -> list[Row]:
    """Power per octave, tails of the detail, flat places."""
    rows = []
    for octave, (value, error) in enumerate(zip(*(part.tolist() for part in ours.octaves), strict=True)):
        tolerance = 0.15 if octave == 0 else 0.10
        what = f"power over truth, wavelengths {2 ** (octave + 1)} .. {2 ** (octave + 2)} sites"
        rows.append(Row(what, f"1 +- {tolerance:.2f}", number(value, error), abs(value - 1) <= tolerance))
    own, true, ratio = ours.kurtosis
    for level in range(LEVELS):
        value = float(ratio.value[level])
        both = f"({own.value[level]:.0f} against {true.value[level]:.0f})"
        measured = f"{number(value, float(ratio.error[level]), 2)} {both}"
        met = 1 / 1.3 <= value <= 1.3
        rows.append(Row(f"kurtosis of detail over truth, level {level}", "within a factor 1.3", measured, met))
    median, true_median, ratio = ours.flat
    measured = f"{_pair(ratio)} ({median:.1f} against {true_median:.1f} m a site)"
    met = abs(float(ratio.value) - 1) <= 0.25
    rows.append(Row("median slope of the ocean floor over truth", "1 +- 0.25", measured, met))
    return rows


def consistency_rows(model: Cascade, ours: Merit) -> list[Row]:
    """Block means in single and in double precision."""
    coarse = ours.coarse[:2].double()
    double = Merit(OURS, model.refine(coarse, LEVELS, 2, 0), ours.truth[:2], coarse).consistency
    single = ours.consistency
    return [
        Row("block-mean error over spread of the coarse tile, float32", "<= 5e-6", f"{single:.1e}", single <= 5e-6),
        Row("the same, float64", "<= 1e-12", f"{double:.1e}", double <= 1e-12),
    ]


def cost_rows(model: Cascade, coarse: Tensor, largest: int) -> list[Row]:
    """Evaluations a level, and seconds per megapixel and member of refining x8, one member at a time."""
    count = model.sampler.evaluations
    rows, costs = [Row("evaluations a level", "<= 3", str(count), count <= 3)], []
    for side in (n for n in LATTICES if n <= largest):
        field = mirrored(coarse[:1], side // FACTOR)
        seconds = timed(lambda field=field: model.refine(field, LEVELS, 1, 0), runs=5 if side <= 1024 else 3)
        costs.append(seconds / (side * side / 1e6))
        rows.append(Row(f"s per megapixel and member, {side}^2", "<= 1.5", f"{costs[-1]:.2f}", costs[-1] <= 1.5))
    flat = max(costs) / min(costs)
    rows.append(Row("the same, dearest over cheapest lattice", "flat (<= 1.3)", f"{flat:.2f}", flat <= 1.3))
    return rows


def generation_rows(model: Cascade, train: Tensor, side: int, count: int, seed: int) -> list[Row]:
    """Power per octave of fields from nothing, cut into tiles like the training ones, over that of those."""
    fields = model.sample((side, side), count, seed).cpu()
    n = etopo.SIDE
    start = (side % n) // 2
    cut = fields[:, :, start:, start:].unfold(2, n, n).unfold(3, n, n).transpose(1, 3).reshape(-1, 1, n, n)
    per_field = (
        octave_power(cut, "reflect")[1].unflatten(0, (count, -1)).mean(1)
    )  # tiles of one field are not independent
    made, true = (jackknife(lambda mean: mean, each) for each in (per_field, octave_power(train, "reflect")[1]))
    ratio = made.value / true.value
    error = ratio * ((made.error / made.value) ** 2 + (true.error / true.value) ** 2).sqrt()
    return [
        Row(
            f"generated {side}^2: power over training, wavelengths {2 ** (j + 1)} .. {2 ** (j + 2)} sites",
            "1 +- 0.10",
            number(float(ratio[j]), float(error[j])),
            abs(float(ratio[j]) - 1) <= 0.10,
        )
        for j in range(len(ratio))
    ]


def method_rows(found: dict[str, Merit]) -> list[Row]:
    """One line for each method, without targets."""
    rows = []
    for merit in found.values():
        octaves = " ".join(f"{v:.2f}" for v in merit.octaves.value[:3])
        tails = " ".join(f"{v:.2f}" for v in merit.kurtosis[2].value)
        spread = f"{float(merit.spread.pooled):.2f}" if merit.probabilistic else "none"
        land = _pair(jackknife(torch.div, merit.land_crps, merit.land_share), 1)
        measured = (
            f"CRPS {_mean(merit.crps, 1)} m, land {land}; energy {_mean(merit.energy, 1)}; spread/skill {spread}; "
            f"octaves {octaves}; kurtosis {tails}; ocean slope {float(merit.flat[2].value):.2f}; "
            f"consistency {merit.consistency:.0e}; {merit.evaluations} evaluations"
        )
        rows.append(Row(merit.name, "", measured))
    return rows


def _pairs(ours: Merit, peer: Merit) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (ours.crps, peer.crps), (ours.land_crps, peer.land_crps)


def _mean(per_tile: Tensor, digits: int = 2) -> str:
    return _pair(jackknife(lambda mean: mean, per_tile), digits)


def _pair(estimate: Estimate, digits: int = 3) -> str:
    return number(float(estimate.value), float(estimate.error), digits)


def mirrored(coarse: Tensor, side: int) -> Tensor:
    """A coarse field of any size: the tile and its mirror images."""
    n = coarse.shape[-1]
    index = torch.arange(side) % (2 * n)
    index = torch.minimum(index, 2 * n - 1 - index)
    return coarse[:, :, index][:, :, :, index]


def timed(run: Callable[[], object], runs: int) -> float:
    """Median seconds after one run to warm up."""
    seconds = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])
