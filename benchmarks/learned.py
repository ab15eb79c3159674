"""Learned coarse-graining, few evaluations, and what a level costs: on terrain and on critical phi^4.

    python benchmarks/learned.py --record

Three parts, ``--parts`` chooses. ``operators``: one cascade each with Haar, Daubechies-4, its least asymmetric kin
sym4, learned wavelets and lifting, equally long in the making (what learning the operator takes is not left for the
networks); bits per degree of freedom of held-out fields (``log_prob``, all levels and the base, so that all are
densities of the same thing; of terrain windows of 64 x 64; of phi^4 also how far above those of the exact density),
sparsity of the finest detail, code length, CRPS of refining (not the same problem for all: each is given the coarse
field of its own operator).
``evaluations``: lifts of one and two evaluations a level trained by the energy score of their samples, and distilled
from a denoiser by regression on its noise, against that denoiser with many: held-out CRPS and energy score, local bias
of phi^4, seconds (medians of five turns). All students start from the denoiser. ``economy``: multiply-adds and
parameters of each level. Errors are jackknife errors over held-out fields.
"""

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from matplotlib.figure import Figure
from record import Row, append, mean, number, ratio, run, stamp, table
from torch import Tensor
from training import Fields, data, options_of, tensor, train

from rgdm import config, progress
from rgdm.commands.training import build
from rgdm.evaluate.likelihood import windows
from rgdm.evaluate.scores import energy_score, fair_crps
from rgdm.jackknife import jackknife
from rgdm.model.cascade.calibrate import calibrate
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.diffusion import DiffusionLift
from rgdm.model.lifts.standardized import condition_channels
from rgdm.model.networks.registry import multiply_adds
from rgdm.model.samplers.reverse import TrigonometricFlow
from rgdm.physics.actions import Phi4
from rgdm.physics.observables import observables
from rgdm.physics.reweighting.free_energy import log_z_by_integration
from rgdm.plots import figure_to_png
from rgdm.plots.style import LEVELS, PAGE, bare, paper
from rgdm.scale.operators.learned import code_length, sparsity
from rgdm.scale.operators.wavelets import RotationLattice
from rgdm.train.batches import Batches

MANY = 8
SCORED = 128
"""Held-out fields of phi^4 whose density is computed."""
UPDATES, NODES, LOG_Z = 320, 16, 1000
"""Of the integration over the coupling that gives the exact density, and what its seed is larger by."""
OPERATORS = ("haar", "db4", "sym4", "learned-4", "learned-8", "lifting")
LOCAL = {"action_per_site": "S/N", "phi2": "<phi^2>", "nearest_neighbour": "nn"}
ACTION = Phi4.critical()


def measuring(field: xr.DataArray, options: argparse.Namespace, **settings: Any) -> float:
    """Seconds of what comes before the training of networks, the learning of a coarse-graining among it."""
    made = config.Train(fields=(), out=options.out, seed=options.seed, **settings)
    began = time.monotonic()
    build(made, 1).fit(tensor(field))
    return time.monotonic() - began


def exact_bits(truth: Tensor, seed: int) -> tuple[Tensor, float]:
    """Bits per degree of freedom of fields of phi^4 under the exact density, and the error they share."""
    with progress.bar("log Z", NODES) as show:
        log_z = log_z_by_integration(ACTION, tuple(truth.shape[2:]), UPDATES, NODES, seed + LOG_Z, show)
    unit = math.log(2) * truth[0].numel()
    return (ACTION.energy(truth.double()) + log_z.value) / unit, float(log_z.error) / unit


def operators(name: str, fields: Fields, options: argparse.Namespace) -> list[Row]:
    """Held-out bits per degree of freedom of cascades that differ in their coarse-graining."""
    train_set, held_out, settings = fields[name]
    truth, rows, models, found = tensor(held_out).to(options.device), [], {}, {}
    exact, unsure = exact_bits(truth[:SCORED].cpu(), options.seed) if name == "phi4" else (None, 0.0)
    for operator in options.operators:
        began = time.monotonic()
        extra = settings | {"levels": 3, "operator": operator}
        minutes = options.minutes - measuring(train_set, options, **extra) / 60
        model = train(train_set, options.out / name / operator, options, **extra, minutes=minutes)
        seconds = time.monotonic() - began
        models[operator], unit = model, float(model.scale.log2().mean())
        x = truth[:SCORED] if model.boundary == "periodic" else windows(truth, 8, periodic=False)
        bits = model.log_prob(x, probes=2, tolerance=1e-3, seed=1)
        found[operator] = (-bits.total.value.double() / (math.log(2) * x[0].numel()) - unit).cpu()
        normal = model.normalise(truth[:64]).float()
        code = float(code_length(model.step, normal, 3)) / math.log(2)
        coarse = model.flow(truth, 3)[-1]
        crps = float(fair_crps(model.refine(coarse, 3, 8, options.seed + 9), truth).mean() / truth.std())
        said = f"{mean(found[operator])} bits; "
        if exact is not None:
            above = jackknife(lambda m: m, found[operator] + unit - exact)
            said += f"{number(float(above.value), math.hypot(float(above.error), unsure), 4)} above the exact density; "
        said += f"sparsity {sparsity(model.step.split(normal)[1]):.3f}; "
        said += f"code length {code:.3f} bits; CRPS given its own coarse field {crps:.4f} "
        said += f"of the spread; {60 * minutes:.0f} s of training, {seconds:.0f} s in all"
        rows.append(Row(f"{name}, {operator}", "", said))
        print(f"\n{table(rows[-1:])}", flush=True)
    rivals = [o for o in found if o in ("haar", "db4", "sym4")]
    others = [o for o in found if o not in rivals]
    if not rivals or not others:
        return rows
    learned, rival = (min(those, key=lambda o: float(found[o].mean())) for those in (others, rivals))
    less = mean(found[learned] - found[rival])
    said = f"{learned} {mean(found[learned])}, {rival} {mean(found[rival])}: {less} by pairs"
    met = float((found[learned] - found[rival]).mean()) < 0
    rows.append(Row(f"{name}: the best learned operator against {' and '.join(rivals)}", "fewer bits", said, met))
    if set(OPERATORS) <= set(models):
        draw_operators(options.out / f"operators-{name}.png", models, truth)
    return rows


def draw_operators(path: Path, models: dict[str, Cascade], truth: Tensor) -> None:
    """Low-passes of the linear operators, and where the finest detail of a field is large."""
    with paper():
        figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
        response, *places = figure.subplots(1, 4, width_ratios=[1.25, 1, 1, 1])
        for (name, model), colour in zip(models.items(), LEVELS, strict=False):
            if isinstance(model.step, RotationLattice) and name != "sym4":  # it keeps the power that db4 keeps
                row = periodic(model.step).matrix(64)[16]
                power = (torch.fft.rfft(row).abs().square() / 2).cpu()
                response.plot(torch.linspace(0, 1, 33), power, lw=1, color=colour, label=name)
        response.set(xlabel="wavenumber / Nyquist", ylabel="power that is kept", ylim=(0, 1.05))
        response.legend()
        shown = {"the field": truth[0, 0].cpu(), **{name: finest(models[name], truth) for name in ("db4", "lifting")}}
        unit = float(shown["db4"].square().mean().sqrt())
        for place, (name, x) in zip(places, shown.items(), strict=True):
            field = name == "the field"
            bounds = {} if field else {"vmin": 0, "vmax": 3 * unit}
            place.imshow(x, cmap="cividis" if field else "magma", interpolation="nearest", **bounds)
            place.set_title(name if field else f"finest detail, {name}")
            bare(place)
    path.write_bytes(figure_to_png(figure))


def periodic(step: RotationLattice) -> RotationLattice:
    """The same filters on a torus."""
    other = copy.deepcopy(step)
    other.boundary = "periodic"
    return other


def finest(model: Cascade, truth: Tensor) -> Tensor:
    """Size of the detail at each coarse site."""
    return model.step.split(model.normalise(truth[:1]).float())[1][0].square().sum(0).sqrt().cpu()


def student(teacher: Cascade, objective: str, evaluations: int) -> Cascade:
    """A cascade with the weights of another, for an objective of its own."""
    settings: dict[str, Any] = teacher.configuration | {"objective": objective, "evaluations": evaluations}
    made = Cascade(**settings).to(teacher.mean.device)
    made.load_state_dict(teacher.state_dict())
    return made


def fitted(model: Cascade, fields: Tensor, loss: Callable[[Any], Tensor], minutes: float, label: str) -> Cascade:
    """So many minutes of Adam with a falling rate, averaged weights."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), 1e-3, betas=(0.9, 0.99))
    device = model.mean.device
    batches = Batches(model, model.normalise(fields.to(device)).float(), 0)
    began, step = time.monotonic(), 0
    with progress.bar(label, 100) as show:
        while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * min(1, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * spent)) + 1e-3)
            optimizer.zero_grad()
            level, fine, t, noise, halo = batches(step)
            loss((level, fine, t.to(fine), noise.to(fine), halo)).backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                for name, p in weights.items():
                    average[name].lerp_(p, 1 - min(0.995, (1 + step) / (10 + step)))
            show(min(99, int(100 * spent)), 100)
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(average[name])
    calibrate(model.eval(), fields)
    return model


def distilled(teacher: Cascade, fields: Tensor, evaluations: int, minutes: float) -> Cascade:
    """Regression on what the teacher makes of the same noise with many evaluations (Luhman & Luhman 2021)."""
    made, many, few = student(teacher, "velocity", evaluations), TrigonometricFlow(MANY), TrigonometricFlow(evaluations)

    def loss(batch: Any) -> Tensor:
        level, fine, _, noise, halo = batch
        ours, theirs = made.own_lift(level), teacher.own_lift(level)
        assert isinstance(ours, DiffusionLift) and isinstance(theirs, DiffusionLift)
        _, condition, importance = ours.example(fine, halo)
        with torch.no_grad():
            wanted = theirs.sampled(noise, theirs.denoiser.backbone.encode(condition), many)
        error = (ours.sampled(noise, ours.denoiser.backbone.encode(condition), few) - wanted).square()
        return (error if importance is None else importance * error).mean()

    return fitted(made, fields, loss, minutes, f"distilling, {evaluations}")


def scored(name: str, model: Cascade, truth: Tensor, levels: int, evaluations: int, seed: int) -> dict[str, Any]:
    """CRPS and energy score of ensembles of eight, and of phi^4 the local biases of one level."""
    coarse = model.flow(truth, levels)[-1]
    ensemble = model.refine(coarse, levels, 8, seed, evaluations)
    found: dict[str, Any] = {}
    for key, score in (("crps", fair_crps), ("energy", energy_score)):
        found[key] = score(ensemble, truth).double()
    if name == "phi4":
        finest = model.refine(model.flow(truth, 1)[-1], 1, 4, seed, evaluations).flatten(0, 1)
        made, true = observables(finest, ACTION), observables(truth, ACTION)
        found["bias"] = {key: (made[key][0] - true[key][0], made[key][1]) for key in LOCAL}
    return found


def seconds(models: dict[str, tuple[Cascade, int]], truth: Tensor, levels: int) -> dict[str, list[float]]:
    """Seconds a megapixel of refining a field of about 512 x 512 sites, turn by turn so that all see the same load."""
    taken: dict[str, list[float]] = {key: [] for key in models}
    for turn in range(6):
        for key, (model, n) in models.items():
            coarse = model.flow(truth[:1], levels)[-1]
            coarse = coarse.repeat(1, 1, *(64 // side for side in coarse.shape[2:]))
            began = time.monotonic()
            fine = model.refine(coarse, levels, 1, turn, n)
            if fine.is_cuda:
                torch.cuda.synchronize()
            taken[key].append((time.monotonic() - began) / (fine.numel() / 2**20))
    return {key: each[1:] for key, each in taken.items()}


def evaluations(name: str, fields: Fields, options: argparse.Namespace) -> list[Row]:
    """One and two evaluations a level against many."""
    train_set, held_out, settings = fields[name]
    x, truth = (tensor(field).to(options.device) for field in (train_set, held_out))
    teacher = train(train_set, options.out / name / "teacher", options, levels=3, **settings)
    models: dict[str, tuple[Cascade, int]] = {}
    for n in (MANY, 3, 2, 1):
        models[f"denoiser, {n}"] = student(teacher, "velocity", n).eval(), n
        calibrate(models[f"denoiser, {n}"][0], x)
    for n in (1, 2):
        pupil = student(teacher, "energy", n)
        loss = lambda batch, pupil=pupil: pupil(batch[1], batch[0], *batch[2:]).mean()  # noqa: E731
        models[f"energy score, {n}"] = fitted(pupil, x, loss, options.minutes, f"energy score, {n}"), n
    models["distilled, 1"] = distilled(teacher, x, 1, options.minutes), 1
    found = {key: scored(name, model, truth, 3, n, options.seed + 9) for key, (model, n) in models.items()}
    many, rows, taken = found[f"denoiser, {MANY}"], [], seconds(models, truth, 3)
    for key, each in found.items():
        said = []
        for score in ("crps", "energy"):
            said.append(f"{score} {ratio(each[score], many[score])} of that with {MANY}")
        if "bias" in each:
            said.append("bias " + ", ".join(f"{title} {number(*each['bias'][k], 4)}" for k, title in LOCAL.items()))
        faster = statistics.median(a / b for a, b in zip(taken[f"denoiser, {MANY}"], taken[key], strict=True))
        said.append(f"{statistics.median(taken[key]):.2f} s a megapixel, {faster:.1f} times fewer")
        met = None
        if key.startswith(("energy score, 1", "distilled, 1")):
            met = all(float(jackknife(lambda a, b: a / b, each[s], many[s]).value) < 1.05 for s in ("crps", "energy"))
            met = met and faster >= 2.5
            if "bias" in each:
                met = met and all(
                    abs(each["bias"][k][0]) <= abs(many["bias"][k][0]) + each["bias"][k][1] for k in LOCAL
                )
        rows.append(
            Row(f"{name}, {key} evaluations a level", "" if met is None else "1.05, 1.05, 2.5", "; ".join(said), met)
        )
    return rows


def economy(options: argparse.Namespace) -> list[Row]:
    """What a field of 256 x 256 sites costs at each level: multiply-adds of the default lift, three evaluations."""
    model, rows, total = Cascade(levels=3), [], []
    for level in range(3):
        lift, side = model.own_lift(level), 256 // 2 ** (level + 1)
        assert isinstance(lift, DiffusionLift)
        once, each = multiply_adds(lift.denoiser.backbone, (side, side), condition_channels(1, 3))
        total.append(once + 3 * each)
        size = sum(p.numel() for p in lift.denoiser.backbone.parameters())
        said = f"{total[-1] / 256**2 / 1000:.1f} k multiply-adds a site of the field; {size} parameters"
        rows.append(Row(f"level {level}, {side} x {side} sites, three evaluations", "", said))
    ratio = sum(total) / total[0]
    rows.append(Row("all levels over the finest alone", "<= 4/3", f"{ratio:.3f}", ratio <= 4 / 3))
    return rows


def parse() -> argparse.Namespace:
    parser, parts = options_of(__doc__, "learned"), ["operators", "evaluations", "economy"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--operators", nargs="+", choices=OPERATORS, default=OPERATORS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    begun, rows = stamp(options.device), economy(options) if "economy" in options.parts else []
    fields = data(options)
    for name in fields:
        if "operators" in options.parts:
            rows += operators(name, fields, options)
            print(f"\n{table(rows)}", flush=True)
        if "evaluations" in options.parts:
            rows += evaluations(name, fields, options)
            print(f"\n{table(rows)}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "learned.json").write_text(json.dumps([row._asdict() for row in rows], indent=2))
    print(f"\n{table(rows)}")
    if options.record:
        append(rows, begun)


if __name__ == "__main__":
    run(main)
