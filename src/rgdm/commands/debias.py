"""A model's output in, the same with the distribution of observed values out."""

import numpy as np
import xarray as xr

from rgdm import config
from rgdm.bias.debias import debias_datasets, pairs_of
from rgdm.bias.figures import Figures
from rgdm.bias.variable import Choices
from rgdm.commands.shared import provenance
from rgdm.data.results.raster import TIFF, check_raster
from rgdm.data.variables import read_variables
from rgdm.data.writing import check_output, write_field
from rgdm.errors import InputError
from rgdm.ranges import check_options


def debias(options: config.Debias) -> list[Figures]:
    """Correct the variables of a file, write them, and say how far each was off."""
    check_options(options)
    check_output(options.out, options.overwrite)
    names = _names(options.variable)
    model = read_variables(options.model_output, list(names or ()))
    observed = read_variables(options.like, list((names or {}).values()))
    given = [model, observed]
    if options.apply is not None:
        given.append(read_variables(options.apply, [str(name) for name in names or model.data_vars], names is None))
    what = [str(options.model_output), str(options.like), str(options.apply)]
    if options.out.suffix in TIFF:
        written = model if options.apply is None else given[-1]
        check_raster(written[[*(names or pairs_of(model, observed, what))]])
    choices = Choices(
        options.group,
        options.pooled,
        options.quantiles,
        options.kind,
        options.method,
        options.wet,
        options.seed,
        options.force,
    )
    made, figures = debias_datasets(given, choices, what, names)
    write_field(options.out, made, options.overwrite, _attributes(options, made), _missing(made))
    return figures


def debias_table(figures: list[Figures]) -> list[str]:
    """How far each variable was off, before and after."""
    return [line for each in figures for line in each.lines()]


def _names(variable: str | None) -> dict[str, str] | None:
    """The observed variable of each of the model's that the user names: ``NAME`` or ``NAME=OTHER``, after commas."""
    if variable is None:
        return None
    pairs = [word.partition("=") for word in variable.split(",")]
    names = {own.strip(): (other if sign else own).strip() for own, sign, other in pairs}
    if not all(names) or not all(names.values()) or len(names) < len(pairs):
        raise InputError(f"--variable {variable} names nothing, or something twice; give NAME or NAME=OTHER, by commas")
    return names


def _attributes(options: config.Debias, made: xr.Dataset) -> dict[str, str]:
    """Provenance, and a line more of the history of the file."""
    written = provenance(options)
    line = (
        f"{written['made_by']}: {options.apply or options.model_output} corrected to be distributed like {options.like}"
    )
    before = str(made.attrs.get("history", "")).strip()
    return {**written, "history": f"{line}\n{before}" if before else line}


def _missing(made: xr.Dataset) -> int:
    return sum(int(np.isnan(array.to_numpy()).sum()) for array in made.data_vars.values() if array.dtype.kind == "f")
