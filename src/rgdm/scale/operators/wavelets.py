"""Orthonormal wavelets as lattices of plane rotations: named ones, and the base of those that are learned."""

import abc
import functools
import math
from collections.abc import Sequence

import pywt
import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import Orthonormal

Number = float | Tensor
Rotation = tuple[tuple[Number, Number], tuple[Number, Number]]


class RotationLattice(Orthonormal):
    """A filter bank of factor 2 made of plane rotations of neighbouring sites, alternately on even and odd pairs.

    p layers make filters of 2p taps, and every orthonormal filter bank of two bands is one (Vaidyanathan & Hoang
    1988, IEEE TASSP 36, 81). Every layer is orthonormal on any lattice: a ``periodic`` one pairs the two ends, a
    ``reflect`` one leaves an unpaired end alone (an orthonormal edge filter: there the coarse value is no plain
    local mean).

    Along the layers the low-pass drifts one way and the high-pass the other. ``delay`` is by how many coarse sites the
    detail of a torus is moved back, so that a coarse site and its detail, numbered alike, are of the same place, to
    within half a coarse site.
    """

    def __init__(self, boundary: Boundary) -> None:
        super().__init__(2)
        self.boundary = check_boundary(boundary)

    @property
    @abc.abstractmethod
    def layers(self) -> Sequence[Rotation]:
        """The rotations, first layer first; the last one turns the pairs that become a coarse site."""

    @property
    def place(self) -> float:
        """The centre of gravity of the low-pass, where a ramp has the coarse value; filters of few taps lean."""
        n = 8 * len(self.layers)
        row = self.matrix(n)[n // 4]
        return float((row * (torch.arange(n) - n // 2)).sum() / row.sum())

    @property
    def delay(self) -> int:
        """See the class; of any boundary what a torus would have."""
        with torch.no_grad():
            return _delay(tuple(self.layers))

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        with torch.no_grad():
            total = _product(self.layers, n, self.boundary == "periodic")
        return torch.cat([total[::2], total[1::2].roll(self._moved, 0)])

    @property
    def _moved(self) -> int:
        return self.delay if self.boundary == "periodic" else 0  # two ends do not belong together

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        even, odd = x[..., ::2], x[..., 1::2]
        layers = self.layers
        for step, layer in enumerate(layers):
            even, odd = self._rotate(even, odd, layer, (len(layers) - 1 - step) % 2)
        delay = self._moved
        return torch.stack([even, odd.roll(delay, -1) if delay else odd], -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        even, odd = z.unbind(-2)
        delay = self._moved
        odd = odd.roll(-delay, -1) if delay else odd
        layers = self.layers
        for step, (a, b) in reversed(list(enumerate(layers))):
            transpose = ((a[0], b[0]), (a[1], b[1]))
            even, odd = self._rotate(even, odd, transpose, (len(layers) - 1 - step) % 2)
        return torch.stack([even, odd], -1).flatten(-2)

    def _rotate(self, even: Tensor, odd: Tensor, layer: Rotation, shifted: int) -> tuple[Tensor, Tensor]:
        """Rotate the pairs (even_i, odd_i), or (odd_i, even_{i+1}) where ``shifted``."""
        (a, b), (c, d) = ((_as(first, even), _as(second, even)) for first, second in layer)
        if not shifted:
            return a * even + b * odd, c * even + d * odd
        if self.boundary == "periodic":
            following = even.roll(-1, -1)
            return (c * odd + d * following).roll(1, -1), a * odd + b * following
        first, second = odd[..., :-1], even[..., 1:]
        return (
            torch.cat([even[..., :1], c * first + d * second], -1),
            torch.cat([a * first + b * second, odd[..., -1:]], -1),
        )


class Wavelet(RotationLattice):
    """An orthonormal wavelet of PyWavelets (``haar``, ``db4``, ``sym8``, ``coif2``, ...), factor 2."""

    def __init__(self, name: str = "db4", boundary: Boundary = "periodic") -> None:
        super().__init__(boundary)
        if name not in pywt.wavelist(kind="discrete"):  # pyright: ignore[reportAttributeAccessIssue]
            raise InputError(f"unknown wavelet {name!r}; haar, db1..db38, sym2..sym20 and coif1..coif17 are orthogonal")
        wavelet = pywt.Wavelet(name)  # pyright: ignore[reportAttributeAccessIssue]
        if not wavelet.orthogonal:
            raise InputError(f"the wavelet {name!r} is not orthogonal; haar, db*, sym* and coif* are")
        self.name = name
        self.rotations = rotation_lattice(wavelet.rec_lo)

    @property
    def blockwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.name == "haar"

    @property
    def layers(self) -> list[Rotation]:
        return self.rotations


def _product(layers: Sequence[Rotation], n: int, periodic: bool) -> Float[Tensor, "n n"]:
    """All layers one after the other: rows of low-pass and high-pass in turn."""
    total = torch.eye(n, dtype=torch.float64)
    for step, layer in enumerate(layers):
        dense = torch.eye(n, dtype=torch.float64)
        for i in range((len(layers) - 1 - step) % 2, n, 2):
            pair = [i, (i + 1) % n]
            if i + 1 < n or periodic:
                block = torch.tensor([[float(value) for value in row] for row in layer], dtype=torch.float64)
                dense[torch.tensor(pair)[:, None], torch.tensor(pair)] = block
        total = dense @ total
    return total


@functools.lru_cache(maxsize=64)
def _delay(layers: tuple[Rotation, ...]) -> int:
    """Half of what separates, by their energies, a high-pass from the low-pass before it."""
    n = 8 * len(layers)  # as wide as any filter reaches, and more
    pair = _product(layers, n, True)[n // 2 : n // 2 + 2].square()
    low, high = (pair @ torch.arange(n, dtype=torch.float64)).tolist()
    return round((high - low) / 2)


def _as(value: Number, like: Tensor) -> Number:
    """A number that leaves the dtype of the field alone."""
    return value.to(like) if isinstance(value, Tensor) else value


def rotation_lattice(low: list[float]) -> list[Rotation]:
    """Factor an orthonormal low-pass of 2p taps into p plane rotations, first layer first."""
    taps = torch.tensor(low, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(low) // 2)
    rows = torch.stack([taps, taps.flip(0) * signs])
    layers: list[Rotation] = []
    while rows.shape[1] > 2:
        cos, sin = _unit(rows[1, -1].item(), -rows[0, -1].item())
        rotated = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64) @ rows
        if max(rotated[0, -2:].abs().max(), rotated[1, :2].abs().max()) > 1e-6:
            raise InputError(
                f"a filter of {len(low)} taps cannot be factored into rotations: it is not orthonormal, "
                "or too long for double precision; a shorter one of its family can"
            )
        layers.append(((cos, -sin), (sin, cos)))
        rows = torch.stack([rotated[1, 2:], rotated[0, :-2]])
    (a, b), (c, d) = rows.tolist()
    a, b = _unit(a, b)
    handed = math.copysign(1.0, a * d - b * c)
    layers.append(((a, b), (-handed * b, handed * a)))
    return layers[::-1]


def _unit(x: float, y: float) -> tuple[float, float]:
    length = math.hypot(x, y)
    return x / length, y / length
