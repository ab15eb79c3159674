"""Samples of one variable: a mapping for each cell and group, learned from a reference period and applied."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from rgdm.bias.dry import dried, scattered
from rgdm.bias.mapping import Kind, Method, QuantileMapping
from rgdm.errors import InputError
from rgdm.notes import option

_BLOCK = 2**22
"""Values that are mapped at once, so that what is needed in between stays small."""


@dataclass(frozen=True)
class Sample:
    """Values ``(N, C)`` in float64, NaN where missing, of times in groups ``(N,)``, and how sentences call them.

    ``order`` is the place in time of each row, where rows do not follow each other so (members of an ensemble).
    """

    values: Float[np.ndarray, "N C"]
    groups: np.ndarray
    what: str
    order: np.ndarray | None = None


@dataclass(frozen=True)
class Settings:
    """How a variable is mapped.

    Args:
        quantiles: how many; each column needs as many values.
        kind: of the correction.
        method: by delta or by value.
        pooled: one mapping for all cells.
        wet: the threshold below which values of a positive variable are dry.
        seed: of what is drawn below it.
        groups: of the year: 12 months, 4 seasons, or 1.
        name_of: how sentences call a group by its number.
    """

    quantiles: int
    kind: Kind = "additive"
    method: Method = "delta"
    pooled: bool = False
    wet: float = 0.0
    seed: int = 0
    groups: int = 1
    name_of: Callable[[int], str] = str


def correct(model: Sample, observed: Sample, given: Sample | None, settings: Settings) -> tuple[np.ndarray, int]:
    """The corrected values ``(N, C)`` of ``given``, or of the model itself, and how many columns had too few values.

    Values are missing where they were, and in columns that have fewer values than quantiles.

    Raises:
        InputError: if no column of a group has enough, or a positive variable has negative values.
    """
    parts = [model, observed] if given is None else [model, observed, given]
    if settings.kind == "multiplicative":
        parts = [_scattered(part, settings.wet, (settings.seed, i)) for i, part in enumerate(parts)]
    place = 0 if given is None else 2
    target = parts[place]
    result, few = np.full_like(target.values, np.nan), 0
    for group in np.unique(target.groups).tolist():
        own = [columns_of(part, group, settings.pooled) for part in parts]
        enough = _enough(own, parts, settings, group)
        few += int((~enough & ~np.isnan(own[place]).all(0)).sum())
        mapped = _map(own, own[place], enough, settings)
        result[target.groups == group] = mapped.reshape(-1, result.shape[1])
    return (dried(result, settings.wet) if settings.kind == "multiplicative" else result), few


def columns_of(sample: Sample, group: int, pooled: bool) -> Float[np.ndarray, "n K"]:
    """The values of one group, those of all cells in one column if they are pooled."""
    own = sample.values[sample.groups == group]
    return own.reshape(-1, 1) if pooled else own


def _scattered(sample: Sample, wet: float, seed: tuple[int, int]) -> Sample:
    wrong = sample.values < 0
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} values of {sample.what} are negative, down to {np.nanmin(sample.values):.3g}: set "
            f"them to 0, or take {option('--kind additive')}"
        )
    return replace(sample, values=scattered(sample.values, wet, seed))


def _map(own: list[np.ndarray], target: np.ndarray, enough: np.ndarray, settings: Settings) -> np.ndarray:
    """The target by the first of ``own``, a model's values, and the second, observed ones, where both are enough."""
    result, columns = np.full(target.shape, np.nan), np.flatnonzero(enough)
    width = max(1, _BLOCK // max(1, *(len(part) for part in own)))
    for start in range(0, len(columns), width):
        block = columns[start : start + width]
        learned = (own[0][:, block], own[1][:, block], settings.quantiles, settings.kind, settings.wet)
        mapping = QuantileMapping.fit(*learned)
        apply = mapping.by_delta if settings.method == "delta" else mapping.by_value
        result[:, block] = apply(target[:, block])
    return result


def _enough(own: list[np.ndarray], samples: list[Sample], settings: Settings, group: int) -> np.ndarray:
    """Which columns have as many values as quantiles: of the model, of the observations, and of what has ranks."""
    ranked = own if settings.method == "delta" else own[:2]
    counts = [(~np.isnan(part)).sum(0) for part in ranked]
    enough = np.all([count >= settings.quantiles for count in counts], axis=0)
    if not enough.any():
        most = [int(count.max(initial=0)) for count in counts]
        held = ", ".join(f"{sample.what} has {n}" for sample, n in zip(samples, most, strict=False))
        where = "of all cells" if settings.pooled else "of a cell"
        remedies = [f"--quantiles {min(most)}"] if min(most) > 1 else []
        remedies += {12: ["--group season", "--group none"], 4: ["--group none"]}.get(settings.groups, [])
        remedies = [option(each) for each in [*remedies, *([] if settings.pooled else ["--pooled"])]]
        if len(most) == 3 and most[2] < min(most[:2]):
            remedies.append(f"{option('--method value')}, which needs no ranks")
        remedy = " or ".join(remedies) or "a longer period"
        raise InputError(
            f"{settings.quantiles} quantiles need as many values {where} ({settings.name_of(group)}), and {held}: take "
            f"{remedy}"
        )
    return enough
