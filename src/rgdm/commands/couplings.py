"""Couplings at every scale: what Hamiltonian fields have at every scale, printed, drawn and kept."""

import math

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from rgdm import config
from rgdm.atomic import replacing
from rgdm.commands.shared import check_size, load, open_model, provenance, without_gaps
from rgdm.data.axes import grid_of
from rgdm.data.checks import check_varies
from rgdm.data.layout import unwrap
from rgdm.data.writing import write_field
from rgdm.errors import InputError
from rgdm.evaluate.likelihood import PROBES, TOLERANCE, windows
from rgdm.figures import with_error
from rgdm.jackknife import FEWEST, jackknife
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.geometry import check_sample
from rgdm.physics.hamiltonian import couplings_by_scale
from rgdm.physics.interactions import local_interactions
from rgdm.progress import bar
from rgdm.ranges import check_options
from rgdm.scale.coarse_graining import CoarseGraining, Lattice
from rgdm.scale.grid import Grid
from rgdm.scale.operators.registry import make_operator


def couplings(options: config.Couplings) -> xr.Dataset:
    """Couplings and errors ``(level, interaction)`` of the fields, or of fields that a model makes."""
    check_options(options)
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists; choose another name or pass --overwrite")
    x, operator, grid, model = _fields(options)
    isotropic = not options.anisotropic
    interactions = local_interactions(grid.dimension, options.reach, options.power, options.odd, isotropic)
    table = couplings_by_scale(
        x, operator, options.levels, interactions, options.eta, grid.periodic, options.noise, options.seed
    )
    same = model is not None and options.operator == model.design.operator and _alike(grid, model, options.levels)
    if model is not None and same and model.design.has_density:
        table = table.assign(_own_energy(model, x, options.levels))
    if options.out is not None:
        picture, path = _picture(table), options.out / "couplings.png"
        write_field(options.out / "couplings.nc", table, options.overwrite, provenance(options), missing=None)
        if picture is None:
            path.unlink(missing_ok=True)  # of earlier couplings
        else:
            with replacing(path) as draft:
                draft.write_bytes(picture)
    return table


def _fields(options: config.Couplings) -> tuple[Tensor, CoarseGraining, Grid, Cascade | None]:
    """Fields of one channel, the coarse-graining of their grid, and the model that they were sampled from."""
    first = str(options.fields[0])
    if len(options.fields) == 1 and storage.is_model(first):
        model = open_model(first, options.device)
        if model.channels != 1:
            raise InputError(f"the model in {first} has {model.channels} channels; a Hamiltonian is fitted to one")
        units = model.grid.widths(model.levels)
        lattice = options.lattice or tuple(max(64 // unit, 1) * unit for unit in units)
        check_size(model, lattice, options.count)
        check_sample(model.grid, model.levels, lattice, options.count)
        own = [b if isinstance(b, int) else b[: options.levels] for b in model.grid.factors]
        grid = Grid.uniform(model.dimension, model.grid.boundaries, options.factor or own, model.grid.names)
        grid = grid.of_levels(options.levels)
        operator = _operator(options, grid, lattice)
        with bar("sampling", options.count) as show:
            fields = model.sample(lattice, options.count, options.seed, watch=show)
        return fields.cpu(), operator, grid, model
    if options.lattice:
        raise InputError(f"--lattice {options.lattice} is for fields that a model makes; {first} is no model")
    field = load(options.fields, options.variable, options.dimension, options.axes, force=options.force)
    grid = grid_of(field, options.boundary, options.factor or 2).of_levels(options.levels)
    field, _ = without_gaps(field, grid.boundaries, options.fill, "the fit takes them for data")
    check_varies(field)
    if field.sizes["channel"] != 1:
        raise InputError(f"{first} has {field.sizes['channel']} channels; a Hamiltonian is fitted to one: --variable")
    values, _ = unwrap(field, 1, options.dimension)
    if len(values) == 1:
        raise InputError(f"{first} holds one field; errors need at least {FEWEST}, cut it into pieces")
    return values, _operator(options, grid, tuple(values.shape[2:])), grid, None


def _alike(grid: Grid, model: Cascade, levels: int) -> bool:
    """Whether the levels that a model has are coarse-grained by its factors."""
    return all(grid.factors_at(level) == model.grid.factors_at(level) for level in range(min(levels, model.levels)))


def _operator(options: config.Couplings, grid: Grid, lattice: Lattice) -> CoarseGraining:
    """The coarse-graining, if the lattice can be coarsened so often."""
    operator = make_operator(options.operator, grid)
    operator.check_depth(lattice, options.levels)
    return operator


def _own_energy(model: Cascade, fields: Tensor, levels: int) -> dict[str, tuple[str, list[float]]]:
    """``-log p`` a site of the fields of each level, in the model's own units, and its error; NaN below the model."""
    try:
        x = windows(fields, model.grid, model.levels).values.to(model.device)
    except InputError:  # of large periodic fields it takes long
        return {}
    with bar("own energy", model.levels) as show:
        known = model.log_prob(x, probes=PROBES, tolerance=TOLERANCE, watch=show)
    parts, sites = [-part.value for part in known.parts], [sum(known.dofs[i:]) for i in range(len(known.dofs))]
    energies = [torch.stack(parts[i:]).sum(0) / sites[i] for i in range(len(parts))]
    known_of = [jackknife(lambda mean: mean, e) for e in energies[: levels + 1]]
    pairs = [(float(each.value), float(each.error)) for each in known_of]
    pairs += [(math.nan, math.nan)] * (levels + 1 - len(pairs))
    return {"energy": ("level", [e for e, _ in pairs]), "energy_error": ("level", [d for _, d in pairs])}


def couplings_table(table: xr.Dataset) -> list[str]:
    """One line a level: each coupling with its error, and the size of the field."""
    names = [str(name) for name in table["interaction"].values]
    has_energy = "energy" in table
    titles = [*names, "field size", *(["-log p a site"] if has_energy else [])]
    rows = []
    for level in range(table.sizes["level"]):
        row = table.isel(level=level)
        cells = [with_error(float(k), float(e)) for k, e in zip(row["coupling"], row["error"], strict=True)]
        cells.append(f"{float(row['scale']):.4g}")
        if has_energy:
            cells.append(with_error(float(row["energy"]), float(row["energy_error"])))
        rows.append(cells)
    width = max(12, *(len(cell) + 2 for cells in [titles, *rows] for cell in cells))
    lines = ["level  " + "".join(title.rjust(width) for title in titles)]
    lines += [f"{level:5d}  " + "".join(cell.rjust(width) for cell in cells) for level, cells in enumerate(rows)]
    field = f"the field less {float(table['mean']):.4g}," if float(table["mean"]) else "the field"
    known = bool(np.isfinite(table["error"].values).any())
    errors = "errors in units of the last digit" if known else f"no errors of fewer than {FEWEST} fields"
    note = f"H = sum of coupling x interaction, p ~ exp(-H), of {field} over its size; {errors}"
    more = ["-log p: of the model, of the field of each level in the model's own units"] if has_energy else []
    return [*lines, note, *more]


def _picture(table: xr.Dataset) -> bytes | None:
    """The couplings as a PNG file, or None without matplotlib."""
    try:
        from rgdm import plots
    except ImportError:  # matplotlib is an extra; the table is kept all the same
        return None
    return plots.figure_to_png(plots.coupling_curves(table))
