"""What the backbones that look everywhere share: they see whole lattices, and come from packages of an extra."""

import abc
import importlib
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.networks.backbone import Backbone
from rgdm.scale.boundary import Boundary, continued_index


@dataclass(frozen=True)
class Size:
    """Of a backbone: channels of the noisy state and of the condition, width, blocks of encoder and decoder."""

    channels: int
    condition_channels: int
    dimension: int
    boundaries: tuple[Boundary, ...]
    width: int
    blocks: tuple[int, int]

    @property
    def inputs(self) -> int:
        """Channels of state and condition."""
        return self.channels + self.condition_channels


class MissingPackageError(InputError):
    """A backbone needs a package that is not there."""


def optional(module: str, needed_by: str) -> Any:
    """A module of the extra ``backbones``; ``ValueError`` if its package is not installed or not in order."""
    name = module.split(".")[0]
    package = {"neuralop": "neuraloperator"}.get(name, name)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        state = "is not installed" if missing else f"cannot be imported ({error})"
        raise MissingPackageError(
            f"the backbone {needed_by!r} needs {package}, which {state}; pip install 'rgdm[backbones]'"
        ) from error


class Everywhere(Backbone):
    """A network that looks everywhere: it is shown the condition beside the noisy state, and the whole lattice at once.

    Never in tiles, so its memory grows with the lattice; and what it makes of a site depends on the lattice,
    so it should be trained on lattices of the size, or near the size, that it is to serve. A lattice whose sides do not
    suit it is continued beyond its edges, and what is made there is cut off again.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.channels, self.condition_channels, self.dimension = size.channels, size.condition_channels, size.dimension
        self.boundaries = size.boundaries

    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        if features is None:
            features = x.new_zeros(len(x), self.condition_channels, *x.shape[2:])
        wide, inside = continued(torch.cat([x, features], 1), self.sides(tuple(x.shape[2:])), self.boundaries)
        return self.see(wide, t)[inside]

    @abc.abstractmethod
    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        """The smallest lattice around this one that suits the network."""

    @abc.abstractmethod
    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """What the network makes of state and condition."""


def zero(layer: Any) -> None:
    """A layer that makes nothing yet."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def continued(x: Tensor, sides: tuple[int, ...], boundaries: tuple[Boundary, ...]) -> tuple[Tensor, tuple[slice, ...]]:
    """The field on a lattice of these sides, and where in it the given one lies."""
    inside = [slice(None), slice(None)]
    for axis, (n, side, boundary) in enumerate(zip(x.shape[2:], sides, boundaries, strict=True), start=2):
        before = (side - n) // 2
        inside.append(slice(before, before + n))
        if side > n:
            x = x.index_select(axis, continued_index(-before, side - before, n, boundary, x.device))
    return x, tuple(inside)
