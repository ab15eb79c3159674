"""The flow of couplings: what Hamiltonian fields have at every scale, printed, drawn and kept."""

from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from rgdm import config
from rgdm.commands.shared import check_size, load, open_model, provenance
from rgdm.data.layout import unwrap
from rgdm.data.validity import check_varies
from rgdm.data.writing import write_field
from rgdm.model import storage
from rgdm.physics.hamiltonian import hamiltonian_flow
from rgdm.physics.operators import local_operators
from rgdm.progress import bar
from rgdm.scale.operators import check_lattice_depth
from rgdm.scale.registry import make_operator


def flow(options: config.Flow) -> xr.Dataset:
    """Couplings and errors ``(level, operator)`` of the fields, or of fields that a model makes."""
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise ValueError(f"{options.out} exists; choose another name or pass --overwrite")
    x, periodic, dimension = _fields(options)
    step = make_operator(options.operator, options.factor, "periodic" if periodic else "reflect")
    check_lattice_depth(step, tuple(x.shape[2:]), options.levels)
    operators = local_operators(dimension, options.reach, options.power, options.odd)
    found = hamiltonian_flow(x, step, options.levels, operators, options.eta, periodic)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_field(options.out / "flow.nc", found, options.overwrite, provenance(options))
        _draw(found, options.out / "flow.png")
    return found


def _fields(options: config.Flow) -> tuple[Tensor, bool, int]:
    """Fields of one channel, whether they are periodic, and their dimension."""
    first = str(options.fields[0])
    if len(options.fields) == 1 and storage.is_model(first):
        model = open_model(first, options.device)
        if model.channels != 1:
            raise ValueError(f"the model in {first} has {model.channels} channels; a Hamiltonian is fitted to one")
        unit = model.step.factor**model.levels
        lattice = options.lattice or (max(64 // unit, 1) * unit,) * model.dimension
        check_size(model, lattice, options.count)
        model.check_sample(lattice, options.count)
        with bar("sampling", options.count) as show:
            made = model.sample(lattice, options.count, options.seed, watch=show)
        return made.cpu(), model.boundary == "periodic", model.dimension
    if options.lattice:
        raise ValueError(f"--lattice {options.lattice} is for fields that a model makes; {first} is no model")
    field = load(options.fields, options.variable, options.dimension, options.fill)
    check_varies(field)
    if field.sizes["channel"] != 1:
        raise ValueError(f"{first} has {field.sizes['channel']} channels; a Hamiltonian is fitted to one: --variable")
    values, _ = unwrap(field, 1, options.dimension)
    if len(values) == 1:
        raise ValueError(f"{first} holds one field; errors need at least 2, cut it into pieces")
    return values, options.boundary == "periodic", options.dimension


def flow_table(found: xr.Dataset) -> list[str]:
    """One line a level: each coupling with its error, and the size of the field."""
    names = [str(name) for name in found["operator"].values]
    width = max(12, *(len(name) + 2 for name in names))
    lines = ["level  " + "".join(name.rjust(width) for name in names) + "field size".rjust(width)]
    for level in range(found.sizes["level"]):
        row = found.isel(level=level)
        cells = [_figure(float(k), float(e)) for k, e in zip(row["coupling"], row["error"], strict=True)]
        lines.append(f"{level:5d}  " + "".join(c.rjust(width) for c in [*cells, f"{float(row['scale']):.4g}"]))
    field = f"the field less {float(found['mean']):.4g}," if float(found["mean"]) else "the field"
    note = f"H = sum of coupling x operator, p ~ exp(-H), of {field} over its size; errors in units of the last digit"
    return [*lines, note]


def _figure(value: float, error: float) -> str:
    """``-0.6813(4)``."""
    digits = 0 if error <= 0 else max(0, min(6, 1 - int(torch.tensor(error).log10().floor())))
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def _draw(found: xr.Dataset, path: Path) -> None:
    try:
        from rgdm import plots
    except ImportError:  # matplotlib is an extra; the table is kept all the same
        return
    with storage.whole(path) as temporary:
        temporary.write_bytes(plots.figure_to_png(plots.coupling_flow(found)))
