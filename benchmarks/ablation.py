"""Schedule x basis on data that must be learned: error against the number of evaluations.

    python benchmarks/ablation.py --record

Critical phi^4 on 32 x 32 periodic sites and terrain in crops of 32 x 32 sites. Every process of the table carries the
whole field, with the same U-Net (diffusers' ``UNet2DModel``, convolutions that wrap or reflect), the same loss and
the same training time; the cascade of lifts has that time too. All are sampled with ``TrigonometricFlow``. Two errors:
the root mean square of the log power of each octave over that of held-out data, for all scales; and what is local,
the bias of S / N of phi^4 (against a long Monte Carlo run) or the log of the kurtosis of the finest Haar detail of
terrain over that of held-out data. ``data`` are the errors of as many held-out fields. An evaluation is one of the
whole lattice; n a level of a cascade cost 4 n / 3. The second cascade is the first one with its temperatures fitted for
each number of evaluations (on training fields, ``rgdm.model.cascade.calibrate``), as ``rgdm train`` does.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from lattice import KNOWN
from matplotlib.figure import Figure
from record import Row, append, arguments, run, stamp, table
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rgdm.data import reference
from rgdm.data.layout import unwrap
from rgdm.evaluate.detail import detail_kurtosis
from rgdm.evaluate.spectra import octave_power
from rgdm.model.cascade.calibrate import calibrate
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.denoiser import Denoiser
from rgdm.model.networks.backbone import Backbone
from rgdm.model.samplers.reverse import TrigonometricFlow
from rgdm.physics.actions import Phi4
from rgdm.plots import figure_to_png
from rgdm.plots.style import BASELINES, GREY, INK, LEVELS, MODEL, PAGE, paper
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
from rgdm.progress import bar
from rgdm.scale.basis import Basis, Cosine, Fourier, Pyramid, Site
from rgdm.scale.boundary import Boundary
from rgdm.scale.operators.block import BlockSpin
from rgdm.train import Budget, Trainer

SIDE, OCTAVES, PYRAMID = 32, 5, 3
CASCADE, FITTED = "cascade of lifts", "cascade, temperatures fitted"


class Data(NamedTuple):
    """Fields of unit variance and zero mean, ``(B, 1, 32, 32)``."""

    name: str
    boundary: Boundary
    train: Tensor
    held_out: Tensor
    scale: float
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


def phi4(seed: int) -> Data:
    fields = torch.cat([unwrap(reference.phi4(n, SIDE, seed + i), 1, 2)[0] for i, n in enumerate((8192, 2048))])
    scale, action = float(fields[:8192].std()), Phi4.critical()
    truth = KNOWN["action_per_site"][0]

    def local(made: Tensor) -> float:
        return float(action.energy(scale * made.double()).mean()) / SIDE**2 - truth

    return Data("phi4", "periodic", fields[:8192] / scale, fields[8192:] / scale, scale, local)


def terrain(seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    parts = [unwrap(reference.terrain(part), 1, 2)[0] for part in ("train", "held-out")]
    mean, scale = float(parts[0].mean()), float(parts[0].std())
    train, held_out = ((_crops(p, n, generator) - mean) / scale for p, n in zip(parts, (8192, 2048), strict=True))
    truth = detail_kurtosis(held_out, BlockSpin(2), 1).value.log()

    def local(made: Tensor) -> float:
        return float(detail_kurtosis(made, BlockSpin(2), 1).value.log() - truth)

    return Data("terrain", "reflect", train, held_out, scale, local)


def _crops(tiles: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random crops, mirrored and transposed at random."""
    tile = torch.randint(len(tiles), (count,), generator=generator)
    corner = torch.randint(tiles.shape[-1] - SIDE + 1, (count, 2), generator=generator)
    turned = torch.randint(2, (count, 3), generator=generator).bool()
    made = []
    for n, (y, x), (up, left, across) in zip(tile, corner.tolist(), turned.tolist(), strict=True):
        crop = tiles[n, :, y : y + SIDE, x : x + SIDE]
        crop = crop.flip(1) if up else crop
        crop = crop.flip(2) if left else crop
        made.append(crop.transpose(1, 2) if across else crop)
    return torch.stack(made)


# --- the processes ---------------------------------------------------------------------------


class UNet(Backbone):
    """diffusers' U-Net, its edges as the boundary says."""

    def __init__(self, boundary: Boundary, channels: tuple[int, ...] = (16, 32, 48)) -> None:
        super().__init__()
        self.net = UNet2DModel(
            in_channels=1,
            out_channels=1,
            block_out_channels=channels,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=8,
            add_attention=False,
        )
        for module in list(self.net.modules()):
            for name, conv in module.named_children():
                if isinstance(conv, torch.nn.Conv2d) and conv.kernel_size != (1, 1):
                    setattr(module, name, _wrapped(conv, boundary))
        torch.nn.init.zeros_(self.net.conv_out.weight)

    def forward(self, x: Tensor, t: Tensor, features: Tensor | None = None) -> Tensor:
        return self.net(x, 1000 * t).sample


def _wrapped(conv: torch.nn.Conv2d, boundary: Boundary) -> torch.nn.Conv2d:
    """The same layer, untrained, that goes on beyond the edges."""
    mode = "circular" if boundary == "periodic" else "reflect"
    return torch.nn.Conv2d(conv.in_channels, conv.out_channels, 3, conv.stride[0], 1, padding_mode=mode)


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


# --- training and sampling -------------------------------------------------------------------


def train(process: ForwardProcess, data: Data, seconds: float, seed: int, device: str) -> tuple[Denoiser, int]:
    """AdamW, warm-up and cosine decay, averaged weights, for a wall-clock time; the steps done."""
    torch.manual_seed(seed)
    denoiser = Denoiser(process, UNet(data.boundary)).to(device)
    weights: list[Tensor] = list(denoiser.backbone.parameters())
    average = [p.detach().clone() for p in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), fused=True)
    batch, step, began = 16, 0, time.monotonic()
    while (spent := (time.monotonic() - began) / seconds) < 1:
        x = data.train[torch.randint(len(data.train), (batch,))].to(device)
        t = ((torch.arange(batch) + torch.rand(1)) / batch).to(device)
        loss = denoiser.loss(x, t, torch.randn(x.shape).to(device)).mean()
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * spent)) + 1e-3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        get_ema_multi_avg_fn(min(0.999, (1 + step) / (10 + step)))(average, weights, step)
    with torch.no_grad():
        for weight, mean in zip(weights, average, strict=True):
            weight.copy_(mean)
    return denoiser.eval(), step


@torch.no_grad()
def sample(denoiser: Denoiser, evaluations: int, count: int, seed: int, device: str) -> Tensor:
    """Fields from noise of the amplitude that the process ends with; in double precision but for the network."""
    generator, made = torch.Generator().manual_seed(seed), []
    for some in torch.arange(count).split(64):
        noise = torch.randn(len(some), 1, SIDE, SIDE, generator=generator).to(device)
        z = TrigonometricFlow(evaluations)(denoiser, denoiser.process, denoiser.process.start(noise))
        made.append(denoiser.process.basis.synthesize(z).cpu())
    return torch.cat(made)


def trained_cascade(data: Data, seconds: float, folder: Path, seed: int, device: str) -> tuple[Cascade, int]:
    """Down to 4 x 4 between edges, to one site on a torus; as ``rgdm train`` makes it, without its calibration."""
    torch.manual_seed(seed)
    model = Cascade(levels=5 if data.boundary == "periodic" else 3, boundary=data.boundary, shared=False)
    model.fit(data.train)
    trainer = Trainer(model, data.train, folder, Budget(None, seconds / 60), seed, device=device)
    trainer.run()
    return Cascade.from_pretrained(folder).to(device), trainer.step


def fitted(model: Cascade, data: Data, evaluations: int) -> Cascade:
    """With the temperatures that suit so many evaluations."""
    model.sampler = TrigonometricFlow(evaluations)
    calibrate(model, data.train, sites=250_000)
    return model


class Curve(NamedTuple):
    """Both errors for each number of evaluations."""

    steps: int
    spectral: list[float]
    local: list[float]


def ablate(data: Data, options: argparse.Namespace) -> dict[str, Curve]:
    """Train and sample everything, one after the other; what a former run has finished is read."""
    stored = options.out / f"{data.name}.json"
    found = {k: Curve(*v) for k, v in json.loads(stored.read_text()).items()} if stored.is_file() else {}
    everything: dict[str, ForwardProcess | None] = {CASCADE: None, FITTED: None, **processes(data)}
    with bar(data.name, len(everything)) as show:
        for done, (name, process) in enumerate(everything.items(), start=1):
            if name not in found:
                found[name] = curve(data, name, process, options)
                stored.write_text(json.dumps(found))
            show(done, len(everything))
    return {name: found[name] for name in everything}


def curve(data: Data, name: str, process: ForwardProcess | None, options: argparse.Namespace) -> Curve:
    seed, device, count = options.seed, options.device, options.samples
    folder = options.out / f"cascade-{data.name}"
    if name == FITTED:
        model, steps = Cascade.from_pretrained(folder).to(device), 0
        made = (fitted(model, data, n).sample((SIDE, SIDE), count, seed).cpu() for n in options.evaluations)
    elif process is None:
        model, steps = trained_cascade(data, options.seconds, folder, seed, device)
        made = (model.sample((SIDE, SIDE), count, seed, n).cpu() for n in options.evaluations)
    else:
        denoiser, steps = train(process, data, options.seconds, seed, device)
        made = (sample(denoiser, n, count, seed, device) for n in options.evaluations)
    errors = [data.errors(fields) for fields in made]
    return Curve(steps, [e[0] for e in errors], [e[1] for e in errors])


# --- output ----------------------------------------------------------------------------------


def rows_of(data: Data, found: dict[str, Curve], options: argparse.Namespace) -> list[Row]:
    counts = ", ".join(map(str, options.evaluations))
    floor = data.errors(data.held_out[: options.samples])
    rows = [Row(f"{data.name}, data: spectral; local", "", f"{floor[0]:.3f}; {floor[1]:+.3f}")]
    for name, made in found.items():
        said = ", ".join(f"{e:.3f}" for e in made.spectral) + "; " + ", ".join(f"{e:+.3f}" for e in made.local)
        what = f"{data.name}, {name}: spectral; local error after {counts}"
        rows.append(Row(what, "", f"{said} ({made.steps} steps)" if made.steps else said))
    return rows


def draw(path: Path, found: dict[str, dict[str, Curve]], counts: list[int], floors: list[tuple[float, float]]) -> None:
    """Both errors of both data against evaluations; dashed those of the data."""
    names = list(next(iter(found.values())))
    colours = dict(zip(names, [LEVELS[1], MODEL, INK, GREY, *BASELINES, LEVELS[2]], strict=False))
    with paper():
        figure = Figure(figsize=(PAGE, 2.3))
        panels = iter(figure.subplots(1, 4))
        for (data, curves), floor in zip(found.items(), floors, strict=True):
            for part, (scale, level) in enumerate(zip(("all scales", "local"), floor, strict=True)):
                axes = next(panels)
                for name, made in curves.items():
                    values = [abs(e) for e in (made.local if part else made.spectral)]
                    cost, wide = ([4 * n / 3 for n in counts], 1.6) if name in (CASCADE, FITTED) else (counts, 1.0)
                    axes.loglog(cost, values, "o-", ms=2.5, color=colours[name], label=name, lw=wide)
                axes.axhline(abs(level), color=GREY, lw=0.8, ls=(0, (2, 2)))
                axes.set(xlabel="evaluations", title=f"{data}: {scale}")
                axes.minorticks_off()
        first = figure.axes[0]
        first.set_ylabel("error")
        figure.legend(*first.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=5)
        figure.subplots_adjust(wspace=0.45)
    path.write_bytes(figure_to_png(figure))


def parse() -> argparse.Namespace:
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=180.0, help="of training, each")
    add("--samples", type=int, default=256, help="generated fields")
    add("--evaluations", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/ablation"), help="finished parts in it are not done again")
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun = stamp(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    found, floors, rows = {}, [], []
    for data in (phi4(options.seed), terrain(options.seed)):
        found[data.name] = ablate(data, options)
        floors.append(data.errors(data.held_out[: options.samples]))
        rows += rows_of(data, found[data.name], options)
    print(f"\n{table(rows)}")
    draw(options.out / "ablation.png", found, options.evaluations, floors)
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
