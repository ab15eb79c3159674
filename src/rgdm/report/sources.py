"""The material of a report, read from the files of earlier commands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm.errors import InputError
from rgdm.evaluate import Evaluation, load_evaluation

LARGEST = 2048
"""Most sites along an axis of a field that is shown."""
LEADING = {"sample", "member", "refinement", "time", "batch", "ensemble", "realization", "number"}
"""Names of axes that are not lattice."""
TERRAIN_NAMES = ("elevation", "topography", "bathymetry", "terrain", "altitude", "orography", "relief")
"""Words in the name of a field that is drawn as terrain."""


@dataclass(frozen=True)
class Samples:
    """The first field (C, *L) of a sample file, cut to at most 2048 sites along each axis."""

    path: Path
    name: str
    field: np.ndarray
    attrs: dict[str, Any]


@dataclass
class Material:
    """Everything the sources hold; any part may be missing."""

    config: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    evaluation: Evaluation | None = None
    samples: list[Samples] = field(default_factory=list)

    @property
    def attrs(self) -> dict[str, Any]:
        """What is known of the field: name, units, axes, crop and look; the evaluation takes precedence."""
        notes = (self.config or {}).get("metadata") or {}
        axes = [axis["name"] for axis in find(self.config or {}, "grid") or []]
        known = {**notes.get("attrs", {}), "axes": axes, "crop": (notes.get("training") or {}).get("lattice")}
        known["name"] = next(iter(notes.get("channels") or []), None)
        for each in (*(s.attrs for s in self.samples), self.evaluation.attrs if self.evaluation else {}):
            known.update(each)
        known = {key: value for key, value in known.items() if value is not None}
        known.setdefault("name", known.get("long_name") or next((s.name for s in self.samples), ""))
        names = f"{known['name']} {known.get('long_name', '')}".lower()
        if "look" not in known and any(word in names for word in TERRAIN_NAMES):
            known["look"] = "terrain"
        return known

    def upright(self, x: np.ndarray) -> np.ndarray:
        """The field with north up. Where an axis is latitude, it is taken to grow with the index."""
        axes = [str(axis).lower() for axis in self.attrs.get("axes", [])]
        return x[..., ::-1, :] if len(axes) > 1 and axes[-2].startswith("lat") else x

    @property
    def title(self) -> str:
        name = self.attrs.get("name")
        return f"rgdm report: {name}" if name else "rgdm report"


def collect(sources: Sequence[Path]) -> Material:
    """Read all sources; :class:`~rgdm.errors.InputError` names the first that cannot be used."""
    if not sources:
        raise InputError("a report needs something to report on: a run, model or evaluation folder, or a sample file")
    material = Material()
    for path in sources:
        if not path.exists():
            raise InputError(f"{path} does not exist; give a run, model or evaluation folder, or a .zarr or .nc file")
        _read(path, material)
    return material


def _read(path: Path, material: Material) -> None:
    if (path / "scores.json").exists() or (path / "fields.nc").exists():
        material.evaluation = load_evaluation(path)
    elif (path / "config.json").exists():
        material.config = _json(path / "config.json")
        material.history = read_history(path / "history.jsonl")
    elif path.suffix in (".zarr", ".nc"):
        material.samples.append(read_samples(path))
    elif path.is_dir() and (parts := _parts(path)):
        for part in parts:
            _read(part, material)
    else:
        raise InputError(
            f"{path} holds no model, evaluation or samples that a report can show; give a folder that an rgdm command "
            "wrote, or samples as .zarr or .nc"
        )


def _parts(run: Path) -> list[Path]:
    return [p for p in sorted(run.iterdir()) if p.name in ("model", "evaluation") or p.suffix in (".zarr", ".nc")]


def read_history(path: Path) -> list[dict[str, Any]]:
    """The training records; a last line that a killed run left unfinished is passed over."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records.append({**record, "seconds": float(record["seconds"])})
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise InputError(f"line {number} of {path} is no training record; remove it or train again") from error
    return records


def read_samples(path: Path) -> Samples:
    """The first field of a Zarr or NetCDF file, its variables as channels, north up."""
    try:
        with _open(path) as data:
            names = str(data.attrs.get("channels", "")).split(",")
            if not set(names) <= set(data.data_vars):
                names = sorted(map(str, data.data_vars), key=lambda name: data[name].ndim)[-1:]
            values = np.concatenate([_first(data[name]) for name in names])
            return Samples(path, names[0], values, {**data.attrs, **data[names[0]].attrs})
    except (OSError, ValueError, KeyError, IndexError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a field ({reason}); sample or refine again") from error


def _open(path: Path) -> xr.Dataset:
    if path.is_dir():
        return xr.open_zarr(path, chunks=None, consolidated=False)
    return xr.open_dataset(path, engine="h5netcdf")


def _first(variable: xr.DataArray) -> np.ndarray:
    """The first field (C, *L) along all axes that are not lattice, a copy of no more than is shown."""
    lattice = [dim for dim in variable.dims if dim not in LEADING and dim != "channel"][-3:]
    shown = variable.isel({dim: 0 for dim in variable.dims if dim not in lattice and dim != "channel"})
    shown = shown.isel({dim: slice(0, LARGEST) for dim in lattice})
    if len(lattice) > 1 and str(lattice[-2]).lower().startswith("lat"):
        latitude = shown.coords.get(lattice[-2])
        if latitude is None or latitude[0] < latitude[-1]:
            shown = shown.isel({lattice[-2]: slice(None, None, -1)})
    values = shown.transpose(..., *lattice).values
    return values if "channel" in variable.dims else values[None]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); train again or use another copy of the model") from error
    return content if isinstance(content, dict) else {"config": content}


def find(config: Any, key: str) -> Any:
    """The first value of ``key`` anywhere in nested configuration."""
    if not isinstance(config, dict):
        return None
    if key in config:
        return config[key]
    return next((inner for value in config.values() if (inner := find(value, key)) is not None), None)
