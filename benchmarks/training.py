"""What scripts that train cascades share: the data, the training, their options."""

import argparse
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from record import arguments
from torch import Tensor

from rgdm import commands, config, progress
from rgdm.data import reference
from rgdm.evaluate.scores import energy_score, fair_crps
from rgdm.model.cascade.cascade import Cascade
from rgdm.train import Budget

Fields = dict[str, tuple[xr.DataArray, xr.DataArray, dict[str, Any]]]
CRITICAL = {"boundary": "periodic", "shared": False, "bend": 0.0}
"""Settings of a cascade of critical lattice fields."""


def options_of(about: str | None, name: str, kinds: bool = True) -> argparse.ArgumentParser:
    """The device, whether to record, how long to train, the seed, a folder; and which data, if of several kinds."""
    parser = arguments(about)
    add = parser.add_argument
    if kinds:
        add("--data", nargs="+", choices=["phi4", "terrain"], default=["phi4", "terrain"])
    add("--minutes", type=float, default=1.5, help="of each training")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs") / name)
    return parser


def data(options: argparse.Namespace) -> Fields:
    """Training and held-out fields, and settings of the cascade, of each kind of data."""
    found: Fields = {}
    if "terrain" in options.data:
        found["terrain"] = reference.terrain("train"), reference.terrain("held-out"), {"boundary": "reflect"}
    if "phi4" in options.data:
        with progress.bar("phi^4", 2) as show:
            fields = []
            for seed, count in ((options.seed + 1, 4096), (options.seed + 2, 512)):
                fields.append(reference.phi4(count, 32, seed))
                show(len(fields), 2)
        found["phi4"] = fields[0], fields[1], CRITICAL
    return found


def tensor(field: xr.DataArray) -> Tensor:
    return torch.as_tensor(field.values).float()


def train(
    field: xr.DataArray, out: Path, options: argparse.Namespace, steps: int | None = None, **settings: Any
) -> Cascade:
    """A cascade, for so many ``steps``, or for ``options.minutes`` unless the settings say otherwise."""
    made = config.Train(
        fields=(),
        out=out,
        overwrite=True,
        **{"minutes": options.minutes, "seed": options.seed, "device": options.device, **settings},
    )
    return commands.fit(field, made, Budget(steps, made.minutes if steps is None else None)).eval()


def scores(made: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """CRPS and energy score of an ensemble, one value a field."""
    return fair_crps(made, truth).double(), energy_score(made, truth).double()
