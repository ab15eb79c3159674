"""A model in, fields out: new ones, or refinements of a coarse one."""

import xarray as xr

from rgdm import config
from rgdm.commands.shared import (
    channel_names,
    check_channels,
    check_size,
    load,
    note,
    open_model,
    provenance,
)
from rgdm.data.axes import with_boundary
from rgdm.data.fields import with_own_axes
from rgdm.data.layout import from_samples
from rgdm.data.writing import check_output, write_field
from rgdm.errors import InputError
from rgdm.model.cascade.geometry import check_sample
from rgdm.progress import bar


def sample(options: config.Sample) -> xr.DataArray:
    """Generate fields and write them."""
    check_output(options.out, options.overwrite)
    model = open_model(options.model, options.device)
    check_size(model, options.lattice, options.count)
    check_sample(model.grid, model.levels, options.lattice, options.count)
    with bar("sampling", options.count) as show:
        values = model.sample(options.lattice, options.count, options.seed, options.evaluations, show, options.sweeps)
    attrs = model.metadata.get("attrs", {}) | provenance(options)
    result = with_boundary(from_samples(values, list(model.grid.names), channel_names(model), attrs), model.grid)
    write_field(options.out, result, options.overwrite, provenance(options))
    note(model)
    return result


def refine(options: config.Refine) -> xr.DataArray:
    """Refine a coarse field into an ensemble and write it."""
    check_output(options.out, options.overwrite)
    model = open_model(options.model, options.device)
    coarse = load([options.coarse], options.variable, model.dimension, options.fill)
    check_channels(model, coarse, options.coarse)
    levels = model.depth(options.levels)
    if options.members < 1:
        raise InputError(f"members is {options.members}; at least one is needed")
    lattice = model.operator.fine_lattice(coarse.shape[2:], levels)
    total = coarse.sizes["sample"] * options.members
    check_size(model, lattice, total)
    with bar("refining", total) as show:
        result = model.refine(coarse, options.levels, options.members, options.seed, options.evaluations, watch=show)
    result = with_boundary(with_own_axes(result, coarse), model.grid)
    write_field(options.out, result, options.overwrite, provenance(options))
    note(model, coarse)
    return result
