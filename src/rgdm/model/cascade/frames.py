"""Which fields follow each other in time: sequences, and when in them each field is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from rgdm.data.layout import DataArrayLayout, DatasetLayout, Layout
from rgdm.data.moments import missing_times, moments, time_of
from rgdm.errors import InputError
from rgdm.model.cascade.keys import MEMBERS, hashed, names
from rgdm.notes import say

OFFSETS = (1, 2, 3)
"""Frames that are compared are so many apart, and 2 and 3 times all powers of 2 up to the length of a sequence."""
ANCHORS = 16
"""Frames that others are compared with, of sequences together that are longer than ``SHORT``."""
SHORT = 48
LISTED = 5
"""Most samples that a message names."""


@dataclass(frozen=True)
class Frames:
    """Several fields in time.

    Args:
        sequences: of which sequence each is: what its coordinates say beside the time.
        times: when each is, in ``unit``.
        unit: as in :class:`~rgdm.data.moments.Moments`.
    """

    sequences: tuple[str, ...]
    times: np.ndarray
    unit: str

    def streams(self) -> list[int]:
        """The number of the sequence of each frame, of member 0 of an ensemble; member m has the m-th after it."""
        return [MEMBERS * hashed(f"sequence {name}") for name in self.sequences]

    def in_order(self) -> list[list[int]]:
        """The frames of each sequence in the order of their times."""
        own: dict[str, list[int]] = {}
        for i in np.argsort(self.times, kind="stable"):
            own.setdefault(self.sequences[i], []).append(int(i))
        return list(own.values())

    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of frames of one sequence, the earlier one first: neighbours, and others ever farther apart."""
        sequences = [own for own in self.in_order() if len(own) > 1]
        sequences = [sequences[i] for i in _spread(len(sequences), ANCHORS)]
        found = set()
        for own in sequences:
            n = len(own)
            offsets = {o * 2**k for o in OFFSETS[1:] for k in range(n.bit_length())} | {OFFSETS[0]}
            few = max(2, SHORT // len(sequences))
            for anchor in range(n) if n <= few else _spread(n, max(2, ANCHORS // len(sequences))):
                for o in offsets:
                    found |= {(own[a], own[a + o]) for a in (anchor, anchor - o) if a >= 0 and a + o < n}
        return sorted(found)


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))}) if count else []


def frames_of(layout: Layout, count: int, otherwise: str = "") -> Frames | None:
    """The times of ``count`` fields and the sequences they belong to; None where they have no time.

    Times that are words are none, which is said; that of a single field, or of all fields together, may be missing.

    Raises:
        InputError: if times of several fields are missing; ``otherwise`` says what also helps.
    """
    if isinstance(layout, DatasetLayout):
        layout = next(iter(layout.variables.values()))
    if not isinstance(layout, DataArrayLayout):
        return None
    source, batch = layout.source, layout.batch
    of_time = time_of(source, batch)
    if not of_time:
        return None
    sizes = {axis: source.sizes[axis] for axis in batch}
    time = source.coords[of_time[0]]
    if (gone := missing_times(time)).any():
        if time.size < 2:
            return None
        each = xr.Variable(time.dims, gone).set_dims(sizes).transpose(*batch).values.reshape(count)
        raise InputError(_without_time(str(time.name), each) + otherwise)
    try:
        found = moments(time)
    except InputError as error:
        say([f"{error}: the fields are taken as if they did not follow each other in time"])
        return None
    own = xr.Variable(time.dims, found.values).set_dims(sizes).transpose(*batch)
    follow = [*of_time, *(name for name, coordinate in source.coords.items() if _follows(coordinate, time))]
    return told_apart(names(source, batch, count, follow), own.values.reshape(count), found.unit)


def _without_time(name: str, gone: np.ndarray) -> str:
    """Of which fields the time is missing, and what helps."""
    places = [str(place) for place in np.flatnonzero(gone)]
    listed = ", ".join(places[:LISTED]) + (", ..." if len(places) > LISTED else "")
    return (
        f"{name} is missing for {len(places)} of {gone.size} samples ({listed}, counted from 0), so that nobody knows "
        f"which fields they follow: give it, or leave these samples out"
    )


def _follows(coordinate: xr.DataArray, time: xr.DataArray) -> bool:
    """Whether a coordinate changes with the time and does not tell frames of one moment apart.

    Measured numbers (a concentration, a lead time) do, and dates that are always as long before; whole numbers and
    words may be members.
    """
    if coordinate.dims != time.dims or time.size < 2:
        return False
    if coordinate.dtype.kind == "M" and time.dtype.kind == "M":
        return len(np.unique(coordinate.values - time.values)) == 1
    return coordinate.dtype.kind == "f"


def frames_at(times: Any, count: int) -> Frames:
    """The times of ``count`` fields of one sequence: numbers or dates, or an xarray coordinate.

    Raises:
        InputError: if they are not as many, or no times.
    """
    if isinstance(times, Frames):
        found = times
    else:
        own = times if isinstance(times, xr.DataArray) else xr.DataArray(np.asarray(times), dims=("time",), name="time")
        values, unit = moments(own)
        found = told_apart([""] * values.size, values.ravel(), unit)
    if len(found.times) != count:
        raise InputError(f"{len(found.times)} times for {count} fields; one for each is needed")
    return found


def told_apart(sequences: Sequence[str], times: np.ndarray, unit: str) -> Frames:
    """Frames; of those of one sequence at one time the second, third, ... are of sequences of their own."""
    seen, apart = Counter[tuple[str, float]](), []
    for name, time in zip(sequences, times.tolist(), strict=True):
        apart.append(f"{name}#{seen[name, time]}")
        seen[name, time] += 1
    return Frames(tuple(apart), times, unit)
