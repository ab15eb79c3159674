"""Other methods, each a module, behind one interface: ``fit``, then ``refine`` or ``sample``."""

from typing import Protocol

from torch import Tensor


class Peer(Protocol):
    """A method that learns from fine fields ``(B, 1, *F)``, in their own units."""

    @property
    def name(self) -> str: ...

    @property
    def evaluations(self) -> int:
        """Network calls a field."""
        ...

    def fit(self, fields: Tensor) -> None:
        """Learn what is to be learned."""
        ...


class Refiner(Peer, Protocol):
    """A peer that makes fine fields of coarse ones."""

    def refine(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        """An ensemble ``(members, B, 1, *F)`` of fields of coarse ones ``(B, 1, *K)``; the same for the same seed."""
        ...


class Maker(Peer, Protocol):
    """A peer that makes fields from nothing."""

    def sample(self, side: int, count: int, seed: int) -> Tensor:
        """Fields ``(count, 1, side, side)``; the same for the same seed."""
        ...
