"""Interactions of a lattice field, the terms of its Hamiltonian: local sums over sites with their derivatives."""

import abc
import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError

Shift = tuple[int, ...]


class Interaction(abc.ABC):
    """``O(phi) = sum_x o_x(phi)``, symmetric under the lattice's reflections and exchanges of axes."""

    name: str
    reach: int = 0
    """Distance of the farthest factors of a term along an axis, in sites."""

    @abc.abstractmethod
    def density(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """``o_x`` of each site."""

    @abc.abstractmethod
    def gradient(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """``dO / dphi_x``."""

    @abc.abstractmethod
    def laplacian(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        """``d^2 O / dphi_x^2``."""

    def __call__(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """O of each field."""
        return self.density(x).flatten(1).sum(1)

    def __repr__(self) -> str:
        return self.name


class Power(Interaction):
    """``sum_x phi_x^n``."""

    def __init__(self, exponent: int) -> None:
        if exponent < 1:
            raise InputError(f"the power phi^{exponent} is no interaction; the exponent must be at least 1")
        self.exponent, self.name = exponent, f"phi^{exponent}" if exponent > 1 else "phi"

    def density(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        return x**self.exponent

    def gradient(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        return self.exponent * x ** (self.exponent - 1)

    def laplacian(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        n = self.exponent
        return torch.zeros_like(x) if n == 1 else n * (n - 1) * x ** (n - 2)


class Bond(Interaction):
    """``sum phi_x^p phi_y^q`` over all pairs x, y whose distance is ``shift``, up to reflections and exchanges of axes.

    With ``isotropic=False`` up to reflections only: a bond of its own for each direction.
    Each pair counts once if p = q, else both ways. On an axis of two sites both neighbours of a site are the same one,
    which counts twice.
    """

    def __init__(self, shift: Shift, p: int = 1, q: int = 1, isotropic: bool = True) -> None:
        if min(p, q) < 1 or not any(shift):
            raise InputError(
                f"shift = {shift}, p = {p}, q = {q}; a shift that is not zero and powers from 1 are needed"
            )
        self.shift, self.p, self.q, self.reach = shift, p, q, max(map(abs, shift))
        images = _images(shift) if isotropic else [(shift, sign) for _, sign in _images(shift)]
        self.star = sorted({tuple(a * s for a, s in zip(shape, sign, strict=True)) for shape, sign in images})
        powers = {(1, 1): ""}.get((p, q), f"^{p}.{q}")
        nearest = isotropic and sum(map(abs, shift)) == 1
        self.name = f"bond{powers}{'' if nearest else list(map(abs, shift))}"

    def density(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        share = 0.5 if self.p == self.q else 1.0
        return share * x**self.p * self._around(x**self.q)

    def gradient(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        p, q = self.p, self.q
        one = p * x ** (p - 1) * self._around(x**q)
        return one if p == q else one + q * x ** (q - 1) * self._around(x**p)

    def laplacian(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        def part(p: int, q: int) -> Tensor:
            return torch.zeros_like(x) if p == 1 else p * (p - 1) * x ** (p - 2) * self._around(x**q)

        return part(self.p, self.q) if self.p == self.q else part(self.p, self.q) + part(self.q, self.p)

    def _around(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        if len(axes) != len(self.shift):
            raise InputError(f"the interaction {self.name} is one of {len(self.shift)} dimensions, not of {len(axes)}")
        return torch.stack([x.roll(tuple(-s for s in shift), axes) for shift in self.star]).sum(0)


class Plaquette(Interaction):
    """``sum phi_x phi_{x+mu} phi_{x+mu+nu} phi_{x+nu}`` over all elementary squares."""

    name, reach = "plaquette", 1

    def density(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        return torch.stack([self._corners(x, pair, (1, 1)) for pair in self._pairs(x)]).sum(0) * x

    def gradient(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        return torch.stack([self._corners(x, pair, sign) for pair in self._pairs(x) for sign in signs]).sum(0)

    def laplacian(self, x: Float[Tensor, "B 1 *L"]) -> Float[Tensor, "B 1 *L"]:
        return torch.zeros_like(x)

    def _pairs(self, x: Tensor) -> list[tuple[int, int]]:
        if x.dim() < 4:
            raise InputError("there are no plaquettes in one dimension")
        return list(itertools.combinations(range(2, x.dim()), 2))

    def _corners(self, x: Tensor, pair: tuple[int, int], sign: tuple[int, int]) -> Tensor:
        one, two = (x.roll(-s, axis) for s, axis in zip(sign, pair, strict=True))
        return one * two * one.roll(-sign[1], pair[1])


def local_interactions(
    dimension: int, reach: int = 1, power: int = 4, odd: bool = False, isotropic: bool = True
) -> list[Interaction]:
    """Bonds, then powers of the field: at reach 1 and power 4 those of phi^4.

    Args:
        dimension: of the lattice.
        reach: longest bond along each axis, in sites; at 1 only the bond of nearest neighbours, from 2 on all bonds
            within the cube.
        power: highest power.
        odd: whether odd powers are included, the first of which is the external field.
        isotropic: whether bonds along all axes have one coupling; False: one for each direction.
    """
    if reach < 1 or power < 2:
        raise InputError(f"reach = {reach}, power = {power}; at least 1 and 2 are needed")
    cube = itertools.product(range(reach + 1), repeat=dimension)
    apart = [s for s in cube if any(s) and (not isotropic or list(s) == sorted(s))]
    shifts = sorted((s for s in apart if reach > 1 or sum(s) == 1), key=lambda s: math.hypot(*s))
    bonds: list[Interaction] = [Bond(shift, isotropic=isotropic) for shift in shifts]
    return bonds + [Power(n) for n in range(1, power + 1) if odd or n % 2 == 0]


def _images(shift: Shift) -> Sequence[tuple[Shift, Shift]]:
    return list(itertools.product(itertools.permutations(shift), itertools.product((1, -1), repeat=len(shift))))
