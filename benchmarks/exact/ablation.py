"""Schedule x basis on data that must be learned: which errs least, after how many evaluations?

    python -m benchmarks ablation --record

Critical phi^4 on 32 x 32 periodic sites and terrain in crops of 32 x 32 sites. Every process of the table carries the
whole field, with the same U-Net (``peers.whole_field``: diffusers' ``UNet2DModel``, convolutions that wrap or
reflect), the same loss and the same training time; the cascade of lifts has that time too. All are sampled with
``AdamsBashforth``. Two errors: the root mean square of the log power of each octave over that of held-out data, for all
scales; and what is local, the bias of S / N of phi^4 (against a long Monte Carlo run) or the log of the kurtosis of the
finest Haar detail of terrain over that of held-out data. ``data`` are the errors of as many held-out fields. An
evaluation is one of the whole lattice; n a level of a cascade cost 4 n / 3. The second cascade is the first one with
its free temperatures fitted for each number of evaluations (on training fields, ``rgdm.model.cascade.calibrate``), as
``rgdm train`` does.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.peers.whole_field import WholeField
from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import convergence
from benchmarks.shared.lattice import CRITICAL
from benchmarks.shared.training import phi4, tensor, uncalibrated
from benchmarks.study import study
from rgdm.data import reference
from rgdm.evaluate.detail import detail_kurtosis
from rgdm.evaluate.spectra import octave_power
from rgdm.model.cascade.calibrate import calibrate_free
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.plots.style import PAGE
from rgdm.process.forward import ForwardProcess
from rgdm.process.schedule import (
    ExactRG,
    HeatDissipation,
    Schedule,
    SpectrumMatched,
    Staggered,
    Trigonometric,
    VariancePreserving,
)
from rgdm.scale.basis import Basis, Cosine, Fourier, Pyramid, Site
from rgdm.scale.boundary import Boundary
from rgdm.scale.operators.block import BlockSpin

SIDE, OCTAVES, PYRAMID = 32, 5, 3
ACTION_PER_SITE = -0.55495
"""Of a long Monte Carlo run."""
CASCADE, FITTED = "cascade of lifts", "cascade, temperatures fitted"
SETS = (8192, 2048)
"""Training and held-out fields."""


class Data(NamedTuple):
    """Fields of unit variance and zero mean, ``(B, 1, 32, 32)``."""

    name: str
    boundary: Boundary
    train: Tensor
    held_out: Tensor
    local: Callable[[Tensor], float]
    """The second error of generated fields."""

    def power(self, fields: Tensor) -> Tensor:
        return octave_power(fields, self.boundary)[1].mean(0)

    def errors(self, fields: Tensor) -> tuple[float, float]:
        """Both errors; ``nan`` of fields that are not finite."""
        if not bool(fields.isfinite().all()):
            return math.nan, math.nan
        ratio = self.power(fields) / self.power(self.held_out)
        return float(ratio.log().square().mean().sqrt()), self.local(fields)


def lattice_data(seed: int) -> Data:
    fields = [tensor(phi4(count, SIDE, seed + i)) for i, count in enumerate(SETS)]
    scale = float(fields[0].std())

    def local(generated: Tensor) -> float:
        return float(CRITICAL.energy(scale * generated.double()).mean()) / SIDE**2 - ACTION_PER_SITE

    return Data("phi4", "periodic", fields[0] / scale, fields[1] / scale, local)


def terrain_data(seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    parts = [tensor(reference.terrain(part)) for part in ("train", "held-out")]
    mean, scale = parts[0].mean(), parts[0].std()
    train, held_out = ((crops(p, n, generator) - mean) / scale for p, n in zip(parts, SETS, strict=True))

    def kurtosis(fields: Tensor) -> float:
        return float(detail_kurtosis(fields, BlockSpin(2), 1).value.log())

    truth = kurtosis(held_out)
    return Data("terrain", "reflect", train, held_out, lambda generated: kurtosis(generated) - truth)


def crops(tiles: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random crops, mirrored and transposed at random."""
    tile = torch.randint(len(tiles), (count,), generator=generator)
    corner = torch.randint(tiles.shape[-1] - SIDE + 1, (count, 2), generator=generator)
    turned = torch.randint(2, (count, 3), generator=generator).bool()
    pieces = []
    for n, (y, x), (*mirrored, across) in zip(tile, corner.tolist(), turned.tolist(), strict=True):
        crop = tiles[n, :, y : y + SIDE, x : x + SIDE].flip([axis for axis, yes in enumerate(mirrored, 1) if yes])
        pieces.append(crop.transpose(1, 2) if across else crop)
    return torch.stack(pieces)


def processes(data: Data) -> dict[str, ForwardProcess]:
    """Each by ``basis, schedule``; without wavenumbers a schedule is the same in all bases."""
    waves: Basis = Fourier() if data.boundary == "periodic" else Cosine()
    pyramid = Pyramid(BlockSpin(2), PYRAMID)
    chosen: dict[str, tuple[Basis, Schedule]] = {
        "any, Trigonometric": (Site(), Trigonometric()),
        "any, VariancePreserving": (Site(), VariancePreserving()),
        "waves, SpectrumMatched": (waves, SpectrumMatched(measured(data, waves))),
        "waves, Staggered 2": (waves, Staggered(2.0, OCTAVES)),
        "waves, HeatDissipation": (waves, HeatDissipation(4.0)),
        "waves, ExactRG": (waves, ExactRG(0.03, 0.1)),
        "pyramid, Staggered 2": (pyramid, Staggered(2.0, PYRAMID + 1)),
    }
    return {name: ForwardProcess(*parts) for name, parts in chosen.items()}


def measured(data: Data, waves: Basis) -> Callable[[Tensor], Tensor]:
    """A power law through the spectrum of the training data, level at the constant mode."""
    k = waves.wavenumber((SIDE, SIDE))
    power = waves.analyze(data.train[:2048].double()).square().mean((0, 1))
    inside = k > 0
    design = torch.stack([torch.ones_like(k[inside]), k[inside].log()], 1)
    offset, slope = torch.linalg.lstsq(design, power[inside].log()[:, None]).solution.flatten().tolist()
    lowest = float(k[inside].min())
    return lambda k: torch.exp(offset + slope * k.clamp(min=lowest).log())


class Curve(NamedTuple):
    """Both errors for each number of evaluations."""

    steps: int
    spectral: list[float]
    local: list[float]


def curve(data: Data, name: str, options: argparse.Namespace) -> Curve:
    """Train and sample; a cascade goes down to 4 x 4 sites between edges, to one on a torus."""
    seed, count, counts, folder = (
        options.seed,
        options.samples,
        options.evaluations,
        options.out / f"cascade-{data.name}",
    )
    if name in (CASCADE, FITTED):
        if name == CASCADE:
            levels = 5 if data.boundary == "periodic" else 3
            steps = uncalibrated(data.train, folder, options, levels, data.boundary)
        else:
            steps = 0
        model = Cascade.from_pretrained(folder).to(options.device)
        generated = [cascade_fields(model, data, n, count, seed, name == FITTED) for n in counts]
    else:
        peer = WholeField(processes(data)[name], data.boundary, options.seconds, options.device, seed)
        peer.fit(data.train)
        generated, steps = [], peer.trained
        for peer.evaluations in counts:
            generated.append(peer.sample(SIDE, count, seed))
    return Curve(steps, *(list(errors) for errors in zip(*(data.errors(fields) for fields in generated), strict=True)))


def cascade_fields(model: Cascade, data: Data, evaluations: int, count: int, seed: int, fitted: bool) -> Tensor:
    model.sampler = AdamsBashforth(evaluations)
    if fitted:
        calibrate_free(model, data.train, sites=250_000)
    return model.sample((SIDE, SIDE), count, seed).cpu()


def draw(
    path: Path, everything: dict[str, dict[str, Curve]], counts: list[int], floors: list[tuple[float, float]]
) -> None:
    """Both errors of both data against evaluations; dashed those of the data."""
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for data, curves in everything.items():
        for part, scale in enumerate(("all scales", "local")):
            lines = panels[f"{data}: {scale}"] = {}
            for name, curve in curves.items():
                errors = [abs(e) for e in (curve.local if part else curve.spectral)]
                lines[name] = [n * (4 / 3 if "cascade" in name else 1) for n in counts], errors
    levels = [abs(level) for floor in floors for level in floor]
    convergence(path, (PAGE, 2.3), panels, ("evaluations", "error"), levels)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Everything, one after the other; what a former run has finished is read."""
    everything, floors = {}, []
    for data in (lattice_data(options.seed), terrain_data(options.seed)):
        stored = options.out / f"{data.name}.json"
        curves = {k: Curve(*v) for k, v in json.loads(stored.read_text()).items()} if stored.is_file() else {}
        titles = [f"{kind} error after n evaluations, {data.name}" for kind in ("spectral", "local")]
        floors.append(data.errors(data.held_out[: options.samples]))
        for title, floor in zip(titles, floors[-1], strict=True):
            yield Row(title, "data", {"data": Figure(floor)})
        for name in (CASCADE, FITTED, *processes(data)):
            if name not in curves:
                curves[name] = curve(data, name, options)
                stored.write_text(json.dumps(curves))
            steps, *both = curves[name]
            for title, errors in zip(titles, both, strict=True):
                figures = {str(n): Figure(e) for n, e in zip(options.evaluations, errors, strict=True)}
                yield Row(title, name, figures | ({"steps": Figure(steps)} if steps else {}))
        everything[data.name] = curves
    draw(options.out / "ablation.png", everything, options.evaluations, floors)


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        seconds=(180.0, "of training, each"),
        samples=(256, "generated fields"),
        evaluations=((1, 2, 4, 8, 16, 32), ""),
    )
