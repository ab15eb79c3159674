"""A model in, fields out: new ones, or refinements of a coarse one."""

import math

import xarray as xr

from rgdm import config
from rgdm.commands.beside import known_beside
from rgdm.commands.shared import (
    aligned,
    channel_names,
    check_size,
    load,
    note,
    open_model,
    provenance,
    without_gaps,
)
from rgdm.data.axes import with_boundary
from rgdm.data.checks import blank
from rgdm.data.layout import from_samples
from rgdm.data.mask import absent, read_mask
from rgdm.data.origin import as_dataset, origin_of, with_own_attributes, with_own_axes
from rgdm.data.results.cell_methods import with_cell_methods
from rgdm.data.results.provenance import HISTORY, record_of, with_conventions
from rgdm.data.results.raster import TIFF, check_raster
from rgdm.data.writing import NAMED, check_output, write_field
from rgdm.errors import InputError
from rgdm.model.cascade.edge import cell_method, finer_axes
from rgdm.model.cascade.geometry import check_sample
from rgdm.progress import bar
from rgdm.ranges import check_options


def sample(options: config.Sample) -> xr.DataArray:
    """Generate fields and write them."""
    check_options(options)
    check_output(options.out, options.overwrite, placed=False)
    model = open_model(options.model, options.device)
    check_size(model, options.lattice, options.count)
    check_sample(model.grid, model.levels, options.lattice, options.count)
    with bar("sampling", options.count) as show:
        values = model.sample(options.lattice, options.count, options.seed, options.evaluations, show, options.sweeps)
    made = provenance(options, model=model)
    attrs = model.metadata.get("attrs", {}) | {key: value for key, value in made.items() if key != HISTORY}
    result = with_boundary(from_samples(values, list(model.grid.names), channel_names(model), attrs), model.grid)
    result = with_own_attributes(result, model.metadata.get("own_attrs", {}))
    write_field(options.out, result, options.overwrite, with_conventions({}) | made)
    note(model)
    return result


def refine(options: config.Refine) -> xr.DataArray:
    """Refine a coarse field into an ensemble and write it."""
    check_options(options)
    check_output(options.out, options.overwrite)
    if options.fill and options.mask is not None:
        raise InputError("--fill invents values and --mask says that there are none; give one of the two")
    model = open_model(options.model, options.device)
    coarse = load([options.coarse], options.variable, model.dimension, options.axes, model)
    levels = model.depth(options.levels)
    given = aligned(model, coarse, options.coarse, options.force, levels)
    if options.members < 1:
        raise InputError(f"members is {options.members}; at least one is needed")
    lattice = model.operator.fine_lattice(coarse.shape[2:], levels)
    total = coarse.sizes["sample"] * options.members
    check_size(model, lattice, total)
    if options.out.suffix in TIFF:
        every = coarse.expand_dims(member=options.members)
        finer = max(model.grid.widths(levels))
        check_raster(as_dataset(with_own_axes(every, coarse), coarse, (1,) * model.dimension), finer)
    then = "what is made of them is missing too"
    field, missing = without_gaps(given.field, model.grid.boundaries, options.fill, then, model.takes_gaps)
    mask = None if options.mask is None else read_mask(options.mask, model.grid.names)
    beside = known_beside(model, options, options.coarse)
    factors, places = model.grid.widths(levels), model.operator.places(model.dimension, levels)
    with bar("refining", total) as show:
        settings = options.members, options.seed, options.evaluations
        made = model.refine(field, levels, *settings, show, True, mask, *beside, persistent=options.persistence)
    made = given.restore(blank(made, missing, factors))
    result = with_own_axes(with_boundary(made, model.grid), coarse)
    stored: xr.DataArray | xr.Dataset = result
    if options.out.suffix in NAMED:
        stored = as_dataset(result, coarse, factors, places)
        stored = with_cell_methods(stored, finer_axes(model, stored, levels), cell_method(model))
    gaps = options.members * (
        int(missing.sum()) * math.prod(factors)
        if mask is None
        else absent(missing, mask, field, model.grid.names, factors)
    )
    attrs = provenance(options, "refine", model, origin_of(coarse).attrs.get(HISTORY)) | record_of(made.attrs)
    write_field(options.out, stored, options.overwrite, with_conventions(origin_of(coarse).attrs) | attrs, gaps)
    note(model)
    return result
