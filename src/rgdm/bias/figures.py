"""How far a distribution is off: in means and in quantiles, before and after, and on samples not learned from."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from rgdm.bias.correction import Sample, Settings, columns_of, correct
from rgdm.bias.dry import dry_share
from rgdm.bias.quantiles import quantiles


@dataclass(frozen=True)
class Distance:
    """Of a model's values from observed ones in the same columns (a cell, in a month), the mean over columns.

    Args:
        bias: the absolute difference of the means.
        farthest: the largest difference of two quantiles of one probability.
        columns: how many there were.
    """

    bias: float
    farthest: float
    columns: int

    @classmethod
    def between(cls, model: Float[np.ndarray, "N C"], observed: Float[np.ndarray, "M C"], count: int) -> "Distance":
        """That of columns which both have values in, by ``count`` quantiles; NaN without any."""
        both = ~np.isnan(model).all(0) & ~np.isnan(observed).all(0)
        if not both.any():
            return cls(np.nan, np.nan, 0)
        a, b = model[:, both], observed[:, both]
        bias = np.abs(np.nanmean(a, 0) - np.nanmean(b, 0)).mean()
        farthest = np.abs(quantiles(a, count) - quantiles(b, count)).max(0).mean()
        return cls(float(bias), float(farthest), int(both.sum()))

    @classmethod
    def mean(cls, parts: "list[Distance]") -> "Distance":
        """The mean over the columns of all parts."""
        total = sum(part.columns for part in parts)
        if not total:
            return cls(np.nan, np.nan, 0)
        bias, farthest = (
            sum(part.columns * value for part, value in zip(parts, values, strict=True) if part.columns) / total
            for values in ([part.bias for part in parts], [part.farthest for part in parts])
        )
        return cls(bias, farthest, total)


@dataclass(frozen=True)
class Figures:
    """What a correction has done to one variable.

    Args:
        name: of the variable.
        units: of all figures, those of the observations.
        before: the distance of the model's values of the reference period from the observed ones.
        after: that of the corrected ones, on which the mapping was learned.
        held_out: that of halves of the period, each corrected by what the other half taught; NaN if too short.
        dry: of positive variables, the shares of dry values: observed, of the model, corrected.
        change: the change of the mean from the reference period to what was corrected: of the model, and corrected;
            None if that is the reference period itself.
    """

    name: str
    units: str
    before: Distance
    after: Distance
    held_out: Distance
    dry: tuple[float, float, float] | None = None
    change: tuple[float, float] | None = None

    def lines(self) -> list[str]:
        """A small table."""
        unit = f" ({self.units})" if self.units else ""
        columns = {"before": self.before, "after": self.after}
        if self.held_out.columns:
            columns["held out"] = self.held_out
        title = f"{self.name}{unit}, means over {self.before.columns} mappings"
        rows = [
            ("difference of means", [each.bias for each in columns.values()]),
            ("largest difference of quantiles", [each.farthest for each in columns.values()]),
        ]
        width = max(len(title), *(len(row[0]) + 2 for row in rows))
        lines = [title.ljust(width) + "".join(name.rjust(12) for name in columns)]
        lines += [f"  {name}".ljust(width) + "".join(f"{x:12.3g}" for x in values) for name, values in rows]
        if self.dry is not None:
            observed, model, corrected = self.dry
            lines.append(f"  dry values: {observed:.1%} observed, {model:.1%} before, {corrected:.1%} after")
        if self.change is not None:
            lines.append(f"  change of the mean: {self.change[0]:.4g} before, {self.change[1]:.4g} after")
        return lines


def judge_correction(
    name: str, units: str, model: Sample, observed: Sample, given: Sample | None, made: np.ndarray, settings: Settings
) -> Figures:
    """The figures of a correction, of which ``made`` is the result; of the groups that were corrected."""
    if given is not None:
        model, observed = (_within(sample, given.groups) for sample in (model, observed))
    itself = made if given is None else correct(model, observed, None, settings)[0]
    corrected = replace(model, values=itself)
    dry = change = None
    if settings.kind == "multiplicative":
        shares = [dry_share(each, settings.wet) for each in (observed.values, model.values, itself)]
        dry = (shares[0], shares[1], shares[2])
    if given is not None:
        known = ~np.isnan(made).all(0) & ~np.isnan(itself).all(0)
        late, early, new, old = (np.nanmean(x[:, known]) for x in (given.values, model.values, made, itself))
        change = (float(late - early), float(new - old))
    before, after = (_distance(each, observed, settings) for each in (model, corrected))
    return Figures(name, units, before, after, _held_out(model, observed, settings), dry, change)


def _within(sample: Sample, groups: np.ndarray) -> Sample:
    """The part whose groups are among these."""
    keep = np.isin(sample.groups, groups)
    order = None if sample.order is None else sample.order[keep]
    return replace(sample, values=sample.values[keep], groups=sample.groups[keep], order=order)


def _distance(model: Sample, observed: Sample, settings: Settings) -> Distance:
    parts = []
    for group in np.unique(model.groups).tolist():
        a, b = (columns_of(sample, group, settings.pooled) for sample in (model, observed))
        parts.append(Distance.between(a, b, settings.quantiles))
    return Distance.mean(parts)


def _held_out(model: Sample, observed: Sample, settings: Settings) -> Distance:
    """That of each half of the samples, corrected by value with a mapping learned from the other half."""
    parts = []
    for group in np.unique(model.groups).tolist():
        halves = [_halves(_within(sample, np.array([group]))) for sample in (model, observed)]
        known = [(~np.isnan(columns_of(half, group, settings.pooled))).sum(0) for pair in halves for half in pair]
        least = int(np.min(known, axis=0).max(initial=0))
        if least < 2:
            return Distance(np.nan, np.nan, 0)
        own = replace(settings, quantiles=min(settings.quantiles, least), method="value")
        for here, there in ((0, 1), (1, 0)):
            made, _ = correct(halves[0][there], halves[1][there], halves[0][here], own)
            parts.append(_distance(replace(halves[0][here], values=made), halves[1][here], own))
    return Distance.mean(parts)


def _halves(sample: Sample) -> list[Sample]:
    """The first and the second half in time of the samples of one group."""
    middle = len(sample.groups) // 2
    rows = np.arange(len(sample.groups)) if sample.order is None else np.argsort(sample.order, kind="stable")
    return [
        replace(sample, values=sample.values[i], groups=sample.groups[i], order=None)
        for i in (rows[:middle], rows[middle:])
    ]
