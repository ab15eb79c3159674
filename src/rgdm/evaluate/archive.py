"""The evaluation folder: ``scores.json`` (the figures) and ``fields.nc`` (a few fields to look at)."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from rgdm.atomic import replacing, write_text
from rgdm.errors import InputError
from rgdm.evaluate.judgement import FORMAT

SCORES, FIELDS = "scores.json", "fields.nc"
KEPT_SAMPLES, KEPT_MEMBERS = 4, 8
AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Evaluation:
    """Content of an evaluation folder: figures of all samples, fields of a few samples.

    Fields are arrays in the user's units: ``truth`` and ``bicubic`` (B, C, *F), ``coarse``
    (B, C, *K), ``members`` (M, B, C, *F), ``trajectory`` (C, *L) each, coarse to fine.
    """

    scores: dict[str, Any]
    truth: np.ndarray
    coarse: np.ndarray
    bicubic: np.ndarray
    members: np.ndarray
    trajectory: list[np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)


def save_evaluation(
    folder: Path,
    scores: dict[str, Any],
    truth: Tensor,
    coarse: Tensor,
    bicubic: Tensor,
    members: Tensor,
    trajectory: Sequence[Tensor],
    attrs: dict[str, Any] | None = None,
    valid: Tensor | None = None,
) -> None:
    """Write the figures, and up to 4 samples and 8 members of the fields; each file is there whole or not.

    ``trajectory`` is one sample at every level, coarse to fine, each (C, *L) or (1, C, *L). ``attrs`` is anything that
    JSON can hold; a report uses ``name`` of the field, ``crop`` (the lattice of a training crop), ``look`` (terrain,
    relief, diverging or rgb) and ``orientation`` (of :class:`rgdm.data.orientation.Orientation`). Where ``valid`` is
    given, all other sites of the fine fields are missing in the file.
    """
    if valid is not None:
        truth, bicubic, members = (x.masked_fill(~valid.to(x.device), math.nan) for x in (truth, bicubic, members))
    m = KEPT_MEMBERS
    b = np.unique(np.linspace(0, len(truth) - 1, min(KEPT_SAMPLES, len(truth))).round().astype(int))
    variables = {
        "truth": _variable(truth[b], "sample", "fine"),
        "coarse": _variable(coarse[b], "sample", "coarse"),
        "bicubic": _variable(bicubic[b], "sample", "fine"),
        "members": _variable(members[:m][:, b], "member sample", "fine"),
    }
    for level, x in enumerate(trajectory):
        x = x[0] if x.dim() == truth.dim() else x
        variables[f"trajectory_{level}"] = _variable(x, "", f"trajectory_{level}")
    text = json.dumps({**scores, "attrs": attrs or {}}, indent=1, allow_nan=False)
    (folder / SCORES).unlink(missing_ok=True)  # of an earlier evaluation; without it the folder is incomplete
    with replacing(folder / FIELDS) as draft:
        xr.Dataset(variables).to_netcdf(draft, engine="h5netcdf", encoding={v: {"zlib": True} for v in variables})
    write_text(folder / SCORES, text)


def load_evaluation(folder: Path) -> Evaluation:
    """Read an evaluation folder; ``InputError`` if it is incomplete or damaged."""
    scores_path, fields_path = folder / SCORES, folder / FIELDS
    for path in (scores_path, fields_path):
        if not path.is_file():
            raise InputError(f"the evaluation folder {folder} has no {path.name}; run `rgdm evaluate` again")
    try:
        scores = json.loads(scores_path.read_text())
        if scores["about"]["format"] != FORMAT:
            raise InputError(f"the evaluation folder {folder} is of another version; run `rgdm evaluate` again")
        attrs = scores.pop("attrs", {})
        with xr.open_dataset(fields_path, engine="h5netcdf") as stored:
            arrays = {str(name): stored[name].values for name in stored.data_vars}
        levels = sum(name.startswith("trajectory_") for name in arrays)
        trajectory = [arrays.pop(f"trajectory_{level}") for level in range(levels)]
        return Evaluation(scores, trajectory=trajectory, attrs=attrs, **arrays)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"the evaluation folder {folder} is damaged ({error}); run `rgdm evaluate` again") from error


def _variable(x: Tensor, leading: str, lattice: str) -> xr.DataArray:
    names = [*leading.split(), "channel"]
    dimension = x.dim() - len(names)
    axes = [f"{axis}_{lattice}" for axis in AXES[3 - dimension :]]
    x = x if x.dtype == torch.float64 else x.float()
    return xr.DataArray(x.detach().cpu().numpy(), dims=[*names, *axes])
