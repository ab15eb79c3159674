"""One variable of a model, of observations and perhaps of what to correct: brought onto one form and corrected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import xarray as xr

from rgdm.bias.calendar import Group, Times, compare_length, compare_periods, compare_times, group_names, times_of
from rgdm.bias.cells import cells_of, like_cells, samples_of
from rgdm.bias.correction import Sample, Settings, correct
from rgdm.bias.dry import THRESHOLD, is_positive
from rgdm.bias.figures import Figures, judge_correction
from rgdm.bias.mapping import Kind, Method
from rgdm.data.alignment import Aligned, align
from rgdm.data.checks import counted
from rgdm.data.conventions import finer_attributes
from rgdm.data.identity import Channel, Identity, channel_of
from rgdm.data.missing import present, without_storage
from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.ranges import check_choice, check_range


@dataclass(frozen=True)
class Choices:
    """What is chosen of a correction: the arguments of :func:`~rgdm.bias.debias.debias`; wrong ones are refused."""

    group: Group = "month"
    pooled: bool = False
    quantiles: int = 50
    kind: Kind | None = None
    method: Method = "delta"
    wet: float | None = None
    seed: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        check_choice("group", self.group, get_args(Group))
        check_choice("method", self.method, get_args(Method))
        if self.kind is not None:
            check_choice("kind", self.kind, get_args(Kind))
        if self.wet is not None:
            check_range("wet", self.wet)
        check_range("quantiles", self.quantiles)
        check_range("seed", self.seed)


def debias_variable(
    given: Sequence[xr.DataArray], choices: Choices, what: Sequence[str]
) -> tuple[xr.DataArray, Figures, list[str]]:
    """One variable of a model's output, of observations and perhaps of what to correct; its figures; and notes."""
    name, last = str(given[0].name or "values"), 0 if len(given) == 2 else 2
    arrays = [_numbers(array, called) for array, called in zip(given, what, strict=False)]
    known = replace(channel_of(name, arrays[1].attrs), name=name)
    aligned = [
        align(array.rename(name), Identity((known,)), called, f"{what[1]} has", force=choices.force)
        for array, called in zip(arrays, what, strict=False)
    ]
    times = [times_of(array, called) for array, called in zip(arrays, what, strict=False)]
    notes = [note for each in aligned for note in each.notes]
    notes += compare_times(times[0], times[1], choices.force) + compare_periods(times[0], times[1])
    if last:
        notes += compare_times(times[2], times[0], choices.force)
        notes += compare_length(times[2], times[0]) if choices.method == "delta" else []
    fields = []
    for each, called in zip(aligned, what, strict=False):
        field, more = like_cells(each.field, aligned[last].field, called, what[last])
        fields.append(field)
        notes += more
    samples = [_sample(field, own, choices.group) for field, own in zip(fields, times, strict=True)]
    settings = _settings(choices, samples[1], known, notes)
    late = samples[last] if last else None
    made, few = correct(samples[0], samples[1], late, settings)
    result = _restored(made, fields[last], aligned[last], given[last])
    result.attrs["bias_correction"] = _description(settings, choices, what[1])
    notes += _missing(name, samples[last].values, made, few, settings)
    figures = judge_correction(name, known.units or "", samples[0], samples[1], late, made, settings)
    return result, figures, notes


def _numbers(array: xr.DataArray, what: str) -> xr.DataArray:
    """With NaN where values are missing, without attributes of how they are stored."""
    if array.dtype.kind not in "fiub":
        raise InputError(f"{array.name} of {what} is {array.dtype}; real numbers are needed")
    if not array.size:
        raise InputError(f"{array.name} of {what} has the shape {array.shape}: there is nothing in it")
    if "channel" in array.dims:
        raise InputError(f"{what} has an axis channel; give a Dataset of variables (xarray: to_dataset('channel'))")
    values = present(array)
    made = array.copy(data=values if values.dtype.kind == "f" else values.astype(np.float32))
    made.attrs = without_storage(array.attrs)
    return made


def _sample(field: xr.DataArray, times: Times, group: Group) -> Sample:
    """The values ``(N, C)``, and the group of each row."""
    axes, cells = samples_of(field), cells_of(field)
    count = field.sizes[times.axis] if times.axis is not None else 1
    groups = xr.DataArray(times.groups(group, count), dims=[times.axis if times.axis is not None else "_"])
    sizes = {name: field.sizes[name] for name in axes}
    rows = np.broadcast_to(
        groups.values.reshape([sizes[name] if name == times.axis else 1 for name in axes]), list(sizes.values())
    )
    values = field.transpose(*axes, *cells).to_numpy().astype(np.float64)
    place = [np.arange(sizes[name]) if name == times.axis else np.zeros(sizes[name], int) for name in axes]
    order = sum(np.meshgrid(*place, indexing="ij"), np.zeros(rows.shape, int)) if axes else np.zeros(rows.shape, int)
    return Sample(values.reshape(rows.size, -1), rows.reshape(-1), times.what, order.reshape(-1))


def _settings(choices: Choices, observed: Sample, known: Channel, notes: list[str]) -> Settings:
    """What is chosen, or as the observed values are; what was found is noted."""
    name, unit, kind = known.name, f" {known.units}" if known.units else "", choices.kind
    if kind is None:
        kind = "multiplicative" if is_positive(observed.values) else "additive"
        if kind == "multiplicative":
            notes.append(
                f"{name} is never negative and often 0: it is corrected by factors ({option('--kind additive')} says "
                "otherwise)"
            )
    wet = 0.0
    if kind == "multiplicative":
        mean = float(np.nanmean(observed.values)) if not np.isnan(observed.values).all() else 0.0
        wet = choices.wet if choices.wet is not None else THRESHOLD * mean
        if not wet > 0:
            remedy = option("--kind additive")
            raise InputError(f"the observed mean of {name} is {mean:g}; factors need more than 0: take {remedy}")
        if choices.wet is None:
            notes.append(f"{name} below {wet:.3g}{unit} counts as dry ({option('--wet', 'wet=')} names another value)")
    names = group_names(choices.group)
    return Settings(
        choices.quantiles, kind, choices.method, choices.pooled, wet, choices.seed, len(names), names.__getitem__
    )


def _restored(made: np.ndarray, like: xr.DataArray, aligned: Aligned, given: xr.DataArray) -> xr.DataArray:
    """Corrected values ``(N, C)`` laid out, named and in the units as they were given."""
    corrected = like.copy(data=made.reshape(like.shape).astype(like.dtype)).transpose(*given.dims)
    result = given.copy(data=aligned.restore(corrected).to_numpy())
    result.attrs, result.encoding = finer_attributes(without_storage(given.attrs), {}), {}
    return result


def _description(settings: Settings, choices: Choices, whose: str) -> str:
    name = "quantile delta mapping" if settings.method == "delta" else "empirical quantile mapping"
    groups = {"month": "for each month", "season": "for each season", "none": "for all times"}[choices.group]
    cells = "all cells together" if settings.pooled else "each cell"
    return f"{name} ({settings.kind}) onto {whose}: {settings.quantiles} quantiles, {groups}, {cells}"


def _missing(name: str, given: np.ndarray, made: np.ndarray, few: int, settings: Settings) -> list[str]:
    """What was missing, what has become so, and what has become negative that never was."""
    gaps, new = np.isnan(given), np.isnan(made) & ~np.isnan(given)
    notes = []
    if gaps.any():
        notes.append(f"{counted(gaps)} are missing and stay so")
    if new.any():
        least = f"{few} mappings have fewer than {settings.quantiles} values to learn from"
        notes.append(f"{least}: {int(new.sum())} values more are missing in the result")
    negative = int((made < 0).sum())
    if negative and not (given < 0).any():
        notes.append(
            f"{negative} values have become negative, which none was; {option('--kind multiplicative')} keeps them "
            "positive"
        )
    return [f"{name}: {note}" for note in notes]
