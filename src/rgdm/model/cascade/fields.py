"""Fields, with what is known of the place where they lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.cascade.geometry import weights_of
from rgdm.model.lifts.setting import NOWHERE, Setting


@dataclass(frozen=True)
class Fields:
    """Fields of one lattice, and what is known of their place: what a cascade is fitted, trained and calibrated on.

    Args:
        values: ``(B, C, *L)``, NaN where missing.
        place: areas of cells as weights, companions, and the time, for all samples or for each.
    """

    values: Tensor
    place: Setting = NOWHERE

    @classmethod
    def of(cls, fields: "Tensor | Fields", place: Setting = NOWHERE) -> "Fields":
        """Those of a tensor lie where all sites are alike, unless a place is given."""
        return fields if isinstance(fields, Fields) else cls(fields, place)

    def __post_init__(self) -> None:
        for name, part in zip(("weights", "companions", "the clock"), self.place.parts, strict=True):
            if part is not None and (part.shape[2:] != self.values.shape[2:] or len(part) not in (1, len(self))):
                raise InputError(
                    f"{name} of shape {tuple(part.shape)} do not fit {len(self)} fields on "
                    f"{tuple(self.values.shape[2:])} sites"
                )
        if self.place.companions is not None and not bool(self.place.companions.isfinite().all()):
            raise InputError("a companion has values that are missing or not finite; fill them first")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lattice(self) -> tuple[int, ...]:
        """Sites along each axis."""
        return tuple(self.values.shape[2:])

    @property
    def setting(self) -> Setting:
        """The place, of which sites without a value have no weight."""
        there, areas = weights_of(self.values), self.place.weights
        if there is None or areas is None:
            return replace(self.place, weights=areas if there is None else there)
        return replace(self.place, weights=there * areas.to(there))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Fields":
        """The same done to values, areas, companions and clock, such as cutting out a piece."""
        return Fields(function(self.values), self.place.map(function))

    def of_samples(self, samples: slice | Tensor | list[int]) -> "Fields":
        """Some of them."""
        return Fields(self.values[samples], self.place.of(samples))

    @classmethod
    def joined(cls, fields: Sequence["Fields"]) -> "Fields":
        """Several, of one lattice, one after the other, each with a place of its own."""
        places = [each.place for each in fields]
        return cls(torch.cat([each.values for each in fields]), Setting.joined(places))

    def to(self, like: Tensor | torch.device) -> "Fields":
        """On a device, or in the precision and on the device of a tensor."""
        return Fields(self.values.to(like), self.place.to(like))

    def with_values(self, values: Float[Tensor, "B C *L"]) -> "Fields":
        """Other values at the same places."""
        return replace(self, values=values)
