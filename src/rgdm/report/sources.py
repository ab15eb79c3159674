"""The material of a report, read from the files of earlier commands."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.axes import axis_roles, lattice_axes
from rgdm.data.formats import open_source, reading
from rgdm.data.identity import IDENTITY
from rgdm.data.orientation import Orientation, orientation_of
from rgdm.errors import InputError
from rgdm.evaluate import Evaluation, load_evaluation
from rgdm.model.cascade.storage import read_json
from rgdm.model.checks.metadata import checked_metadata
from rgdm.scale.grid import Grid

LARGEST = 2048
"""Most sites along an axis of a field that is shown."""
FILES = (".zarr", ".nc", ".npy", ".npz")
"""What `rgdm sample` and `rgdm refine` write."""
TERRAIN_NAMES = ("elevation", "topography", "bathymetry", "terrain", "altitude", "orography", "relief")
"""Words in the name of a field that is drawn as terrain."""
COLOURS = (["r", "g", "b"], ["red", "green", "blue"])
"""Names of three channels that are the colours of one picture."""


@dataclass(frozen=True)
class Shown:
    """A channel to be drawn: its places along the axis of channels, its name, its unit, how it is coloured."""

    channels: list[int]
    name: str
    units: str
    look: str | None


@dataclass(frozen=True)
class Samples:
    """The first field (C, *L) of a sample file, as it is drawn, cut to at most 2048 sites along each axis."""

    path: Path
    field: np.ndarray
    channels: list[str]
    units: list[str]
    attrs: dict[str, Any]
    orientation: Orientation

    @property
    def name(self) -> str:
        return self.channels[0]


@dataclass
class Material:
    """Everything the sources hold; any part may be missing."""

    config: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    evaluation: Evaluation | None = None
    samples: list[Samples] = field(default_factory=list)

    @property
    def attrs(self) -> dict[str, Any]:
        """What is known of the field: name, units, crop and look; the evaluation takes precedence."""
        notes = (self.config or {}).get("metadata") or {}
        known = {**notes.get("attrs", {}), "crop": (notes.get("training") or {}).get("lattice")}
        channels = list(notes.get("channels") or [])
        for each in (*(s.attrs for s in self.samples), self.evaluation.attrs if self.evaluation else {}):
            known.update(each)
        for each in self.samples:
            channels = channels or each.channels
        if self.evaluation is not None:
            channels = self.evaluation.scores["about"]["channels"]
        known = {key: value for key, value in known.items() if value is not None}
        known.setdefault("name", ", ".join(map(str, channels[:4])) + (", ..." if len(channels) > 4 else ""))
        return known

    def shown(self, channels: list[str], units: list[str]) -> list[Shown]:
        """What is drawn of these channels: each by itself, three colours as one picture."""
        attrs, words = self.attrs, ["name", "long_name", "standard_name"]
        look = attrs.get("look")
        if [name.lower() for name in channels] in COLOURS or (look == "rgb" and len(channels) == 3):
            return [Shown([0, 1, 2], "colours", "", "rgb")]
        told = " ".join(str(attrs.get(word, "")) for word in words) if len(channels) == 1 else ""
        looks = [
            "terrain" if any(word in f"{name} {told}".lower() for word in TERRAIN_NAMES) else None for name in channels
        ]
        looks = [look] if look is not None and len(channels) == 1 else looks
        return [
            Shown([i], name, unit, each)
            for i, (name, unit, each) in enumerate(zip(channels, units, looks, strict=True))
        ]

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
            raise InputError(f"{path} does not exist; give a run, model or evaluation folder, or a file of samples")
    files = [file for path in sources for file in _read(path, material)]
    material.samples += [read_samples(file, material.config) for file in files]  # a model says how they lie
    return material


def _read(path: Path, material: Material) -> list[Path]:
    """Read a model or an evaluation; the sample files that are left to be read."""
    if (path / "scores.json").exists() or (path / "fields.nc").exists():
        material.evaluation = load_evaluation(path)
        return []
    if (path / "config.json").exists():
        material.config = _configuration(path / "config.json")
        material.history = read_history(path / "history.jsonl")
        return []
    if path.suffix in FILES:
        return [path]
    if path.is_dir() and (parts := _parts(path)):
        return [file for part in parts for file in _read(part, material)]
    raise InputError(
        f"{path} holds no model, evaluation or samples that a report can show; give a folder that an rgdm command "
        f"wrote, or samples as {', '.join(FILES)}"
    )


def _parts(run: Path) -> list[Path]:
    return [p for p in sorted(run.iterdir()) if p.name in ("model", "evaluation") or p.suffix in FILES]


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


def read_samples(path: Path, config: dict[str, Any] | None = None) -> Samples:
    """The first field of a file that `rgdm sample` or `rgdm refine` wrote, with its channels, north up.

    The configuration of a model says which axes are the lattice, and where its data had north.
    """
    grid = [str(axis["name"]) for axis in find(config or {}, "grid") or []]
    source = open_source(path, len(grid) or 2)
    try:
        with reading(path):
            names = source.channels or sorted(source.variables, key=lambda name: source.variables[name].ndim)[-1:]
            first = source.variables[names[0]]
            lattice = _lattice(first, grid)
            variables = [source.variables[name] for name in names if set(lattice) <= set(source.variables[name].dims)]
            known = _axes_of(config)
            rising = [axis.get("rising") for axis in known] if len(known) == len(lattice) else []
            lying = orientation_of(first, lattice, rising)
            shown = lying.apply(np.concatenate([_first(variable, lattice) for variable in variables]))
            channels, units = [], []
            for name, variable in zip(names, variables, strict=False):
                each = [str(c) for c in variable["channel"].values] if "channel" in variable.coords else []
                count = variable.sizes.get("channel", 1)
                channels += each or ([name] if count == 1 else [f"{name} {i}" for i in range(count)])
                units += [str(variable.attrs.get("units", ""))] * count
            attrs = {**source.attrs, **(first.attrs if len(variables) == 1 else {})}
            return Samples(path, shown, channels, units, attrs, lying)
    finally:
        source.close()


def _lattice(variable: xr.DataArray, grid: list[str]) -> list[Hashable]:
    """The lattice axes: those of the model, or all that are no samples, members or times, three at most."""
    if grid:
        try:
            return lattice_axes(variable, len(grid), order=grid)[1]
        except InputError:  # a file of another model
            pass
    roles = axis_roles(variable)
    axes = [name for name in variable.dims if name != "channel"]
    return [name for name in axes if roles[name] not in ("batch", "t")][-3:] or axes[-1:]


def _axes_of(config: dict[str, Any] | None) -> list[dict[str, Any]]:
    identity = ((config or {}).get("metadata") or {}).get(IDENTITY) or {}
    return [axis for axis in identity.get("axes", []) if isinstance(axis, dict)]


def _first(variable: xr.DataArray, lattice: list[Hashable]) -> np.ndarray:
    """The first field (C, *L) along all axes that are not lattice, no more of it than is shown."""
    variable = variable.isel({dim: 0 for dim in variable.dims if dim not in lattice and dim != "channel"})
    variable = variable.isel({dim: slice(0, LARGEST) for dim in lattice})
    values = variable.transpose(..., *lattice).values
    return values if "channel" in variable.dims else values[None]


def _configuration(path: Path) -> dict[str, Any]:
    """What describes a model, whichever it is."""
    content = read_json(path)
    try:
        checked_metadata(content.get("metadata") or {})
        Grid.from_json(find(content, "grid") or Grid.uniform().to_json())
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}; train again or use another copy of the model") from None
    return content


def find(config: Any, key: str) -> Any:
    """The first value of ``key`` anywhere in nested configuration."""
    if not isinstance(config, dict):
        return None
    if key in config:
        return config[key]
    return next((inner for value in config.values() if (inner := find(value, key)) is not None), None)
