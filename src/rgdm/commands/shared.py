"""What the commands have in common: reading, checking, notes, and what is written on every output."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from rgdm import __version__
from rgdm.data.checks import check_finite
from rgdm.data.fields import read_field
from rgdm.data.memory import check_memory
from rgdm.errors import InputError
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale.coarse_graining import Lattice
from rgdm.train import choose_device


def load(paths: list[Path] | tuple[Path, ...], variable: str | None, dimension: int, fill: bool) -> xr.DataArray:
    """A checked field ``(sample, channel, *lattice)``."""
    return check_finite(read_field(paths, variable, dimension), fill)


def open_model(name: str, device: str) -> Cascade:
    """A model on the device asked for."""
    return Cascade.from_pretrained(name).to(choose_device(device))


def check_seed(seed: int) -> None:
    """Raise ``ValueError`` if torch does not take the seed."""
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed is {seed}; it must be between 0 and 2^63 - 1")


def check_channels(model: Cascade, field: xr.DataArray, path: Path) -> None:
    """Raise ``ValueError`` if the field has another number of channels than the model."""
    if field.sizes["channel"] != model.channels:
        raise InputError(
            f"{path} has {field.sizes['channel']} channel(s); the model was trained on {model.channels} "
            f"({', '.join(channel_names(model))}): choose with --variable"
        )


def note(model: Cascade, field: xr.DataArray | None = None) -> None:
    """Say on stderr what is allowed and perhaps not meant: a training cut short, another variable, another unit."""
    if "training" not in model.metadata:
        print("rgdm: note: the training of this model was not finished (rgdm train ... --resume)", file=sys.stderr)
    if field is None or field.name is None:
        return
    for what, trained, given in (
        ("variable", ", ".join(channel_names(model)), ", ".join(str(name) for name in field["channel"].values)),
        ("unit", model.metadata.get("attrs", {}).get("units"), field.attrs.get("units")),
    ):
        if trained and given and trained != given:
            print(f"rgdm: note: the {what} is {given}; the model was trained on {trained}", file=sys.stderr)


def check_size(model: Cascade, lattice: Lattice, fields: int) -> None:
    """Raise ``ValueError`` if the lattice does not suit the model, or the memory does not suffice."""
    if len(lattice) != model.dimension:
        raise InputError(f"the lattice {lattice} has {len(lattice)} axes; this model is {model.dimension}-dimensional")
    if any(n < 1 for n in lattice):
        raise InputError(f"the lattice {lattice} has an empty axis; every axis needs at least 1 site")
    what = f"{fields} x " + " x ".join(str(n) for n in lattice)
    check_memory(model.memory(lattice, fields), f"making {what} sites")


def describe(field: xr.DataArray) -> dict[str, Any]:
    """Names and units of the training data, to be written on what the model makes."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in field.attrs.items()}
    attrs = {k: v for k, v in plain.items() if isinstance(v, str | int | float)}
    return {
        "name": str(field.name or ""),
        "channels": [str(name) for name in field["channel"].values],
        "attrs": {str(k): v for k, v in attrs.items()},
    }


def channel_names(model: Cascade) -> list[str]:
    """The channels by name."""
    return model.metadata.get("channels") or [f"channel{i}" for i in range(model.channels)]


def provenance(options: Any, command: str = "") -> dict[str, str]:
    """What is written into the attributes of every output: command (by default that of the options) and options."""
    settings = ", ".join(f"{key}={value}" for key, value in vars(options).items())
    return {"made_by": f"rgdm {__version__} {command or type(options).__name__.lower()}", "settings": settings}
