"""Quantile mapping of xarray objects: a model's output onto the distribution of observed values of the same cells."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import xarray as xr

from rgdm.bias.calendar import Group
from rgdm.bias.figures import Figures
from rgdm.bias.mapping import Kind, Method
from rgdm.bias.variable import Choices, debias_variable
from rgdm.data.identity import fields_of
from rgdm.errors import InputError
from rgdm.notes import option, say

Data = TypeVar("Data", xr.DataArray, xr.Dataset)
WHAT = ("the model output", "the observed field", "the scenario")


def debias(
    model_output: Data,
    observed: Data,
    apply: Data | None = None,
    *,
    group: Group = "month",
    pooled: bool = False,
    quantiles: int = 50,
    kind: Kind | None = None,
    method: Method = "delta",
    wet: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Data:
    """Bring a model's values to the distribution of observed ones, cell by cell and month by month.

    An estimate, no part of the exact way: it corrects distributions, not how values of neighbouring cells or times
    belong together. Block means of the truth need none of it.

    Args:
        model_output: values of a reference period; axes of time and members are samples, all others are cells.
        observed: of the same period on the same cells; a Dataset has the variables to correct, by name.
        apply: what to correct, such as another period of the same model; None: ``model_output`` itself.
        group: a mapping for each month, for each season (December to February and so on), or one for all times.
        pooled: one mapping for all cells, rather than one for each.
        quantiles: how many are matched, the extremes among them; linear between, and their correction beyond.
        kind: of the correction: ``additive``, or ``multiplicative`` for what is never negative, with as many dry values
            as observed; None: the latter if the observed values are never negative and often 0.
        method: ``delta`` keeps what changes from ``model_output`` to ``apply`` at each quantile, and needs a sample as
            long as it; ``value`` maps each value as its like in ``model_output``, single days too.
        wet: values of a positive variable below it are dry; None: a hundredth of the observed mean.
        seed: of the draw which dry values become wet, where the model is dry too often.
        force: go on where the objects disagree in what they say of themselves (units, steps of time).

    Returns:
        What was to correct, with its coordinates, attributes and units, corrected; NaN where it was missing, and where
        a cell has fewer values than quantiles.

    Raises:
        InputError: for other cells, units of another quantity, times that are not sorted, steps of time that differ,
            too few values, or negative values of a positive variable.
    """
    choices = Choices(group, pooled, quantiles, kind, method, wet, seed, force)
    given: list[Any] = [model_output, observed] + ([] if apply is None else [apply])
    kinds = {type(each) for each in given}
    if kinds == {xr.DataArray}:
        made, _, notes = debias_variable(given, choices, WHAT)
        say(notes)
        return made  # pyright: ignore[reportReturnType]
    if kinds == {xr.Dataset}:
        return debias_datasets(given, choices)[0]  # pyright: ignore[reportReturnType]
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"model_output, observed and apply are {names}; give DataArrays, or Datasets")


def debias_datasets(
    given: Sequence[xr.Dataset],
    choices: Choices,
    what: Sequence[str] = WHAT,
    names: Mapping[str, str] | None = None,
) -> tuple[xr.Dataset, list[Figures]]:
    """As :func:`debias`, of all variables or some, and how far each was off.

    Args:
        given: a model's output, observations, and perhaps what to correct.
        choices: the other arguments.
        what: how sentences call these.
        names: of the variables of the model and the observed ones that belong to them; None: those of one name, or of
            one standard name.
    """
    pairs = dict(names or pairs_of(given[0], given[1], what))
    for data, called, wanted in zip(given, what, (pairs, pairs.values(), pairs), strict=False):
        for name in wanted:
            if name not in data.data_vars:
                held = ", ".join(map(str, fields_of(data)))
                remedy = option("choose with --variable", "rename one")
                raise InputError(f"{called} has no variable {name!r}; it has {held}: {remedy}")
    target, called = (given[2], what[2]) if len(given) == 3 else (given[0], what[0])
    made, figures, notes = {}, [], []
    for own, other in pairs.items():
        parts = [data[name] for data, name in zip(given, (own, other, own), strict=False)]
        made[own], found, told = debias_variable(parts, choices, what)
        figures.append(found)
        notes += told
    left = [name for name in fields_of(target) if name not in made]
    if left:
        notes.append(f"{', '.join(map(str, left))} of {called} is left out: nothing to correct it by is given")
    say(list(dict.fromkeys(notes)))
    return target.drop_vars(left).assign(made), figures


def pairs_of(model: xr.Dataset, observed: xr.Dataset, what: Sequence[str]) -> dict[str, str]:
    """The observed variable that belongs to each of the model's, by name, else by standard name."""
    known, own = ([str(n) for n in fields_of(each) if each[n].dtype.kind in "fiub"] for each in (observed, model))
    pairs: dict[str, str] = {}
    standard = [observed[name].attrs.get("standard_name") for name in known]
    for name in own:
        meant = model[name].attrs.get("standard_name")
        if name in known:
            pairs[name] = name
        elif meant is not None and standard.count(meant) == 1 and known[standard.index(meant)] not in own:
            pairs[name] = known[standard.index(meant)]
            say([f"{name} of {what[0]} is taken for {pairs[name]} of {what[1]}: both are {meant}"])
    if not pairs:
        held = f"{what[0]} has {', '.join(own) or 'no variable'}, {what[1]} {', '.join(known) or 'none'}"
        remedy = option(
            "say what belongs together with --variable MODEL=OBSERVED, or rename one", "give these one name"
        )
        raise InputError(f"{held}: {remedy}")
    return pairs
