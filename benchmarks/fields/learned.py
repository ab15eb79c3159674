"""What do learned coarse-graining and few evaluations bring, and what does a level cost?

    python -m benchmarks learned --record

Three parts, ``--parts`` chooses. ``operators``: one cascade each with Haar, Daubechies-4, its least asymmetric kin
sym4, learned wavelets and lifting, equally long in the making (what learning the operator takes is not left for the
networks); bits per degree of freedom of held-out fields (``log_prob``, all levels and the base, so that all are
densities of the same thing; of terrain windows of 64 x 64; of phi^4 also how far above those of the exact density),
sparsity of the finest detail, code length in bits, CRPS of refining over the spread (not the same problem for all:
each is given the coarse field of its own operator).
``evaluations``: lifts of one and two evaluations a level trained by the energy score of their samples, and distilled
from a denoiser by regression on its noise (Luhman & Luhman 2021), against that denoiser with many: held-out CRPS and
energy score, what local observables of phi^4 are off by, seconds (medians of five turns). All students start from the
denoiser. ``economy``: multiply-adds and parameters of each level. Errors are jackknife errors over held-out fields.
"""

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.shared.drawing import drawn
from benchmarks.shared.estimates import difference, mean, scores, seconds
from benchmarks.shared.lattice import CRITICAL, LOCAL, Measured
from benchmarks.shared.losses import over
from benchmarks.shared.training import (
    KINDS,
    Data,
    backbone,
    block_means,
    cost,
    data,
    descend,
    measuring,
    student,
    tensor,
    train,
)
from benchmarks.study import study
from rgdm import progress
from rgdm.evaluate.likelihood import windows
from rgdm.evaluate.scores import fair_crps
from rgdm.jackknife import jackknife
from rgdm.model.cascade.calibrate import calibrate
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.physics.reweighting.free_energy import log_z_by_integration
from rgdm.plots.style import LEVELS, PAGE, bare
from rgdm.scale.operators.learned import code_length, sparsity
from rgdm.scale.operators.wavelets import RotationLattice
from rgdm.train.batches import Batch, Batches

MANY = 8
SCORED = 128
"""Held-out fields of phi^4 whose density is computed."""
UPDATES, NODES, LOG_Z = 320, 16, 1000
"""Of the integration over the coupling that gives the exact density, and what its seed is larger by."""
NAMED, OPERATORS = ("haar", "db4", "sym4"), ("haar", "db4", "sym4", "learned-4", "learned-8", "lifting")


def exact_bits(truth: Tensor, seed: int) -> tuple[Tensor, float]:
    """Bits per degree of freedom of fields of phi^4 under the exact density, and the error they share."""
    with progress.bar("log Z", NODES) as show:
        log_z = log_z_by_integration(CRITICAL, tuple(truth.shape[2:]), UPDATES, NODES, seed + LOG_Z, show)
    unit = math.log(2) * truth[0].numel()
    return (CRITICAL.energy(truth.double()) + log_z.value) / unit, float(log_z.error) / unit


def operators(kind: Data, options: argparse.Namespace) -> Iterator[Row]:
    """Held-out bits per degree of freedom of cascades that differ in their coarse-graining."""
    truth, models, bits = kind.truth.to(options.device), {}, {}
    exact, unsure = exact_bits(truth[:SCORED].cpu(), options.seed) if kind.name == "phi4" else (None, 0.0)
    for name in options.operators:
        began, extra = time.monotonic(), kind.settings | {"levels": 3, "operator": name}
        minutes = options.minutes - measuring(kind.train, options, **extra) / 60
        model = train(kind.train, options.out / kind.name / name, options, **extra, minutes=minutes)
        taken, unit = time.monotonic() - began, float(model.units.scale.log2().mean())
        models[name] = model
        x = truth[:SCORED] if kind.name == "phi4" else windows(truth, model.grid, 3)
        log_prob = model.log_prob(x, probes=2, tolerance=1e-3, seed=1).total.value.double()
        bits[name] = (-log_prob / (math.log(2) * x[0].numel()) - unit).cpu()
        figures = {"bits": mean(bits[name])}
        if exact is not None:
            figures["above exact"] = difference(jackknife(lambda m: m, bits[name] + unit - exact), (0.0, unsure))
        normal = model.normalise(truth[:64]).float()
        ensemble = model.refine(block_means(model, truth, 3), 3, 8, options.seed + 9)
        numbers = {
            "sparsity": sparsity(model.operator.split(normal)[1]),
            "code length": code_length(model.operator, normal, 3) / math.log(2),
            "CRPS, own coarse": fair_crps(ensemble, truth).mean() / truth.std(),
            "s of training": 60 * minutes,
            "s in all": taken,
        }
        yield Row(f"operators, {kind.name}", name, figures | {key: Figure(float(v)) for key, v in numbers.items()})
    rivals, others = [o for o in bits if o in NAMED], [o for o in bits if o not in NAMED]
    if not rivals or not others:
        return
    learned, rival = (min(those, key=lambda o: float(bits[o].mean())) for those in (others, rivals))
    figures = {"less": mean(bits[learned] - bits[rival], high=0.0)}
    figures |= {"learned": mean(bits[learned]), "named": mean(bits[rival])}
    title = "bits of the best learned operator less those of the best named"
    yield Row(title, kind.name, figures, "fewer bits", f"{learned} against {rival}, of {' and '.join(rivals)}")
    if set(OPERATORS) <= set(models):
        draw(options.out / f"operators-{kind.name}.png", models, truth)


def draw(path: Any, models: dict[str, Cascade], truth: Tensor) -> None:
    """Low-passes of the linear operators, and where the finest detail of a field is large."""
    with drawn(path, PAGE, 2.6, layout="constrained") as figure:
        response, *places = figure.subplots(1, 4, width_ratios=[1.25, 1, 1, 1])
        for (name, model), colour in zip(models.items(), LEVELS, strict=False):
            if isinstance(model.operator, RotationLattice) and name != "sym4":  # it keeps the power that db4 keeps
                torus = copy.deepcopy(model.operator)
                torus.boundary = "periodic"
                power = (torch.fft.rfft(torus.matrix(64)[16]).abs().square() / 2).cpu()
                response.plot(torch.linspace(0, 1, 33), power, lw=1, color=colour, label=name)
        response.set(xlabel="wavenumber / Nyquist", ylabel="power that is kept", ylim=(0, 1.05))
        response.legend()
        shown = {"the field": truth[0, 0].cpu()}
        for name in ("db4", "lifting"):
            detail = models[name].operator.split(models[name].normalise(truth[:1]).float())[1]
            shown[f"finest detail, {name}"] = detail[0].square().sum(0).sqrt().cpu()
        unit = float(shown["finest detail, db4"].square().mean().sqrt())
        for place, (name, x) in zip(places, shown.items(), strict=True):
            how: dict[str, Any] = (
                {"cmap": "magma", "vmin": 0, "vmax": 3 * unit} if "detail" in name else {"cmap": "cividis"}
            )
            place.imshow(x, interpolation="nearest", **how)
            place.set_title(name)
            bare(place)


def fitted(model: Cascade, fields: Tensor, loss: Callable[..., Tensor], minutes: float, label: str) -> Cascade:
    """So many minutes of descent of ``loss(batch)`` on training batches."""
    batches = Batches(model, model.normalise(fields.to(model.device)).float(), 0)

    def of_step(step: int) -> Tensor:
        batch = batches(step)
        like = batch.fine
        return loss(
            batch._replace(t=batch.t.to(like), noise=batch.noise.to(like), importance=batch.importance.to(like))
        )

    weights = [p for p in model.train().parameters() if p.requires_grad]
    descend(weights, of_step, 60 * minutes, label, memory=0.995)
    calibrate(model.eval(), fields)
    return model


def students(teacher: Cascade, fields: Tensor, minutes: float) -> Iterator[tuple[str, Cascade, int]]:
    """The denoiser with fewer evaluations, trained by the energy score, distilled."""
    for n in (MANY, 3, 2, 1):
        model = student(teacher, evaluations=n)
        calibrate(model, fields)
        yield f"denoiser, {n}", model, n
    for n in (1, 2):
        pupil = student(teacher, objective="energy", evaluations=n)

        def score(batch: Batch, pupil: Cascade = pupil) -> Tensor:
            return pupil(batch.fine, batch.level, batch.t, batch.noise, batch.halo, batch.importance).mean()

        yield f"energy score, {n}", fitted(pupil, fields, score, minutes, f"energy score, {n}"), n
    few, many, pupil = AdamsBashforth(1), AdamsBashforth(MANY), student(teacher, evaluations=1)

    def imitate(batch: Batch) -> Tensor:
        """Regression on what the teacher makes of the same noise with many evaluations."""
        ours, theirs = pupil.own_lift(batch.level), teacher.own_lift(batch.level)
        example = ours.example(batch.fine, batch.halo)
        with torch.no_grad():
            wanted = theirs.law.sample(batch.noise, example.condition, many, None)
        error = (ours.law.sample(batch.noise, example.condition, few, None) - wanted).square()
        return (batch.importance * error).mean()

    yield "distilled, 1", fitted(pupil, fields, imitate, minutes, "distilling"), 1


def evaluations(kind: Data, options: argparse.Namespace) -> Iterator[Row]:
    """One and two evaluations a level against many."""
    x, truth = (tensor(field).to(options.device) for field in (kind.train, kind.held_out))
    teacher = train(kind.train, options.out / kind.name / "teacher", options, levels=3, **kind.settings)
    models = {key: (model, n) for key, model, n in students(teacher, x, options.minutes)}
    scored, biases, works, pixels, seed = {}, {}, [], 1.0, options.seed + 9
    for key, (model, n) in models.items():
        coarse = block_means(model, truth, 3)
        scored[key] = scores(model.refine(coarse, 3, 8, seed, n), truth)
        if kind.name == "phi4":
            fine = model.refine(block_means(model, truth, 1), 1, 4, seed, n).flatten(0, 1)
            ours, theirs = Measured(fine), Measured(truth)
            biases[key] = {t: (ours.pairs[t][0] - theirs.pairs[t][0], ours.pairs[t][1]) for t in LOCAL.values()}
        wide = coarse[:1].repeat(1, 1, *(64 // side for side in coarse.shape[2:]))  # about 512 x 512 fine sites
        pixels = 64 * wide[0].numel() / 2**20
        works.append(lambda model=model, wide=wide, n=n: model.refine(wide, 3, 1, seed, n))
    taken = seconds(works)
    most = f"denoiser, {MANY}"
    for (key, each), times in zip(scored.items(), taken, strict=True):
        judged = key in ("energy score, 1", "distilled, 1")
        figures = over(each, scored[most])
        for title, (value, error) in biases.get(key, {}).items():
            limit = abs(biases[most][title][0])
            figures[title] = Figure(value, error, *((-limit, limit) if judged else ()))
        figures["s/megapixel"] = Figure(statistics.median(times) / pixels)
        faster = statistics.median(a / b for a, b in zip(taken[0], times, strict=True))
        figures["times faster"] = Figure(faster, low=2.5 if judged else None)
        for name in ("CRPS", "energy") if judged else ():
            figures[name] = Figure(figures[name].value, figures[name].error, high=1.05)
        yield Row(
            f"evaluations a level, against {MANY}, {kind.name}", key, figures, "1.05, 1.05, 2.5" if judged else ""
        )


def economy() -> Iterator[Row]:
    """What a field of 256 x 256 sites costs at each level: multiply-adds of the default lift, three evaluations."""
    model, side, title = Cascade(), 256, "cost of a level, three evaluations"
    total = [cost(model, level, side) for level in range(3)]
    for level, each in enumerate(total):
        size = sum(p.numel() for p in backbone(model, level).parameters())
        figures = {"k multiply-adds a site": Figure(each / side**2 / 1000), "parameters": Figure(size)}
        coarse = side // 2 ** (level + 1)
        yield Row(title, f"level {level}, {coarse} x {coarse} sites", figures)
    yield Row(title, "all levels over the finest alone", {"ratio": Figure(sum(total) / total[0], high=4 / 3)}, "<= 4/3")


def measure(options: argparse.Namespace) -> Iterator[Row]:
    if "economy" in options.parts:
        yield from economy()
    for kind in data(options):
        for part in (operators, evaluations):
            if part.__name__ in options.parts:
                yield from part(kind, options)


def main(arguments: Sequence[str]) -> None:
    parts = ("operators", "evaluations", "economy")
    choice = (OPERATORS, "", OPERATORS)
    study(__doc__, measure, arguments, parts=(parts, "", parts), operators=choice, **KINDS)
