"""A field made to lie like the data of a model, by names, coordinates and units; or a sentence that says why not."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from rgdm.data.arrangement import choose, convert, flip
from rgdm.data.cells.order import check_calendars, check_order, uneven
from rgdm.data.identity import AxisIdentity, Channel, Identity, channels_of, identity_of, lattice_of
from rgdm.data.units import Conversion, conversion
from rgdm.design import Factor
from rgdm.errors import InputError
from rgdm.notes import option, say
from rgdm.scale.grid import scale_widths

TOLERANCE = 0.05
"""By how much spacings may differ."""


@dataclass(frozen=True)
class Scale:
    """How much coarser than the data of the model a field is: ``factor^levels`` along each axis, of at most so many.

    A factor may be one for each level, the finest first.
    """

    factors: tuple[Factor, ...]
    levels: int = 0
    deepest: int = 0


@dataclass(frozen=True)
class Aligned:
    """A field as the model's data lie, and what was done to it.

    Args:
        field: aligned; of the same type as given.
        flipped: the axes whose direction was turned.
        order: the place of each channel among those given.
        given: how many channels those are.
        conversions: of the units of each channel.
        units: that each channel had before.
        notes: one sentence for each thing that was done, or that could not be compared.
    """

    field: Any
    flipped: tuple[Hashable, ...] = ()
    order: tuple[int, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    units: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()

    def restore(self, result: Any) -> Any:
        """What was made of the field, in the direction, units and order of channels of the one that was given.

        Channels that the model does not have stay away.
        """
        if not isinstance(result, xr.DataArray | xr.Dataset):
            return result
        result = flip(result, self.flipped)
        if any(not each.trivial for each in self.conversions):
            result = convert(result, [each.inverse for each in self.conversions], self.units)
        return choose(result, sorted(range(len(self.order)), key=lambda i: self.order[i]))


def align(
    given: Any,
    known: Identity,
    what: str = "the field",
    whose: str = "the model was trained on",
    scale: Scale | None = None,
    force: bool = False,
) -> Aligned:
    """Compare a field with what is known, and bring channels, directions and units into line.

    Channels are matched by name, else by standard name; axes by name or role, and turned where their coordinates run
    the other way; units of one quantity are converted. Tensors and arrays have no names: they stay as they are.

    Args:
        given: a DataArray or a Dataset, or anything else.
        known: of the model, or of another file.
        what: how messages call the field.
        whose: how messages begin what they say of the other.
        scale: how much coarser the field is; None: not at all.
        force: make notes of what else is refused.

    Raises:
        InputError: for other variables, units of another quantity, another spacing (by more than 5 %) or boundary.
    """
    if not isinstance(given, xr.DataArray | xr.Dataset):
        return Aligned(given)
    talk = _Talk(what, whose, force)
    order = _match(channels_of(given), known.channels, talk)
    field = choose(given, order)
    own = identity_of(field, len(known.axes), [axis.name for axis in known.axes]) if known.axes else None
    conversions, units = _conversions(channels_of(field), known.channels, talk)
    if any(not each.trivial for each in conversions):
        field = convert(field, conversions, [channel.units for channel in known.channels])
    flipped: list[Hashable] = []
    if own is not None:
        lattice = lattice_of(field, len(known.axes), [axis.name for axis in known.axes])
        check_order(field, lattice)
        flipped = [name for name, a, b in zip(lattice, own.axes, known.axes, strict=True) if _turned(a, b, talk)]
        field = flip(field, flipped)
        _compare_regularity(field, lattice, known.axes, talk)
        _compare_spacing(own.axes, known.axes, scale or Scale((1,) * len(known.axes)), talk)
        _compare_boundaries(own, known, talk)
    return Aligned(field, tuple(flipped), tuple(order), tuple(conversions), tuple(units), tuple(talk.notes))


def align_files(fields: Sequence[xr.DataArray], names: Sequence[str], force: bool = False) -> list[xr.DataArray]:
    """Fields ``(sample, channel, *lattice)`` of several files, each aligned with the first; what was done is said."""
    aligned, dimension = [fields[0]], fields[0].ndim - 2
    known = identity_of(fields[0], dimension)
    say(check_calendars(fields, names, force))
    for field, name in zip(fields[1:], names[1:], strict=True):
        if field.ndim - 2 == dimension and len(channels_of(field)) == len(known.channels):  # else refused elsewhere
            found = align(field, known, name, f"{names[0]} has", force=force)
            say(found.notes)
            field = found.field
            own = identity_of(field, dimension, [axis.name for axis in known.axes])
            known = known.completed(own)
        aligned.append(field)
    return aligned


class _Talk:
    """The two sides of a comparison by name, and what is said about it."""

    def __init__(self, what: str, whose: str, force: bool) -> None:
        self.what, self.whose, self.force = what, whose, force
        self.notes: list[str] = []

    def refuse(self, differs: str, remedy: str) -> None:
        if not self.force:
            raise InputError(f"{differs}: {remedy}, or go on as it is with {option('--force')}")
        self.notes.append(f"{differs}; taken as it is")


def _match(given: Sequence[Channel], known: Sequence[Channel], talk: _Talk) -> list[int]:
    """For each known channel the place of that of the field; as they are where names are missing."""
    as_given, places = list(range(len(given))), {channel.name: i for i, channel in enumerate(given)}
    if None in places or any(channel.name is None for channel in known):
        if len(given) != len(known):
            raise InputError(f"{talk.what} has {_count(given)}; {talk.whose} {_count(known)}: {_choose()}")
        return as_given
    names, wanted = [str(channel.name) for channel in given], [str(channel.name) for channel in known]
    if set(wanted) <= set(names):
        order = [places[name] for name in wanted]
        if order != as_given:
            what = "in the order" if len(order) == len(given) else "those"
            talk.notes.append(f"{talk.what} has {', '.join(names)}; {talk.whose} {', '.join(wanted)}: {what} is taken")
        return order
    standard = [channel.standard_name or "" for channel in given]
    meant = [channel.standard_name or "none" for channel in known]
    if all(standard.count(name) == 1 == meant.count(name) for name in meant):
        order = [standard.index(name) for name in meant]
        for channel, i in zip(known, order, strict=True):
            if given[i].name != channel.name:
                same = f"both are {channel.standard_name}"
                talk.notes.append(f"{given[i].name} of {talk.what} is taken for {channel.name}: {same}")
        return order
    differs = f"{talk.what} has {_count(given)}; {talk.whose} {_count(known)}"
    missing = [name for name in wanted if name not in names]
    if len(missing) < len(wanted):
        differs = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: {differs}"
    if len(given) != len(known):
        raise InputError(f"{differs}: {_choose()}")
    talk.refuse(differs, f"{_choose()}, rename the variables")
    return as_given


def _choose() -> str:
    return option("choose with --variable", "choose some of them")


def _count(channels: Sequence[Channel]) -> str:
    names = ", ".join(channel.name for channel in channels if channel.name)
    return f"{len(channels)} channel(s)" + (f" ({names})" if names else "")


def _conversions(
    given: Sequence[Channel], known: Sequence[Channel], talk: _Talk
) -> tuple[list[Conversion], list[str | None]]:
    """What turns the unit of each channel into the known one, and the units before."""
    found = []
    for one, other in zip(given, known, strict=False):
        found.append(Conversion())
        if one.units is None or other.units is None:
            if one.units is None and other.units is not None and one.name is not None:
                talk.notes.append(f"{talk.what} states no unit for {one.name}; it is taken to be in {other.units}")
            continue
        change = conversion(one.units, other.units)
        if change is not None and change.offset and one.difference and other.difference:
            change = Conversion(change.factor)  # of differences, which have no zero
        certain = change is not None and (not change.offset or one.difference == other.difference)
        name = one.name or other.name or "the field"
        if change is None or not certain:
            talk.refuse(f"{talk.what} has {name} in {one.units}; {talk.whose} {other.units}", "convert it")
        elif not change.trivial:
            talk.notes.append(f"{name} of {talk.what} is in {one.units} and is converted; {talk.whose} {other.units}")
            found[-1] = change
    return found, [channel.units for channel in given[: len(found)]]


def _turned(given: AxisIdentity, known: AxisIdentity, talk: _Talk) -> bool:
    """Whether an axis runs the other way."""
    if None in (given.rising, known.rising) or given.rising == known.rising:
        return False
    ways = {True: "rising", False: "falling"}
    talk.notes.append(
        f"{talk.what} has {ways[bool(given.rising)]} {given.name} and is turned; {talk.whose} "
        f"{ways[bool(known.rising)]} {known.name}"
    )
    return True


def _compare_spacing(given: Sequence[AxisIdentity], known: Sequence[AxisIdentity], scale: Scale, talk: _Talk) -> None:
    """Refuse another spacing than that of the data, coarsened so often."""
    compared, widths = [], [scale_widths(scale.factors, level) for level in range(max(scale.levels, scale.deepest) + 1)]
    for one, other, own in zip(given, known, zip(*widths, strict=True), strict=True):
        if one.spacing is None or other.spacing is None:
            continue
        change = conversion(one.units, other.units) if one.units and other.units else None
        if one.units == other.units:
            change = Conversion()
        if change is None:
            if one.units and other.units:
                talk.notes.append(
                    f"{talk.what} has {one.name} in {one.units}; {talk.whose} {other.units}: spacings were not compared"
                )
            continue
        compared.append((one, other.spacing / change.factor, own))
    wrong = [each for each in compared if not _near(each[0].spacing, each[1] * each[2][scale.levels])]
    if not wrong:
        return
    fits = [
        level
        for level in range(1, scale.deepest + 1)
        if all(_near(axis.spacing, fine * own[level]) for axis, fine, own in compared)
    ]
    axis, fine, own = wrong[0]
    unit = f" {axis.units}" if axis.units else ""
    expected = f"{fine:g}{unit}"
    if scale.levels:
        expected += f", which {scale.levels} levels coarsen to {fine * own[scale.levels]:g}{unit}"
    remedy = f"refine by {option(f'--levels {fits[0]}')}" if fits else "regrid it"
    if scale.levels and all(_near(axis.spacing, fine) for axis, fine, _ in compared):
        remedy = "it is as fine as the training data: coarsen it, or judge with it (rgdm evaluate)"
    differs = f"{talk.what} has a spacing of {axis.spacing:g}{unit} along {axis.name}; {talk.whose} {expected}"
    talk.refuse(differs, remedy)


def _compare_regularity(field: Any, lattice: Sequence[Hashable], known: Sequence[AxisIdentity], talk: _Talk) -> None:
    """Refuse uneven steps along an axis on which those of the known data are even."""
    for name, other in zip(lattice, known, strict=True):
        if other.spacing is not None and name in field.coords and (where := uneven(field.coords[name])):
            differs = f"{talk.what} is not regular along {name}, with {where}; {talk.whose} steps of {other.spacing:g}"
            dates = field[name].dtype.kind in "MO"
            talk.refuse(differs, "fill in the dates that are missing" if dates else "regrid it")


def _near(spacing: float | None, expected: float) -> bool:
    return spacing is not None and abs(spacing / expected - 1) <= TOLERANCE


def _compare_boundaries(given: Identity, known: Identity, talk: _Talk) -> None:
    """Refuse what states another boundary."""
    for axis, own, right in zip(given.axes, given.boundaries, known.boundaries, strict=False):
        if not set(own) & set(right):
            differs = f"{talk.what} states the boundary {own[0]} of {axis.name}; {talk.whose} {right[0]}"
            return talk.refuse(differs, "correct its attribute")
    return None
