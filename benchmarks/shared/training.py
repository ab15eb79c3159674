"""Data and cascades of the studies; all that they ask of the library's training."""

import argparse
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr
from torch import Tensor

from benchmarks.record import Figure
from benchmarks.study import Option
from rgdm import commands, config, progress
from rgdm.commands.training import build
from rgdm.data import reference
from rgdm.design import Design
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import LocalStandardizer
from rgdm.model.networks.backbone import Backbone
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.networks.registry import multiply_adds
from rgdm.scale.boundary import Boundaries, Boundary
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin
from rgdm.train import Budget, Trainer
from rgdm.train.heldout import Where

CRITICAL = {"boundary": "periodic", "shared": False, "bend": 0.0}
"""Settings of a cascade of critical lattice fields."""
OPTIONS: dict[str, Option] = {"minutes": (1.5, "of each training")}
KINDS: dict[str, Option] = {"data": (("phi4", "terrain"), "", ["phi4", "terrain"])} | OPTIONS


class Data(NamedTuple):
    """Fields of one kind ``(sample, channel, y, x)``, and what a cascade of them is set to."""

    name: str
    train: xr.DataArray
    held_out: xr.DataArray
    settings: dict[str, Any]

    @property
    def truth(self) -> Tensor:
        return tensor(self.held_out)


def data(options: argparse.Namespace) -> list[Data]:
    """Of each kind asked for."""
    kinds = []
    if "phi4" in options.data:
        kinds.append(Data("phi4", phi4(4096, 32, options.seed + 1), phi4(512, 32, options.seed + 2), CRITICAL))
    if "terrain" in options.data:
        kinds.append(
            Data("terrain", reference.terrain("train"), reference.terrain("held-out"), {"boundary": "reflect"})
        )
    return kinds


def phi4(count: int, side: int, seed: int) -> xr.DataArray:
    """Critical configurations."""
    with progress.bar("phi^4", 1) as show:
        return reference.phi4(count, side, seed, show)


def tensor(field: xr.DataArray) -> Tensor:
    return torch.as_tensor(field.values).float()


# --- cascades ----------------------------------------------------------------------------------


def settings(
    options: argparse.Namespace,
    out: Path,
    boundary: Boundaries = "reflect",
    minutes: float | None = None,
    mirror: bool = True,
    hold_back: Where = "auto",
    **design: Any,
) -> config.Train:
    """What ``rgdm train`` is told; the design by its names."""
    sides = (boundary,) if isinstance(boundary, str) else boundary
    chosen = {"seed": options.seed, "device": options.device, "overwrite": True, "boundary": sides, "mirror": mirror}
    chosen["hold_back"] = hold_back
    time_left = options.minutes if minutes is None else minutes
    return config.Train((), out, minutes=time_left, design=Design(**design), **chosen)  # pyright: ignore[reportArgumentType]


def train(
    field: xr.DataArray,
    out: Path,
    options: argparse.Namespace,
    steps: int | None = None,
    place: Setting = NOWHERE,
    **asked: Any,
) -> Cascade:
    """A cascade, for so many ``steps``, or for ``options.minutes`` unless told otherwise."""
    told = settings(options, out, **asked)
    return commands.fit(field, told, Budget(steps, told.minutes if steps is None else None), place).eval()


def trained_or_there(out: Path, field: xr.DataArray, options: argparse.Namespace, **asked: Any) -> Cascade:
    """The model in a folder, if it is whole, or else a new one."""
    if (out / "model.safetensors").exists():
        model = commands.open_model(str(out), options.device)
        if "training" in model.metadata:
            return model
    return train(field, out, options, **asked)


def measuring(field: xr.DataArray, options: argparse.Namespace, boundary: Boundary, **design: Any) -> float:
    """Seconds of what comes before the training of networks, the learning of a coarse-graining among it."""
    began = time.monotonic()
    build(settings(options, options.out, **design), Grid.uniform(2, boundary), 1).fit(tensor(field))
    return time.monotonic() - began


def uncalibrated(fields: Tensor, out: Path, options: argparse.Namespace, levels: int, boundary: Boundary) -> int:
    """A cascade with a network for each level in the folder ``out``, trained for ``options.seconds``; its steps."""
    torch.manual_seed(options.seed)
    model = Cascade(Design(levels=levels, shared=False), Grid.uniform(2, boundary))
    model.fit(fields)
    trainer = Trainer(model, fields, out, Budget(None, options.seconds / 60), options.seed, device=options.device)
    trainer.run()
    return trainer.step


def training(model: Cascade) -> dict[str, Figure]:
    """Seconds, steps and parameters."""
    about, size = model.metadata.get("training", {}), sum(p.numel() for p in model.parameters())
    return {
        "s of training": Figure(about.get("seconds")),
        "steps": Figure(about.get("steps")),
        "parameters": Figure(size),
    }


def student(teacher: Cascade, **changes: Any) -> Cascade:
    """A cascade with the weights of another and other settings."""
    model = Cascade(replace(teacher.design, **changes), teacher.grid, teacher.channels).to(teacher.device)
    model.load_state_dict(teacher.state_dict())
    return model.eval()


def block_means(model: Cascade, fields: Tensor, levels: int) -> Tensor:
    """The coarse fields so many levels down."""
    return model.trajectory(fields, levels)[-1]


def backbone(model: Cascade, level: int) -> Backbone:
    """The network of a level, whose law must be a diffusion."""
    law = model.own_lift(level).law
    assert isinstance(law, Diffusion)
    return law.denoiser.backbone


def conditions(model: Cascade) -> int:
    """How many features networks are told."""
    condition = model.own_lift(0).condition
    return 0 if condition is None else condition.count


def cost(model: Cascade, level: int, side: int) -> float:
    """Multiply-adds of one field of ``side`` x ``side`` sites at a level, of all evaluations."""
    coarse = side // 2 ** (level + 1)
    once, each = multiply_adds(backbone(model, level), (coarse, coarse), conditions(model))
    return once + model.sampler.evaluations * each


def detail_problem(
    fields: Tensor, boundary: Boundary, width: int, seed: int
) -> tuple[StandardizedLift, list[LocalConvNet]]:
    """A measured lift of fields in their own units, and two equal untrained networks of its detail."""
    operator = BlockSpin(2)
    condition = Condition(operator, 1, 2)
    lift = StandardizedLift(operator, LocalStandardizer(operator, 1, 2, boundary), None, condition).to(fields.device)
    lift.fit(fields)
    nets = []
    for _ in range(2):
        torch.manual_seed(seed)
        nets.append(LocalConvNet(operator.bands(2), condition.count, 2, boundary, width=width).to(fields.device))
    return lift, nets


# --- descent -----------------------------------------------------------------------------------


def descend(
    weights: Iterable[Tensor],
    loss: Callable[[int], Tensor],
    seconds: float,
    label: str = "",
    rate: float = 1e-3,
    memory: float = 0.999,
) -> int:
    """AdamW for a wall-clock time: warm-up, cosine decay, averaged weights in the end. The number of steps.

    ``loss`` is told the step; ``memory`` 0 leaves the averaging out.
    """
    weights = list(weights)
    average = [p.detach().clone() for p in weights]
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.99), fused=True)
    began, step = time.monotonic(), 0
    with progress.bar(label, 100) as show:
        while (spent := (time.monotonic() - began) / seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * spent)) + 1e-3)
            optimizer.zero_grad()
            loss(step).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                for mean, weight in zip(average, weights, strict=True):
                    mean.lerp_(weight, 1 - min(memory, (1 + step) / (10 + step)))
            show(min(99, int(100 * spent)), 100)
    with torch.no_grad():
        for weight, mean in zip(weights, average, strict=True):
            weight.copy_(mean)
    return step
